"""What the pump says of itself when asked: its status, its features, and the answers of its status reader. Pure;
Malformed is all that these raise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from bridge.errors import Malformed
from bridge.readers.minimed_ble.fields import Fields

_STATUS_BYTES = 9
THERAPY: Mapping[int, str] = {0x0F: "undetermined", 0x33: "stop", 0x3C: "pause", 0x55: "run"}
OPERATIONAL: Mapping[int, str] = {
    0x0F: "undetermined", 0x33: "off", 0x3C: "standby", 0x55: "preparing", 0x5A: "priming", 0x66: "waiting",
    0x96: "ready",
}  # fmt: skip
SENSOR_MESSAGE: Mapping[int, str | None] = {
    0x0: None, 0x1: "wait to calibrate", 0x2: "do not calibrate", 0x3: "calibration required", 0x4: "calibrating",
    0x5: "searching signal", 0x6: "no signal", 0x7: "change sensor", 0x8: "warm-up", 0x9: "below limit",
    0xA: "above limit", 0xB: "transmitter battery depleted", 0xC: "connected", 0xD: "waiting for warm-up",
    0xE: "no paired sensor",
}  # fmt: skip
_CONNECTED, _PAIRED, _SIGNAL_LOST, _DETACHED = 1, 2, 4, 8
_RESERVOIR = 0x01
_CONTEXT: Mapping[int, str] = {0x0F: "undetermined", 0x33: "device", 0x3C: "remote", 0x55: "closed_loop"}
_TEMP_TYPE: Mapping[int, str] = {0x0F: "undetermined", 0x33: "absolute", 0x3C: "relative"}
_LOOP: Mapping[int, str] = {0: "open_loop", 1: "auto_basal", 2: "safe_basal"}


@dataclass(frozen=True, slots=True)
class PumpState:
    """The status characteristic. Names of what is not known are None; `reservoir_u` of an empty place is too."""

    therapy: str | None
    operational: str | None
    reservoir_u: Decimal | None
    flags: int
    sensor_connectivity: int
    sensor_message: int

    @property
    def suspended(self) -> bool | None:
        """Whether delivery stands still."""
        return {"run": False, "pause": True, "stop": True}.get(self.therapy or "")

    @property
    def reservoir_attached(self) -> bool:
        """Whether there is one."""
        return bool(self.flags & _RESERVOIR)

    @property
    def sensor_paired(self) -> bool:
        """Whether the pump has a sensor."""
        return bool(self.sensor_connectivity & (_PAIRED | _CONNECTED))

    @property
    def sensor_state(self) -> str | None:
        """What is the matter with the sensor, None when nothing is."""
        if self.sensor_connectivity & _DETACHED:
            return "transmitter detached"
        if self.sensor_connectivity & _SIGNAL_LOST:
            return "signal lost"
        return SENSOR_MESSAGE.get(self.sensor_message)


def parse_status(value: bytes) -> PumpState:
    """The pump's status, nine bytes."""
    if len(value) != _STATUS_BYTES:
        raise Malformed("The pump's status came in a form that is not known.")
    fields = Fields(value)
    return PumpState(
        THERAPY.get(fields.unsigned(1)),
        OPERATIONAL.get(fields.unsigned(1)),
        fields.number(),
        fields.unsigned(1),
        fields.unsigned(1),
        fields.unsigned(1),
    )


@dataclass(frozen=True, slots=True)
class Features:
    """Insulin concentration in U/mL, and what the pump can, bit by bit."""

    concentration: Decimal | None
    flags: int


def parse_features(value: bytes) -> Features:
    """The pump's features: three bytes of flags, one more while the topmost bit is set."""
    fields = Fields(value)
    fields.take(3)
    concentration = fields.short_number()
    flags, bits = fields.unsigned(3), 24
    while flags >> (bits - 1) & 1 and fields.left:
        flags |= fields.unsigned(1) << bits
        bits += 8
    return Features(concentration, flags)


@dataclass(frozen=True, slots=True)
class ActiveBasal:
    """What is delivered now; `temp_value` in U/h or percent, spans in minutes, None for what was not sent."""

    flags: int
    profile: int
    rate_u_h: Decimal | None
    temp_type: str | None = None
    temp_value: Decimal | None = None
    temp_duration_min: int | None = None
    temp_left_min: int | None = None
    template: int | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class InsulinOnBoard:
    """Units, and how long they act."""

    flags: int
    iob_u: Decimal | None
    left_min: int | None = None


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What the closed loop does; `temp_target_left_min` None when there is none."""

    flags: int
    loop: str | None = None
    readiness: int | None = None
    suspend_before_low: int | None = None
    suspend_on_low: int | None = None
    temp_target_left_min: int | None = None


@dataclass(frozen=True, slots=True)
class TimeInRange:
    """Percent of a day. `not_enough`: not enough data."""

    not_enough: int
    above: int
    below: int
    in_range: int
    smartguard: int


@dataclass(frozen=True, slots=True)
class GlucoseLimits:
    """From when to when the pump alerts: minutes of each block and the limit in mg/dL, 0 for none."""

    type: str
    blocks: tuple[tuple[int, Decimal | None], ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """The pump did not answer a request, and why."""

    request: int | None
    code: int | None


Answer: TypeAlias = ActiveBasal | InsulinOnBoard | Algorithm | TimeInRange | GlucoseLimits | Failed


def parse_answer(value: bytes) -> Answer | None:
    """An answer by its opcode, None for one that is not read."""
    fields = Fields(value)
    parser = _ANSWERS.get(fields.unsigned(2))
    return None if parser is None else parser(fields)


def _active_basal(fields: Fields) -> ActiveBasal:
    flags, profile, rate = fields.unsigned(1), fields.unsigned(1), fields.number()
    kind, value, minutes, left = _temporary(fields) if flags & 1 else (None, None, None, None)
    template = fields.unsigned(1) if flags & 2 else None
    context = _CONTEXT.get(fields.unsigned(1)) if flags & 4 else None
    return ActiveBasal(flags, profile, rate, kind, value, minutes, left, template, context)


def _temporary(fields: Fields) -> tuple[str | None, Decimal | None, int, int]:
    return _TEMP_TYPE.get(fields.unsigned(1)), fields.number(), fields.unsigned(2), fields.unsigned(2)


def _insulin_on_board(fields: Fields) -> InsulinOnBoard:
    flags, units = fields.unsigned(1), fields.number()
    return InsulinOnBoard(flags, units, fields.unsigned(2) if flags & 1 else None)


def _algorithm(fields: Fields) -> Algorithm:
    flags = fields.unsigned(2)
    loop, readiness = (_LOOP.get(fields.unsigned(1)), fields.unsigned(1)) if flags & 1 else (None, None)
    before = fields.unsigned(1) if flags & 4 else None
    on = fields.unsigned(1) if flags & 2 else None
    return Algorithm(flags, loop, readiness, before, on, fields.unsigned(2) if flags & 8 else None)


def _time_in_range(fields: Fields) -> TimeInRange:
    return TimeInRange(*fields.take(5))


def _limits(fields: Fields) -> GlucoseLimits:
    flags, kind, _ = fields.take(3)
    blocks = 1 + (flags & 1) + (flags >> 1 & 1)
    return GlucoseLimits(
        "high" if kind else "low", tuple((fields.unsigned(2), fields.short_number()) for _ in range(blocks))
    )


def _failed(fields: Fields) -> Failed:
    request = fields.unsigned(2) if fields.left >= 2 else None
    return Failed(request, fields.unsigned(1) if fields.left else None)


_ANSWERS: Mapping[int, Callable[[Fields], Answer]] = {
    0x0303: _failed,
    0x036A: _active_basal,
    0x03FC: _insulin_on_board,
    0x03FE: _algorithm,
    0x0402: _time_in_range,
    0x148F: _limits,
}
