"""Boluses and pen doses (`INSULIN` markers)."""

from __future__ import annotations

from typing import Any

from bridge.model.records import Bolus, Injection
from bridge.readers.carelink_cloud.marker_values import Read, Values
from bridge.readers.carelink_cloud.rows import plain
from bridge.readers.carelink_cloud.values import flag, text

_REQUESTED_BY = {"AUTOCORRECTION": "closed_loop", "RECOMMENDED": "wizard", "MANUAL": "manual"}
_ACTIONS = ("rapid", "short", "intermediate", "long", "mixed")
_SHAPES = {"FAST": "normal", "SQUARE": "square", "DUAL": "dual"}


def read_insulin(values: Values, has_pump: bool) -> Read:
    """A bolus, or an injection where no pump could have given it. Raises InvalidRecord without an amount."""
    fast, extended = (
        values.quantity("bolus", "deliveredFastAmount"),
        values.quantity("bolus", "deliveredExtendedAmount"),
    )
    if fast is None and extended is None:
        return _injection(values, values.needed("injection", "insulinUnits"))
    if not has_pump:
        return _injection(values, (fast or 0) + (extended or 0))
    return _bolus(values, fast or 0.0, extended or 0.0)


def _injection(values: Values, dose_u: float) -> Read:
    name = (text(values["insulinType"]) or "").lower()
    action = next((action for action in _ACTIONS if name.startswith(action)), None)
    body = {"dose_u": round(dose_u, 3), "action": action}
    return Read(Injection, body, plain(f"pen {body['dose_u']} {action}"), _activation(values))


def _bolus(values: Values, fast: float, extended: float) -> Read:
    planned = values.quantity("bolus", "programmedFastAmount")
    planned_extended = values.quantity("bolus", "programmedExtendedAmount")
    shape = _shape(values, fast + (planned or 0), extended + (planned_extended or 0))
    activation = _activation(values)
    completed = flag(values["completed"]) is not False
    body = {
        "shape": shape,
        "delivered_u": round(fast + extended, 3),
        "programmed_u": _sum(planned, planned_extended),
        "automatic": activation == "AUTOCORRECTION",
        "completed": completed,
        "requested_by": _REQUESTED_BY.get(activation),
    }
    if shape != "normal":
        body |= _parts(values, shape, fast, extended, planned, planned_extended)
    return Read(Bolus, body, plain(f"{shape} {planned} {planned_extended}"), activation, provisional=not completed)


def _activation(values: Values) -> str:
    return plain(text(values["activationType"]) or "")


def _shape(values: Values, fast: float, extended: float) -> str:
    """By name; pens and later versions have other names, there by the parts."""
    named = _SHAPES.get(str(text(values["bolusType"])))
    if named or not extended:
        return named or "normal"
    return "dual" if fast else "square"


def _sum(*parts: float | None) -> float | None:
    known = [part for part in parts if part is not None]
    return round(sum(known), 3) if known else None


def _parts(
    values: Values, shape: str, fast: float, extended: float, planned: float | None, planned_extended: float | None
) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "extended_u": extended,
        "programmed_extended_u": planned_extended,
        "duration_min": values.quantity("bolus", "programmedDuration"),
        "delivered_duration_min": values.quantity("bolus", "effectiveDuration"),
    }
    if shape == "dual":
        parts |= {"immediate_u": fast, "programmed_immediate_u": planned}
    return parts
