"""One pass over a pump: what it says now, then pages, newest first, in pieces that are checked at their end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import timedelta
from itertools import zip_longest
from typing import Any

from bridge.contracts import Clock, Progress
from bridge.model.time import iso_ms
from bridge.readers.medtronic_stick.allowed import COMMANDS
from bridge.readers.medtronic_stick.pump import (
    CLOCK,
    GLUCOSE_PAGES,
    HISTORY_COUNTER,
    STATUS,
    Absent,
    Pump,
    busy,
    clock_of,
    incomplete,
)
from bridge.readers.medtronic_stick.reading import Reading
from bridge.readers.medtronic_stick.shelf import Book, Shelf

_SNAPSHOT = (
    0x74, 0x72, 0x73, 0x75, 0x79, 0x98, 0x87, 0x88, 0x89, 0x8A, 0x8B, 0x8C, 0x9F, 0x91, 0xC0, 0x92, 0x93, 0x94, 0x9C,
    HISTORY_COUNTER, GLUCOSE_PAGES,
)  # fmt: skip
"""What the pump says of now, beside its clock and status."""
_HISTORY_KEPT, _GLUCOSE_KEPT = 36, 32
_UNCOUNTED = 32
"""How many history pages are tried where the pump does not count them (x12)."""
_HISTORY_PIECE, _GLUCOSE_PIECE = 8, 4
_ROUNDS = 2
_JUMP = timedelta(seconds=30)
_FIRST_WITH_ISIG_BIT = 23


class Sync:
    """Reads one pump. `kept` is what `kept()` gave after the last pass; `isig`: whether ISIG pages are read too.

    `reading` is None until all single commands are answered. From then on it is whole at any time, also after a
    call raised: complete, sound pages only. Pages that were not yet checked against the counter are read again.
    """

    def __init__(self, pump: Pump, serial: str, clock: Clock, kept: Mapping[str, Any], isig: bool) -> None:
        self._pump, self.serial, self._clock, self._isig = pump, serial, clock, isig
        self._kept = kept
        self._history, self._glucose = Book(0, [], {}, None), Book(0, [], {}, None)
        self._unsettled: list[int] = []
        self.reading: Reading | None = None
        self.radio = ""
        """What the radio counted, in words, once a page could not be read."""

    async def begin(self) -> None:
        """Single commands. Raises as Pump does, above all Transient (`pump_busy`) while it gives a bolus."""
        await self._pump.connect()
        reading = Reading(self.serial, self._pump.model, self._clock.now(), await self._pump.needed(CLOCK))
        clock_of(reading.clock)
        for opcode in (STATUS, *_SNAPSHOT):
            answer = await self._pump.answer(opcode) if COMMANDS[opcode].known_to(self._pump.family) else None
            if answer is not None:
                reading.answers[opcode] = answer
            if opcode == STATUS and answer is not None and answer[1]:
                raise busy()
        self._plan(reading)
        self.reading = reading

    async def pieces(self, progress: Progress) -> AsyncGenerator[Reading, None]:
        """Read a piece, check it, yield; until all is read or there is no time for more."""
        reading, total = self._begun(), len(self._history.wanted) + len(self._glucose.wanted)
        history, glucose = _cut(self._history.wanted, _HISTORY_PIECE), _cut(self._glucose.wanted, _GLUCOSE_PIECE)
        for pages, with_glucose in zip_longest(history, glucose, fillvalue=()):
            if not self._pump.in_time:
                return
            await self._read_history(reading, pages)
            read = await self._read_glucose(reading, with_glucose)
            await self._settle(reading)
            self._glucose.read |= read
            progress("pages", min(len(self._history.read) + len(self._glucose.read), total), total)
            yield reading

    @property
    def missing(self) -> int:
        """How many pages are still to be read."""
        return len(self._history.close().missing) + len(self._glucose.close().missing)

    @property
    def complete(self) -> bool:
        """Whether all that the pump has was read."""
        return not self.missing

    @property
    def given_up(self) -> list[str]:
        """Pages that are no longer asked for, in words."""
        return [
            f"{kind} page {number}"
            for kind, book in (("history", self._history), ("glucose", self._glucose))
            for number in book.lost
        ]

    def kept(self) -> dict[str, Any]:
        """What the next pass must know, as JSON: only checked pages count as read."""
        reading, history = self._begun(), self._history.close()
        kept: dict[str, Any] = {"read_at": iso_ms(self._clock.now()), "history": history.dump()}
        kept["glucose"] = self._glucose.close().dump() if self._glucose.wanted else self._kept.get("glucose")
        if HISTORY_COUNTER not in reading.answers:
            full = reading.history.get(reading.counter - 1, b"")
            kept |= {"history": None, "mark": self._kept.get("mark") if history.missing else full[-2:].hex()}
        return kept

    # --- what is to be read ----------------------------------------------------------------------------

    def _plan(self, reading: Reading) -> None:
        counter = reading.answers.get(HISTORY_COUNTER)
        reading.counter = _u32(counter) if counter is not None else _UNCOUNTED - 1
        self._history = Shelf.restore(self._kept.get("history")).open(reading.counter, _HISTORY_KEPT)
        told = reading.answers.get(GLUCOSE_PAGES)
        if told is not None and told[5]:
            count = min(told[5], _GLUCOSE_KEPT)
            self._glucose = Shelf.restore(self._kept.get("glucose")).open(_u32(told), count)

    def _begun(self) -> Reading:
        if self.reading is None:
            raise incomplete("The pump was not yet asked for anything.")
        return self.reading

    # --- pages -----------------------------------------------------------------------------------------

    async def _read_history(self, reading: Reading, numbers: Sequence[int]) -> None:
        for number in numbers:
            if number not in self._history.times or not self._pump.in_time:
                return
            page = await self._pump.history_page(reading.counter - number)
            if isinstance(page, bytes):
                reading.history[number] = page
                self._unsettled.append(number)
            if page is Absent.UNREADABLE:
                self._history.failed.add(number)
            elif page is Absent.NONE or self._marked(reading, page):
                self._history.end_at(number)

    def _marked(self, reading: Reading, page: object) -> bool:
        """Whether this is the newest full page of the last pass, where the pump does not count its pages."""
        counted = HISTORY_COUNTER in reading.answers
        return not counted and isinstance(page, bytes) and page[-2:].hex() == self._kept.get("mark")

    async def _read_glucose(self, reading: Reading, numbers: Sequence[int]) -> set[int]:
        read: set[int] = set()
        for number in numbers:
            if number not in self._glucose.times or not self._pump.in_time:
                break
            page = await self._pump.glucose_page(number)
            if page is Absent.NONE:
                self._glucose.end_at(number)
            elif isinstance(page, bytes) and await self._read_isig(reading, number):
                reading.glucose[number] = page
                read.add(number)
            else:
                self._glucose.failed.add(number)
        return read

    async def _read_isig(self, reading: Reading, number: int) -> bool:
        """The lowest bit of a new pump's glucose stands there: without it the glucose page waits, in the end not."""
        if not self._isig or self._pump.family < _FIRST_WITH_ISIG_BIT:
            return True
        page = await self._pump.isig_page(number)
        if isinstance(page, bytes):
            reading.isig[number] = page
            return True
        return page is Absent.NONE or self._glucose.last_chance(number)

    # --- the check at the end --------------------------------------------------------------------------

    async def _settle(self, reading: Reading) -> None:
        """The pages are what they were taken for only if neither the counter nor the clock moved meanwhile."""
        for _ in range(_ROUNDS):
            counter = await self._counter(reading)
            if counter == reading.counter and not await self._clock_set(reading):
                self._history.read.update(self._unsettled)
                self._unsettled.clear()
                if self._history.failed or self._glucose.failed:
                    self.radio = await self._pump.radio()
                return
            await self._again(reading, counter)
        raise incomplete("The pump's memory or clock changed again and again while it was read.")

    async def _counter(self, reading: Reading) -> int:
        if HISTORY_COUNTER not in reading.answers:
            return reading.counter
        reading.answers[HISTORY_COUNTER] = await self._pump.needed(HISTORY_COUNTER)
        return _u32(reading.answers[HISTORY_COUNTER])

    async def _clock_set(self, reading: Reading) -> bool:
        """Whether somebody set the pump's clock since the reading's own."""
        passed = clock_of(await self._pump.needed(CLOCK)) - clock_of(reading.clock)
        return abs(passed - (self._clock.now() - reading.host_utc)) > _JUMP

    async def _again(self, reading: Reading, counter: int) -> None:
        """Drop what is not checked and read the two newest pages again, with a clock of the same time."""
        for number in self._unsettled:
            reading.history.pop(number, None)
        self._unsettled.clear()
        self._history.grow(counter)
        reading.counter = counter
        reading.host_utc, reading.clock = self._clock.now(), await self._pump.needed(CLOCK)
        await self._read_history(reading, (counter, counter - 1))


def _cut(numbers: Sequence[int], size: int) -> list[Sequence[int]]:
    return [numbers[at : at + size] for at in range(0, len(numbers), size)]


def _u32(answer: bytes) -> int:
    return int.from_bytes(answer[:4], "big")
