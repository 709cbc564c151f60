"""The basal line: schedules, temporary rates, suspensions, what is not known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from bridge.contracts import Memory
from bridge.readers.medtronic_stick.decode import decode, decode_page
from tests.readers.medtronic_stick.decode.payloads import (
    alarm,
    bolus,
    capture,
    clock_set,
    codes,
    date5,
    of_kind,
    page,
    plain,
    prime,
    read,
    resume,
    scheduled,
    suspend,
    temp,
    wall,
)
from tests.support import vectors

NOW: dict[str, Any] = {"now": "06-01 12:00"}
OLD = {"92": "200000280014000000", "93": "140000000000", "c0": "000101010096008c00000000010000640104001400"}
"""Standard 0.8 U/h, from 10:00 1.0 U/h; pattern A 0.5 U/h; standard selected."""
RECORDS = {row["id"]: row for row in vectors.rows("medtronic-stick", "records.jsonl")}


def line(decoded: Any) -> list[tuple[str, str, float | None, float | None]]:
    """Start on the wall, delivery, rate, minutes."""
    return [
        (
            one.device_time.strftime("%H:%M:%S").removesuffix(":00"),
            one.delivery,
            one.rate_u_h,
            None if one.duration_min is None else round(one.duration_min, 3),
        )
        for one in of_kind(decoded, "basal")
    ]


def assert_whole(decoded: Any) -> None:
    """No overlap, no hole, unique keys; only the last is open."""
    basals = of_kind(decoded, "basal")
    for one, following in pairwise(basals):
        assert one.time + timedelta(seconds=round(one.duration_min * 60, 3)) == following.time
    assert len({one.source_key for one in basals}) == len(basals)


# --- new pumps --------------------------------------------------------------------------------------


def test_scheduled_steps() -> None:
    decoded = read(scheduled("06-01 00:00", 0.8), scheduled("06-01 06:00", 30.6, 360), **NOW)
    assert line(decoded) == [("00:00", "scheduled", 0.8, 360), ("06:00", "scheduled", 30.6, None)]
    first, last = of_kind(decoded, "basal")
    assert (first.schedule, first.source_key[:3]) == ("standard", "7b:")
    assert last.annotation("basal/open") == {"code": "basal/open"}


def test_a_temporary_rate_that_runs_out() -> None:
    decoded = read(
        scheduled("06-01 00:00", 0.8), temp("06-01 06:00", 30, 1.5), scheduled("06-01 06:30:01", 0.8), **NOW
    )
    assert line(decoded) == [
        ("00:00", "scheduled", 0.8, 360), ("06:00", "temporary", 1.5, 30.017), ("06:30:01", "scheduled", 0.8, None),
    ]  # fmt: skip
    assert of_kind(decoded, "basal")[1].source_key.startswith("33:")


def test_a_temporary_rate_that_is_cancelled_and_one_that_follows_another() -> None:
    decoded = read(
        scheduled("06-01 00:00", 0.8),
        temp("06-01 06:00", 30, 1.5),
        temp("06-01 06:10", 60, 0),
        temp("06-01 06:20", 0, 0),
        scheduled("06-01 06:20:01", 0.8),
        **NOW,
    )
    assert line(decoded) == [
        ("00:00", "scheduled", 0.8, 360), ("06:00", "temporary", 1.5, 10), ("06:10", "temporary", 0, 10.017),
        ("06:20:01", "scheduled", 0.8, None),
    ]  # fmt: skip


def test_percent_of_what_the_pump_wrote_last() -> None:
    decoded = read(scheduled("06-01 00:00", 0.8), temp("06-01 06:00", 60, percent=150), now="06-01 06:30")
    last = of_kind(decoded, "basal")[-1]
    assert (last.percent, last.rate_u_h, last.duration_min) == (150, 1.2, None)
    assert last.annotation("basal/open") == {"code": "basal/open", "programmed_min": 60}


def test_percent_of_a_schedule_that_is_not_known() -> None:
    decoded = read(temp("06-01 06:00", 60, percent=150), now="06-01 06:30")
    (one,) = of_kind(decoded, "basal")
    assert (one.percent, one.rate_u_h) == (150, None)
    assert one.annotation("basal/unknown-rate")


def test_percent_is_split_where_the_schedule_steps() -> None:
    decoded = read(
        scheduled("06-01 00:00", 0.8), temp("06-01 09:30", 60, percent=50), answers=OLD | {"c0": SETTINGS_NEW},
        now="06-01 10:15",
    )  # fmt: skip
    assert line(decoded) == [
        ("00:00", "scheduled", 0.8, 570), ("09:30", "temporary", 0.4, 30), ("10:00", "temporary", 0.5, None),
    ]  # fmt: skip
    assert of_kind(decoded, "basal")[-1].annotation("basal/open") == {"code": "basal/open", "programmed_min": 30}


SETTINGS_NEW = "00010001010096008c00000000000064010400140019010101"


def test_a_temporary_rate_goes_on_after_a_suspension() -> None:
    decoded = read(
        scheduled("06-01 00:00", 0.8), temp("06-01 06:00", 60, 1.5), suspend("06-01 06:10"), resume("06-01 06:20"),
        scheduled("06-01 07:00", 0.8), **NOW,
    )  # fmt: skip
    assert line(decoded) == [
        ("00:00", "scheduled", 0.8, 360), ("06:00", "temporary", 1.5, 10), ("06:10", "suspended", 0, 10),
        ("06:20", "temporary", 1.5, 40), ("07:00", "scheduled", 0.8, None),
    ]  # fmt: skip
    assert of_kind(decoded, "basal")[3].source_key == "basal:2025-06-01T06:20:00:0"
    assert_whole(decoded)


def test_a_step_at_the_resume_bears_the_pumps_own_record_in_either_order() -> None:
    for order in (0, 1):
        step, back = scheduled("06-01 06:20", 0.8), resume("06-01 06:20")
        pair = (step, back) if order else (back, step)
        decoded = read(scheduled("06-01 00:00", 0.9), suspend("06-01 06:10"), *pair, **NOW)
        assert line(decoded)[1:] == [("06:10", "suspended", 0, 10), ("06:20", "scheduled", 0.8, None)]
        assert of_kind(decoded, "basal")[2].source_key.startswith("7b:")


def test_a_step_while_suspended_delivers_nothing() -> None:
    decoded = read(scheduled("05-31 20:00", 0.9), suspend("05-31 23:00"), scheduled("06-01 00:00", 0.8), **NOW)
    assert line(decoded) == [("20:00", "scheduled", 0.9, 180), ("23:00", "suspended", 0, None)]


def head(raw: str, at: str) -> bytes:
    return bytes.fromhex(raw) + date5(datetime.fromisoformat(at))


@pytest.mark.parametrize("name", ["rec-006", "rec-007"])
def test_low_glucose_suspend_vectors(name: str) -> None:
    row = RECORDS[name]
    expected = row["expected"]
    first = datetime.fromisoformat(row["raw"][0][1])
    begin = bytes([0x7B, 0]) + date5(first - timedelta(hours=1)) + bytes([0, 32, 0])
    group = [head(raw, at) for raw, at in row["raw"]]
    decoded = read(begin, *group, now="2016-12-15 12:00", model="551")
    (one,) = [basal for basal in of_kind(decoded, "basal") if basal.delivery == "suspended"]
    assert (one.suspend_reason == "on_low") == (expected["suspended"] == "automatic")
    assert round(one.duration_min * 60_000, -3) == expected["duration_ms"]
    states = [int(raw[2:], 16) & 0x1F for raw, _ in row["raw"] if raw.startswith("1f")]
    assert ("manual" if 6 in states else "automatic") == expected["resumed"]


def test_a_user_and_a_rewind_both_stop_delivery() -> None:
    decoded = read(
        scheduled("06-01 00:00", 0.8), plain(0x21, 0, "06-01 06:00"), suspend("06-01 06:05"), prime("06-01 06:10", 6),
        resume("06-01 06:20"), prime("06-01 06:21", 0.5, 0.5), scheduled("06-01 06:21", 0.8), **NOW,
    )  # fmt: skip
    assert line(decoded)[1:3] == [("06:00", "suspended", 0, 20), ("06:20", "scheduled", 0.8, 1)]
    assert of_kind(decoded, "basal")[1].suspend_reason is None


@pytest.mark.parametrize("ending", [plain(0x0C, 4, "06-01 06:10"), resume("06-01 06:10"), prime("06-01 06:10", 1)])
def test_no_delivery_until_a_person_acts(ending: bytes) -> None:
    decoded = read(scheduled("06-01 00:00", 0.8), alarm("06-01 06:00", 4), ending, **NOW)
    assert line(decoded)[1:] == [("06:00", "suspended", 0, 10), ("06:10", "scheduled", 0.8, None)]
    one = of_kind(decoded, "basal")[1]
    assert one.suspend_reason == "alarm"
    assert one.annotation("basal/inferred-duration")


def test_without_a_battery_nothing_is_known() -> None:
    decoded = read(scheduled("06-01 00:00", 0.8), plain(0x1A, 0, "06-01 06:00"), plain(0x1A, 1, "06-01 06:10"), **NOW)
    assert line(decoded) == [("00:00", "scheduled", 0.8, 360), ("06:10", "scheduled", 0.8, None)]
    assert of_kind(decoded, "basal")[0].annotation("basal/unknown-duration")
    dead = read(scheduled("06-01 00:00", 0.8), alarm("06-01 06:00", 3), plain(0x0C, 3, "06-01 07:00"), **NOW)
    assert line(dead) == [("00:00", "scheduled", 0.8, 360)]


def test_suspended_with_a_new_battery_is_still_suspended() -> None:
    decoded = read(
        scheduled("06-01 00:00", 0.8), suspend("06-01 05:00"), plain(0x1A, 0, "06-01 06:00"),
        plain(0x1A, 1, "06-01 06:10"), **NOW,
    )  # fmt: skip
    assert line(decoded)[1:] == [("05:00", "suspended", 0, 60), ("06:10", "suspended", 0, None)]


def test_a_set_clock_splits_what_runs() -> None:
    decoded = read(
        scheduled("06-01 00:00", 0.8),
        temp("06-01 08:00", 120, 2),
        clock_set("06-01 08:30", "06-01 07:30"),
        now="06-01 08:00",
    )
    assert line(decoded) == [
        ("00:00", "scheduled", 0.8, 480), ("08:00", "temporary", 2, 30), ("07:30", "temporary", 2, None),
    ]  # fmt: skip
    last = of_kind(decoded, "basal")[-1]
    assert last.annotation("basal/open") == {"code": "basal/open", "programmed_min": 90}
    assert last.source_key == "basal:2025-06-01T07:30:00:1"
    assert_whole(decoded)


def test_five_days_are_the_longest() -> None:
    decoded = read(scheduled("05-01 00:00", 0.8), scheduled("05-10 00:00", 0.9), **NOW)
    first, last = of_kind(decoded, "basal")
    assert first.duration_min == last.duration_min == 5 * 1440
    assert first.annotation("basal/unknown-duration")


def test_a_rate_whose_record_is_not_here() -> None:
    """Only its duration was read: nothing is said until it ends."""
    decoded = read(temp("06-01 06:00", 30, 2)[8:], scheduled("06-01 06:30", 0.8), **NOW)
    assert line(decoded) == [("06:30", "scheduled", 0.8, None)]


# --- old pumps --------------------------------------------------------------------------------------


def old(*records: bytes, **how: Any) -> Any:
    return read(*records, model="522", **({"answers": OLD, **NOW} | how))


MARK = plain(0x64, 0, "05-31 22:00")


def test_the_schedule_is_worked_out() -> None:
    decoded = old(MARK, plain(0x64, 0, "06-01 11:00"))
    assert line(decoded) == [("00:00", "scheduled", 0.8, 600), ("10:00", "scheduled", 1, None)]
    assert [one.source_key for one in of_kind(decoded, "basal")] == [
        "basal:2025-06-01T00:00:00:0", "basal:2025-06-01T10:00:00:0",
    ]  # fmt: skip
    assert of_kind(decoded, "basal")[-1].annotation("basal/open") == {"code": "basal/open", "programmed_min": 840}


def test_without_the_schedules_only_what_is_written() -> None:
    decoded = old(MARK, temp("06-01 06:00", 30, 1.5), suspend("06-01 08:00", 0), resume("06-01 08:30", 0), answers={})
    assert line(decoded) == [("06:00", "temporary", 1.5, 30), ("08:00", "suspended", 0, 30)]


def test_temporary_rates_and_suspensions_of_an_old_pump() -> None:
    decoded = old(
        MARK, temp("06-01 09:30", 60, percent=50), suspend("06-01 11:00", 0), resume("06-01 11:20", 0)
    )  # fmt: skip
    assert line(decoded) == [
        ("00:00", "scheduled", 0.8, 570), ("09:30", "temporary", 0.4, 30), ("10:00", "temporary", 0.5, 30),
        ("10:30", "scheduled", 1, 30), ("11:00", "suspended", 0, 20), ("11:20", "scheduled", 1, None),
    ]  # fmt: skip
    assert_whole(decoded)


def test_a_suspended_old_pump_takes_no_steps() -> None:
    decoded = old(MARK, suspend("06-01 09:00", 0), resume("06-01 11:00", 0))
    assert line(decoded) == [
        ("00:00", "scheduled", 0.8, 540), ("09:00", "suspended", 0, 120), ("11:00", "scheduled", 1, None),
    ]  # fmt: skip


def test_a_bolus_written_late_does_not_move_the_schedule() -> None:
    late = bolus("06-01 07:00", 2, kind=3, minutes=120, new=False)
    decoded = old(MARK, temp("06-01 09:00", 30, 2), late, plain(0x64, 0, "06-01 11:00"))
    assert line(decoded) == [
        ("00:00", "scheduled", 0.8, 540), ("09:00", "temporary", 2, 30), ("09:30", "scheduled", 0.8, 30),
        ("10:00", "scheduled", 1, None),
    ]  # fmt: skip


def profile(opcode: int, at: str, *steps: tuple[int, float], pattern: int = 0) -> bytes:
    date = bytearray(date5(wall(at)))
    date[2] |= pattern << 5
    body = b"".join(bytes([start // 30]) + round(rate * 40).to_bytes(2, "little") for start, rate in steps)
    return bytes([opcode, len(steps)]) + bytes(date) + body.ljust(145, b"\0")


def test_changed_profiles_and_patterns_are_walked_back() -> None:
    at = date5(wall("06-01 08:00"))
    to_a = bytes([0x14, 0]) + at[:2] + bytes([at[2] | 1 << 5]) + at[3:]
    back = bytes([0x14, 1]) + date5(wall("06-01 09:00"))
    decoded = old(
        MARK,
        profile(8, "06-01 04:00", (0, 0.6)),
        profile(9, "06-01 04:00", (0, 0.8), (600, 1.0)),
        to_a,
        back,
        plain(0x64, 0, "06-01 11:00"),
    )
    assert line(decoded) == [
        ("00:00", "scheduled", 0.6, 240), ("04:00", "scheduled", 0.8, 240), ("08:00", "scheduled", 0.5, 60),
        ("09:00", "scheduled", 0.8, 60), ("10:00", "scheduled", 1, None),
    ]  # fmt: skip
    assert [one.schedule for one in of_kind(decoded, "basal")][2] == "pattern a"


@pytest.mark.parametrize(
    "first",
    [resume("06-01 11:00", 0), temp("06-01 11:00", 0, 0), prime("06-01 11:00", 6)],
    ids=["resume", "cancel", "prime"],
)
def test_what_ends_at_the_first_word_had_run_since_before(first: bytes) -> None:
    assert line(old(MARK, first)) == [("11:00", "scheduled", 1, None)]


def test_keys_of_an_old_pump_do_not_hang_on_how_far_back_a_read_goes() -> None:
    tail = (suspend("06-01 08:00", 0), resume("06-01 08:30", 0), temp("06-01 09:45", 30, 2))
    far = of_kind(old(plain(0x64, 0, "05-28 10:10"), plain(0x64, 0, "05-30 20:00"), MARK, *tail), "basal")
    near = of_kind(old(MARK, *tail), "basal")
    assert {one.source_key: one for one in far}.items() >= {one.source_key: one for one in near}.items()


def test_missing_pages_are_a_hole() -> None:
    pages = {0: page(plain(0x64, 0, "06-01 09:00")), 2: page(MARK), 3: page(plain(0x64, 0, "05-31 11:00"))}
    decoded = decode(capture(pages, model="522", answers=OLD, **NOW), Memory())
    assert line(decoded)[-1] == ("10:00", "scheduled", 1, None)
    starts = [one.device_time for one in of_kind(decoded, "basal")]
    assert wall("06-01 00:00") not in starts
    assert "history_gap" in codes(decoded)


def test_a_page_alone_of_a_new_pump() -> None:
    raw = page(scheduled("06-01 00:00", 0.8), temp("06-01 06:00", 30, 1.5))
    decoded = decode_page(raw, "523", glucose=False, now=datetime.fromisoformat("2026-06-01T00:00:00+00:00"))
    assert line(decoded) == [("00:00", "scheduled", 0.8, 360), ("06:00", "temporary", 1.5, None)]


# --- the day's total ----------------------------------------------------------------------------------


def detail(day: str, basal: float) -> bytes:
    at = wall(f"{day} 00:00")
    date = bytes([(at.month >> 1) << 5 | at.day, (at.month & 1) << 7 | at.year - 2000])
    units = round(basal * 40).to_bytes(2, "big")
    return bytes([0x6E]) + date + bytes(8) + units + units + bytes(37)


@pytest.mark.parametrize(("total", "told"), [(24.0, False), (23.0, False), (20.0, True)])
def test_the_pumps_total_of_a_day(total: float, told: bool) -> None:
    day: Sequence[bytes] = [scheduled("05-30 00:00", 1), scheduled("05-31 00:00", 1), detail("05-30", total)]
    decoded = read(*day, **NOW)
    assert ("basal_day_mismatch" in codes(decoded)) is told


def test_a_day_that_is_not_whole_is_not_checked() -> None:
    decoded = read(scheduled("05-30 01:00", 1), scheduled("05-31 00:00", 1), detail("05-30", 5), **NOW)
    assert "basal_day_mismatch" not in codes(decoded)


def test_all_pages_of_the_vectors_make_a_line_without_overlap() -> None:
    now = datetime.fromisoformat("2026-06-01T00:00:00+00:00")
    for row in vectors.rows("medtronic-stick", "history_pages.jsonl"):
        decoded = decode_page(bytes.fromhex(row["page_hex"]), row["model"], glucose=False, now=now)
        basals = of_kind(decoded, "basal")
        for one, following in pairwise(basals):
            end = one.time + timedelta(seconds=round(one.duration_min * 60, 3))
            assert end <= following.time, row["id"]
        assert len({one.source_key for one in basals}) == len(basals)


def test_boluses_do_not_touch_the_line() -> None:
    decoded = read(scheduled("06-01 00:00", 0.8), bolus("06-01 03:00", 2), scheduled("06-01 06:00", 0.8), **NOW)
    assert len(line(decoded)) == 2
