"""One conversation with a connected meter: who it is, what its clock shows, which results it has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime

from bridge.contracts import Clock
from bridge.contracts.ble import BleLink
from bridge.errors import BridgeError, Malformed, Refused, Transient
from bridge.readers.ble_glucose.clocks import CLOCKS, ClockKind, shown
from bridge.readers.ble_glucose.context import parse_context
from bridge.readers.ble_glucose.makers import is_maker
from bridge.readers.ble_glucose.measurement import parse_measurement
from bridge.readers.ble_glucose.transfer import CONTEXT, IDENTITY, MEASUREMENT, RACP, Identity
from bridge.wire import racp
from bridge.wire.gatt_lines import Value
from bridge.wire.racp import Code, Counted, Ended, Indication

FIRST_S = 5.0
"""A request that nothing answers for so long is sent once more."""
IDLE_S = 30.0
"""The longest silence between two values of one request."""
LATE_S = 1.0
"""How long a note may come after the end of its request."""
PAUSE_S = 0.5
"""Between two requests; some meters lose the second otherwise."""
ABORT_S = 2.0
_BUSY_TRIES = _MISSING_TRIES = 3
_INCOMPLETE = "incomplete"


class Talk:
    """`values` is all that came, in its order; it stands also when the conversation breaks off.

    `progress` is told how many results came of how many.
    """

    def __init__(self, link: BleLink, clock: Clock, name: str, progress: Callable[[int, int], None]) -> None:
        self._link, self._clock, self._name, self._progress = link, clock, name, progress
        self.values: list[Value] = []
        self.identity = Identity(name=name)
        self.host: datetime | None = None
        """When the meter's clock was read."""
        self.counted = 0
        """How many results it said it would send, 0 where it did not tell."""
        self._running = False
        self._expected = 0
        self._results: set[bytes] = set()

    async def introduce(self) -> Identity:
        """Ask who it is."""
        for uuid in IDENTITY:
            if uuid in self._link.characteristics:
                self.values.append(Value(uuid, await self._link.read(uuid)))
        self.identity = Identity.of(self.values, self._name)
        return self.identity

    async def read_clock(self) -> None:
        """Ask what its clock shows, where it has one that can be asked."""
        for kind in CLOCKS:
            if kind.uuid in self._link.characteristics and self._means_clock(kind) and await self._clock_of(kind):
                self.host = self._clock.now()
                return

    async def fetch(self, cursor: int | None) -> int | None:
        """Bring the results after number `cursor`, all without one; the number to go on from next time.

        None: this meter must be read whole every time. Raises Transient (`incomplete`) when results are missing,
        DeviceUnreachable when the link broke; `values` holds what came.
        """
        for uuid in (MEASUREMENT, CONTEXT, RACP):
            if uuid in self._link.characteristics:
                await self._link.listen(uuid)
        newest = None if self.identity.quirks.newest_first else await self._newest()
        if newest == cursor and newest is not None:
            return newest
        goes_on = cursor is not None and newest is not None and newest > cursor
        first = (cursor or 0) + 1 if goes_on else None
        self.counted = self._expected = await self._counted(first)
        self._results.clear()
        await self._report(first)
        await self._missing(first)
        await self._late_notes()
        return newest

    async def abort(self) -> None:
        """Stop a request that still runs, so that the meter can sleep. Never raises for a link that is gone."""
        if self._running:
            self._running = False
            with contextlib.suppress(BridgeError, TimeoutError):
                async with asyncio.timeout(ABORT_S):
                    await self._link.write(RACP, racp.ABORT)

    # --- the clock -----------------------------------------------------------------------------------

    def _means_clock(self, kind: ClockKind) -> bool:
        return kind.maker is None or is_maker(self.identity.manufacturer, self._name, kind.maker)

    async def _clock_of(self, kind: ClockKind) -> bool:
        """Whether a readable clock came. What a meter refuses or garbles here costs no result."""
        try:
            value = await (self._read_clock(kind) if kind.way == "read" else self._notified_clock(kind))
            if value is not None:
                self.values.append(value)
            return value is not None and shown(kind.uuid, value.data) is not None
        except (Refused, Transient, Malformed):
            return False

    async def _read_clock(self, kind: ClockKind) -> Value:
        return Value(kind.uuid, await self._link.read(kind.uuid))

    async def _notified_clock(self, kind: ClockKind) -> Value | None:
        await self._link.listen(kind.uuid)
        if kind.ask is not None:
            await self._link.write(kind.uuid, kind.ask)
        return await self._link.heard(kind.wait_s)

    # --- the results ---------------------------------------------------------------------------------

    async def _newest(self) -> int | None:
        """The newest result's number, None when the meter has none or cannot tell."""
        before = len(self.values)
        ended = await self._asked(racp.REPORT_LAST)
        if not isinstance(ended, Ended) or ended.code != Code.SUCCESS:
            return None
        numbers = [_sequence(value) for value in self.values[before:] if value.uuid == MEASUREMENT]
        return next((number for number in reversed(numbers) if number is not None), None)

    async def _counted(self, first: int | None) -> int:
        """How many results will come, 0 where the meter does not tell."""
        answer = await self._asked(racp.COUNT_ALL if first is None else racp.count_since(first))
        return answer.records if isinstance(answer, Counted) else 0

    async def _report(self, first: int | None) -> None:
        answer = await self._asked(racp.REPORT_ALL if first is None else racp.report_since(first))
        if first is not None and isinstance(answer, Ended) and answer.code in racp.UNSUPPORTED:
            self._expected = await self._counted(None)
            answer = await self._asked(racp.REPORT_ALL)
        if not isinstance(answer, Ended) or answer.code not in (Code.SUCCESS, Code.NO_RECORDS):
            raise Transient("The meter did not send all its results.", state=_INCOMPLETE)

    async def _missing(self, first: int | None) -> None:
        """Ask again for what was lost on the way; a meter that goes on sending less than it counts is believed."""
        for _ in range(_MISSING_TRIES):
            got = len(self._results)
            if got >= self._expected:
                return
            await self._report(first)
            if len(self._results) == got:
                return
        if len(self._results) < self._expected:
            raise Transient("Some of the meter's results did not arrive.", state=_INCOMPLETE)

    async def _asked(self, request: bytes) -> Indication:
        """The answer to a request; a busy meter is asked again."""
        for attempt in range(_BUSY_TRIES):
            answer = await self._procedure(request)
            if not isinstance(answer, Ended) or answer.code != Code.SERVER_BUSY:
                break
            await self._clock.sleep(2.0**attempt)
        await self._clock.sleep(PAUSE_S)
        return answer

    async def _procedure(self, request: bytes) -> Indication:
        await self._send(request)
        value = await self._next(FIRST_S)
        if value is None:
            with contextlib.suppress(Transient):
                await self._link.write(RACP, request)
            value = await self._next(IDLE_S)
        while value is not None:
            answer = self._answer(request, value)
            if answer is not None:
                self._running = False
                return answer
            value = await self._next(IDLE_S)
        raise Transient("The meter fell silent in the middle of its results.", state=_INCOMPLETE)

    async def _send(self, request: bytes) -> None:
        """Write a request; one that still runs from an earlier conversation is stopped first."""
        try:
            await self._link.write(RACP, request)
        except Transient:
            self._running = True
            await self.abort()
            await self._clock.sleep(PAUSE_S)
            await self._link.write(RACP, request)
        self._running = True

    async def _next(self, timeout_s: float) -> Value | None:
        value = await self._link.heard(timeout_s)
        if value is not None:
            self.values.append(value)
            if value.uuid == MEASUREMENT:
                self._results.add(value.data)
                if self._expected:
                    self._progress(min(len(self._results), self._expected), self._expected)
        return value

    def _answer(self, request: bytes, value: Value) -> Indication | None:
        if value.uuid != RACP:
            return None
        try:
            indication = racp.parse(value.data)
        except Malformed:
            return None
        return indication if racp.answers(request, indication) else None

    async def _late_notes(self) -> None:
        """Wait a moment for notes that were announced and have not come."""
        while self._missing_notes() and await self._next(LATE_S) is not None:
            pass

    def _missing_notes(self) -> bool:
        announced: set[int] = set()
        for value in self.values:
            with contextlib.suppress(Malformed):
                if value.uuid == MEASUREMENT and (found := parse_measurement(value.data)).context_follows:
                    announced.add(found.sequence)
        for value in self.values:
            with contextlib.suppress(Malformed):
                if value.uuid == CONTEXT:
                    announced.discard(parse_context(value.data).sequence)
        return bool(announced)


def _sequence(value: Value) -> int | None:
    try:
        return parse_measurement(value.data).sequence
    except Malformed:
        return None
