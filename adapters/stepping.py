"""Documents as `map` prints them: equal slots moved apart without a ledger, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bridge.contracts import Desired, Document


def _in_turn(document: Document) -> tuple[int, str, str]:
    return document.instant_ms, document.record_id, document.key


def stepped(documents: Iterable[Document]) -> list[Document]:
    """Documents moved on by 1 ms wherever an earlier one (instant, record id, key) holds their slot.

    Sorted by (collection, time, record id, key). A Tidepool key begins with its record id and there is but one
    collection, so this is its (time, key) as well.
    """
    taken: set[str] = set()
    moved = [_free(document, taken) for document in sorted(documents, key=_in_turn)]
    return sorted(moved, key=lambda document: (document.rank, *_in_turn(document)))


def _free(document: Document, taken: set[str]) -> Document:
    step = 0
    while (slot := document.slot(step)) in taken:
        step += 1
    if slot is not None:
        taken.add(slot)
    return document.moved(step)


def map_lines(desired: Desired) -> Iterator[dict[str, Any]]:
    """One line a document: `{record_id, op, path, document}`."""
    for one in stepped(desired.documents.values()):
        yield {"record_id": one.record_id, "op": one.op, "path": one.path, "document": one.body}


def fate_lines(desired: Desired) -> Iterator[str]:
    """One plain line for each record that has no document of its own."""
    for record_id, fate in sorted(desired.fates.items()):
        if fate.carried_by is not None:
            yield f"{record_id}: carried by {fate.carried_by}"
        elif fate.skipped is not None:
            yield f"{record_id}: skipped, {fate.skipped}"
