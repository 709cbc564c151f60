"""Questions to the pump: one answer, an answer in segments, a stretch of history."""

from __future__ import annotations

from collections.abc import Callable

from bridge.contracts.setup import Clock
from bridge.errors import BridgeError, DeviceUnreachable, Malformed, Refused, Transient
from bridge.readers.medtronic_600 import comd
from bridge.readers.medtronic_600.comd import Comd, Said
from bridge.readers.medtronic_600.multipacket import MIN_FILLED, Transfer
from bridge.readers.medtronic_600.radio import PUMP_S, Radio, out_of_range

ACK_PAUSE_S = 0.3
_RETRY_WINDOW_S = 30.0
_TRIES = 3
_SEGMENT_S, _LEAST_WAIT_S = 0.05, 1.0
_SILENCES = 10
_LONGEST = 20
"""So many messages for each segment at most."""
_STRAYS = 64
_TAIL_S = 0.1

Fits = Callable[[Said], bool]

NAK_STATES = {0x07: "pump_alarm", 0x0C: "pump_busy", 0x0F: "pump_busy", 0x10: "pump_busy"}
NOT_THERE = frozenset((0x08, 0x0B, 0x0D, 0x15))
"""Refusals of one question for good: not supported, feature disabled, no data, parameters not applicable."""

TakePage = Callable[[bytes, int], None]
"""Told a page and how many bytes the whole answer will have, uncompressed."""


class Talk:
    """A conversation with a joined pump. Any failure ends it; nothing is asked again after a refusal."""

    def __init__(self, radio: Radio, clock: Clock) -> None:
        self._radio, self._clock = radio, clock
        self.never: int | None = None
        """The command that the pump refused for good, if that is how the conversation ended."""

    async def ask(self, command: Comd, parameters: bytes, answer: Comd, fits: Fits = lambda _: True) -> Said:
        """The answer to one question. Raises DeviceUnreachable, Transient (`pump_busy`) or Refused."""
        started, first = self._clock.monotonic(), not self._radio.understood
        for attempt in range(1, _TRIES + 1):
            await self._radio.tell(command, parameters)
            said = await self._answer(command, answer, _all(fits, _counted_to(attempt)) if first else fits)
            if said is not None:
                return said
            if self._clock.monotonic() - started > _RETRY_WINDOW_S:
                break
        raise self._silence()

    def _silence(self) -> BridgeError:
        if self._radio.busy:
            return Transient("The radio is too noisy to reach the pump.", state="pump_busy")
        return out_of_range("The pump does not answer.")

    async def _answer(self, command: Comd, answer: Comd, fits: Fits) -> Said | None:
        for _ in range(_STRAYS):
            said = await self._radio.hear(PUMP_S)
            if said is None:
                return None
            self._refusal(said, command)
            if said.command == Comd.TRANSFER_BEGINS:
                said = _whole(said.sequence, await self._transfer(said))
            if said.command == answer and fits(said):
                return said
        return None

    def _refusal(self, said: Said, command: Comd) -> None:
        """Raise when the pump says no to this command; an old refusal of another one is nothing."""
        if said.command != Comd.NAK or said.parameters[:2] != command.to_bytes(2, "big"):
            return
        code = said.parameters[2] if len(said.parameters) > 2 else 0
        if code in NOT_THERE:
            self.never = command
        raise refusal(code)

    # --- answers in segments -------------------------------------------------------------------------

    async def _transfer(self, begins: Said) -> bytes:
        """The whole of an answer that comes in segments. Raises Transient (`incomplete`)."""
        transfer = Transfer(begins.parameters)
        await self._acknowledge(Comd.TRANSFER_BEGINS)
        await self._gather(transfer)
        await self._acknowledge(Comd.SEGMENT)
        return transfer.payload()

    async def _gather(self, transfer: Transfer) -> None:
        silences = 0
        for _ in range(_LONGEST * transfer.count):
            if transfer.complete:
                return
            if not transfer.awaited:
                await self._ask_again(transfer, silences)
            said = await self._radio.hear(_patience_s(transfer))
            if said is None:
                silences += 1
                await self._ask_again(transfer, silences)
            elif said.command == Comd.SEGMENT:
                silences = 0 if _taken(transfer, said) else silences
            elif said.command == Comd.TRANSFER_BEGINS and not transfer.filled:
                await self._acknowledge(Comd.TRANSFER_BEGINS)
        raise incomplete()

    async def _ask_again(self, transfer: Transfer, silences: int) -> None:
        if silences > _SILENCES or transfer.filled < MIN_FILLED:
            raise incomplete()
        first, count = transfer.ask_again()
        await self._radio.tell(Comd.RESEND, first.to_bytes(2, "big") + count.to_bytes(2, "big"))

    async def _acknowledge(self, command: Comd) -> None:
        await self._clock.sleep(ACK_PAUSE_S)
        await self._radio.tell(Comd.ACK, command.to_bytes(2, "big"))

    # --- history -------------------------------------------------------------------------------------

    async def history(self, data_type: int, start_rtc: int, end_rtc: int, take: TakePage) -> None:
        """Hand each whole page (from its command on) to `take`, until the pump says that there are no more."""
        span = comd.history_range(data_type, start_rtc, end_rtc)
        info = await self.ask(Comd.READ_HISTORY_INFO, span, Comd.HISTORY_INFO, _of_type(data_type))
        announced = int.from_bytes(info.parameters[1:5], "big")
        if not announced:
            return
        await self._radio.tell(Comd.READ_HISTORY, span)
        await self._pages(data_type, lambda page: take(page, announced))
        await self._end_of_bulk()

    async def _pages(self, data_type: int, take: Callable[[bytes], None]) -> None:
        strays = 0
        while strays < _STRAYS:
            said = await self._radio.hear(PUMP_S)
            if said is None:
                break
            self._refusal(said, Comd.READ_HISTORY)
            if said.command == Comd.TRANSFER_BEGINS:
                said = _whole(said.sequence, await self._transfer(said))
            if said.command == Comd.END_OF_HISTORY:
                return
            if said.command == Comd.HISTORY and _of_type(data_type)(said):
                take(said.payload[1:])
            else:
                strays += 1
        raise incomplete()

    async def _end_of_bulk(self) -> None:
        """The pump's word that it is slow again: without hearing it the meter freezes."""
        for _ in range(_STRAYS):
            said = await self._radio.hear(PUMP_S)
            if said is None or (said.command == Comd.HIGH_SPEED and said.parameters[:1] and said.parameters[0] & 1):
                break
        await self._radio.settle(_TAIL_S)


def refusal(code: int) -> BridgeError:
    """The pump's no, by its code."""
    state = NAK_STATES.get(code)
    if state == "pump_alarm":
        return DeviceUnreachable(
            "The pump shows an alarm and gives no data until it is cleared.",
            state=state,
            next_step="Look at the pump and clear its alarm.",
        )
    if state is not None:
        return Transient("The pump is busy.", state=state)
    return Refused(f"The pump refused a question (code {code:02X}).")


def incomplete() -> Transient:
    """A transfer that stopped half way."""
    return Transient("The pump stopped in the middle of an answer.", state="incomplete")


def _counted_to(asked: int) -> Fits:
    """The first answer of all counts from 1: a later number is of an older conversation."""
    return lambda said: said.sequence <= asked


def _all(*fits: Fits) -> Fits:
    return lambda said: all(each(said) for each in fits)


def _patience_s(transfer: Transfer) -> float:
    """Before the first segment the pump may take its time."""
    return max(_LEAST_WAIT_S, _SEGMENT_S * transfer.awaited) if transfer.filled else PUMP_S


def _of_type(data_type: int) -> Fits:
    return lambda said: said.parameters[:1] == bytes((data_type,))


def _whole(sequence: int, payload: bytes) -> Said:
    return Said(sequence, int.from_bytes(payload[:2], "big"), payload[2:])


def _taken(transfer: Transfer, said: Said) -> bool:
    try:
        return transfer.add(said.parameters)
    except Malformed:
        return False
