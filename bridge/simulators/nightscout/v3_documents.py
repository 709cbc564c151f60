"""API v3: what a document must have, who it is, what may not change, and what the server adds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from bridge.simulators.nightscout.answers import Ended, v3_error
from bridge.simulators.nightscout.store import Collection
from bridge.simulators.nightscout.values import OBJECT_ID, Doc, is_number, iso, moment

if TYPE_CHECKING:
    from bridge.simulators.nightscout.sim import NightscoutSim

NAMESPACE = UUID(bytes=b"NightscoutRocks!")
EARLIEST_MS = 946_684_800_000
_IMMUTABLE = (
    "identifier", "date", "utcOffset", "eventType", "device", "app",
    "srvCreated", "subject", "srvModified", "modifiedBy", "isValid",
)  # fmt: skip
_SERVER_SET = frozenset(("srvCreated", "srvModified", "subject", "modifiedBy", "isValid"))
_FALLBACK: dict[str, tuple[str, ...]] = {
    "entries": ("date", "type"),
    "treatments": ("created_at", "eventType"),
    "devicestatus": ("created_at", "device"),
    "profile": ("created_at",),
    "food": ("created_at",),
}


def identifier_of(device: str | None, date_ms: int, event_type: str | None) -> str:
    """The identifier the server gives to a document without one."""
    name = f"{'undefined' if device is None else device}_{date_ms}" + (f"_{event_type}" if event_type else "")
    return str(uuid5(NAMESPACE, name))


def instant(value: object) -> tuple[int, int | None] | None:
    """(epoch ms, offset min if the text had one) of ms, seconds, digits or ISO text."""
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value):
        value = float(value)
    if is_number(value):
        ms = int(value if value > EARLIEST_MS else value * 1000)
        return (ms, None) if ms > EARLIEST_MS else None
    read = moment(value)
    return read if read and read[0] > EARLIEST_MS else None


def normalised(body: Doc) -> Doc:
    """The document with date, created_at, utcOffset and identifier as stored. Raises Ended(400)."""
    if not isinstance(body, dict):
        raise _bad("date")
    if not body:
        raise v3_error(400, "Bad or missing request body")
    if "identifier" in body and not (isinstance(body["identifier"], str) and body["identifier"]):
        raise _bad("identifier")
    read = instant(body.get("date", body.get("created_at")))
    if read is None:
        raise _bad("date")
    offset = body.get("utcOffset", read[1] or 0)
    if not (is_number(offset) and -1440 <= offset <= 1440):
        raise _bad("utcOffset")
    if not (isinstance(body.get("app"), str) and body["app"]):
        raise _bad("app")
    document = {**body, "date": read[0], "created_at": iso(read[0]), "utcOffset": offset}
    document.setdefault("identifier", identifier_of(body.get("device"), read[0], body.get("eventType")))
    return document


def _bad(field: str) -> Ended:
    return v3_error(400, f"Bad or missing {field} field")


def duplicate_of(collection: Collection, document: Doc) -> Doc | None:
    """The stored document that a POST of this one means."""
    identifier = document["identifier"]
    found = collection.lookup(("identifier",), identifier)
    if found:
        return found[0]
    if OBJECT_ID.fullmatch(identifier):
        by_id = collection.get(identifier)
        if by_id is not None and "identifier" not in by_id:
            return by_id
    fields = _FALLBACK.get(collection.name)
    if fields is None:
        return None
    same = collection.lookup(fields, *(document.get(name) for name in fields))
    return next((one for one in same if "identifier" not in one), None)


def by_identifier(collection: Collection, identifier: str) -> Doc | None:
    """The document of a path."""
    found = collection.lookup(("identifier",), identifier)
    return found[0] if found else collection.get(identifier)


def refuse_changes(stored: Mapping[str, Any], sent: Mapping[str, Any], *, deduplicating: bool) -> None:
    """Raises Ended(400) naming the first immutable field that would change, 422 for a read-only document."""
    if stored.get("isReadOnly") is True:
        raise v3_error(422, "Trying to modify read-only document")
    for field in _IMMUTABLE:
        if field not in sent or field in _SERVER_SET or (field == "identifier" and deduplicating):
            continue
        if stored.get(field) != sent[field]:
            raise v3_error(400, f"Field {field} cannot be modified by the client")


def insert(sim: NightscoutSim, collection: Collection, document: Doc, subject: str) -> Doc:
    """Store a new document."""
    now = sim.now_ms()
    new = {**document, "srvModified": now, "srvCreated": now, "subject": subject}
    new["_id"] = document.get("_id") or sim.next_id()
    collection.insert(new)
    return new


def replace(sim: NightscoutSim, collection: Collection, stored: Doc, document: Doc, subject: str) -> Doc:
    """Store it over another."""
    now = sim.now_ms()
    new = {**document, "_id": stored["_id"], "srvModified": now, "srvCreated": stored.get("srvCreated", now)}
    new["subject"] = subject
    if collection.name == "treatments":
        _derive_duration(new)
    collection.replace(stored["_id"], new)
    return new


def _derive_duration(document: Doc) -> None:
    span_ms, minutes = document.get("durationInMilliseconds"), document.get("duration")
    if not is_number(span_ms):
        if not is_number(minutes):
            return
        span_ms = minutes * 60_000
    document["durationInMilliseconds"] = span_ms
    document["endmills"] = document["date"] + span_ms
    document["duration"] = round(span_ms / 60_000)
