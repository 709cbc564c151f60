"""`Raw-Values` of the first generation: `KEY=value` pairs, in the spellings before and after June 2015."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from bridge.errors import Malformed
from bridge.readers.carelink_csv.making import digest
from bridge.readers.carelink_csv.numbers import number

_BETWEEN = re.compile(r",\s+(?=[A-Z][A-Z0-9_]*=)", re.ASCII)
_DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+)", re.ASCII)
_REFERENCE = re.compile(r"[A-Z0-9_]*_DATUM", re.ASCII)
_WALL_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001
_MS_PER_MIN = 60_000
_MOST_MS = 4_102_444_800_000
_MOST_SPAN_MS = 31 * 24 * 60 * _MS_PER_MIN

TYPES = {
    "CalBGForPH": "BGCapturedOnPump",
    "CalBGForGH": "SensorCalBG",
    "ChangeSuspendEnable": "ChangeSuspendState",
}
"""Row types of before June 2015 by what they are called since."""
_SUSPEND_KEYS = {"ENABLE": "STATE", "PRE_ENABLE": "PRESTATE"}


def pairs_of(text: str) -> dict[str, str | None]:
    """The pairs as written, `null` as None. Raises Malformed for text that is not pairs."""
    if not text.strip():
        return {}
    found: dict[str, str | None] = {}
    for pair in _BETWEEN.split(text.strip()):
        key, mark, value = pair.partition("=")
        if not mark:
            raise Malformed("`Raw-Values` does not hold KEY=value pairs")
        value = value.strip()
        found[key.strip()] = None if value == "null" else value
    return found


def current_pairs(kind: str, pairs: Mapping[str, str | None]) -> dict[str, str]:
    """The pairs with today's keys and decimal points; absent values left out. `kind` is today's row type."""
    renamed = _SUSPEND_KEYS if kind == "ChangeSuspendState" else {}
    found: dict[str, str] = {}
    for key, value in pairs.items():
        if value is None:
            continue
        name = renamed.get(key, f"{key}_ID" if _REFERENCE.fullmatch(key) else key)
        found[name] = _DECIMAL_COMMA.sub(r"\1.\2", value) if _DECIMAL_COMMA.fullmatch(value) else value
    return found


def values_digest(values: Mapping[str, str], *, without: tuple[str, ...] = ()) -> str:
    """Twelve digits that stand for the values, whatever rows they refer to and however they are spelled."""
    kept = sorted(
        (key, value) for key, value in values.items() if not key.endswith("_DATUM_ID") and key not in without
    )
    return digest(", ".join(f"{key}={value}" for key, value in kept), 12)


class Values:
    """The pairs of one row, read as what they are. Raises Malformed naming the key, never echoing a value."""

    def __init__(self, pairs: Mapping[str, str]) -> None:
        self.pairs = pairs

    def text(self, key: str) -> str:
        """A word; empty when absent."""
        return self.pairs.get(key, "")

    def number(self, key: str) -> float | None:
        """A number, or None when absent."""
        text = self.pairs.get(key)
        return None if text is None or text == "" else number(text, key)

    def needed(self, key: str) -> float:
        """A number that must be there."""
        found = self.number(key)
        if found is None:
            raise Malformed(f"`{key}` is missing")
        return found

    def minutes(self, key: str) -> float:
        """Minutes of a span in milliseconds, at most a month."""
        ms = self.needed(key)
        if not 0 <= ms <= _MOST_SPAN_MS:
            raise Malformed(f"`{key}` is no span of time")
        return ms / _MS_PER_MIN

    def minute_of_day(self, key: str) -> int:
        """Whole minutes after midnight."""
        return int(self.minutes(key))

    def wall(self, key: str) -> datetime:
        """A wall clock written as milliseconds."""
        ms = self.needed(key)
        if not 0 <= ms < _MOST_MS:
            raise Malformed(f"`{key}` is no time")
        return _WALL_EPOCH + timedelta(milliseconds=ms)

    def flag(self, key: str) -> bool:
        """Whether it says true."""
        return self.text(key) == "true"
