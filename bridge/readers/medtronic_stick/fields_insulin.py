"""Fields of insulin records: boluses, basal, schedules, primes.

Every parser takes a whole record (opcode first) and whether the pump is of the new form. Amounts are U and U/h.
"""

from __future__ import annotations

from typing import NamedTuple

from bridge.model.units import MGDL_PER_MMOL
from bridge.readers.medtronic_stick.model import GRAMS_PER_EXCHANGE

HALF_HOUR_MIN = 30
_CLEARED = 0x3F
_EXCHANGES = 2
_MMOL = 2


class BolusFields(NamedTuple):
    """`subtype` 1 and 2 normal, 3 square, 4 and 5 the normal and the square part of a dual wave."""

    programmed_u: float
    delivered_u: float
    duration_min: int
    subtype: int
    iob_u: float | None


class WizardFields(NamedTuple):
    """What the bolus calculator was told and advised, in the units it was set to. `bg` 0: none."""

    bg: float
    carbs: float
    ratio: float
    isf: float
    target_low: float
    target_high: float
    correction_u: float
    food_u: float
    iob_u: float
    estimate_u: float
    mmol: bool
    exchanges: bool

    def mgdl(self, value: float) -> float:
        """A glucose value of this record in mg/dL."""
        return value * MGDL_PER_MMOL if self.mmol else value

    @property
    def grams(self) -> float:
        """Carbohydrates in g, an exchange being 15 g."""
        return round(self.carbs * GRAMS_PER_EXCHANGE) if self.exchanges else self.carbs

    @property
    def grams_per_u(self) -> float:
        """Carb ratio in g/U; 0 when none is set."""
        return round(GRAMS_PER_EXCHANGE / self.ratio, 1) if self.exchanges and self.ratio else self.ratio


class Dose(NamedTuple):
    """A part of the insulin on board."""

    units: float
    age_min: int


class Unabsorbed(NamedTuple):
    """Insulin on board by age, as it stood at a bolus calculation."""

    doses: tuple[Dose, ...]


class TempRate(NamedTuple):
    """The rate of a temporary basal: U/h, or percent of the schedule."""

    rate_u_h: float | None
    percent: int | None


class TempDuration(NamedTuple):
    """How long a temporary basal is to run; 0 cancels."""

    duration_min: int


class RateStep(NamedTuple):
    """A basal rate from a minute of the day on."""

    start_min: int
    rate_u_h: float


class ScheduledStart(NamedTuple):
    """The scheduled basal begins or goes on."""

    number: int
    pattern: int
    start_min: int
    rate_u_h: float


class ProfileChange(NamedTuple):
    """A basal profile before or after a change."""

    pattern: int
    steps: tuple[RateStep, ...]


class PatternChange(NamedTuple):
    """Another basal pattern was selected."""

    old: int
    new: int


class PrimeFields(NamedTuple):
    """A prime: of the cannula when a fixed amount was asked for, else of the tubing."""

    fixed_u: float
    delivered_u: float

    @property
    def target(self) -> str:
        """`cannula` or `tubing`."""
        return "cannula" if self.fixed_u else "tubing"


def bolus(d: bytes, new: bool) -> BolusFields:
    """Opcode 0x01. The three top bits of the hour tell the type."""
    if new:
        amounts = (d[1] << 8 | d[2]) / 40, (d[3] << 8 | d[4]) / 40
        return BolusFields(*amounts, d[7] * HALF_HOUR_MIN, d[10] >> 5, (d[5] << 8 | d[6]) / 40)
    return BolusFields(d[1] / 10, d[2] / 10, d[3] * HALF_HOUR_MIN, d[6] >> 5, None)


def wizard(d: bytes, new: bool) -> WizardFields:
    """Opcode 0x5B."""
    return _wizard_new(d) if new else _wizard_old(d, d[19])


def wizard_12(d: bytes, new: bool) -> WizardFields:
    """Opcode 0x2F of the x12, which has one target for low and high."""
    return _wizard_old(d, d[11])


def _wizard_old(d: bytes, target_high: int) -> WizardFields:
    b = d[7:]
    mmol, exchanges = b[1] >> 6 == _MMOL, b[1] >> 4 & 3 == _EXCHANGES
    bg, target = (10, 10) if mmol else (1, 1)
    return WizardFields(
        bg=((b[1] & 3) << 8 | d[1]) / bg,
        carbs=((b[1] & 0x0C) << 6 | b[0]) / (10 if exchanges else 1),
        ratio=b[2] / (10 if exchanges else 1),
        isf=b[3] / bg,
        target_low=b[4] / target,
        target_high=target_high / target,
        correction_u=_signed((b[7] >> 4) << 8 | b[5], 12) / 10,
        food_u=b[6] / 10,
        iob_u=b[9] / 10,
        estimate_u=b[11] / 10,
        mmol=mmol,
        exchanges=exchanges,
    )


def _wizard_new(d: bytes) -> WizardFields:
    b = d[7:]
    mmol, exchanges = b[1] >> 6 == _MMOL, b[1] >> 4 & 3 == _EXCHANGES
    bg = 10 if mmol else 1
    return WizardFields(
        bg=((b[1] & 3) << 8 | d[1]) / bg,
        carbs=((b[1] & 0x04) << 6 | b[0]) / (10 if exchanges else 1),
        ratio=((b[9] >> 1 & 3) << 16 | b[2] << 8 | b[3]) / (1000 if exchanges else 10),
        isf=((d[4] >> 6) << 8 | b[4]) / bg,
        target_low=b[5] / bg,
        target_high=b[14] / bg,
        correction_u=_signed((b[9] >> 3) << 8 | b[6], 13) / 40,
        food_u=((b[9] & 1) << 16 | b[7] << 8 | b[8]) / 40,
        iob_u=(b[10] << 8 | b[11]) / 40,
        estimate_u=(b[12] << 8 | b[13]) / 40,
        mmol=mmol,
        exchanges=exchanges,
    )


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def unabsorbed(d: bytes, new: bool) -> Unabsorbed:
    """Opcodes 0x5C and 0x30."""
    triples = range(2, len(d) - 2, 3)
    return Unabsorbed(tuple(Dose(d[i] / 40, (d[i + 2] & 0x30) << 4 | d[i + 1]) for i in triples))


def temp_rate(d: bytes, new: bool) -> TempRate:
    """Opcode 0x33."""
    if d[7] >> 3:
        return TempRate(None, d[1])
    return TempRate(((d[7] & 7) << 8 | d[1]) / 40, None)


def temp_duration(d: bytes, new: bool) -> TempDuration:
    """Opcode 0x16."""
    return TempDuration(d[1] * HALF_HOUR_MIN)


def scheduled_start(d: bytes, new: bool) -> ScheduledStart:
    """Opcode 0x7B."""
    return ScheduledStart(d[1], d[4] >> 5, d[7] * HALF_HOUR_MIN, (d[9] << 8 | d[8]) / 40)


def profile_change(d: bytes, new: bool) -> ProfileChange:
    """Opcodes 0x08 and 0x09: entries of start and rate (the reverse of the profile command's order)."""
    steps: list[RateStep] = []
    for i in range(7, len(d) - 2, 3):
        start, raw = d[i], d[i + 2] << 8 | d[i + 1]
        if start == _CLEARED or (steps and start * HALF_HOUR_MIN <= steps[-1].start_min):
            break
        steps.append(RateStep(start * HALF_HOUR_MIN, raw / 40))
    return ProfileChange(d[4] >> 5, tuple(steps))


def pattern_change(d: bytes, new: bool) -> PatternChange:
    """Opcode 0x14."""
    return PatternChange(d[1], d[4] >> 5)


def prime(d: bytes, new: bool) -> PrimeFields:
    """Opcode 0x03."""
    return PrimeFields(d[2] / 10, d[4] / 10)
