"""One-to-one matching against the best of all matchings."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from bridge.readers.carelink_cloud.nearest import matched

INSTANTS = st.lists(st.integers(0, 400) | st.sampled_from([0, 30, 59, 60, 61, 90, 119, 120, 121, 151]), max_size=5)


def best(left: Sequence[int], right: Sequence[int], within: int) -> tuple[int, int]:
    """(pairs, minus their distances) of the best matching, by trying all."""
    if not left:
        return 0, 0
    first, rest = left[0], left[1:]
    tries = [best(rest, right, within)]
    for at, other in enumerate(right):
        if abs(first - other) <= within:
            count, cost = best(rest, [*right[:at], *right[at + 1 :]], within)
            tries.append((count + 1, cost - abs(first - other)))
    return max(tries)


@given(INSTANTS, INSTANTS)
def test_as_many_pairs_as_can_be_and_of_those_the_nearest(left: list[int], right: list[int]) -> None:
    pairs = matched(left, right, 60)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    apart = [abs(left[i] - right[j]) for i, j in pairs]
    assert all(distance <= 60 for distance in apart)
    assert (len(pairs), -sum(apart)) == best(left, right, 60)


def test_nothing_crosses_and_nothing_is_lost_in_a_crowd() -> None:
    assert sorted(matched([0, 50], [30, 80], 60)) == [(0, 0), (1, 1)]
    assert matched([0, 300], [150], 60) == []
    assert len(matched([0, 30], [61, 61], 60)) == 1
    assert len(matched(range(0, 1000, 50), range(20, 1020, 50), 60)) == 20
