"""When a meter in sight deserves a connection."""

from __future__ import annotations

from bridge.readers.ble_glucose.resting import AGAIN_S, GONE_S, Resting


def seen_every(resting: Resting, step_s: float, start_s: float, end_s: float) -> None:
    now_s = start_s
    while now_s <= end_s:
        resting.saw(["a"], now_s)
        now_s += step_s


def test_first_sight_is_due() -> None:
    resting = Resting(30)
    resting.saw(["a"], 0)
    assert resting.due("a", 0)
    assert resting.due("b", 0)


def test_once_read_it_rests_while_it_stays_in_sight() -> None:
    resting = Resting(30)
    resting.read("a", 0)
    seen_every(resting, 30, 30, AGAIN_S)
    assert not resting.due("a", AGAIN_S - 1)
    assert resting.due("a", AGAIN_S)


def test_out_of_sight_begins_anew() -> None:
    resting = Resting(10)
    resting.read("a", 0)
    resting.saw([], GONE_S)
    assert not resting.due("a", GONE_S)
    resting.saw(["a"], GONE_S + 1)
    assert resting.due("a", GONE_S + 1)


def test_rare_looks_do_not_make_it_gone() -> None:
    resting = Resting(200)
    resting.read("a", 0)
    resting.saw(["a"], 200)
    assert not resting.due("a", 200)


def test_failures_wait_ever_longer() -> None:
    resting, now_s, waits = Resting(10), 0.0, []
    for _ in range(8):
        resting.saw(["a"], now_s)
        assert resting.due("a", now_s)
        wait_s = resting.failed("a", now_s)
        waits.append(wait_s)
        seen_every(resting, 20, now_s, now_s + wait_s - 1)
        assert not resting.due("a", now_s + wait_s - 1)
        now_s += wait_s
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300]
