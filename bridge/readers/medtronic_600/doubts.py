"""What a decode did not understand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from bridge.contracts import Diagnostic
from bridge.errors import Malformed
from bridge.readers.medtronic_600.history import Event

_T = TypeVar("_T")


@dataclass(slots=True)
class Doubts:
    """Lines for a person. `understood` is False when the raw bytes deserve keeping; `damaged`: history was lost."""

    diagnostics: list[Diagnostic] = field(default_factory=list)
    understood: bool = True
    damaged: bool = False

    def say(self, code: str, text: str, *, understood: bool = True) -> None:
        """Add a line."""
        self.understood = self.understood and understood
        self.diagnostics.append(Diagnostic(code, text))

    def answer(self, answers: dict[str, bytes], name: str, read: Callable[[bytes], _T]) -> _T | None:
        """One of the pump's answers; None when it is missing or malformed, which is noted."""
        payload = answers.get(name)
        if payload is None:
            return None
        try:
            return read(payload)
        except Malformed as why:
            self.say("answer/malformed", why.message, understood=False)
            return None

    def look_at(self, events: Iterable[Event]) -> None:
        """Note the types that are not known, and events too short for theirs."""
        unknown = Counter((event.type, event.name) for event in events if not event.known)
        for (kind, name), times in sorted(unknown.items(), key=lambda row: row[0][0]):
            why = "is not known" if name is None else "is shorter than its kind"
            self.say("event/unknown", f"Event type {kind:02X} ({times} times) {why}; kept raw.", understood=False)
