"""Placed rows become records of the model."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha1
from typing import Any, TypeAlias

from pydantic import ValidationError

from bridge.errors import InvalidRecord
from bridge.model.capture import Capture
from bridge.model.identity import NAMESPACE
from bridge.model.records import Device, Record
from bridge.readers.carelink_cloud.rows import Row, refused

Told: TypeAlias = tuple[str, datetime, datetime | None, int | None, Mapping[str, Any]]
"""Source key, time, wall clock, offset, and further fields."""
_new, _set = object.__new__, object.__setattr__
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class Namer:
    """`record_id` of one kind with all but the source key worked out beforehand."""

    def __init__(self, profile: str, feed: str, kind: str) -> None:
        self._start = NAMESPACE.bytes + "".join(f"{_escaped(part)}|" for part in (profile, feed, kind)).encode()

    def names(self, source_keys: Iterable[str]) -> list[str]:
        """The ids of records with these source keys."""
        start = self._start
        digests = [sha1(start + _escaped(key).encode(), usedforsecurity=False).hexdigest() for key in source_keys]
        return [f"{x[:8]}-{x[8:12]}-5{x[13:16]}-{_VARIANT[x[16]]}{x[17:20]}-{x[20:32]}" for x in digests]

    def name(self, source_key: str) -> str:
        """The id of one record."""
        return self.names((source_key,))[0]


def _escaped(part: str) -> str:
    if not part.isascii():
        part = unicodedata.normalize("NFC", part)
    if "%" in part or "|" in part:
        part = part.replace("%", "%25").replace("|", "%7C")
    return part


class Maker:
    """Makes the records of one answer.

    A body that rows share is validated once; the others' records are copies of that one under an identity of
    their own, whose parts come from this package and not from outside.
    """

    def __init__(self, capture: Capture, device: Device) -> None:
        self._capture = capture
        self._common = {"profile": capture.profile, "reader": capture.reader, "device": device}
        self._namers: dict[type[Record], Namer] = {}

    def make(self, row: Row) -> Record:
        """The record of a placed row. Raises InvalidRecord naming the field that the model refuses."""
        if row.model is None:
            raise TypeError(f"a {row.kind} row makes no record")
        body = {**row.body, **row.checked}
        if row.annotations:
            body["annotations"] = row.annotations
        return self._validated(row.model, (row.source_key, row.time, row.device_time, row.offset_min, body))

    def alike(self, model: type[Record], body: Mapping[str, Any], rows: Iterable[Told]) -> list[Record]:
        """Records that differ only in identity and checked fields. Raises as `make`.

        The copies are what `model_copy(update=...)` gives, in half the time: a day has some 450 of them.
        """
        rows = list(rows)
        made = [self._validated(model, (*row[:4], {**body, **row[4]})) for row in rows[:1]]
        if not made:
            return made
        shared, fields_set = made[0].__dict__, made[0].model_fields_set
        for name, row in zip(self.namer(model).names(row[0] for row in rows[1:]), rows[1:], strict=True):
            key, time, wall, offset_min, checked = row
            own = {
                **shared,
                "id": name,
                "time": time,
                "device_time": wall,
                "utc_offset_min": offset_min,
                "source_key": key,
                **checked,
            }
            twin = _new(model)
            _set(twin, "__dict__", own)
            _set(twin, "__pydantic_fields_set__", fields_set)
            _set(twin, "__pydantic_extra__", None)
            _set(twin, "__pydantic_private__", None)
            made.append(twin)
        return made

    def namer(self, model: type[Record]) -> Namer:
        """What names the records of one kind."""
        found = self._namers.get(model)
        if found is None:
            kind = str(model.model_fields["kind"].default)
            found = self._namers[model] = Namer(self._capture.profile, self._capture.feed, kind)
        return found

    def _validated(self, model: type[Record], row: Told) -> Record:
        key, time, wall, offset_min, fields = row
        try:
            return model(
                id=self.namer(model).name(key),
                time=time,
                device_time=wall,
                utc_offset_min=offset_min,
                source_key=key,
                **self._common,
                **fields,
            )
        except ValidationError as why:
            raise _named(model, why) from None


def _named(model: type[Record], why: ValidationError) -> InvalidRecord:
    first = why.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return refused(str(model.model_fields["kind"].default), field, first["input"], str(first["msg"]).lower())
