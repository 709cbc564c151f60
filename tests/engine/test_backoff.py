"""Waiting times follow from the class of the error alone."""

from __future__ import annotations

from random import Random

import pytest

from bridge.engine.backoff import CEILING_S, PERSON_S, Breaker, Circuit, jittered
from bridge.errors import BridgeError, Forbidden, Incompatible, Refused, Throttled, Transient, Unauthorised


def test_full_jitter_grows_to_the_ceiling() -> None:
    random = Random(1)
    for failures in range(1, 40):
        waits = [jittered(failures, random) for _ in range(200)]
        limit = min(CEILING_S, 15 * 2 ** min(failures - 1, 10))
        assert 1 <= min(waits) < limit / 3 + 1
        assert max(waits) <= limit


@pytest.mark.parametrize("error", [Unauthorised("x"), Forbidden("x"), Incompatible("x")])
def test_what_needs_a_person_is_left_alone(error: BridgeError) -> None:
    breaker = Breaker(Random(1))
    assert breaker.failed(error) == PERSON_S
    assert breaker.state is Circuit.NEEDS_PERSON


def test_patience_is_as_long_as_asked_within_the_ceiling() -> None:
    breaker = Breaker(Random(1))
    assert breaker.failed(Throttled("x", retry_after_s=90)) == 90
    assert breaker.failed(Throttled("x", retry_after_s=1e9)) == CEILING_S
    assert breaker.state is Circuit.OPEN


def test_success_closes() -> None:
    breaker = Breaker(Random(1))
    breaker.failed(Transient("x"))
    breaker.failed(Refused("x"))
    breaker.succeeded()
    assert (breaker.state, breaker.failures) == (Circuit.CLOSED, 0)
