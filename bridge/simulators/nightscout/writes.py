"""API v1 writes: what the site makes of each document, and which stored one it takes for the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bridge.model import to_ms
from bridge.simulators.nightscout.answers import Ended, ServerDied, bulk_error, mongo_error
from bridge.simulators.nightscout.store import Collection, DuplicateId
from bridge.simulators.nightscout.values import OBJECT_ID, Doc, iso, moment, normal_iso, number

if TYPE_CHECKING:
    from bridge.simulators.nightscout.sim import NightscoutSim

_NUMBERS = (
    "glucose", "targetTop", "targetBottom", "carbs", "insulin", "duration", "percent", "absolute", "relative",
    "preBolus",
)  # fmt: skip
_DROPPED_WHEN_EMPTY = ("targetTop", "targetBottom", "carbs", "insulin", "percent", "relative", "notes", "preBolus")
_DROPPED_WHEN_NAN = ("absolute", "duration")
_LONGEST_PREDICTION = 288


def store_v1(sim: NightscoutSim, name: str, body: Any) -> list[Doc]:
    """POST to a v1 collection: the answer's documents, in order. Raises Ended or ServerDied."""
    documents = body if isinstance(body, list) else [body]
    _survive(name, documents)
    if name == "entries" and not isinstance(body, list):
        documents = [one for one in documents if "date" in one]
    collection, stored = sim.collections[name], []
    for index, document in enumerate(documents):
        try:
            _validate(sim, name, document)
            stored.append(_STORES[name](sim, collection, document))
        except _Refused as refused:
            raise _error(name, index, refused) from None
    return stored


def replace_v1(sim: NightscoutSim, name: str, document: Doc) -> Doc:
    """PUT: upsert of one document by `_id`."""
    if name == "treatments":
        return _treatment(sim, sim.collections[name], document)
    document = {"created_at": sim.now_iso(), **document}
    key = document.setdefault("_id", sim.next_id())
    if not OBJECT_ID.fullmatch(str(key)):
        raise Ended(400, {"status": 400, "message": "Invalid _id format"})
    if sim.collections[name].get(key) is None:
        sim.collections[name].insert(document)
    else:
        sim.collections[name].replace(key, document)
    return dict(document)


class _Refused(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def _error(name: str, index: int, refused: _Refused) -> Ended:
    if name in ("entries", "treatments"):
        return bulk_error(index, refused.code, refused.text)
    return mongo_error(refused.text)


def _survive(name: str, documents: list[Any]) -> None:
    """Some arrays end the server process."""
    for document in documents:
        if document is None or (name == "entries" and isinstance(document, str)):
            raise ServerDied
        if not isinstance(document, dict):
            raise mongo_error({})


def _validate(sim: NightscoutSim, name: str, document: Mapping[str, Any]) -> None:
    reason = sim.validator(name, document) if sim.validator else None
    if reason:
        raise _Refused(121, reason)


def _entry(sim: NightscoutSim, collection: Collection, document: Doc) -> Doc:
    document = {**document, **_entry_times(document, sim.now())}
    _move_foreign_id(document)
    same = (
        collection.lookup(("sysTime", "type"), document["sysTime"], document["type"])
        if "type" in document
        else [one for one in collection if document.items() <= one.items()]
    )
    if not same:
        new = _nested({"_id": sim.next_id(), **document})
        _insert(collection, new)
        return {**document, "_id": new["_id"]}
    if document.get("_id", same[0]["_id"]) != same[0]["_id"]:
        raise _Refused(66, "the (immutable) field '_id' was found to have been altered")
    collection.replace(same[0]["_id"], {**same[0], **_nested(document)})
    return document


def _entry_times(document: Doc, now: datetime) -> Doc:
    text = document.get("dateString")
    if text:
        at, offset = normal_iso(text) or (None, None)
        return {"dateString": at, "sysTime": at, "utcOffset": offset}
    read = moment(document["date"]) if "date" in document else (to_ms(now), 0)
    return {"sysTime": iso(read[0]) if read else None, "utcOffset": 0}


def _nested(document: Doc) -> Doc:
    """`$set` makes objects of dotted keys."""
    if "." not in "".join(document):
        return document
    plain = {name: value for name, value in document.items() if "." not in name}
    for name, value in document.items():
        if "." in name:
            *path, last = name.split(".")
            node = plain
            for part in path:
                node = node.setdefault(part, {})
            node[last] = value
    return plain


def _move_foreign_id(document: Doc) -> None:
    """An `_id` that is no ObjectId becomes the identifier."""
    key = document.get("_id")
    if isinstance(key, str) and not OBJECT_ID.fullmatch(key):
        del document["_id"]
        document.setdefault("identifier", key)
    elif key is None:
        document.pop("_id", None)


def _treatment(sim: NightscoutSim, collection: Collection, document: Doc) -> Doc:
    document = _prepared_treatment(sim, document)
    _move_foreign_id(document)
    same = _same_treatment(sim, collection, document)
    if same is None:
        document.setdefault("_id", sim.next_id())
        _insert(collection, document)
        return dict(document)
    named = "identifier" in document or "_id" in document
    collection.replace(same["_id"], {**document, "_id": same["_id"]})
    return {**document, "_id": same["_id"]} if named else document


def _prepared_treatment(sim: NightscoutSim, document: Doc) -> Doc:
    document = dict(document)
    when = document.pop("eventTime", None) or document.get("created_at")
    read = moment(when) or (to_ms(sim.now()), 0)
    document |= {"created_at": iso(read[0]), "utcOffset": read[1]}
    for name in _NUMBERS:
        if name in document:
            document[name] = number(document[name])
    for name in _DROPPED_WHEN_EMPTY:
        if name in document and (not document[name] or _is_nan(document[name])):
            del document[name]
    for name in _DROPPED_WHEN_NAN:
        if _is_nan(document.get(name)):
            del document[name]
    if not document.get("glucose") or _is_nan(document["glucose"]):
        for name in ("glucose", "glucoseType", "units"):
            document.pop(name, None)
    if document.get("eventType") == "Announcement":
        document["isAnnouncement"] = True
    return document


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _same_treatment(sim: NightscoutSim, collection: Collection, document: Doc) -> Doc | None:
    if sim.settings.identifier_is_key and document.get("identifier") is not None:
        document.pop("_id", None)
        found = collection.lookup(("identifier",), document["identifier"])
        return found[0] if found else collection.get(str(document["identifier"]))
    if "_id" in document:
        return collection.get(document["_id"])
    found = collection.lookup(("created_at", "eventType"), document["created_at"], document.get("eventType"))
    return found[0] if found else None


def _devicestatus(sim: NightscoutSim, collection: Collection, document: Doc) -> Doc:
    read = moment(document.get("created_at")) or (to_ms(sim.now()), 0)
    document = {**document, "created_at": iso(read[0]), "utcOffset": read[1]}
    key = document.pop("_id", None)
    if key is not None and not OBJECT_ID.fullmatch(str(key)):
        raise Ended(400, {"status": 400, "message": "Invalid _id format"})
    _cut_predictions(document.get("openaps"))
    document["_id"] = key or sim.next_id()
    _insert(collection, document, text_id=key is not None)
    return document


def _cut_predictions(openaps: Any) -> None:
    if not isinstance(openaps, dict):
        return
    for part in openaps.values():
        predictions: Any = part.get("predBGs") if isinstance(part, dict) else None
        for name, values in predictions.items() if isinstance(predictions, dict) else ():
            if isinstance(values, list):
                predictions[name] = values[:_LONGEST_PREDICTION]


def _stamped(sim: NightscoutSim, collection: Collection, document: Doc) -> Doc:
    document = {**document, "created_at": document.get("created_at") or sim.now_iso()}
    key = document.pop("_id", None)
    document["_id"] = key or sim.next_id()
    _insert(collection, document, text_id=key is not None)
    return document


def _insert(collection: Collection, document: Doc, *, text_id: bool = False) -> None:
    try:
        collection.insert(document, text_id=text_id)
    except DuplicateId as duplicate:
        raise _Refused(11000, f"E11000 duplicate key error collection, _id {duplicate}") from None


_STORES: dict[str, Callable[[NightscoutSim, Collection, Doc], Doc]] = {
    "entries": _entry,
    "treatments": _treatment,
    "devicestatus": _devicestatus,
    "profile": _stamped,
    "food": _stamped,
    "activity": _stamped,
}
