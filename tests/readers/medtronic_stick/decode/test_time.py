"""The pump's wall clock becomes UTC: corrections, changes of the clock, summer time, lost clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.contracts import Memory
from bridge.errors import Malformed
from bridge.model.health import State
from bridge.readers.medtronic_stick.decode import decode, decode_page
from bridge.readers.medtronic_stick.ordinals import Ordinals
from bridge.readers.medtronic_stick.time import Change
from tests.readers.medtronic_stick.decode.payloads import (
    alarm,
    bolus,
    capture,
    clock_set,
    codes,
    keys,
    of_kind,
    page,
    plain,
    read,
    wall,
)

BERLIN: dict[str, Any] = {"timezone": "Europe/Berlin", "offset_min": 120}


def utc(text: str) -> datetime:
    return wall(text).replace(tzinfo=UTC)


def boluses(decoded: Any) -> list[Any]:
    return of_kind(decoded, "bolus")


def test_a_clock_that_is_right_is_taken_as_it_is() -> None:
    decoded = read(bolus("06-01 08:00:07", 1), now="06-01 12:00", ahead_s=29, **BERLIN)
    (one,) = boluses(decoded)
    assert one.time == utc("06-01 06:00:07")
    assert (one.device_time, one.utc_offset_min) == (wall("06-01 08:00:07"), 120)
    assert decoded.health.state is State.OK


@pytest.mark.parametrize(("ahead_s", "time"), [(90, "06-01 05:58:30"), (-300, "06-01 06:05:00")])
def test_a_clock_that_is_wrong_by_a_little_is_corrected(ahead_s: int, time: str) -> None:
    decoded = read(bolus("06-01 08:00", 1), now="06-01 12:00", ahead_s=ahead_s, **BERLIN)
    (one,) = boluses(decoded)
    assert one.time == utc(time)
    assert one.device_time == wall("06-01 08:00")
    assert decoded.health.state is State.OK


def test_a_clock_that_is_far_off_is_corrected_and_told() -> None:
    decoded = read(bolus("06-01 07:00", 1), now="06-01 12:00", ahead_s=-3600, **BERLIN)
    assert [one.time for one in boluses(decoded)] == [utc("06-01 06:00")]
    assert decoded.health.state is State.CLOCK_MISMATCH
    assert "60 min slow" in decoded.health.text


def test_a_forgotten_summer_time_is_no_change_for_records_before_it() -> None:
    decoded = read(bolus("03-01 08:00", 1), now="04-05 12:00", ahead_s=-3600, **BERLIN)
    assert [one.time for one in boluses(decoded)] == [utc("03-01 07:00")]


def test_without_a_change_of_the_clock_the_zone_rules() -> None:
    decoded = read(bolus("03-01 08:00", 1), bolus("04-01 08:00", 2), now="04-05 12:00", **BERLIN)
    assert [(one.time, one.utc_offset_min) for one in boluses(decoded)] == [
        (utc("03-01 07:00"), 60),
        (utc("04-01 06:00"), 120),
    ]


def test_a_repeated_hour_follows_the_log() -> None:
    stamps = ["10-26 01:50", "10-26 02:10", "10-26 02:50", "10-26 02:05", "10-26 02:40", "10-26 03:10"]
    decoded = read(
        *(bolus(stamp, n + 1) for n, stamp in enumerate(stamps)),
        now="10-27 12:00",
        timezone="Europe/Berlin",
        offset_min=60,
    )
    assert [one.time.strftime("%H:%M") for one in boluses(decoded)] == [
        "23:50", "00:10", "00:50", "01:05", "01:40", "02:10",
    ]  # fmt: skip
    assert [one.utc_offset_min for one in boluses(decoded)] == [120, 120, 120, 60, 60, 60]


def test_an_hour_that_is_skipped_goes_forward() -> None:
    decoded = read(bolus("03-30 02:30", 1), now="03-31 12:00", **BERLIN)
    assert [one.time for one in boluses(decoded)] == [utc("03-30 01:30")]


def test_older_records_are_placed_by_the_changes_of_the_clock() -> None:
    """Summer time was set a day late, and five minutes with it; before, the clock had lost a minute."""
    decoded = read(
        bolus("03-28 10:00", 1),
        clock_set("03-29 10:00", "03-29 10:01"),
        bolus("03-30 10:00", 2),
        clock_set("03-31 10:00", "03-31 11:05"),
        bolus("04-01 10:00", 3),
        now="04-05 12:00",
        **BERLIN,
    )
    assert [(one.time, one.utc_offset_min) for one in boluses(decoded)] == [
        (utc("03-28 09:06"), 60),
        (utc("03-30 09:05"), 60),
        (utc("04-01 08:00"), 120),
    ]
    changes = [event for event in of_kind(decoded, "device_event") if event.event == "time_change"]
    assert [(event.clock_from, event.clock_to) for event in changes] == [
        (wall("03-29 10:00"), wall("03-29 10:01")),
        (wall("03-31 10:00"), wall("03-31 11:05")),
    ]
    assert changes[1].time == utc("03-31 09:05")
    assert {event.agent for event in changes} == {"manual"}


def test_whole_days_are_no_zone() -> None:
    decoded = read(bolus("05-30 10:00", 1), clock_set("05-30 11:00", "05-31 11:00"), now="06-01 12:00", **BERLIN)
    (one,) = boluses(decoded)
    assert (one.time, one.utc_offset_min) == (utc("05-31 08:00"), 120)


def test_without_a_zone_the_two_clocks_tell_the_offset() -> None:
    decoded = read(bolus("06-01 08:00", 1), now="06-01 12:00", ahead_s=-100, offset_min=345)
    (one,) = boluses(decoded)
    assert (one.time, one.utc_offset_min) == (utc("06-01 02:16:40"), 345)
    assert not one.annotations


# --- lost clocks -----------------------------------------------------------------------------------


def test_records_of_a_reset_clock_are_none_and_older_ones_are_in_doubt() -> None:
    decoded = read(
        bolus("05-20 10:00", 1),
        alarm("2007-01-01 00:00", 21),
        bolus("2007-01-01 00:01", 5),
        clock_set("2007-01-01 00:02", "05-21 10:00"),
        bolus("05-21 11:00", 2),
        now="06-01 12:00",
        **BERLIN,
    )
    older, newer = boluses(decoded)
    assert (older.delivered_u, newer.delivered_u) == (1, 2)
    assert older.time == utc("05-20 08:00")
    assert older.annotation("clock/uncertain") == {"code": "clock/uncertain", "reason": "clock_lost"}
    assert newer.annotations == ()


@pytest.mark.parametrize("reset", ["2012-01-01 00:10", "2014-01-03 05:00"])
def test_any_year_long_gone_before_a_set_clock_is_a_reset(reset: str) -> None:
    decoded = read(bolus(reset, 5), clock_set("2014-01-04 00:00", "05-21 10:00"), now="06-01 12:00", **BERLIN)
    assert boluses(decoded) == []


def test_a_clock_lost_without_a_word_of_the_new_time() -> None:
    decoded = read(bolus("05-20 10:00", 1), alarm("2007-01-01 00:00", 17), bolus("05-21 11:00", 2), now="06-01 12:00")
    older, newer = boluses(decoded)
    assert older.annotation("clock/uncertain")
    assert newer.annotations == ()


def test_a_pump_whose_clock_is_not_set_gives_nothing() -> None:
    made = capture([page(bolus("2012-01-01 08:00", 1))], now="06-01 12:00", ahead_s=-13 * 365 * 86400)
    decoded = decode(made, Memory(state={"io": 1}))
    assert list(decoded.records) == []
    assert decoded.health.state == "clock_not_set"
    assert decoded.state["io"] == 1


def test_a_drawer_pumps_old_records_are_true_dates() -> None:
    decoded = read(bolus("2022-05-20 10:00", 1), bolus("05-21 11:00", 2), now="06-01 12:00")
    assert len(boluses(decoded)) == 2


def test_what_is_yet_to_come_waits() -> None:
    decoded = read(bolus("06-01 12:04", 1), bolus("06-01 12:06", 2), now="06-01 12:00")
    assert [one.delivered_u for one in boluses(decoded)] == [1]


def test_jumps_against_the_order_are_told() -> None:
    decoded = read(plain(0x21, 0, "06-01 10:00"), plain(0x21, 0, "06-01 08:30"), now="06-01 12:00")
    assert "out_of_order" in codes(decoded)


# --- keys when the clock was set back ----------------------------------------------------------------


SET_BACK = (
    bolus("06-01 08:30", 1),
    bolus("06-01 09:30", 1),
    clock_set("06-01 10:00", "06-01 09:00"),
    bolus("06-01 09:30", 1),
    bolus("06-01 10:30", 1),
)


def test_only_repeated_stamps_bear_an_ordinal() -> None:
    decoded = read(*SET_BACK, now="06-01 12:00", **BERLIN)
    found = keys(boluses(decoded))
    assert len(set(found)) == 4
    assert [key.count(":") for key in found] == [1, 1, 2, 1]
    assert found[2] == f"{found[1]}:1"
    assert [one.time for one in boluses(decoded)] == [
        utc("06-01 05:30"), utc("06-01 06:30"), utc("06-01 07:30"), utc("06-01 08:30"),
    ]  # fmt: skip


def test_keys_stay_when_the_change_left_the_pumps_memory() -> None:
    first = read(*SET_BACK, now="06-01 12:00", **BERLIN)
    later = read(
        *SET_BACK[3:], bolus("06-01 11:30", 1), now="06-01 12:30", memory=Memory(state=first.state), **BERLIN
    )
    assert keys(boluses(later))[:2] == keys(boluses(first))[2:]


def test_keys_stay_when_another_change_came() -> None:
    first = read(*SET_BACK, now="06-01 12:00", **BERLIN)
    more = (clock_set("06-01 11:00", "06-01 10:00"), bolus("06-01 10:30", 1))
    later = read(*SET_BACK, *more, now="06-01 12:00", memory=Memory(state=first.state), **BERLIN)
    assert keys(boluses(later))[:4] == keys(boluses(first))
    assert keys(boluses(later))[4].endswith(":2")
    beyond = read(*more, now="06-01 12:00", memory=Memory(state=later.state), **BERLIN)
    assert keys(boluses(beyond)) == keys(boluses(later))[4:]


def test_ordinals_survive_anything_that_was_kept() -> None:
    bad: list[Any] = [[1], [["a", "b"]], [["2025-06-01T10:00:00Z", "2025-06-01T09:00:00Z"]], 5]
    kept: list[Any] = [None, 5, [], {}, {"first": "x"}, *({"first": 1, "changes": changes} for changes in bad)]
    for junk in kept:
        assert Ordinals(junk).dump() == {"first": 1, "changes": []}
    ordinals = Ordinals()
    for day in range(1, 21):
        ordinals.changed(Change(wall(f"06-{day:02d} 10:00"), wall(f"06-{day:02d} 09:00")))
    again = Ordinals(ordinals.dump())
    again.begin(wall("06-20 09:15"), [])
    assert (again.of(wall("06-20 09:30")), again.of(wall("06-20 10:00"))) == (20, 0)


# --- a page alone ------------------------------------------------------------------------------------


def test_a_page_alone_has_the_given_zone_and_no_correction() -> None:
    raw = page(bolus("03-01 08:00", 1), clock_set("03-30 02:10", "03-30 03:10"), bolus("04-01 08:00", 2))
    decoded = decode_page(raw, "523", glucose=False, timezone="Europe/Berlin", now=utc("06-01 12:00"))
    assert [one.time for one in boluses(decoded)] == [utc("03-01 07:00"), utc("04-01 06:00")]
    assert {record.device.serial for record in decoded.records} == {None}


def test_a_page_alone_without_a_zone_is_in_doubt() -> None:
    decoded = decode_page(page(bolus("03-01 08:00", 1)), "523", glucose=False, now=utc("06-01 12:00"))
    (one,) = boluses(decoded)
    assert one.time == utc("03-01 08:00")
    assert one.annotation("clock/uncertain") == {"code": "clock/uncertain", "reason": "no_timezone"}


def test_an_unknown_zone_is_refused() -> None:
    for zone in ("Mars/Base", "../etc/passwd", "/etc/localtime", "Europe"):
        with pytest.raises(Malformed):
            decode(capture([page()], now="06-01 12:00", timezone=zone), Memory())
