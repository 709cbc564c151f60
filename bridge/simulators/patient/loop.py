"""What a closed loop does by itself: micro-doses with pauses, automatic corrections, times in manual mode."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bridge.simulators.patient.chance import draws, smooth, whole
from bridge.simulators.patient.events import Bolus, MicroDose, ModeChange, steps_u

STEP_S = 300
_FORCED_EVERY = 23
"""One slot in so many always doses, so that no pause between doses is longer than 115 min."""
_CORRECTION_EVERY = 13
_LADDER_U = (0.15, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.1, 0.1, 0.075, 0.05, 0.025)
"""Doses by rank: the higher the need, the nearer to the front."""


def manual_span(seed: int, day: int, start: datetime, end: datetime) -> tuple[datetime, datetime] | None:
    """The time of a day in which the loop is off, if it has one."""
    chance = draws(seed, day, "mode")
    if chance.random() >= 0.2:
        return None
    length_s = chance.randint(20, 90) * 60
    begin = start + timedelta(seconds=chance.randint(9 * 3600, int((end - start).total_seconds()) - 3 * 3600))
    return begin, begin + timedelta(seconds=length_s)


def mode_changes(span: tuple[datetime, datetime] | None) -> list[ModeChange]:
    """Loop off and on again."""
    if span is None:
        return []
    return [
        ModeChange(f"mode-{'on' if auto else 'off'}-{int(when.timestamp())}", when, auto)
        for when, auto in zip(span, (False, True), strict=True)
    ]


def micro_doses(
    seed: int,
    day: int,
    start: datetime,
    end: datetime,
    span: tuple[datetime, datetime] | None,
    mgdl_at: Callable[[float], float],
) -> list[MicroDose]:
    """Automatic basal of a day: about 55 % of the five-minute slots, 10-20 U in all."""
    phase = whole(seed, 30, 0, 0, STEP_S - 1)
    first, last = _slot(start, phase), _slot(end, phase)
    slots = [slot for slot in range(first, last) if not _inside(span, slot * STEP_S + phase)]
    need = {slot: _need(seed, slot, mgdl_at) for slot in slots}
    ranked = sorted(slots, key=lambda slot: -need[slot])
    chosen = ranked[: int(len(slots) * draws(seed, day, "basal").uniform(0.44, 0.61))]
    amounts = {slot: _LADDER_U[rank * len(_LADDER_U) // len(chosen)] for rank, slot in enumerate(chosen)}
    forced = [slot for slot in slots if slot % _FORCED_EVERY == 0 or _beside(span, slot * STEP_S + phase)]
    for slot in forced:
        amounts.setdefault(slot, 0.025)
    return [_dose(seed, slot, phase, amounts[slot]) for slot in sorted(amounts)]


def _slot(when: datetime, phase: int) -> int:
    return -int((phase - when.timestamp()) // STEP_S)


def _need(seed: int, slot: int, mgdl_at: Callable[[float], float]) -> float:
    return mgdl_at(slot * STEP_S) / 60 + 1.5 * smooth(seed, 31, 2400, slot * STEP_S)


def _inside(span: tuple[datetime, datetime] | None, second: int) -> bool:
    return span is not None and span[0].timestamp() <= second < span[1].timestamp()


def _beside(span: tuple[datetime, datetime] | None, second: int) -> bool:
    """The slot just before or just after a time in manual mode."""
    return span is not None and (
        0 < span[0].timestamp() - second <= STEP_S or 0 <= second - span[1].timestamp() < STEP_S
    )


def _dose(seed: int, slot: int, phase: int, dose_u: float) -> MicroDose:
    second = slot * STEP_S + phase + whole(seed, 32, slot, 0, 4)
    return MicroDose(f"dose-{slot}", datetime.fromtimestamp(second, UTC), dose_u)


def corrections(
    seed: int,
    start: datetime,
    end: datetime,
    span: tuple[datetime, datetime] | None,
    mgdl_at: Callable[[float], float],
) -> list[Bolus]:
    """Automatic corrections of a day: at most one in 65 minutes, only above 140 mg/dL."""
    phase = whole(seed, 33, 0, 0, STEP_S - 1)
    found = []
    for slot in range(_slot(start, phase), _slot(end, phase)):
        second = slot * STEP_S + phase
        if slot % _CORRECTION_EVERY or _inside(span, second):
            continue
        dose_u = steps_u(min((mgdl_at(second) - 140) / 120, 0.7))
        if dose_u >= 0.1:
            when = datetime.fromtimestamp(second, UTC)
            found.append(Bolus(f"auto-{slot}", when, "AUTOCORRECTION", "FAST", dose_u))
    return found
