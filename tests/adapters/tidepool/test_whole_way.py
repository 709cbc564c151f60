"""The whole way with the real vault: link, upload past the token's life, rotate, unlink."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from adapters.tidepool import TidepoolAdapter, TidepoolLinking
from bridge.contracts import Session, Setup, Step
from bridge.credentials import Linked, PendingAuthorisation, Sessions, Vault, VaultKey, Walk, http_client, unlink
from bridge.errors import Unauthorised
from bridge.simulators.tidepool import TidepoolSim
from tests.adapters.tidepool.support import CAREGIVER, OWNER, active, documents, duplicates, verdicts
from tests.support.clock import FakeClock


@pytest.fixture
async def sessions(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Sessions]:
    found = Sessions(Vault(tmp_path, VaultKey(b"k" * 32)), http_client(), clock, random=Random(1))
    yield found
    await found.close()


async def _link(sessions: Sessions, settings: dict[str, Any], answers: dict[str, str], http: Any) -> Linked:
    walk = Walk("tidepool", TidepoolLinking(), settings, sessions)
    while not isinstance(step := await walk.step(), Linked):
        if isinstance(step, PendingAuthorisation):
            async with http.get(step.url, allow_redirects=False) as answer:
                walk.answer("redirect", answer.headers["Location"])
        else:
            assert isinstance(step, Step)
            walk.answer(step.key, answers[step.key])
    return step


def _adapter(session: Session, settings: dict[str, Any], clock: FakeClock) -> TidepoolAdapter:
    return TidepoolAdapter(Setup("p1", settings, clock, Random(1), session, "Europe/Helsinki", "abc123"))


async def test_signed_in_on_tidepools_page(
    sim: TidepoolSim, base: str, sessions: Sessions, clock: FakeClock, http: aiohttp.ClientSession
) -> None:
    sim.consent_as(CAREGIVER)
    settings: dict[str, Any] = {"api_url": base}
    answers = {"way": "application", "client_id": "bridge", "person": OWNER}
    linked = await _link(sessions, settings, answers, http)
    settings |= linked.settings
    session = sessions.authorised("tidepool")
    assert (await TidepoolLinking().check(session, settings)).state == "ok"
    adapter = _adapter(session, settings, clock)
    for turn in range(1, 4):
        assert set(verdicts(await adapter.deliver(documents(20 * turn), []))) == {"accepted"}
        clock.advance(3600)
    assert (len(active(sim)), duplicates(sim)) == (60, [])
    assert "stays in Tidepool" in await unlink("tidepool", TidepoolLinking(), settings, sessions)
    with pytest.raises(Unauthorised):
        await adapter.deliver(documents(1), [])


async def test_a_grant_that_was_ended_asks_to_link_again(
    sim: TidepoolSim, base: str, sessions: Sessions, clock: FakeClock, http: aiohttp.ClientSession
) -> None:
    settings: dict[str, Any] = {"api_url": base, "client_id": "bridge"}
    linked = await _link(sessions, settings, {}, http)
    adapter = _adapter(sessions.authorised("tidepool"), {**settings, **linked.settings}, clock)
    await adapter.deliver(documents(2), [])
    sim.end_sessions(OWNER)
    with pytest.raises(Unauthorised) as caught:
        await adapter.deliver(documents(2), [])
    assert caught.value.state == "login_required"
    health = await adapter.prepare()
    assert (health.state, "again" in health.text) == ("login_required", True)


async def test_signed_in_with_the_older_login_until_it_runs_out(
    sim: TidepoolSim, base: str, sessions: Sessions, clock: FakeClock, http: aiohttp.ClientSession
) -> None:
    settings: dict[str, Any] = {"api_url": base}
    answers = {
        "way": "password", "understood": "yes", "email": f"{OWNER}@example.org", "password": f"pass-{OWNER}"
    }  # fmt: skip
    linked = await _link(sessions, settings, answers, http)
    adapter = _adapter(sessions.authorised("tidepool"), {**settings, **linked.settings}, clock)
    assert set(verdicts(await adapter.deliver(documents(2), []))) == {"accepted"}
    clock.advance(1000)
    with pytest.raises(Unauthorised) as caught:
        await adapter.deliver(documents(2), [])
    assert caught.value.state == "login_required"
