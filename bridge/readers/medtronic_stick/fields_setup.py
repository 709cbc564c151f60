"""Fields of settings changes in the history.

Every parser takes a whole record (opcode first) and whether the pump is of the new form.
"""

from __future__ import annotations

from typing import NamedTuple

from bridge.readers.medtronic_stick.schedules import Range, Step, ranges, ratios, sensitivities

_UNSET_HOURS = 15
_SLOTS = 8
_HEAD = 7


class Limit(NamedTuple):
    """The most a bolus (U) or a basal rate (U/h) may be."""

    value: float


class Switch(NamedTuple):
    """0x62: temporary rates in percent, else absolute. 0x64: 24 hours, else 12."""

    on: bool


class WizardHalf(NamedTuple):
    """The calculator's settings in the units they were set to."""

    mmol: bool
    exchanges: bool
    ratios: tuple[Step, ...]
    sensitivities: tuple[Step, ...]
    targets: tuple[Range, ...]


class WizardSetup(NamedTuple):
    """The calculator's settings before and after a change; hours None when unset."""

    before: WizardHalf
    after: WizardHalf
    dia_before_h: int | None
    dia_after_h: int | None


def max_bolus(d: bytes, new: bool) -> Limit:
    """Opcode 0x24."""
    return Limit((((d[1] & 0x1F) << 5) | ((d[4] & 0xE0) >> 3) | (d[6] >> 6)) / 40) if new else Limit(d[1] / 10)


def max_basal(d: bytes, new: bool) -> Limit:
    """Opcode 0x2C."""
    return Limit((d[1] | (d[4] & 0xE0) << 3) / 40)


def switch(d: bytes, new: bool) -> Switch:
    """Opcodes 0x62 and 0x64."""
    return Switch(d[1] == 1)


def wizard_setup(d: bytes, new: bool) -> WizardSetup:
    """Opcode 0x5A: two equal halves, then the hours of insulin action."""
    size = (len(d) - _HEAD - 1) // 2
    halves = d[_HEAD : _HEAD + size], d[_HEAD + size : _HEAD + 2 * size]
    hours = d[-1]
    return WizardSetup(_half(halves[0], new), _half(halves[1], new), _hours(hours & 0x0F), _hours(hours >> 4))


def _half(half: bytes, new: bool) -> WizardHalf:
    exchanges, mmol = half[0] & 3 == 2, half[0] >> 2 & 3 == 2
    ratio_size, spare = (3, 2) if new else (2, 0)
    isf_at = 2 + _SLOTS * ratio_size
    target_at = isf_at + _SLOTS * 2 + spare
    return WizardHalf(
        mmol,
        exchanges,
        ratios(half[2:isf_at], new, exchanges),
        sensitivities(half[isf_at : isf_at + _SLOTS * 2], mmol),
        ranges(half[target_at : target_at + _SLOTS * 3], mmol),
    )


def _hours(value: int) -> int | None:
    return None if value == _UNSET_HOURS else value
