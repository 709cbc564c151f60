"""One-to-one matching of two sets of instants: as many pairs as can be, and of those the nearest."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

_LARGEST = 64
"""Events closer together than the reach, one after the other: no device makes more in a row."""


def matched(left: Sequence[float], right: Sequence[float], within: float) -> list[tuple[int, int]]:
    """Pairs of positions (left, right) no further apart than `within`, each position once. Seconds in any order.

    Pairs never cross: equal events keep their order, so two doses a few seconds apart stay two.
    """
    marks = sorted([*left, *right])
    cuts = [before for before, after in pairwise(marks) if after - before > within]
    pairs: list[tuple[int, int]] = []
    for some_left, some_right in zip(_grouped(left, cuts), _grouped(right, cuts), strict=True):
        if some_left and some_right:
            pairs += _aligned(some_left[:_LARGEST], some_right[:_LARGEST], left, right, within)
    return pairs


def _grouped(seconds: Sequence[float], cuts: Sequence[float]) -> list[list[int]]:
    """Positions in order of time, in groups between the gaps that nothing can bridge."""
    groups: list[list[int]] = [[] for _ in range(len(cuts) + 1)]
    for position in sorted(range(len(seconds)), key=seconds.__getitem__):
        groups[bisect_left(cuts, seconds[position])].append(position)
    return groups


def _aligned(
    lefts: list[int], rights: list[int], left: Sequence[float], right: Sequence[float], within: float
) -> list[tuple[int, int]]:
    """The best alignment of two ordered groups: most pairs first, then the smallest sum of distances."""
    best: list[list[tuple[int, float]]] = [[(0, 0.0)] * (len(rights) + 1) for _ in range(len(lefts) + 1)]
    for i, here in enumerate(lefts, 1):
        for j, there in enumerate(rights, 1):
            apart = abs(left[here] - right[there])
            skipped = max(best[i - 1][j], best[i][j - 1])
            count, cost = best[i - 1][j - 1]
            best[i][j] = max(skipped, (count + 1, cost - apart)) if apart <= within else skipped
    return _walked_back(best, lefts, rights)


def _walked_back(best: list[list[tuple[int, float]]], lefts: list[int], rights: list[int]) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    i, j = len(lefts), len(rights)
    while i and j:
        if best[i][j] == best[i - 1][j]:
            i -= 1
        elif best[i][j] == best[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((lefts[i], rights[j]))
    return pairs
