"""One credential as the vault keeps it: what it is, what it may reach, and whether it still works."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.contracts import Credential, OAuthToken, StaticToken
from bridge.errors import Unauthorised, VaultLocked

_FORMAT = 1
_KINDS: dict[str, type[OAuthToken] | type[StaticToken]] = {"oauth": OAuthToken, "static": StaticToken}


@dataclass(frozen=True, slots=True)
class Entry:
    """Times are epoch seconds. `link_id` is new with every linking: an answer meant for an older link of the
    same name never overwrites a newer one. `login_required` is the reason, None while the credential is good."""

    plug_in: str
    credential: Credential
    hosts: tuple[str, ...]
    scopes: tuple[str, ...]
    created_at: float
    link_id: str = field(default_factory=lambda: secrets.token_hex(8))
    login_required: str | None = None
    refused_at: float | None = None
    refreshes: int = 0
    refusals: int = 0

    @property
    def kind(self) -> str:
        """`oauth` or `static`."""
        return "oauth" if isinstance(self.credential, OAuthToken) else "static"

    @property
    def revision(self) -> str:
        """Tells this state of the credential from every other one, and nothing about it."""
        return hashlib.blake2b(to_bytes(self), digest_size=16).hexdigest()

    @property
    def header(self) -> tuple[str, str]:
        """Name and value of the header that carries the credential."""
        held = self.credential
        if isinstance(held, StaticToken):
            return held.header, held.token
        bearer = held.header.lower() == "authorization"
        return held.header, f"Bearer {held.access_token}" if bearer else held.access_token

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every text in here that must never be shown."""
        held = self.credential
        if isinstance(held, StaticToken):
            return (held.token,)
        return tuple(text for text in (held.access_token, held.refresh_token, held.client_secret) if text)

    def expired(self, now: float) -> bool:
        """Whether the access token is over."""
        return isinstance(self.credential, OAuthToken) and now >= self.credential.expires_at

    def due(self, now: float) -> bool:
        """Whether to refresh before the next use. A margin longer than half the token's life counts as half:
        a short-lived token is not refreshed at every request."""
        held = self.credential
        if not isinstance(held, OAuthToken):
            return False
        life = held.expires_at - max(held.refreshed_at, held.obtained_at)
        return now >= held.expires_at - min(held.refresh_margin_s, max(life, 0) / 2)

    def renewed(self, credential: OAuthToken) -> Entry:
        """The entry with the next token of its family."""
        return replace(
            self, credential=credential, login_required=None, refused_at=None, refreshes=self.refreshes + 1
        )

    def refused(self, reason: str, now: float) -> Entry:
        """The entry, dead until a person links it again; the token is kept for diagnosis."""
        return replace(self, login_required=reason, refused_at=now, refusals=self.refusals + 1)

    def require_usable(self, name: str) -> None:
        """Raises Unauthorised when only a person can help."""
        if self.login_required is not None:
            raise Unauthorised(
                f"{name} needs a new sign-in: {self.login_required}", next_step=f"Link {self.plug_in} again."
            )


def to_bytes(entry: Entry) -> bytes:
    """JSON of an entry, to be encrypted."""
    body = {f.name: getattr(entry, f.name) for f in dataclasses.fields(entry) if f.name != "credential"}
    held = {f.name: getattr(entry.credential, f.name) for f in dataclasses.fields(entry.credential)}
    held["extra"] = dict(entry.credential.extra)
    return json.dumps({"format": _FORMAT, "kind": entry.kind, "credential": held, **body}).encode()


def from_bytes(plain: bytes) -> Entry:
    """The entry of decrypted JSON. Raises VaultLocked for what another version wrote."""
    body: dict[str, Any] = json.loads(plain)
    try:
        if body.pop("format") != _FORMAT:
            raise _foreign()
        credential = _KINDS[body.pop("kind")](**body.pop("credential"))
        body["hosts"], body["scopes"] = tuple(body["hosts"]), tuple(body["scopes"])
        return Entry(credential=credential, **body)
    except (KeyError, TypeError):
        raise _foreign() from None


def _foreign() -> VaultLocked:
    return VaultLocked("A credential was written by another version.", next_step="Use the newest version.")


def not_linked(name: str) -> Unauthorised:
    """The error for a credential that is not in the vault."""
    return Unauthorised(
        f"There is no credential {name!r} in the vault.", next_step="Link it first.", state="not_linked"
    )
