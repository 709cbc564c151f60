"""A pump's whole memory is decoded in seconds and in bounded memory."""

from __future__ import annotations

import os
import time
import tracemalloc

import pytest

from bridge.model import Capture
from bridge.readers.medtronic_600.history import read_payload
from tests.readers.medtronic_600.decode.builders import (
    START,
    blocks,
    blood,
    decoded,
    delivered,
    event,
    payload,
    programmed,
    segment,
    sensor,
    visit,
    wizard,
)

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
DAYS = 90 if LONG else 4
DAY_S = 86_400
MOST_S, MOST_MB = 3.0, 150.0


def pump_day(start: int) -> list[bytes]:
    found = [event(0x07, start), event(0x3C, start, bytes(97))]
    found += [segment(start + hour * 3600, 0.4 + hour / 100, hour) for hour in range(24)]
    found += [event(0x0B, start + n * 300 + 7, bytes(13)) for n in range(288)]
    for n in range(8):
        at = start + 7200 + n * 9000
        found += [blood(at, 120 + n, "BG1234567B"), blood(at, 120 + n, "BG1234567B", cal=True)]
        found += [wizard(at + 20, carbs=30 + n, food_u=3 + n / 10, final_u=3 + n / 10)]
        found += [programmed(at + 30, n, 3 + n / 10, 1), delivered(at + 150, n, 3 + n / 10, source=1)]
    return found


def sensor_day(start: int) -> list[bytes]:
    return [sensor(start + n * 300, (100 + n % 100, 0.3, 0, 0)) for n in range(288)]


def whole(days: int) -> Capture:
    starts = [START + n * DAY_S for n in range(days)]
    pump = [one for start in starts for one in pump_day(start)]
    readings = [one for start in starts for one in sensor_day(start)]
    return visit(*pump, rtc=START + days * DAY_S, sensor_events=readings)


@pytest.mark.proof
def test_ninety_days_of_a_640g() -> None:
    capture = whole(DAYS)
    began = time.process_time()
    found = decoded(capture)
    seconds = time.process_time() - began
    records = len(found.records)
    del found
    tracemalloc.start()
    kept = decoded(capture)
    megabytes = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    print(f"{DAYS} days, {len(capture.body) / 1e6:.1f} MB: {records} records, {seconds:.2f} s, {megabytes:.0f} MB")
    assert len(kept.records) == records >= DAYS * 300
    assert seconds < MOST_S * DAYS / 90 * 3
    assert megabytes < MOST_MB * max(DAYS / 90, 0.2)


@pytest.mark.proof
def test_blocks_per_second() -> None:
    answers = [payload(one, 3) for one in blocks(sensor_day(START) * 8)]
    began = time.process_time()
    events = sum(1 for answer in answers for _ in read_payload(answer).events())
    seconds = time.process_time() - began
    print(f"{len(answers) / seconds:.0f} blocks/s")
    assert events == 288 * 8
    assert len(answers) / seconds > 100
