"""What one pass read of a pump, and the JSON body that keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bridge.model.time import iso_ms


@dataclass(slots=True)
class Reading:
    """Whole, checked answers only. Pages by their running number; `counter` is that of history page 0."""

    serial: str
    model: str
    host_utc: datetime
    clock: bytes
    counter: int = 0
    answers: dict[int, bytes] = field(default_factory=dict)
    history: dict[int, bytes] = field(default_factory=dict)
    glucose: dict[int, bytes] = field(default_factory=dict)
    isig: dict[int, bytes] = field(default_factory=dict)

    def body(self) -> bytes:
        """A UTF-8 JSON object with all bytes in hex; history pages by their number at the pump (0 newest)."""
        history = {self.counter - number: page for number, page in self.history.items()}
        answers = {f"{opcode:02x}": answer.hex() for opcode, answer in sorted(self.answers.items())}
        told = {
            "model": self.model,
            "serial": self.serial,
            "host_utc": iso_ms(self.host_utc),
            "clock": self.clock.hex(),
            "answers": answers,
            "history": _hex(history),
            "glucose": _hex(self.glucose),
            "isig": _hex(self.isig),
        }
        return json.dumps(told, separators=(",", ":")).encode()


def _hex(pages: Mapping[int, bytes]) -> dict[str, str]:
    return {str(number): pages[number].hex() for number in sorted(pages)}
