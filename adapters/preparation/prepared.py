"""A set of records made ready for mapping: one revision of each, and what its neighbours say about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import pairwise
from operator import attrgetter
from typing import Any

from adapters.preparation.basal_line import Segment, basal_line
from adapters.preparation.links import Links, linked
from adapters.preparation.nearby import Timeline, device_key, timelines
from adapters.preparation.thinning import kept_statuses
from bridge.model import Calibration, DeviceEvent, MeterGlucose, Record, to_json, to_ms

_NEAR_CHANGE_MS = 60 * 60_000
_NEAR_CALIBRATION_MS = 5 * 60_000
_LONGEST_SILENCE_MS = 16 * 60_000


class Prepared:
    """A set of records made ready for mapping. Nothing is worked out before it is asked for."""

    def __init__(self, records: Iterable[Record], status_every_min: float) -> None:
        self.records = _highest(records)
        self._status_every_min = status_every_min

    @cached_property
    def _by_kind(self) -> Mapping[str, list[Any]]:
        kinds: dict[str, list[Any]] = {}
        for record in self.records:
            kinds.setdefault(record.kind, []).append(record)
        return kinds

    def _kind(self, kind: str) -> list[Any]:
        return self._by_kind.get(kind, [])

    @cached_property
    def links(self) -> Links:
        """Partners of boluses."""
        return linked(self._kind("bolus"), self._kind("carbs"), self._kind("bolus_calculation"))

    @cached_property
    def segments(self) -> Mapping[str, Segment]:
        """The basal line by record id."""
        return basal_line(self._kind("basal"))

    @cached_property
    def kept(self) -> set[str]:
        """Ids of the pump statuses worth sending."""
        return kept_statuses(self._kind("pump_status"), self._status_every_min)

    @cached_property
    def newest_ms(self) -> Mapping[str, int]:
        """Newest record time of each profile."""
        return {profile: to_ms(time) for profile, time in {one.profile: one.time for one in self.records}.items()}

    @cached_property
    def _meters(self) -> Mapping[Any, Timeline[Any]]:
        blood = (record for record in self._kind("meter_glucose") if not record.control_solution)
        return timelines(blood, attrgetter("profile"))

    @cached_property
    def _readings(self) -> Mapping[Any, Timeline[Any]]:
        return timelines(self._kind("sensor_glucose"), attrgetter("profile"))

    @cached_property
    def _mode_changes(self) -> Mapping[Any, Timeline[Any]]:
        changes = (record for record in self._kind("device_event") if record.event == "mode_change")
        return timelines(changes, attrgetter("profile"))

    @cached_property
    def _events(self) -> Mapping[Any, Timeline[Any]]:
        return timelines(self._kind("device_event"), lambda record: (device_key(record), record.event))

    def meter_of(self, calibration: Calibration) -> MeterGlucose | None:
        """The blood reading a calibration was made with."""
        line = self._meters.get(calibration.profile)
        if line is None:
            return None
        at_ms = to_ms(calibration.time)
        return line.nearest(at_ms, _NEAR_CALIBRATION_MS, lambda one: abs(one.mgdl - calibration.mgdl) <= 1)

    def change_near(
        self, record: Record, event: str, fits: Callable[[DeviceEvent], bool] | None = None
    ) -> DeviceEvent | None:
        """The nearest event of that name on the same device within an hour."""
        line = self._events.get((device_key(record), event))
        return None if line is None else line.nearest(to_ms(record.time), _NEAR_CHANGE_MS, fits)

    def mode_changed(self, profile: str, start_ms: int, end_ms: int) -> bool:
        """Whether the closed loop was switched between two instants."""
        line = self._mode_changes.get(profile)
        return line is not None and bool(line.between(start_ms, end_ms))

    def heard(self, profile: str, start_ms: int, end_ms: int) -> bool:
        """Whether sensor readings, with or without a value, prove that the pump was listened to all the while."""
        line = self._readings.get(profile)
        times = [start_ms, *(line.between(start_ms, end_ms) if line else ()), end_ms]
        return all(later - earlier <= _LONGEST_SILENCE_MS for earlier, later in pairwise(times))


def _highest(records: Iterable[Record]) -> list[Record]:
    """One record of each id, the highest revision, in ascending (time, id) order."""
    chosen: dict[str, Record] = {}
    for record in records:
        other = chosen.setdefault(record.id, record)
        if other is not record and _supersedes(record, other):
            chosen[record.id] = record
    return sorted(chosen.values(), key=attrgetter("time", "id"))


def _supersedes(record: Record, other: Record) -> bool:
    if record.revision != other.revision:
        return record.revision > other.revision
    return to_json(record) > to_json(other)
