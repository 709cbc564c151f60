"""What an event tells, before it has its id and its instant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bridge.model.records import Record
from bridge.readers.minimed_ble.timeline import Dated


@dataclass(slots=True)
class Draft:
    """A record to be: `key` is its source_key, `wall` the pump's clock."""

    model: type[Record]
    key: str
    wall: datetime
    body: dict[str, Any]
    annotations: list[dict[str, Any]] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    def note(self, code: str, **more: Any) -> None:
        """Say a doubt or where it comes from."""
        self.annotations.append({"code": code} | more)


def draft(model: type[Record], of: Dated, parts: Sequence[Dated] = (), **body: Any) -> Draft:
    """A draft under the number of its event; `parts` are further events that told of it."""
    raw = {"events": [each.event.raw.hex() for each in (of, *parts)]}
    return Draft(model, str(of.sequence), of.wall, body, raw=raw)
