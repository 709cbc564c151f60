"""The lines of a transfer: recorded ones with their meaning, and what is not a line."""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from bridge.errors import Malformed
from bridge.readers.contour_usb.header import Header, without_challenge
from bridge.readers.contour_usb.records import METHODS, Order, Other, Result, Terminator, parse_line
from tests.support.vectors import rows

VECTORS = rows("ble-and-contour", "contour_records.jsonl")
LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
INSULINS = {"1": "fast-acting", "2": "long-acting", "3": "mixed"}
TAGS = ("activity", "sick", "stress", "dont_feel_right")


def _said_of_result(result: Result) -> dict[str, Any]:
    said: dict[str, Any] = {
        "type": result.analyte.lower(), "record": result.sequence, "value": result.number, "unit": result.unit,
        "local_time": result.wall.isoformat(),
    }  # fmt: skip
    if result.analyte == "Insulin":
        return said | {"value": result.number / 10, "unit": "U", "insulin": INSULINS[result.unit]}
    if result.analyte == "Carb":
        return said | {"unit": {"1": "g"}[result.unit]}
    if result.analyte == "Ketone":
        return said
    said |= {
        "method": METHODS[result.method], "meal": result.meal, "markers": list(result.markers),
        "control": result.control_solution, "range": result.out_of_range,
    }  # fmt: skip
    said |= dict.fromkeys(result.tags, True)
    if result.minutes_after_meal is not None:
        said["hours_after_meal"] = result.minutes_after_meal / 60
    return said


def _said_of_header(header: Header) -> dict[str, Any]:
    assert header.clock is not None
    said: dict[str, Any] = {
        "type": "header", "model": header.product, "name": header.name, "versions": list(header.versions),
        "serial_raw": header.serial_raw, "serial": header.serial, "count": header.count,
        "meter_time": header.clock.isoformat(),
    }  # fmt: skip
    if header.limits_mgdl:
        said |= {"lo_mgdl": header.limits_mgdl[0], "hi_mgdl": header.limits_mgdl[1]}
    return said | ({"unit_field": header.unit} if header.unit is not None else {})


def _said(line: object) -> dict[str, Any]:
    match line:
        case Result():
            return _said_of_result(line)
        case Header():
            return _said_of_header(line)
        case Terminator(normal):
            return {"type": "terminator", "status": {True: "normal"}[normal]}
        case Other("P", True):
            return {"type": "patient"}
    raise AssertionError(line)


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: str(row["line"])[:34])
def test_recorded_lines_mean_what_is_known_of_them(row: dict[str, Any]) -> None:
    assert _said(parse_line(row["line"])) == row["expect"]


def test_every_row_of_the_vectors_is_asserted_on() -> None:
    assert len(VECTORS) == 19


def _result(**changes: str) -> Result:
    said = {"value": "100", "unit": "mg/dL^P", "marks": "", "stamp": "202603100701", "analyte": "Glucose"} | changes
    line = parse_line("R|1|^^^{analyte}|{value}|{unit}||{marks}||{stamp}".format(**said))
    assert isinstance(line, Result)
    return line


def test_marks_are_whole_words() -> None:
    """`ZC` is three hours after a meal, not control solution."""
    result = _result(marks="A/ZC")
    assert (result.control_solution, result.minutes_after_meal, result.meal) == (False, 180, "after")
    assert _result(marks="C").control_solution
    assert _result(marks="ZD").minutes_after_meal is None


def test_names_are_compared_without_case_and_unknown_ones_kept() -> None:
    assert _result(analyte="GLUCOSE").analyte == "Glucose"
    assert _result(analyte="Lactate").analyte == "Lactate"


def test_the_seconds_of_a_stamp_are_read_where_it_has_them() -> None:
    assert _result(stamp="20260310070159").wall.second == 59
    assert _result(stamp="202603100701").wall.second == 0


@pytest.mark.parametrize(
    "stamp", ["", "20260310", "2026031007015", "202613100701", "202602300701", "190001010000", "٢٠٢٦٠٣١٠٠٧٠١"]
)
def test_a_result_without_a_time_is_refused(stamp: str) -> None:
    with pytest.raises(Malformed):
        _result(stamp=stamp)


@pytest.mark.parametrize("value", ["", "HI", "1e3", "-5", "nan", "1,5", "١٠٠", "5.", "123456"])
def test_a_result_without_a_number_is_refused(value: str) -> None:
    with pytest.raises(Malformed):
        _result(value=value)


def test_older_meters_name_control_solution_in_a_line_before() -> None:
    assert parse_line("O|3||||||||||Q") == Order(3, True)
    assert parse_line("O|4") == Order(4, False)


@pytest.mark.parametrize(
    ("line", "normal"), [("L|1||N", True), ("L|1||T", False), ("L|1||E", False), ("L|1", True), ("L|1||F", True)]
)
def test_an_end_tells_whether_all_was_sent(line: str, normal: bool) -> None:
    assert parse_line(line) == Terminator(normal)


@pytest.mark.parametrize("line", ["", "Q|1", "Header|x", "|", "C|1|note"])
def test_letters_that_are_not_known_are_said_to_be(line: str) -> None:
    assert parse_line(line) == Other(line[:1], False)


@pytest.mark.parametrize(
    ("settings", "limits"),
    [("U=0^V=10600", (10, 600)), ("U=1^V=10600", (10, 600)), ("U=1^V=06333", (11, 600)), ("U=303^V=20600", (20, 600)),
     ("V=20600", (20, 600)), ("U=1", None), ("U=0^V=2060", None), ("", None)],
)  # fmt: skip
def test_limits_in_either_unit(settings: str, limits: tuple[int, int] | None) -> None:
    line = parse_line(rf"H|\^&||x|Bayer7390^01.24^7390-1|{settings}|1||||||1|202603101200")
    assert isinstance(line, Header)
    assert line.limits_mgdl == limits


@pytest.mark.parametrize(
    ("raw", "serial"),
    [("7428-4293200", "4293200"), ("7830H5001733", "5001733"), ("6301-1C2CF8C", "1C2CF8C"),
     ("7150-SAM0000", "SAM0000"), ("4293200", "4293200")],
)  # fmt: skip
def test_serials_as_printed(raw: str, serial: str) -> None:
    line = parse_line(rf"H|\^&||x|Contour9999^01.24^{raw}")
    assert isinstance(line, Header)
    assert (line.serial, line.serial_raw, line.name) == (serial, raw, "Contour9999")
    assert (line.clock, line.count, line.versions) == (None, None, ("01.24",))


@pytest.mark.parametrize("line", ["H", r"H|\^&||x", r"H|\^&||x|Bayer7410^1^", r"H|\^&||x|^1^7428-1"])
def test_a_header_without_product_or_serial_is_refused(line: str) -> None:
    with pytest.raises(Malformed):
        parse_line(line)


def test_the_challenge_is_taken_out_and_nothing_else() -> None:
    header = next(row["line"] for row in VECTORS if row["expect"]["type"] == "header")
    assert without_challenge(header) == header.replace("AbCdEf", "")
    assert parse_line(without_challenge(header)) == parse_line(header)
    assert without_challenge("R|1|2|3") == "R|1|2|3"


def _changed(random: Random) -> Callable[[str], str]:
    def change(line: str) -> str:
        text = list(line)
        for _ in range(random.randint(1, 6)):
            text[random.randrange(len(text))] = random.choice("|^\\/0159.ZC<>HRLPO\r\x00ÿ٣")
        return "".join(text)[: random.randint(1, len(text)) if random.random() < 0.3 else None]

    return change


@pytest.mark.proof
def test_mutated_lines_give_typed_errors_only() -> None:
    seed = 20260311
    print(f"seed {seed}")
    random = Random(seed)
    change, refused = _changed(random), 0
    for _ in range(250_000 if LONG else 20_000):
        try:
            line = parse_line(change(random.choice(VECTORS)["line"]))
        except Malformed:
            refused += 1
            continue
        if isinstance(line, Result):
            assert line.number >= 0
            assert 2000 <= line.wall.year < 2100
        elif isinstance(line, Header):
            assert line.serial
            assert line.name
            assert line.limits_mgdl is None or line.limits_mgdl[0] >= 0
    assert refused > 1000
