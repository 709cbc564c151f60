"""The token of a site: its rights, its JWT, and what to think of a 401."""

from __future__ import annotations

from dataclasses import dataclass, field

from adapters.nightscout.client import PLACEHOLDER, SiteClient, mapping, not_itself
from adapters.nightscout.permissions import Groups, allows
from bridge.contracts import Clock
from bridge.errors import BridgeError, Forbidden, Unauthorised

_EXCHANGE = f"/api/v2/authorization/request/{PLACEHOLDER}"
_RENEW_BEFORE_S = 600.0
_OLDEST_S = 7 * 3600.0
_PAUSES_S = (300.0, 900.0, 3600.0)
"""Between looks at a refused token: a wrong one is punished for everybody behind our address."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a token is exchanged for. `lives_s` by the server's clock."""

    jwt: str = field(repr=False)
    subject: str
    groups: tuple[tuple[str, ...], ...]
    lives_s: float


class Access:
    """One site's token. The JWT lives in memory only."""

    def __init__(self, client: SiteClient, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._jwt: str | None = None
        self._until_wall = self._until_monotonic = 0.0
        self._refusals = 0
        self._blocked_until = 0.0

    async def exchange(self) -> Exchange:
        """Exchange the token for its rights and a fresh JWT. Costs no penalty when the token is dead.

        Raises Unauthorised for a refused token, and without asking again while the pause after that lasts.
        """
        self.require_unblocked()
        wall, monotonic = self._clock.now().timestamp(), self._clock.monotonic()
        answer = await self._client.request("GET", _EXCHANGE, authorise=False)
        if answer.status in (401, 403):
            self._refuse()
            raise _refused()
        found = _exchange_in(mapping(answer)) if answer.status == 200 else None
        if found is None:
            raise not_itself(answer)
        self._refusals, self._blocked_until = 0, 0.0
        left = min(found.lives_s - _RENEW_BEFORE_S, _OLDEST_S)
        # Counted from before the request and on both clocks: a jump of one must not keep it past its end.
        self._jwt, self._until_wall, self._until_monotonic = found.jwt, wall + left, monotonic + left
        return found

    async def bearer(self) -> str:
        """A JWT that the server still takes."""
        fresh = self._clock.now().timestamp() < self._until_wall and self._clock.monotonic() < self._until_monotonic
        if self._jwt is None or not fresh:
            return (await self.exchange()).jwt
        return self._jwt

    def forget_jwt(self) -> None:
        """The server no longer takes it: signed by a server built since."""
        self._jwt = None

    async def judge(self, permission: str) -> BridgeError:
        """What a v1 401 means, which does not tell: one exchange decides. The error to raise."""
        try:
            found = await self.exchange()
        except Unauthorised as refused:
            return refused
        if allows(found.groups, permission):
            return Forbidden(
                f"The site refused what {permission} should allow.",
                next_step="Link the site again.",
            )
        return Forbidden(
            f"The token of the site lacks the permission {permission}.",
            next_step=f"Add {permission} to the role of the subject {found.subject!r} in the site's admin tools.",
        )

    def require_unblocked(self) -> None:
        """Raises Unauthorised while the pause after a refusal lasts."""
        if self._clock.monotonic() < self._blocked_until:
            raise _refused()

    def _refuse(self) -> None:
        pause = _PAUSES_S[min(self._refusals, len(_PAUSES_S) - 1)]
        self._refusals += 1
        self._jwt, self._blocked_until = None, self._clock.monotonic() + pause


def _exchange_in(body: dict[str, object]) -> Exchange | None:
    match body:
        case {"token": str(jwt), "iat": int(issued), "exp": int(expires), "permissionGroups": list(groups)}:
            rights = tuple(tuple(map(str, group)) for group in groups if isinstance(group, list))
            return Exchange(jwt, str(body.get("sub", "")), rights, expires - issued)
        case _:
            return None


def _refused() -> Unauthorised:
    return Unauthorised(
        "The site does not know our access token any more.",
        next_step="Link the site again with `glucobridge link nightscout`.",
    )


def permissions_of(found: Exchange) -> Groups:
    """The rights as kept in the adapter's state."""
    return [list(group) for group in found.groups]
