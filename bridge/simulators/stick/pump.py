"""A virtual pump behind the stick: what it remembers, and what it answers to a command by radio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import TypeAlias

RECORD = 64
_POWER, _HISTORY, _GLUCOSE, _ISIG = 0x5D, 0x80, 0x9A, 0x9B


class Nak(IntEnum):
    """Why a pump says no."""

    UNKNOWN_COMMAND = 0x08
    BOLUS_RUNS = 0x0C
    NO_PAGE = 0x0D


@dataclass(frozen=True, slots=True)
class Refusal:
    """The pump's no, with its code."""

    code: int


Answer: TypeAlias = bytes | Refusal | None
"""What comes back by radio: the payload, a no, or nothing."""


@dataclass(slots=True)
class PumpMemory:
    """Pages and payloads as they stand now.

    `answers`: payloads by opcode, before the pump's own of model, serial, clock and counters. `history`: pages,
    newest first; `counter` counts those ever begun (None: all are there). `glucose`, `isig`: by running number.
    """

    answers: dict[int, bytes] = field(default_factory=dict)
    history: list[bytes] = field(default_factory=list)
    counter: int | None = None
    glucose: dict[int, bytes] = field(default_factory=dict)
    isig: dict[int, bytes] = field(default_factory=dict)


class VirtualPump:
    """`wall` is the pump's clock. Knobs: `asleep` until it is sent the power command, `out_of_range`, `naks`.

    `naks`: a code by opcode, answered as long as it stands there. `asked` lists the
    commands that reached the pump.
    """

    def __init__(self, serial: str, model: str, memory: PumpMemory, wall: Callable[[], datetime]) -> None:
        self.serial, self.model, self.memory, self.wall = serial, model, memory, wall
        self.asleep = False
        self.out_of_range = False
        self.naks: dict[int, int] = {}
        self.asked: list[int] = []

    @property
    def family(self) -> int:
        """Model number modulo 100."""
        return int(self.model) % 100

    def ask(self, opcode: int, params: bytes) -> Answer:
        """The pump's answer to one command."""
        if self.out_of_range or (self.asleep and opcode != _POWER):
            return None
        self.asked.append(opcode)
        if opcode in self.naks:
            return Refusal(self.naks[opcode])
        if opcode == _POWER:
            self.asleep = False
            return b"\0"
        page = self._page(opcode, params)
        return page if page is not None else self._told(opcode)

    def _page(self, opcode: int, params: bytes) -> Answer:
        memory, number = self.memory, int.from_bytes(params, "big")
        if opcode == _HISTORY:
            return memory.history[number] if number < len(memory.history) else Refusal(Nak.NO_PAGE)
        if opcode in (_GLUCOSE, _ISIG):
            return (memory.glucose if opcode == _GLUCOSE else memory.isig).get(number, Refusal(Nak.NO_PAGE))
        return None

    def _told(self, opcode: int) -> Answer:
        own = {0x8D: self._model, 0x71: self.serial.encode, 0x70: self._clock, 0x9D: self._counter, 0xCD: self._pages}
        payload = self.memory.answers.get(opcode)
        if payload is None and opcode in own:
            payload = own[opcode]()
        if payload is None:
            return Refusal(Nak.UNKNOWN_COMMAND)
        return payload.ljust(-(-len(payload) // RECORD) * RECORD, b"\0")

    def _model(self) -> bytes:
        return bytes([len(self.model)]) + self.model.encode()

    def _clock(self) -> bytes:
        now = self.wall()
        return bytes([now.hour, now.minute, now.second]) + now.year.to_bytes(2, "big") + bytes([now.month, now.day])

    def _counter(self) -> bytes | None:
        if self.family < 15:
            return None
        counter = self.memory.counter
        return (len(self.memory.history) - 1 if counter is None else counter).to_bytes(4, "big")

    def _pages(self) -> bytes | None:
        if self.family < 22 or not self.memory.glucose:
            return None
        newest = max(self.memory.glucose)
        return newest.to_bytes(4, "big") + bytes([0, len(self.memory.glucose), 0, len(self.memory.isig)])
