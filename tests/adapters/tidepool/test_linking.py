"""Linking: discovery, both ways of signing in, whose data, check and revocation."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from adapters.tidepool import TidepoolAdapter, TidepoolLinking, TidepoolSettings
from adapters.tidepool.client import Provider, discover
from bridge.contracts import Answer, Authorise, Grant, Hold, StaticToken, Step
from bridge.errors import Incompatible, Moved, Refused, Transient, Unauthorised
from bridge.simulators.tidepool import TidepoolSim
from tests.adapters.tidepool.support import (
    CAREGIVER,
    CLINIC,
    OWNER,
    VIEWER,
    SimSession,
    adapter_for,
    documents,
    verdicts,
)
from tests.support.clock import FakeClock

LINKING = TidepoolLinking()


@pytest.fixture
def nobody(http: aiohttp.ClientSession, sim: TidepoolSim) -> SimSession:
    return SimSession(http, sim, None)


def _host(base: str) -> str:
    return base.removeprefix("http://")


async def test_a_known_client_id_leads_to_the_sign_in_page(nobody: SimSession, base: str) -> None:
    step = await LINKING.begin(nobody, {"api_url": base, "client_id": "bridge"}, {})
    realm = f"{base}/realms/tidepool/protocol/openid-connect"
    assert step == Authorise(
        client_id="bridge", authorization_url=f"{realm}/auth", token_url=f"{realm}/token",
        redirect_uri="http://127.0.0.1:8788/callback", scope="openid offline_access", hosts=(_host(base),),
        revocation_url=f"{realm}/revoke", header="X-Tidepool-Session-Token",
    )  # fmt: skip


async def test_without_a_client_id_it_explains_and_asks(nobody: SimSession, base: str) -> None:
    settings, answers = {"api_url": base}, {}  # type: ignore[var-annotated]
    way = await LINKING.begin(nobody, settings, answers)
    assert isinstance(way, Step)
    assert set(way.choices) == {"application", "password"}
    assert "support@tidepool.org" in way.prompt
    asked = await LINKING.begin(nobody, settings, {"way": "application"})
    assert isinstance(asked, Step)
    assert (asked.key, asked.secret) == ("client_id", False)
    step = await LINKING.begin(nobody, settings, {"way": "application", "client_id": "bridge"})
    assert isinstance(step, Authorise)


async def test_no_client_id_is_shipped() -> None:
    assert TidepoolSettings().client_id is None
    with pytest.raises(ValueError, match="extra"):
        TidepoolSettings.model_validate({"client_secret": "s"})


async def test_the_grant_of_an_own_account(session: SimSession, base: str) -> None:
    answers = {"way": "application", "client_id": "bridge", "authorised": "yes"}
    grant = await LINKING.begin(session, {"api_url": base}, answers)
    assert isinstance(grant, Grant)
    assert (grant.settings, grant.hosts) == ({"user_id": OWNER, "client_id": "bridge"}, (_host(base),))
    assert grant.scopes == ("openid", "offline_access")
    assert TidepoolSettings.model_validate({"api_url": base, **grant.settings}).user_id == OWNER


async def test_a_caregiver_chooses_whose_data(sim: TidepoolSim, base: str, http: aiohttp.ClientSession) -> None:
    session = SimSession(http, sim, CAREGIVER)
    settings, answers = {"api_url": base, "client_id": "bridge"}, {"authorised": "yes"}
    step = await LINKING.begin(session, settings, answers)
    assert isinstance(step, Step)
    assert step.choices == {CAREGIVER: "my own account", OWNER: "Olga Owner"}
    grant = await LINKING.begin(session, settings, {**answers, "person": OWNER})
    assert isinstance(grant, Grant)
    assert (grant.settings["user_id"], grant.others) == (OWNER, {})
    both = await LINKING.begin(session, settings, {**answers, "person": "all"})
    assert isinstance(both, Grant)
    assert both.settings["user_id"] == CAREGIVER
    assert both.others == {"Olga Owner": {"user_id": OWNER, "client_id": "bridge"}}


async def test_view_alone_is_not_offered(sim: TidepoolSim, base: str, http: aiohttp.ClientSession) -> None:
    grant = await LINKING.begin(SimSession(http, sim, VIEWER), {"api_url": base}, {"authorised": "yes"})
    assert isinstance(grant, Grant)
    assert grant.settings == {"user_id": VIEWER}


async def test_a_clinic_account_without_people_is_refused(
    sim: TidepoolSim, base: str, http: aiohttp.ClientSession
) -> None:
    session = SimSession(http, sim, CLINIC)
    with pytest.raises(Refused, match="upload permission"):
        await LINKING.begin(session, {"api_url": base}, {"authorised": "yes"})
    sim.share(OWNER, CLINIC, "upload", "view")
    grant = await LINKING.begin(session, {"api_url": base}, {"authorised": "yes"})
    assert isinstance(grant, Grant)
    assert grant.settings == {"user_id": OWNER}


# --- the older login -------------------------------------------------------------------------------


async def test_the_older_login_is_an_opt_in_with_a_warning(nobody: SimSession, base: str, sim: TidepoolSim) -> None:
    settings, answers = {"api_url": base}, {"way": "password"}
    asked = []
    for answer in ("yes", f"{OWNER}@example.org", f"pass-{OWNER}"):
        step = await LINKING.begin(nobody, settings, answers)
        assert isinstance(step, Step)
        asked.append((step.key, step.secret, tuple(step.choices)))
        answers[step.key] = answer
    assert asked == [("understood", False, ("yes", "no")), ("email", False, ()), ("password", True, ())]
    hold = await LINKING.begin(nobody, settings, answers)
    assert isinstance(hold, Hold)
    assert isinstance(hold.credential, StaticToken)
    assert hold.credential.header == "X-Tidepool-Session-Token"
    assert hold.hosts == (_host(base),)
    assert f"pass-{OWNER}" not in repr(hold)
    assert hold.credential.token not in repr(hold)
    nobody.token = hold.credential.token
    grant = await LINKING.begin(nobody, settings, {**answers, "authorised": "yes"})
    assert isinstance(grant, Grant)
    assert (grant.settings, grant.scopes) == ({"user_id": OWNER}, ())


async def test_saying_no_links_nothing(nobody: SimSession, base: str, sim: TidepoolSim) -> None:
    with pytest.raises(Refused, match="Nothing was linked"):
        await LINKING.begin(nobody, {"api_url": base}, {"way": "password", "understood": "no"})
    assert sim.seen == []


@pytest.mark.parametrize(
    ("password", "legacy", "said"),
    [("wrong", True, "does not know"), ("", True, "both"), ("x", False, "no longer has")],
)
async def test_a_login_that_does_not_fit(
    password: str, legacy: bool, said: str, nobody: SimSession, base: str, sim: TidepoolSim
) -> None:
    sim.tokens.legacy = legacy
    answers = {"way": "password", "understood": "yes", "email": f"{OWNER}@example.org", "password": password}
    with pytest.raises(Refused, match=said) as caught:
        await LINKING.begin(nobody, {"api_url": base}, answers)
    assert not password or password not in str(caught.value).split()
    sim.fail(502, path="/auth/login")
    with pytest.raises(Transient):
        await LINKING.begin(nobody, {"api_url": base}, answers)


async def test_an_older_login_that_ran_out_says_so(
    session: SimSession, base: str, clock: FakeClock, sim: TidepoolSim
) -> None:
    adapter = adapter_for(session, base, clock)
    session.refuses = [Unauthorised("The token has run out.")]
    clock.advance(800)
    with pytest.raises(Unauthorised, match="Sign in again") as caught:
        await adapter.deliver(documents(1), [])
    assert caught.value.state == "login_required"


# --- discovery -------------------------------------------------------------------------------------


class Canned:
    """Answers by address; anything else is 404."""

    def __init__(self, **answers: bytes) -> None:
        self.answers, self.asked = answers, []  # type: ignore[var-annotated]

    async def request(self, method: str, url: str, **how: Any) -> Answer:
        self.asked.append(url)
        body = self.answers.get(url.rsplit("/", 1)[-1].replace("-", "_"))
        return Answer(404 if body is None else 200, {}, body or b"", url)

    async def renew(self, *, client_id: str | None = None, token_url: str | None = None) -> None:
        raise AssertionError


WELL_KNOWN = b'{"authorization_endpoint": "https://a/auth", "token_endpoint": "https://a/token"}'


async def test_known_environments_are_a_fallback() -> None:
    session = Canned(openid_configuration=WELL_KNOWN)
    assert await discover(session, TidepoolSettings()) == Provider("https://a/auth", "https://a/token")
    assert session.asked[-1] == "https://auth.tidepool.org/realms/tidepool/.well-known/openid-configuration"
    session = Canned(info=b"{}", openid_configuration=WELL_KNOWN)
    settings = TidepoolSettings(api_url="https://int-api.tidepool.org/")
    await discover(session, settings)
    assert session.asked[-1].startswith("https://auth.integration.tidepool.org/realms/integration/")


async def test_a_set_issuer_is_taken_as_it_is() -> None:
    session = Canned(openid_configuration=WELL_KNOWN)
    await discover(session, TidepoolSettings(issuer="https://login.example.org/realms/own/"))
    assert session.asked == ["https://login.example.org/realms/own/.well-known/openid-configuration"]


@pytest.mark.parametrize(
    "answers",
    [
        {"info": b"{}"},
        {"info": b"<html>"},
        {"info": b"[]"},
        {"info": b'{"auth": {"url": "https://a", "realm": "r"}}', "openid_configuration": b"{}"},
    ],
)
async def test_what_is_no_tidepool_is_said_plainly(answers: dict[str, bytes]) -> None:
    settings = TidepoolSettings(api_url="https://tidepool.example.org")
    with pytest.raises(Incompatible, match="api_url"):
        await discover(Canned(**answers), settings)


async def test_a_moved_provider_is_discovered_again(
    session: SimSession, base: str, clock: FakeClock, sim: TidepoolSim
) -> None:
    adapter: TidepoolAdapter = adapter_for(session, base, clock, client_id="bridge")
    session.refuses = [Moved("Nobody knows this client.")]
    sim.expire_access()
    assert set(verdicts(await adapter.deliver(documents(2), []))) == {"accepted"}
    token_url = f"{base}/realms/tidepool/protocol/openid-connect/token"
    assert session.renewals == [(None, None), ("bridge", token_url)]


# --- check and revoke ------------------------------------------------------------------------------


async def test_check_names_a_missing_permission(sim: TidepoolSim, base: str, http: aiohttp.ClientSession) -> None:
    settings = {"api_url": base, "user_id": OWNER}
    assert (await LINKING.check(SimSession(http, sim, CAREGIVER), settings)).state == "ok"
    health = await LINKING.check(SimSession(http, sim, VIEWER), settings)
    assert health.state == "permission_denied"
    assert "Share Data" in health.text
    ended = SimSession(http, sim, CAREGIVER)
    ended.refuses = [Unauthorised("Over.")]
    sim.end_sessions(CAREGIVER)
    assert (await LINKING.check(ended, settings)).state == "login_required"
    sim.fail(503, path="/auth/user")
    assert (await LINKING.check(SimSession(http, sim, OWNER), {"api_url": base})).state == "unreachable"


async def test_revoking_ends_an_older_logins_session_and_says_what_stays(
    session: SimSession, base: str, sim: TidepoolSim
) -> None:
    said = await LINKING.revoke(session, {"api_url": base, "client_id": "bridge"})
    assert "stays in Tidepool" in said
    assert sim.count("POST", "/auth/logout") == 0
    sim.fail(500, path="/auth/logout")
    with pytest.raises(Transient):
        await LINKING.revoke(session, {"api_url": base})
    await LINKING.revoke(session, {"api_url": base})
    assert (await session.request("GET", f"{base}/auth/user")).status == 401
