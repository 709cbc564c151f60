"""One pump behind the stick: wake it, ask single commands, fetch pages. Every answer is checked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import TypeAlias

from bridge.contracts import Clock
from bridge.errors import BridgeError, DeviceUnreachable, Incompatible, Malformed, Refused, Transient
from bridge.readers.medtronic_stick.allowed import POWER_ON, packet
from bridge.readers.medtronic_stick.frames import POWER, sound_isig_page, sound_page
from bridge.readers.medtronic_stick.stick import POWER_S, Outcome, Reply, Stick

MODEL, SERIAL, CLOCK, STATUS, HISTORY_COUNTER, GLUCOSE_PAGES = 0x8D, 0x71, 0x70, 0xCE, 0x9D, 0xCD
_HISTORY, _GLUCOSE, _ISIG = 0x80, 0x9A, 0x9B
TRIES = 3
CLOSING_S = 20.0
"""No page is begun so shortly before the end: the check that follows needs this time."""
RECORD = 64
"""The least that a single command is answered with."""
_UNKNOWN_COMMAND, _NO_PAGE = 0x08, 0x0D
_OLDEST_FAMILY = 12


class Absent(Enum):
    """Why there is no page: it could not be read without error, or the pump has none of that number."""

    UNREADABLE = "unreadable"
    NONE = "none"


Page: TypeAlias = bytes | Absent


def _out_of_range() -> DeviceUnreachable:
    step = "Bring the stick within a metre of the pump. A pump of the 868 MHz kind needs a stick of that kind."
    return DeviceUnreachable("The pump does not answer the CareLink stick.", next_step=step)


def incomplete(message: str) -> Transient:
    """A read that had to stop early; what is missing is asked for again."""
    return Transient(
        message, state="incomplete", next_step="The rest is read next time; keep the stick near the pump."
    )


def busy() -> Transient:
    """The pump gives a bolus and is left alone."""
    step = "It is read when the bolus has ended."
    return Transient("The pump is giving a bolus.", state="pump_busy", next_step=step)


def _alarm() -> Refused:
    step = "Clear the alarm on the pump."
    return Refused("The pump shows an alarm and answers nothing else.", state="pump_alarm", next_step=step)


_REFUSALS: dict[int, Callable[[], BridgeError]] = {0x07: _alarm, 0x0C: busy}
"""Refusals that end the read, whatever was asked."""


class Pump:
    """The pump with that serial. `stop_at`: monotonic second after which nothing new is asked.

    Every call raises DeviceUnreachable (`out_of_range`, `unplugged`) or Transient (`usb_stalled`, `pump_busy`,
    `incomplete` when time is up), and Refused (`pump_alarm`).
    """

    def __init__(self, stick: Stick, serial: str, clock: Clock, stop_at: float) -> None:
        self._stick, self._serial, self._clock, self._stop_at = stick, serial, clock, stop_at
        self._woken = False
        self.model, self.family = "", 0

    @property
    def in_time(self) -> bool:
        """Whether there is time for another page and the commands that must follow it."""
        return self._clock.monotonic() < self._stop_at - CLOSING_S

    async def connect(self) -> None:
        """Learn the model, waking the radio if need be, and make sure that it is the right pump.

        Raises Incompatible for a model that is too old, and Refused (`wrong_device`).
        """
        if (await self._once(MODEL)).outcome is Outcome.SILENT:
            await self._wake()
        answer = await self.needed(MODEL)
        self.model = _text(answer[1 : 1 + answer[0]])
        if not self.model[:3].isdecimal() or len(self.model) < 3:
            raise Malformed("The pump's model number cannot be read.")
        self.family = int(self.model[:3]) % 100
        if self.family < _OLDEST_FAMILY:
            raise Incompatible(f"Model {self.model} is too old to be read.")
        if _text((await self.needed(SERIAL))[:6]) != self._serial:
            raise Refused(
                "Another pump answered than the one that was asked.",
                state="wrong_device",
                next_step="Check the six digits on the back of the pump against `devices`.",
            )

    async def needed(self, opcode: int) -> bytes:
        """The answer to a command that the read cannot do without. Raises also Refused when the pump says no."""
        answer = await self.answer(opcode)
        if answer is None:
            raise Refused(f"The pump refuses command {opcode:02X}, without which it cannot be read.")
        return answer

    async def answer(self, opcode: int) -> bytes | None:
        """The payload of a single command; None when this model refuses it."""
        reply = await self._ask(opcode)
        return reply.data if reply.outcome is Outcome.ANSWERED else None

    async def history_page(self, number: int) -> Page:
        """A history page; 0 is the newest."""
        return await self._page(_HISTORY, bytes([number]), sound_page)

    async def glucose_page(self, number: int) -> Page:
        """A glucose page, by its running number."""
        return await self._page(_GLUCOSE, number.to_bytes(4, "big"), sound_page)

    async def isig_page(self, number: int) -> Page:
        """The ISIG page that belongs to a glucose page."""
        return await self._page(_ISIG, number.to_bytes(4, "big"), sound_isig_page)

    async def radio(self) -> str:
        """How well the stick hears, in words."""
        level, stats = await self._stick.signal(), await self._stick.stats()
        return f"signal {level}, {stats.crc_errors} damaged, {stats.timeouts} unanswered of {stats.sent} sent"

    async def _page(self, opcode: int, params: bytes, sound: Callable[[bytes], bool]) -> Page:
        for _ in range(TRIES):
            reply = await self._heard(opcode, params)
            if reply.outcome is Outcome.REFUSED:
                return Absent.NONE if reply.code == _NO_PAGE else Absent.UNREADABLE
            if reply.outcome is Outcome.ANSWERED and sound(reply.data):
                return reply.data
        return Absent.UNREADABLE

    async def _ask(self, opcode: int) -> Reply:
        """An answer, or the refusal of a command that this model lacks."""
        for _ in range(TRIES):
            reply = await self._heard(opcode)
            if reply.outcome is Outcome.REFUSED or len(reply.data) >= RECORD:
                return reply
        raise incomplete(f"The pump's answer to command {opcode:02X} came damaged again and again.")

    async def _heard(self, opcode: int, params: bytes = b"") -> Reply:
        """What the pump said, be it damaged; a silent one is asked again and woken once. Never a silent reply."""
        for _ in range(TRIES):
            reply = await self._once(opcode, params)
            if reply.outcome is not Outcome.SILENT:
                return reply
        if not self._woken:
            await self._wake()
            reply = await self._once(opcode, params)
            if reply.outcome is not Outcome.SILENT:
                return reply
        raise _out_of_range()

    async def _wake(self) -> None:
        """Ten minutes of radio."""
        self._woken = True
        reply = await self._stick.exchange(packet(self._serial, POWER, POWER_ON), POWER_S)
        if reply.outcome is Outcome.SILENT:
            raise _out_of_range()

    async def _once(self, opcode: int, params: bytes = b"") -> Reply:
        if self._clock.monotonic() >= self._stop_at:
            raise incomplete("Reading the pump took too long.")
        reply = await self._stick.exchange(packet(self._serial, opcode, params))
        if reply.outcome is Outcome.REFUSED and reply.code in _REFUSALS:
            raise _REFUSALS[reply.code]()
        return reply


def clock_of(answer: bytes) -> datetime:
    """The pump's wall clock of a clock answer. Raises Malformed for what is no time."""
    hour, minute, second, month, day = *answer[:3], *answer[5:7]
    try:
        return datetime(int.from_bytes(answer[3:5], "big"), month, day, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        raise Malformed("The pump's clock shows no valid time.") from None


def _text(data: bytes) -> str:
    return data.decode("ascii", "replace").strip("\0 ")
