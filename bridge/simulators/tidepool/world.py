"""What the routes share: the people, the data, the knobs, and who is asking."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web

from bridge.simulators.tidepool.accounts import Accounts
from bridge.simulators.tidepool.data_sets import Store
from bridge.simulators.tidepool.faults import Knobs

TOKEN_HEADER = "X-Tidepool-Session-Token"


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as answered. `status` 0: the connection was cut. `datums`: how many a data post carried."""

    method: str
    path: str
    status: int
    datums: int = 0


@dataclass
class World:
    """Everything behind the routes."""

    accounts: Accounts
    store: Store
    knobs: Knobs
    realm: str
    consent: str | None = None
    """User id that the sign-in page signs in without asking; None refuses."""
    seen: list[Seen] = field(default_factory=list)

    def who(self, request: web.Request, *, bearer: bool = True) -> str | None:
        """User id of the token in the session header, or (v1 services) of a Bearer token."""
        token = request.headers.get(TOKEN_HEADER)
        scheme, _, bare = request.headers.get("Authorization", "").partition(" ")
        if token is None and bearer and scheme == "Bearer":
            token = bare
        return self.accounts.who(token)

    def may(self, user_id: str, owner_id: str, *permissions: str) -> bool:
        """Whether a person has one of these permissions on another's data (owners have all)."""
        return bool(self.accounts.permissions(user_id, owner_id) & {"root", *permissions})
