"""Damaged files: only Malformed comes out, in good time, and damage to one row stays in that row."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable

import pytest

from bridge.contracts import Decoded
from bridge.errors import Malformed
from bridge.readers.carelink_csv.privacy import redact
from tests.readers.carelink_csv.exports import decoded, g2, g2_row
from tests.support import vectors

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
RUNS = 50_000 if LONG else 2_000
SLOWEST_S = 5.0
FILES = {
    "v1_revel523_cgm_2days": "US/Pacific",
    "v1_mmcsv_settings_changes": "US/Pacific",
    "v1_revel723_week_dst": "US/Pacific",
    "v2_us_780g_54col": "US/Eastern",
    "v2_eu_780g_semicolon_mmol": "Europe/Amsterdam",
    "v2_guardian_connect_48col": "Europe/Berlin",
}
CELLS = [
    "", "0", "-1", "1e308", "nan", "999999999999999", "0.000001", "LOW", "null", "=1+1", "2025/13/45", "99:99:99",
    "1/1/99 00:00:00", "AMOUNT=, DURATION=-5", "NEW_TIME=4102444799999", "NEW_TIME=0", "DURATION=999999999999999",
    "PATTERN_DATUM=1, RATE=1e5", "Percent", "NORMAL_PUMPING", "Dual/Square", "12,5", '"', "ü\u2028\x1f", "0:00:00",
    "START_TIME=999999999, RATE=9, AMOUNT=3", "STATE=user_suspend", "٣", "2099/12/31", "2000/01/01", "23:59:59",
]  # fmt: skip
TYPES = [
    "BasalProfileStart", "ChangeTempBasalPercent", "ChangeTime", "ChangeSuspendState", "BolusSquare", "BolusNormal",
    "BolusWizardBolusEstimate", "CurrentBasalProfile", "CurrentBasalProfilePattern", "ChangeBolusWizardSetup",
    "UnabsorbedInsulin", "GlucoseSensorData", "BGReceived", "ChangeMaxBolus", "AlarmPump", "CurrentBatteryStatus",
]  # fmt: skip


def _small(body: bytes, dice: random.Random, rows: int = 20) -> list[str]:
    """The lines above the tables and a stretch of rows."""
    lines = body.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    header = next(at for at, line in enumerate(lines) if line.startswith("Index"))
    start = dice.randrange(header + 1, max(header + 2, len(lines) - rows))
    return [*lines[: header + 1], *lines[start : start + rows]]


def _bytes(lines: list[str], dice: random.Random) -> bytes:
    body = bytearray("\n".join(lines).encode())
    for _ in range(dice.randrange(1, 12)):
        body[dice.randrange(len(body))] = dice.randrange(256)
    return bytes(body)


def _cut(lines: list[str], dice: random.Random) -> bytes:
    body = "\n".join(lines).encode()
    start, end = sorted(dice.randrange(len(body)) for _ in range(2))
    return body[:start] + body[end:]


def _cells(lines: list[str], dice: random.Random) -> bytes:
    for _ in range(dice.randrange(1, 6)):
        at = dice.randrange(len(lines))
        delimiter = max(",;", key=lines[at].count)
        cells = lines[at].split(delimiter)
        cells[dice.randrange(len(cells))] = dice.choice(CELLS)
        lines[at] = delimiter.join(cells)
    return "\n".join(lines).encode()


def _types(lines: list[str], dice: random.Random) -> bytes:
    known = [word for line in lines for word in line.split(",") if word in TYPES]
    text = "\n".join(lines)
    for word in dice.sample(known, min(3, len(known))):
        text = text.replace(f",{word},", f",{dice.choice(TYPES)},", dice.randrange(1, 5))
    return text.encode()


def _values(lines: list[str], dice: random.Random) -> bytes:
    text = "\n".join(lines)
    digits = [at for at, letter in enumerate(text) if letter.isdigit()]
    letters = list(text)
    for at in dice.sample(digits, min(25, len(digits))):
        letters[at] = dice.choice("0123456789.,-e")
    return "".join(letters).encode()


def _order(lines: list[str], dice: random.Random) -> bytes:
    header = next((at for at, line in enumerate(lines) if line.startswith("Index")), 0)
    rows = lines[header + 1 :]
    dice.shuffle(rows)
    return "\n".join([*lines[: header + 1], *rows, *dice.choices(rows or [""], k=5)]).encode()


DAMAGE: list[Callable[[list[str], random.Random], bytes]] = [_bytes, _cut, _cells, _types, _values, _order]


@pytest.mark.proof
@pytest.mark.timeout(3600 if LONG else 120)
def test_damaged_files_are_malformed_or_decoded() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}, {RUNS} files")
    dice = random.Random(seed)
    originals = {name: vectors.path("carelink-csv", f"{name}.csv").read_bytes() for name in FILES}
    fates = Counter[str]()
    for _ in range(RUNS):
        name = dice.choice(list(FILES))
        body = dice.choice(DAMAGE)(_small(originals[name], dice), dice)
        order = dice.choice(["", "mdy", "dmy"])
        began = time.monotonic()
        try:
            result = decoded(body, FILES[name], date_order=order)
        except Malformed:
            fates["malformed"] += 1
        else:
            fates["decoded"] += 1
            _assert_sound(result)
        redact(body)
        assert time.monotonic() - began < SLOWEST_S
    print(dict(fates))
    assert fates["decoded"] > RUNS / 4


def _assert_sound(result: Decoded) -> None:
    assert len({record.id for record in result.records}) == len(result.records)
    rejected = [diagnostic.text for diagnostic in result.diagnostics if diagnostic.code == "row/rejected"]
    assert all(text.startswith("Line ") for text in rejected)


@pytest.mark.proof
@pytest.mark.parametrize("generation", [1, 2])
def test_a_bad_row_harms_only_itself(generation: int) -> None:
    """Sensor rows stand for themselves: with one row of a file damaged, all others come out unchanged."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    body, timezone = _sensor_file(generation)
    whole = {record.source_key: record for record in decoded(body, timezone).records}
    lines = body.decode().split("\n")
    rows = [at for at, line in enumerate(lines) if ("GlucoseSensorData" in line or line.startswith("0.0"))]
    for _ in range(400 if LONG else 40):
        at = dice.choice(rows)
        cells = lines[at].split(",")
        cells[dice.randrange(1, len(cells))] = dice.choice(CELLS)
        damaged = "\n".join([*lines[:at], ",".join(cells), *lines[at + 1 :]]).encode()
        found = {record.source_key: record for record in decoded(damaged, timezone).records}
        assert sum(found.get(key) != record for key, record in whole.items()) <= 1


def _sensor_file(generation: int) -> tuple[bytes, str]:
    if generation == 2:
        rows = [g2_row(f"2025/01/31 {n // 12:02}:{n % 12 * 5:02}:00", Sensor_Glucose=f"{90 + n}") for n in range(99)]
        return g2(sensor=rows[::-1]), "US/Pacific"
    body = vectors.path("carelink-csv", "v1_revel523_cgm_2days.csv").read_bytes().decode()
    head, _, rows_text = body.partition("\nIndex")
    header, *lines = rows_text.replace("\r", "").split("\n")
    kept = [line for line in lines if "GlucoseSensorData" in line][90:150]
    return "\n".join([head, f"Index{header}", *kept]).encode(), "US/Pacific"


@pytest.mark.proof
def test_a_quarter_of_a_year_is_read_in_seconds() -> None:
    """40,000 rows; the bound is far above what is measured, for slow machines."""
    days = range(90 if LONG else 9)
    sensor, pump = [], []
    for day in days:
        for n in range(288):
            at = f"2025/{1 + day // 28:02}/{1 + day % 28:02} {n // 12:02}:{n % 12 * 5:02}:10"
            sensor.append(g2_row(at, Sensor_Glucose=f"{80 + n}", ISIG_Value="21.5"))
            if n % 2:
                pump.append(g2_row(at, Bolus_Volume_Delivered="0.1", Bolus_Source="CLOSED_LOOP_AUTO_BASAL"))
    body = g2(pump[::-1], sensor[::-1])
    began = time.process_time()
    result = decoded(body)
    spent = time.process_time() - began
    print(f"{len(sensor) + len(pump)} rows in {spent:.2f} s")
    assert len(result.records) == len(sensor) + len(pump)
    assert spent < 0.3 * len(days) + 2
