"""Collections in plain dictionaries, with an index for every key the site looks up."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime

from bridge.simulators.nightscout.values import Doc, is_number

Key = tuple[object, ...]

DATE_FIELD = {"entries": "date", "profile": "startDate"}
"""What a collection is ordered by; `created_at` where it is not named."""
_LOOKED_UP: dict[str, tuple[tuple[str, ...], ...]] = {
    "entries": (("sysTime", "type"), ("identifier",), ("date", "type")),
    "treatments": (("identifier",), ("created_at", "eventType")),
    "devicestatus": (("identifier",), ("created_at", "device")),
    "profile": (("identifier",), ("created_at",)),
    "food": (("identifier",), ("created_at",)),
    "settings": (("identifier",),),
    "activity": (),
}
COLLECTIONS = tuple(_LOOKED_UP)


def _place(document: Doc, fields: tuple[str, ...]) -> Key:
    """Where a document stands in the index of these fields."""
    place = tuple([document.get(name) for name in fields])
    try:
        hash(place)
    except TypeError:
        return tuple(json.dumps(value, sort_keys=True) for value in place)
    return place


class DuplicateId(Exception):
    """A document with this `_id` is there already."""


class Collection:
    """Documents by `_id`, in order of insertion. Iterating gives the documents."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.date_field = DATE_FIELD.get(name, "created_at")
        self._documents: dict[str, Doc] = {}
        self._indexes: dict[tuple[str, ...], dict[Key, dict[str, None]]] = {fields: {} for fields in _LOOKED_UP[name]}
        self._newest_first: list[Doc] | None = None
        self.deadly: set[str] = set()
        """`_id`s of documents that end the server at its next load."""

    def __len__(self) -> int:
        return len(self._documents)

    def __iter__(self) -> Iterator[Doc]:
        return iter(list(self._documents.values()))

    def get(self, key: str) -> Doc | None:
        """The document stored under that `_id`."""
        return self._documents.get(key)

    def insert(self, document: Doc, *, text_id: bool = False) -> None:
        """Store a new document, which carries its `_id`. `text_id`: that is text, no ObjectId, and never found."""
        key = f"text:{document['_id']}" if text_id else document["_id"]
        if key in self._documents:
            raise DuplicateId(document["_id"])
        self._documents[key] = document
        self._index(key, document)

    def replace(self, key: str, document: Doc) -> None:
        """Put another document under the same `_id`."""
        self._unindex(key)
        self._documents[key] = document
        self._index(key, document)

    def remove(self, document: Doc) -> None:
        """Take it away, by identity of the stored object."""
        for key in (document["_id"], f"text:{document['_id']}"):
            if self._documents.get(key) is document:
                self._unindex(key)
                del self._documents[key]
                return

    def clear(self) -> None:
        """Take all away."""
        for document in self:
            self.remove(document)

    def lookup(self, fields: tuple[str, ...], *values: object) -> list[Doc]:
        """All with exactly these values, oldest insertion first."""
        keys = self._indexes[fields].get(_place(dict(zip(fields, values, strict=True)), fields), {})
        return [self._documents[key] for key in keys]

    def newest_first(self) -> list[Doc]:
        """Ordered by the collection's date field, later insertions first among equals."""
        if self._newest_first is None:
            field = self.date_field
            self._newest_first = sorted(self._documents.values(), key=lambda doc: _rank(doc.get(field)))[::-1]
        return self._newest_first

    def _index(self, key: str, document: Doc) -> None:
        self._newest_first = None
        for fields, index in self._indexes.items():
            index.setdefault(_place(document, fields), {})[key] = None
        if _ends_the_server(document.get("eventType")):
            self.deadly.add(key)

    def _unindex(self, key: str) -> None:
        self._newest_first = None
        self.deadly.discard(key)
        for fields, index in self._indexes.items():
            place = _place(self._documents[key], fields)
            index[place].pop(key)
            if not index[place]:
                del index[place]


def _ends_the_server(event_type: object) -> bool:
    """Anything truthy without an indexOf."""
    return bool(event_type) and not isinstance(event_type, (str, list))


def _rank(value: object) -> tuple[int, float, str]:
    """Order of mixed values as the database has it: nothing, numbers, text."""
    if is_number(value):
        return 1, float(value), ""
    return (2, 0.0, value) if isinstance(value, str) else (0, 0.0, "")


class ObjectIds:
    """Makes `_id`s: seconds, machine, counter."""

    def __init__(self) -> None:
        self._machine = f"{random.getrandbits(40):010x}"
        self._counter = random.getrandbits(23)

    def next(self, now: datetime) -> str:
        """24 hex digits, rising."""
        self._counter += 1
        return f"{int(now.timestamp()):08x}{self._machine}{self._counter & 0xFFFFFF:06x}"
