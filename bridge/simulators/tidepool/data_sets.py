"""Data sets and what they hold: creation rules, deduplicators, closing and deleting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bridge.model.time import iso_ms
from bridge.simulators.tidepool.batches import identity_fields, identity_hash
from bridge.simulators.tidepool.datums import DATUM_ID, DAY_MS
from bridge.simulators.tidepool.rules import (
    Fault,
    Faults,
    array,
    instant,
    matching,
    metadata,
    one_of,
    shape,
    text,
    trimmed,
    wall,
    whole,
    zone,
)

CLIENT = shape({"name": text(), "version": text(), "private": metadata})


def _long_enough(value: Any, faults: Faults) -> Any:
    if type(value) is str and len(value) < 5:
        faults.append(Fault("length-out-of-range", f"length {len(value)} is not greater than or equal to 5"))
    return value if type(value) is str else text()(value, faults)


DATA_SET = shape(
    {
        "client": CLIENT, "dataSetType": one_of("continuous", "normal"),
        "deduplicator": shape({"name": matching(r"[a-z0-9-]+(\.[a-z0-9-]+)+", "as reverse domain")}),
        "deviceId": text(), "deviceManufacturers": array(text(), unique=True), "deviceModel": text(),
        "deviceSerialNumber": text(), "time": instant, "computerTime": wall, "deviceTime": wall, "timezone": zone,
        "deviceTags": array(one_of("activity-monitor", "bgm", "cgm", "insulin-pump"), unique=True),
        "timezoneOffset": whole(-10080, 10080), "conversionOffset": whole(), "payload": metadata,
        "clockDriftOffset": whole(-DAY_MS, DAY_MS), "annotations": array(metadata, 100), "version": _long_enough,
        "timeProcessing": one_of("across-the-board-timezone", "none", "utc-bootstrapping"),
        "type": text(), "id": DATUM_ID, "uploadId": text(), "byUser": text(), "createdUserId": text(),
        "createdTime": instant, "modifiedTime": instant, "modifiedUserId": text(), "deletedTime": instant,
        "deletedUserId": text(),
    },
    strict=True,
)  # fmt: skip
PREFIX = "org.tidepool.deduplicator."
DELETE_ORIGIN = PREFIX + "dataset.delete.origin"
OLDER = PREFIX + "dataset.delete.origin.older"
DROP_HASH = PREFIX + "dataset.drop.hash"
DEACTIVATE_HASH = PREFIX + "device.deactivate.hash"
TRUNCATE = PREFIX + "device.truncate.dataset"
NONE = PREFIX + "none"
VERSIONS = {
    DELETE_ORIGIN: "1.0.0", OLDER: "1.0.0", DROP_HASH: "1.0.0", DEACTIVATE_HASH: "1.1.0", TRUNCATE: "1.1.0",
    NONE: "1.0.0",
}  # fmt: skip
ALIASES = {
    "org.tidepool.continuous.origin": DELETE_ORIGIN, "org.tidepool.hash-deactivate-old": DEACTIVATE_HASH,
    "org.tidepool.truncate": TRUNCATE, "org.tidepool.continuous": NONE,
}  # fmt: skip
_MEDTRONIC = (
    "523 523K 551 554 723 723K 751 754 1510 1510K 1511 1512 1580 1581 1582 1710 1710K 1711 1712 1714 1714K 1715 "
    "1780 1781 1782"
)
HASH_MODELS = {
    "Abbott": {"FreeStyle Libre"},
    "LifeScan": {"OneTouch Ultra 2", "OneTouch UltraMini", "Verio", "Verio Flex"},
    "Medtronic": set(_MEDTRONIC.split()),
    "Trividia Health": {"TRUE METRIX", "TRUE METRIX AIR", "TRUE METRIX GO"},
}


class ServerFailure(Exception):
    """The real service answers this client mistake with a 500."""


def read_data_set(body: Any) -> tuple[dict[str, Any], Faults]:
    """The clean create body (type and tags normalised) and what is refused."""
    faults: Faults = []
    clean = DATA_SET(body, faults) or {}
    parse = [found for found in faults if found.parse]
    clean = {"dataSetType": "normal", **clean, "type": "upload"}
    if "deviceTags" in clean and not faults:
        clean["deviceTags"] = sorted(clean["deviceTags"])
    return clean, parse or faults


def deduplicator_of(data_set: Mapping[str, Any]) -> str:
    """Its canonical name. Raises ServerFailure when there is none for this data set."""
    name = data_set.get("deduplicator", {}).get("name")
    if name is not None:
        name = ALIASES.get(name, name)
        if name not in VERSIONS:
            raise ServerFailure(name)
        return str(name)
    if data_set["dataSetType"] != "normal" or "deviceId" not in data_set:
        raise ServerFailure("no deduplicator")
    makers = data_set.get("deviceManufacturers", ())
    if "Animas" in makers:
        return TRUNCATE
    if any(data_set.get("deviceModel") in HASH_MODELS.get(maker, ()) for maker in makers):
        return DEACTIVATE_HASH
    raise ServerFailure("no deduplicator")


@dataclass(eq=False, slots=True)
class Stored:
    """One document. `active` ones are seen by reads; archived ones keep their place."""

    body: dict[str, Any]
    time: datetime
    active: bool = True
    hash: str | None = None

    @property
    def origin_id(self) -> str | None:
        """The key that delete.origin replaces by."""
        found = self.body.get("origin", {}).get("id")
        return found if isinstance(found, str) else None


@dataclass(eq=False)
class DataSet:
    """One data set. `body` is what the API shows."""

    body: dict[str, Any]
    user_id: str
    deduplicator: str
    closed: bool = False
    documents: dict[str, list[Stored]] = field(default_factory=dict)
    """By origin id; those without one stand under the empty text."""

    @property
    def id(self) -> str:
        """Upload id."""
        return str(self.body["uploadId"])

    @property
    def continuous(self) -> bool:
        """Continuous sets are visible at once and never closed by a user."""
        return bool(self.body["dataSetType"] == "continuous")

    @property
    def visible(self) -> bool:
        """Listed and read: continuous at once, normal after closing."""
        return self.continuous or self.closed

    @property
    def deleted(self) -> bool:
        """Deleted by a user. The service still takes data for it."""
        return "deletedTime" in self.body

    def all(self) -> Iterator[Stored]:
        """Every document, active or not."""
        for documents in self.documents.values():
            yield from documents


def _instant(text_: str) -> datetime:
    return datetime.fromisoformat(trimmed(text_)).astimezone(UTC)


class Store:
    """All data sets, with the rules that storing, closing and deleting follow."""

    def __init__(self, now: Callable[[], datetime], new_id: Callable[[], str]) -> None:
        self._now, self._new_id = now, new_id
        self.data_sets: dict[str, DataSet] = {}

    # --- data sets ---

    def create(self, clean: dict[str, Any], user_id: str, by: str) -> DataSet:
        """A new set. Raises ServerFailure for a reused id or an unknown deduplicator."""
        body = dict(clean)
        body["id"] = body.get("id") or self._new_id()
        body.setdefault("uploadId", body["id"])
        if body["uploadId"] in self.data_sets:
            raise ServerFailure("upload id in use")
        name = deduplicator_of(clean)
        now = iso_ms(self._now())
        body |= {
            "byUser": by, "createdUserId": by, "createdTime": now, "modifiedTime": now,
            "deduplicator": {"name": name, "version": VERSIONS[name]},
        }  # fmt: skip
        body.setdefault("time", now)
        data_set = self.data_sets[body["uploadId"]] = DataSet(body, user_id, name)
        return data_set

    def listed(self, user_id: str, *, deleted: bool = False) -> list[DataSet]:
        """Visible sets of a user, newest first."""
        found = [
            each for each in self.data_sets.values()
            if each.user_id == user_id and each.visible and (deleted or not each.deleted)
        ]  # fmt: skip
        order = {each.id: index for index, each in enumerate(self.data_sets.values())}
        return sorted(found, key=lambda each: (each.body["createdTime"], order[each.id]), reverse=True)

    def close(self, data_set: DataSet) -> None:
        """Close a normal set: its data replace equal older data of the same device."""
        data_set.closed = True
        mine = {document.hash for document in data_set.all()}
        for document in self._others(data_set) if data_set.deduplicator in (DEACTIVATE_HASH, TRUNCATE) else ():
            if data_set.deduplicator == TRUNCATE or document.hash in mine:
                document.active = False
        for document in data_set.all():
            document.active = True

    def _others(self, data_set: DataSet) -> Iterator[Stored]:
        device = data_set.body.get("deviceId")
        for other in self.data_sets.values():
            if other is not data_set and other.user_id == data_set.user_id and other.visible:
                yield from (each for each in other.all() if each.active and each.body.get("deviceId") == device)

    def delete(self, data_set: DataSet, by: str) -> None:
        """Delete a set with its data; again is fine."""
        data_set.documents.clear()
        data_set.body |= {"deletedTime": iso_ms(self._now()), "deletedUserId": by}

    # --- data ---

    def add(self, data_set: DataSet, bodies: Sequence[dict[str, Any]]) -> None:
        """Store normalised datums by the set's deduplicator. Raises ServerFailure when a hash needs a device id."""
        new = [self._stored(data_set, body) for body in bodies]
        match data_set.deduplicator:
            case name if name in (DELETE_ORIGIN, OLDER):
                new = _newer(data_set, new) if name == OLDER else new
                for key in {document.origin_id for document in new} - {None}:
                    data_set.documents.pop(str(key), None)
            case name if name == DROP_HASH:
                known = {document.hash for document in data_set.all()}
                last = {document.hash: document for document in new}
                new = [document for each, document in last.items() if each not in known]
        for document in new:
            data_set.documents.setdefault(document.origin_id or "", []).append(document)

    def _stored(self, data_set: DataSet, body: dict[str, Any]) -> Stored:
        body["uploadId"] = data_set.id
        digest = None
        if data_set.deduplicator in (DROP_HASH, DEACTIVATE_HASH):
            device = data_set.deduplicator == DEACTIVATE_HASH
            try:
                fields = identity_fields(body, data_set.user_id, None if device else data_set.id)
            except KeyError as error:
                raise ServerFailure("device id is missing") from error
            digest = identity_hash(fields)
        return Stored(body, _instant(body["time"]), data_set.visible, digest)

    def remove(self, data_set: DataSet, selectors: Any) -> None:
        """Archive (or destroy) by selectors; unknown ones are ignored. Raises ServerFailure for a malformed list."""
        kind, wanted = _selectors(selectors)
        for key, documents in list(data_set.documents.items()):
            kept = [document for document in documents if not _selected(document, kind, wanted)]
            if len(kept) == len(documents):
                continue
            if data_set.deduplicator == NONE:
                data_set.documents[key] = kept
            else:
                for document in documents:
                    document.active = document.active and document in kept

    def visible(self, user_id: str) -> Iterable[tuple[DataSet, Stored]]:
        """Every active document of a user with its set."""
        for data_set in self.data_sets.values():
            if data_set.user_id == user_id and data_set.visible:
                yield from ((data_set, document) for document in data_set.all() if document.active)


def _selectors(selectors: Any) -> tuple[str, set[str]]:
    kinds, wanted = set(), set()
    for selector in selectors if isinstance(selectors, list) else []:
        match selector:
            case {"origin": {"id": str(value)}} if len(selector) == 1:
                kinds.add("origin")
            case {"deduplicator": {"hash": str(value)}} if len(selector) == 1:
                kinds.add("hash")
            case {"id": str(value)} if set(selector) <= {"id", "time"}:
                kinds.add("id")
            case _:
                raise ServerFailure("selector")
        wanted.add(value)
    if len(kinds) != 1:
        raise ServerFailure("selectors")
    return kinds.pop(), wanted


def _selected(document: Stored, kind: str, wanted: set[str]) -> bool:
    found = {"origin": document.origin_id, "hash": document.hash, "id": document.body["id"]}[kind]
    return found in wanted


def _newer(data_set: DataSet, new: Sequence[Stored]) -> list[Stored]:
    return [document for document in new if _is_newer(data_set, document)]


def _is_newer(data_set: DataSet, document: Stored) -> bool:
    standing = data_set.documents.get(document.origin_id or "") if document.origin_id else None
    if document.body["type"] not in ("bolus", "food") or not standing:
        return True
    mine, theirs = document.body["origin"].get("time"), standing[-1].body["origin"].get("time")
    return mine is not None and (theirs is None or _instant(mine) > _instant(theirs))
