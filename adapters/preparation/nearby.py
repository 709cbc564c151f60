"""Records of one group by time: the nearest one, and what lies between two instants."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from bridge.model import Record, to_ms

R = TypeVar("R", bound=Record)


class Timeline(Generic[R]):
    """Records in ascending (time, id) order."""

    def __init__(self, records: list[R]) -> None:
        self._records = records
        self._times = [to_ms(record.time) for record in records]

    def nearest(self, at_ms: int, within_ms: int, fits: Callable[[R], bool] | None = None) -> R | None:
        """The nearest record within a span; of two equally near ones the earlier, then the lower id."""
        span = range(bisect_left(self._times, at_ms - within_ms), bisect_right(self._times, at_ms + within_ms))
        near = [index for index in span if fits is None or fits(self._records[index])]
        best = min(near, key=lambda index: abs(self._times[index] - at_ms), default=None)
        return None if best is None else self._records[best]

    def between(self, start_ms: int, end_ms: int) -> list[int]:
        """Epoch milliseconds of the records strictly between two instants."""
        return self._times[bisect_right(self._times, start_ms) : bisect_left(self._times, end_ms)]


def device_key(record: Record) -> tuple[str, str]:
    """What tells the devices of a profile apart: the serial, else the family."""
    return record.profile, record.device.serial or record.device.family or ""


def grouped(records: Iterable[R], key: Callable[[R], Hashable]) -> dict[Hashable, list[R]]:
    """Records by key, order kept."""
    groups: dict[Hashable, list[R]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups


def timelines(records: Iterable[R], key: Callable[[R], Hashable]) -> Mapping[Hashable, Timeline[R]]:
    """One timeline for each key. Records come in ascending (time, id) order."""
    return {name: Timeline(group) for name, group in grouped(records, key).items()}
