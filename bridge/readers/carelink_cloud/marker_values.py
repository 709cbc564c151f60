"""What one marker says: its values wherever they stand, and the record fields they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bridge.model.records import Record
from bridge.readers.carelink_cloud.rows import refused
from bridge.readers.carelink_cloud.values import mapping, number


class Values:
    """A marker's values: on the marker itself (flat answers), else in `data.dataValues`."""

    __slots__ = ("_inner", "_own")

    def __init__(self, marker: Mapping[str, Any]) -> None:
        self._own = marker
        self._inner = mapping(mapping(marker.get("data")).get("dataValues"))

    def __getitem__(self, name: str) -> Any:
        """The value, None when absent."""
        value = self._own.get(name)
        return self._inner.get(name) if value is None else value

    def quantity(self, kind: str, name: str) -> float | None:
        """A number of 0 or more; None when absent or -1. Raises InvalidRecord for what is no number."""
        value = self[name]
        if value is None:
            return None
        found = number(value)
        if found is None:
            raise refused(kind, name, value, "it is not a number")
        return found if found >= 0 else None

    def needed(self, kind: str, name: str) -> float:
        """As `quantity`, but it must be there. Raises InvalidRecord when it is not."""
        found = self.quantity(kind, name)
        if found is None:
            raise refused(kind, name, self[name], "it is missing")
        return found


class Read(NamedTuple):
    """Record type and fields of a marker; `content` is what never changes, `detail` goes into its source key.

    `model` is None for what makes no record by itself; `checked` are fields that need no second look.
    """

    model: type[Record] | None
    body: Mapping[str, Any]
    content: str
    detail: str = ""
    checked: Mapping[str, Any] | None = None
    provisional: bool = False
