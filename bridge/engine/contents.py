"""What a file holds, in a few words for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from bridge.contracts import Decoded
from bridge.model import Record


@dataclass(frozen=True, slots=True)
class Contents:
    """What an export holds: days with records on the device's clock, records by kind, device models, bad rows."""

    dates: frozenset[date] = frozenset()
    kinds: Mapping[str, int] = field(default_factory=dict)
    models: frozenset[str] = frozenset()
    rejected: int = 0

    @property
    def first(self) -> date | None:
        """The first day."""
        return min(self.dates, default=None)

    @property
    def last(self) -> date | None:
        """The last day."""
        return max(self.dates, default=None)

    @property
    def days(self) -> int:
        """How many days have records."""
        return len(self.dates)

    @property
    def devices(self) -> Sequence[str]:
        """The device models, sorted."""
        return sorted(self.models)

    def __add__(self, other: Contents) -> Contents:
        """Of two parts of one export."""
        kinds = dict(sorted((Counter(self.kinds) + Counter(other.kinds)).items()))
        models, rejected = self.models | other.models, self.rejected + other.rejected
        return Contents(self.dates | other.dates, kinds, models, rejected)


def contents(decoded: Decoded) -> Contents:
    """A summary of a decoded export for a person."""
    kinds = Counter(record.kind for record in decoded.records)
    return Contents(
        dates=frozenset(_day(record) for record in decoded.records),
        kinds=dict(sorted(kinds.items())),
        models=frozenset(record.device.model for record in decoded.records if record.device.model),
        rejected=sum(diagnostic.code == "row/rejected" for diagnostic in decoded.diagnostics),
    )


def _day(record: Record) -> date:
    return (record.device_time or record.time).date()
