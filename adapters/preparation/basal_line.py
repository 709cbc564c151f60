"""The basal line: what each basal record lasted, given its neighbours on the same device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from adapters.preparation.nearby import device_key, grouped
from adapters.preparation.numbers import COARSE, DOSE, milliseconds, number
from bridge.model import Basal, to_ms

MICRO_DOSE_MIN = 5.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A basal record with its length. `end_ms` is None while it runs; `following` is the device's next one."""

    record: Basal
    start_ms: int
    end_ms: int | None
    following: Basal | None

    @property
    def length_ms(self) -> int | None:
        """How long it lasted, None while it runs."""
        return None if self.end_ms is None else self.end_ms - self.start_ms


def is_micro_dose(record: Basal) -> bool:
    """Whether the closed loop gave a known dose: a fact that nothing cuts."""
    return record.delivery == "automatic" and record.dose_u is not None


def micro_dose_minutes(record: Basal) -> float:
    """The span a micro-dose stands for."""
    span = number(record.duration_min or 0, COARSE)
    return span or MICRO_DOSE_MIN


def micro_dose_rate(record: Basal) -> int | float:
    """U/h of a micro-dose over its span."""
    return number((record.dose_u or 0) * 60 / micro_dose_minutes(record), DOSE)


def basal_line(records: Iterable[Basal]) -> dict[str, Segment]:
    """Segments by record id. Records come in ascending (time, id) order."""
    lines = grouped(records, device_key).values()
    return {
        record.id: _segment(record, following)
        for line in lines
        for record, following in pairwise([*line, None])
        if record is not None
    }


def _segment(record: Basal, following: Basal | None) -> Segment:
    start = to_ms(record.time)
    if is_micro_dose(record):
        return Segment(record, start, start + milliseconds(micro_dose_minutes(record)), following)
    ends = [] if record.duration_min is None else [start + milliseconds(record.duration_min)]
    if following is not None:
        ends.append(to_ms(following.time))
    return Segment(record, start, min(ends, default=None), following)
