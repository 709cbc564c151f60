"""The vault's key: 32 bytes from the environment, a secret file, a systemd credential or the data folder."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bridge.credentials.durable import replace_file
from bridge.errors import VaultLocked

KEY_BYTES = 32
KEY_FILE = "vault.key"
KEY_VARIABLE = "GLUCOBRIDGE_VAULT_KEY"
KEY_FILE_VARIABLE = "GLUCOBRIDGE_VAULT_KEY_FILE"
SYSTEMD_NAME = "glucobridge-vault-key"

_MAGIC = b"GBV1"
_ID_BYTES, _NONCE_BYTES = 8, 12
_HEADER_BYTES = len(_MAGIC) + _ID_BYTES


class VaultKey:
    """An AES-256-GCM key. `id` names it in everything it encrypts and says nothing about it."""

    __slots__ = ("_aead", "_secret", "id")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise VaultLocked(f"A vault key has {KEY_BYTES} bytes, this one has {len(secret)}.")
        self._secret, self._aead = secret, AESGCM(secret)
        self.id = hashlib.blake2b(secret, digest_size=_ID_BYTES, person=b"vault-key-id").hexdigest()

    @classmethod
    def fresh(cls) -> VaultKey:
        """A new random key."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def from_text(cls, text: str, source: str) -> VaultKey:
        """Key from base64 text. Raises VaultLocked naming the source, never the text."""
        try:
            secret = base64.b64decode(text.strip().translate(_URL_SAFE), validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if len(secret) != KEY_BYTES:
            raise VaultLocked(
                f"{source} does not hold a vault key (the base64 text of {KEY_BYTES} bytes).",
                next_step="Put back the key this vault was made with.",
            )
        return cls(secret)

    def text(self) -> str:
        """The key itself as base64: only for its own file and for showing it to its owner on demand."""
        return base64.b64encode(self._secret).decode()

    def encrypt(self, plain: bytes, purpose: str) -> bytes:
        """Magic, key id, nonce, ciphertext; bound to `purpose`."""
        header, nonce = _MAGIC + bytes.fromhex(self.id), secrets.token_bytes(_NONCE_BYTES)
        return header + nonce + self._aead.encrypt(nonce, plain, header + purpose.encode())

    def decrypt(self, sealed: bytes, purpose: str) -> bytes:
        """The plain bytes. Raises VaultLocked when bytes, key or purpose do not fit."""
        header, rest = sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES:]
        try:
            return self._aead.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], header + purpose.encode())
        except (InvalidTag, ValueError):
            raise VaultLocked(
                "Encrypted bytes are damaged or belong to another purpose.",
                next_step="Restore them from a backup.",
            ) from None

    def __repr__(self) -> str:
        return f"VaultKey(id={self.id})"


_URL_SAFE = str.maketrans("-_", "+/")


def key_id_of(sealed: bytes) -> str:
    """Id of the key that sealed these bytes. Raises VaultLocked for bytes that nothing of ours sealed."""
    if not sealed.startswith(_MAGIC) or len(sealed) < _HEADER_BYTES + _NONCE_BYTES:
        raise VaultLocked("These bytes were not encrypted by this program.", next_step="Restore them from a backup.")
    return sealed[len(_MAGIC) : _HEADER_BYTES].hex()


def find_key(data: Path, environment: Mapping[str, str] | None = None) -> VaultKey:
    """The key, from the first source that is set: variable, variable naming a file, systemd credential,
    `vault.key` in the data folder. Raises VaultLocked saying what to do."""
    environment = os.environ if environment is None else environment
    if text := environment.get(KEY_VARIABLE):
        return VaultKey.from_text(text, KEY_VARIABLE)
    for path, source in _named_files(environment):
        return VaultKey.from_text(_read(path, source), f"{path} ({source})")
    return _own_file(data / KEY_FILE)


def create_key(data: Path, environment: Mapping[str, str] | None = None) -> VaultKey:
    """The key that is there, or a new one written to `vault.key`, mode 0600. For `init` alone.

    Raises VaultLocked when a vault stands there whose key is gone: a new key would only hide that.
    """
    environment = os.environ if environment is None else environment
    path = data / KEY_FILE
    if environment.get(KEY_VARIABLE) or any(_named_files(environment)) or path.exists():
        return find_key(data, environment)
    if any((data / "vault").glob("*.enc")):
        raise VaultLocked(
            f"{data} has a vault, but its key is missing.",
            next_step=f"Put the key back as {path}, or delete {data / 'vault'} and link everything again.",
        )
    key = VaultKey.fresh()
    write_key(path, key)
    return key


def write_key(path: Path, key: VaultKey) -> None:
    """Put the key into a file, mode 0600, durable. Raises VaultLocked when the disk refuses."""
    try:
        replace_file(path, f"{key.text()}\n".encode())
    except OSError as error:
        raise VaultLocked(
            f"The vault key cannot be written to {path.parent}: {error.strerror}.",
            next_step="Give this user write access to that folder.",
        ) from None


def _named_files(environment: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    if named := environment.get(KEY_FILE_VARIABLE):
        yield Path(named), KEY_FILE_VARIABLE
    if folder := environment.get("CREDENTIALS_DIRECTORY"):
        credential = Path(folder, SYSTEMD_NAME)
        if credential.exists():
            yield credential, "systemd credential"


def _own_file(path: Path) -> VaultKey:
    text = _read(path, "data folder")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise VaultLocked(
            f"Other users of this machine can read the vault key {path}.", next_step=f"Run: chmod 600 {path}"
        )
    return VaultKey.from_text(text, str(path))


def _read(path: Path, source: str) -> str:
    try:
        return path.read_text("ascii")
    except FileNotFoundError:
        raise VaultLocked(
            f"There is no vault key {path} ({source}).",
            next_step=f"Run `glucobridge init`, or set {KEY_VARIABLE} to the key this vault was made with.",
        ) from None
    except UnicodeDecodeError:
        raise VaultLocked(f"{path} ({source}) does not hold a vault key in base64.") from None
    except OSError as error:
        raise VaultLocked(
            f"The vault key {path} ({source}) cannot be read: {error.strerror}.",
            next_step="Give this user read access to it.",
        ) from None
