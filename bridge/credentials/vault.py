"""The vault: sealed credentials in a store, a folder of this host or one that hosts share."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from bridge.contracts import CredentialStore, OAuthToken, Turn
from bridge.credentials.entry import Entry, from_bytes, not_linked, to_bytes
from bridge.credentials.folder import Folder
from bridge.credentials.key import VaultKey
from bridge.credentials.ring import KeyRing
from bridge.errors import SettingsInvalid, VaultLocked
from bridge.model.health import State
from bridge.redaction import hide

FOLDER = "vault"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]|\.(?!\.)){0,62}")
_RING_PURPOSE = "older keys"


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
    """Credentials by name, sealed with the key before they reach the store. Raises VaultLocked when key or store do
    not serve, Transient when the store does not answer.

    `place`: a data folder, whose `vault` holds them, or a store; of a store `older` are the keys that `older_keys`
    found in it.
    """

    def __init__(self, place: Path | CredentialStore, key: VaultKey, older: Iterable[VaultKey] = ()) -> None:
        if isinstance(place, Path):
            folder = Folder(place / FOLDER)
            place, older = folder, _opened(folder.note(_ring_name(key)), key)
        self.kept_in = place
        self.ring = KeyRing(key, tuple(older))

    async def names(self) -> list[str]:
        """Names of all credentials, sorted."""
        return [name for name in await self.kept_in.names() if _NAME.fullmatch(name)]

    async def load(self, name: str) -> Entry:
        """One credential. Raises Unauthorised (`not_linked`) when there is none; its secrets are hidden in
        everything logged from here on."""
        entry, _ = await self._found(name)
        if entry is None:
            raise not_linked(name)
        return entry

    async def stamp(self, name: str) -> str | None:
        """A cheap sign of whether it was replaced, None when there is none; may lag as the store's may."""
        return await self.kept_in.stamp(_checked(name))

    async def store(self, name: str, entry: Entry) -> None:
        """Keep a newly linked credential, in place of any older one of that name."""
        written = False
        while not written:
            standing = await self.kept_in.read(_checked(name))
            written = await self._write(name, entry, standing.stamp if standing else None)

    async def add(self, name: str, entry: Entry) -> bool:
        """Keep a credential where none of that name is; whether there was none."""
        return await self._write(_checked(name), entry, None)

    async def update(self, name: str, entry: Entry, after: Collection[str], turn: Turn | None = None) -> bool:
        """Keep the next state of a linked credential in place of one whose revision is in `after`, while `turn`
        stands; False, and nothing is written, when another state, another link or none is there by now."""
        tried = None
        while True:
            standing, stamp = await self._found(name)
            if standing is None or standing.link_id != entry.link_id or standing.revision not in after:
                return False
            if stamp == tried:
                return False
            if await self._write(name, entry, stamp, turn):
                return True
            tried = stamp

    async def delete(self, name: str) -> bool:
        """Forget a credential; whether there was one. What is still refreshing it cannot write it back."""
        return await self.kept_in.delete(_checked(name))

    async def describe(self, now: float) -> list[Description]:
        """What may be shown of every credential, without any secret; an unreadable one is named as such."""
        return [await self._described(name, now) for name in await self.names()]

    async def mark_login_required_all(self, reason: str, now: float) -> list[str]:
        """Put every rotating grant to sleep until a person signs in again; the names. For `restore`: a token
        from a backup may have been used since, and presenting it again would kill the living one."""
        return [name for name in await self.names() if await self._put_to_sleep(name, reason, now)]

    async def reencrypt(self) -> None:
        """Bring every credential under the current key; what a crash leaves undone is readable as before."""
        for name in await self.names():
            entry, stamp = await self._found(name)
            while entry is not None and not await self._write(name, entry, stamp):
                entry, stamp = await self._found(name)

    async def _put_to_sleep(self, name: str, reason: str, now: float) -> bool:
        while True:
            entry, stamp = await self._found(name)
            if entry is None or not isinstance(entry.credential, OAuthToken) or entry.login_required is not None:
                return False
            if await self._write(name, entry.refused(reason, now), stamp):
                return True

    async def _found(self, name: str) -> tuple[Entry | None, str | None]:
        """What is there now, with the store's stamp of it."""
        sealed = await self.kept_in.read(_checked(name))
        if sealed is None:
            return None, None
        entry = from_bytes(self.ring.unseal(sealed.content, _purpose(name)))
        _hide(entry)
        return entry, sealed.stamp

    async def _write(self, name: str, entry: Entry, over: str | None, turn: Turn | None = None) -> bool:
        _hide(entry)
        return await self.kept_in.write(name, self.ring.seal(to_bytes(entry), _purpose(name)), over, turn)

    async def _described(self, name: str, now: float) -> Description:
        try:
            return _description(name, await self.load(name), now)
        except VaultLocked as error:
            return Description(name, State.VAULT_LOCKED, str(error))


async def older_keys(store: CredentialStore, key: VaultKey) -> tuple[VaultKey, ...]:
    """Keys that `key` took the place of: what they sealed is still read."""
    sealed = await store.read(_ring_name(key))
    return _opened(sealed.content if sealed else None, key)


async def keep_older(store: CredentialStore, key: VaultKey, older: Iterable[VaultKey]) -> None:
    """Note the keys that `key` takes the place of, sealed with it."""
    texts = {kept.id: kept.text() for kept in older if kept.id != key.id}
    content, name = key.encrypt(json.dumps(list(texts.values())).encode(), _RING_PURPOSE), _ring_name(key)
    written = False
    while not written:
        standing = await store.read(name)
        written = await store.write(name, content, standing.stamp if standing else None)


async def forget_older(store: CredentialStore, key: VaultKey) -> None:
    """Remove the note that `key` sealed: its successor has one of its own."""
    await store.delete(_ring_name(key))


def _ring_name(key: VaultKey) -> str:
    return f".older-keys.{key.id}"


def _opened(note: bytes | None, key: VaultKey) -> tuple[VaultKey, ...]:
    if note is None:
        return ()
    texts: list[str] = json.loads(key.decrypt(note, _RING_PURPOSE))
    return tuple(VaultKey(base64.b64decode(text)) for text in texts)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise SettingsInvalid(
            f"{name!r} cannot name a credential.",
            next_step="Use up to 63 small letters, digits, dots, dashes and underscores.",
        )
    return name


def _hide(entry: Entry) -> None:
    for secret in entry.secrets:
        hide(secret)


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
