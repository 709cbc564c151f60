"""Records handed over: nothing that stays here goes out, glucose in the unit asked for, no cell runs as a formula."""

from __future__ import annotations

import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bridge.model.records import Basal, Bolus, Carbs, Note, Record, SensorGlucose
from bridge.reports import COLUMNS, line, row
from tests.contracts.journal_records import CLOUD, PUMP, envelope, glucose

BERLIN = ZoneInfo("Europe/Berlin")
SERIAL = PUMP.serial or ""


def made(model: type[Record], minutes: float = 0, **body: Any) -> Record:
    return model(**envelope(str(model.model_fields["kind"].default), minutes, "", CLOUD, body))


def cells(record: Record, unit: str = "mg/dL") -> dict[str, str]:
    return dict(zip(COLUMNS, row(record, BERLIN, unit), strict=True))  # type: ignore[arg-type]


def test_a_line_has_neither_serial_nor_what_the_source_said() -> None:
    record = glucose(-5).model_copy(update={"raw": {"serial": SERIAL}, "source_key": f"x:{SERIAL}"})
    told = json.loads(line(record))
    assert SERIAL not in line(record)
    assert told["device"]["serial"] == SERIAL[-3:]
    assert told["mgdl"] == record.mgdl
    assert "raw" not in told


@pytest.mark.parametrize(("unit", "value"), [("mg/dL", "120"), ("mmol/L", "6.7")])
def test_glucose_is_told_in_the_unit_asked_for(unit: str, value: str) -> None:
    told = cells(made(SensorGlucose, mgdl=120, trend="flat"), unit)
    assert (told["value"], told["unit"], told["detail"]) == (value, unit, "trend flat")


def test_the_time_is_told_twice_and_the_local_one_names_its_offset() -> None:
    told = cells(made(Carbs, grams=40))
    assert told["time_utc"] == "2026-03-10T06:00:00.000Z"
    assert told["time_local"] == "2026-03-10 07:00:00+01:00"
    assert (told["value"], told["unit"]) == ("40", "g")


def test_a_bolus_that_runs_and_doubt_are_said() -> None:
    bolus = made(
        Bolus, delivered_u=1.5, programmed_u=4.0, shape="square", duration_min=60, completed=False,
        annotations=({"code": "clock/uncertain"},),
    )  # fmt: skip
    told = cells(bolus)
    assert told["detail"] == "shape square; programmed U 4; minutes 60; still running"
    assert told["doubt"] == "clock/uncertain"


def test_nought_is_a_value_and_nothing_is_not() -> None:
    assert cells(made(Basal, delivery="temporary", rate_u_h=0.0, percent=0, duration_min=30))["detail"] == (
        "delivery temporary; minutes 30; percent 0"
    )
    assert cells(made(SensorGlucose, quality="warmup"))["value"] == ""


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1"])
def test_no_text_runs_as_a_formula(text: str) -> None:
    assert cells(made(Note, text=text))["detail"].startswith("'")
