from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from bridge.contracts import Answer, Batch, Decoded, Memory, Setup
from bridge.errors import ContractViolation, Malformed, Moved, Throttled, Transient, Unauthorised
from bridge.model.capture import Capture
from bridge.model.health import State
from bridge.readers.carelink_cloud import CareLinkCloudReader
from tests.readers.carelink_cloud.io.fakes import (
    DISCOVER,
    GUARDIAN,
    GUARDIAN_CARER,
    LINKS,
    ME,
    MESSAGE,
    MONITOR,
    SSO,
    START,
    TOKEN,
    Bench,
    Scripted,
    bodies,
    upload,
    use_stub_decoder,
)
from tests.support import vectors
from tests.support.clock import FakeClock

FLAT = {"currentServerTime": 1773122400000, "lastMedicalDeviceDataUpdateServerTime": 1773122300000, "sgs": []}
OUTAGES = (Scripted(500), Scripted(502), Scripted(503), Scripted(504), Scripted(408), Scripted(302))


def good(bench: Bench) -> Scripted:
    return Scripted(body=upload(bench.clock.now()))


# --- a good pass -------------------------------------------------------------------------------------


async def test_a_pass_is_one_batch_with_all_that_was_learnt(bench: Bench) -> None:
    batch = await bench.read()
    assert (batch.profile, batch.reader, batch.health.state) == ("p1", "carelink-cloud", State.OK)
    assert batch.decoded is not None
    assert set(batch.decoded.state) == {"stub", "io"}
    assert batch.capture is not None
    assert (batch.capture.feed, batch.capture.taken_at) == ("carelink:eu:patient1", START)
    assert json.loads(batch.capture.body)["patientData"]["sgs"] == []
    assert batch.covered is not None
    assert batch.covered.end == START
    assert 330 <= bench.due_in_s(batch) <= 340


async def test_what_is_sent(bench: Bench) -> None:
    await bench.read()
    asked = bench.fake.last(MESSAGE)
    assert asked.json == {"username": "carer", "role": "carepartner", "patientId": "patient1", "appVersion": "3.8.0"}
    assert asked.headers["Authorization"] == "Bearer token-1"
    assert asked.headers["Accept"] == "application/json"
    assert "Chrome" in asked.headers["User-Agent"]
    assert bench.fake.paths() == [f"{DISCOVER}/3.8", MESSAGE]


async def test_the_capture_holds_no_person(bench: Bench) -> None:
    document = upload(START)
    document["patientData"]["firstName"] = "Secret Name"
    bench.fake.on(MESSAGE, Scripted(body=document))
    batch = await bench.read()
    assert batch.capture is not None
    assert b"Secret Name" not in batch.capture.body


async def test_later_passes_ask_only_for_the_data(bench: Bench) -> None:
    for _ in range(3):
        await bench.read(330)
    assert bench.fake.paths() == [f"{DISCOVER}/3.8", MESSAGE, MESSAGE, MESSAGE]


async def test_a_restart_asks_only_for_the_data(bench: Bench) -> None:
    await bench.read()
    bench.restart()
    await bench.read(330)
    assert bench.fake.paths() == [f"{DISCOVER}/3.8", MESSAGE, MESSAGE]


async def test_never_two_data_calls_within_twenty_seconds(bench: Bench) -> None:
    await bench.read()
    await bench.read(3)
    assert bench.clock.slept == [17.0]
    await bench.read(25)
    assert bench.clock.slept == [17.0]


async def test_a_silent_phone_slows_the_asking(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(body=upload(START, START - timedelta(hours=2))))
    waits = []
    for _ in range(8):
        batch = await bench.read(400)
        waits.append(bench.due_in_s(batch))
    assert waits == [60, 60, 60, 60, 60, 120, 240, 300]


async def test_a_body_that_is_not_understood_is_kept(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(body=b'{"patientData": {"sgs": ['))
    batch = await bench.read()
    assert batch.health.state is State.MALFORMED
    assert batch.decoded is None
    assert batch.capture is not None
    assert batch.capture.body == b'{"patientData": {"sgs": ['
    assert bench.due_in_s(batch) == 60


async def test_every_request_has_a_deadline_and_a_limit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, limits = bench.session.request, []

    async def request(method: str, url: str, **more: Any) -> Answer:
        if not url.endswith(TOKEN):
            limits.append((more["timeout_s"], more["limit_bytes"]))
        return await ask(method, url, **more)

    monkeypatch.setattr(bench.session, "request", request)
    bench.session.outcomes = [Moved("Who?"), None]
    for answer in (Scripted(401), Scripted(400), Scripted(204)):
        bench.fake.on(MESSAGE, answer)
        await bench.read(900)
    assert len(limits) > 8
    assert set(limits) == {(30.0, 8 * 1024 * 1024)}


async def test_a_reader_without_a_session_only_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    use_stub_decoder(monkeypatch)
    reader = CareLinkCloudReader(Setup("default", {}, FakeClock(), Random(1)))
    body = json.dumps(upload(START)).encode()
    capture = Capture("default", "carelink-cloud", "carelink", START, body)
    assert reader.decode(capture, Memory()).state == {"stub": 1}
    assert reader.decode(capture, Memory(state={"io": {"route": "guardian"}})).state["io"] == {"route": "guardian"}
    with pytest.raises(ContractViolation):
        _ = [batch async for batch in reader.read(Memory(), None)]


# --- every row of the status vector ------------------------------------------------------------------


ROWS = vectors.rows("carelink-cloud", "http-cases.jsonl")
DATA_ROWS = [row for row in ROWS if row["call"] == "display/message"]
TOKEN_ROWS = [row for row in ROWS if row["call"] == "oauth/token refresh"]
OTHER_ROWS = [row for row in ROWS if row not in DATA_ROWS and row not in TOKEN_ROWS]
EXPECTED = {
    "ok": State.OK,
    "no_data": State.NO_DATA,
    "no_data_or_wrong_endpoint": State.NO_DATA,
    "app_version_too_old": State.APP_VERSION_TOO_OLD,
    "bad_identity": State.REFUSED,
    "refresh_once_then_retry_once": State.LOGIN_REQUIRED,
    "refresh_once_then_retry_once; second 403 = permission_denied, quiet 10 min": State.PERMISSION_DENIED,
    "wait 90 s": State.RATE_LIMITED,
    "backoff": State.UNREACHABLE,
    "login_required": State.LOGIN_REQUIRED,
    "rediscover_client_then_login_required": State.LOGIN_REQUIRED,
    "backoff_keep_token": State.UNREACHABLE,
    "persist r2 atomically before next call": State.OK,
}


def scripted(row: Mapping[str, Any]) -> Scripted:
    body = row.get("body", "").replace("{...}", json.dumps(upload(START)["patientData"]))
    return Scripted(row["status"], body.encode(), row.get("headers", {}))


def expected(row: Mapping[str, Any]) -> State:
    text = row["expect"]
    return EXPECTED.get(text) or EXPECTED[text.split(":")[0]]


@pytest.mark.parametrize("row", DATA_ROWS, ids=lambda row: f"{row['status']}-{row['expect'][:20]}")
async def test_a_data_row(bench: Bench, row: dict[str, Any]) -> None:
    bench.fake.on(MESSAGE, scripted(row))
    bench.fake.on(TOKEN, Scripted(body={"access_token": "a"}))
    batch = await bench.read()
    assert batch.health.state is expected(row)
    due_s, text = bench.due_in_s(batch), row["expect"]
    if text.startswith("refresh_once_then_retry_once"):
        assert len(bench.session.renewals) == 1
        assert len(bench.fake.paths(MESSAGE)) == 2
        assert bench.fake.last(MESSAGE).headers["Authorization"] == "Bearer fresh-1"
    if "10 min" in text:
        assert due_s == 600
    if "do not retry fast" in text:
        assert due_s == 900
        assert bench.fake.paths(ME, LINKS) == [ME, LINKS]
    if text == "wait 90 s":
        assert due_s == 90
    if text == "backoff":
        assert 20 <= due_s <= 300
    if text == "no_data_or_wrong_endpoint":
        assert bench.fake.paths(GUARDIAN_CARER) == [GUARDIAN_CARER]
    if batch.health.state is not State.OK:
        assert batch.decoded is None
        assert batch.capture is None


@pytest.mark.parametrize("row", TOKEN_ROWS, ids=lambda row: f"{row['status']}-{row['expect'][:20]}")
async def test_a_token_row(bench: Bench, row: dict[str, Any]) -> None:
    bench.fake.on(MESSAGE, Scripted(401), good(bench))
    bench.fake.on(TOKEN, scripted(row))
    batch = await bench.read()
    wanted = State.RATE_LIMITED if row["status"] == 429 else expected(row)
    assert batch.health.state is wanted
    moved = "rediscover" in row["expect"]
    assert bench.fake.paths(SSO) == ([SSO] if moved else [])
    assert len(bench.session.renewals) == (2 if moved else 1)
    if "keep" in row["expect"]:
        assert bench.session.tokens == ["token-1"]
        assert 20 <= bench.due_in_s(batch) <= 300
    if wanted is State.LOGIN_REQUIRED:
        assert bench.due_in_s(batch) == 900


@pytest.mark.parametrize("row", OTHER_ROWS, ids=lambda row: row["call"])
async def test_another_row(bench: Bench, row: dict[str, Any]) -> None:
    if row["call"] == "discover":
        for version in ("3.8", "3.7", "3.6"):
            bench.fake.on(f"{DISCOVER}/{version}", scripted(row))
        batch = await bench.read()
        assert batch.health.state is State.DISCOVERY_UNSUPPORTED
        assert all(version in batch.health.text for version in ("3.8", "3.7", "3.6"))
        return
    assert row["call"] == "users/me (web)"
    bench.fake.on(MESSAGE, Scripted(400))
    bench.fake.on(ME, scripted(row))
    assert (await bench.read()).health.state is State.PERMISSION_DENIED
    bench.fake.on(MESSAGE, scripted(row))
    assert (await bench.read(900)).health.state is State.PERMISSION_DENIED


# --- tokens ------------------------------------------------------------------------------------------


async def test_a_refused_token_is_renewed_once_and_the_data_asked_again(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(401), good(bench))
    bench.session.outcomes = [None]
    batch = await bench.read()
    assert batch.health.state is State.OK
    assert len(bench.session.renewals) == 1


@pytest.mark.parametrize(("pause_s", "state"), [(3000, State.ACCOUNT_SHARED), (3700, State.OK)])
@pytest.mark.parametrize("restart", [False, True])
async def test_a_fresh_token_refused_within_the_hour_means_a_shared_account(
    bench: Bench, pause_s: float, state: State, restart: bool
) -> None:
    bench.fake.on(MESSAGE, Scripted(401), good(bench), Scripted(401), good(bench))
    bench.session.outcomes = [None, None]
    assert (await bench.read()).health.state is State.OK
    if restart:
        bench.restart()
    batch = await bench.read(pause_s)
    assert batch.health.state is state
    assert batch.decoded is not None, "the data flow on"
    assert batch.decoded.health == batch.health


async def test_a_shared_account_is_told_until_an_hour_was_quiet(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(401), good(bench), Scripted(401), good(bench))
    bench.session.outcomes = [None, None]
    await bench.read()
    await bench.read(300)
    assert (await bench.read(300)).health.state is State.ACCOUNT_SHARED
    assert (await bench.read(3400)).health.state is State.OK


async def test_a_shared_account_whose_sign_in_ended_has_that_name(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(401), good(bench), Scripted(401))
    bench.session.outcomes = [None, Unauthorised("Ended.")]
    await bench.read()
    batch = await bench.read(600)
    assert batch.health.state is State.ACCOUNT_SHARED
    assert "link again" in batch.health.text


async def test_a_token_that_never_works_is_not_rotated_in_a_loop(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(401))
    bench.session.outcomes = [None] * 9
    states = [(await bench.read(900)).health.state for _ in range(4)]
    assert states == [State.LOGIN_REQUIRED] * 4
    assert len(bench.session.renewals) == 1
    await bench.read(900)
    assert len(bench.session.renewals) == 2, "once an hour"


async def test_after_linking_again_the_data_come(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(401))
    bench.session.outcomes = [None]
    await bench.read()
    bench.fake.on(MESSAGE, good(bench))
    assert (await bench.read(900)).health.state is State.OK


async def test_an_outage_of_the_sign_in_does_not_count_as_a_renewal(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(401), Scripted(401), good(bench))
    bench.session.outcomes = [Transient("Away."), None]
    assert (await bench.read()).health.state is State.UNREACHABLE
    assert (await bench.read(60)).health.state is State.OK
    assert len(bench.session.renewals) == 2


async def test_a_sign_in_that_moved_is_found_and_used(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(401), good(bench))
    bench.fake.on(SSO, Scripted(body=bench.fake.sso(client_id="client-2")))
    bench.session.outcomes = [Moved("Who?"), None]
    assert (await bench.read()).health.state is State.OK
    assert bench.session.renewals == [(None, None), ("client-2", bench.fake.base + TOKEN)]
    assert bench.fake.paths(f"{DISCOVER}/3.8") == [f"{DISCOVER}/3.8"] * 2


async def test_a_sign_in_that_moved_twice_needs_a_person(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(401))
    bench.session.outcomes = [Moved("Who?"), Moved("Who?")]
    assert (await bench.read()).health.state is State.LOGIN_REQUIRED
    assert len(bench.session.renewals) == 2


async def test_a_session_that_learns_of_the_move_by_itself(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, moved = bench.session.request, [True]

    async def request(method: str, url: str, **more: Any) -> Answer:
        if url.endswith("/display/message") and moved:
            moved.clear()
            raise Moved("Who?")
        return await ask(method, url, **more)

    monkeypatch.setattr(bench.session, "request", request)
    bench.session.outcomes = [None]
    assert (await bench.read()).health.state is State.OK
    assert bench.session.renewals == [("client-1", bench.fake.base + TOKEN)]


@pytest.mark.parametrize(
    ("error", "state", "due_s"),
    [
        (Unauthorised("No credential."), State.LOGIN_REQUIRED, 900),
        (Unauthorised("Never linked.", state="not_linked"), State.NOT_LINKED, 900),
        (Throttled("Wait.", retry_after_s=77), State.RATE_LIMITED, 77),
        (Transient("Cut off."), State.UNREACHABLE, 20),
    ],
)
async def test_what_the_session_raises_ends_as_a_state(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception, state: State, due_s: float
) -> None:
    async def request(*_: Any, **__: Any) -> Answer:
        raise error

    monkeypatch.setattr(bench.session, "request", request)
    batch = await bench.read()
    assert (batch.health.state, batch.capture, batch.decoded) == (state, None, None)
    assert bench.due_in_s(batch) == due_s


async def test_a_forbidden_person_is_asked_for_every_ten_minutes_without_new_tokens(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(403))
    bench.session.outcomes = [None] * 9
    for _ in range(3):
        batch = await bench.read(600)
        assert (batch.health.state, bench.due_in_s(batch)) == (State.PERMISSION_DENIED, 600)
    assert len(bench.session.renewals) == 1


# --- versions, identity, addresses -------------------------------------------------------------------


async def test_a_version_too_old_is_followed_by_another_once(bench: Bench) -> None:
    bench.restart(message_app_version="3.6.9")
    bench.fake.on(MESSAGE, Scripted(206, b"Upgrade application"), good(bench))
    batch = await bench.read()
    assert batch.health.state is State.OK
    assert batch.decoded is not None
    assert [note.code for note in batch.decoded.diagnostics] == ["app_version_too_old"]
    await bench.read(330)
    assert [body["appVersion"] for body in bodies(bench.fake.asked, MESSAGE)] == ["3.6.9", "3.8.0", "3.8.0"]


async def test_when_no_version_is_new_enough_the_operator_is_told(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(206, b"Upgrade application"))
    for _ in range(2):
        batch = await bench.read(900)
        assert (batch.health.state, bench.due_in_s(batch)) == (State.APP_VERSION_TOO_OLD, 900)
        assert "message_app_version" in batch.health.text
    assert [body["appVersion"] for body in bodies(bench.fake.asked, MESSAGE)] == ["3.8.0", "3.7.0"] * 2


async def test_a_refused_identity_is_looked_up_once_then_asked_every_quarter_hour(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(400))
    for _ in range(4):
        batch = await bench.read(900)
        assert (batch.health.state, bench.due_in_s(batch)) == (State.REFUSED, 900)
    assert len(bench.fake.paths(MESSAGE)) == 4
    assert bench.fake.paths(ME, LINKS) == [ME, LINKS]
    bench.fake.on(MESSAGE, good(bench))
    assert (await bench.read(900)).health.state is State.OK


async def test_a_renamed_account_goes_on_with_the_same_person(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(400), good(bench))
    bench.fake.on(ME, Scripted(body={"username": "new-carer", "role": "CARE_PARTNER"}))
    bench.fake.on(LINKS, Scripted(body=[{"username": "other"}, {"username": "Patient1"}]))
    batch = await bench.read()
    assert batch.health.state is State.OK
    assert batch.capture is not None
    assert batch.capture.feed == "carelink:eu:patient1"
    sent = bodies(bench.fake.asked, MESSAGE)[-1]
    assert (sent["username"], sent["patientId"]) == ("new-carer", "Patient1")


@pytest.mark.parametrize(
    ("me", "links", "state"),
    [
        ({"username": "carer", "role": "CARE_PARTNER"}, [{"username": "somebody-else"}], State.CHOOSE_PATIENT),
        ({"username": "carer", "role": "CARE_PARTNER"}, [], State.CHOOSE_PATIENT),
        ({"username": "patient1", "role": "PATIENT"}, [], State.REFUSED),
        ({"username": "carer", "role": "PATIENT"}, [], State.REFUSED),
        ({"username": "carer", "role": "CARE_PARTNER", "needToReconsent": True}, [], State.PERMISSION_DENIED),
    ],
)
async def test_nobody_elses_data_are_read_in_the_persons_place(
    bench: Bench, me: dict[str, Any], links: list[Any], state: State
) -> None:
    bench.fake.on(MESSAGE, Scripted(400), good(bench))
    bench.fake.on(ME, Scripted(body=me))
    bench.fake.on(LINKS, Scripted(body=links))
    batch = await bench.read()
    assert (batch.health.state, batch.decoded) == (state, None)
    assert len(bench.fake.paths(MESSAGE)) == 1


async def test_another_patients_account_is_refused(bench: Bench) -> None:
    bench.restart(username="me", role="patient", patient=None)
    bench.fake.on(MESSAGE, Scripted(400), good(bench))
    bench.fake.on(ME, Scripted(body={"username": "ME2", "role": "PATIENT"}))
    assert (await bench.read()).health.state is State.REFUSED
    bench.restart(username="me", role="patient", patient=None)
    bench.fake.on(MESSAGE, Scripted(400), good(bench))
    bench.fake.on(ME, Scripted(body={"username": "ME", "role": "PATIENT"}))
    assert (await bench.read()).health.state is State.OK


async def test_a_data_address_that_moved_is_found_in_the_same_pass(bench: Bench) -> None:
    await bench.read()
    bench.fake.on(MESSAGE, Scripted(404))
    elsewhere = bench.fake.discovery(baseUrlCumulus=f"{bench.fake.base}/new/connect/carepartner/v13")
    bench.fake.on(f"{DISCOVER}/3.8", Scripted(body=elsewhere))
    bench.fake.on(f"/new{MESSAGE}", Scripted(body=upload(START)))
    assert (await bench.read(330)).health.state is State.OK


async def test_a_data_address_that_is_gone_has_a_name_and_backs_off(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(404))
    for _ in range(3):
        batch = await bench.read(300)
        assert batch.health.state is State.DISCOVERY_UNSUPPORTED
        assert 20 <= bench.due_in_s(batch) <= 300
    assert len(bench.fake.paths(MESSAGE)) == 3
    for version in ("3.8", "3.7", "3.6"):
        bench.fake.on(f"{DISCOVER}/{version}", Scripted(body={}))
    batch = await bench.read(300)
    assert all(version in batch.health.text for version in ("3.8", "3.7", "3.6"))
    assert (batch.health.state, bench.due_in_s(batch)) == (State.DISCOVERY_UNSUPPORTED, 900)


async def test_cut_connections_make_the_discovery_be_asked_at_the_third_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.read()
    ask = bench.session.request

    async def request(method: str, url: str, **more: Any) -> Answer:
        if url == bench.fake.base + MESSAGE:
            raise Transient("Cut.")
        return await ask(method, url, **more)

    monkeypatch.setattr(bench.session, "request", request)
    asked = []
    for _ in range(6):
        assert (await bench.read(330)).health.state is State.UNREACHABLE
        asked.append(len(bench.fake.paths(f"{DISCOVER}/3.8")))
    assert asked == [1, 1, 2, 2, 2, 3]
    elsewhere = bench.fake.discovery(baseUrlCumulus=f"{bench.fake.base}/new/connect/carepartner/v13")
    bench.fake.on(f"{DISCOVER}/3.8", Scripted(body=elsewhere))
    bench.fake.on(f"/new{MESSAGE}", Scripted(body=upload(START)))
    states = [(await bench.read(330)).health.state for _ in range(3)]
    assert states == [State.UNREACHABLE, State.UNREACHABLE, State.OK]


# --- outages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [*OUTAGES, Scripted(body=b"<!DOCTYPE html><p>We are improving CareLink"), Scripted(429)]
)
async def test_an_outage_backs_off_and_ends_by_itself(bench: Bench, answer: Scripted) -> None:
    bench.fake.on(MESSAGE, answer)
    for _ in range(8):
        batch = await bench.read(300)
        assert batch.health.state is (State.RATE_LIMITED if answer.status == 429 else State.UNREACHABLE)
        assert (batch.capture, batch.decoded) == (None, None)
        assert 20 <= bench.due_in_s(batch) <= 300
    assert bench.session.renewals == []
    bench.fake.on(MESSAGE, good(bench))
    assert (await bench.read(300)).health.state is State.OK


@pytest.mark.parametrize("status", [405, 409, 410, 422])
async def test_another_refusal_has_a_name_and_rests(bench: Bench, status: int) -> None:
    bench.fake.on(MESSAGE, Scripted(status))
    batch = await bench.read()
    assert (batch.health.state, bench.due_in_s(batch)) == (State.REFUSED, 900)
    assert str(status) in batch.health.text


async def test_patience_is_asked_for_until_a_date(bench: Bench) -> None:
    until = {"Retry-After": "Tue, 10 Mar 2026 06:05:00 GMT", "Date": "Tue, 10 Mar 2026 06:03:00 GMT"}
    bench.fake.on(MESSAGE, Scripted(429, headers=until))
    assert bench.due_in_s(await bench.read()) == 120


async def test_no_state_shows_a_token_or_a_name(bench: Bench) -> None:
    bench.session.outcomes = [None] * 99
    for answer in (*OUTAGES, *(Scripted(status) for status in (204, 206, 400, 401, 403, 404, 418, 429))):
        bench.fake.on(MESSAGE, answer)
        text = (await bench.read(900)).health.text
        assert text
        assert not any(word in text for word in ("token-1", "fresh-", "carer", "patient1", "127.0.0.1"))


# --- routes ------------------------------------------------------------------------------------------


async def test_a_guardian_is_found_on_its_own_route_and_remembered(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(204))
    bench.fake.on(GUARDIAN_CARER, Scripted(body=FLAT))
    assert (await bench.read()).health.state is State.OK
    await bench.read(330)
    bench.restart()
    await bench.read(330)
    assert bench.fake.paths(MESSAGE, GUARDIAN_CARER) == [MESSAGE, GUARDIAN_CARER, GUARDIAN_CARER, GUARDIAN_CARER]


async def test_a_patients_own_other_routes(bench: Bench) -> None:
    bench.restart(username="me", role="patient", patient=None)
    bench.fake.on(MESSAGE, Scripted(204))
    bench.fake.on(GUARDIAN, Scripted(body=vectors.document("carelink-cloud", "stub-no-app.synthetic.json")))
    bench.fake.on(MONITOR, Scripted(body=FLAT))
    assert (await bench.read()).health.state is State.OK
    assert bench.fake.paths(MESSAGE, GUARDIAN, MONITOR) == [MESSAGE, GUARDIAN, MONITOR]


@pytest.mark.parametrize("nothing", [Scripted(204), Scripted(body=b""), Scripted(body={"patientData": []})])
async def test_nothing_anywhere_is_looked_for_again_only_now_and_then(bench: Bench, nothing: Scripted) -> None:
    bench.fake.on(MESSAGE, nothing)
    waits = []
    for _ in range(9):
        batch = await bench.read(300)
        assert batch.health.state is State.NO_DATA
        waits.append(bench.due_in_s(batch))
    assert waits == [60, 60, 60, 60, 60, 120, 240, 300, 300]
    assert len(bench.fake.paths(GUARDIAN_CARER)) == 2
    await bench.read(86_400)
    assert len(bench.fake.paths(GUARDIAN_CARER)) == 3


async def test_an_account_without_any_device_has_a_name(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(204))
    bench.fake.on(GUARDIAN_CARER, Scripted(500))
    for _ in range(3):
        batch = await bench.read(300)
        assert batch.health.state is State.NO_DEVICE
    bench.fake.on(MESSAGE, good(bench))
    assert (await bench.read(300)).health.state is State.OK
    bench.fake.on(MESSAGE, Scripted(204))
    assert (await bench.read(300)).health.state is State.NO_DATA


@pytest.mark.parametrize("failing", [Scripted(204), Scripted(500), Scripted(404), Scripted(body=FLAT)])
async def test_a_route_that_brings_nothing_new_three_times_is_left(bench: Bench, failing: Scripted) -> None:
    bench.fake.on(MESSAGE, Scripted(204))
    bench.fake.on(GUARDIAN_CARER, Scripted(body=FLAT))
    await bench.read()
    bench.fake.on(GUARDIAN_CARER, failing)
    bench.fake.on(MESSAGE, Scripted(204), Scripted(body=upload(START)))
    for _ in range(6):
        await bench.read(330)
    bench.fake.on(MESSAGE, Scripted(body=upload(START + timedelta(hours=1))))
    assert (await bench.read(330)).health.state is State.OK
    assert bench.fake.paths()[-1] == MESSAGE


async def test_a_remembered_route_is_checked_daily(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(204))
    bench.fake.on(GUARDIAN_CARER, Scripted(body=FLAT))
    await bench.read()
    bench.restart()
    await bench.read(86_400)
    assert bench.fake.paths(MESSAGE, GUARDIAN_CARER)[-2:] == [MESSAGE, GUARDIAN_CARER]
    await bench.read(330)
    assert bench.fake.paths()[-1] == GUARDIAN_CARER


async def test_one_empty_answer_of_a_route_that_works_is_no_reason_to_look_elsewhere(bench: Bench) -> None:
    await bench.read()
    bench.fake.on(GUARDIAN_CARER, Scripted(body=FLAT))
    bench.fake.on(MESSAGE, Scripted(204), Scripted(204), good(bench))
    for state in (State.NO_DATA, State.NO_DATA, State.OK):
        assert (await bench.read(60)).health.state is state
    assert bench.fake.paths(GUARDIAN_CARER) == []
    bench.fake.on(MESSAGE, Scripted(204))
    for state in (State.NO_DATA, State.NO_DATA, State.OK):
        assert (await bench.read(60)).health.state is state
    assert bench.fake.paths(GUARDIAN_CARER) == [GUARDIAN_CARER]


async def test_an_outage_is_no_reason_to_look_elsewhere(bench: Bench) -> None:
    bench.fake.on(MESSAGE, Scripted(503))
    for _ in range(5):
        await bench.read(300)
    assert bench.fake.paths(GUARDIAN_CARER, MONITOR) == []


# --- memory ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kept",
    [
        None, 5, [], {}, {"route": "moon"}, {"route": None}, {"route_at": "x", "route": "guardian"},
        {"refused_at": 5}, {"discovery": {"asked": 1}}, {"route": ["message"]},
    ],
)  # fmt: skip
async def test_an_unreadable_memory_starts_anew(bench: Bench, kept: Any) -> None:
    bench.memory = Memory(state={"io": kept})
    assert (await bench.read()).health.state is State.OK
    assert bench.fake.paths() == [f"{DISCOVER}/3.8", MESSAGE]


async def test_the_decoders_state_and_diagnostics_stay(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    decoding = sys.modules["bridge.readers.carelink_cloud.decode"]
    plain = decoding.read_answer

    def read_answer(capture: Capture, memory: Memory) -> Any:
        said = plain(capture, memory)
        assert "Secret" not in repr(memory)
        decoded: Decoded = replace(said.decoded, state={"offset": 60}, understood=False)
        return replace(said, decoded=decoded)

    monkeypatch.setattr(decoding, "read_answer", read_answer)
    batch: Batch = await bench.read()
    assert batch.decoded is not None
    assert batch.decoded.state["offset"] == 60
    assert not batch.decoded.understood
    io = batch.decoded.state["io"]
    assert set(io) == {"route", "route_at", "refused_at", "shared", "discovery"}
    assert "token" not in json.dumps(io)


async def test_only_a_refusal_of_the_decoder_is_caught(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    def broken(capture: Capture, memory: Memory) -> Any:
        raise Malformed("Not ours.") if b"sgs" not in capture.body else KeyError("bug")

    monkeypatch.setattr(sys.modules["bridge.readers.carelink_cloud.decode"], "read_answer", broken)
    with pytest.raises(KeyError):
        await bench.read()
