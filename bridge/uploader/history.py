"""What the upload history of a person says. Pure; a history is newest first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from bridge.contracts import DeviceRef, Trigger, UploadRecord, UploadState
from bridge.uploader.queue import over

PAUSED = frozenset({UploadState.MISMATCH, UploadState.NEEDS_USER})
"""After these only a person starts the next upload."""
_NEEDS_PERSON = frozenset({*PAUSED, UploadState.FAILED})
_SELDOM = timedelta(minutes=15)
"""Plugging in starts no more than one upload of a device in this time."""

History = Sequence[UploadRecord]


def of_device(history: History, device: DeviceRef) -> list[UploadRecord]:
    """The uploads of one device."""
    return [each for each in history if each.request.device.serial == device.serial]


def newest(history: History, devices: Sequence[DeviceRef]) -> list[UploadRecord]:
    """The last upload of each of these devices."""
    return [each for device in devices for each in of_device(history, device)[:1]]


def read_back_until(history: History) -> datetime | None:
    """The end of the newest window that was read back."""
    return max((each.request.window.end for each in history if each.is_read_back), default=None)


def asked_last(history: History) -> datetime | None:
    """When somebody or the schedule last asked."""
    return max((each.request.asked_at for each in history), default=None)


def compared_at(history: History) -> datetime | None:
    """When records were last compared one by one."""
    looks = [each.verification for each in history if each.verification is not None and each.verification.per_type]
    return max((look.checked_at for look in looks), default=None)


def paused(history: History, devices: Sequence[DeviceRef], device: DeviceRef) -> bool:
    """Whether the schedule stands still for a device: it waits for a person, or any device of the account went into
    the wrong record."""
    if any(each.state in PAUSED for each in newest(history, [device])):
        return True
    return any(each.state is UploadState.MISMATCH for each in newest(history, devices))


def may_follow_plug(history: History, now: datetime, floor: timedelta) -> bool:
    """Whether plugging a device in starts an upload: seldom, and not while a read-back one is younger than the
    transport's own distance."""
    for each in history:
        least = max(floor, _SELDOM) if each.is_read_back else _SELDOM
        by_itself = each.request.trigger is not Trigger.MANUAL
        if (by_itself or each.is_read_back) and now - each.request.asked_at < least:
            return False
    return True


def needs_person(history: History, devices: Sequence[DeviceRef]) -> list[str]:
    """What only a person can mend, a sentence a device."""
    return [
        f"{each.state}: {each.transport.detail if each.transport else ''}".rstrip(": ")
        for each in newest(history, devices)
        if each.state in _NEEDS_PERSON and over(each)
    ]
