"""Fields of events, glucose entries, markers and daily totals.

Every parser takes a whole record (opcode first) and whether the pump is of the new form.
"""

from __future__ import annotations

from typing import NamedTuple

from bridge.model.units import MGDL_PER_MMOL
from bridge.readers.medtronic_stick.model import GRAMS_PER_EXCHANGE

_MMOL = 2
_EXCHANGES = 2
_FULL_DETAIL = 33
_SHORTEST_DETAIL = 18


class AlarmFields(NamedTuple):
    """A pump alarm and where in the firmware it arose."""

    code: int
    line: int
    module: int


class SensorAlarm(NamedTuple):
    """A sensor alert; `value` is what the pump showed with it, in its own unit, or 0."""

    code: int
    value: int


class ClearedAlarm(NamedTuple):
    """An alarm that a person cleared."""

    code: int


class BgFields(NamedTuple):
    """A glucose value entered or received."""

    bg: float
    mmol: bool

    @property
    def mgdl(self) -> int:
        """The value in mg/dL."""
        return round(self.bg * MGDL_PER_MMOL) if self.mmol else int(self.bg)


class MeterBg(NamedTuple):
    """A linked meter's value, in the pump's unit (which it does not name)."""

    bg_raw: int
    meter_id: str


class Delivery(NamedTuple):
    """State of delivery after a suspend or resume: 0 pumping, 1 suspended by a person, 2 to 5 at low glucose,
    6 to 8 resuming. Old pumps leave both 0."""

    state: int
    before: int


class BatteryFields(NamedTuple):
    """The battery went in or out."""

    inserted: bool


class LowReservoir(NamedTuple):
    """The reservoir warning."""

    units_left: float


class Meal(NamedTuple):
    """A meal marker."""

    carbs: float
    exchanges: bool

    @property
    def grams(self) -> float:
        """Carbohydrates in g."""
        return round(self.carbs * GRAMS_PER_EXCHANGE) if self.exchanges else self.carbs


class InsulinMarker(NamedTuple):
    """Insulin given by other means."""

    units: float


class DayTotal(NamedTuple):
    """Insulin of a whole day."""

    total_u: float


class DayParts(NamedTuple):
    """Bolus insulin of a day by cause, and carbohydrates."""

    carbs: int
    food_u: float
    correction_u: float
    food_corr_u: float
    manual_u: float
    n_food: int
    n_corr: int
    n_food_corr: int
    n_manual: int


class DayDetail(NamedTuple):
    """Insulin of a whole day. `parts` only from new pumps."""

    total_u: float
    basal_u: float
    bolus_u: float | None
    parts: DayParts | None


def alarm(d: bytes, new: bool) -> AlarmFields:
    """Opcode 0x06."""
    return AlarmFields(d[1], d[2] << 8 | d[3], (d[6] >> 5) << 3 | d[7] >> 5)


def sensor_alarm(d: bytes, new: bool) -> SensorAlarm:
    """Opcode 0x0B."""
    return SensorAlarm(d[1], (d[7] & 0x80) << 1 | d[2])


def cleared_alarm(d: bytes, new: bool) -> ClearedAlarm:
    """Opcode 0x0C."""
    return ClearedAlarm(d[1])


def bg(d: bytes, new: bool) -> BgFields:
    """Opcode 0x0A: ten bits, the top two in the date."""
    value, mmol = (d[4] >> 7) << 9 | (d[6] >> 7) << 8 | d[1], d[4] >> 5 & 3 == _MMOL
    return BgFields(value / 10 if mmol else value, mmol)


def meter_bg(d: bytes, new: bool) -> MeterBg:
    """Opcodes 0x3F and 0x39."""
    return MeterBg(d[1] << 3 | d[4] >> 5, d[7:10].hex())


def delivery(d: bytes, new: bool) -> Delivery:
    """Opcodes 0x1E and 0x1F."""
    return Delivery(d[1] & 0x1F, d[1] >> 5)


def battery(d: bytes, new: bool) -> BatteryFields:
    """Opcode 0x1A."""
    return BatteryFields(d[1] != 0)


def low_reservoir(d: bytes, new: bool) -> LowReservoir:
    """Opcode 0x34."""
    return LowReservoir(d[1] / 10)


def meal(d: bytes, new: bool) -> Meal:
    """Opcode 0x40."""
    if d[8] & 3 == _EXCHANGES:
        return Meal(d[7] / 10, True)
    return Meal((d[1] & 1) << 8 | d[7], False)


def insulin_marker(d: bytes, new: bool) -> InsulinMarker:
    """Opcode 0x42."""
    return InsulinMarker(((d[4] & 0x60) << 3 | d[1]) / 10)


def day_total(d: bytes, new: bool) -> DayTotal:
    """Opcode 0x07."""
    return DayTotal((d[3] << 8 | d[4]) / 40)


def day_detail(d: bytes, new: bool) -> DayDetail:
    """Opcodes 0x6C, 0x6D and 0x6E, the last also cut off at the end of a page."""
    total_u, basal_u = (d[11] << 8 | d[12]) / 40, (d[13] << 8 | d[14]) / 40
    if len(d) < _SHORTEST_DETAIL:
        return DayDetail(total_u, basal_u, None, None)
    bolus_u = (d[16] << 8 | d[17]) / 40
    return DayDetail(total_u, basal_u, bolus_u, _day_parts(d) if d[0] == 0x6E and len(d) >= _FULL_DETAIL else None)


def _day_parts(d: bytes) -> DayParts:
    food_u, correction_u, food_corr_u, manual_u = ((d[i] << 8 | d[i + 1]) / 40 for i in (21, 23, 25, 27))
    return DayParts(d[19] << 8 | d[20], food_u, correction_u, food_corr_u, manual_u, d[29], d[30], d[31], d[32])
