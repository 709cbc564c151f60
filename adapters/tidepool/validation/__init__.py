"""What the platform would refuse, found before it is sent: one bad datum rejects a whole batch there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from adapters.tidepool.validation import equipment, events, readings


@dataclass(frozen=True, slots=True)
class Problem:
    """A refused field: JSON pointer inside the datum (empty: the datum itself) and why."""

    pointer: str
    text: str

    def __str__(self) -> str:
        return f"{self.pointer.lstrip('/').replace('/', '.') or 'datum'}: {self.text}"


_MODELS: Mapping[str, type[BaseModel] | Mapping[str, type[BaseModel]]] = {
    "alert": equipment.Alert, "bloodKetone": readings.Ketone, "cbg": readings.Cbg,
    "cgmSettings": equipment.CgmSettings, "controllerSettings": equipment.ControllerSettings,
    "controllerStatus": equipment.ControllerStatus, "dosingDecision": equipment.DosingDecision,
    "food": readings.Food, "insulin": readings.Insulin, "physicalActivity": readings.Activity,
    "pumpSettings": equipment.PumpSettings, "pumpStatus": equipment.PumpStatus,
    "reportedState": readings.ReportedState, "smbg": readings.Smbg, "water": equipment.Water,
    "wizard": readings.Wizard,
    "basal": {
        "automated": readings.AutomatedBasal, "scheduled": readings.ScheduledBasal,
        "suspend": readings.SuspendBasal, "temp": readings.TempBasal,
    },
    "bolus": {
        "automated": readings.AutomatedBolus, "dual/square": readings.DualBolus, "normal": readings.NormalBolus,
        "square": readings.SquareBolus,
    },
    "deviceEvent": {
        "alarm": events.Alarm, "calibration": readings.Calibration, "prime": events.Prime,
        "pumpSettingsOverride": events.Override, "reservoirChange": events.ReservoirChange,
        "status": events.Status, "timeChange": events.TimeChange,
    },
}  # fmt: skip
_KINDS = {"basal": "deliveryType", "bolus": "subType", "deviceEvent": "subType"}
_SUPPRESSED = {
    "automated": ("scheduled",), "temp": ("automated", "scheduled"),
    "suspend": ("automated", "scheduled", "temp"),
}  # fmt: skip
"""Which basals one can hold back."""


def problems(datum: Mapping[str, Any]) -> list[Problem]:
    """Everything that the platform would refuse in a datum, embedded datums included; empty: it would be taken."""
    found = _model(datum)
    if isinstance(found, Problem):
        return [found]
    return [*_checked(found, datum), *_embedded(datum)]


def _model(datum: Mapping[str, Any]) -> type[BaseModel] | Problem:
    kind = datum.get("type")
    found = _MODELS.get(kind) if isinstance(kind, str) else None
    if found is None:
        return Problem("/type", f"{kind!r} is no datum type")
    if not isinstance(found, Mapping):
        return found
    field = _KINDS[str(kind)]
    sub = datum.get(field)
    model = found.get(sub) if isinstance(sub, str) else None
    return model or Problem(f"/{field}", f"{sub!r} is not one of {', '.join(found)}")


def _checked(model: type[BaseModel], value: Any) -> Iterator[Problem]:
    try:
        model.__pydantic_validator__.validate_python(value)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            inner = (each.get("ctx") or {}).get("field") if each["type"] == "rule" else None
            path = [*map(str, each["loc"]), *([inner] if inner else [])]
            yield Problem("".join(f"/{name}" for name in path), _said(each["msg"], each["type"], each["input"]))


def _said(message: str, kind: str, value: Any) -> str:
    text = message.removeprefix("Input should be ").removeprefix("Input ")
    if kind == "missing":
        return "is missing"
    shown = isinstance(value, int | float) and kind != "rule"
    return f"{value:g} should be {text}" if shown and text != message else text if not shown else f"{value:g} {text}"


def _embedded(datum: Mapping[str, Any]) -> Iterator[Problem]:
    if datum["type"] == "wizard" and isinstance(datum.get("bolus"), dict):
        yield from _inside("bolus", datum["bolus"], "bolus")
    elif datum.get("subType") in ("alarm", "reservoirChange") and isinstance(datum.get("status"), dict):
        yield from _inside("status", datum["status"], "deviceEvent", "status")
    elif datum["type"] == "basal":
        yield from _held_back(datum)


def _inside(field: str, inner: Mapping[str, Any], kind: str, sub: str | None = None) -> Iterator[Problem]:
    if inner.get("type") != kind:
        yield Problem(f"/{field}/type", f"should be {kind}")
    elif sub is not None and inner.get("subType") != sub:
        yield Problem(f"/{field}/subType", f"should be {sub}")
    else:
        yield from (Problem(f"/{field}{each.pointer}", each.text) for each in problems(inner))


def _held_back(basal: Mapping[str, Any]) -> Iterator[Problem]:
    allowed, inner = _SUPPRESSED.get(basal["deliveryType"], ()), basal.get("suppressed")
    if not allowed or not isinstance(inner, dict):
        return
    if inner.get("deliveryType") not in allowed:
        yield Problem("/suppressed/deliveryType", f"should be {' or '.join(allowed)}")
        return
    for each in (*_checked(readings.Suppressed, inner), *_held_back(inner)):
        yield Problem(f"/suppressed{each.pointer}", each.text)


__all__ = ["Problem", "problems"]
