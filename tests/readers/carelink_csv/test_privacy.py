"""Names, birth dates and patient numbers: in no record, error or diagnostic, and in no kept byte."""

from __future__ import annotations

import pytest

from bridge.errors import Malformed
from bridge.readers.carelink_csv.privacy import redact
from tests.readers.carelink_csv.exports import REVEL, decoded, g1, g1_row, g2, g2_row, shown
from tests.support import vectors

PERSONAL = ("Muster", "Maria", "pat-77", "1971", "van der Berg", "Patient", "Jan", "Test")
FIRST = g1([
    g1_row("CalBGForPH", "AMOUNT=134, ACTION_REQUESTOR=pump", "3/28/15 08:00:00"),
    g1_row("CalBGForPH", "AMOUNT=Maria Muster", "3/28/15 08:01:00"),
    g1_row("CalBGForPH", "Maria Muster", "3/28/15 08:02:00"),
    "Maria Muster,Maria Muster,Maria Muster,1971",
    '"Maria Muster',
])  # fmt: skip
SECOND = g2([
    g2_row("2025/01/31 12:00:00", BG_Reading="Maria Muster", Rewind="Rewind"),
    g2_row("Maria Muster", Rewind="Rewind"),
    g2_row("2025/01/31 12:00:00", Suspend="Maria Muster", New_Device_Time="Maria Muster"),
])  # fmt: skip


@pytest.mark.parametrize("body", [FIRST, SECOND], ids=["first", "second"])
def test_no_cell_of_a_bad_row_and_no_header_comes_out(body: bytes) -> None:
    result = decoded(body)
    rejected = [diagnostic for diagnostic in result.diagnostics if diagnostic.code == "row/rejected"]
    assert len(rejected) >= 3
    told = " ".join([*shown(result), *(diagnostic.text for diagnostic in result.diagnostics)])
    assert not [word for word in ("Muster", "Maria", "pat-77", "1971") if word in told]


def test_no_refusal_tells_a_name() -> None:
    body = g1([g1_row("Rewind", "A=b", "3/6/15 08:00:00")], preamble=["Medtronic Diabetes CareLink", "Name,3/6/71"])
    with pytest.raises(Malformed) as told:
        decoded(body)
    assert "71" not in str(told.value)


FILES = {
    "v1_revel523_cgm_2days": "US/Pacific",
    "v1_revel723_week_dst": "US/Pacific",
    "v1_mmcsv_settings_changes": "US/Pacific",
    "v2_us_780g_54col": "US/Eastern",
    "v2_eu_780g_semicolon_mmol": "Europe/Amsterdam",
    "v2_guardian_connect_48col": "Europe/Berlin",
}


@pytest.mark.parametrize(("name", "timezone"), FILES.items())
def test_a_redacted_export_decodes_to_the_same(name: str, timezone: str) -> None:
    body = vectors.path("carelink-csv", f"{name}.csv").read_bytes()
    cleaned = redact(body)
    before, after = decoded(body, timezone), decoded(cleaned, timezone)
    assert shown(before) == shown(after)
    assert before.diagnostics == after.diagnostics
    assert redact(cleaned) == cleaned
    assert len(cleaned.splitlines()) == len(body.splitlines())


@pytest.mark.parametrize("body", [FIRST, SECOND], ids=["first", "second"])
def test_persons_are_taken_out_of_the_lines_above_the_tables(body: bytes) -> None:
    cleaned = redact(body)
    header = cleaned.index(b"Index,")
    assert not [word for word in PERSONAL if word.encode() in cleaned[:header]]
    assert REVEL.encode() in cleaned or b"NG0000001H" in cleaned
    assert shown(decoded(cleaned)) == shown(decoded(body))


@pytest.mark.parametrize("body", [b"", b"Name,Maria Muster\n", b"\xff\xfe\x00", b"PK\x00"])
def test_what_is_no_export_leaves_nothing(body: bytes) -> None:
    assert redact(body) == b""
