"""The pump's answers, decrypted: what each says. Offsets count from the sequence byte; no CRC at the end.

All raise Malformed for an answer that is too short, of another command, or fails its inner check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from bridge.errors import Malformed
from bridge.readers.medtronic_600.clock import signed
from bridge.readers.medtronic_600.event_fields import entries
from bridge.readers.medtronic_600.event_settings import basal_entry
from bridge.wire.crc import crc16

PATTERN_NAMES = ("Pattern 1", "Pattern 2", "Pattern 3", "Pattern 4", "Pattern 5", "Workday", "Day Off", "Sick Day")
GRAMS_PER_EXCHANGE = 15
_DISPLAY_UNITS = ("mg/dL", "mmol/L")


class PumpTime(NamedTuple):
    """0x0407. `offset` signed."""

    is_set: bool
    rtc: int
    offset: int


class BasalRate(NamedTuple):
    """An entry of a basal pattern."""

    start_min: int
    rate_u_h: float


class BasalPattern(NamedTuple):
    """0x0123; `rates` is empty for a pattern that is not in use."""

    number: int
    rates: tuple[BasalRate, ...]

    @property
    def name(self) -> str:
        """As the pump shows it."""
        return pattern_name(self.number)


class CarbRatio(NamedTuple):
    """An entry of 0x012C: `g_u` is 0 on a pump that counts exchanges, whose ratio is `u_exchange`."""

    start_min: int
    g_u: float
    u_exchange: float


class Sensitivity(NamedTuple):
    """An entry of 0x012F."""

    start_min: int
    mgdl: int
    mmol: float


class Target(NamedTuple):
    """An entry of 0x0132."""

    start_min: int
    low_mgdl: int
    high_mgdl: int


class BasicParameters(NamedTuple):
    """0x0139."""

    extended_bolus: bool
    max_bolus_u: float
    max_basal_u_h: float
    dia_min: int
    temp_is_percent: bool
    wizard: bool


@dataclass(frozen=True, slots=True)
class Characteristics:
    """0x0201: who the pump is. The units of its display are not quite certain."""

    serial: str
    mac: str
    comd_version: str
    teld_version: str
    model_version: str
    ping_s: int
    sync_s: int
    max_message: int
    device_class: int
    class_version: int
    firmware: str
    motor: str
    units: int

    @property
    def display_unit(self) -> str | None:
        """`mg/dL` or `mmol/L`."""
        return _DISPLAY_UNITS[self.units] if self.units < len(_DISPLAY_UNITS) else None


class DeviceText(NamedTuple):
    """0x013B; of type 4 it is the model."""

    kind: int
    language: int
    text: str


class HistoryInfo(NamedTuple):
    """0x030D: how much a request would bring, and from when to when (counter and signed offset)."""

    data_type: int
    size: int
    start: tuple[int, int]
    end: tuple[int, int]


def pattern_name(number: int) -> str:
    """The pump's own name of basal pattern 1..8; another number gets a plain one."""
    return PATTERN_NAMES[number - 1] if 1 <= number <= len(PATTERN_NAMES) else f"Pattern {number}"


def checked(payload: bytes, command: int, size: int) -> bytes:
    """The payload, when it is of that command and holds `size` bytes. Raises Malformed otherwise."""
    if len(payload) < max(size, 3) or int.from_bytes(payload[1:3], "big") != command:
        raise Malformed(f"The pump's answer {command:04x} is not as expected.", next_step="Read the pump again.")
    return payload


def unsigned(payload: bytes, at: int, size: int) -> int:
    """A big-endian number within a checked payload."""
    return int.from_bytes(payload[at : at + size], "big")


def insulin(payload: bytes, at: int) -> float:
    """U or U/h within a checked payload."""
    return unsigned(payload, at, 4) / 10_000


def read_time(payload: bytes) -> PumpTime:
    """0x0407."""
    checked(payload, 0x0407, 12)
    return PumpTime(payload[3] == 1, unsigned(payload, 4, 4), signed(unsigned(payload, 8, 4)))


def read_basal_pattern(payload: bytes) -> BasalPattern:
    """0x0123."""
    checked(payload, 0x0123, 5)
    rates = [basal_entry(part) for part in entries(payload, 5, payload[4], 5)]
    return BasalPattern(payload[3], tuple(BasalRate(**rate) for rate in rates))


def _table(payload: bytes, command: int, width: int) -> list[bytes]:
    checked(payload, command, 6)
    rows = entries(payload, 6, payload[5], width)
    if crc16(payload[5:]) != unsigned(payload, 3, 2):
        raise Malformed(f"The pump's table {command:04x} fails its check.", next_step="Read the pump again.")
    return rows


def read_carb_ratios(payload: bytes) -> tuple[CarbRatio, ...]:
    """0x012C."""
    rows = _table(payload, 0x012C, 9)
    return tuple(CarbRatio(row[8] * 30, unsigned(row, 0, 4) / 10, unsigned(row, 4, 4) / 1000) for row in rows)


def read_sensitivities(payload: bytes) -> tuple[Sensitivity, ...]:
    """0x012F."""
    rows = _table(payload, 0x012F, 5)
    return tuple(Sensitivity(row[4] * 30, unsigned(row, 0, 2), unsigned(row, 2, 2) / 10) for row in rows)


def read_targets(payload: bytes) -> tuple[Target, ...]:
    """0x0132."""
    return tuple(Target(row[8] * 30, unsigned(row, 4, 2), unsigned(row, 0, 2)) for row in _table(payload, 0x0132, 9))


def read_basic_parameters(payload: bytes) -> BasicParameters:
    """0x0139."""
    checked(payload, 0x0139, 0x38)
    return BasicParameters(
        extended_bolus=payload[6] != 0,
        max_bolus_u=insulin(payload, 0x14),
        max_basal_u_h=insulin(payload, 0x18),
        dia_min=unsigned(payload, 0x24, 2),
        temp_is_percent=payload[0x30] != 0,
        wizard=payload[0x37] != 0,
    )


def read_characteristics(payload: bytes) -> Characteristics:
    """0x0201."""
    checked(payload, 0x0201, 0x36)
    return Characteristics(
        serial=_ascii(payload[3:13]),
        mac=payload[13:21].hex(),
        comd_version=f"{payload[0x15]}.{payload[0x16]}{_letter(65 + payload[0x17])}",
        teld_version=f"{payload[0x18] >> 3}.{(payload[0x18] & 7) << 3 | payload[0x19] >> 5}"
        f"{_letter(64 + (payload[0x19] & 31))}",
        model_version=f"{unsigned(payload, 0x1A, 2)}.{unsigned(payload, 0x1C, 2)}",
        ping_s=unsigned(payload, 0x1E, 2),
        sync_s=unsigned(payload, 0x20, 2),
        max_message=unsigned(payload, 0x22, 4),
        device_class=payload[0x26],
        class_version=payload[0x27],
        firmware=f"{payload[0x29]}.{payload[0x2A]}{_letter(payload[0x2B])}",
        motor=f"{payload[0x2C]}.{payload[0x2D]}{_letter(payload[0x2E])}",
        units=payload[0x35],
    )


def read_device_text(payload: bytes) -> DeviceText:
    """0x013B."""
    checked(payload, 0x013B, 94)
    text = payload[0x0E:0x5E].decode("utf-16-be", "replace").replace("\0", "").strip()
    return DeviceText(unsigned(payload, 11, 2), payload[13], text if text.isprintable() else "")


def read_history_info(payload: bytes) -> HistoryInfo:
    """0x030D."""
    checked(payload, 0x030D, 24)
    start, end = ((unsigned(payload, at, 4), signed(unsigned(payload, at + 4, 4))) for at in (8, 16))
    return HistoryInfo(payload[3], unsigned(payload, 4, 4), start, end)


def _ascii(raw: bytes) -> str:
    text = raw.decode("ascii", "replace").strip(" \0")
    return text if text.isprintable() and "\ufffd" not in text else ""


def _letter(code: int) -> str:
    return chr(code) if 65 <= code <= 90 else ""
