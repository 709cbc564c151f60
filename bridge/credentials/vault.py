"""The vault: one encrypted file per credential, replaced whole and durable or not at all."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bridge.contracts import OAuthToken
from bridge.credentials.durable import leftover, replace_file, sync_folder
from bridge.credentials.entry import Entry, from_bytes, not_linked, to_bytes
from bridge.credentials.key import KEY_FILE, VaultKey, find_key, write_key_file
from bridge.credentials.locks import take
from bridge.credentials.ring import KeyRing
from bridge.errors import SettingsInvalid, Transient, VaultLocked
from bridge.model.health import State
from bridge.redaction import hide

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]|\.(?!\.)){0,62}")
_WRITE_DEADLINE_S = 3.0
_RING_PURPOSE = "older keys"

Stamp = tuple[int, int, int]
"""Changes whenever a credential's file is replaced."""


@dataclass(frozen=True, slots=True)
class Description:
    """What may be shown of a credential. Times are epoch seconds; `expires_at` is the access token's."""

    name: str
    state: State
    reason: str = ""
    plug_in: str = ""
    kind: str = ""
    scopes: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    created_at: float | None = None
    age_s: float | None = None
    refreshed_at: float | None = None
    expires_at: float | None = None
    refused_at: float | None = None
    refreshes: int = 0
    refusals: int = 0


class Vault:
    """Credentials of one data folder under `<data>/vault/<name>.enc`. Every method is short, synchronous file
    work; writers exclude each other across processes. Raises VaultLocked when key or disk do not serve."""

    def __init__(self, data: Path, key: VaultKey) -> None:
        self.folder = data / "vault"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.folder, error) from None
        self.ring = KeyRing(key, _older_keys(self.folder, key))

    def names(self) -> list[str]:
        """Names of all credentials, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.enc") if _NAME.fullmatch(path.stem))

    def load(self, name: str) -> Entry:
        """One credential. Raises Unauthorised (`not_linked`) when there is none; its secrets are hidden in
        everything logged from here on."""
        entry = self._find(name)
        if entry is None:
            raise not_linked(name)
        return entry

    def stamp(self, name: str) -> Stamp | None:
        """A cheap sign of whether the file was replaced, None when there is none."""
        try:
            stat = self._path(name).stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(name, error) from None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def store(self, name: str, entry: Entry) -> None:
        """Keep a newly linked credential, in place of any older one of that name."""
        with self._writing():
            self._write(name, entry)

    def update(self, name: str, entry: Entry) -> bool:
        """Keep the next state of a linked credential; False, and nothing is written, when it was deleted or
        linked anew in the meantime."""
        with self._writing():
            standing = self._find(name)
            if standing is None or standing.link_id != entry.link_id:
                return False
            self._write(name, entry)
            return True

    def delete(self, name: str) -> bool:
        """Forget a credential; whether there was one. What is still refreshing it cannot write it back."""
        path = self._path(name)
        with self._writing():
            known = path.exists()
            try:
                path.unlink(missing_ok=True)
                leftover(path).unlink(missing_ok=True)
                sync_folder(self.folder)
            except OSError as error:
                raise _unwritable(self.folder, error) from None
        return known

    def describe(self, now: float) -> list[Description]:
        """What may be shown of every credential, without any secret; an unreadable one is named as such."""
        return [self._described(name, now) for name in self.names()]

    def mark_login_required_all(self, reason: str, now: float) -> list[str]:
        """Put every rotating grant to sleep until a person signs in again; the names. For `restore`: a token
        from a backup may have been used since, and presenting it again would kill the living one."""
        marked = []
        with self._writing():
            for name in self.names():
                entry = self._find(name)
                if entry and isinstance(entry.credential, OAuthToken) and entry.login_required is None:
                    self._write(name, entry.refused(reason, now))
                    marked.append(name)
        return marked

    def lock_path(self, name: str) -> Path:
        """The file whose lock allows to refresh this credential."""
        return self._path(name).with_suffix(".lock")

    def reencrypt(self) -> None:
        """Bring every credential under the current key; what a crash leaves undone is readable as before."""
        with self._writing():
            for name in self.names():
                entry = self._find(name)
                if entry is not None:
                    self._write(name, entry)

    def _find(self, name: str) -> Entry | None:
        try:
            sealed = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(name, error) from None
        entry = from_bytes(self.ring.unseal(sealed, _purpose(name)))
        for secret in entry.secrets:
            hide(secret)
        return entry

    def _write(self, name: str, entry: Entry) -> None:
        for secret in entry.secrets:
            hide(secret)
        try:
            replace_file(self._path(name), self.ring.seal(to_bytes(entry), _purpose(name)))
        except OSError as error:
            raise _unwritable(self.folder, error) from None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        lock = take(self.folder / ".lock", _WRITE_DEADLINE_S, "the vault")
        try:
            yield
        finally:
            lock.release()

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise SettingsInvalid(
                f"{name!r} cannot name a credential.",
                next_step="Use up to 63 small letters, digits, dots, dashes and underscores.",
            )
        return self.folder / f"{name}.enc"

    def _described(self, name: str, now: float) -> Description:
        try:
            return _description(name, self.load(name), now)
        except VaultLocked as error:
            return Description(name, State.VAULT_LOCKED, str(error))


def rotate(data: Path, old: VaultKey, new: VaultKey) -> None:
    """Change the vault's key. Nothing else may have the vault open meanwhile.

    The old key is first kept under the new one (captures sealed with it stay readable), then `vault.key` is
    replaced where it holds the old key, then every credential is encrypted anew. After a crash at any
    point, calling again finishes; the key in `vault.key`, or `new`, opens everything.
    """
    folder = Vault(data, old).folder
    _keep_older(folder, new, (old, *_older_keys(folder, old), *_older_keys(folder, new)))
    if (data / KEY_FILE).exists() and find_key(data, {}).id == old.id:
        write_key_file(data, new)
    Vault(data, new).reencrypt()
    if old.id != new.id:
        _ring_path(folder, old).unlink(missing_ok=True)


def _ring_path(folder: Path, key: VaultKey) -> Path:
    return folder / f".older-keys.{key.id}"


def _older_keys(folder: Path, key: VaultKey) -> tuple[VaultKey, ...]:
    try:
        sealed = _ring_path(folder, key).read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _unreadable("older keys", error) from None
    texts: list[str] = json.loads(key.decrypt(sealed, _RING_PURPOSE))
    return tuple(VaultKey(base64.b64decode(text)) for text in texts)


def _keep_older(folder: Path, key: VaultKey, older: tuple[VaultKey, ...]) -> None:
    texts = {kept.id: kept.text() for kept in older if kept.id != key.id}
    try:
        replace_file(_ring_path(folder, key), key.encrypt(json.dumps(list(texts.values())).encode(), _RING_PURPOSE))
    except OSError as error:
        raise _unwritable(folder, error) from None


def _description(name: str, entry: Entry, now: float) -> Description:
    held = entry.credential
    oauth = held if isinstance(held, OAuthToken) else None
    return Description(
        name=name,
        state=State.OK if entry.login_required is None else State.LOGIN_REQUIRED,
        reason=entry.login_required or "",
        plug_in=entry.plug_in,
        kind=entry.kind,
        scopes=entry.scopes,
        hosts=entry.hosts,
        created_at=entry.created_at,
        age_s=max(now - entry.created_at, 0.0),
        refreshed_at=oauth.refreshed_at if oauth else None,
        expires_at=oauth.expires_at if oauth else None,
        refused_at=entry.refused_at,
        refreshes=entry.refreshes,
        refusals=entry.refusals,
    )


def _purpose(name: str) -> str:
    return f"credential:{name}"


def _unreadable(name: str, error: OSError) -> Transient:
    return Transient(f"{name} cannot be read from the vault: {error.strerror}.", next_step="Check the disk.")


def _unwritable(folder: Path, error: OSError) -> VaultLocked:
    return VaultLocked(
        f"The vault {folder} cannot be written: {error.strerror}.",
        next_step="Free space on the disk or give this user write access; keep the program running until then.",
    )


__all__ = ["Description", "Stamp", "Vault", "rotate"]
