"""What every Tidepool datum has, and text as the platform can take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from adapters.preparation import Prepared, lean
from bridge.contracts import Document
from bridge.model import Record, iso_ms, iso_wall, to_ms

PATH = "/v1/data_sets/{dataSet}/data"
"""The braces stand for the data set's id."""
MGDL = "mg/dL"
UNITS = "Units"
_ORIGIN_NAME = "org.glucobridge"
_LONGEST_TEXT = 1000
_MOST_ANNOTATIONS = 100
_NOT_SENT = "backfilled"
"""The only annotation with a field of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TidepoolMappingSettings:
    """Choices of mapping. `timezone` is the person's IANA zone."""

    timezone: str | None = None
    status_every_min: float = 15


@dataclass(frozen=True, slots=True)
class View:
    """A prepared set and the settings: what a mapper sees beside its record."""

    prepared: Prepared
    settings: TidepoolMappingSettings


def trimmed(text: str | None, longest: int = _LONGEST_TEXT) -> str:
    """Text without blanks around it, at most `longest` characters."""
    return (text or "").strip()[:longest].rstrip()


def key_of(record: Record, role: str) -> str:
    """The `origin.id` of a record's datum; the role is the type path."""
    return f"{record.id}:{role}"


def datum_body(record: Record, view: View, role: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A whole datum: `type` from the role, the fields, the frame."""
    kind, _, sub_type = role.partition("/")
    device = ":".join(filter(None, (record.device.model or record.device.family, record.device.serial)))
    frame = lean(
        deviceTime=None if record.device_time is None else iso_wall(record.device_time),
        timezoneOffset=record.utc_offset_min,
        timezone=view.settings.timezone,
        deviceId=device,
        annotations=_annotations(record),
    )
    body: dict[str, Any] = {"type": kind, "subType": sub_type} if sub_type else {"type": kind}
    origin = {"id": key_of(record, role), "name": _ORIGIN_NAME, "type": "application"}
    return {
        **body,
        **fields,
        "time": iso_ms(record.time),
        **frame,
        "origin": {**origin, "payload": {"reader": record.reader}},
    }


def datum(
    record: Record, view: View, role: str, fields: Mapping[str, Any], books: tuple[str, ...] = ()
) -> tuple[Document]:
    """One datum as a document."""
    body = datum_body(record, view, role, fields)
    key = key_of(record, role)
    instant = to_ms(record.time)
    return (
        Document(
            key=key, record_id=record.id, op="post", path=PATH, body=body, instant_ms=instant, books=books
        ),
    )  # fmt: skip


def _annotations(record: Record) -> list[dict[str, Any]]:
    if not record.annotations:
        return []
    sent = (_sound(note) for note in record.annotations if note["code"] != _NOT_SENT)
    return [_renamed(note) for note in sent if note][:_MOST_ANNOTATIONS]


def _renamed(note: dict[str, Any]) -> dict[str, Any]:
    return {("threshold" if name == "threshold_mgdl" else name): value for name, value in note.items()}


def _sound(value: Any) -> Any:
    """The value without anything absent, empty or endless inside; None when nothing is left."""
    if isinstance(value, dict):
        return lean(**{str(name): _sound(part) for name, part in value.items()}) or None
    if isinstance(value, list | tuple):
        return [part for part in map(_sound, value) if part not in (None, "")] or None
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
