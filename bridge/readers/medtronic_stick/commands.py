"""Answers of single commands: one 64-byte payload (three for a basal profile) to values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, TypeAlias

from bridge.errors import Malformed
from bridge.readers.medtronic_stick.fields_insulin import RateStep
from bridge.readers.medtronic_stick.model import PumpModel
from bridge.readers.medtronic_stick.schedules import Range, Step, ranges, rates, ratios, sensitivities, targets

CLOCK, SERIAL, BATTERY, RESERVOIR, FIRMWARE, ERROR = 0x70, 0x71, 0x72, 0x73, 0x74, 0x75
TOTALS, CARB_UNITS, BG_UNITS, MODEL, TEMP_BASAL, STATUS = 0x79, 0x88, 0x89, 0x8D, 0x98, 0xCE
RATIOS, SENSITIVITIES, TARGETS_12, TARGETS, SETTINGS_12, SETTINGS = 0x8A, 0x8B, 0x8C, 0x9F, 0x91, 0xC0
PROFILES = (0x92, 0x93, 0x94)
HISTORY_COUNTER, GLUCOSE_PAGES, CALIBRATION = 0x9D, 0xCD, 0x9C
_KEPT_PAGES = 36
_UNSET_HOURS = 15
_LEFT_HOURS = {0: 6, 1: 8}
_FIRST_WITH_HOURS = 15


class Clock(NamedTuple):
    """The pump's wall clock."""

    wall: datetime


class Serial(NamedTuple):
    """Six characters, as printed on the pump."""

    serial: str


class Firmware(NamedTuple):
    """The firmware's version."""

    version: str


class Battery(NamedTuple):
    """`low` as the pump judges it."""

    low: bool
    volts: float


class Reservoir(NamedTuple):
    """Insulin left."""

    units: float


class ErrorStatus(NamedTuple):
    """The alarm that is active now, 0 for none."""

    code: int


class Totals(NamedTuple):
    """Insulin of today so far and of yesterday."""

    today_u: float
    yesterday_u: float


class ModelText(NamedTuple):
    """The model number."""

    model: str


class Unit(NamedTuple):
    """Carbohydrates in exchanges, or glucose in mmol/L; else grams, mg/dL."""

    other: bool


class CarbRatios(NamedTuple):
    """g/U, or U per exchange."""

    exchanges: bool
    schedule: tuple[Step, ...]


class Sensitivities(NamedTuple):
    """mg/dL or mmol/L per U."""

    mmol: bool
    schedule: tuple[Step, ...]


class Targets(NamedTuple):
    """mg/dL or mmol/L."""

    mmol: bool
    schedule: tuple[Range, ...]


class Profile(NamedTuple):
    """One basal pattern."""

    schedule: tuple[RateStep, ...]


class TempBasal(NamedTuple):
    """The temporary basal. Nothing left: none runs, and the rate is the scheduled one where there is one."""

    percent: int | None
    rate_u_h: float | None
    remaining_min: int


class Status(NamedTuple):
    """What the pump does now."""

    normal: bool
    bolusing: bool
    suspended: bool


class HistoryCounter(NamedTuple):
    """History pages ever begun."""

    counter: int

    @property
    def pages(self) -> int:
        """How many of them the pump still has."""
        return min(self.counter, _KEPT_PAGES)


class GlucosePages(NamedTuple):
    """The newest glucose page, and how many there are."""

    page: int
    glucose_pages: int
    isig_pages: int


class CalibrationFactor(NamedTuple):
    """The sensor's calibration."""

    factor: float


class Settings(NamedTuple):
    """The settings that therapy hangs on. `dia_h` None when unset; `pattern` 0 standard, 1 A, 2 B."""

    auto_off_h: int
    max_bolus_u: float
    max_basal_u_h: float
    patterns_on: bool
    pattern: int
    rf_enabled: bool
    percent_temp: bool
    dia_h: int | None


Answer: TypeAlias = tuple[object, ...]
_Parse: TypeAlias = Callable[[bytes, PumpModel], Answer]


def read_answer(opcode: int, payload: bytes, model: PumpModel) -> Answer:
    """The values of an answer, as one of this module's types. Raises Malformed for one that cannot be read."""
    if opcode not in _ANSWERS:
        raise Malformed(f"Nothing is known of an answer to command {opcode:02x}.")
    least, parse = _ANSWERS[opcode]
    if len(payload) < least:
        raise Malformed(f"The answer to command {opcode:02x} is too short: {len(payload)} bytes.")
    return parse(payload.ljust(64, b"\0"), model)


def _u16(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _text(data: bytes) -> str:
    text = data.decode("ascii", "replace").strip()
    if not text.isprintable() or not text.isascii():
        raise Malformed("The pump answered with something that is no text.")
    return text


def _clock(p: bytes, model: PumpModel) -> Clock:
    try:
        return Clock(datetime(_u16(p, 3), p[5], p[6], p[0], p[1], p[2]))  # noqa: DTZ001 - a wall clock has no zone
    except ValueError:
        raise Malformed("The pump's clock shows a time that does not exist.") from None


def _firmware(p: bytes, model: PumpModel) -> Firmware:
    return Firmware(_text(p.split(b"\x0b")[0].rstrip(b"\0")))


def _battery(p: bytes, model: PumpModel) -> Battery:
    return Battery(p[0] != 0, _u16(p, 1) / 100)


def _reservoir(p: bytes, model: PumpModel) -> Reservoir:
    return Reservoir(_u16(p, 2) / 40 if model.new else _u16(p, 0) / 10)


def _totals(p: bytes, model: PumpModel) -> Totals:
    if model.new:
        return Totals(_u32(p, 0) / 40, _u32(p, 4) / 40)
    return Totals(_u16(p, 0) / 10, _u16(p, 2) / 10)


def _carb_ratios(p: bytes, model: PumpModel) -> CarbRatios:
    exchanges = p[0] == 2
    return CarbRatios(exchanges, ratios(p[2:] if model.new else p[1:], model.new, exchanges))


def _temp_basal(p: bytes, model: PumpModel) -> TempBasal:
    if p[0] == 1:
        return TempBasal(p[1], None, _u16(p, 4))
    return TempBasal(None, _u16(p, 2) / 40, _u16(p, 4))


def _settings(p: bytes, model: PumpModel) -> Settings:
    max_bolus, max_basal = (6, 7) if model.new else (5, 6)
    return Settings(
        auto_off_h=p[0],
        max_bolus_u=p[max_bolus] / 10,
        max_basal_u_h=_u16(p, max_basal) / 40,
        patterns_on=p[10] != 0,
        pattern=p[11],
        rf_enabled=p[12] != 0,
        percent_temp=p[14] == 1,
        dia_h=_dia_h(p[17], model),
    )


def _dia_h(value: int, model: PumpModel) -> int | None:
    """Hours; the x12 knows but fast and regular insulin, 0 and 1, and so do the next with a setting left over."""
    if not model.new and value in _LEFT_HOURS:
        return _LEFT_HOURS[value]
    return value if model.family >= _FIRST_WITH_HOURS and 0 < value < _UNSET_HOURS else None


_ANSWERS: dict[int, tuple[int, _Parse]] = {
    CLOCK: (7, _clock),
    SERIAL: (6, lambda p, model: Serial(_text(p[:6]))),
    BATTERY: (3, _battery),
    RESERVOIR: (2, _reservoir),
    FIRMWARE: (1, _firmware),
    ERROR: (1, lambda p, model: ErrorStatus(p[0])),
    TOTALS: (4, _totals),
    CARB_UNITS: (1, lambda p, model: Unit(p[0] == 2)),
    BG_UNITS: (1, lambda p, model: Unit(p[0] == 2)),
    MODEL: (2, lambda p, model: ModelText(_text(p[1 : 1 + p[0]]))),
    RATIOS: (3, _carb_ratios),
    SENSITIVITIES: (3, lambda p, model: Sensitivities(p[0] == 2, sensitivities(p[1:], p[0] == 2))),
    TARGETS_12: (3, lambda p, model: Targets(p[0] == 2, targets(p[1:], p[0] == 2))),
    TARGETS: (4, lambda p, model: Targets(p[0] == 2, ranges(p[1:], p[0] == 2))),
    SETTINGS_12: (18, _settings),
    SETTINGS: (18, _settings),
    **dict.fromkeys(PROFILES, (3, lambda p, model: Profile(rates(p)))),
    TEMP_BASAL: (6, _temp_basal),
    STATUS: (3, lambda p, model: Status(p[0] == 3, p[1] != 0, p[2] != 0)),
    HISTORY_COUNTER: (4, lambda p, model: HistoryCounter(_u32(p, 0))),
    GLUCOSE_PAGES: (8, lambda p, model: GlucosePages(_u32(p, 0), p[5], p[7])),
    CALIBRATION: (2, lambda p, model: CalibrationFactor(_u16(p, 0) / 1000)),
}
"""By opcode: the least length, and the reader of the padded payload."""


def is_read(opcode: int) -> bool:
    """Whether answers to this command are understood."""
    return opcode in _ANSWERS
