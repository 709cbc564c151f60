"""Makes the journal of thousands from that of a few: documents of one person become another's, identities and all.

Reading a day in for everybody by the program itself would take hours. What depends on the person (record ids, what
derives from them, hashes over documents that name them) is worked out anew, so that the program finds everything
as it would have written it. Deliveries and documents older than the last hours are left out: no round looks at them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import blake2b
from random import Random
from typing import Any

import bson
import pymongo
from bson.raw_bson import RawBSONDocument

from adapters.nightscout import NightscoutAdapter
from adapters.tidepool import TidepoolAdapter
from benchmarks.fleet.people import ZONE, profile_of, site_of, user_of, username_of
from bridge.contracts import Adapter, Setup
from bridge.engine.clock import SystemClock
from bridge.journal.mongo.schema import INDEXES
from bridge.model import from_json, record_id, to_ms
from bridge.model.identity import bolus_datum_id, second_id

_RECENT = timedelta(hours=5)
_WHOLE = ("profiles", "records", "aliases", "revisions", "destinations", "readers", "coverage", "sightings")
_LEDGER = {"deliveries": "time_ms", "documents": "instant_ms"}
_NAME = re.compile(
    rb"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}|(?:p|patient|site|user)[0-9]{5}"
)
_BATCH = 10_000
_ENOUGH = 0.9


@dataclass(frozen=True)
class Model:
    """One person's journal: raw documents by collection, how each record is named, and the documents sent."""

    number: int
    raw: Mapping[str, bytes]
    names: Sequence[tuple[str, str, str]]
    """Record id, kind, source key."""
    sent: Mapping[str, bytes]
    """Canonical text of a document by its hash."""


def model_of(db: Any, number: int, now: datetime) -> Model:
    """What the journal holds of a person."""
    profile, since = profile_of(number), to_ms(now - _RECENT)
    raw = {name: _raw(db[name].find(_of(name, profile))) for name in _WHOLE}
    for name, field in _LEDGER.items():
        raw[name] = _raw(db[name].find({"profile": profile, field: {"$gte": since}}))
    records = [from_json(row["body"]) for row in db["records"].find({"profile": profile}, {"body": 1})]
    sent: dict[str, bytes] = {}
    for adapter in _adapters(number):
        for document in adapter.desired(records).documents.values():
            text = json.dumps(document.body, sort_keys=True, separators=(",", ":"), allow_nan=False)
            sent[document.content_hash] = text.encode()
    return Model(number, raw, [(each.id, each.kind, each.source_key) for each in records], sent)


def _adapters(number: int) -> Iterator[Adapter]:
    profile, clock, random, url = profile_of(number), SystemClock(), Random(1), "http://127.0.0.1"
    site = NightscoutAdapter(Setup(profile, {"url": url}, clock, random, timezone=ZONE))
    site.state = {"url": url, "units": "mg/dl"}
    yield site
    yield TidepoolAdapter(Setup(profile, {}, clock, random, timezone=ZONE))


def _of(name: str, profile: str) -> dict[str, Any]:
    return {"_id" if name == "profiles" else "profile": profile}


def _raw(rows: Any) -> bytes:
    return b"".join(bson.encode(_bare(row)) for row in rows)


def _bare(row: dict[str, Any]) -> dict[str, Any]:
    """Without the server's own id, which a copy gets anew; a profile's is its name."""
    if not isinstance(row["_id"], str):
        del row["_id"]
    for field in ("owner", "token"):
        row.pop(field, None)
    return row


def copied(model: Model, number: int) -> Mapping[str, list[RawBSONDocument]]:
    """The same journal as another person's, by collection."""
    named = _renamed(model, number)
    swap = partial(_swap, named)
    for old, text in model.sent.items():
        named[old.encode()] = blake2b(_NAME.sub(swap, text), digest_size=16).hexdigest().encode()
    return {name: list(_documents(_NAME.sub(swap, raw))) for name, raw in model.raw.items() if raw}


def _swap(named: Mapping[bytes, bytes], found: re.Match[bytes]) -> bytes:
    return named.get(found[0], found[0])


def _renamed(model: Model, number: int) -> dict[bytes, bytes]:
    profile, username = profile_of(number), username_of(number)
    each = (profile_of, username_of, site_of, user_of)
    named = {name(model.number): name(number) for name in each}
    for old, kind, key in model.names:
        new = record_id(profile, f"carelink:eu:{username}", kind, key)
        named[old] = new
        named[second_id(old, "zero")] = second_id(new, "zero")
        named[bolus_datum_id(old)] = bolus_datum_id(new)
    return {old.encode(): new.encode() for old, new in named.items()}


def _documents(raw: bytes) -> Iterator[RawBSONDocument]:
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        yield RawBSONDocument(raw[at : at + size])
        at += size


def models_of(uri: str, database: str, groups: int, now: datetime) -> list[Model]:
    """One of each group. Raises SystemExit when what was sent is not known here: it would be sent once more."""
    with pymongo.MongoClient[Any](uri) as client:
        models = [model_of(client[database], number, now) for number in range(1, groups + 1)]
    if min(map(_known, models)) < _ENOUGH:
        raise SystemExit("the documents of the models are not those that were sent")
    return models


@contextmanager
def without_keys(uri: str, database: str) -> Iterator[None]:
    """Filled without indexes, which are built over everything at the end: that is several times as quick."""
    with pymongo.MongoClient[Any](uri, w="majority") as client:
        for name in INDEXES:
            client[database][name].drop_indexes()
        yield
        for name, keys in INDEXES.items():
            client[database][name].create_indexes(keys)


def fill(uri: str, database: str, models: Sequence[Model], part: Sequence[int]) -> None:
    """Write the journals of these people, each after the model of its group; one process's part."""
    with pymongo.MongoClient[Any](uri, w=1, journal=False) as client:
        db, waiting = client[database], dict[str, list[RawBSONDocument]]()
        for number in part:
            for name, rows in copied(models[(number - 1) % len(models)], number).items():
                waiting.setdefault(name, []).extend(rows)
                if len(waiting[name]) >= _BATCH:
                    db[name].insert_many(waiting.pop(name), ordered=False)
        for name, rows in waiting.items():
            db[name].insert_many(rows, ordered=False)


def _known(model: Model) -> float:
    """Share of the recent documents whose content is known here."""
    rows = [bson.decode(each.raw) for each in _documents(model.raw["documents"])]
    return sum(row["content_hash"] in model.sent for row in rows) / max(len(rows), 1)
