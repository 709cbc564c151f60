"""Seeded chance without state: the same place of the timeline always draws the same number."""

from __future__ import annotations

from math import cos, pi
from random import Random

_MASK = (1 << 64) - 1


def draws(seed: int, day: int, stream: str) -> Random:
    """The random numbers of one stream of one day."""
    return Random(f"{seed}|{day}|{stream}")


def unit(seed: int, stream: int, index: int) -> float:
    """A number in [0, 1) that belongs to a place of a lattice (splitmix64)."""
    state = (seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03 + index * 0x8CB92BA72F3D8DD7) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((state ^ (state >> 31)) >> 11) / (1 << 53)


def whole(seed: int, stream: int, index: int, low: int, high: int) -> int:
    """A whole number of low..high, both included."""
    return low + int(unit(seed, stream, index) * (high - low + 1))


def smooth(seed: int, stream: int, period_s: float, epoch_s: float) -> float:
    """Smooth noise in -1..1: lattice values every `period_s` seconds joined by cosines."""
    place = epoch_s / period_s
    index = int(place // 1)
    blend = (1 - cos((place - index) * pi)) / 2
    before, after = unit(seed, stream, index), unit(seed, stream, index + 1)
    return 2 * (before + (after - before) * blend) - 1
