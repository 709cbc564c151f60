"""Numbers as exports of all locales write them, and glucose in mg/dL."""

from __future__ import annotations

import re
from math import floor

from bridge.errors import Malformed
from bridge.model.units import MGDL_PER_MMOL

MMOL = "mmol/L"
MGDL = "mg/dL"
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:[.,]\d{1,15})?", re.ASCII)
_LARGEST_MMOL = 35.0
"""No meter or sensor shows more mmol/L, and none shows fewer mg/dL for a reading in range."""


def number(text: str, name: str) -> float:
    """A number with a decimal point or a decimal comma. Raises Malformed naming the column, never the text."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        raise Malformed(f"`{name}` is not a number")
    return float(text.replace(",", "."))


def plain(value: float) -> str:
    """The shortest text of a number, for keys: the same in every locale."""
    return f"{value:g}" if abs(value) < 100_000 else repr(value)


def mgdl_of(mmol_l: float) -> int:
    """mg/dL of mmol/L, halves upward."""
    return floor(mmol_l * MGDL_PER_MMOL + 0.5)


def looks_like_mmol(value: float) -> bool:
    """Whether a glucose value out of a mmol/L export is mmol/L; such exports also hold mg/dL."""
    return value < _LARGEST_MMOL
