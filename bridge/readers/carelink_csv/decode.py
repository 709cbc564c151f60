"""The pure decoder: the bytes of one export in, records out; and what a file holds, for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from bridge.contracts import Decoded, Memory
from bridge.model.capture import Capture
from bridge.model.health import Health, State
from bridge.model.records import Record
from bridge.readers.carelink_csv.g1 import read_first
from bridge.readers.carelink_csv.g2 import read_second
from bridge.readers.carelink_csv.layout import layout_of
from bridge.readers.carelink_csv.lines import lines_of
from bridge.readers.carelink_csv.making import Findings, make

_EMPTY = Health(State.NO_DATA, "The export holds no rows that could be read.")


def decode(capture: Capture, memory: Memory) -> Decoded:
    """Records of an export in order of time. Raises Malformed for what is not one; never another type.

    The capture's context: `timezone` (needed), `date_order` (`mdy`, `dmy`, `ymd`) and `unit` (`mg/dL`, `mmol/L`)
    where the file leaves them open.
    """
    layout = layout_of(lines_of(capture.body), capture.context)
    findings = Findings()
    state: Mapping[str, object] = memory.state
    if layout.generation == 1:
        drafts, state = read_first(layout, capture, memory.state, findings)
    else:
        drafts = read_second(layout, capture.context, findings)
    records = make(drafts, capture, findings)
    return Decoded(
        records,
        state=state,
        diagnostics=findings.told(),
        health=Health() if records else _EMPTY,
        understood=not findings.rejected,
    )


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
