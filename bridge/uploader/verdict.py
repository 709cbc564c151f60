"""What the evidence of a read-back proves: the level, the types, and every reason in words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bridge.contracts import Interval, Level, TypeCheck, Verification
from bridge.model.records import Record
from bridge.uploader.comparing import BASAL_GAP, SENSOR_GAP, WARNINGS, Comparison, compare
from bridge.uploader.evidence import Account, Asked, Evidence, Listed, plain_serial, same_device
from bridge.uploader.kinds import wire_name
from bridge.uploader.matching import holes

_BEFORE = timedelta(seconds=120)
"""An entry may be this much older than the start of the upload."""
_SENSOR_LAG, _OTHER_LAG = timedelta(minutes=15), timedelta(hours=6)
_FRESH = timedelta(minutes=20)
_MOST_DIFFERING = 0.05
CARELINK = "CareLink"
"""The only place that is called so."""
_FEED = "carelink-cloud"
_ORDER = (Level.UNVERIFIED, Level.SEEN, Level.COVERED, Level.COVERED_PLUS, Level.COMPLETE)
_CATEGORIES = (
    ("sensor_glucose", re.compile(r"sensor|cgm|sg\b", re.IGNORECASE), SENSOR_GAP),
    ("basal", re.compile(r"basal|insulin|pump", re.IGNORECASE), BASAL_GAP),
)
"""Which calendar categories show a type: their names are not published, so they are told by what is in them."""


@dataclass(slots=True)
class _Findings:
    level: Level = Level.UNVERIFIED
    evidence: list[str] = field(default_factory=list)
    per_type: Mapping[str, TypeCheck] = field(default_factory=dict)

    @property
    def lacking(self) -> set[str]:
        """Types of which something is missing."""
        return {name for name, check in self.per_type.items() if check.missing}

    def reach(self, level: Level, text: str) -> None:
        """A step has passed."""
        self.evidence.append(text)
        if _ORDER.index(level) > _ORDER.index(self.level):
            self.level = level


def judge(asked: Asked, evidence: Evidence, now: datetime) -> Verification:
    """The highest level that the evidence reaches. Each step stands alone; what could not be asked proves nothing."""
    found = _Findings()
    compared = None if evidence.records is None else compare(asked.local, evidence.records)
    against = list(_contradictions(asked, evidence, compared))
    _seen(found, asked, evidence)
    _covered(found, asked, evidence)
    _calendar(found, asked, evidence)
    _records(found, evidence.where, compared)
    found.evidence += evidence.notes
    level = Level.MISMATCH if against else Level.PARTIAL if found.lacking else found.level
    if level is Level.UNVERIFIED and evidence.where == CARELINK and _feed_is_fresh(asked.local, now):
        found.evidence.append("CareLink's feed is fresh, an upload of the history is not confirmed.")
    warns = level is Level.PARTIAL and found.lacking <= WARNINGS
    return Verification(level, now, found.per_type, (*against, *found.evidence), warns)


# --- contradictions --------------------------------------------------------------------------------


def _contradictions(asked: Asked, evidence: Evidence, compared: Comparison | None) -> Iterator[str]:
    """What shows that the wrong record was read or written."""
    if _is_another(asked, evidence.account):
        yield f"Another account: {evidence.where} answered for an account that is not the one on record here."
    if any(_is_one_device(asked.device.serial, serial) for serial in asked.elsewhere):
        yield f"The device {_short(asked.device.serial)} belongs to another person's account."
    for entry in evidence.uploads or ():
        if entry.date >= asked.window.start and any(_is_one_device(entry.serial, one) for one in asked.elsewhere):
            text = f"The device {_short(entry.serial)} of another person was uploaded into this account"
            yield f"{text} at {_when(entry.date)}."
    if compared is not None and compared.share_differing > _MOST_DIFFERING:
        count = sum(map(len, compared.differing.values()))
        text = f"Other values: {count} of {compared.paired} records that meet by time differ"
        yield f"{text} ({', '.join(sorted(compared.differing))}); these are not this person's readings."


def _is_another(asked: Asked, known: Account | None) -> bool:
    """Whether the account that answered is not the one on record; what neither side names is not compared."""
    if known is None:
        return False
    names = ((asked.account_id, known.id), (asked.username, known.username))
    return any(ours and theirs and ours.lower() != theirs.lower() for ours, theirs in names)


def _is_one_device(one: str, other: str) -> bool:
    """Stricter than for finding an entry: one serial must end in the whole other."""
    first, second = plain_serial(one), plain_serial(other)
    return same_device(one, other) and (first.endswith(second) or second.endswith(first))


# --- steps -----------------------------------------------------------------------------------------


def _seen(found: _Findings, asked: Asked, evidence: Evidence) -> None:
    """Step 1: the list of uploads names the device since this upload began."""
    if evidence.uploads is None:
        return
    serial = asked.device.serial
    ours = [entry for entry in evidence.uploads if not serial or same_device(entry.serial, serial)]
    newest = max(ours, key=lambda entry: entry.date, default=None)
    since = asked.since + timedelta(seconds=evidence.ahead_s) - _BEFORE
    if newest is None:
        found.evidence.append(f"{evidence.where} lists no upload of this device.")
    elif newest.date < since:
        text = f"{evidence.where} lists no newer upload of this device than that of {_when(newest.date)}"
        found.evidence.append(f"{text}, before this upload began.")
    else:
        found.reach(Level.SEEN, _told(newest, evidence.where))


def _told(entry: Listed, where: str) -> str:
    status = f" (it says {entry.status!r})" if re.fullmatch(r"[\w -]{1,30}", entry.status) else ""
    if entry.is_mobile:
        return f"The phone's app uploaded at {_when(entry.date)}{status}."
    return f"{where} lists an upload of this device at {_when(entry.date)}{status}."


def _covered(found: _Findings, asked: Asked, evidence: Evidence) -> None:
    """Step 2: the covered time reaches the newest local record of a sensor, and of everything else."""
    if evidence.covered is None:
        return
    end = evidence.covered.end
    lags = [
        (newest, lag)
        for of_sensor, lag in ((True, _SENSOR_LAG), (False, _OTHER_LAG))
        if (newest := _newest(asked.local, of_sensor=of_sensor)) is not None
    ]
    if not lags:
        found.evidence.append(
            f"{evidence.where} covers the time until {_when(end)}; there is nothing here to compare."
        )
    elif all(end >= newest - lag for newest, lag in lags):
        found.reach(Level.COVERED, f"{evidence.where} covers the time until {_when(end)}.")
    else:
        newest = max(newest for newest, _ in lags)
        text = f"{evidence.where} covers the time until {_when(end)} only"
        found.evidence.append(f"{text}, {_long(newest - end)} before the newest record here.")


def _newest(local: Iterable[Record], *, of_sensor: bool) -> datetime | None:
    return max(
        (record.time for record in local if (record.kind == "sensor_glucose") is of_sensor and wire_name(record)),
        default=None,
    )


def _calendar(found: _Findings, asked: Asked, evidence: Evidence) -> None:
    """Step 3: the calendar has every expected category without holes where there are local records."""
    if evidence.calendar is None:
        return
    passed = 0
    for name, category, limit in _CATEGORIES:
        times = sorted(record.time for record in asked.local if wire_name(record) == name)
        if not times:
            continue
        fitting = [spans for key, spans in evidence.calendar.items() if category.search(key)]
        if not fitting:
            found.evidence.append(f"{evidence.where}'s calendar names no category for {name}.")
            return
        lacking = list(_uncovered(times, [span for spans in fitting for span in spans], limit))
        if lacking:
            found.evidence.append(f"{evidence.where}'s calendar lacks {name}: {_spans(lacking)}.")
            return
        passed += 1
    if passed:
        found.reach(Level.COVERED_PLUS, f"{evidence.where}'s calendar has no holes where there are records here.")


def _uncovered(times: Sequence[datetime], spans: Iterable[Interval], limit: timedelta) -> Iterator[Interval]:
    held = [(span.start, span.end) for span in spans]
    if not held:
        yield Interval(times[0], times[-1])
        return
    for start, end in holes(held, times[0], times[-1], limit):
        if any(start < time < end for time in times):
            yield Interval(start, end)


def _records(found: _Findings, where: str, compared: Comparison | None) -> None:
    """Step 4: the records themselves."""
    if compared is None:
        return
    found.per_type = compared.checks
    for name, check in compared.checks.items():
        found.evidence.append(_line(name, check, compared))
    if compared.left_out:
        counts = ", ".join(f"{count} {name}" for name, count in compared.left_out.items())
        found.evidence.append(f"Not compared: {counts}.")
    if compared.checks and not found.lacking:
        _complete(found, where, compared)


def _complete(found: _Findings, where: str, compared: Comparison) -> None:
    unseen = [name for name, check in compared.checks.items() if not check.checkable]
    if len(unseen) == len(compared.checks):
        return
    if unseen:
        text = f"All that the export can show is there; it cannot show {', '.join(unseen)}"
        found.reach(Level.COVERED_PLUS, f"{text}, so this is not called complete.")
    else:
        found.reach(Level.COMPLETE, f"Every record was read back from {where}.")


def _line(name: str, check: TypeCheck, compared: Comparison) -> str:
    """One type in words."""
    if not check.checkable:
        return f"{name}: {check.expected} here; the export cannot show this type."
    unit = " days" if name in ("basal", "temp_basal") else ""
    parts = [f"{name}: {check.found} of {check.expected}{unit} found"]
    if check.missing:
        parts.append(f"{len(check.missing)} missing between {_when(check.missing[0])} and {_when(check.missing[-1])}")
    if name in compared.differing:
        parts.append(f"{len(compared.differing[name])} of these are there with another value")
    if check.gaps:
        parts.append(f"gaps: {_spans(check.gaps)}")
    if compared.extra.get(name):
        parts.append(f"{compared.extra[name]} more there than here")
    warned = " (only a warning)" if check.missing and name in WARNINGS else ""
    return f"{'; '.join(parts)}{warned}."


# --- words -----------------------------------------------------------------------------------------


def _feed_is_fresh(local: Iterable[Record], now: datetime) -> bool:
    return any(record.reader == _FEED and now - record.time <= _FRESH for record in local)


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _spans(gaps: Sequence[Interval]) -> str:
    shown = ", ".join(f"{_when(gap.start)} to {_when(gap.end)}" for gap in gaps[:5])
    return shown if len(gaps) <= 5 else f"{shown} and {len(gaps) - 5} more"


def _long(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


def _short(serial: str) -> str:
    """A serial in a sentence: its last three characters."""
    return f"...{plain_serial(serial)[-3:]}"
