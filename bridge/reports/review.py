"""What came in lately, by type and device, with a flag on what looks unfamiliar. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import quantiles

from bridge.model.records import Bolus, Calibration, Carbs, Device, Injection, MeterGlucose, Record, SensorGlucose

_ENOUGH = 50
"""So many earlier values make a pattern."""
_MARGIN = 0.5
"""Beyond the usual span (from the 0.5th to the 99.5th percentile) by this share of it, a value is unfamiliar."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is on record about a person's devices, by serial.

    `own`: bound devices and since when (None: not noted down); `of_others`: bound to, or read for, somebody else.
    """

    own: Mapping[str, datetime | None] = field(default_factory=dict)
    of_others: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Row:
    """How many records of one type a device made in the window."""

    device: Device
    kind: str
    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Flag:
    """Something unfamiliar: `code` stable, what it is, how often, and what to do."""

    code: str
    text: str
    next_step: str
    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Review:
    """Rows by device and type, and flags."""

    rows: Sequence[Row]
    flags: Sequence[Flag]


def review(earlier: Iterable[Record], window: Iterable[Record], known: Known) -> Review:
    """A window of one person's records beside what came before it."""
    past = _Past()
    for record in earlier:
        past.take(record)
    counted: dict[tuple[Device, str], list[datetime]] = defaultdict(list)
    found: dict[tuple[str, str, str], list[datetime]] = defaultdict(list)
    for record in window:
        counted[(record.device, record.kind)].append(record.time)
        for flag in (*_of_device(record, known, past), *_of_value(record, past)):
            found[flag].append(record.time)
    rows = [Row(device, kind, len(times), min(times), max(times)) for (device, kind), times in counted.items()]
    rows.sort(key=lambda row: (row.device.model or "", row.device.serial or "", row.kind))
    return Review(rows, [Flag(*flag, len(times), min(times), max(times)) for flag, times in sorted(found.items())])


# --- what came before ------------------------------------------------------------------------------


class _Past:
    """The devices and the usual values of the time before."""

    def __init__(self) -> None:
        self.serials: set[str] = set()
        self._values: dict[str, list[float]] = defaultdict(list)
        self._spans: dict[str, tuple[float, float] | None] = {}

    def take(self, record: Record) -> None:
        if record.device.serial:
            self.serials.add(record.device.serial)
        if (value := _value(record)) is not None:
            self._values[record.kind].append(value)

    def span(self, kind: str) -> tuple[float, float] | None:
        """Beyond it a value is unfamiliar; None while too little is known."""
        if kind not in self._spans:
            self._spans[kind] = _usual(self._values[kind])
        return self._spans[kind]


def _usual(values: Sequence[float]) -> tuple[float, float] | None:
    if len(values) < _ENOUGH:
        return None
    cuts = quantiles(values, n=200, method="inclusive")
    margin = _MARGIN * (cuts[-1] - cuts[0])
    return cuts[0] - margin, cuts[-1] + margin


def _value(record: Record) -> float | None:
    match record:
        case SensorGlucose() | MeterGlucose() | Calibration():
            return record.mgdl
        case Bolus():
            return None if record.automatic else record.delivered_u
        case Injection():
            return record.dose_u
        case Carbs():
            return record.grams
    return None


# --- flags -----------------------------------------------------------------------------------------

_Found = tuple[str, str, str]


def _of_device(record: Record, known: Known, past: _Past) -> Iterator[_Found]:
    serial = record.device.serial
    if not serial:
        return
    name = f"{record.device.model or 'device'} …{serial[-3:]}"
    if serial in known.of_others:
        yield (
            "device_of_another", f"{name} is also another person's device.",
            "Find out whose it is, and bind it to that person alone (`glucobridge devices bind`).",
        )  # fmt: skip
    elif serial not in known.own and serial not in past.serials:
        yield (
            "unknown_serial", f"{name} was never seen before.",
            "If it is new and theirs, bind it (`glucobridge devices bind`); if not, look who uploaded it.",
        )  # fmt: skip
    since = known.own.get(serial)
    if since is not None and record.time < since:
        yield (
            "before_binding", f"{name} made records before it became this person's on {since:%Y-%m-%d}.",
            "If it was theirs already, say since when: `glucobridge devices bind SERIAL --since DATE`.",
        )  # fmt: skip


def _of_value(record: Record, past: _Past) -> Iterator[_Found]:
    value, span = _value(record), past.span(record.kind)
    if value is None or span is None or span[0] <= value <= span[1]:
        return
    side = "higher" if value > span[1] else "lower"
    yield (
        "unusual_value", f"{record.kind}: {side} than this person's values of the time before.",
        "Look at these times. A value that cannot be theirs may be another person's device.",
    )  # fmt: skip
