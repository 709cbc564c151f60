"""The basal line of the first generation beyond what the vectors hold."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.model import Basal
from tests.readers.carelink_csv.exports import OLD, REVEL, decoded, g1, g1_row

DAY = "3/16/15"


class Log:
    """Rows of one day, oldest first."""

    def __init__(self, device: str = REVEL) -> None:
        self._device = device
        self.rows: list[str] = []

    def add(self, at: str, kind: str, values: str, *, raw_id: int = 0) -> Log:
        seq = 900 - len(self.rows)
        self.rows.append(g1_row(kind, values, f"{DAY} {at}", seq=seq, raw_id=raw_id, device=self._device))
        return self

    def start(self, at: str, rate: float, index: int = 0, start_hour: int = 0) -> Log:
        ms = start_hour * 3_600_000
        return self.add(at, "BasalProfileStart", f"PATTERN_NAME=standard, RATE={rate}, START_TIME={ms}, X={index}")

    def percent(self, at: str, percent: int, minutes: int) -> Log:
        return self.add(at, "ChangeTempBasalPercent", f"PERCENT_OF_RATE={percent}, DURATION={minutes * 60_000}")

    def rate(self, at: str, rate: float, minutes: int) -> Log:
        return self.add(at, "ChangeTempBasal", f"RATE={rate}, DURATION={minutes * 60_000}")

    def state(self, at: str, state: str) -> Log:
        return self.add(at, "ChangeSuspendState", f"STATE={state}, PRESTATE=null")

    def settings(self, at: str, *entries: tuple[int, float]) -> Log:
        self.add(at, "CurrentActiveBasalProfilePattern", "PATTERN_NAME=standard")
        self.add(at, "CurrentBasalProfilePattern", f"PATTERN_NAME=standard, NUM_PROFILES={len(entries)}", raw_id=77)
        for n, (hour, rate) in enumerate(entries):
            values = f"PATTERN_DATUM_ID=77, PROFILE_INDEX={n}, RATE={rate}, START_TIME={hour * 3_600_000}"
            self.add(at, "CurrentBasalProfile", values)
        return self

    def line(self) -> list[tuple[Any, ...]]:
        """(begin, delivery, rate, minutes, codes) of all segments."""
        result = decoded(g1(self.rows), "UTC")
        return [
            (
                f"{record.device_time:%H:%M:%S}",
                record.delivery,
                record.rate_u_h,
                None if record.duration_min is None else round(record.duration_min, 2),
                [note["code"].removeprefix("basal/") for note in record.annotations],
            )
            for record in result.records
            if isinstance(record, Basal)
        ]


def test_a_cancelled_rate_ends_where_it_was_cancelled() -> None:
    log = Log().start("00:00:00", 1.0).rate("06:00:00", 0.3, 120).rate("06:30:00", 0, 0).start("06:30:04", 1.0)
    assert log.line()[:3] == [
        ("00:00:00", "scheduled", 1.0, 360.0, []),
        ("06:00:00", "temporary", 0.3, 30.0, []),
        ("06:30:04", "scheduled", 1.0, 0.0, ["inferred-duration"]),
    ]


def test_a_rate_that_ends_without_a_row_gives_way_to_the_schedule() -> None:
    log = Log().start("00:00:00", 1.0).rate("06:00:00", 0.3, 60).add("09:00:00", "Rewind", "A=b")
    assert log.line() == [
        ("00:00:00", "scheduled", 1.0, 360.0, []),
        ("06:00:00", "temporary", 0.3, 60.0, []),
        ("07:00:00", "scheduled", 1.0, 120.0, ["fabricated-from-suppressed", "inferred-duration"]),
    ]


def test_a_percentage_follows_the_schedule_through_its_steps() -> None:
    log = Log().start("00:00:00", 1.0).percent("05:00:00", 150, 120).settings("09:00:00", (0, 1.0), (6, 2.0))
    assert log.line()[1:3] == [
        ("05:00:00", "temporary", 1.5, 60.0, []),
        ("06:00:00", "temporary", 3.0, 60.0, []),
    ]


def test_schedule_rows_within_a_temporary_rate_do_not_end_it() -> None:
    log = Log().start("00:00:00", 1.0).rate("05:00:00", 0.3, 120).start("06:00:00", 2.0, 1, start_hour=6)
    assert log.add("09:00:00", "Rewind", "A=b").line()[1:] == [
        ("05:00:00", "temporary", 0.3, 120.0, []),
        ("07:00:00", "scheduled", 2.0, 120.0, ["fabricated-from-suppressed", "inferred-duration"]),
    ]
    log = Log().start("00:00:00", 1.0).percent("05:00:00", 50, 120).start("06:00:00", 2.0, 1, start_hour=6)
    assert log.add("06:30:00", "Rewind", "A=b").line()[1:] == [
        ("05:00:00", "temporary", 0.5, 60.0, []),
        ("06:00:00", "temporary", 1.0, 60.0, ["inferred-duration"]),
    ]


def test_a_schedule_row_off_its_hour_ends_what_ran() -> None:
    log = Log().start("00:00:00", 1.0).rate("05:00:00", 0.3, 120).start("05:30:00", 2.0)
    assert log.line()[1][3] == 30
    log = Log().start("00:00:00", 1.0).state("05:00:00", "user_suspend").start("05:30:00", 2.0)
    assert log.line()[1][:4] == ("05:00:00", "suspended", 0.0, 30.0)


def test_a_rate_cancelled_while_suspended_does_not_come_back() -> None:
    log = Log().start("00:00:00", 1.0).rate("05:00:00", 0.3, 600).state("06:00:00", "user_suspend")
    log.rate("06:10:00", 0, 0).rate("06:11:00", 0, 0).state("06:30:00", "normal_pumping")
    assert log.add("09:00:00", "Rewind", "A=b").line()[3][:3] == ("06:30:00", "scheduled", 1.0)


def test_a_cancelled_rate_without_a_schedule_row_gives_way_to_the_schedule() -> None:
    log = Log().start("00:00:00", 1.0).rate("05:00:00", 0.3, 600).rate("06:00:00", 0, 0)
    assert log.add("09:00:00", "Rewind", "A=b").line()[2][:3] == ("06:00:00", "scheduled", 1.0)


def test_a_percentage_of_an_unknown_rate_stays_a_percentage() -> None:
    [segment] = [
        record
        for record in decoded(g1(Log().percent("05:00:00", 150, 120).rows), "UTC").records
        if isinstance(record, Basal)
    ]
    assert (segment.rate_u_h, segment.percent) == (None, 150)
    assert segment.annotation("basal/unknown-rate")


def test_a_suspended_rate_comes_back_for_what_is_left_of_it() -> None:
    log = Log().start("00:00:00", 1.0).rate("06:00:00", 0.3, 120).state("06:30:00", "user_suspend")
    log.state("07:00:00", "normal_pumping").add("12:00:00", "Rewind", "A=b")
    assert log.line()[1:] == [
        ("06:00:00", "temporary", 0.3, 30.0, []),
        ("06:30:00", "suspended", 0.0, 30.0, []),
        ("07:00:00", "temporary", 0.3, 60.0, ["fabricated-from-suppressed"]),
        ("08:00:00", "scheduled", 1.0, 240.0, ["fabricated-from-suppressed", "inferred-duration"]),
    ]


def test_an_ignored_low_suspension_does_not_bring_the_rate_back() -> None:
    log = Log().start("00:00:00", 1.0).rate("06:00:00", 0.3, 300).state("06:30:00", "low_suspend_mode_1")
    log.state("08:30:00", "auto_resume_reduced").add("12:00:00", "Rewind", "A=b")
    assert log.line()[2:] == [
        ("06:30:00", "suspended", 0.0, 120.0, []),
        ("08:30:00", "scheduled", 1.0, 210.0, ["fabricated-from-suppressed", "inferred-duration"]),
    ]


@pytest.mark.parametrize("resume", ["09:59:58", "10:00:00", "10:00:02"])
def test_a_schedule_row_at_the_resume_is_the_same_fact(resume: str) -> None:
    log = Log().start("00:00:00", 1.0).state("09:00:00", "user_suspend")
    rows = [("10:00:00", "start"), (resume, "resume")]
    for at, what in sorted(rows):
        log = log.start(at, 1.0) if what == "start" else log.state(at, "normal_pumping")
    line = log.line()
    assert [segment[:3] for segment in line] == [
        ("00:00:00", "scheduled", 1.0),
        ("09:00:00", "suspended", 0.0),
        ("10:00:00", "scheduled", 1.0),
    ]
    assert 59.9 < line[1][3] < 60.1


def test_a_low_suspension_writes_several_rows_and_goes_on_through_the_schedule() -> None:
    log = Log().start("00:00:00", 1.0).state("02:30:00", "low_suspend_mode_1")
    log.state("02:35:00", "low_suspend_no_response").start("03:00:00", 2.0, 1, start_hour=3)
    log.state("04:30:00", "auto_resume_complete").add("05:00:00", "Rewind", "A=b")
    assert log.line() == [
        ("00:00:00", "scheduled", 1.0, 150.0, []),
        ("02:30:00", "suspended", 0.0, 120.0, []),
        ("04:30:00", "scheduled", 2.0, 30.0, ["fabricated-from-suppressed", "inferred-duration"]),
    ]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("user_suspend", "user"), ("low_suspend_mode_1", "on_low"), ("low_suspend_no_response", "on_low"),
        ("low_suspend_user_selected", "on_low"), ("alarm_suspend", "alarm"),
    ],
)  # fmt: skip
def test_reasons_of_suspensions(state: str, reason: str) -> None:
    result = decoded(g1(Log().state("09:00:00", state).state("09:10:00", "user_restart_basal").rows), "UTC")
    assert [getattr(record, "suspend_reason", None) for record in result.records] == [reason]


def test_a_state_that_nobody_knows_harms_only_its_row() -> None:
    result = decoded(g1(Log().start("00:00:00", 1.0).state("09:00:00", "sleeping").rows), "UTC")
    assert [diagnostic.code for diagnostic in result.diagnostics] == ["row/rejected"]
    assert len(result.records) == 1


def test_older_pumps_write_no_starts_so_the_schedule_tells() -> None:
    log = Log(OLD).add("00:00:00", "Rewind", "A=b").rate("05:00:00", 0.3, 60)
    log.state("07:00:00", "user_suspend").state("07:30:00", "normal_pumping").settings("09:00:00", (0, 1.0), (6, 2.0))
    assert [segment[:4] for segment in log.line()] == [
        ("00:00:00", "scheduled", 1.0, 300.0),
        ("05:00:00", "temporary", 0.3, 60.0),
        ("06:00:00", "scheduled", 2.0, 60.0),
        ("07:00:00", "suspended", 0.0, 30.0),
        ("07:30:00", "scheduled", 2.0, 990.0),
    ]


def test_no_basal_is_made_up_for_months_without_rows() -> None:
    log = Log(OLD).add("00:00:00", "Rewind", "A=b").settings("09:00:00", (0, 1.0))
    log.rows.append(g1_row("Rewind", "A=c", "3/16/45 09:00:00", seq=1, device=OLD))
    assert len(log.line()) < 5
    log = Log().start("00:00:00", 1.0)
    log.rows.append(g1_row("BasalProfileStart", "RATE=2, START_TIME=0", "3/16/17 00:00:00", seq=1))
    assert log.line()[0] == ("00:00:00", "scheduled", 1.0, 1440.0, ["inferred-duration"])


def test_a_rate_off_the_schedule_is_told() -> None:
    log = (
        Log().start("00:00:00", 1.4).start("06:00:00", 2.0, 1, start_hour=6).settings("09:00:00", (0, 1.0), (6, 2.0))
    )
    assert log.line()[0] == ("00:00:00", "scheduled", 1.4, 360.0, ["off-schedule-rate"])
