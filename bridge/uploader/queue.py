"""The life of an upload: pure steps from one state to the next, with when to come back.

`queued -> running -> transport_ok -> verifying -> verified | partial | unverified | mismatch`, and `failed` or
`needs_user` where the transport ends so. Only read-back makes an upload `verified`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bridge.contracts import (
    Level,
    Moment,
    Sent,
    TransportResult,
    Trigger,
    UploadRecord,
    UploadRequest,
    UploadState,
    Verification,
)

OPEN = frozenset(
    {UploadState.QUEUED, UploadState.RUNNING, UploadState.TRANSPORT_OK, UploadState.VERIFYING, UploadState.FAILED}
)
"""States in which the program goes on by itself."""
TRIES = 8
LOOKS_S = (15, 30, 60, 120, 300, 600, 900)
"""Read-back after the transport ended, seconds; then hourly while the other side uploads by itself."""
HOURLY, LOOK_FOR = timedelta(hours=1), timedelta(hours=24)
OVERLAP = timedelta(hours=2)
"""A window begins this much before the last verified time."""
_BASE, _CEILING = timedelta(minutes=5), timedelta(hours=6)
_AFTER_TRANSPORT = {
    Sent.ACCEPTED: UploadState.TRANSPORT_OK,
    Sent.RAN: UploadState.TRANSPORT_OK,
    Sent.ALREADY_PRESENT: UploadState.TRANSPORT_OK,
    Sent.NEEDS_USER: UploadState.NEEDS_USER,
    Sent.REJECTED: UploadState.FAILED,
    Sent.FAILED: UploadState.FAILED,
}
_SHOWN = {
    Level.MISMATCH: UploadState.MISMATCH,
    Level.PARTIAL: UploadState.PARTIAL,
    Level.UNVERIFIED: UploadState.UNVERIFIED,
}


def asked(request: UploadRequest, now: datetime) -> UploadRecord:
    """A new upload."""
    return _entered(UploadRecord(request, UploadState.QUEUED), UploadState.QUEUED, now)


def running_for(open_uploads: Iterable[UploadRecord], request: UploadRequest) -> UploadRecord | None:
    """The upload that a new request joins: one flight per person and device."""
    for upload in open_uploads:
        known = upload.request
        if upload.state in OPEN and (known.profile, known.device.serial) == (request.profile, request.device.serial):
            return upload
    return None


def joined(upload: UploadRecord, request: UploadRequest, now: datetime) -> UploadRecord:
    """The upload under way after a further request: the wider window while that still can be, no waiting when a
    person asked."""
    known, wanted = upload.request.window, request.window
    if upload.state in {UploadState.QUEUED, UploadState.FAILED}:
        known = replace(known, start=min(known.start, wanted.start), end=max(known.end, wanted.end))
    waits = None if request.trigger is Trigger.MANUAL else upload.not_before
    on = replace(upload.request, window=known, asked_at=request.asked_at)
    return replace(upload, request=on, not_before=waits, changed_at=now)


def begun(upload: UploadRecord, now: datetime) -> UploadRecord:
    """The transport starts, or starts again after the process died."""
    return _entered(upload, UploadState.RUNNING, now, attempts=upload.attempts + 1, not_before=None)


def transported(upload: UploadRecord, result: TransportResult, now: datetime) -> UploadRecord:
    """The transport ended. What failed comes back with growing patience; what was rejected does not."""
    state = _AFTER_TRANSPORT[result.state]
    wait: datetime | None = None
    if state is UploadState.TRANSPORT_OK:
        wait = now + timedelta(seconds=LOOKS_S[0])
    elif result.state is Sent.FAILED and upload.attempts < TRIES:
        patience = min(_CEILING, _BASE * 2 ** (upload.attempts - 1))
        wait = now + max(patience, timedelta(seconds=result.retry_after_s))
    return _entered(upload, state, now, transport=replace(result, ended_at=now), not_before=wait)


def looked(upload: UploadRecord, found: Verification, now: datetime, *, patient: bool) -> UploadRecord:
    """Read-back said something. `patient`: the other side uploads in its own time, look hourly for a day."""
    ended = upload.transport.ended_at if upload.transport is not None else None
    again = _next_look(now, ended or now, patient=patient)
    if found.level is Level.UNVERIFIED and again is not None:
        return _entered(upload, UploadState.VERIFYING, now, verification=found, not_before=again)
    state = _SHOWN.get(found.level, UploadState.VERIFIED)
    return _entered(upload, state, now, verification=found, not_before=None)


def _entered(upload: UploadRecord, state: UploadState, now: datetime, **changes: Any) -> UploadRecord:
    """The next state, and a line in the timeline where it is another one."""
    same = bool(upload.timeline) and upload.timeline[-1].state is state
    timeline = upload.timeline if same else (*upload.timeline, Moment(now, state))
    return replace(upload, state=state, changed_at=now, timeline=timeline, **changes)


def _next_look(now: datetime, sent_at: datetime, *, patient: bool) -> datetime | None:
    for seconds in LOOKS_S:
        if (at := sent_at + timedelta(seconds=seconds)) > now:
            return at
    return now + HOURLY if patient and now + HOURLY <= sent_at + LOOK_FOR else None


def over(upload: UploadRecord) -> bool:
    """Nothing more will be done by itself."""
    return upload.state not in OPEN or (upload.state is UploadState.FAILED and upload.not_before is None)
