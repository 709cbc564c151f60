"""What is kept of a pump between visits: small JSON in the reader's state, by the pump's serial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bridge.model.time import iso_ms, parse_instant
from bridge.readers.medtronic_600.glance import Glance
from bridge.readers.medtronic_600.history_plan import Span, merged

KINDS = ("02", "03")
"""Data types of the history: pump, sensor."""
_DAMAGED_TRIES = 4
_MOMENTS = ("seen_at", "history_at", "newest_at", "settings_at")


@dataclass(slots=True)
class Recall:
    """`channel`: where the pump answered last; `covered`: what of each history was read whole (RTC)."""

    channel: int | None = None
    model: str = ""
    covered: dict[str, list[Span]] = field(default_factory=dict)
    glance: Glance | None = None
    seen_at: datetime | None = None
    history_at: datetime | None = None
    newest_at: datetime | None = None
    settings_at: datetime | None = None
    never: list[int] = field(default_factory=list)
    """Commands that this pump refuses for good."""
    owed: set[str] = field(default_factory=set)
    """Histories that may have something new since they were read."""

    damaged: dict[str, int] = field(default_factory=dict)
    """How often in a row a history came damaged."""

    def once_more(self, kind: str) -> bool:
        """A history came damaged: whether to read it again. What the pump itself keeps damaged never gets better."""
        self.damaged[kind] = self.damaged.get(kind, 0) + 1
        return self.damaged[kind] < _DAMAGED_TRIES

    def read(self, kind: str, span: Span) -> None:
        """A stretch of one history has been read to its end."""
        self.damaged.pop(kind, None)
        self.covered[kind] = merged([*self.covered.get(kind, ()), span])

    def dump(self) -> dict[str, Any]:
        """As small JSON."""
        moments = {name: getattr(self, name) for name in _MOMENTS}
        return {
            "channel": self.channel,
            "model": self.model,
            "covered": {kind: [list(span) for span in spans] for kind, spans in self.covered.items()},
            "glance": self.glance.dump() if self.glance is not None else None,
            "never": self.never,
            "damaged": self.damaged,
            "owed": sorted(self.owed),
            **{name: iso_ms(moment) for name, moment in moments.items() if moment is not None},
        }

    @classmethod
    def restore(cls, kept: object) -> Recall:
        """The inverse of `dump`; what is not understood is forgotten."""
        if not isinstance(kept, Mapping):
            return cls()
        return cls(
            channel=_whole(kept.get("channel")),
            model=str(kept.get("model") or ""),
            covered=_spans(kept.get("covered")),
            glance=Glance.restore(kept.get("glance")),
            never=[code for code in kept.get("never") or () if isinstance(code, int)],
            damaged={kind: n for kind, n in (kept.get("damaged") or {}).items() if isinstance(n, int)},
            owed=set(KINDS) & set(kept.get("owed") or ()),
            **{name: _moment(kept.get(name)) for name in _MOMENTS},
        )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _moment(value: object) -> datetime | None:
    try:
        return parse_instant(value) if value is not None else None
    except ValueError:
        return None


def _spans(kept: object) -> dict[str, list[Span]]:
    if not isinstance(kept, Mapping):
        return {}
    return {kind: [(int(low), int(high)) for low, high in kept[kind]] for kind in KINDS if kind in kept}
