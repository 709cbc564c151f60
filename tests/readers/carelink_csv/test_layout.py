"""What is an export and what is not: generations, delimiters, units, encodings, devices, cut files."""

from __future__ import annotations

import pytest

from bridge.engine.contents import contents
from bridge.errors import Malformed
from bridge.readers.carelink_csv.layout import layout_of
from bridge.readers.carelink_csv.lines import MOST_BYTES, MOST_ROWS, lines_of
from tests.readers.carelink_csv.exports import G1_COLUMNS, OLD, REVEL, decoded, g1, g1_row, g2, g2_row, of_kind, shown
from tests.support import vectors

AT = "3/16/15 08:00:00"
SENSOR = "AMOUNT=120, ISIG={}, VCNTR=-0.5, BACKFILL_INDICATOR=false"
FOREIGN = [
    b"", b" ", b"{}", b"[]", b"\xff\xfe\x00", b"\xfe\xff", b"PK\x03\x04" + bytes(100), b"<html></html>",
    b"Index;Date;Time\n1;2026/01/01;10:00:00\n", b"Index,Date,Time,Carbs\n1,2026/01/01,10:00:00,5\n",
    b"Index\n", b"Index,,\n" * 50, b"date,sgv\n2026-01-01,120\n", b"Medtronic Diabetes CareLink\nName,Maria Muster\n",
    b"-------,Pump\n", b"Index,Date,Time,Timestamp,Raw-Type,Sensor Glucose (mg/dL)\n", b'"' * 1000,
]  # fmt: skip


@pytest.mark.parametrize("body", FOREIGN, ids=lambda body: repr(body[:20]))
def test_what_is_no_export_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed) as told:
        decoded(body)
    assert told.value.next_step
    assert "Muster" not in str(told.value)


def test_files_that_are_too_large_are_refused_before_they_are_read() -> None:
    with pytest.raises(Malformed, match="25 MB"):
        lines_of(bytes(MOST_BYTES + 1))
    with pytest.raises(Malformed, match="million"):
        lines_of(b"\n" * MOST_ROWS)


GERMAN = (
    ";".join(G1_COLUMNS)
    .replace("Date;Time", "Datum;Zeit")
    .replace("Raw-Type", "Roh-Typ")
    .replace("Raw-Values", "Roh-Werte")
)


@pytest.mark.parametrize("names", [("Datum", "Zeit"), ("Date", "Time")])
def test_a_german_export_gives_the_same_records(names: tuple[str, str]) -> None:
    us = [
        g1_row("GlucoseSensorData", SENSOR.format("26.24"), "3/16/15 08:00:00", seq=9),
        g1_row("CalBGForPH", "AMOUNT=134, ACTION_REQUESTOR=pump", "3/16/15 08:05:00", seq=8),
    ]
    de = [
        g1_row("GlucoseSensorData", SENSOR.format("26,24"), "16.03.15 08:00:00", seq=9, delimiter=";"),
        g1_row("CalBGForPH", "AMOUNT=134, ACTION_REQUESTOR=pump", "16.03.15 08:05:00", seq=8, delimiter=";"),
    ]
    preamble = ["Medtronic Diabetes CareLink", "Name;Maria Müller", f"Pumpe:;{REVEL};#900001;"]
    header = GERMAN.replace("Datum;Zeit", ";".join(names))
    body = "\r\n".join([*preamble, header, *de]).encode("cp1252")
    assert shown(decoded(body)) == shown(decoded(g1(us)))


def test_mixed_columns_are_found_by_name() -> None:
    header = "Index,Date,Time,Roh-Typ,Roh-Werte,Raw-Device Type,Sensor Glucose (mg/dL)"
    body = f'{header}\n1,16.03.15,08:00:00,GlucoseSensorData,"{SENSOR.format("26,24")}",{REVEL},120\n'.encode()
    [record] = decoded(body).records
    assert (record.kind, record.device.model, record.device.serial) == ("sensor_glucose", REVEL, None)
    assert getattr(record, "isig_na", 0) == 26.24


ENCODINGS = ("utf-8", "utf-8-sig", "utf-16")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize(
    ("name", "timezone"), [("v1_revel523_cgm_2days", "US/Pacific"), ("v2_eu_780g_semicolon_mmol", "Europe/Amsterdam")]
)
def test_encodings_and_line_ends_change_nothing(name: str, timezone: str, encoding: str, end: str) -> None:
    body = vectors.path("carelink-csv", f"{name}.csv").read_bytes()
    text = body.decode("utf-8-sig").replace("\r\n", "\n").replace("\n", end)
    assert shown(decoded(text.encode(encoding), timezone)) == shown(decoded(body, timezone))


def test_a_bare_table_has_the_feed_of_its_capture() -> None:
    row = g1_row("Rewind", "A=b", AT)
    [bare], [whole] = decoded(g1([row], preamble=[])).records, decoded(g1([row])).records
    assert (bare.device.serial, whole.device.serial) == (None, "900001")
    assert bare.source_key == whole.source_key
    assert bare.id != whole.id


def test_a_bare_table_of_the_second_generation() -> None:
    body = g2([g2_row("2025/01/31 12:00:00", Rewind="Rewind")]).split(b"\r\n")
    [record] = decoded(b"\r\n".join(body[5:7])).records
    assert (getattr(record, "event", ""), record.device.serial) == ("rewind", None)


def test_two_pumps_of_one_model_leave_the_serial_open() -> None:
    preamble = ["Medtronic Diabetes CareLink", f"Pump:,{REVEL},#900001,", f"Pump:,{REVEL},#900007,", "Report,3/16/15"]
    rows = [g1_row("Rewind", "A=b", AT), g1_row("Rewind", "A=b", AT, device=OLD)]
    first, second = decoded(g1(rows, preamble=preamble)).records
    assert {first.device.serial, second.device.serial} == {None}


def test_a_name_that_looks_like_a_header_is_a_name() -> None:
    row = g1_row("Rewind", "A=b", AT)
    preamble = ["Medtronic Diabetes CareLink", "Index,Index", "Name,Index", f"Pump:,{REVEL},#900001,"]
    assert len(decoded(g1([row], preamble=preamble)).records) == 1
    body = g2([g2_row("2025/01/31 12:00:00", Rewind="Rewind")]).replace(b'"Muster","Maria"', b'"Index","Date","Time"')
    assert len(decoded(body).records) == 1


def test_each_section_has_its_own_device() -> None:
    one = g2([g2_row("2025/01/31 12:00:00", Rewind="Rewind")])
    other = g2([g2_row("2025/01/31 12:00:00", Rewind="Rewind")], serial="NG0000009H")
    both = one + b"\r\n" + b"\r\n".join(other.split(b"\r\n")[4:])
    records = decoded(both).records
    assert sorted(record.device.serial or "" for record in records) == ["NG0000001H", "NG0000009H"]
    assert len({record.id for record in records}) == 2


def test_empty_sections_are_no_error() -> None:
    result = decoded(g2())
    assert (list(result.records), result.health.state) == ([], "no_data")


def test_the_unit_is_read_or_stated_never_assumed() -> None:
    body = g1([g1_row("GlucoseSensorData", SENSOR.format("20"), AT)]).replace(b" (mg/dL)", b"")
    with pytest.raises(Malformed, match="unit") as told:
        decoded(body)
    assert "mg/dL or mmol/L" in told.value.next_step
    [record] = decoded(body, unit="mg/dL").records
    assert getattr(record, "mgdl", 0) == 120


def test_mmol_of_the_second_generation() -> None:
    row = g2_row("2025/01/31 12:00:00", delimiter=";", Sensor_Glucose="2,8")
    calculation = g2_row("2025/01/31 13:00:00", delimiter=";", BWZ_Carb_Input="30", BWZ_Insulin_Sensitivity="2,2")
    result = decoded(g2([calculation], [row], unit="mmol/L", delimiter=";"))
    assert [getattr(record, "mgdl", 0) for record in of_kind(result, "sensor_glucose")] == [50]
    assert [getattr(record, "isf_mgdl_u", 0) for record in of_kind(result, "bolus_calculation")] == [40]


@pytest.mark.parametrize("declared", [5, 1])
def test_a_cut_file_is_told_not_refused(declared: int) -> None:
    preamble = ["Medtronic Diabetes CareLink", f"DEVICE DATA ({declared} records)"]
    row = g1_row("Rewind", "A=b", "3/16/15 08:00:00")
    codes = [diagnostic.code for diagnostic in decoded(g1([row], preamble=preamble)).diagnostics]
    assert codes == (["file/incomplete"] if declared > 1 else [])
    cut = row.replace("1,", "198,", 1)
    assert [diagnostic.code for diagnostic in decoded(g1([cut], preamble=preamble[:1])).diagnostics] == [
        "file/incomplete",
    ]


def test_a_columns_language_that_nobody_knows_is_refused() -> None:
    body = g2().replace(b"Sensor Glucose", b"Glucose capteur").replace(b"Basal Rate", b"Debit")
    body = body.replace(b"BG Reading", b"Glycemie").replace(b"Bolus Type", b"Type de bolus")
    with pytest.raises(Malformed, match="language") as told:
        decoded(body)
    assert "English" in told.value.next_step


def test_contents_for_a_person() -> None:
    body = vectors.path("carelink-csv", "v1_revel723_week_dst.csv").read_bytes()
    held = contents(decoded(body, "US/Pacific"))
    assert (str(held.first), str(held.last), held.days) == ("2015-03-06", "2015-03-12", 7)
    assert (held.kinds["bolus"], held.kinds["meter_glucose"], held.rejected) == (43, 42, 0)
    assert held.devices == [REVEL]


def test_the_outline_names_the_sensor_and_nothing_personal() -> None:
    outline = layout_of(lines_of(g2()), {})
    assert outline.sensor == "Guardian 4 Sensor"
    assert "Muster" not in repr(outline)
    assert "1971" not in repr(outline)
