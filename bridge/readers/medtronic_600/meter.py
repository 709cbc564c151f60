"""The meter itself: messages in 64-byte reports, its control characters, the way through to its radio."""

from __future__ import annotations

import asyncio

from bridge.contracts.ports import UsbPort
from bridge.errors import DeviceUnreachable, Malformed
from bridge.readers.medtronic_600 import envelope, info
from bridge.readers.medtronic_600.allowed import Reveal, require
from bridge.readers.medtronic_600.info import MeterInfo
from bridge.wire import abc

EOT, ENQ, ACK, NAK = b"\x04", b"\x05", b"\x06", b"\x15"
WAKE = b"X"
QUIET_S = 0.05
CONTROL_S = 2.0
_WRITE_S = 10.0
_SAME_MESSAGE_S = 10.0
_LARGEST = 1024
_RESETS = 10
_ATTEMPTS = 3
_UNREAD = 4096
_GREETINGS = 4

REPLUG = "Unplug the meter, wait ten seconds and plug it in again."


def meter_error(what: str) -> DeviceUnreachable:
    """The meter's own trouble: only taking its power away helps."""
    return DeviceUnreachable(what, state="meter_error", next_step=REPLUG)


class Meter:
    """A meter on its open port. `reveal` decrypts what goes to the pump, for the gate; None until one is joined."""

    def __init__(self, port: UsbPort) -> None:
        self._port = port
        self.reveal: Reveal | None = None

    async def send(self, message: bytes) -> None:
        """Send one message. Raises NotAllowed before a byte leaves, Transient or DeviceUnreachable by the port."""
        require(message, self.reveal)
        # A cancelled visit still sends its last message whole: half a message is what makes a meter fail.
        sending = asyncio.ensure_future(self._write(message))
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            await asyncio.wait((sending,))
            if not sending.cancelled():
                sending.exception()
            raise

    async def _write(self, message: bytes) -> None:
        for report in abc.reports(message):
            await self._port.write(report, _WRITE_S)

    async def receive(self, timeout_s: float) -> bytes:
        """The next message; empty when none came in time. Raises Malformed for a report of another form."""
        piece = message = await self._piece(timeout_s)
        while len(piece) == abc.PAYLOAD and not _whole(message) and len(message) < _LARGEST:
            piece = await self._piece(_SAME_MESSAGE_S if envelope.is_envelope(message) else QUIET_S)
            message += piece
        return message

    async def _piece(self, timeout_s: float) -> bytes:
        report = await self._port.read(abc.REPORT, timeout_s)
        return abc.payload(report) if report else b""

    async def drain(self, quiet_s: float = QUIET_S) -> None:
        """Read and forget what waits, until nothing comes for `quiet_s`."""
        for _ in range(_UNREAD):
            if not await self._port.read(abc.REPORT, quiet_s):
                return
        raise meter_error("The meter talks without end.")

    async def wake(self) -> MeterInfo:
        """Who the meter is. Frees one that hangs in an earlier conversation. Raises DeviceUnreachable."""
        await self.drain()
        found: MeterInfo | None = None
        for resets in (1, _RESETS, 0):
            greeted = await self._greeting()
            if greeted is not None and greeted.intact:
                return greeted
            found = greeted or found
            await self.reset(resets)
        if found is None:
            raise meter_error("The meter does not answer; it may show E86 or be in a menu.")
        return found

    async def _greeting(self) -> MeterInfo | None:
        """Record and ENQ come in either order; None when one of them did not come."""
        await self.send(WAKE)
        record, ready = b"", False
        for _ in range(_GREETINGS):
            message = await self._readable(CONTROL_S)
            record = message if b"H|" in message else record
            ready = ready or message.endswith(ENQ)
            if not message or (record and ready):
                break
        return info.parse(record) if ready else None

    async def _readable(self, timeout_s: float) -> bytes:
        try:
            return await self.receive(timeout_s)
        except Malformed:
            return b""

    async def reset(self, tries: int = _RESETS) -> bool:
        """Take the meter out of whatever it is in; False when it did not answer."""
        for _ in range(tries):
            if await self._says(EOT, ENQ):
                return True
        return False

    async def take_control(self) -> None:
        """From its greeting to the state in which it takes commands."""
        for _ in range(_ATTEMPTS):
            if await self._says(NAK, EOT) and await self._says(ENQ, ACK):
                return
            await self.reset(1)
        raise meter_error("The meter did not hand over control.")

    async def way_through(self, *, opened: bool) -> None:
        """Open or shut the way through to its radio."""
        for word in (b"W|", b"Q|", b"1|" if opened else b"0|"):
            if not await self._says(word, ACK):
                raise meter_error("The meter did not open the way to its radio.")

    async def leave(self) -> None:
        """Back to the state in which a person can use it."""
        await self._says(EOT, ENQ)

    async def _says(self, word: bytes, expected: bytes) -> bool:
        await self.send(word)
        return await self._readable(CONTROL_S) == expected


def _whole(message: bytes) -> bool:
    return envelope.is_envelope(message) and len(message) >= envelope.total_length(message)
