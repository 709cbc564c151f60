"""Schedules over a year: none missed, none doubled, in every zone."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from bridge.engine.schedule import Schedule
from bridge.errors import SettingsInvalid

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
WALLS = ("daily 02:30", "daily 01:59", "30 2 * * *", "0 0 * * *", "daily")
SOME = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca",
        "America/St_Johns", "Pacific/Chatham", "Antarctica/Troll", "Asia/Gaza", "UTC")  # fmt: skip


def year(schedule: Schedule, zone: str) -> list[datetime]:
    """Every run of a year by a program that is always there."""
    runs, last = [], START
    while (due := schedule.next_run(last, last, zone)) is not None and due < END:
        runs.append(due)
        last = due
    return runs


@pytest.mark.proof
def test_a_wall_clock_time_comes_once_a_day_in_every_zone() -> None:
    zones = sorted(available_timezones()) if LONG else SOME
    for zone in zones:
        for preset in WALLS:
            days = [run.astimezone(ZoneInfo(zone)).date() for run in year(Schedule(preset, "a"), zone)]
            missing = {date(2026, 1, 2) + timedelta(days=n) for n in range(363)} - set(days)
            assert not missing, (zone, preset)
            assert len(days) == len(set(days)), (zone, preset)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe"])
@pytest.mark.parametrize("preset", ["5m", "hourly"])
def test_intervals_know_no_clock_change(zone: str, preset: str) -> None:
    step = {"5m": 300, "hourly": 3600}[preset]
    runs = year(Schedule(preset, "account"), zone) if preset == "hourly" else year(Schedule(preset, "a"), zone)[:5000]
    assert {(b - a).total_seconds() for a, b in pairwise(runs)} == {step}


def test_the_repeated_autumn_hour_runs_once_and_the_skipped_spring_one_late() -> None:
    half_past_two = Schedule("30 2 * * *", "a")
    runs = year(half_past_two, "Europe/Berlin")
    local = [run.astimezone(ZoneInfo("Europe/Berlin")).strftime("%m-%d %H:%M") for run in runs]
    assert [each for each in local if each.startswith("10-25")] == ["10-25 02:30"]
    assert [each for each in local if each.startswith("03-29")] == ["03-29 03:30"]


def test_a_schedule_for_every_hour_runs_in_both_passes_of_the_repeated_one() -> None:
    runs = year(Schedule("15 * * * *", "a"), "Europe/Berlin")
    assert {(b - a).total_seconds() for a, b in pairwise(runs)} == {3600}


def test_missed_runs_are_one_run() -> None:
    schedule, now = Schedule("daily 03:00", "a"), START + timedelta(days=30)
    due = schedule.next_run(now - timedelta(days=3), now, "Europe/Berlin")
    assert due is not None
    assert due <= now
    after = schedule.next_run(now, now, "Europe/Berlin")
    assert after is not None
    assert after > now


def test_the_first_run_is_due_at_once_and_connect_never_comes_by_time() -> None:
    assert Schedule("hourly", "a").next_run(None, START, "UTC") == START
    assert Schedule("connect", "a").next_run(None, START, "UTC") is None


def test_accounts_are_spread_over_the_hour_and_over_the_night() -> None:
    minutes = {Schedule("hourly", f"a{n}").next_run(START, START, "UTC") for n in range(50)}
    assert len(minutes) > 30
    nights = [Schedule("daily", f"a{n}").next_run(START, START, "UTC") for n in range(50)]
    assert {night.hour for night in nights if night} == {3, 4}


@pytest.mark.parametrize(("field", "weekday"), [("0", 6), ("7", 6), ("1", 0), ("5", 4), ("sat", 5)])
def test_weekdays_count_from_sunday_as_cron_has_it(field: str, weekday: int) -> None:
    due = Schedule(f"0 6 * * {field}", "a").next_run(START, START, "UTC")
    assert due is not None
    assert due.weekday() == weekday


@pytest.mark.parametrize("preset", ["", "often", "61 * * * *", "* * *", "daily 25:00", "0 0 30 2 *"])
def test_what_is_no_schedule_is_refused_with_examples(preset: str) -> None:
    with pytest.raises(SettingsInvalid):
        Schedule(preset, "a").next_run(START, START, "UTC")
