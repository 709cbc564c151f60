"""Bodies become records: identity, first-seen times, twins, and what the model refuses."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha1
from typing import Any, TypeVar

from pydantic import ValidationError

from bridge.contracts import Diagnostic, Sighting
from bridge.model.identity import NAMESPACE
from bridge.model.records import Annotation, Device, Envelope, Record
from bridge.readers.medtronic_stick.time import Moment

NAME = "medtronic-stick"
_REMEMBERED = timedelta(hours=36)
_R = TypeVar("_R", bound=Envelope)
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class Maker:
    """Makes the records of one read. A row seen before keeps its time and its key."""

    def __init__(
        self, profile: str, feed: str, device: Device, sightings: Mapping[str, Sighting], now: datetime
    ) -> None:
        self._owner, self._feed = (profile, feed), feed
        self._common = {"profile": profile, "device": device, "reader": NAME}
        self._seen, self._since = sightings, now - _REMEMBERED
        self._keys: set[tuple[str, str]] = set()
        self._starts: dict[str, bytes] = {}
        self.records: list[Record] = []
        self.sightings: dict[str, Sighting] = {}
        self.diagnostics: list[Diagnostic] = []

    def name(self, model: type[Envelope], key: str) -> str:
        """The id that a record of this kind and key has or will have."""
        kind = _kind(model)
        known = self._seen.get(self._row(kind, key))
        return self._id(kind, key if known is None else known.source_key)

    def make(
        self, model: type[_R], key: str, moment: Moment, body: Mapping[str, Any], notes: Iterable[Annotation] = ()
    ) -> _R | None:
        """The record, also kept in `records`; None (and a diagnostic) for a body that the model refuses."""
        kind = _kind(model)
        key = self._free(kind, key)
        first = self._first(kind, key, moment.time)
        try:
            record = model(
                id=self._id(kind, first.source_key),
                time=first.time,
                device_time=moment.wall,
                utc_offset_min=moment.offset_min,
                source_key=first.source_key,
                annotations=(*moment.notes, *notes),
                **self._common,
                **body,
            )
        except ValidationError as why:
            self._refused(kind, why)
            return None
        self.records.append(record)  # type: ignore[arg-type]
        return record

    def _row(self, kind: str, key: str) -> str:
        return f"{self._feed}|{kind}|{key}"

    def _first(self, kind: str, key: str, time: datetime) -> Sighting:
        row = self._row(kind, key)
        known = self._seen.get(row)
        if known is not None:
            return known
        made = Sighting(time, key)
        if time >= self._since:
            self.sightings[row] = made
        return made

    def _id(self, kind: str, key: str) -> str:
        """What `record_id` gives; all but the key is worked out once."""
        start = self._starts.get(kind)
        if start is None:
            parts = "".join(f"{_escaped(part)}|" for part in (*self._owner, kind))
            start = self._starts[kind] = NAMESPACE.bytes + parts.encode()
        x = sha1(start + _escaped(key).encode(), usedforsecurity=False).hexdigest()
        return f"{x[:8]}-{x[8:12]}-5{x[13:16]}-{_VARIANT[x[16]]}{x[17:20]}-{x[20:32]}"

    def _free(self, kind: str, key: str) -> str:
        """The key, or for a twin of one kind the next free number behind it."""
        free, number = key, 1
        while (kind, free) in self._keys:
            number += 1
            free = f"{key}#{number}"
        self._keys.add((kind, free))
        return free

    def _refused(self, kind: str, why: ValidationError) -> None:
        first = why.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        text = f"{kind}.{field}: {str(first['input'])[:40]} refused, {str(first['msg']).lower()}."
        self.diagnostics.append(Diagnostic("record_refused", text))


def _escaped(part: str) -> str:
    return unicodedata.normalize("NFC", part).replace("%", "%25").replace("|", "%7C")


@cache
def _kind(model: type[Envelope]) -> str:
    return str(model.model_fields["kind"].default)
