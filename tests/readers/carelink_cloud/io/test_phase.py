from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from statistics import median, quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.readers.carelink_cloud.phase import FLOOR_S, Phase, after_upload, error_delay_s, miss_delay_s

NOW = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)
LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"


def s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


@pytest.mark.parametrize("skew_s", [0, -3600, 3600, 86_400 * 400])
def test_the_next_read_is_in_step_with_the_upload_on_the_servers_clock(skew_s: float) -> None:
    due = after_upload(NOW, NOW + s(skew_s), NOW + s(skew_s - 100), Random(1))
    assert due is not None
    assert 230 <= (due - NOW).total_seconds() <= 240


def test_without_a_server_clock_ours_is_taken() -> None:
    due = after_upload(NOW, None, NOW - s(10), Random(1))
    assert due is not None
    assert 320 <= (due - NOW).total_seconds() <= 330


def test_a_stamp_from_the_future_says_nothing() -> None:
    assert after_upload(NOW, NOW, NOW + s(3600), Random(1)) is None
    assert after_upload(NOW, NOW, None, Random(1)) is None


def test_an_upload_that_should_have_come_already_is_a_miss() -> None:
    assert after_upload(NOW, NOW, NOW - s(341), Random(1)) is None


def test_never_sooner_than_the_floor() -> None:
    for seed in range(50):
        due = after_upload(NOW, NOW, NOW - s(329), Random(seed))
        assert due is None or (due - NOW).total_seconds() >= FLOOR_S


def test_a_silent_phone_is_asked_less_and_less_but_at_least_every_five_minutes() -> None:
    assert [miss_delay_s(n) for n in range(1, 10)] == [60, 60, 60, 60, 60, 120, 240, 300, 300]
    assert miss_delay_s(10**6) == 300


def test_an_upload_ends_the_count_of_misses() -> None:
    phase = Phase(Random(1))
    old = NOW - s(3600)
    waits = [(phase.answered(NOW, NOW, old) - NOW).total_seconds() for _ in range(7)]
    assert waits == [60, 60, 60, 60, 60, 120, 240]
    phase.answered(NOW, NOW, NOW)
    assert (phase.nothing(NOW) - NOW).total_seconds() == 60


def test_outages_back_off_with_full_jitter_below_a_ceiling() -> None:
    for errors, ceiling in ((1, 20), (2, 30), (3, 60), (4, 120), (5, 240), (6, 300), (1000, 300)):
        delays = [error_delay_s(errors, Random(seed)) for seed in range(300)]
        assert min(delays) >= FLOOR_S
        assert max(delays) <= ceiling
        if ceiling > 60:
            assert min(delays) < 0.2 * ceiling + FLOOR_S
            assert max(delays) > 0.9 * ceiling


def test_patience_asked_for_is_kept_to_within_reason() -> None:
    assert error_delay_s(1, Random(1), 90) == 90
    assert error_delay_s(1, Random(1), 0) == FLOOR_S
    assert error_delay_s(1, Random(1), 10**6) == 900


def test_an_answer_ends_the_count_of_outages() -> None:
    phase = Phase(Random(1))
    for _ in range(10):
        phase.failed(NOW)
    phase.nothing(NOW)
    assert (phase.failed(NOW) - NOW).total_seconds() == FLOOR_S


@given(
    st.integers(0, 2**32), st.floats(-1e8, 1e8), st.one_of(st.none(), st.floats(-1e8, 1e8)),
    st.lists(st.sampled_from(["answered", "nothing", "failed"]), min_size=1, max_size=12),
)  # fmt: skip
def test_whatever_comes_the_next_read_is_near(
    seed: int, skew_s: float, age_s: float | None, calls: list[str]
) -> None:
    phase, server_now = Phase(Random(seed)), NOW + s(skew_s)
    updated_at = None if age_s is None else server_now - s(age_s)
    for call in calls:
        due = {
            "answered": lambda: phase.answered(NOW, server_now, updated_at),
            "nothing": lambda: phase.nothing(NOW),
            "failed": lambda: phase.failed(NOW),
        }[call]()
        assert FLOOR_S <= (due - NOW).total_seconds() <= 401


# --- the aim: fresh with few requests ----------------------------------------------------------------


@dataclass
class Phone:
    """Uploads at a period with a wobble; an upload shows on the server some seconds after its stamp."""

    random: Random
    wobble_s: float
    visible_s: tuple[float, float]
    missed: float = 0.0
    uploads: list[tuple[float, float]] = field(default_factory=list)

    def run(self, hours: float) -> None:
        at = self.random.uniform(0, 300)
        while at < hours * 3600:
            if self.random.random() >= self.missed:
                self.uploads.append((at, at + self.random.uniform(*self.visible_s)))
            at += 300 + self.random.uniform(-self.wobble_s, self.wobble_s)


def simulate(phone: Phone, hours: float, seed: int, skew_s: float) -> tuple[list[float], float]:
    """(freshness of each upload in seconds behind its stamp, requests per hour)."""
    phone.run(hours)
    phase, at, requests, newest, behind = Phase(Random(seed)), 0.0, 0, -1, []
    while at < hours * 3600:
        requests += 1
        shown = max((n for n, (_, visible) in enumerate(phone.uploads) if visible <= at), default=-1)
        behind += [at - phone.uploads[n][0] for n in range(newest + 1, shown + 1)]
        newest = shown
        local = NOW + s(at)
        server = local + s(skew_s)
        updated_at = None if shown < 0 else server - s(at - phone.uploads[shown][0])
        at = (phase.answered(local, server, updated_at) - NOW).total_seconds()
    return behind, requests / hours


@pytest.mark.proof
@pytest.mark.parametrize(
    ("case", "wobble_s", "visible_s", "missed", "median_s", "per_hour"),
    [
        ("a steady phone", 1.0, (5, 20), 0.0, 40, 14),
        ("slow to show", 1.0, (5, 60), 0.0, 60, 20),
        ("every tenth upload lost", 1.0, (5, 20), 0.1, 60, 20),
        ("an unsteady phone", 15.0, (5, 20), 0.0, 60, 20),
    ],
)
def test_readings_are_fresh_with_few_requests(
    case: str, wobble_s: float, visible_s: tuple[float, float], missed: float, median_s: float, per_hour: float
) -> None:
    hours, seed = (24 * 28 if LONG else 72), 20260310
    phone = Phone(Random(seed), wobble_s, visible_s, missed)
    behind, requests = simulate(phone, hours, seed, skew_s=-41.0)
    tail = quantiles(behind, n=20)[-1]
    print(
        f"{case}: seed {seed}, {hours} h, {len(behind)} uploads: median {median(behind):.1f} s, "
        f"95 % within {tail:.1f} s, worst {max(behind):.1f} s, {requests:.2f} requests/h"
    )
    assert median(behind) <= median_s
    assert requests <= per_hour
