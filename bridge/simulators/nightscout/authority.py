"""Who may do what: secret, roles, subjects, access tokens, JWTs, and the delay after failed logins."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bridge.simulators.nightscout.values import Doc

Groups = list[list[str]]
"""Permission groups of whoever asks, one a role."""

JWT_LIFE_S = 8 * 3600
BUILT_IN: dict[str, list[str]] = {
    "admin": ["*"],
    "denied": [],
    "status-only": ["api:status:read"],
    "readable": ["*:*:read"],
    "careportal": ["api:treatments:create"],
    "devicestatus-upload": ["api:devicestatus:create"],
    "activity": ["api:activity:create"],
}


def implies(granted: str, wanted: str) -> bool:
    """Whether one granted permission string covers a wanted one (Shiro's wildcard rules)."""
    have, want = granted.split(":"), wanted.split(":")
    for given, needed in zip(have, want, strict=False):
        options = given.split(",")
        if "*" not in options and not set(needed.split(",")) <= set(options):
            return False
    return all(part == "*" for part in have[len(want) :])


def allowed(groups: Groups, wanted: str) -> bool:
    """Whether any group covers it."""
    return any(implies(granted, wanted) for group in groups for granted in group)


@dataclass
class Subject:
    """A named holder of roles; `token` is its access token."""

    id: str
    name: str
    roles: list[str]
    token: str
    notes: str = ""

    def shown(self) -> Doc:
        """As the API lists it."""
        return {
            "_id": self.id,
            "name": self.name,
            "roles": self.roles,
            "notes": self.notes,
            "accessToken": self.token,
        }


@dataclass
class Authority:
    """Credentials of one site. `now` is the site's clock."""

    secret: str
    default_roles: Sequence[str]
    now: Callable[[], datetime]
    roles: dict[str, Doc] = field(default_factory=dict)
    subjects: dict[str, Subject] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._sha1 = hashlib.sha1(self.secret.encode(), usedforsecurity=False).hexdigest()
        self._sha512 = hashlib.sha512(self.secret.encode()).hexdigest()
        self._key = secrets.token_bytes(32)
        self._by_digest: dict[str, Subject] = {}

    def rebuild(self) -> None:
        """The server is built anew: JWTs of before mean nothing."""
        self._key = secrets.token_bytes(32)

    def add_subject(self, subject_id: str, name: str, roles: Iterable[str], notes: str = "") -> Subject:
        """A new subject with its token."""
        plain = re.sub(r"[^a-z0-9_]", "", name.lower())[:10]
        digest = hashlib.sha1((self._sha1 + subject_id).encode(), usedforsecurity=False).hexdigest()
        subject = Subject(subject_id, name, list(roles), f"{plain}-{digest[:16]}", notes)
        self.subjects[subject_id] = subject
        hashed = hashlib.sha1(subject.token.encode(), usedforsecurity=False).hexdigest()
        self._by_digest |= {digest[:16]: subject, hashed: subject}
        return subject

    def remove_subject(self, subject_id: str) -> None:
        """Its tokens die with it."""
        gone = self.subjects.pop(subject_id, None)
        self._by_digest = {key: one for key, one in self._by_digest.items() if one is not gone}

    def is_secret(self, text: str) -> bool:
        """SHA-1 in either case, or SHA-512 in lower case."""
        return hmac.compare_digest(text.lower().encode(), self._sha1.encode()) or text == self._sha512

    def by_token(self, text: str) -> Subject | None:
        """The holder of an access token, bare or `token=<it>`, or of its SHA-1. Only the hex part counts."""
        text = text.removeprefix("token=")
        digest = text.rsplit("-", 1)[1] if "-" in text else text
        return self._by_digest.get(digest)

    def groups(self, subject: Subject | None) -> Groups:
        """Rights of a subject, or of anybody (None)."""
        named = [self._permissions(role) for role in subject.roles] if subject else []
        defaults = [self._permissions(role) for role in self.default_roles] or [[]]
        return named + defaults

    def _permissions(self, role: str) -> list[str]:
        own = [entry for entry in self.roles.values() if entry["name"] == role]
        if own:
            return list(own[0]["permissions"])
        return list(BUILT_IN.get(role, []))

    def issue(self, subject: Subject) -> Doc:
        """The answer of a token exchange."""
        issued = int(self.now().timestamp())
        claims = {"accessToken": subject.token, "iat": issued, "exp": issued + JWT_LIFE_S}
        return {
            "token": self._signed(claims),
            "sub": subject.name,
            "permissionGroups": self.groups(subject),
            "iat": claims["iat"],
            "exp": claims["exp"],
        }

    def by_jwt(self, text: str) -> Subject | None:
        """The holder of a JWT that is signed by us and still valid."""
        head, _, signature = text.rpartition(".")
        if not head or not hmac.compare_digest(self._signature(head), signature):
            return None
        claims = json.loads(_unpadded(head.split(".")[1]))
        return self.by_token(claims["accessToken"]) if claims["exp"] > self.now().timestamp() else None

    def _signed(self, claims: Doc) -> str:
        head = f"{_padless({'alg': 'HS256', 'typ': 'JWT'})}.{_padless(claims)}"
        return f"{head}.{self._signature(head)}"

    def _signature(self, head: str) -> str:
        digest = hmac.new(self._key, head.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _padless(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Penalties:
    """Per address: until when every request of it sleeps, after a wrong credential."""

    delay_s: float
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    failures: int = 0
    until: dict[str, datetime] = field(default_factory=dict)

    async def wait(self, address: str) -> None:
        """Sleep for what is left."""
        left = (self.until.get(address, self.now()) - self.now()).total_seconds()
        if left > 0:
            await self.sleep(left)

    def fail(self, address: str) -> None:
        """One more wrong credential from there."""
        self.failures += 1
        start = max(self.until.get(address, self.now()), self.now())
        self.until[address] = start + timedelta(seconds=self.delay_s)

    def forgive(self, address: str) -> None:
        """A good one came."""
        self.until.pop(address, None)
