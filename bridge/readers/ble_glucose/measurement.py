"""Glucose Measurement (2A18): one stored result of a meter. Pure; Malformed is all that this raises."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, TypeAlias

from bridge.errors import Malformed
from bridge.model.units import MGDL_PER_MMOL
from bridge.wire.date_time import DATE_TIME_BYTES, date_time
from bridge.wire.sfloat import Number, Special, finite, sfloat

_MGDL_PER_MMOL = Decimal(str(MGDL_PER_MMOL))
HIGHEST_MGDL, LOWEST_MGDL = 600, 10
"""Beyond these a meter shows HI and LO; its own limits are not transmitted."""
_LEAST_BYTES = 3 + DATE_TIME_BYTES
_HAS_OFFSET, _HAS_CONCENTRATION, _IN_MOL, _HAS_STATUS, _CONTEXT_FOLLOWS = 1, 2, 4, 8, 16
_CONTROL_TYPE, _CONTROL_LOCATION = 10, 4
_HIGH_BIT, _LOW_BIT, _TIME_FAULT_BIT = 5, 6, 11
_QUESTIONS = {
    1: "sensor_malfunction", 2: "sample_too_small", 3: "strip_insertion", 4: "strip_type", 7: "temperature_high",
    8: "temperature_low", 9: "read_interrupted", 10: "general_fault",
}  # fmt: skip
"""Status bits that put a result in question."""

Unit: TypeAlias = Literal["kg/L", "mol/L"]
OutOfRange: TypeAlias = Literal["low", "high"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value as sent. Times are the meter's wall clock, None where it marks them as unknown."""

    raw: bytes
    sequence: int
    base_time: datetime | None
    time_offset_min: int | None
    context_follows: bool
    unit: Unit | None = None
    concentration: Number | None = None
    sample_type: int | None = None
    sample_location: int | None = None
    status: int | None = None

    @property
    def user_facing_time(self) -> datetime | None:
        """What the meter showed with the result."""
        return None if self.base_time is None else self.base_time + timedelta(minutes=self.time_offset_min or 0)

    @property
    def mg_dl(self) -> Decimal | None:
        """The value, exact where the meter sent kg/L."""
        found = finite(self.concentration)
        if found is None:
            return None
        return found.scaleb(5) if self.unit == "kg/L" else found.scaleb(3) * _MGDL_PER_MMOL

    @property
    def mmol_l(self) -> Decimal | None:
        """The value as sent in mol/L, None where the meter sent kg/L."""
        found = finite(self.concentration)
        return None if found is None or self.unit != "mol/L" else found.scaleb(3)

    @property
    def control(self) -> bool:
        """Whether it was a test of the meter and not of blood. Some meters say so in the one nibble or the other."""
        return _CONTROL_TYPE in (self.sample_type, self.sample_location) or self.sample_location == _CONTROL_LOCATION

    @property
    def out_of_range(self) -> OutOfRange | None:
        """Whether the meter showed HI or LO: by its status, by an infinite value, by the number."""
        if self._bit(_HIGH_BIT) or self.concentration is Special.PLUS_INFINITY:
            return "high"
        if self._bit(_LOW_BIT) or self.concentration is Special.MINUS_INFINITY:
            return "low"
        if self.mg_dl is None:
            return None
        if self.mg_dl > HIGHEST_MGDL:
            return "high"
        return "low" if self.mg_dl < LOWEST_MGDL else None

    @property
    def time_fault(self) -> bool:
        """Whether the meter doubts its clock."""
        return self._bit(_TIME_FAULT_BIT)

    @property
    def questions(self) -> tuple[str, ...]:
        """What puts the result in question."""
        return tuple(name for bit, name in _QUESTIONS.items() if self._bit(bit))

    def _bit(self, bit: int) -> bool:
        return bool((self.status or 0) >> bit & 1)


def parse_measurement(value: bytes) -> Measurement:
    """The result that a value is; bytes beyond it are let be. Raises Malformed when it is too short or undated."""
    if len(value) < _LEAST_BYTES:
        raise Malformed(f"A result of the meter has {len(value)} bytes, that is too short.")
    flags, rest = value[0], _Fields(value, _LEAST_BYTES)
    offset_min = int.from_bytes(rest.take(2), "little", signed=True) if flags & _HAS_OFFSET else None
    unit: Unit = "mol/L" if flags & _IN_MOL else "kg/L"
    has = bool(flags & _HAS_CONCENTRATION)
    concentration = sfloat(rest.take(2)) if has else None
    nibbles = rest.take(1)[0] if has else None
    return Measurement(
        raw=value,
        sequence=int.from_bytes(value[1:3], "little"),
        base_time=date_time(value[3:_LEAST_BYTES]),
        time_offset_min=offset_min,
        context_follows=bool(flags & _CONTEXT_FOLLOWS),
        unit=unit if has else None,
        concentration=concentration,
        sample_type=None if nibbles is None else nibbles & 0x0F,
        sample_location=None if nibbles is None else nibbles >> 4,
        status=int.from_bytes(rest.take(2), "little") if flags & _HAS_STATUS else None,
    )


class _Fields:
    """The optional fields, one after the other."""

    def __init__(self, value: bytes, start: int) -> None:
        self._value, self._at = value, start

    def take(self, size: int) -> bytes:
        """The next field. Raises Malformed when it is cut."""
        field = self._value[self._at : self._at + size]
        if len(field) < size:
            raise Malformed("A result of the meter is cut short.")
        self._at += size
        return field
