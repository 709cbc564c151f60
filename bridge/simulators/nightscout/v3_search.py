"""API v3 searches: `field$op=value`, sort, skip, limit, fields."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

from bridge.simulators.nightscout.answers import v3_error
from bridge.simulators.nightscout.store import Collection
from bridge.simulators.nightscout.v3_documents import instant
from bridge.simulators.nightscout.values import Doc, is_number

LARGEST_LIMIT = 1000
_CONTROL = frozenset(("limit", "skip", "fields", "sort", "sort$desc", "token", "now", "secret"))
_INSTANTS = frozenset(("date", "srvModified", "srvCreated"))
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le,
}  # fmt: skip

Test = Callable[[Doc], bool]


def searched(collection: Collection, parameters: Iterable[tuple[str, str]]) -> list[Doc]:
    """The documents of a search; soft-deleted ones are hidden. Raises Ended(400)."""
    items = list(parameters)
    options = {name: value for name, value in items if name in _CONTROL}
    limit, skip = _whole(options, "limit", LARGEST_LIMIT), _whole(options, "skip", 0)
    if not 1 <= limit <= LARGEST_LIMIT:
        raise v3_error(400, "Parameter limit out of tolerance")
    tests = [_test(name, value) for name, value in items if name not in _CONTROL]
    found = [
        one for one in collection.newest_first() if one.get("isValid") is not False and all(t(one) for t in tests)
    ]
    for name, descending in (("sort", False), ("sort$desc", True)):
        if name in options:
            found.sort(key=lambda one: _order(one.get(options[name])), reverse=descending)
    return [shown(one, options.get("fields")) for one in found[skip : skip + limit]]


def shown(document: Doc, fields: str | None = None) -> Doc:
    """A document as v3 gives it out, without `_id`."""
    whole = {name: value for name, value in document.items() if name != "_id"}
    whole.setdefault("identifier", document["_id"])
    if fields is None or fields == "_all":
        return whole
    return {name: whole[name] for name in fields.split(",") if name in whole}


def _whole(options: dict[str, str], name: str, default: int) -> int:
    text = options.get(name, str(default))
    if not text.isdigit():
        raise v3_error(400, f"Parameter {name} out of tolerance")
    return int(text)


def _test(name: str, value: str) -> Test:
    field, _, op = name.partition("$")
    op = op or "eq"
    if op in ("in", "nin"):
        wanted = [_converted(field, part) for part in value.split("|")]
        return lambda doc: (doc.get(field) in wanted) == (op == "in")
    if op == "re":
        pattern = re.compile(value)
        return lambda doc: isinstance(doc.get(field), str) and pattern.search(doc[field]) is not None
    one = _converted(field, value)
    if op in ("eq", "ne"):
        return lambda doc: (doc.get(field) == one) == (op == "eq")
    if op not in _COMPARED:
        raise v3_error(400, f"Unsupported filter operator {op}")
    compare = _COMPARED[op]
    return lambda doc: is_number(doc.get(field)) == is_number(one) and field in doc and compare(doc[field], one)


def _converted(field: str, value: str) -> Any:
    if field in _INSTANTS:
        read = instant(value)
        return read[0] if read else value
    if re.fullmatch(r"-?\d+(\.\d+)?", value):
        return float(value) if "." in value else int(value)
    return {"true": True, "false": False, "null": None}.get(value, value)


def _order(value: object) -> tuple[int, float, str]:
    if is_number(value):
        return 1, float(value), ""
    return (2, 0.0, value) if isinstance(value, str) else (0, 0.0, "")
