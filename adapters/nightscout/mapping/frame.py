"""What every Nightscout document has, and text as the site can take it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from adapters.nightscout.mapping.settings import MappingSettings
from adapters.preparation import Prepared
from bridge.contracts import Document
from bridge.model import Record, from_ms, iso_ms, to_ms

ENTRIES = "/api/v1/entries.json"
TREATMENTS = "/api/v1/treatments.json"
DEVICESTATUS = "/api/v3/devicestatus"
PROFILE = "/api/v1/profile.json"
PLAIN_NAME = "glucobridge"
"""Who entered a profile or an announcement; not for treatments, where a plain name silences alarms."""

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_MARKUP = str.maketrans({"&": "+", "<": "‹", ">": "›"})
_LONGEST_TEXT = 1000
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class View:
    """A prepared set and the settings: what a mapper sees beside its record."""

    prepared: Prepared
    settings: MappingSettings


def clean(text: str | None, longest: int = _LONGEST_TEXT) -> str:
    """Text without control characters and markup, trimmed, at most 1000 characters."""
    plain = _UNPRINTABLE.sub(" ", text or "").translate(_MARKUP).strip()
    return plain[:longest].rstrip()


@lru_cache(maxsize=256)
def _device(reader: str, family: str | None, model: str | None) -> str:
    scheme = "carelink" if reader == "carelink-cloud" else clean(reader)
    return f"{scheme}://{clean(family, _LONGEST_NAME) or clean(model, _LONGEST_NAME) or 'unknown'}"


def device_of(record: Record) -> str:
    """`<scheme>://<family>`; a serial never goes to a site."""
    return _device(record.reader, record.device.family, record.device.model)


def entry(record: Record, kind: str, fields: Mapping[str, Any]) -> tuple[Document]:
    """One entry of type `sgv` or `mbg`."""
    at_ms = to_ms(record.time)
    body = {
        "type": kind,
        **fields,
        "date": at_ms,
        "dateString": iso_ms(record.time),
        "device": device_of(record),
        "identifier": record.id,
    }
    return (
        Document(
            key=record.id, record_id=record.id, op="post", path=ENTRIES, body=body, instant_ms=at_ms,
            rank=0, slot_group=f"entries|{kind}", moves=("date", "dateString"),
        ),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Treatment:
    """A treatment before it is framed. `key` and `at_ms` only where they are not the record's own."""

    event_type: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    entered_by: str | None = None
    key: str | None = None
    at_ms: int | None = None

    def of(self, record: Record, view: View) -> Document:
        """The document."""
        key = self.key or record.id
        at_ms = to_ms(record.time) if self.at_ms is None else self.at_ms
        body = {
            "eventType": self.event_type,
            "created_at": iso_ms(from_ms(at_ms)),
            "identifier": key,
            "syncIdentifier": key,
            "enteredBy": self.entered_by or view.settings.entered_by,
            "device": device_of(record),
            **self.fields,
        }
        return Document(
            key=key, record_id=record.id, op="post", path=TREATMENTS, body=body, instant_ms=at_ms,
            rank=1, slot_group=f"treatments|{self.event_type}", moves=("created_at",),
        )  # fmt: skip


def treatment(record: Record, view: View, event_type: str, **fields: Any) -> tuple[Document]:
    """One treatment at the record's own instant, absent fields left out by the caller."""
    return (Treatment(event_type, fields).of(record, view),)
