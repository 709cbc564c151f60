"""Drafts become records: they get their ids and instants, those of their first sighting where they had one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from pydantic import ValidationError

from bridge.contracts import Diagnostic, Memory, Sighting
from bridge.model.capture import Capture
from bridge.model.identity import record_id
from bridge.model.records import Device, Record
from bridge.model.time import EARLIEST
from bridge.readers.medtronic_600.clock import AHEAD_S, Clock, Moment
from bridge.readers.medtronic_600.drafts import Draft

REMEMBERED = timedelta(hours=36)
"""How long the journal recalls first sightings; older rows need none to be given."""
_UNCERTAIN = {"code": "clock/uncertain"}


@dataclass(slots=True)
class Made:
    """Records in order of time, the newly seen rows, and what was refused."""

    records: list[Record] = field(default_factory=list)
    sightings: dict[str, Sighting] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    refused: bool = False


@dataclass(frozen=True, slots=True)
class _Placed:
    draft: Draft
    moment: Moment
    source_key: str
    id: str
    row: str


class Maker:
    """Makes the records of one capture. `feed` is the device_or_feed part of the identity."""

    def __init__(self, capture: Capture, feed: str, device: Device, clock: Clock, memory: Memory) -> None:
        self._feed, self._profile, self._clock, self._memory = feed, capture.profile, clock, memory
        self._common = {"profile": capture.profile, "reader": capture.reader, "device": device}

    def make(self, drafts: Iterable[Draft]) -> Made:
        """All records that were read now and are not ahead of the pump's own clock."""
        drafts = list(drafts)
        due = [draft for draft in drafts if draft.rtc <= self._clock.latest + AHEAD_S]
        made = Made()
        if len(due) < len(drafts):
            text = f"{len(drafts) - len(due)} records lie ahead of the pump's clock and wait."
            made.diagnostics.append(Diagnostic("record/ahead", text))
        placed = self._placed(due)
        ids = {id(each.draft): each.id for each in placed}
        since = self._clock.moment(self._clock.latest, 0).time - REMEMBERED
        for each in placed:
            if each.draft.fresh:
                self._add(made, each, ids, since)
        made.records.sort(key=attrgetter("time", "id"))
        return made

    def _placed(self, drafts: Sequence[Draft]) -> list[_Placed]:
        """Keys, numbered where two of one kind want the same: by their bytes, never by their place."""
        wanting: dict[tuple[str, str], list[Draft]] = defaultdict(list)
        for draft in drafts:
            wanting[draft.kind, draft.key].append(draft)
        placed = []
        for (kind, key), twins in wanting.items():
            for place, draft in enumerate(sorted(twins, key=_content) if len(twins) > 1 else twins, start=1):
                placed.append(self._place(draft, kind, key if place == 1 else f"{key}#{place}"))
        return placed

    def _place(self, draft: Draft, kind: str, key: str) -> _Placed:
        moment = self._clock.moment(draft.rtc, draft.offset)
        row = f"{self._feed[-6:]}|{kind}|{key}"
        seen = self._memory.sightings.get(row)
        if seen is not None:
            moment, key = moment._replace(time=seen.time), seen.source_key
        return _Placed(draft, moment, key, record_id(self._profile, self._feed, kind, key), row)

    def _add(self, made: Made, each: _Placed, ids: dict[int, str], since: datetime) -> None:
        try:
            record = self._record(each, ids)
        except ValidationError as why:
            first = why.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            made.diagnostics.append(Diagnostic("record/refused", f"{each.draft.kind}.{where}: {first['msg']}"))
            made.refused = True
            return
        made.records.append(record)
        if record.time >= since and each.row not in self._memory.sightings:
            made.sightings[each.row] = Sighting(record.time, record.source_key)

    def _record(self, each: _Placed, ids: dict[int, str]) -> Record:
        draft, moment = each.draft, each.moment
        annotations = tuple(draft.annotations)
        if not moment.certain or moment.time < EARLIEST:
            annotations = (*annotations, _UNCERTAIN)
        fields: dict[str, Any] = {**draft.body, **{name: ids.get(id(other)) for name, other in draft.links.items()}}
        return draft.model(
            id=each.id,
            time=moment.time,
            device_time=moment.device_time,
            utc_offset_min=moment.utc_offset_min,
            source_key=each.source_key,
            annotations=annotations,
            raw={"rtc": draft.rtc, "offset": draft.offset, **draft.raw},
            **self._common,
            **fields,
        )


def _content(draft: Draft) -> tuple[bytes, ...]:
    return tuple(event.raw for event in draft.events)
