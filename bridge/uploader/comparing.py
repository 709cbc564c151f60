"""Local records against an export's, type by type. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from bridge.contracts import Interval, TypeCheck
from bridge.model.records import (
    Basal,
    Bolus,
    BolusCalculation,
    Calibration,
    Carbs,
    DeviceEvent,
    MeterGlucose,
    Record,
    SensorGlucose,
)
from bridge.uploader.kinds import wire_name
from bridge.uploader.matching import Fact, holes, match

_MMOL_STEP_MGDL = 1.801559
"""0.1 mmol/L: covers 1 mg/dL and what an export in mmol/L rounds away."""
SENSOR_GAP, BASAL_GAP = timedelta(minutes=15), timedelta(hours=24)
_DAILY_TOTAL = "daily_auto_insulin_total"
_NOT_COMPARED = frozenset({"device_event"})


@dataclass(frozen=True, slots=True)
class _Rule:
    """How one type is compared. `warns`: what is missing of it is a warning, no loss of readings."""

    within_s: int = 60
    tolerance: float = 0.0
    warns: bool = False

    @property
    def within(self) -> timedelta:
        return timedelta(seconds=self.within_s)


_RULES = {
    "sensor_glucose": _Rule(150, _MMOL_STEP_MGDL),
    "meter_bg": _Rule(tolerance=_MMOL_STEP_MGDL),
    "calibration": _Rule(tolerance=_MMOL_STEP_MGDL),
    "bolus": _Rule(tolerance=0.025),
    "wizard": _Rule(tolerance=0.5),
    "carbs": _Rule(tolerance=0.5),
    "alarm": _Rule(warns=True),
    "prime_rewind": _Rule(warns=True),
    "suspend_resume": _Rule(warns=True),
    "time_change": _Rule(warns=True),
}
WARNINGS = frozenset(name for name, rule in _RULES.items() if rule.warns)


@dataclass(slots=True)
class Comparison:
    """The outcome. `differing` of `paired` records that met by time had another value; `extra` are rows of the
    export that no local record explains."""

    checks: dict[str, TypeCheck] = field(default_factory=dict)
    differing: dict[str, Sequence[datetime]] = field(default_factory=dict)
    extra: dict[str, int] = field(default_factory=dict)
    paired: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def share_differing(self) -> float:
        """Part of the records paired by time whose value differs, 0..1."""
        return sum(map(len, self.differing.values())) / self.paired if self.paired else 0.0


def compare(local: Sequence[Record], export: Sequence[Record]) -> Comparison:
    """Every type that is held locally, looked for in the export."""
    ours, theirs = _by_type(local), _by_type(export)
    made = Comparison(left_out={name: len(ours[name]) for name in sorted(_NOT_COMPARED & ours.keys())})
    for name, rule in _RULES.items():
        held = [record for record in ours.get(name, ()) if _is_compared(record)]
        if held:
            _one_type(made, name, rule, held, theirs)
    for name in ("basal", "temp_basal"):
        if held := ours.get(name, []):
            made.checks[name] = _days(held, export)
    if held := ours.get("settings", []):
        found = len(theirs.get("settings", ()))
        made.checks["settings"] = TypeCheck(len(held), min(found, len(held)), checkable=found > 0)
    return made


def _by_type(records: Iterable[Record]) -> dict[str, list[Record]]:
    found = defaultdict[str, list[Record]](list)
    for record in records:
        if (name := wire_name(record)) is not None:
            found[name].append(record)
    return dict(found)


def _is_compared(record: Record) -> bool:
    """A sensor's state without a reading, and the clearing of an alarm, are not looked for."""
    if isinstance(record, SensorGlucose):
        return record.mgdl is not None
    return not (isinstance(record, DeviceEvent) and record.event == "alarm_cleared")


def _counterparts(name: str, theirs: Mapping[str, Sequence[Record]]) -> list[Record]:
    """Rows that can show a type: carbohydrates also stand in what the bolus calculator was told."""
    rows = [record for record in theirs.get(name, ()) if _is_compared(record)]
    if name == "carbs":
        rows += [each for each in theirs.get("wizard", ()) if isinstance(each, BolusCalculation) and each.carbs_g]
    return rows


# --- one type --------------------------------------------------------------------------------------


def _one_type(
    made: Comparison, name: str, rule: _Rule, held: Sequence[Record], export: Mapping[str, Sequence[Record]]
) -> None:
    rows = _counterparts(name, export)
    by_wall = all(_wall(record) is not None for record in (*held, *rows))
    ours, theirs = ([_fact(record, by_wall=by_wall) for record in side] for side in (held, rows))
    outcome = match(ours, theirs, rule.within, rule.tolerance)
    gaps: Sequence[Interval] = ()
    if name == "sensor_glucose":
        told = [_fact(record, by_wall=by_wall) for record in export.get(name, ())]
        gaps = _gaps(ours, outcome.missing, told)
    lost = sorted(fact.time for fact in (*outcome.missing, *outcome.differing))
    made.checks[name] = TypeCheck(len(ours), len(outcome.found), lost, gaps)
    made.paired += len(outcome.found) + len(outcome.differing)
    if outcome.differing:
        made.differing[name] = [fact.time for fact in outcome.differing]
    if outcome.extra:
        made.extra[name] = outcome.extra


def _fact(record: Record, *, by_wall: bool) -> Fact:
    wall = _wall(record) if by_wall else None
    return Fact(wall or record.time.astimezone(UTC).replace(tzinfo=None), record.time, _value(record))


def _wall(record: Record) -> datetime | None:
    """The device's clock at a record; of a clock change what it was set to."""
    if isinstance(record, DeviceEvent) and record.clock_to is not None:
        return record.clock_to
    return record.device_time


_VALUES: Mapping[type[Record], Callable[..., float | None]] = {
    SensorGlucose: lambda record: record.mgdl,
    MeterGlucose: lambda record: record.mgdl,
    Calibration: lambda record: record.mgdl,
    Bolus: lambda record: record.delivered_u if record.completed else None,
    BolusCalculation: lambda record: record.carbs_g,
    Carbs: lambda record: record.grams,
}


def _value(record: Record) -> float | None:
    """What must agree; None where time alone decides (a bolus that still runs, an alarm)."""
    read = _VALUES.get(type(record))
    return None if read is None else read(record)


def _gaps(ours: Sequence[Fact], missing: Sequence[Fact], theirs: Sequence[Fact]) -> list[Interval]:
    """Stretches of more than 15 min without a row there, reading or state, in which the device has readings."""
    first, last = min(fact.at for fact in ours), max(fact.at for fact in ours)
    found = []
    for start, end in holes(((fact.at, fact.at) for fact in theirs), first, last, SENSOR_GAP):
        inside = [fact for fact in missing if start <= fact.at <= end]
        if inside:
            found.append(_utc(start, end, inside[0].time - inside[0].at.replace(tzinfo=UTC)))
    return found


def _utc(start: datetime, end: datetime, to_utc: timedelta) -> Interval:
    """A stretch of the device's clock as instants."""
    return Interval(start.replace(tzinfo=UTC) + to_utc, end.replace(tzinfo=UTC) + to_utc)


# --- basals ----------------------------------------------------------------------------------------


def _days(held: Sequence[Record], export: Sequence[Record]) -> TypeCheck:
    """By day on the device's clock: an export may hold daily totals in place of the doses."""
    firsts: dict[date, datetime] = {}
    for record in sorted(held, key=lambda record: record.time):
        firsts.setdefault(_at(record).date(), record.time)
    rows = [_at(record) for record in export if _shows_basal(record)]
    days = {at.date() for at in rows}
    lost = [first for day, first in firsts.items() if day not in days]
    found = holes(((at, at) for at in rows), min(map(_at, held)), max(map(_at, held)), BASAL_GAP)
    to_utc = held[0].time - _at(held[0]).replace(tzinfo=UTC)
    gaps = [_utc(start, end, to_utc) for start, end in found]
    return TypeCheck(len(firsts), len(firsts) - len(lost), lost, gaps if lost else ())


def _at(record: Record) -> datetime:
    return record.device_time or record.time.astimezone(UTC).replace(tzinfo=None)


def _shows_basal(record: Record) -> bool:
    return isinstance(record, Basal) or (isinstance(record, DeviceEvent) and record.event == _DAILY_TOTAL)
