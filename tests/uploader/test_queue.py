"""The life of an upload, step by step."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from bridge.contracts import (
    DeviceRef,
    Interval,
    Level,
    Sent,
    TransportResult,
    Trigger,
    UploadRecord,
    UploadRequest,
    UploadState,
    Verification,
)
from bridge.uploader import queue

NOW = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)


def upload(
    state: UploadState = UploadState.QUEUED, serial: str = "1", profile: str = "p1", hours: int = 2
) -> UploadRecord:
    window = Interval(NOW - timedelta(hours=hours), NOW)
    asked = UploadRequest(f"u{serial}", profile, DeviceRef("pump", serial=serial), Trigger.SCHEDULE, window, NOW)
    return UploadRecord(asked, state)


def test_an_upload_is_verified_only_by_reading_it_back() -> None:
    running = queue.begun(upload(), NOW)
    sent = queue.transported(running, TransportResult(Sent.ACCEPTED), NOW)
    assert sent.state is UploadState.TRANSPORT_OK
    assert sent.not_before == NOW + timedelta(seconds=15)
    seen = queue.looked(sent, Verification(Level.SEEN, NOW), NOW, patient=False)
    assert seen.state is UploadState.VERIFIED
    assert queue.over(seen)


@pytest.mark.parametrize(
    ("level", "state"),
    [
        (Level.COMPLETE, UploadState.VERIFIED), (Level.COVERED_PLUS, UploadState.VERIFIED),
        (Level.COVERED, UploadState.VERIFIED), (Level.PARTIAL, UploadState.PARTIAL),
        (Level.MISMATCH, UploadState.MISMATCH),
    ],
)  # fmt: skip
def test_each_level_has_its_state(level: Level, state: UploadState) -> None:
    found = queue.looked(upload(UploadState.VERIFYING), Verification(level, NOW), NOW, patient=True)
    assert found.state is state
    assert found.not_before is None


def looks(*, patient: bool) -> list[float]:
    """When read-back is tried while nothing shows up, seconds after the transport ended."""
    at, times, now_on = NOW + timedelta(seconds=15), [], queue.transported(upload(), TransportResult(Sent.RAN), NOW)
    while True:
        times.append((at - NOW).total_seconds())
        now_on = queue.looked(now_on, Verification(Level.UNVERIFIED, at), at, patient=patient)
        if now_on.not_before is None:
            assert now_on.state is UploadState.UNVERIFIED
            return times
        assert now_on.state is UploadState.VERIFYING
        at = now_on.not_before


def test_read_back_is_tried_seven_times_then_given_up_loudly() -> None:
    assert looks(patient=False) == [15, 30, 60, 120, 300, 600, 900]


def test_what_the_phone_uploads_is_looked_for_during_a_day() -> None:
    times = looks(patient=True)
    assert times[:7] == [15, 30, 60, 120, 300, 600, 900]
    assert {b - a for a, b in pairwise(times[6:])} == {3600}
    assert 23 * 3600 < times[-1] <= 24 * 3600


def test_a_failed_transport_comes_back_with_growing_patience_and_ends() -> None:
    on, waits = upload(), []
    for _ in range(queue.TRIES):
        on = queue.transported(queue.begun(on, NOW), TransportResult(Sent.FAILED, detail="no connection"), NOW)
        waits.append(on.not_before and (on.not_before - NOW).total_seconds() / 60)
    assert waits == [5, 10, 20, 40, 80, 160, 320, None]
    assert queue.over(on)


@pytest.mark.parametrize(
    ("sent", "state"), [(Sent.REJECTED, UploadState.FAILED), (Sent.NEEDS_USER, UploadState.NEEDS_USER)]
)
def test_what_only_a_person_can_mend_is_not_tried_again(sent: Sent, state: UploadState) -> None:
    ended = queue.transported(queue.begun(upload(), NOW), TransportResult(sent), NOW)
    assert (ended.state, ended.not_before) == (state, None)
    assert queue.over(ended)


def test_a_second_request_joins_the_first_and_a_person_need_not_wait() -> None:
    waiting = replace(upload(UploadState.FAILED), not_before=NOW + timedelta(hours=1))
    older = replace(upload(hours=30).request, trigger=Trigger.MANUAL)
    assert queue.running_for([waiting], older) is waiting
    on = queue.joined(waiting, older, NOW)
    assert on.not_before is None
    assert on.request.window.start == NOW - timedelta(hours=30)
    by_schedule = queue.joined(waiting, upload().request, NOW)
    assert by_schedule.not_before == waiting.not_before


def test_a_running_upload_keeps_the_window_it_was_started_with() -> None:
    on = queue.joined(upload(UploadState.RUNNING), upload(hours=30).request, NOW)
    assert on.request.window.start == NOW - timedelta(hours=2)


def test_another_person_or_device_never_joins() -> None:
    running = [upload(UploadState.RUNNING)]
    assert queue.running_for(running, upload(serial="2").request) is None
    assert queue.running_for(running, upload(profile="p2").request) is None
    assert queue.running_for([upload(UploadState.VERIFIED)], upload().request) is None
