"""Drafts become records: they get their ids and instants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from pydantic import ValidationError

from bridge.errors import InvalidRecord
from bridge.model.identity import record_id
from bridge.model.records import Device, Record
from bridge.readers.minimed_ble.drafts import Draft

NAME = "minimed-ble"
MAKER, FAMILY = "Medtronic", "700"
AHEAD = timedelta(minutes=5)
_UNCERTAIN: dict[str, Any] = {"code": "clock/uncertain"}
_MOST_OFFSET_MIN = 24 * 60


def feed(serial: str) -> str:
    """The pump's part of the identity."""
    return f"medtronic:{serial}"


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the records of one read. `zone` is the person's, None when it was not told."""

    profile: str
    feed: str
    device: Device
    zone: tzinfo | None

    def record(self, draft: Draft) -> Record:
        """Raises InvalidRecord for what the model refuses."""
        time = self._utc(draft.wall)
        offset_min = round((draft.wall - time.replace(tzinfo=None)).total_seconds() / 60)
        return self._validated(draft, time, draft.wall, offset_min if abs(offset_min) <= _MOST_OFFSET_MIN else None)

    def at(self, draft: Draft, time: datetime) -> Record:
        """A record of what is so at an instant of this machine's clock, whatever the pump's says."""
        return self._validated(draft, time, None, None)

    def _utc(self, wall: datetime) -> datetime:
        return wall.replace(tzinfo=self.zone or UTC).astimezone(UTC)

    def _doubtful(self, wall: datetime) -> bool:
        """Whether no zone is known, or the clock showed this twice (or never) that night."""
        if self.zone is None:
            return True
        return wall.replace(tzinfo=self.zone).utcoffset() != wall.replace(tzinfo=self.zone, fold=1).utcoffset()

    def _validated(self, draft: Draft, time: datetime, wall: datetime | None, offset_min: int | None) -> Record:
        kind = str(draft.model.model_fields["kind"].default)
        notes = list(draft.annotations)
        if wall is not None and self._doubtful(wall) and _UNCERTAIN not in notes:
            notes.append(_UNCERTAIN)
        try:
            return draft.model(
                id=record_id(self.profile, self.feed, kind, draft.key), time=time, device_time=wall,
                utc_offset_min=offset_min, profile=self.profile, device=self.device, reader=NAME,
                source_key=draft.key, annotations=tuple(notes), raw=draft.raw, **draft.body,
            )  # fmt: skip
        except ValidationError as why:
            raise InvalidRecord.of(kind, why) from None
