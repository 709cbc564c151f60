r"""The conversation with a meter over one port: wake, take the transfer, close.

    asleep --wake--> greeted --ACK--> sending --last frame--> closing --> closed
                        \--NAK--> command mode (reads the clock where the header has none) --EOT--> greeted

Only what `allowed.permitted` lets pass is sent. A frame is answered at once: a meter that waits too long
ends in an error that only unplugging mends.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from bridge.contracts import UsbPort
from bridge.errors import BridgeError, ContractViolation, DeviceUnreachable, Malformed, Transient
from bridge.readers.contour_usb.allowed import ASK, DATE, TIME, WAKE, permitted
from bridge.readers.contour_usb.header import Header, parse_header, without_challenge
from bridge.readers.contour_usb.receiver import Receiver, Verdict
from bridge.wire.abc import PAYLOAD, REPORT, payload, reports
from bridge.wire.astm import ACK, CONTROLS, CR, ENQ, EOT, LF, NAK, STX, Frame, build, ends_frame, parse, pieces

ANSWER_S = 5.0
GREETING_S = 4.0
CLOSING_S = 2.0
SEND_S = 2.0
_TRIES = 6
_SILENT_TRIES = 2
_MOST_STRAYS = 20
_MOST_REPORTS = 100
_MOST_FRAMES = 20_000
_GARBAGE = b"?"
_WAKES = (WAKE, EOT, ACK, WAKE, EOT, ACK)
"""After a NAK another value is tried."""
_DATE, _TIME = re.compile(rb"D\|([0-9]{6})\|"), re.compile(rb"D\|([0-9]{4})\|")
"""Answers; both begin with D."""

Now: TypeAlias = Callable[[], datetime]
Progress: TypeAlias = Callable[[int], None]


@dataclass(slots=True)
class Transfer:
    """What came of a transfer: its frames as bytes, the header once it is there, and the host's clock at it."""

    frames: list[bytes] = field(default_factory=list)
    header: Header | None = None
    header_at: datetime | None = None


class Conversation:
    """One session with a meter. Raises DeviceUnreachable, Transient or Malformed with a named state.

    `now` is the host's clock, `progress` is told the number of frames taken.
    """

    def __init__(self, port: UsbPort, now: Now, progress: Progress = lambda _: None) -> None:
        self._port, self._now, self._progress = port, now, progress
        self._greeting = ""
        self._greeted_at: datetime | None = None
        self.transfer = Transfer()
        """What came so far: also after an error."""

    async def greet(self) -> Header | None:
        """Wake the meter. Its header; None when it only says that it is ready, as after a session cut short."""
        rests, silent = False, 0
        for wake in _WAKES:
            await self._send(wake)
            message = await self._woken()
            if message.endswith(ENQ):
                return self._greeted(message)
            rests = rests or message == EOT
            silent += message != NAK
            if silent >= _SILENT_TRIES:
                break
        raise _ended(False) if rests else _no_greeting()

    async def _woken(self) -> bytes:
        """The answer to the wake-up; what is left of an earlier session is passed over."""
        last = b""
        for _ in range(_MOST_STRAYS):
            message = await self._message(GREETING_S)
            if message == ENQ:
                # A header that fills its reports: the ENQ behind it comes in one of its own.
                return last + message
            if message.endswith(ENQ) or message == NAK:
                return message
            if not message:
                break
            last = message
        return last

    def _greeted(self, message: bytes) -> Header | None:
        self._greeted_at = self._now()
        frame = next((piece for piece in pieces(message) if piece.startswith(STX)), None)
        try:
            self._greeting = parse(frame).text if frame else ""
            return parse_header(self._greeting) if self._greeting else None
        except Malformed:
            # A damaged greeting costs nothing: the header comes again, and then it can be asked for once more.
            return None

    async def identify(self) -> Header:
        """Who the meter is, without taking its results. For `recognise`; the session is closed."""
        header = await self.greet()
        if header is not None:
            await self.leave()
            return header
        await self._send(ACK)
        message = await self._message(GREETING_S)
        if message in (b"", EOT):
            raise _ended(False) if message else _no_greeting()
        await self._send(EOT)
        return parse_header(parse(message).text)

    async def leave(self) -> None:
        """End a session after the greeting without taking anything."""
        await self._quietly(NAK)

    async def take(self) -> Header:
        """The whole `transfer` after the greeting. Raises Transient: `meter_resting`, `incomplete`, `meter_error`."""
        receiver, patience = Receiver(), _Patience()
        reply: bytes | None = ACK
        while not receiver.complete:
            if reply is not None:
                await self._send(reply)
            message = await self._message(ANSWER_S)
            reply = self._reply(message, receiver, patience)
        await self._close()
        if self.transfer.header is None:
            raise _incomplete("The meter sent no header.")
        return self.transfer.header

    def _reply(self, message: bytes, receiver: Receiver, patience: _Patience) -> bytes | None:
        """What a message is answered with; None: nothing, another is on its way."""
        started = bool(receiver.frames)
        if not message:
            patience.silent()
            return NAK if started else ACK
        if message == EOT:
            raise _ended(started)
        if message in CONTROLS or message[:1] == EOT:
            patience.stray()
            return None
        verdict = receiver.take(message)
        patience.heard(verdict)
        if verdict is Verdict.TAKEN:
            self._keep(receiver.frames[-1])
        return NAK if verdict is Verdict.REFUSED else ACK

    def _keep(self, frame: Frame) -> None:
        """Remember a frame taken; of the header without the session's challenge."""
        if len(self.transfer.frames) >= _MOST_FRAMES:
            raise _incomplete("The meter sends without end.")
        if not self.transfer.frames:
            if frame.text[:1] != "H":
                raise _incomplete("The meter goes on with a transfer that was cut short.")
            self.transfer.header = parse_header(frame.text)
            self.transfer.header_at = self._greeted_at if frame.text == self._greeting else self._now()
            frame = Frame(frame.number, without_challenge(frame.text), frame.last, frame.whole)
        self.transfer.frames.append(build(frame))
        self._progress(len(self.transfer.frames))

    async def _close(self) -> None:
        """The last frame is acknowledged; some meters end the session by themselves, some want to be asked.

        The results are safe by now: nothing that goes wrong here matters.
        """
        if await self._quietly(ACK) != EOT:
            await self._quietly(NAK)

    async def _quietly(self, message: bytes) -> bytes:
        try:
            await self._send(message)
            return await self._message(CLOSING_S)
        except ContractViolation:
            raise
        except BridgeError:
            return b""

    # --- command mode --------------------------------------------------------------------------------

    async def read_clock(self) -> datetime | None:
        """The meter's clock to the minute, after the greeting and before the transfer; None if it will not say."""
        if not await self._until(NAK, EOT) or not await self._until(ENQ, ACK):
            return None
        date, time = await self._asked(DATE, _DATE), await self._asked(TIME, _TIME)
        await self._until(EOT, ENQ)
        if date is None or time is None:
            return None
        try:
            return datetime.strptime(f"{date}{time}", "%y%m%d%H%M")  # noqa: DTZ007 - a meter's clock has no zone
        except ValueError:
            return None

    async def _until(self, message: bytes, wanted: bytes) -> bool:
        for _ in range(_TRIES):
            await self._send(message)
            if (await self._message(CLOSING_S)).endswith(wanted):
                return True
        return False

    async def _asked(self, word: bytes, wanted: re.Pattern[bytes]) -> str | None:
        """The answer to a read request; the words go with CR to some meters and without to others."""
        for spelled in (word, word.removesuffix(CR)):
            await self._send(ASK)
            if await self._message(CLOSING_S) != ACK:
                continue
            await self._send(spelled)
            found = wanted.match(await self._answer())
            if found:
                return found[1].decode()
        return None

    async def _answer(self) -> bytes:
        """Data and the ACK behind them, which may come in the next report."""
        answer = await self._message(CLOSING_S)
        if answer.endswith(LF):
            answer += await self._message(CLOSING_S)
        return answer

    # --- reports -------------------------------------------------------------------------------------

    async def _send(self, message: bytes) -> None:
        for report in reports(permitted(message)):
            await self._port.write(report, SEND_S)

    async def _message(self, timeout_s: float) -> bytes:
        """One message of the meter, from as many reports as it takes; empty when nothing came in time."""
        message = b""
        for _ in range(_MOST_REPORTS):
            report = await self._port.read(REPORT, timeout_s)
            if not report:
                return message
            try:
                piece = payload(report)
            except Malformed:
                return _GARBAGE
            message += piece
            if message and (len(piece) < PAYLOAD or ends_frame(message)):
                return message
        return message


@dataclass(slots=True)
class _Patience:
    """How often in a row nothing useful came."""

    silences: int = 0
    refusals: int = 0
    strays: int = 0

    def silent(self) -> None:
        self.silences += 1
        if self.silences > _SILENT_TRIES:
            raise Transient(
                "The meter stopped answering in the middle of a transfer.",
                state="meter_error",
                next_step="If it shows E86, unplug it and plug it in again.",
            )

    def stray(self) -> None:
        self.strays += 1
        if self.strays > _MOST_STRAYS:
            raise _incomplete("The meter does not go on with its transfer.")

    def heard(self, verdict: Verdict) -> None:
        if verdict is Verdict.TAKEN:
            self.silences = self.refusals = self.strays = 0
        elif verdict is Verdict.REPEATED:
            self.stray()
        else:
            self.refusals += 1
            if self.refusals >= _TRIES:
                raise _incomplete("The meter's frames keep coming damaged.")


def _no_greeting() -> DeviceUnreachable:
    return DeviceUnreachable(
        "The meter does not answer.",
        state="unreachable",
        next_step="Switch it on, or unplug it and plug it in again.",
    )


def _ended(started: bool) -> Transient:
    if started:
        return _incomplete("The meter ended its transfer too early.")
    return Transient(
        "The meter rests between two sessions.",
        state="meter_resting",
        next_step="It is asked again by itself in some seconds.",
    )


def _incomplete(text: str) -> Transient:
    return Transient(text, state="incomplete", next_step="Nothing was taken; the next read brings everything.")
