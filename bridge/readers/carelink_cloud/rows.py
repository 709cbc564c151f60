"""One row of an answer on its way to a record, whatever list it came from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bridge.errors import InvalidRecord
from bridge.model.records import Record
from bridge.model.time import iso_wall
from bridge.readers.carelink_cloud.timestamps import stamp, wall_of
from bridge.readers.carelink_cloud.values import shown

SG = "SG"
TIME_CHANGE = "TIME_CHANGE"
READ = 2
"""Counted up when rows are read differently, so that rows read by an older version are read again."""
MOST_ROWS = 5000
"""A list with more is no list of an answer."""
QUARTER_MIN = 15
REACH_S = 60.0
"""A row that comes again with a stamp moved by no more than this is the same row."""
_NOTHING: Mapping[str, Any] = {}


class Row:
    """A row as read, and (once placed) when it happened and by which key it is known.

    `key` is the source key it asks for: its GUID, else row type, wall stamp and `detail` (the activation of
    insulin). `content` is the part of the body that never changes, by which a re-stamped row is known again.
    `model` and `body` are the record's type and its own fields, `checked` further fields whose type and range
    the reader of the row vouches for; `model` is None for a row that makes no record.
    """

    time: datetime
    device_time: datetime | None
    source_key: str
    annotations: tuple[dict[str, Any], ...] = ()
    checked: Mapping[str, Any] = _NOTHING
    instant: datetime | None = None
    """Set when the source names the instant itself."""
    new = True
    offset_min: int | None = None
    reach_s = REACH_S
    trend = ""
    uncertain = False

    def __init__(
        self,
        kind: str,
        moment: datetime,
        content: str = "",
        model: type[Record] | None = None,
        body: Mapping[str, Any] = _NOTHING,
        detail: str = "",
        guid: str | None = None,
    ) -> None:
        self.kind, self.content, self.model, self.body = kind, content, model, body
        self.detail, self.guid = detail, guid
        if moment.tzinfo:
            self.instant = moment
            moment = wall_of(moment)
        self.wall = moment
        self.stamp = iso_wall(moment) if moment.microsecond else moment.isoformat()
        self.key = guid or (f"{kind}:{self.stamp}:{detail}" if detail else f"{kind}:{self.stamp}")

    @property
    def sort(self) -> tuple[str, str]:
        """What two rows must share to be the same event."""
        return self.kind, self.detail

    @property
    def canonical(self) -> str:
        """What tells twins of one second apart, whatever their order in the answer."""
        return f"{self.content}|{sorted(self.body.items(), key=lambda item: item[0])}"

    @property
    def stamped_offset_min(self) -> int:
        """Offset of this row's stamp as it stands in the answer (a server may re-stamp a known row)."""
        if self.new:
            return self.offset_min or 0
        apart_min = (self.wall - self.time.replace(tzinfo=None)).total_seconds() / 60
        return round(apart_min / QUARTER_MIN) * QUARTER_MIN

    def at(self, offset_min: int) -> datetime:
        """The instant of this row on a clock `offset_min` east of UTC, as a naive UTC."""
        return self.wall - timedelta(minutes=offset_min)


def plain(part: object) -> str:
    """Text as it may stand in a sighting's key."""
    return str(part).replace("|", "/")


def moment_of(kind: str, row: Mapping[str, Any], *names: str) -> datetime:
    """The first stamp among these fields that is one. Raises InvalidRecord when none is."""
    for name in names:
        found = stamp(row.get(name))
        if found is not None:
            return found
    named = next((name for name in names if row.get(name) is not None), names[0])
    raise refused(kind, named, row.get(named), "it is not a time")


def refused(kind: str, field: str, value: object, why: str) -> InvalidRecord:
    """The error for one bad value: names kind, field and (shortened) value."""
    return InvalidRecord(kind, field, shown(value), why)
