"""What read-back brought, as plain values, and how answers are read. Pure: another shape counts as unknown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bridge.contracts import DeviceRef, Interval
from bridge.model.records import Record
from bridge.model.time import from_ms

_SECONDS_BELOW = 1e11
"""A smaller number is an epoch in seconds, a larger one in milliseconds."""
_COMPARED = 6
"""Devices are printed differently; their last six letters and digits are compared."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose record was read back, by its id and user name (empty: not told), and whether it is a patient's own."""

    id: str
    is_patient: bool
    username: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of the list of recent uploads. `status` is information only: its words are not known."""

    date: datetime
    device: str
    serial: str
    is_mobile: bool
    status: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was asked. None: could not be asked, or not understood; `notes` say which and why.

    `ahead_s` is how far the server's clock is ahead of ours. `calendar`: covered spans by data category.
    """

    where: str
    account: Account | None = None
    uploads: Sequence[Listed] | None = None
    covered: Interval | None = None
    calendar: Mapping[str, Sequence[Interval]] | None = None
    records: Sequence[Record] | None = None
    ahead_s: float = 0.0
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be proven: that the server has these local records of the device.

    `since` is when the upload began by our clock; `account_id` and `username` the account's on record
    (empty: none); `elsewhere` the serials that belong to other people's accounts.
    """

    device: DeviceRef
    window: Interval
    since: datetime
    local: Sequence[Record]
    account_id: str = ""
    username: str = ""
    elsewhere: frozenset[str] = field(default_factory=frozenset)


# --- devices ---------------------------------------------------------------------------------------


def plain_serial(serial: str) -> str:
    """Letters and digits of a serial, upper case."""
    return re.sub(r"[^0-9A-Z]", "", serial.upper())


def same_device(one: str, other: str) -> bool:
    """Whether two serials name one device, by their last six letters and digits."""
    ends = [plain_serial(serial)[-_COMPARED:] for serial in (one, other)]
    return bool(ends[0]) and ends[0] == ends[1]


# --- answers ---------------------------------------------------------------------------------------


def account_of(document: Any) -> Account | None:
    """The account of a users/me answer."""
    if not isinstance(document, dict):
        return None
    named = [str(document[key]) for key in ("id", "accountId") if document.get(key) not in (None, "")]
    role, username = document.get("role"), document.get("username")
    if not named:
        return None
    is_patient = isinstance(role, str) and "CARE_PARTNER" not in role
    return Account(named[0], is_patient, username.strip() if isinstance(username, str) else "")


def listed(document: Any) -> list[Listed] | None:
    """The entries of a list of recent uploads; entries without a date are left out."""
    entries = document.get("recentUploads") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        return None
    dated = [(moment(entry.get("date")), entry) for entry in entries if isinstance(entry, dict)]
    return [
        Listed(
            date,
            str(entry.get("device") or ""),
            str(entry.get("serialNumber") or ""),
            entry.get("mobileUploaded") is True,
            str(entry.get("status") or ""),
        )
        for date, entry in dated
        if date is not None
    ]


def span_of(document: Any) -> Interval | None:
    """An interval by its `start` and `end`."""
    if not isinstance(document, dict):
        return None
    start, end = moment(document.get("start")), moment(document.get("end"))
    return Interval(start, end) if start is not None and end is not None and start <= end else None


def calendar_of(document: Any) -> dict[str, list[Interval]] | None:
    """Covered spans by category."""
    rows = document.get("dataProvider") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        return None
    found: dict[str, list[Interval]] = {}
    for row in rows:
        if isinstance(row, dict) and isinstance(row.get("segments"), list):
            spans = [span for segment in row["segments"] if (span := span_of(segment)) is not None]
            found.setdefault(str(row.get("category")), []).extend(spans)
    return found


def moment(value: object) -> datetime | None:
    """An instant: epoch milliseconds, epoch seconds, or ISO text (UTC where it names no zone)."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return from_ms(value * 1000 if abs(value) < _SECONDS_BELOW else value)
        if isinstance(value, str):
            found = datetime.fromisoformat(value)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    return None
