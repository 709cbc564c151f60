"""Results and notes become records of the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, TypeAlias

from pydantic import ValidationError

from bridge.errors import InvalidRecord
from bridge.model.identity import record_id
from bridge.model.records import Carbs, Device, Exercise, Ketone, MeterGlucose, Record
from bridge.readers.ble_glucose.context import Context
from bridge.readers.ble_glucose.measurement import HIGHEST_MGDL, LOWEST_MGDL, Measurement, OutOfRange
from bridge.readers.ble_glucose.placing import Placed, offset_min
from bridge.readers.ble_glucose.transfer import Identity

NAME = "ble-glucose"
UNCERTAIN, OUT_OF_RANGE, QUESTIONABLE = "clock/uncertain", "bg/out-of-range", "bg/questionable"
_MOST_MGDL = 1000
_MOST_KETONE_MMOL = Decimal("8.0")
Body: TypeAlias = dict[str, Any]


def feed(serial: str) -> str:
    """The device's part of the identity: its serial, of a meter that tells none its address."""
    return f"ble:{serial}"


def wanted_key(measurement: Measurement, wall: datetime, *, numbered: bool) -> str:
    """The source key that a result wants. Not `numbered`: its sequence number moves and says nothing."""
    return f"{measurement.sequence if numbered else '-'}:{wall:%Y%m%d%H%M%S}"


@dataclass(frozen=True, slots=True)
class Row:
    """A result with its note, named and placed."""

    measurement: Measurement
    context: Context | None
    source_key: str
    wall: datetime
    placed: Placed


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the records of one meter."""

    profile: str
    feed: str
    identity: Identity

    def make(self, row: Row) -> Iterator[Record]:
        """The records of a result: glucose or ketone, and what was noted with it. Raises InvalidRecord."""
        body = _ketone(row.measurement) if row.context and row.context.ketone else _glucose(row)
        if body is not None:
            yield self._validated(Ketone if "mmol_l" in body else MeterGlucose, row, body)
        if row.context is not None and row.context.carb_g:
            yield self._validated(Carbs, row, {"grams": float(row.context.carb_g)})
        if row.context is not None and row.context.exercise_s is not None:
            minutes = round(row.context.exercise_s / 60, 2)
            yield self._validated(Exercise, row, {"duration_min": minutes})

    def _validated(self, model: type[Record], row: Row, body: Body) -> Record:
        kind = str(model.model_fields["kind"].default)
        doubtful = row.placed.doubtful or row.measurement.time_fault
        notes = [*body.pop("annotations", ()), *([{"code": UNCERTAIN}] if doubtful else ())]
        identity = self.identity
        try:
            return model(
                id=record_id(self.profile, self.feed, kind, row.source_key),
                time=row.placed.time,
                device_time=row.wall,
                utc_offset_min=offset_min(row.wall, row.placed.time),
                profile=self.profile,
                device=Device(
                    manufacturer=identity.manufacturer,
                    model=identity.model or identity.name,
                    serial=identity.serial or self.feed.partition(":")[2] or None,
                    family=identity.quirks.family,
                ),
                reader=NAME,
                source_key=row.source_key,
                annotations=tuple(notes),
                raw=_raw(row),
                **body,
            )
        except ValidationError as why:
            raise InvalidRecord.of(kind, why) from None


def _glucose(row: Row) -> Body | None:
    """None where the meter stored no number and no HI or LO."""
    measurement = row.measurement
    side, exact = measurement.out_of_range, measurement.mg_dl
    sent = None if exact is None else int(exact.to_integral_value(ROUND_HALF_EVEN))
    if sent is None and side is None:
        return None
    notes: list[Body] = []
    if side is not None:
        sent, limit = _beyond(side, sent)
        notes.append({"code": OUT_OF_RANGE, "value": side, "threshold_mgdl": limit})
    if measurement.questions:
        notes.append({"code": QUESTIONABLE, "reasons": list(measurement.questions)})
    return {
        "mgdl": sent,
        "meal": row.context.meal_tag if row.context else None,
        "control_solution": measurement.control,
        "annotations": notes,
    }


def _beyond(side: OutOfRange, sent: int | None) -> tuple[int, int]:
    """The value and the limit of HI and LO. A meter sends one step beyond its limit; where the number says nothing
    the widest limits are taken."""
    told = sent if sent is not None and sent >= LOWEST_MGDL else None
    if side == "low":
        return (LOWEST_MGDL, LOWEST_MGDL) if told is None else (told, told + 1)
    return (HIGHEST_MGDL + 1, HIGHEST_MGDL) if told is None else (min(told, _MOST_MGDL), min(told - 1, HIGHEST_MGDL))


def _ketone(measurement: Measurement) -> Body | None:
    """A tenth of the number in mmol/L. The model knows no control solution of ketones."""
    if measurement.mg_dl is None or measurement.control:
        return None
    mmol_l = max(measurement.mg_dl / 10, Decimal(0))
    if mmol_l <= _MOST_KETONE_MMOL:
        return {"mmol_l": float(mmol_l)}
    note = {"code": "ketone/out-of-range", "value": "high", "threshold_mmol_l": float(_MOST_KETONE_MMOL)}
    return {"mmol_l": float(_MOST_KETONE_MMOL), "annotations": [note]}


def _raw(row: Row) -> Body:
    """What the meter sent and the model does not carry. `value` in the unit it was sent in, exact."""
    measurement = row.measurement
    value = measurement.mmol_l if measurement.unit == "mol/L" else measurement.mg_dl
    said: Body = {
        "sequence": measurement.sequence,
        "base_time": measurement.base_time.isoformat() if measurement.base_time else None,
        "time_offset_min": measurement.time_offset_min,
        "value": None if value is None else f"{value.normalize():f}",
        "unit": {"kg/L": "mg/dL", "mol/L": "mmol/L", None: None}[measurement.unit],
        "sample_type": measurement.sample_type,
        "sample_location": measurement.sample_location,
        "status": measurement.status,
    }
    return {name: value for name, value in (said | _noted(row.context)).items() if value is not None}


def _noted(context: Context | None) -> Body:
    if context is None:
        return {}
    names = ("meal", "carb_id", "tester", "health", "exercise_pct", "medication_id")
    exact = ("medication_mg", "medication_ml", "hba1c_pct")
    numbers = {name: None if (value := getattr(context, name)) is None else float(value) for name in exact}
    return {name: getattr(context, name) for name in names} | numbers
