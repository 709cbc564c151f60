"""Linkings as a reader or adapter would declare them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.contracts import Authorise, Grant, Hold, Session, StaticToken, Step
from bridge.errors import Refused
from bridge.model.health import Health
from tests.credentials.idp import CLIENT_ID, REDIRECT

REGION = Step("region", "Which region?", choices={"EU": "Europe", "US": "America"})
PATIENT = Step("patient", "Whose data?", choices={"anna": "Anna", "ben": "Ben"}, many=True)


@dataclass
class Plugin:
    """A linking with a region, a login, one call with the fresh token and a choice."""

    base: str
    redirect_uri: str = REDIRECT
    scope: str = "openid offline_access"
    name: str = "carelink-cloud"
    scopes: tuple[str, ...] = ("read",)
    refuse: bool = False
    said: str = "Remove the account yourself."
    asked: list[dict[str, str]] = field(default_factory=list)

    async def begin(
        self, session: Session, settings: Mapping[str, Any], answers: Mapping[str, str]
    ) -> Step | Authorise | Hold | Grant:
        self.asked.append(dict(answers))
        if "region" not in answers:
            return REGION
        if "authorised" not in answers:
            return self.authorise()
        if (await session.request("GET", f"{self.base}/me")).status != 200:
            await session.renew()
        if "patient" not in answers:
            return PATIENT
        if self.refuse:
            raise Refused("That patient is not followed.", next_step="Choose another.")
        hosts = (self.base.removeprefix("http://"),)
        return Grant(hosts, ("read",), {"patient": answers["patient"]}, "Reads Anna.", {"Ben": {"patient": "ben"}})

    def authorise(self) -> Authorise:
        return Authorise(
            CLIENT_ID, f"{self.base}/authorize", f"{self.base}/oauth/token", self.redirect_uri, self.scope,
            (self.base.removeprefix("http://"),), revocation_url=f"{self.base}/oauth/revoke", refresh_margin_s=600.0,
        )  # fmt: skip

    async def check(self, session: Session, settings: Mapping[str, Any]) -> Health:
        return Health()

    async def revoke(self, session: Session, settings: Mapping[str, Any]) -> str:
        await session.request("GET", f"{self.base}/me")
        return self.said


class Bringing(Plugin):
    """A credential is brought along: no login."""

    credential: Any = StaticToken("glucobridg-0123456789abcdef", "api-secret")

    async def begin(
        self, session: Session, settings: Mapping[str, Any], answers: Mapping[str, str]
    ) -> Step | Authorise | Hold | Grant:
        self.asked.append(dict(answers))
        if "token" not in answers:
            return Step("token", "Paste the token", secret=True)
        if "authorised" not in answers:
            return Hold(self.credential, (self.base.removeprefix("http://"),))
        if self.refuse:
            raise Refused("That token may not write.")
        return Grant((self.base.removeprefix("http://"),), (), {}, "Held.")
