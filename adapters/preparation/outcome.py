"""What one record ends as, and how a whole set is gathered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bridge.contracts import Desired, Document, Fate
from bridge.model import Record

Result = tuple[Document, ...] | Fate
"""What one record becomes: its documents, or the fate that says why it has none of its own."""

_COUNTED = {count: Fate(documents=count) for count in (1, 2)}
_EMPTY: tuple[object, ...] = (None, "", {}, [], ())


def gathered(records: Iterable[Record], become: Callable[[Record], Result]) -> Desired:
    """Documents by key and the fate of every record, each mapped by `become`."""
    documents: dict[str, Document] = {}
    fates: dict[str, Fate] = {}
    for record in records:
        result = become(record)
        if isinstance(result, Fate):
            fates[record.id] = result
            continue
        fates[record.id] = _COUNTED[len(result)]
        for document in result:
            documents[document.key] = document
    return Desired(documents, fates)


def skipped(reason: str) -> Fate:
    """No document, for that reason."""
    return Fate(skipped=reason)


def carried(record: Record) -> Fate:
    """Its content is in another record's document."""
    return Fate(carried_by=record.id)


def lean(**fields: Any) -> dict[str, Any]:
    """Only what is known: None, empty text and empty containers are left out."""
    return {name: value for name, value in fields.items() if value not in _EMPTY}
