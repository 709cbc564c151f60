"""The basal line."""

from __future__ import annotations

import pytest

from bridge.model import Basal
from tests.readers.medtronic_600.decode.builders import (
    START,
    after,
    decoded,
    delivered,
    event,
    file,
    history,
    of_kind,
    segment,
    temp,
    temp_done,
    visit,
)

MINUTE, HOUR = 60, 3600
Seen = tuple[str, str, float | None, float | None]


def stop(rtc: int, reason: int = 2) -> bytes:
    return event(0x1E, rtc, bytes([reason]))


def restart(rtc: int, reason: int = 1) -> bytes:
    return event(0x1F, rtc, bytes([reason]))


def loop(rtc: int, *, into: bool) -> bytes:
    return event(0xDF, rtc, bytes([into, 0 if into else 1]))


def micro(rtc: int, amount_u: float = 0.05) -> bytes:
    return delivered(rtc, 1, amount_u, source=5)


def line(*events: bytes) -> list[Basal]:
    return of_kind(decoded(file(history(*events))), "basal")


def seen(records: list[Basal]) -> list[Seen]:
    """Key (counter from START in minutes), delivery, rate, minutes."""
    return [(key(record), record.delivery, record.rate_u_h, minutes(record)) for record in records]


def key(record: Basal) -> str:
    rtc, _, kind = record.source_key.partition(":")
    return f"{(int(rtc) - START) / 60:g}:{kind}"


def minutes(record: Basal) -> float | None:
    return None if record.duration_min is None else round(record.duration_min, 2)


def test_entries_last_until_the_next() -> None:
    found = line(segment(START, 0.5), segment(START + HOUR, 0.5, 1), segment(START + 2 * HOUR, 0.6, 2, pattern=7))
    assert seen(found) == [
        ("0:1D", "scheduled", 0.5, 60),
        ("60:1D", "scheduled", 0.5, 60),
        ("120:1D", "scheduled", 0.6, None),
    ]
    assert [record.schedule for record in found] == ["Pattern 1", "Pattern 1", "Day Off"]


def test_temp_by_percent_follows_the_schedule() -> None:
    """Its end is by length, not by the whole minute; the entry repeated after it starts nothing new."""
    found = line(
        segment(START, 0.5), temp(START + 10 * MINUTE + 3, 60, percent=150), segment(START + 30 * MINUTE, 0.8, 1),
        temp_done(START + 70 * MINUTE, 60, percent=150, actual=60), segment(START + 71 * MINUTE, 0.8, 1),
        segment(START + 2 * HOUR, 0.9, 2),
    )  # fmt: skip
    assert seen(found) == [
        ("0:1D", "scheduled", 0.5, 10.05),
        ("10.05:1B", "temporary", 0.75, 19.95),
        ("30:1D", "temporary", 1.2, 40.05),
        ("70:22", "scheduled", 0.8, 49.95),
        ("120:1D", "scheduled", 0.9, None),
    ]
    assert [record.percent for record in found] == [None, 150, 150, None, None]


def test_temp_by_rate_is_not_split() -> None:
    found = line(
        segment(START, 0.5), temp(START + MINUTE, 60, rate_u_h=1.1), segment(START + 30 * MINUTE, 0.8, 1),
        temp_done(START + 62 * MINUTE, 60, rate_u_h=1.1),
    )  # fmt: skip
    assert seen(found)[1] == ("1:1B", "temporary", 1.1, 60)


def test_a_temp_ended_early() -> None:
    canceled = line(
        segment(START, 0.5), temp(START, 60, percent=50), temp_done(START + 700, 60, percent=50, canceled=True)
    )
    assert minutes(canceled[0]) == round(700 / 60, 2)
    told = line(
        segment(START, 0.5), temp(START, 60, percent=50),
        temp_done(START + 660, 60, percent=50, canceled=True, actual=10),
    )  # fmt: skip
    assert minutes(told[0]) == 10


def test_a_running_temp_says_how_long_it_was_meant_to_be() -> None:
    (_, running) = line(segment(START, 0.5), temp(START + 60, 90, percent=80))
    assert (running.rate_u_h, running.duration_min) == (0.4, None)
    assert running.annotation("basal/open") == {"code": "basal/open", "programmed_min": 90}


def test_a_percentage_of_an_unknown_schedule_has_no_rate() -> None:
    (running,) = line(temp(START, 90, percent=80))
    assert (running.rate_u_h, running.percent) == (None, 80)
    assert running.annotation("basal/unknown-rate")


def test_an_end_without_a_beginning_leaves_its_time_unknown() -> None:
    found = line(
        segment(START, 0.5), segment(START + 2 * HOUR, 0.6, 1),
        temp_done(START + 3 * HOUR, 90, percent=50, actual=90), segment(START + 3 * HOUR + MINUTE, 0.6, 1),
    )  # fmt: skip
    assert seen(found) == [("0:1D", "scheduled", 0.5, 90), ("181:1D", "scheduled", 0.6, None)]


@pytest.mark.parametrize(
    ("reason", "name"),
    [(1, "alarm"), (2, "user"), (3, None), (4, "on_low"), (5, "user"), (10, "before_low"), (99, None)],
)
def test_suspension(reason: int, name: str | None) -> None:
    found = line(segment(START, 0.5), stop(START + 60, reason), stop(START + 90), restart(START + 600))
    assert seen(found) == [
        ("0:1D", "scheduled", 0.5, 1),
        ("1:1E", "suspended", 0, 9),
        ("10:1F", "scheduled", 0.5, None),
    ]
    assert found[1].suspend_reason == name


def test_an_open_suspension_and_one_inside_a_temp() -> None:
    assert seen(line(segment(START, 0.5), stop(START + 60))) == [
        ("0:1D", "scheduled", 0.5, 1),
        ("1:1E", "suspended", 0, None),
    ]
    found = line(
        segment(START, 0.5), temp(START + 60, 30, percent=50), stop(START + 300), segment(START + 330, 0.7, 1),
        restart(START + 360), temp_done(START + 1860, 30, percent=50, actual=30),
    )  # fmt: skip
    assert seen(found)[1:] == [
        ("1:1B", "temporary", 0.25, 4),
        ("5:1E", "suspended", 0, 1),
        ("6:1F", "temporary", 0.35, 25),
        ("31:22", "scheduled", 0.7, None),
    ]


def test_closed_loop() -> None:
    """Doses are facts of five minutes; between two that are more than six apart nothing was given."""
    found = line(
        segment(START, 0.5), loop(START + 60, into=True), micro(START + 240, 0.1), micro(START + 540, 0.05),
        micro(START + 1200, 0.2), loop(START + 1500, into=False), segment(START + 1530, 0.6),
    )  # fmt: skip
    assert seen(found) == [
        ("0:1D", "scheduled", 0.5, 1),
        ("1:DF", "automatic", 0, 3),
        ("4:DC", "automatic", 1.2, 5),
        ("9:DC", "automatic", 0.6, 5),
        ("9:DC:2", "automatic", 0, 6),
        ("20:DC", "automatic", 2.4, 5),
        ("25.5:1D", "scheduled", 0.6, None),
    ]
    assert sum(record.dose_u or 0 for record in found) == pytest.approx(0.35)
    assert [record.dose_u for record in found] == [None, None, 0.1, 0.05, None, 0.2, None]


def test_no_pause_is_known_after_the_last_dose() -> None:
    assert seen(line(micro(START), micro(START + 300))) == [
        ("0:DC", "automatic", 0.6, 5),
        ("5:DC", "automatic", 0.6, 5),
    ]


def test_suspension_in_the_closed_loop() -> None:
    found = line(micro(START), micro(START + 900), stop(START + 500, 10), restart(START + 800))
    assert [row[1:] for row in seen(found)] == [
        ("automatic", 0.6, 5),
        ("automatic", 0, 3.33),
        ("suspended", 0, 5),
        ("automatic", 0, 1.67),
        ("automatic", 0.6, 5),
    ]


def test_a_micro_bolus_is_no_bolus() -> None:
    found = decoded(file(history(delivered(START, 1, 0.1, source=5))))
    assert [record.kind for record in found.records] == ["basal"]


def test_a_segment_open_at_one_read_is_closed_at_the_next() -> None:
    first = decoded(visit(segment(START, 0.5), stop(START + 3600, 2)))
    assert minutes(of_kind(first, "basal")[-1]) is None
    later = decoded(visit(restart(START + 9000), rtc=START + 9600), after(first))
    found = of_kind(later, "basal")
    assert seen(found) == [("60:1E", "suspended", 0, 90), ("150:1F", "scheduled", 0.5, None)]
    assert found[0].id == of_kind(first, "basal")[-1].id


def test_a_suspension_of_days_is_closed_by_its_end() -> None:
    day = 86_400
    state = decoded(visit(segment(START, 0.5), stop(START + 3600, 2)))
    memory = after(state)
    for n in range(1, 5):
        rtc = START + n * day
        memory = after(decoded(visit(segment(rtc, 0.5), rtc=rtc + 60), memory), memory)
    found = of_kind(decoded(visit(restart(START + 4 * day + 3600), rtc=START + 4 * day + 7200), memory), "basal")
    assert seen(found) == [("60:1E", "suspended", 0, 4 * 1440), ("5820:1F", "scheduled", 0.5, None)]


def test_reading_again_says_the_same() -> None:
    events = [
        segment(START, 0.5), temp(START + 60, 30, percent=50), temp_done(START + 1860, 30, percent=50, actual=30),
        stop(START + 3000), restart(START + 3100),
    ]  # fmt: skip
    first = decoded(visit(*events))
    again = decoded(visit(*events), after(first))
    assert list(again.records) == list(first.records)
    assert again.state == first.state
