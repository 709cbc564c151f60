"""Small exports to decode: of both generations, in several locales."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from bridge.contracts import Decoded, Memory
from bridge.model import Capture, Record
from bridge.readers.carelink_csv.decode import decode


def _names(text: str) -> list[str]:
    return text.replace("\n", "").split(",")


TAKEN = datetime(2026, 1, 1, tzinfo=UTC)
G1_COLUMNS = _names("""
Index,Date,Time,Timestamp,New Device Time,BG Reading (mg/dL),Linked BG Meter ID,
Temp Basal Amount (U/h),Temp Basal Type,Temp Basal Duration (hh:mm:ss),Bolus Type,
Bolus Volume Selected (U),Bolus Volume Delivered (U),Programmed Bolus Duration (hh:mm:ss),Prime Type,
Prime Volume Delivered (U),Suspend,Rewind,BWZ Estimate (U),BWZ Target High BG (mg/dL),
BWZ Target Low BG (mg/dL),BWZ Carb Ratio (grams),BWZ Insulin Sensitivity (mg/dL),
BWZ Carb Input (grams),BWZ BG Input (mg/dL),BWZ Correction Estimate (U),BWZ Food Estimate (U),
BWZ Active Insulin (U),Alarm,Sensor Calibration BG (mg/dL),Sensor Glucose (mg/dL),ISIG Value,
Daily Insulin Total (U),Raw-Type,Raw-Values,Raw-ID,Raw-Upload ID,Raw-Seq Num,Raw-Device Type
""")
G2_COLUMNS = _names("""
Index,Date,Time,New Device Time,BG Source,BG Reading (mg/dL),Linked BG Meter ID,Basal Rate (U/h),
Temp Basal Amount,Temp Basal Type,Temp Basal Duration (h:mm:ss),Bolus Type,Bolus Volume Selected (U),
Bolus Volume Delivered (U),Bolus Duration (h:mm:ss),Prime Type,Prime Volume Delivered (U),Alert,
User Cleared Alerts,Suspend,Rewind,BWZ Estimate (U),BWZ Carb Ratio (g/U),BWZ Carb Input (grams),
BWZ BG/SG Input (mg/dL),BWZ Insulin Sensitivity (mg/dL/U),Sensor Calibration BG (mg/dL),
Sensor Glucose (mg/dL),ISIG Value,Event Marker,Bolus Number,Bolus Cancellation Reason,
Final Bolus Estimate,Scroll Step Size,Insulin Action Curve Time,Sensor Calibration Rejected Reason,
Bolus Source,BLE Network Device,Sensor Exception,Sensor State
""")
REVEL, OLD = "Paradigm Revel - 723", "Paradigm 522"


def wall(*parts: int) -> datetime:
    """A wall clock, which has no zone."""
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001


def g1_row(
    kind: str,
    values: str,
    at: str,
    *,
    upload: str = "50000001",
    seq: int = 1,
    raw_id: int = 0,
    device: str = REVEL,
    alarm: str = "",
    delimiter: str = ",",
) -> str:
    """One row; `at` is `date time`."""
    cells = [""] * 39
    date, time = at.split(" ")
    cells[0:4] = ["1", date, time, at]
    cells[28] = alarm
    cells[33:39] = [kind, f'"{values}"', str(raw_id or 10_000_000_000 + seq), upload, str(seq), device]
    return delimiter.join(cells)


def g1(
    rows: Sequence[str], *, preamble: Sequence[str] | None = None, unit: str = "mg/dL", delimiter: str = ","
) -> bytes:
    """A file of the first generation."""
    if preamble is None:
        preamble = [
            "Medtronic Diabetes CareLink Personal Data Export File (v1.0.1) ",
            "PATIENT INFO",
            "Name,Maria Muster",
            "Report Range,3/6/15,to,3/29/15",
            "DEVICE INFO",
            f"Pump:,{REVEL},#900001,Time Changes: 2",
            f"Pump:,{OLD},#900002,",
        ]
    header = delimiter.join(G1_COLUMNS).replace("mg/dL", unit)
    return "\r\n".join([*preamble, header, *rows, ""]).encode()


def g2_row(at: str, *, delimiter: str = ",", **cells: str) -> str:
    """One row; cells by column name without unit, `_` for blanks and `/`."""
    names = [column.partition(" (")[0].replace(" ", "_").replace("/", "_") for column in G2_COLUMNS]
    assert set(cells) <= set(names), set(cells) - set(names)
    date, time = at.split(" ")
    filled = {"Index": "0.00000", "Date": date, "Time": time, **cells}
    return delimiter.join(filled.get(name, "") for name in names)


def g2(
    pump: Sequence[str] = (),
    sensor: Sequence[str] = (),
    *,
    unit: str = "mg/dL",
    delimiter: str = ",",
    serial: str = "NG0000001H",
) -> bytes:
    """A file of the second generation; rows newest first."""
    mark = delimiter.join(["-------", "MiniMed 780G MMT-1884", "{}", serial, "------- "])
    header = delimiter.join(G2_COLUMNS).replace("mg/dL", unit)
    lines = [
        "Last Name,First Name,Patient ID,System ID,Start Date,End Date,Device,MiniMed 780G MMT-1884",
        f'"Muster","Maria","pat-77","","","","Serial Number",{serial},Software Version,6.21U',
        "Patient DOB,1971-05-04,,,,,CGM,Guardian 4 Sensor",
        "",
        mark.format("Pump"),
        header,
        *pump,
        "",
        mark.format("Sensor"),
        header,
        *sensor,
        "",
    ]
    return "\r\n".join(lines).encode()


def decoded(body: bytes, timezone: str = "Europe/Berlin", memory: Memory | None = None, **context: str) -> Decoded:
    """The file decoded for profile `p1`."""
    capture = Capture("p1", "carelink-csv", "carelink-csv", TAKEN, body, {"timezone": timezone, **context})
    return decode(capture, memory or Memory())


def of_kind(result: Decoded, kind: str) -> list[Record]:
    """Its records of one kind."""
    return [record for record in result.records if record.kind == kind]


def shown(result: Decoded) -> list[str]:
    """Its records as JSON."""
    return [record.model_dump_json() for record in result.records]
