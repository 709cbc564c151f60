"""Transport `http` against the simulated server: whatever goes wrong, one upload, all parts, digests equal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime
from hashlib import sha256
from random import Random
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

from bridge.contracts import DeviceRef, Sent, Setup, Snapshot, TransportResult
from bridge.model.capture import Capture
from bridge.simulators.serving import serve
from bridge.simulators.upload_server import Fault, FaultKind, Step, UploadServer
from bridge.uploader import HttpSettings, HttpTransport, clu1
from tests.support.clock import FakeClock
from tests.support.session import PlainSession
from tests.uploader.facts import NOW, glucose, request


def noise(count: int) -> bytes:
    """Bytes that cannot be compressed, 32 for each count."""
    return b"".join(sha256(n.to_bytes(4, "big")).digest() for n in range(count))


BOTH = frozenset({"snapshot:write", "uploads:read"})
SNAPSHOT = Snapshot(
    [glucose(NOW - timedelta(minutes=5 * number), 90 + number % 60) for number in range(24)],
    [Capture("p1", "medtronic-600", "f", NOW - timedelta(hours=n), noise(70 + n)) for n in range(2)],
)
PART_BYTES = 2500
BREAKING = (500, 502, 503, 504, 408, 425, 429)


@dataclass
class Place:
    """A served server, and clients of it as processes come and go."""

    server: UploadServer
    base: str
    http: aiohttp.ClientSession
    clock: FakeClock
    session: PlainSession

    def client(self, **settings: Any) -> HttpTransport:
        own = {"upload_base_url": self.base, **settings}
        return HttpTransport(Setup("p1", own, self.clock, Random(1), self.session))

    async def upload(self, snapshot: Snapshot = SNAPSHOT) -> TransportResult:
        return await self.client().upload(request(), snapshot)

    def require_one_whole_upload(self, part_bytes: int = PART_BYTES) -> None:
        """Exactly one, complete, every part's bytes and the digest over them as they were sent."""
        (upload,) = self.server.store.uploads.values()
        limits = clu1.Limits(max_part_bytes=part_bytes)
        box = clu1.container("p1", request(), SNAPSHOT, limits)
        assert upload.state == "complete"
        assert upload.parts == {part.n: part.body for part in box.parts}
        lines = "".join(f"{n} {len(b)} {sha256(b).hexdigest()}\n" for n, b in sorted(upload.parts.items()))
        assert upload.manifest["sha256"] == sha256(lines.encode()).hexdigest() == box.sha256
        assert upload.key == box.key
        assert len(upload.lines()) == len(SNAPSHOT.records)


@asynccontextmanager
async def opened(**turned: Any) -> AsyncIterator[Place]:
    clock = FakeClock(NOW)
    server = UploadServer(clock.now, **{"max_part_bytes": PART_BYTES, "tokens": {"t1": BOTH, "t2": BOTH}, **turned})
    async with serve(server.app()) as base, aiohttp.ClientSession() as http:
        http._retry_connection = False  # the library would send some calls again by itself
        yield Place(server, base, http, clock, PlainSession(http, "Authorization", "t1", "t2"))


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with opened() as made:
        yield made


def parts_of(part_bytes: int = PART_BYTES) -> int:
    return len(clu1.container("p1", request(), SNAPSHOT, clu1.Limits(max_part_bytes=part_bytes)).parts)


async def test_a_plain_upload(place: Place) -> None:
    result = await place.upload()
    assert (result.state, result.remote_id) == (Sent.ACCEPTED, "u1")
    assert 6 <= parts_of() <= 12
    place.require_one_whole_upload()
    assert place.server.requests.count(Step.PART) == parts_of()
    assert place.session.renewed == 0


async def test_the_same_again_sends_nothing_and_is_already_present(place: Place) -> None:
    await place.upload()
    sent = place.server.requests.count(Step.PART)
    result = await place.upload()
    assert result.state is Sent.ALREADY_PRESENT
    assert place.server.requests.count(Step.PART) == sent
    place.require_one_whole_upload()


# --- cuts ------------------------------------------------------------------------------------------

FIRST_PART = clu1.container("p1", request(), SNAPSHOT, clu1.Limits(max_part_bytes=PART_BYTES)).parts[0]
POSITIONS = (0, 1, len(FIRST_PART.body) // 2, len(FIRST_PART.body) - 1, len(FIRST_PART.body))


@pytest.mark.parametrize("after", POSITIONS)
@pytest.mark.parametrize("nth", [0, 1, parts_of() - 1])
async def test_a_part_cut_on_its_way_there(place: Place, after: int, nth: int) -> None:
    place.server.faults.script(Step.PART, *[None] * nth, Fault(FaultKind.CUT_IN, after_bytes=after))
    assert (await place.upload()).state is Sent.ACCEPTED
    assert place.server.requests.count(Step.PART) == parts_of() + 1
    place.require_one_whole_upload()


WRITING = (Step.CAPABILITIES, Step.CREATE, Step.PART, Step.COMPLETE, Step.STATE)


@pytest.mark.parametrize("step", WRITING)
@pytest.mark.parametrize("after", [0, 1, 20])
async def test_any_call_cut_on_its_way_there(place: Place, step: Step, after: int) -> None:
    place.server.faults.script(step, Fault(FaultKind.CUT_IN, after_bytes=after))
    assert (await place.upload()).state is Sent.ACCEPTED
    place.require_one_whole_upload()


@pytest.mark.parametrize("step", WRITING)
@pytest.mark.parametrize("after", [0, 1, 20, 10_000])
async def test_any_answer_cut_on_its_way_back(place: Place, step: Step, after: int) -> None:
    """What was asked has been done; nothing is done twice."""
    place.server.faults.script(step, Fault(FaultKind.CUT_OUT, after_bytes=after))
    assert (await place.upload()).state is Sent.ACCEPTED
    place.require_one_whole_upload()


@pytest.mark.parametrize("step", WRITING)
async def test_any_answer_lost_and_lost_again(place: Place, step: Step) -> None:
    place.server.faults.script(step, *[Fault(FaultKind.LOST)] * 3)
    assert (await place.upload()).state is Sent.ACCEPTED
    place.require_one_whole_upload()


async def test_every_second_part_lost_is_not_sent_again_when_the_server_has_it(place: Place) -> None:
    lost = Fault(FaultKind.LOST)
    place.server.faults.script(Step.PART, *[each for _ in range(parts_of()) for each in (lost, None)])
    assert (await place.upload()).state is Sent.ACCEPTED
    assert place.server.store.outcomes["again"] == 0
    place.require_one_whole_upload()


# --- refusals and storms ---------------------------------------------------------------------------


async def test_duplicate_parts_are_one_part(place: Place) -> None:
    """A client that does not know what the server has sends all again; the server keeps one of each."""
    box = clu1.container("p1", request(), SNAPSHOT, clu1.Limits(max_part_bytes=PART_BYTES))
    client = place.client()
    for _ in range(2):
        status = await client._server.create(box)
        for part in box.parts:
            await client._server.put(status.id, part)
    assert place.server.store.outcomes == {"stored": parts_of(), "again": parts_of()}
    assert (await place.upload()).state is Sent.ACCEPTED
    place.require_one_whole_upload()


async def test_bytes_that_changed_on_the_way_are_sent_again(place: Place) -> None:
    place.server.faults.script(Step.PART, Fault(FaultKind.GARBLED), None, Fault(FaultKind.GARBLED))
    assert (await place.upload()).state is Sent.ACCEPTED
    place.require_one_whole_upload()


async def test_a_wrong_digest_of_the_whole_is_refused_and_nothing_is_complete(place: Place) -> None:
    place.server.faults.script(Step.COMPLETE, Fault(FaultKind.STATUS, 422, code="digest_mismatch"))
    result = await place.upload()
    assert result.state is Sent.REJECTED
    assert "digest_mismatch" in result.detail
    assert place.server.store.complete_ones() == []


async def test_a_key_that_was_used_for_something_else_is_refused(place: Place) -> None:
    place.server.faults.script(Step.CREATE, Fault(FaultKind.STATUS, 409, code="key_reused"))
    result = await place.upload()
    assert result.state is Sent.REJECTED
    assert "key_reused" in result.detail
    assert place.server.requests == [Step.CAPABILITIES, Step.CREATE]


async def test_completing_too_early_sends_what_is_missing(place: Place) -> None:
    """The server lost a part it had confirmed."""
    original = place.server.store.complete
    lost: list[int] = []

    def complete(upload: Any, digest: object, now: Any) -> int:
        if not lost:
            lost.append(1)
            del upload.parts[1]
        return original(upload, digest, now)

    place.server.store.complete = complete  # type: ignore[method-assign]
    assert (await place.upload()).state is Sent.ACCEPTED
    place.require_one_whole_upload()


async def test_parts_are_cut_smaller_where_something_on_the_way_takes_no_large_ones() -> None:
    raw = noise(6000)
    snapshot = Snapshot(SNAPSHOT.records, [Capture("p1", "r", "f", NOW, raw)])
    async with opened(max_part_bytes=4_194_304, gate_bytes=60_000) as place:
        result = await place.client().upload(request(), snapshot)
        assert result.state is Sent.ACCEPTED
        (upload,) = place.server.store.uploads.values()
        assert upload.state == "complete"
        assert b"".join(body for n, body in sorted(upload.parts.items()))[: len(raw)] == raw
        assert max(map(len, upload.parts.values())) <= 60_000


async def test_a_server_that_takes_no_part_at_all_is_refused_after_a_few_tries() -> None:
    async with opened(max_part_bytes=4_194_304) as place:
        place.server.faults.stand(Fault(FaultKind.STATUS, 413), Step.PART)
        result = await place.client().upload(request(), Snapshot([], [Capture("p1", "r", "f", NOW, noise(6000))]))
        assert result.state is Sent.REJECTED
        assert "usable size" in result.detail
        assert place.server.store.uploads == {}


async def test_retry_after_in_seconds_is_kept(place: Place) -> None:
    place.server.faults.script(Step.PART, Fault(FaultKind.STATUS, 429, retry_after="37"))
    assert (await place.upload()).state is Sent.ACCEPTED
    assert place.clock.slept[0] == 37
    place.require_one_whole_upload()


async def test_retry_after_as_a_date_is_kept_by_the_servers_clock(place: Place) -> None:
    """Our clock is an hour ahead of the server's."""
    until = format_datetime(place.clock.now() + timedelta(seconds=52), usegmt=True)
    server_now = place.clock.now
    ahead = FakeClock(NOW + timedelta(hours=1))
    place.server.faults.script(Step.CREATE, Fault(FaultKind.STATUS, 429, retry_after=until))
    client = HttpTransport(Setup("p1", {"upload_base_url": place.base}, ahead, Random(1), place.session))
    assert (await client.upload(request(), SNAPSHOT)).state is Sent.ACCEPTED
    assert server_now() == NOW
    assert 51 <= ahead.slept[0] <= 53
    place.require_one_whole_upload()


async def test_retry_after_in_the_answers_body_is_kept(place: Place) -> None:
    fault = {"error": {"code": "slow_down", "message": "", "retryable": True, "retry_after_s": 21}}
    asked = place.session.request
    first: list[int] = []

    async def once(method: str, url: str, **how: Any) -> Any:
        answer = await asked(method, url, **how)
        if method == "PUT" and not first:
            first.append(1)
            return type(answer)(429, {}, str(fault).replace("'", '"').replace("True", "true").encode(), url)
        return answer

    place.session.request = once  # type: ignore[method-assign]
    assert (await place.upload()).state is Sent.ACCEPTED
    assert place.clock.slept[0] == 21


async def test_a_server_that_asks_for_an_hour_is_left_alone_for_an_hour(place: Place) -> None:
    place.server.faults.script(Step.PART, Fault(FaultKind.STATUS, 503, retry_after="3600"))
    client = place.client()
    assert (await client.upload(request(), SNAPSHOT)).state is Sent.FAILED
    asked = len(place.server.requests)
    place.clock.advance(3000)
    assert (await client.upload(request(), SNAPSHOT)).state is Sent.FAILED
    assert len(place.server.requests) == asked
    place.clock.advance(601)
    assert (await client.upload(request(), SNAPSHOT)).state is Sent.ACCEPTED
    place.require_one_whole_upload()


@pytest.mark.parametrize("status", BREAKING)
async def test_a_storm_that_ends_is_outlasted(place: Place, status: int) -> None:
    for step in WRITING:
        place.server.faults.script(step, *[Fault(FaultKind.STATUS, status)] * 6)
    assert (await place.upload()).state is Sent.ACCEPTED
    place.require_one_whole_upload()


async def test_a_storm_that_lasts_ends_the_try_after_eight_and_the_next_one_goes_on(place: Place) -> None:
    place.server.faults.script(Step.PART, None, None)
    place.server.faults.stand(Fault(FaultKind.STATUS, 503), Step.PART)
    result = await place.upload()
    assert (result.state, result.remote_id) == (Sent.FAILED, "u1")
    assert place.server.faults.counts["part/status"] == 8
    growing = place.clock.slept
    assert len(growing) == 7
    assert all(0.5 * 2**n <= wait <= min(60, 2**n) for n, wait in enumerate(growing))
    place.server.faults.clear()
    before = place.server.requests.count(Step.PART)
    assert (await place.upload()).state is Sent.ACCEPTED
    assert place.server.requests.count(Step.PART) - before == parts_of() - 2
    place.require_one_whole_upload()


async def test_a_page_in_place_of_an_answer_is_an_outage(place: Place) -> None:
    for step in WRITING:
        place.server.faults.script(step, Fault(FaultKind.PAGE, 502), Fault(FaultKind.PAGE, 200))
    result = await place.upload()
    assert result.state is Sent.ACCEPTED
    place.server.store.complete_ones()


async def test_a_server_that_forgot_the_upload_gets_it_again(place: Place) -> None:
    place.server.faults.script(Step.PART, None, None, Fault(FaultKind.FORGOTTEN))
    assert (await place.upload()).state is Sent.ACCEPTED
    place.require_one_whole_upload()


# --- sign-in ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "nth"), [*((step, 0) for step in WRITING), *((Step.PART, n) for n in range(1, 5))])
async def test_a_token_that_runs_out_is_renewed_once_and_the_upload_goes_on(
    place: Place, step: Step, nth: int
) -> None:
    place.server.faults.script(step, *[None] * nth, Fault(FaultKind.EXPIRED))
    assert (await place.upload()).state is Sent.ACCEPTED
    assert place.session.renewed == 1
    place.require_one_whole_upload()


async def test_a_dead_sign_in_needs_a_person_and_the_next_one_goes_on(place: Place) -> None:
    place.server.faults.script(Step.PART, None, Fault(FaultKind.EXPIRED), Fault(FaultKind.EXPIRED))
    result = await place.upload()
    assert result.state is Sent.NEEDS_USER
    assert "Link" in result.detail
    place.server.tokens = {"t2": BOTH}
    assert (await place.upload()).state is Sent.ACCEPTED
    place.require_one_whole_upload()


async def test_a_missing_right_needs_a_person() -> None:
    async with opened(tokens={"t1": frozenset({"uploads:read"})}) as place:
        result = await place.upload()
        assert result.state is Sent.NEEDS_USER
        assert "snapshot:write" in result.detail


# --- process death ---------------------------------------------------------------------------------


class Died(Exception):
    """The process ends here."""


CALLS = parts_of() + 4
"""capabilities, create, the parts, complete, state."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("nth", range(CALLS))
async def test_the_process_dies_at_any_call_and_a_new_one_goes_on(place: Place, nth: int, *, after: bool) -> None:
    """Before the call leaves, or when it is carried out and nobody noted it: the new client is told nothing."""
    asked, count = place.session.request, 0

    async def dying(method: str, url: str, **how: Any) -> Any:
        nonlocal count
        count += 1
        if count == nth + 1 and not after:
            raise Died
        answer = await asked(method, url, **how)
        if count == nth + 1:
            raise Died
        return answer

    place.session.request = dying  # type: ignore[method-assign]
    with pytest.raises(Died):
        await place.upload()
    place.session.request = asked  # type: ignore[method-assign]
    result = await place.upload()
    assert result.state in {Sent.ACCEPTED, Sent.ALREADY_PRESENT}
    assert place.server.store.outcomes["stored"] == parts_of()
    assert place.server.store.outcomes["again"] == 0
    place.require_one_whole_upload()


async def test_cancelling_leaves_it_resumable(place: Place) -> None:
    client, asked = place.client(), place.session.request
    reached = asyncio.Event()

    async def hanging(method: str, url: str, **how: Any) -> Any:
        if method == "PUT" and url.endswith("/3"):
            reached.set()
            await asyncio.Event().wait()
        return await asked(method, url, **how)

    place.session.request = hanging  # type: ignore[method-assign]
    work = asyncio.ensure_future(client.upload(request(), SNAPSHOT))
    await reached.wait()
    await client.cancel()
    result = await work
    assert (result.state, result.remote_id) == (Sent.FAILED, "u1")
    place.session.request = asked  # type: ignore[method-assign]
    assert (await client.upload(request(), SNAPSHOT)).state is Sent.ACCEPTED
    assert place.server.store.outcomes == {"stored": parts_of()}
    place.require_one_whole_upload()


async def test_a_caller_that_is_cancelled_is_cancelled(place: Place) -> None:
    asked = place.session.request
    reached = asyncio.Event()

    async def hanging(method: str, url: str, **how: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()
        return await asked(method, url, **how)

    place.session.request = hanging  # type: ignore[method-assign]
    work = asyncio.ensure_future(place.upload())
    await reached.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


async def test_cancelling_when_nothing_runs_does_nothing(place: Place) -> None:
    await place.client().cancel()


# --- the server's own check, and settings ----------------------------------------------------------


async def test_a_server_that_is_slow_to_check_has_accepted() -> None:
    async with opened(looks=1000) as place:
        result = await place.upload()
        assert result.state is Sent.ACCEPTED
        assert "still checking" in result.detail
        assert sum(place.clock.slept) == 60


async def test_what_the_server_refuses_after_checking_is_refused(place: Place, monkeypatch: Any) -> None:
    monkeypatch.setattr("bridge.simulators.upload_server.store.name_of", lambda line: "other")
    result = await place.upload()
    assert result.state is Sent.REJECTED
    assert "other_counts" in result.detail


async def test_another_kind_of_server_is_named(place: Place) -> None:
    result = await place.client(upload_base_url=f"{place.base}/elsewhere").upload(request(), SNAPSHOT)
    assert result.state is Sent.REJECTED
    assert place.server.store.uploads == {}


async def test_nothing_to_send_is_said_and_nothing_is_announced(place: Place) -> None:
    result = await place.client().upload(request(), Snapshot([]))
    assert result.state is Sent.REJECTED
    assert place.server.store.uploads == {}


async def test_a_device_without_a_serial_is_not_uploaded(place: Place) -> None:
    assert await place.client().preflight(request()) == ""
    assert "serial" in await place.client().preflight(request(device=DeviceRef("pump")))


@pytest.mark.parametrize(
    "turn",
    [
        lambda faults: None,
        lambda faults: faults.stand(Fault(FaultKind.STATUS, 503), Step.PART),
        lambda faults: faults.stand(Fault(FaultKind.STATUS, 401), Step.PART),
        lambda faults: faults.stand(Fault(FaultKind.STATUS, 403), Step.CREATE),
        lambda faults: faults.stand(Fault(FaultKind.STATUS, 422), Step.COMPLETE),
        lambda faults: faults.stand(Fault(FaultKind.LOST), Step.CREATE),
    ],
)
async def test_no_text_calls_another_server_carelink(place: Place, turn: Callable[[Any], None]) -> None:
    turn(place.server.faults)
    client = place.client()
    texts = [(await client.upload(request(), SNAPSHOT)).detail, (await client.upload(request(), SNAPSHOT)).detail]
    assert not any("carelink" in text.lower() or "medtronic" in text.lower() for text in texts)
    assert all(texts)
    assert client.capabilities.targets_medtronic is False


@pytest.mark.parametrize(
    "settings",
    [
        {"upload_base_url": "http://uploads.example.org"},
        {"upload_base_url": "ftp://uploads.example.org"},
        {"upload_base_url": "https://user:secret@uploads.example.org"},
        {"upload_base_url": "https://uploads.example.org/?token=1"},
        {"upload_base_url": "https://uploads.example.org", "targets_medtronic": True},
        {"upload_base_url": "https://carelink.minimed.eu.example.org", "targets_medtronic": True},
        {"upload_base_url": "https://notminimed.com", "targets_medtronic": True},
        {"upload_base_url": "http://127.0.0.1:1", "targets_medtronic": True},
        {"upload_base_url": "https://carelink.minimed.eu"},
        {"upload_base_url": "https://uploads.example.org", "unknown": 1},
        {},
    ],
)
def test_settings_that_would_mislead_or_leak_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HttpSettings.model_validate(settings)


def test_the_flag_is_off_unless_said_and_shown() -> None:
    plain = HttpSettings(upload_base_url="https://uploads.example.org/base/")
    assert (plain.targets_medtronic, plain.where) == (False, "The server uploads.example.org")
    assert plain.upload_base_url == "https://uploads.example.org/base"
    own = HttpSettings(upload_base_url="https://api.minimed.eu/given", targets_medtronic=True)
    assert own.where == "CareLink"
