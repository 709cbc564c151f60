"""Each thing the cloud can be made to do wrong, as a client sees it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from bridge.simulators.carelink_cloud import CARER, Call, Fault, FaultKind
from tests.simulators.carelink.cloud import Client, client_of, cloud


async def _seen(client: Client) -> tuple[int, bytes]:
    async with client.message() as answer:
        return answer.status, await answer.read()


@pytest.mark.parametrize(
    ("fault", "status", "start"),
    [
        (Fault(FaultKind.STATUS, 503), 503, b""), (Fault(FaultKind.STATUS, 401), 401, b""),
        (Fault(FaultKind.HTML, 200), 200, b"<html>"), (Fault(FaultKind.HTML, 403), 403, b"<html>"),
        (Fault(FaultKind.EMPTY), 200, b""), (Fault(FaultKind.ARRAY), 200, b'{"metadata": {}, "patientData": []}'),
        (Fault(FaultKind.ERROR_JSON), 200, b'{"error": {"type": "NoPermission"'),
    ],
)  # fmt: skip
async def test_made_up_answers(fault: Fault, status: int, start: bytes) -> None:
    sim, _ = cloud()
    async with client_of(sim) as client:
        sim.faults.script(Call.DATA, fault)
        seen = await _seen(client)
        assert seen[0] == status
        assert seen[1].startswith(start)
        assert bool(seen[1]) is bool(start)
        assert not sim.served.answers
        assert (await _seen(client))[0] == 200
    assert sim.faults.counts == {f"data/{fault.kind}": 1}
    assert sim.served.answers["patient1"] == 1


async def test_patience_is_asked_for_in_seconds_or_by_date() -> None:
    sim, _ = cloud()
    async with client_of(sim) as client:
        for text in ("90", "Tue, 10 Mar 2026 18:05:00 GMT"):
            sim.faults.script(Call.DATA, Fault(FaultKind.STATUS, 429, retry_after=text))
            async with client.message() as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (429, text)


@pytest.mark.parametrize("kind", [FaultKind.TRUNCATED, FaultKind.GARBLED])
async def test_spoilt_answers_cannot_be_read_and_are_not_booked(kind: FaultKind) -> None:
    sim, _ = cloud()
    async with client_of(sim) as client:
        whole = (await _seen(client))[1]
        sim.faults.script(Call.DATA, Fault(kind))
        status, body = await _seen(client)
    assert status == 200
    assert len(body) == (len(whole) // 2 if kind is FaultKind.TRUNCATED else len(whole))
    with pytest.raises(ValueError):
        json.loads(body)
    assert sim.served.answers["patient1"] == 1


async def test_a_slow_answer_is_a_good_one() -> None:
    sim, _ = cloud()
    async with client_of(sim) as client:
        sim.faults.script(Call.DATA, Fault(FaultKind.SLOW, seconds=0.04))
        begin = asyncio.get_running_loop().time()
        assert (await _seen(client))[0] == 200
        assert asyncio.get_running_loop().time() - begin >= 0.035
    assert sim.served.answers["patient1"] == 1


async def test_a_lost_answer_breaks_the_connection() -> None:
    sim, _ = cloud()
    async with client_of(sim) as client:
        sim.faults.script(Call.DATA, Fault(FaultKind.LOST))
        with pytest.raises(aiohttp.ClientError):
            await _seen(client)
    assert not sim.served.answers


async def test_a_lost_token_answer_leaves_the_token_spent() -> None:
    sim, clock = cloud()
    async with client_of(sim) as client:
        token = client.sign_in(CARER)["refresh_token"]
        sim.faults.script(Call.TOKEN, Fault(FaultKind.LOST))
        with pytest.raises(aiohttp.ClientError):
            await _refresh(client, token)
        assert sim.tokens.refreshes == 1
        sim.tokens.reuse_leeway_s = 10
        clock.advance(3)
        assert await _refresh(client, token) == 200


async def _refresh(client: Client, token: str) -> int:
    async with client.refresh(token) as answer:
        return answer.status


async def test_a_storm_lasts_until_its_end_and_hits_only_its_call() -> None:
    sim, clock = cloud()
    async with client_of(sim) as client:
        sim.faults.stand(Call.DATA, Fault(FaultKind.STATUS, 504), clock.now() + timedelta(minutes=10))
        sim.faults.script(Call.DATA, None, Fault(FaultKind.STATUS, 500))
        assert [(await _seen(client))[0] for _ in range(4)] == [200, 500, 504, 504]
        assert await _refresh(client, client.sign_in(CARER)["refresh_token"]) == 200
        clock.advance(601)
        assert (await _seen(client))[0] == 200


async def test_a_standing_fault_ends_when_cleared() -> None:
    sim, _ = cloud()
    async with client_of(sim) as client:
        sim.faults.stand(Call.DATA, Fault(FaultKind.STATUS, 500))
        sim.faults.script(Call.DATA, None)
        sim.faults.clear()
        assert (await _seen(client))[0] == 200


async def test_an_outage_takes_everything_down() -> None:
    sim, clock = cloud()
    sim.faults.outages.append((clock.now() + timedelta(minutes=1), clock.now() + timedelta(minutes=2)))
    paths = ("/connect/carepartner/v13/discover/android/3.8", "/api/carepartner/v2/users/me", "/authorize")
    statuses: list[Any] = []
    async with client_of(sim) as client:
        for _ in range(3):
            statuses.append([(await _seen(client))[0], *[await _status(client, path) for path in paths]])
            clock.advance(60)
    assert statuses == [[200, 200, 200, 403], [503] * 4, [200, 200, 200, 403]]


async def _status(client: Client, path: str) -> int:
    async with client.get(path) as answer:
        return answer.status
