"""The lines of a transfer, as the meter means them. Pure; Malformed is all that these raise."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from bridge.errors import Malformed
from bridge.readers.contour_usb.header import Header, field, parse_header, parse_stamp

METHODS = {"P": "plasma", "B": "whole blood", "C": "capillary", "D": "deproteinised whole blood"}
TAGS = {"D": "dont_feel_right", "I": "sick", "S": "stress", "X": "activity"}
_MEALS: Mapping[str, Meal] = {"B": "before", "A": "after", "F": "fasting"}
_RANGES: Mapping[str, OutOfRange] = {"<": "low", ">": "high"}
_ANALYTES = {name.lower(): name for name in ("Glucose", "Carb", "Insulin", "Ketone")}
_NUMBER = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,3})?", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,6}", re.ASCII)
_AFTER_MEAL = re.compile(r"Z([1-9A-C])")

Meal: TypeAlias = Literal["before", "after", "fasting"]
OutOfRange: TypeAlias = Literal["low", "high"]


@dataclass(frozen=True, slots=True)
class Result:
    """One stored result. `value` is the number as sent (of insulin tenths of a unit); `stamp` 12 or 14 digits,
    `wall` the same on the meter's clock. `analyte` is as sent where it is not one of the known four."""

    sequence: int | None
    analyte: str
    value: str
    unit: str
    method: str
    markers: tuple[str, ...]
    stamp: str
    wall: datetime

    @property
    def number(self) -> float:
        """The value as a number, in the meter's own unit."""
        return float(self.value)

    @property
    def meal(self) -> Meal | None:
        """The meal mark, if there is one."""
        return next((_MEALS[marker] for marker in self.markers if marker in _MEALS), None)

    @property
    def control_solution(self) -> bool:
        """Whether it was a test of the meter and not of blood."""
        return "C" in self.markers

    @property
    def out_of_range(self) -> OutOfRange | None:
        """Whether the meter showed LO or HI instead of a number."""
        return next((_RANGES[marker] for marker in self.markers if marker in _RANGES), None)

    @property
    def minutes_after_meal(self) -> int | None:
        """Minutes since the meal, in quarters of an hour."""
        found = next((found for marker in self.markers if (found := _AFTER_MEAL.fullmatch(marker))), None)
        return 15 * int(found[1], 16) if found else None

    @property
    def tags(self) -> tuple[str, ...]:
        """What the person marked beside the meal."""
        return tuple(TAGS[marker] for marker in self.markers if marker in TAGS)


@dataclass(frozen=True, slots=True)
class Order:
    """What older meters say before a result: its number, and whether it was control solution."""

    sequence: int | None
    control_solution: bool


@dataclass(frozen=True, slots=True)
class Terminator:
    """The end of a transfer; `normal` when all was sent."""

    normal: bool


@dataclass(frozen=True, slots=True)
class Other:
    """A line without content for us: the patient line, or a letter that is not known (`known` False)."""

    letter: str
    known: bool


Line: TypeAlias = Header | Result | Order | Terminator | Other


def parse_line(text: str) -> Line:
    """What a line says. Raises Malformed."""
    parser = _PARSERS.get(text[:1])
    if parser is None or text[1:2] not in ("", "|"):
        return Other(text[:1], known=False)
    return parser(text)


def _result(text: str) -> Result:
    fields = text.split("|")
    analyte = field(field(fields, 2).split("^"), 3)
    unit, _, method = field(fields, 4).partition("^")
    value, stamp = field(fields, 3), field(fields, 8)
    if not analyte or not _NUMBER.fullmatch(value):
        raise Malformed("A result of the meter has no name or no number.")
    wall = parse_stamp(stamp)
    if wall is None:
        raise Malformed("A result of the meter has no readable time.")
    markers = tuple(marker for marker in field(fields, 6).split("/") if marker)
    name = _ANALYTES.get(analyte.lower(), analyte)
    return Result(_count(field(fields, 1)), name, value, unit, method, markers, stamp, wall)


def _order(text: str) -> Order:
    fields = text.split("|")
    return Order(_count(field(fields, 1)), field(fields, 11) == "Q")


def _terminator(text: str) -> Terminator:
    return Terminator(field(text.split("|"), 3) in ("", "N", "F"))


def _patient(text: str) -> Other:
    return Other("P", known=True)


def _count(text: str) -> int | None:
    return int(text) if _COUNT.fullmatch(text) else None


_PARSERS: Mapping[str, Callable[[str], Line]] = {
    "H": parse_header,
    "P": _patient,
    "O": _order,
    "R": _result,
    "L": _terminator,
}
