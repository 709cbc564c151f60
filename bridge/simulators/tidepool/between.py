"""Rules between the fields of one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bridge.simulators.tidepool.rules import Faults, Rule, fault, out_of_range, shown


def within_units(name: str, units: str, ranges: Mapping[str, tuple[float, float]]) -> Rule:
    """A number whose range hangs on a units field; unknown units leave it free."""

    def rule(clean: dict[str, Any], faults: Faults) -> None:
        value, limits = clean.get(name), ranges.get(clean.get(units, ""))
        if value is not None and limits is not None and not limits[0] <= value <= limits[1]:
            out_of_range(faults, value, *limits, name)

    return rule


def at_least(name: str, other: str, low: float, high: float) -> Rule:
    """`name` may not be below `other` (where that lies within the range itself)."""

    def rule(clean: dict[str, Any], faults: Faults) -> None:
        value, floor = clean.get(name), clean.get(other)
        if value is not None and floor is not None and low <= floor <= high and low <= value < floor:
            out_of_range(faults, value, floor, high, name)

    return rule


def at_most(name: str, other: str, low: float, high: float) -> Rule:
    """`name` may not be above `other` (where that lies within the range itself)."""

    def rule(clean: dict[str, Any], faults: Faults) -> None:
        value, ceiling = clean.get(name), clean.get(other)
        if value is not None and ceiling is not None and low <= ceiling <= high and ceiling < value <= high:
            out_of_range(faults, value, low, ceiling, name)

    return rule


def only_with(name: str, *, when: Callable[[dict[str, Any]], bool], required: bool = True) -> Rule:
    """`name` must be there when a condition holds (if `required`), and may not be there otherwise."""

    def rule(clean: dict[str, Any], faults: Faults) -> None:
        there = name in clean
        if when(clean):
            if required and not there:
                fault(faults, "value-not-exists", name=name)
        elif there:
            fault(faults, "value-exists", name=name)

    return rule


def any_of(*names: str) -> Rule:
    """At least one of these fields."""

    def rule(clean: dict[str, Any], faults: Faults) -> None:
        if not any(name in clean for name in names):
            fault(faults, "values-not-exist-for-any", f"values do not exist for any of {shown(names)}")

    return rule


def not_both(array_name: str, map_name: str) -> Rule:
    """A setting comes as a list or as a named map, never as both."""

    def rule(clean: dict[str, Any], faults: Faults) -> None:
        if array_name in clean and map_name in clean:
            fault(faults, "value-exists", name=map_name)

    return rule
