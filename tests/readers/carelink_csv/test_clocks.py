"""Wall clocks and instants: clock changes, summer time, empty batteries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bridge.contracts import Decoded
from bridge.model import Record
from tests.readers.carelink_csv.exports import decoded, g1, g1_row, g2, g2_row, wall

EPOCH = wall(1970, 1, 1)
VALUES = "AMOUNT={}, ISIG=16.54, VCNTR=null, BACKFILL_INDICATOR=null"


def _change(at: str, to: datetime, seq: int, kind: str = "ChangeTime") -> str:
    ms = (to - EPOCH) // timedelta(milliseconds=1)
    return g1_row(kind, f"NEW_TIME={ms}, ACTION_REQUESTOR=pump", at, seq=seq)


def _rewind(at: str, seq: int, upload: str = "50000001") -> str:
    return g1_row("Rewind", f"ACTION_REQUESTOR=n{seq}", at, seq=seq, upload=upload)


def _times(result: Decoded, event: str = "rewind") -> list[datetime]:
    return [record.time for record in result.records if getattr(record, "event", "") == event]


def _doubtful(records: list[Record]) -> list[bool]:
    return [record.annotation("clock/uncertain") is not None for record in records]


def test_rows_before_a_change_keep_the_offset_that_their_clock_had() -> None:
    """The pump stays on winter time for two days into summer time; the remainder of the step is drift."""
    rows = [
        _rewind("3/28/15 12:00:00", 9),
        _rewind("3/30/15 12:00:00", 8),
        _change("3/31/15 09:58:00", wall(2015, 3, 31, 11, 0), 7),
        _rewind("3/31/15 12:00:00", 6),
    ]
    result = decoded(g1(rows))
    assert _times(result) == [
        datetime(2015, 3, 28, 11, tzinfo=UTC),
        datetime(2015, 3, 30, 11, tzinfo=UTC),
        datetime(2015, 3, 31, 10, tzinfo=UTC),
    ]
    assert _times(result, "time_change") == [datetime(2015, 3, 31, 9, tzinfo=UTC)]
    assert not any(_doubtful(list(result.records)))


def test_in_an_hour_that_was_shown_twice_the_log_tells_which() -> None:
    rows = [
        _rewind("10/25/15 13:30:00", 9),
        _change("10/25/15 14:00:00", wall(2015, 10, 25, 13, 0), 8),
        _rewind("10/25/15 13:30:00", 7),
    ]
    assert _times(decoded(g1(rows))) == [
        datetime(2015, 10, 25, 11, 30, tzinfo=UTC),
        datetime(2015, 10, 25, 12, 30, tzinfo=UTC),
    ]


def test_pump_and_sensor_tell_one_change_once() -> None:
    to = wall(2015, 3, 31, 11, 0)
    sensor = g1_row("GlucoseSensorData", VALUES.format(120), "3/30/15 10:00:00", seq=40)
    rows = [
        sensor,
        _change("3/31/15 09:58:00", to, 30, "ChangeTimeGH"),
        _change("3/31/15 09:58:41", to, 7),
        _rewind("3/31/15 12:00:00", 6),
    ]
    result = decoded(g1(rows))
    [change] = [record for record in result.records if getattr(record, "event", "") == "time_change"]
    assert change.source_key.startswith("ChangeTime:2015-03-31T09:58:41:")
    [glucose] = [record for record in result.records if record.kind == "sensor_glucose"]
    assert glucose.time == datetime(2015, 3, 30, 9, tzinfo=UTC)
    assert not result.diagnostics


def test_logs_that_disagree_on_changes_are_told() -> None:
    rows = [
        g1_row("GlucoseSensorData", VALUES.format(120), "3/30/15 10:00:00", seq=40),
        _change("3/31/15 09:58:41", wall(2015, 3, 31, 11, 0), 7),
    ]
    assert [diagnostic.code for diagnostic in decoded(g1(rows)).diagnostics] == ["clock/changes-differ"]


def test_rows_of_a_clock_that_an_empty_battery_reset_happened_just_before_it_was_set() -> None:
    rows = [
        _rewind("3/28/15 12:00:00", 9),
        _rewind("1/1/07 00:03:00", 8),
        _change("1/1/07 00:05:00", wall(2015, 3, 30, 9, 0), 7),
        _rewind("3/30/15 12:00:00", 6),
    ]
    result = decoded(g1(rows))
    assert _times(result) == [
        datetime(2015, 3, 28, 10, tzinfo=UTC),
        datetime(2015, 3, 30, 6, 58, tzinfo=UTC),
        datetime(2015, 3, 30, 10, tzinfo=UTC),
    ]
    doubtful = [record.device_time for record in result.records if record.annotation("clock/uncertain")]
    assert doubtful == [wall(2007, 1, 1, 0, 3), wall(2007, 1, 1, 0, 5)]


def test_a_change_to_a_year_long_gone_mends_nothing_however_old_the_file() -> None:
    rows = [
        _change("3/28/12 12:00:00", wall(2008, 1, 1), 9),
        _change("3/29/12 12:00:00", wall(2012, 3, 29, 13, 0), 8),
        _rewind("3/30/12 12:00:00", 7),
        _rewind("3/29/12 11:00:00", 10),
    ]
    assert _times(decoded(g1(rows))) == [
        datetime(2012, 3, 29, 10, tzinfo=UTC),
        datetime(2012, 3, 30, 10, tzinfo=UTC),
    ]


def test_without_changes_each_wall_clock_is_read_in_the_zone() -> None:
    rows = [_rewind("3/28/15 12:00:00", 9), _rewind("3/30/15 12:00:00", 8)]
    assert [time.hour for time in _times(decoded(g1(rows)))] == [11, 10]


def test_times_before_any_such_device_are_in_doubt() -> None:
    result = decoded(g1([_rewind("7/14/06 12:00:00", 9)]))
    assert _doubtful(list(result.records)) == [True]


def test_an_upload_without_the_change_is_placed_by_its_number() -> None:
    rows = [
        _rewind("10/25/15 13:30:00", 5, "50000001"),
        g1_row(
            "ChangeTime",
            f"NEW_TIME={(wall(2015, 10, 25, 13) - EPOCH) // timedelta(milliseconds=1)}",
            "10/25/15 14:00:00",
            upload="50000002",
        ),
        _rewind("10/25/15 13:40:00", 4, "50000003"),
    ]
    assert _times(decoded(g1(rows))) == [
        datetime(2015, 10, 25, 11, 30, tzinfo=UTC),
        datetime(2015, 10, 25, 12, 40, tzinfo=UTC),
    ]


def test_an_earlier_upload_number_does_not_make_a_later_row_earlier() -> None:
    rows = [
        _rewind("4/2/15 12:00:00", 5, "50000001"),
        _change("3/31/15 09:58:00", wall(2015, 3, 31, 11, 0), 7).replace("50000001", "50000002"),
    ]
    assert _times(decoded(g1(rows))) == [datetime(2015, 4, 2, 10, tzinfo=UTC)]


# --- second generation ---


def _sensor(at: str, mgdl: int) -> str:
    return g2_row(at, Sensor_Glucose=str(mgdl))


def test_the_repeated_hour_of_autumn_is_read_in_the_order_of_the_rows() -> None:
    walls = ["01:55", "02:55", "02:05", "02:55", "03:00"]
    rows = [_sensor(f"2025/10/26 {wall}:00", 100 + n) for n, wall in enumerate(walls)]
    result = decoded(g2(sensor=rows[::-1]))
    assert [(record.time.hour, record.time.minute) for record in result.records] == [
        (23, 55), (0, 55), (1, 5), (1, 55), (2, 0),
    ]  # fmt: skip
    assert _doubtful(list(result.records)) == [False, True, False, False, False]


def test_equal_readings_in_both_passes_are_two_records() -> None:
    rows = [_sensor(f"2025/10/26 {wall}:00", 100) for wall in ("02:05", "02:55", "02:05", "02:55")]
    result = decoded(g2(sensor=rows[::-1]))
    assert len({record.id for record in result.records}) == 4
    assert sorted(record.source_key for record in result.records) == [
        "2025-10-26T02:05:00:100", "2025-10-26T02:05:00:100#2",
        "2025-10-26T02:55:00:100", "2025-10-26T02:55:00:100#2",
    ]  # fmt: skip


def test_an_hour_that_no_clock_showed_is_in_doubt() -> None:
    result = decoded(g2(sensor=[_sensor("2025/03/30 02:30:00", 100)]))
    assert _doubtful(list(result.records)) == [True]


def test_a_clock_change_of_the_second_generation() -> None:
    pump = [
        g2_row("2025/04/02 12:00:00", Rewind="Rewind"),
        g2_row("2025/04/01 09:00:00", New_Device_Time="2025/04/01 10:00:00"),
        g2_row("2025/03/31 12:00:00", Rewind="Rewind"),
    ]
    result = decoded(g2(pump, [_sensor("2025/03/31 12:05:00", 100)]))
    assert _times(result) == [datetime(2025, 3, 31, 11, tzinfo=UTC), datetime(2025, 4, 2, 10, tzinfo=UTC)]
    [change] = [record for record in result.records if getattr(record, "event", "") == "time_change"]
    assert change.time == datetime(2025, 4, 1, 8, tzinfo=UTC)
    [glucose] = [record for record in result.records if record.kind == "sensor_glucose"]
    assert glucose.time == datetime(2025, 3, 31, 11, 5, tzinfo=UTC)
