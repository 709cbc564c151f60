"""The two number formats of Bluetooth health profiles: decimal floats of 16 and of 32 bits, little-endian."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import TypeAlias

from bridge.errors import Malformed


class Special(Enum):
    """What is not a number. `NRES`: not at this resolution."""

    NAN = "NaN"
    NRES = "NRes"
    PLUS_INFINITY = "+inf"
    MINUS_INFINITY = "-inf"
    RESERVED = "reserved"


Number: TypeAlias = Decimal | Special
"""An exact decimal, or why there is none."""

SFLOAT_BYTES, FLOAT_BYTES = 2, 4
_SPECIALS = {
    -1: Special.NAN,
    0: Special.NRES,
    -2: Special.PLUS_INFINITY,
    2: Special.MINUS_INFINITY,
    1: Special.RESERVED,
}
"""By distance from half of the mantissa's range, where the exponent is 0."""


def sfloat(raw: bytes) -> Number:
    """A 16-bit value: four bits exponent, twelve bits mantissa. Raises Malformed unless there are two bytes."""
    return _number(raw, SFLOAT_BYTES, 12)


def float32(raw: bytes) -> Number:
    """A 32-bit value: eight bits exponent, 24 bits mantissa. Raises Malformed unless there are four bytes."""
    return _number(raw, FLOAT_BYTES, 24)


def finite(number: Number | None) -> Decimal | None:
    """The number, None for all that is not one."""
    return number if isinstance(number, Decimal) else None


def _number(raw: bytes, size: int, mantissa_bits: int) -> Number:
    if len(raw) != size:
        raise Malformed(f"A number of {size} bytes came with {len(raw)}.")
    word, half = int.from_bytes(raw, "little"), 1 << (mantissa_bits - 1)
    exponent, mantissa = word >> mantissa_bits, word & (2 * half - 1)
    if exponent == 0 and (special := _SPECIALS.get(mantissa - half)) is not None:
        return special
    signed = mantissa - 2 * half if mantissa >= half else mantissa
    exponent_half = 1 << (8 * size - mantissa_bits - 1)
    return Decimal(signed).scaleb(exponent - 2 * exponent_half if exponent >= exponent_half else exponent)
