"""Linking: one address, one secret, used once; the least rights; and a walk that a person can get out of."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest

from adapters.nightscout import NightscoutLinking
from adapters.nightscout.permissions import ROLE
from bridge.contracts import Grant, Hold, StaticToken, Step
from bridge.errors import Refused
from bridge.model.health import State
from bridge.simulators.nightscout import Fault, NightscoutSim, SimSettings
from bridge.simulators.serving import serve
from tests.adapters.nightscout.conftest import SECRET, LoopSession
from tests.support.clock import FakeClock

LINKING = NightscoutLinking()
_SHA1 = hashlib.sha1(SECRET.encode(), usedforsecurity=False).hexdigest()


class Place:
    def __init__(self, sim: NightscoutSim, base: str, client: aiohttp.ClientSession) -> None:
        self.sim, self.base, self.client = sim, base, client
        self.open = LoopSession(client, "")
        self.open.tokens = []

    async def walk(self, answers: Mapping[str, str], settings: Mapping[str, Any] | None = None) -> Any:
        """As `credentials` walks: a Hold is kept and asked again with its session."""
        outcome = await LINKING.begin(self.open, settings or {}, answers)
        if not isinstance(outcome, Hold):
            return outcome
        credential = outcome.credential
        assert isinstance(credential, StaticToken)
        self.held = LoopSession(self.client, credential.token)
        return await LINKING.begin(self.held, settings or {}, {**answers, "authorised": "yes"})


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    sim = NightscoutSim(SECRET, FakeClock(), SimSettings(default_roles=("denied",), auth_fail_delay_s=5))
    async with serve(sim.app()) as base, aiohttp.ClientSession() as client:
        yield Place(sim, base, client)


async def test_the_steps(place: Place) -> None:
    first = await place.walk({})
    assert isinstance(first, Step)
    assert (first.key, first.secret) == ("url", False)
    second = await place.walk({"url": place.base})
    assert isinstance(second, Step)
    assert (second.key, second.secret, second.prompt) == ("credential", True, "API_SECRET or an access token")
    assert not place.sim.penalties.failures


async def test_a_secret_becomes_a_token_with_the_least_rights(place: Place) -> None:
    grant = await place.walk({"url": f"{place.base}/api/v1/?token=x", "credential": SECRET})
    assert isinstance(grant, Grant)
    assert grant.settings == {"url": place.base}
    assert grant.hosts == (place.base.removeprefix("http://"),)
    assert list(grant.scopes) == list(ROLE)
    subject = next(iter(place.sim.authority.subjects.values()))
    assert (subject.name, subject.roles) == ("glucobridge", ["glucobridge"])
    assert subject.token.startswith("glucobridg-")
    role = next(iter(place.sim.authority.roles.values()))
    assert role["permissions"] == list(ROLE)
    assert place.held.tokens == [subject.token]
    assert not place.sim.penalties.failures
    assert not len(place.sim.collections["entries"])


async def test_the_secret_shows_as_its_hash_in_one_header_and_nowhere_else(place: Place) -> None:
    grant = await place.walk({"url": place.base, "credential": SECRET})
    assert SECRET not in repr(grant)
    shown = repr((place.open.asked, place.held.asked, place.held.sent_headers))
    assert SECRET not in shown
    assert _SHA1 not in shown, "after the token is made, the hash is not sent again"
    assert all(set(one) <= {"Accept", "Content-Type", "api-secret"} for one in place.open.sent_headers)
    assert SECRET not in repr(place.open.sent_headers)
    urls = repr([url for _, url in place.open.asked + place.held.asked])
    assert _SHA1 not in urls
    assert place.held.tokens[0] not in urls, "the token stands in no address that could be logged"


async def test_linking_again_makes_nothing_twice_and_sets_right_what_changed(place: Place) -> None:
    await place.walk({"url": place.base, "credential": SECRET})
    token = place.held.tokens[0]
    role = next(iter(place.sim.authority.roles.values()))
    role["permissions"] = ["*"]
    next(iter(place.sim.authority.subjects.values())).roles = ["admin"]
    await place.walk({"url": place.base, "credential": SECRET})
    assert place.held.tokens[0] == token
    assert len(place.sim.authority.subjects) == len(place.sim.authority.roles) == 1
    assert place.sim.authority.groups(place.sim.authority.by_token(token))[0] == list(ROLE)


async def test_installations_have_subjects_of_their_own(place: Place) -> None:
    await place.walk({"url": place.base, "credential": SECRET}, {"installation": "k3f9"})
    assert [one.name for one in place.sim.authority.subjects.values()] == ["glucobridge-k3f9"]


async def test_a_token_of_the_persons_own(place: Place) -> None:
    token = place.sim.add_subject("mine", ROLE)
    grant = await place.walk({"url": place.base, "credential": token})
    assert isinstance(grant, Grant)
    assert "'mine'" in grant.summary
    assert len(place.sim.authority.subjects) == 1


async def test_a_token_with_too_few_rights_is_refused_naming_them(place: Place) -> None:
    token = place.sim.add_subject("weak", ["api:entries,treatments,devicestatus:create,read"])
    with pytest.raises(Refused, match="api:profile:create"):
        await place.walk({"url": place.base, "credential": token})
    grant = await place.walk({"url": place.base, "credential": token}, {"streams": {"profile": False}})
    assert isinstance(grant, Grant)
    assert "api:treatments:update,delete" in grant.summary


@pytest.mark.parametrize("credential", ["short", "nobody-0123456789abcdef", "a-wrong-secret-of-some-length"])
async def test_a_wrong_credential_costs_at_most_one_failure(place: Place, credential: str) -> None:
    with pytest.raises(Refused) as caught:
        await place.walk({"url": place.base, "credential": credential})
    assert caught.value.next_step
    assert credential not in str(caught.value)
    assert place.sim.penalties.failures <= 1


@pytest.mark.parametrize(
    "url", ["", " ", "ftp://x.org", "https://", "https://u:p@x.org", "https://x.org:99999", "a b"]
)
async def test_what_is_no_address_is_refused(place: Place, url: str) -> None:
    outcome = LINKING.begin(place.open, {}, {"url": url})
    if not url:
        assert isinstance(await outcome, Step)
        return
    with pytest.raises(Refused):
        await outcome


@pytest.mark.parametrize("kind", ["page", "null", "cut", "status"])
async def test_what_is_no_nightscout_is_refused(place: Place, kind: Any) -> None:
    place.sim.faults.append(Fault(kind, "GET", "/version", status=404 if kind == "status" else 200, times=2))
    with pytest.raises(Refused) as caught:
        await place.walk({"url": place.base})
    assert caught.value.next_step


async def test_careportal_off_is_told_and_does_not_hinder(place: Place) -> None:
    place.sim.settings.careportal = False
    grant = await place.walk({"url": place.base, "credential": SECRET})
    assert isinstance(grant, Grant)
    assert "careportal" in grant.summary


async def test_check_and_revoke(place: Place) -> None:
    grant = await place.walk({"url": place.base, "credential": SECRET})
    assert (await LINKING.check(place.held, grant.settings)).state is State.OK
    said = await LINKING.revoke(place.held, grant.settings)
    assert "'glucobridge'" in said
    assert "API_SECRET" in said
    subject = next(iter(place.sim.authority.subjects))
    place.sim.authority.remove_subject(subject)
    assert (await LINKING.check(place.held, grant.settings)).state is State.LOGIN_REQUIRED
    assert "already" in await LINKING.revoke(place.held, grant.settings)
    assert not place.sim.penalties.failures
