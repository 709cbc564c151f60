"""Which history is asked for: at most seven days, newest first, never outside the pump's bounds."""

from __future__ import annotations

from random import Random

from bridge.readers.medtronic_600 import history_plan
from bridge.readers.medtronic_600.history_plan import DAY_S, LONGEST_S, Span

NOW = 0x80000000 + 400 * DAY_S
OLDEST = NOW - 90 * DAY_S + 3600


def test_a_first_read_is_the_last_week() -> None:
    assert history_plan.newest([], NOW, 90) == (NOW - LONGEST_S, NOW)
    assert history_plan.hole([], NOW, 90) is None


def test_ninety_days_fill_week_by_week_and_then_rest() -> None:
    covered: list[Span] = [history_plan.newest([], NOW, 90)]
    asked = list(covered)
    while (span := history_plan.hole(covered, NOW, 90)) is not None:
        assert len(asked) < 20
        assert span[1] == covered[0][0]
        asked.append(span)
        covered = history_plan.merged([*covered, span])
    assert covered == [(OLDEST, NOW)]
    assert len(asked) == 13
    assert all(OLDEST <= low < high <= NOW and high - low <= LONGEST_S for low, high in asked)


def test_a_later_read_goes_back_a_day() -> None:
    assert history_plan.newest([(OLDEST, NOW - 7200)], NOW, 90) == (NOW - 7200 - DAY_S, NOW)


def test_after_a_long_silence_the_newest_week_comes_first_then_the_hole() -> None:
    covered = [(OLDEST, NOW - 20 * DAY_S)]
    first = history_plan.newest(covered, NOW, 90)
    assert first == (NOW - LONGEST_S, NOW)
    covered = history_plan.merged([*covered, first])
    assert history_plan.hole(covered, NOW, 90) == (NOW - 2 * LONGEST_S, NOW - LONGEST_S)


def test_a_new_pump_is_not_asked_about_the_time_before_it() -> None:
    now = 0x80000001 + 3600
    assert history_plan.newest([], now, 90) == (0x80000001, now)
    assert history_plan.hole([(0x80000001, now)], now, 90) is None


def test_fewer_days_by_setting() -> None:
    assert history_plan.bounds(NOW, 3) == (NOW - 3 * DAY_S, NOW)
    assert history_plan.newest([], NOW, 3) == (NOW - 3 * DAY_S, NOW)


def test_a_clock_that_went_back_forgets_the_future() -> None:
    assert history_plan.settled([(NOW - 100, NOW + 50), (NOW + 60, NOW + 70)], NOW) == [(NOW - 100, NOW)]


def test_never_outside_the_bounds() -> None:
    chance = Random(7)
    for _ in range(2000):
        now = 0x80000001 + chance.randrange(200 * DAY_S)
        days = chance.randint(1, 90)
        spans = sorted(chance.randrange(0x80000001, now + 1) for _ in range(2 * chance.randint(0, 4)))
        covered = list(zip(spans[::2], spans[1::2], strict=True))
        low, high = history_plan.bounds(now, days)
        for span in (history_plan.newest(covered, now, days), history_plan.hole(covered, now, days)):
            assert span is None or (low <= span[0] <= span[1] <= high and span[1] - span[0] <= LONGEST_S)
