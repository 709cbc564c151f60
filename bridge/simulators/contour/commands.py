"""Command mode: a meter's clock asked for and set, word by word."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from bridge.simulators.contour.kinds import Kind
from bridge.wire.astm import ACK, NAK


class Commands:
    """Answers one word after the other. What a host changes is noted in `writes`."""

    def __init__(self, kind: Kind, clock: Callable[[], datetime], writes: list[str]) -> None:
        self._kind, self._clock, self._writes = kind, clock, writes
        self._said: list[str] = []

    def answer(self, message: bytes) -> bytes:
        """What a word is answered with."""
        word = message.decode("latin-1").removesuffix("\r")
        self._said.append(word)
        match self._said:
            case ["R|"] | ["W|"] | ["W|", "D|" | "T|"]:
                return ACK
            case ["R|", "D|"]:
                return self._done(f"D|{self._clock():%y%m%d}|\r\n".encode() + ACK)
            case ["R|", "T|"]:
                return self._done(f"D|{self._clock():%H%M}|\r\n".encode() + ACK)
            case ["W|", "D|" | "T|" as what, value]:
                return self._done(self._set(what, value))
        return self._done(NAK)

    def _set(self, what: str, value: str) -> bytes:
        if self._kind.clock_of_pump:
            return NAK
        self._writes.append(what + value)
        return ACK

    def _done(self, answer: bytes) -> bytes:
        self._said.clear()
        return answer
