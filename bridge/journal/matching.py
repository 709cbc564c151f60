"""Two sightings of one event find each other: two sets, one to one, nearest first (docs/model.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from bridge.contracts import StoredItem
from bridge.model import (
    Basal,
    Bolus,
    Calibration,
    Carbs,
    Device,
    DeviceEvent,
    Injection,
    MeterGlucose,
    Record,
    SensorGlucose,
    to_ms,
)


class Tolerance(NamedTuple):
    """How far apart two sightings of one event may be: ms, and mg/dL, U or g."""

    within_ms: int
    amount: float


_INSULIN = Tolerance(60_000, 0.025)
TOLERANCES: Mapping[str, Tolerance] = {
    "sensor_glucose": Tolerance(150_000, 1),
    "meter_glucose": Tolerance(60_000, 0),
    "calibration": Tolerance(60_000, 0),
    "bolus": _INSULIN,
    "injection": _INSULIN,
    "basal": _INSULIN,
    "carbs": Tolerance(60_000, 0.5),
    "device_event": Tolerance(60_000, 0),
}
"""By kind; of basal only micro-doses, of device events only alarms. Anything else is known by its id alone."""

_ROUNDING = 1e-9
_WALL_EPOCH, _MS = datetime(1970, 1, 1), timedelta(milliseconds=1)  # noqa: DTZ001
_BUCKET_MS = max(tolerance.within_ms for tolerance in TOLERANCES.values())


@dataclass(frozen=True, slots=True)
class Likeness:
    """What one sighting is compared by. `form` must be equal where both have one. `clock`: whose wall clock it is."""

    name: str
    kind: str
    time_ms: int
    wall_ms: int | None
    amount: float | None
    form: str | None = None
    planned: float | None = None
    running: bool = False
    """A bolus that has not ended: what it delivered can still grow, so its plan counts too."""
    clock: str | None = None


def wall_ms(record: Record) -> int | None:
    """The device's wall clock in ms, counted as if it were UTC."""
    wall = record.device_time
    return None if wall is None else (wall - _WALL_EPOCH) // _MS


def likeness(record: Record) -> Likeness | None:
    """What a record is compared by; None for what only its id can tell."""
    measure = _measure(record)
    if measure is None:
        return None
    clock = serial_key(record.device.serial) if record.device.serial else None
    plain = Likeness(
        record.id, record.kind, to_ms(record.time), wall_ms(record), measure[0], measure[1], clock=clock
    )  # fmt: skip
    if not isinstance(record, Bolus):
        return plain
    return replace(plain, planned=record.programmed_u, running=not record.completed)


def _measure(record: Record) -> tuple[float | None, str] | None:
    match record:
        case SensorGlucose():
            return record.mgdl, "glucose"
        case MeterGlucose():
            return record.mgdl, "control" if record.control_solution else "blood"
        case Calibration():
            return record.mgdl, "calibration"
        case Bolus():
            return record.delivered_u, "bolus"
        case Injection():
            return record.dose_u, "injection"
        case Basal(delivery="automatic", dose_u=float(dose)):
            return dose, "micro-dose"
        case Carbs():
            return record.grams, "carbs"
        case DeviceEvent(event="alarm") if record.code is not None:
            return 0.0, f"alarm {record.code}"
        case _:
            return None


def item_likeness(item: StoredItem) -> Likeness | None:
    """What a document found at a destination is compared by; None when it does not show enough."""
    if item.record_id is None or item.kind is None or item.time is None or item.value is None:
        return None
    if item.kind not in TOLERANCES:
        return None
    return Likeness(item.record_id, item.kind, to_ms(item.time), None, item.value)


def pairs(
    seekers: Sequence[Likeness], others: Sequence[Likeness], fits: Callable[[int, int], bool]
) -> list[tuple[int, int]]:
    """Index pairs of one event, one to one, nearest first; `fits` holds every rule beyond time and amount.

    The result does not depend on the order of either set, nor on which set seeks.
    """
    close = sorted(_close(seekers, others))
    taken_here, taken_there, found = set[int](), set[int](), list[tuple[int, int]]()
    for _, here, there in close:
        if here not in taken_here and there not in taken_there and fits(here, there):
            taken_here.add(here)
            taken_there.add(there)
            found.append((here, there))
    return found


_Nearness = tuple[int, int, float, list[tuple[int, str]]]


def _close(seekers: Sequence[Likeness], others: Sequence[Likeness]) -> Iterator[tuple[_Nearness, int, int]]:
    buckets = defaultdict[tuple[str, int], list[int]](list)
    for there, other in enumerate(others):
        for moment in _moments(other):
            buckets[other.kind, moment // _BUCKET_MS].append(there)
    for here, seeker in enumerate(seekers):
        numbers = {moment // _BUCKET_MS + step for moment in _moments(seeker) for step in (-1, 0, 1)}
        for there in {there for number in numbers for there in buckets.get((seeker.kind, number), ())}:
            if (nearness := _nearness(seeker, others[there])) is not None:
                yield nearness, here, there


def _moments(one: Likeness) -> tuple[int, ...]:
    return (one.time_ms,) if one.wall_ms is None else (one.time_ms, one.wall_ms)


def _nearness(one: Likeness, other: Likeness) -> _Nearness | None:
    """Order of nearness, the same from both sides; None when they are two events."""
    tolerance = TOLERANCES[one.kind]
    time_gap = abs(one.time_ms - other.time_ms)
    gap = _gap(one, other)
    difference = _difference(one, other)
    forms_differ = one.form is not None and other.form is not None and one.form != other.form
    if gap > tolerance.within_ms or forms_differ or difference is None or difference > tolerance.amount + _ROUNDING:
        return None
    return gap, time_gap, difference, sorted(((one.time_ms, one.name), (other.time_ms, other.name)))


def _gap(one: Likeness, other: Likeness) -> int:
    """By the wall clock where both show one device's, which the two sides may correct differently; else by time.

    A finger-stick keeps the clock of whoever showed it first, the meter or a pump that it told: either may fit.
    """
    time_gap = abs(one.time_ms - other.time_ms)
    two_clocks = one.clock is not None and other.clock is not None and one.clock != other.clock
    if one.wall_ms is None or other.wall_ms is None or two_clocks:
        return time_gap
    wall_gap = abs(one.wall_ms - other.wall_ms)
    return min(wall_gap, time_gap) if one.kind == "meter_glucose" else wall_gap


def _difference(one: Likeness, other: Likeness) -> float | None:
    if one.amount is None or other.amount is None:
        return 0.0 if one.amount is other.amount else None
    delivered = abs(one.amount - other.amount)
    if not (one.running or other.running):
        return delivered
    return min(delivered, abs(_planned(one) - _planned(other)))


def _planned(one: Likeness) -> float:
    return one.planned if one.planned is not None else one.amount or 0.0


# --- devices ---------------------------------------------------------------------------------------


def serial_key(serial: str) -> str:
    """The last six characters of a serial, letters and digits only: sources print serials differently."""
    return "".join(filter(str.isalnum, serial)).upper()[-6:]


class Devices:
    """The devices of one profile, by (family, serial)."""

    def __init__(self, known: Iterable[tuple[str | None, str | None]]) -> None:
        self._serials = defaultdict[str | None, set[str]](set)
        for family, serial in known:
            if serial:
                self._serials[family].add(serial_key(serial))

    def same(self, one: Record, other: Record) -> bool:
        """Whether two sightings can come from one device; a meter's value seen by a pump counts as the meter's."""
        if one.kind == "meter_glucose" and _seen_by_another(one, other):
            return True
        here, there = one.device.serial, other.device.serial
        if here and there:
            return serial_key(here) == serial_key(there)
        return self._alone(one.device, other.device)

    def _alone(self, one: Device, other: Device) -> bool:
        if None in (one.family, other.family):
            return len(set().union(*self._serials.values())) <= 1
        return one.family == other.family and len(self._serials[one.family]) <= 1


def _seen_by_another(one: Record, other: Record) -> bool:
    makers = {one.device.manufacturer, other.device.manufacturer}
    entries = {getattr(record, "entry", "meter") for record in (one, other)}
    return entries != {"meter"} or (None not in makers and len(makers) == 2)
