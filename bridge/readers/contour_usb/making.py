"""Results become records of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import ValidationError

from bridge.errors import InvalidRecord
from bridge.model.capture import Capture
from bridge.model.identity import record_id
from bridge.model.records import Carbs, Device, Injection, Ketone, MeterGlucose, Record
from bridge.model.units import MGDL_PER_MMOL
from bridge.readers.contour_usb.clock import Placed, offset_min
from bridge.readers.contour_usb.header import Header
from bridge.readers.contour_usb.records import Result

FAMILY = "CONTOUR"
UNCERTAIN = "clock/uncertain"
_LEAST_MGDL = 10
_MGDL, _MMOL = "mg/dl", "mmol/l"
_GRAMS = "1"
_ACTIONS = {"1": "rapid", "2": "long", "3": "mixed"}

Body: TypeAlias = dict[str, Any]


def feed(serial: str) -> str:
    """The device's part of the identity."""
    return f"contour:{serial}"


def device(header: Header) -> Device:
    """Where the records were made."""
    return Device(manufacturer="Ascensia", model=header.name, serial=header.serial, family=FAMILY)


def wanted_key(result: Result) -> str:
    """The source key that a result wants: no sequence number, those start again when the memory rolls over."""
    unit = result.unit if result.analyte not in ("Insulin", "Carb") else ""
    return f"{result.stamp}:{result.analyte}:{result.value}{unit}"


def content(result: Result) -> str:
    """All else that tells two results of one key apart."""
    return f"{result.unit}^{result.method}|{'/'.join(result.markers)}"


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the records of one transfer."""

    capture: Capture
    header: Header

    def make(self, result: Result, source_key: str, placed: Placed) -> Record | None:
        """The record of a result, None where the model has no place for it. Raises InvalidRecord."""
        model, body_of = _KINDS.get(result.analyte, (None, None))
        if model is None or body_of is None:
            return None
        body = body_of(result, self.header)
        return None if body is None else self._validated(model, result, source_key, placed, body)

    def _validated(self, model: type[Record], result: Result, source_key: str, placed: Placed, body: Body) -> Record:
        kind = str(model.model_fields["kind"].default)
        notes = [*body.pop("annotations", ()), *([{"code": UNCERTAIN}] if placed.doubtful else ())]
        try:
            return model(
                id=record_id(self.capture.profile, feed(self.header.serial), kind, source_key),
                time=placed.time,
                device_time=result.wall,
                utc_offset_min=offset_min(result.wall, placed.time),
                profile=self.capture.profile,
                device=device(self.header),
                reader=self.capture.reader,
                source_key=source_key,
                annotations=tuple(notes),
                raw=_raw(result),
                **body,
            )
        except ValidationError as why:
            raise InvalidRecord.of(kind, why) from None


def _glucose(result: Result, header: Header) -> Body:
    mgdl = _mgdl(result.number, result.unit)
    body: Body = {"mgdl": mgdl, "meal": result.meal, "control_solution": result.control_solution}
    if result.out_of_range:
        # LO in mmol/L is sent as one tenth below the limit, which can lie under what the model takes for glucose.
        body["mgdl"] = max(mgdl, _LEAST_MGDL)
        threshold = _threshold(result, header)
        body["annotations"] = [{"code": "bg/out-of-range", "value": result.out_of_range, "threshold_mgdl": threshold}]
    return body


def _threshold(result: Result, header: Header) -> int:
    """The meter's limit; where it does not tell, the value sent is one step beyond."""
    low = result.out_of_range == "low"
    if header.limits_mgdl:
        return header.limits_mgdl[0 if low else 1]
    step = 1 if result.unit.lower() == _MGDL else 0.1
    return _mgdl(result.number + (step if low else -step), result.unit)


def _mgdl(value: float, unit: str) -> int:
    factors = {_MGDL: 1.0, _MMOL: MGDL_PER_MMOL}
    factor = factors.get(unit.lower())
    if factor is None:
        raise InvalidRecord("meter_glucose", "unit", unit, "it is neither mg/dL nor mmol/L")
    return round(value * factor)


def _carbs(result: Result, header: Header) -> Body | None:
    """Grams only: points and choices are worth what the person set them to. Nothing eaten is no record."""
    return {"grams": result.number} if result.unit == _GRAMS and result.number else None


def _insulin(result: Result, header: Header) -> Body:
    """Insulin as typed in: what a person noted, never what a pump gave."""
    return {"dose_u": result.number / 10, "action": _ACTIONS.get(result.unit)}


def _ketone(result: Result, header: Header) -> Body | None:
    """Blood ketones; the model knows no control solution of them."""
    return {"mmol_l": result.number} if result.unit.lower() == _MMOL and not result.control_solution else None


_KINDS: Mapping[str, tuple[type[Record], Callable[[Result, Header], Body | None]]] = {
    "Glucose": (MeterGlucose, _glucose),
    "Carb": (Carbs, _carbs),
    "Insulin": (Injection, _insulin),
    "Ketone": (Ketone, _ketone),
}


def _raw(result: Result) -> Body:
    said: Body = {"value": result.value, "unit": result.unit}
    known = {
        "method": result.method,
        "markers": list(result.markers),
        "minutes_after_meal": result.minutes_after_meal,
        "tags": list(result.tags),
    }
    return said | {name: value for name, value in known.items() if value}
