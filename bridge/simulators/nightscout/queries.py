"""API v1 queries: `find[...]`, `count`, `sort`, and the four days that apply when no date is bounded."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from bridge.model import iso_ms, to_ms
from bridge.simulators.nightscout.store import Collection
from bridge.simulators.nightscout.values import Doc, is_number, iso, leading_int, moment

DEFAULT_SPAN = timedelta(days=4)
_FIND = re.compile(r"find\[([^\]]+)\](?:\[\$(\w+)\])?(\[\])?")
_SORT = re.compile(r"sort\[([^\]]+)\]")
_BETWEEN_SLASHES = re.compile(r"/(.*)/(.*)")
_INTEGERS = {
    "entries": frozenset(("date", "sgv", "mbg", "filtered", "unfiltered", "rssi", "noise")),
    "treatments": frozenset(("insulin", "carbs", "glucose")),
}
_PATTERNED = frozenset(("notes", "eventType", "enteredBy"))
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "gte": operator.ge, "gt": operator.gt, "lte": operator.le, "lt": operator.lt,
}  # fmt: skip

Test = Callable[[Doc], bool]


class BadQuery(Exception):
    """The query cannot be read. The site answers `200 null`, or 500 for entries."""


class Unparsed(BadQuery):
    """Not even the server's own parser takes it: 500."""


@dataclass(frozen=True)
class Query:
    """A query that can be run."""

    tests: tuple[Test, ...]
    found: bool
    bounded: bool
    count: int | None
    sort: tuple[str, bool] | None
    """Field and whether ascending."""

    def run(self, collection: Collection, default_count: int) -> list[Doc]:
        """Matching documents, newest first unless sorted otherwise."""
        documents: Iterable[Doc] = collection.newest_first()
        if self.sort:
            field, ascending = self.sort
            documents = sorted(
                (one for one in collection if field in one), key=lambda one: one[field], reverse=not ascending
            )
        return list(islice(filter(self.matches, documents), self.count or default_count))

    def matches(self, document: Doc) -> bool:
        """Whether all conditions hold."""
        return all(test(document) for test in self.tests)


def parsed(name: str, items: Iterable[tuple[str, str]], now: datetime) -> Query:
    """The query of a URL's parameters on one collection. Raises BadQuery."""
    conditions: dict[tuple[str, str], list[str]] = {}
    count, sort = None, None
    for parameter, value in items:
        if found := _FIND.fullmatch(parameter):
            conditions.setdefault((found[1], found[2] or "eq"), []).append(value)
        elif parameter == "count":
            count = int(value) if value.isdigit() else None
        elif ordered := _SORT.fullmatch(parameter):
            sort = ordered[1], value == "1"
    tests = [_test(name, field, op, values) for (field, op), values in conditions.items()]
    dates = {"entries": {"date", "dateString"}}.get(name, {"created_at"}) | {"_id"}
    bounded = any(field in dates for field, _ in conditions)
    if not bounded and name != "profile":
        tests.append(_recent(name, now))
    return Query(tuple(tests), bool(conditions), bounded, count, sort)


def _recent(name: str, now: datetime) -> Test:
    start = now - DEFAULT_SPAN
    if name == "entries":
        return _comparison("date", operator.ge, to_ms(start))
    return _comparison("created_at", operator.ge, iso_ms(start))


def _test(name: str, field: str, op: str, values: list[str]) -> Test:
    if op in ("in", "nin"):
        if field == "date":
            raise Unparsed
        wanted = [_converted(name, field, value) for value in values]
        return lambda doc: (_value(doc, field) in wanted) == (op == "in")
    if op == "exists":
        return lambda doc: (_value(doc, field) is not None) == (values[-1] != "false")
    if op not in ("eq", "ne", *_COMPARED):
        raise BadQuery
    if op == "eq" and name == "treatments" and field in _PATTERNED and values[-1].count("/") > 1:
        return _pattern(field, values[-1])
    wanted_one = _converted(name, field, values[-1])
    if op in _COMPARED:
        return _comparison(field, _COMPARED[op], wanted_one)
    return lambda doc: (_value(doc, field) == wanted_one) == (op == "eq")


def _pattern(field: str, value: str) -> Test:
    found = _BETWEEN_SLASHES.search(value)
    if not found or not set(found[2]) <= set("gimsuy"):
        raise BadQuery
    try:
        pattern = re.compile(found[1], re.IGNORECASE if "i" in found[2] else 0)
    except re.error:
        raise BadQuery from None
    return lambda doc: isinstance(doc.get(field), str) and pattern.search(doc[field]) is not None


def _comparison(field: str, compare: Callable[[Any, Any], bool], wanted: Any) -> Test:
    if is_number(wanted):
        return lambda doc: is_number(_value(doc, field)) and compare(_value(doc, field), wanted)
    return lambda doc: isinstance(_value(doc, field), str) and compare(_value(doc, field), wanted)


def _value(document: Mapping[str, Any], field: str) -> Any:
    if field in document or "." not in field:
        return document.get(field)
    node: Any = document
    for part in field.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _converted(name: str, field: str, value: str) -> Any:
    if field in _INTEGERS.get(name, ()):
        read = leading_int(value)
        if math.isnan(read):
            raise BadQuery
        return read
    if field == "created_at":
        at = moment(value.replace(" ", "+")) or moment(value)
        if at is None:
            raise BadQuery
        return iso(at[0])
    return value
