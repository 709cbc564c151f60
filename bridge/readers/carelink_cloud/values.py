"""Single values of an answer, taken with distrust: a wrong type or a placeholder is None, never a guess."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LONGEST_NUMBER = 40


def number(value: object) -> int | float | None:
    """A finite number below 1e15 in size, also from text ("0.375"); None for everything else, bool included."""
    if isinstance(value, str):
        if len(value) > _LONGEST_NUMBER or "_" in value:
            return None
        try:
            value = float(value)
        except ValueError:
            return None
    elif isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -1e15 < value < 1e15 else None


def whole(value: object) -> int | None:
    """A number without a fraction."""
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def amount(value: object) -> float | None:
    """A number of 0 or more; -1 and other negatives mean "unknown" there."""
    found = number(value)
    return found if found is not None and found >= 0 else None


def level(value: object) -> float | None:
    """Percent 0..100; -1 and 255 mean "not applicable"."""
    found = number(value)
    return found if found is not None and 0 <= found <= 100 else None


def text(value: object, longest: int = 64) -> str | None:
    """Printable text without outer blanks; None when empty, too long, or not fit for storing."""
    if not isinstance(value, str):
        return None
    value = value.strip()
    return value if value and len(value) <= longest and value.isprintable() else None


def flag(value: object) -> bool | None:
    """True or False as JSON has it, also as text ("true"); else None."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON object, or an empty one."""
    return value if isinstance(value, dict) else {}


def listed(value: object) -> list[Any]:
    """A JSON array, or an empty one."""
    return value if isinstance(value, list) else []


def shown(value: object) -> str:
    """A value as a diagnostic may show it: short; of objects and arrays only that they are one."""
    return str(value)[:60] if isinstance(value, str | int | float) or value is None else f"a {type(value).__name__}"
