"""Records before they have an instant and an id: what an event, or several together, say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bridge.model.records import Record
from bridge.model.units import MGDL_PER_MMOL
from bridge.readers.medtronic_600.history import Event


@dataclass(slots=True)
class Draft:
    """One record to be. `rtc` and `offset` say when it was, `events` what it was made from (none: the status).

    `links` are fields that name another record.
    """

    model: type[Record]
    key: str
    rtc: int
    offset: int
    body: dict[str, Any]
    events: tuple[Event, ...] = ()
    annotations: list[dict[str, Any]] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    links: dict[str, Draft] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The record's kind."""
        return str(self.model.model_fields["kind"].default)

    @property
    def fresh(self) -> bool:
        """Whether anything of it was read now; what was read before alone has been told then."""
        return not self.events or any(not event.carried for event in self.events)

    def note(self, code: str, **more: Any) -> None:
        """Annotate."""
        self.annotations.append({"code": code, **more})


def draft(model: type[Record], event: Event, /, *others: Event | None, nth: int = 1, **body: Any) -> Draft:
    """A record that happened at `event`; `others` say more about it, `nth` counts several of one event."""
    key = event.key if nth == 1 else f"{event.key}:{nth}"
    said = (event, *(other for other in others if other is not None))
    return Draft(model, key, event.rtc, event.offset, body, said)


def mgdl(value: float, unit: int) -> int | None:
    """A glucose number of an event as whole mg/dL; None for 0, which means that there is none."""
    return (round(value * MGDL_PER_MMOL) if unit else round(value)) or None
