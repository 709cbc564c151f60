"""Comparison of what the vectors expect with what came out."""

from __future__ import annotations

from typing import Any

GENERATED = ("<generated>", "<generated id of the embedded datum>")


def same(expected: Any, found: Any) -> bool:
    """Equal as JSON values; a `<generated>` id is any 32 hex digits."""
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and expected.keys() == found.keys()
            and all(same(value, found[name]) for name, value in expected.items())
        )
    if isinstance(expected, list):
        return isinstance(found, list) and len(expected) == len(found) and all(map(same, expected, found))
    if expected in GENERATED:
        return isinstance(found, str) and len(found) == 32
    return bool(expected == found) and isinstance(expected, bool) == isinstance(found, bool)
