"""Sensor sessions and the rows of a day: five minutes ± 1 s apart, warm-up, gaps, changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from bridge.simulators.patient.chance import draws, whole
from bridge.simulators.patient.events import SensorChange, SensorReading
from bridge.simulators.patient.glucose import seen_by_sensor

STEP_S = 300
WARM_UP_S = 2 * 3600
SESSION_S = 7 * 86_400
_ORIGIN_S = 1_577_836_800
"""2020-01-01 UTC: sessions are counted from here."""
OK = "NO_ERROR_MESSAGE"


@dataclass(frozen=True, slots=True)
class Session:
    """One sensor: epoch seconds of its start, of its end of life and of the next one's start."""

    number: int
    start_s: int
    worn_out_s: int
    next_s: int

    @property
    def serial(self) -> str:
        """The sensor's serial number."""
        return f"B{abs(self.number) % 10**9:09d}"


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch without signal: rows are `lost`, come as `state` only, or come `late` when it ends."""

    start_s: int
    end_s: int
    kind: str


def _session_start(seed: int, number: int) -> int:
    phase = whole(seed, 20, 0, 0, SESSION_S - 1)
    return _ORIGIN_S + number * SESSION_S + phase + whole(seed, 21, number, 0, 12 * 3600)


def session_at(seed: int, epoch_s: float) -> Session:
    """The sensor worn, or worn out and not yet replaced, at an instant."""
    number = int((epoch_s - _ORIGIN_S) // SESSION_S)
    while _session_start(seed, number) > epoch_s:
        number -= 1
    start_s, next_s = _session_start(seed, number), _session_start(seed, number + 1)
    return Session(number, start_s, next_s - whole(seed, 22, number, 1200, 3000), next_s)


def slots(seed: int, start_s: float, end_s: float) -> Iterator[tuple[Session, int, int]]:
    """Five-minute slots in [start, end): the session, the slot's number in it, and its epoch second."""
    session = session_at(seed, start_s)
    while session.start_s < end_s:
        first = max(int((start_s - session.start_s) // STEP_S), 1)
        for number in range(first, (session.next_s - session.start_s) // STEP_S):
            nominal_s = session.start_s + number * STEP_S
            second = nominal_s + whole(seed, 23, nominal_s, 0, 7) // 3 - 1
            if second >= end_s:
                break
            if second >= start_s:
                yield session, number, second
        session = session_at(seed, session.next_s)


def gap_of(seed: int, day: int, start_s: float, end_s: float) -> Gap | None:
    """The stretch without signal of a day, if it has one; well inside the day."""
    chance: Random = draws(seed, day, "gap")
    if chance.random() >= 0.35:
        return None
    length_s = chance.randint(15, 70) * 60
    begin_s = chance.randint(int(start_s) + 3600, int(end_s) - 2 * 3600 - length_s)
    return Gap(begin_s, begin_s + length_s, chance.choice(("lost", "state", "late", "late")))


def rows(
    seed: int, start: datetime, end: datetime, gap: Gap | None, mgdl_at: Callable[[float], float]
) -> list[SensorReading]:
    """All sensor rows in [start, end)."""
    found = []
    for session, _, second in slots(seed, start.timestamp(), end.timestamp()):
        row = _row(session, second, gap, mgdl_at)
        if row is not None:
            found.append(row)
    return found


def _row(session: Session, second: int, gap: Gap | None, mgdl_at: Callable[[float], float]) -> SensorReading | None:
    state, late_s = _state(session, second, gap)
    if state is None:
        return None
    when = datetime.fromtimestamp(second, UTC)
    mgdl = seen_by_sensor(mgdl_at(second)) if state == OK else None
    return SensorReading(f"sg-{second}", when, mgdl, state, when + timedelta(seconds=late_s))


def _state(session: Session, second: int, gap: Gap | None) -> tuple[str | None, int]:
    """The state of a row (None: no row at all) and how late it reaches the pump, seconds."""
    if second < session.start_s + WARM_UP_S:
        return "WARM_UP", 0
    if second >= session.worn_out_s:
        return "CHANGE_SENSOR", 0
    if gap is None or not gap.start_s <= second < gap.end_s or gap.end_s > session.worn_out_s:
        return OK, 0
    if gap.kind == "lost":
        return None, 0
    return (OK, gap.end_s - second) if gap.kind == "late" else ("NO_SENSOR_SIGNAL", 0)


def changes(seed: int, start: datetime, end: datetime) -> list[SensorChange]:
    """Sensors that start or end in [start, end)."""
    found: list[SensorChange] = []
    start_s, end_s = start.timestamp(), end.timestamp()
    session = session_at(seed, start_s)
    while session.start_s < end_s:
        for second, started in ((session.start_s, True), (session.worn_out_s, False)):
            if start_s <= second < end_s:
                name = f"sensor-{'on' if started else 'off'}-{second}"
                found.append(SensorChange(name, datetime.fromtimestamp(second, UTC), started, session.serial))
        session = session_at(seed, session.next_s)
    return found
