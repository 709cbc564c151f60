"""The meter's clock: what is believed, what is corrected, and that the past does not move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bridge.contracts import Decoded, Memory
from bridge.model.health import State
from bridge.model.records import MeterGlucose
from bridge.readers.contour_usb.clock import RIGHT, Correction, MeterClock
from tests.readers.contour_usb.bench import NOON, decoded, grown, header, shown

BERLIN = ZoneInfo("Europe/Berlin")
SEVEN = "R|1|^^^Glucose|102|mg/dL^P||||20260310070000"
UNCERTAIN = ({"code": "clock/uncertain"},)


def _clock(error_s: float, at: datetime = NOON) -> str:
    """A header whose clock is ahead of Berlin's by that much."""
    wall = at.astimezone(BERLIN).replace(tzinfo=None) + timedelta(seconds=error_s)
    return header(clock=f"{wall:%Y%m%d%H%M%S}")


def _read(error_s: float, *lines: str, at: datetime = NOON, memory: Memory | None = None) -> Decoded:
    return decoded(*lines, head=_clock(error_s, at), host=at, memory=memory)


def _one(found: Decoded) -> MeterGlucose:
    (record,) = found.records
    assert isinstance(record, MeterGlucose)
    return record


@pytest.mark.parametrize("error_s", [0, 1, -1, 59, -59, 60, -60])
def test_up_to_a_minute_nothing_is_corrected(error_s: int) -> None:
    found = _read(error_s, SEVEN)
    assert _one(found).time == datetime(2026, 3, 10, 6, tzinfo=UTC)
    assert _one(found).annotations == ()
    assert found.health.state is State.OK


@pytest.mark.parametrize("error_s", [61, -61, 300, -899])
def test_drift_is_taken_off_and_shown(error_s: int) -> None:
    found = _read(error_s, SEVEN)
    record = _one(found)
    assert record.time == datetime(2026, 3, 10, 6, tzinfo=UTC) - timedelta(seconds=error_s)
    assert record.device_time == datetime(2026, 3, 10, 7)  # noqa: DTZ001
    assert record.annotations == UNCERTAIN
    assert record.utc_offset_min == 60 + round(error_s / 60)
    assert found.health.state is State.OK


def test_a_clock_of_whole_minutes_is_not_late_by_the_seconds_it_does_not_show() -> None:
    for seconds in range(60):
        at = NOON + timedelta(seconds=seconds)
        found = decoded(SEVEN, head=header(clock="202603101200"), host=at)
        assert _one(found).annotations == ()


def test_summer_time_missed_is_right_on_both_sides_of_the_change() -> None:
    """Never set since winter: what was measured in winter is right as it stands, in summer an hour is missing."""
    april = datetime(2026, 4, 10, 10, 0, tzinfo=UTC)
    lines = [f"R|1|^^^Glucose|101|mg/dL^P||||{stamp}" for stamp in ("20260320100000", "20260410080000")]
    found = _read(-3600, *lines, at=april)
    assert [record.time for record in found.records] == [
        datetime(2026, 3, 20, 9, tzinfo=UTC), datetime(2026, 4, 10, 7, tzinfo=UTC),
    ]  # fmt: skip
    assert all(record.annotations == UNCERTAIN for record in found.records)
    assert found.health.state is State.CLOCK_MISMATCH
    assert "60 min behind" in found.health.text


def test_a_clock_that_drifts_but_is_set_twice_a_year_keeps_winter_in_winter() -> None:
    april = datetime(2026, 4, 10, 10, 0, tzinfo=UTC)
    found = _read(300, "R|1|^^^Glucose|101|mg/dL^P||||20260320100500", at=april)
    assert _one(found).time == datetime(2026, 3, 20, 9, tzinfo=UTC)


def test_another_zone_is_whole_quarters_of_an_hour() -> None:
    assert MeterClock(datetime(2026, 3, 10, 6, 0, 20), 1, NOON).correction(BERLIN) == Correction("even", -5 * 3600)  # noqa: DTZ001
    assert MeterClock(datetime(2026, 3, 10, 12, 0, 20), 1, NOON).correction(BERLIN) == RIGHT  # noqa: DTZ001


def test_without_a_zone_the_meters_clock_against_utc_is_all_there_is() -> None:
    found = decoded(SEVEN, head=_clock(0), timezone=None)
    assert _one(found).time == datetime(2026, 3, 10, 6, tzinfo=UTC)
    assert _one(found).annotations == UNCERTAIN
    assert {"timezone_unknown"} == {each.code for each in found.diagnostics}
    nothing = _one(decoded(SEVEN, timezone=None, host=None))
    assert (nothing.time.hour, nothing.annotations) == (7, UNCERTAIN)


@pytest.mark.parametrize("stamp", ["20261025023000", "20260329023000"])
def test_an_hour_shown_twice_or_never_is_doubtful(stamp: str) -> None:
    late = datetime(2026, 11, 1, 12, tzinfo=UTC)
    found = _read(0, f"R|1|^^^Glucose|101|mg/dL^P||||{stamp}", at=late)
    assert _one(found).annotations == UNCERTAIN


def test_a_stamp_ahead_of_the_meters_own_clock_was_made_before_it_was_set_back() -> None:
    """Five hours behind now; the result of ten o'clock is from before."""
    found = _read(-5 * 3600, "R|1|^^^Glucose|101|mg/dL^P||||20260310100000", SEVEN.replace("0700", "0600"))
    first, second = found.records
    assert (first.time.hour, second.time.hour) == (9, 10)
    assert first.annotations == second.annotations == UNCERTAIN


def test_what_is_ahead_of_all_clocks_is_held_until_due_and_then_doubted() -> None:
    lines = [SEVEN, "R|2|^^^Glucose|105|mg/dL^P||||20260310180000"]
    first = _read(0, *lines)
    assert len(first.records) == 1
    assert "not_due" in {each.code for each in first.diagnostics}
    evening = NOON + timedelta(hours=8)
    later = _read(0, *lines, at=evening, memory=grown(Memory(), first))
    assert [record.annotations for record in later.records] == [(), UNCERTAIN]
    assert later.records[1].time == datetime(2026, 3, 10, 17, tzinfo=UTC)


@pytest.mark.parametrize("clock", ["", "200501010000", "nonsense"])
def test_a_clock_that_is_not_set_is_said(clock: str) -> None:
    found = decoded(SEVEN, head=header(clock=clock))
    assert found.health.state is State.CLOCK_NOT_SET
    assert len(found.records) == 1


def test_before_any_such_meter_is_doubtful() -> None:
    assert _one(_read(0, "R|1|^^^Glucose|102|mg/dL^P||||20050310070000")).annotations == UNCERTAIN


def test_the_clock_that_was_asked_for_stands_in_for_the_headers() -> None:
    from dataclasses import replace

    from tests.readers.contour_usb.bench import capture
    from tests.readers.contour_usb.test_decode import READER

    plain = capture(SEVEN, head=header(clock=""))
    asked = replace(plain, context={**plain.context, "meter_clock": "2026-03-10T12:10:00"})
    record = READER.decode(asked, Memory()).records[0]
    assert record.annotations == UNCERTAIN
    assert record.time == datetime(2026, 3, 10, 6, tzinfo=UTC) - timedelta(minutes=10, seconds=30)


# --- the past does not move ---


def test_the_first_correction_stays_when_the_clock_is_set() -> None:
    first = _read(-3600, SEVEN)
    memory = Memory(state=grown(Memory(), first).state)
    assert not memory.sightings
    later = NOON + timedelta(days=3)
    new = "R|2|^^^Glucose|105|mg/dL^P||||20260313070000"
    again = _read(0, SEVEN, new, at=later, memory=memory)
    assert shown(again.records[:1]) == shown(first.records)
    assert again.records[1].annotations == ()
    assert again.health.state is State.OK


def test_a_new_result_stamped_before_the_last_read_gets_the_new_correction() -> None:
    """The clock was an hour fast, was set back after the read, and shows the same hour again."""
    first = _read(3600, "R|1|^^^Glucose|101|mg/dL^P||||20260310125500")
    later = NOON + timedelta(minutes=40)
    new = "R|2|^^^Glucose|105|mg/dL^P||||20260310123000"
    again = _read(0, "R|1|^^^Glucose|101|mg/dL^P||||20260310125500", new, at=later, memory=grown(Memory(), first))
    by_value = {record.mgdl: record for record in again.records if isinstance(record, MeterGlucose)}
    assert by_value[101].time == datetime(2026, 3, 10, 10, 55, tzinfo=UTC)
    assert by_value[105].time == datetime(2026, 3, 10, 11, 30, tzinfo=UTC)
    assert by_value[105].annotations == ()


def test_a_correction_measured_twice_is_one() -> None:
    memory = Memory()
    seen: set[tuple[object, ...]] = set()
    lines = []
    for day in range(30):
        at = NOON + timedelta(days=day)
        wall = at.astimezone(BERLIN).replace(tzinfo=None, hour=7)
        lines.append(f"R|{day}|^^^Glucose|{100 + day}|mg/dL^P||||{wall:%Y%m%d%H%M%S}")
        found = _read(120 + 3 * (day % 5), *lines, at=at, memory=memory)
        memory = grown(memory, found)
        seen.update((record.id, record.time, record.annotations[0]["code"]) for record in found.records)
    assert len(seen) == 30
    assert memory.state["1000001"]["clocks"] == [["drift", 120]]


def test_a_sighting_keeps_its_time_also_when_the_zone_is_set_otherwise() -> None:
    first = _read(0, SEVEN)
    memory = grown(Memory(), first)
    moved = decoded(SEVEN, head=_clock(0), timezone="Europe/London", memory=memory)
    assert moved.records[0].time == first.records[0].time


def test_what_is_remembered_is_not_new_again() -> None:
    lines = [SEVEN, SEVEN.replace("0700", "0800"), SEVEN]
    first = _read(70, *lines)
    memory = grown(Memory(), first)
    again = _read(70, *lines, memory=memory)
    assert len(first.sightings) == 3
    assert not again.sightings
    assert again.state == memory.state
    assert shown(again.records) == shown(first.records)


def test_what_was_remembered_badly_is_as_if_it_had_never_been() -> None:
    good = shown(_read(70, SEVEN).records)
    odd = {"clocks": [["even"], ["?", 1], [1, 2]], "rows": ["a", "b", 3]}
    for state in (None, 5, {"clocks": "x", "rows": 3}, odd, {"twins": [1]}, {"twins": {"x": 5}}):
        assert shown(_read(70, SEVEN, memory=Memory(state={"1000001": state})).records) == good


def test_one_meters_memory_leaves_the_others_alone() -> None:
    state = _read(0, SEVEN, memory=Memory(state={"2": {"clocks": [], "rows": []}})).state
    assert set(state) == {"1000001", "2"}
    assert state["2"] == {"clocks": [], "rows": []}


# --- twins ---


def _twins(*marks: str, memory: Memory | None = None) -> dict[str, str]:
    """Source key by mark of results of one minute and value."""
    lines = [f"R|{n}|^^^Glucose|102|mg/dL^P||{mark}||202603100700" for n, mark in enumerate(marks)]
    found = _read(0, *lines, memory=memory)
    return {(record.raw or {})["markers"][0]: record.source_key for record in found.records}


def test_twins_are_two_records_in_the_order_of_their_content() -> None:
    key = "202603100700:Glucose:102mg/dL"
    assert _twins("B", "A") == _twins("A", "B") == {"A": key, "B": f"{key}#2"}
    same = _read(0, SEVEN, SEVEN, SEVEN)
    assert len({record.id for record in same.records}) == 3


@pytest.mark.parametrize("sighted", [True, False])
def test_a_twin_that_turns_up_later_takes_the_next_number(sighted: bool) -> None:
    key = "202603100700:Glucose:102mg/dL"
    line = "R|1|^^^Glucose|102|mg/dL^P||{}||202603100700"
    first = grown(Memory(), _read(0, line.format("B")))
    assert _twins("A", "B", memory=first) == {"B": key, "A": f"{key}#2"}
    both = grown(first, _read(0, line.format("A"), line.format("B"), memory=first))
    memory = both if sighted else Memory(state=both.state)
    assert _twins("A", "B", memory=memory) == {"B": key, "A": f"{key}#2"}
    assert _twins("A", memory=memory) == {"A": f"{key}#2"}
    assert _twins("A", "B", "F", memory=memory) == {"B": key, "A": f"{key}#2", "F": f"{key}#3"}


def test_a_mark_changed_later_is_the_same_event() -> None:
    first = _read(90, "R|1|^^^Glucose|102|mg/dL^P||B||202603100700")
    again = _read(0, "R|1|^^^Glucose|102|mg/dL^P||A||202603100700", memory=grown(Memory(), first))
    (before,), (after,) = first.records, again.records
    assert (after.id, after.time, after.annotations) == (before.id, before.time, before.annotations)
    assert isinstance(after, MeterGlucose)
    assert after.meal == "after"
