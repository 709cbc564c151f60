"""The conversation with the stick: open it, put it in order, and one exchange with a pump at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bridge.contracts import Clock, UsbPort
from bridge.errors import Malformed, Transient
from bridge.readers.medtronic_stick.allowed import require_allowed
from bridge.readers.medtronic_stick.frames import (
    LINK_STATUS,
    PRODUCT_INFO,
    RADIO_STATS,
    REPLY,
    SIGNAL,
    Link,
    Product,
    Radio,
    RadioReply,
    Stats,
    parse_link,
    parse_product,
    parse_radio,
    parse_stats,
    parse_status,
    read_radio,
)

TRANSFER_S = 1.0
_DRAIN_S = 0.1
_DRAINED, _OPENINGS, _ASKINGS = 16, 5, 3
_POLL_S = 0.05
"""Half the time that the stick needs to fill a buffer which it still delivers whole."""
_NAK_PAUSE_S = 0.1
_LONGEST = 4096


class Step(StrEnum):
    """Where an exchange with the pump is."""

    IDLE = "idle"
    SENDING = "sending"
    WAITING = "waiting"
    RECEIVING = "receiving"
    EMPTYING = "emptying"


DEADLINES_S: Mapping[Step, float] = {Step.WAITING: 3.0, Step.RECEIVING: 2.0, Step.EMPTYING: 3.0}
"""How long a step waits for the next bytes of the pump; the power command waits `POWER_S` for its first."""
POWER_S = 20.0
EXCHANGE_S = 12.0
"""A whole answer takes no longer than this once it has begun."""


class Outcome(StrEnum):
    """How an exchange ended."""

    ANSWERED = "answered"
    REFUSED = "refused"
    LOST = "lost"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Reply:
    """The pump's whole `data` when answered, its `code` when it refused; nothing when lost or silent."""

    outcome: Outcome
    data: bytes = b""
    code: int = 0


_LOST, _SILENT = Reply(Outcome.LOST), Reply(Outcome.SILENT)


def _stalled(message: str) -> Transient:
    step = "Unplug the stick and plug it in again, best into a USB-2 port or hub."
    return Transient(message, state="usb_stalled", next_step=step)


async def _send(port: UsbPort, request: bytes) -> None:
    """The one place where bytes leave for the stick."""
    require_allowed(request)
    await port.write(request, TRANSFER_S)


async def identify(port: UsbPort) -> Product:
    """Empty what an earlier conversation left behind and ask what the stick is, within ten seconds.

    Raises Transient (`usb_stalled`) for a stick that stays silent or keeps answering older requests.
    """
    for _ in range(_OPENINGS):
        await _drain(port)
        await _send(port, PRODUCT_INFO)
        reply = await port.read(REPLY, TRANSFER_S / 2)
        # An older reply may be product info as well: then the one that belongs to the request still comes.
        if await port.read(REPLY, _DRAIN_S):
            continue
        try:
            return parse_product(parse_status(reply).body)
        except Malformed:
            continue
    raise _stalled("The CareLink stick does not answer.")


async def _drain(port: UsbPort) -> None:
    for _ in range(_DRAINED):
        if not await port.read(REPLY, _DRAIN_S):
            return


class Stick:
    """One open stick. `step` names where the exchange with the pump is."""

    def __init__(self, port: UsbPort, clock: Clock) -> None:
        self._port, self._clock = port, clock
        self.step = Step.IDLE

    async def open(self) -> Product:
        """Identify the stick and throw away what its radio still holds. Raises Transient (`usb_stalled`)."""
        product = await identify(self._port)
        await self._empty()
        return product

    async def signal(self) -> int:
        """Strength of what the radio hears."""
        return (await self._ask(SIGNAL))[0]

    async def stats(self) -> Stats:
        """What the radio counted."""
        return parse_stats(await self._ask(RADIO_STATS))

    async def exchange(self, request: bytes, patience_s: float = DEADLINES_S[Step.WAITING]) -> Reply:
        """Send one transmit packet and gather the pump's whole answer; `patience_s` waits for its first bytes.

        Trouble of the stick itself is mended once and reported as a lost answer.
        Raises Transient (`usb_stalled`) when it cannot be mended, DeviceUnreachable (`unplugged`).
        """
        try:
            return await self._exchange(request, patience_s)
        except (Malformed, Transient):
            await self.open()
            return _LOST
        finally:
            self.step = Step.IDLE

    async def _exchange(self, request: bytes, patience_s: float) -> Reply:
        self.step = Step.SENDING
        await self._ask(request)
        self.step = Step.WAITING
        serial, data, intact = request[4:7].hex(), bytearray(), True
        part = await self._part(patience_s, serial)
        begun = self._clock.monotonic()
        while part is not None and part.status in (Radio.ACK, Radio.SINGLE, Radio.PART):
            data += part.data
            intact = intact and part.intact
            if part.last:
                return Reply(Outcome.ANSWERED, bytes(data)) if intact else _LOST
            if len(data) > _LONGEST or self._clock.monotonic() - begun > EXCHANGE_S:
                break
            self.step = Step.RECEIVING
            part = await self._part(DEADLINES_S[Step.RECEIVING], serial)
        if part is not None and part.status is Radio.NAK:
            return Reply(Outcome.REFUSED, code=part.data[0]) if part.intact and part.data else _LOST
        await self._empty()
        return _LOST if data else _SILENT

    async def _part(self, patience_s: float, serial: str) -> RadioReply | None:
        """The next part of this pump's answer; None when it does not come in time. Other pumps' are dropped."""
        until = self._clock.monotonic() + patience_s
        while (waiting := await self._waiting(until)) is not None:
            part = await self._fetch(waiting)
            if part.serial == serial or part.status is Radio.TIMEOUT:
                return part
        return None

    async def _waiting(self, until: float) -> int | None:
        """How many bytes the radio has, asked often enough that its buffer stays small; None when time is up."""
        while not (link := await self._link()).ready:
            if self._clock.monotonic() >= until:
                return None
            await self._clock.sleep(_POLL_S)
        if link.waiting > _LONGEST:
            raise Malformed("The CareLink stick says that more is waiting than a pump ever sends.")
        return link.waiting

    async def _fetch(self, size: int) -> RadioReply:
        """Read what the link status announced. Raises Malformed for a broken head."""
        await _send(self._port, read_radio(size))
        return parse_radio(await self._port.read(-(-size // REPLY) * REPLY, TRANSFER_S))

    async def _empty(self) -> None:
        """Read and drop what the radio holds or still receives, so that nothing of it is taken for an answer."""
        self.step = Step.EMPTYING
        until = self._clock.monotonic() + DEADLINES_S[Step.EMPTYING]
        while self._clock.monotonic() < until:
            link = await self._link()
            if link.ready:
                await _send(self._port, read_radio(link.waiting))
                await self._port.read(-(-link.waiting // REPLY) * REPLY, TRANSFER_S)
            elif not link.receiving:
                return
            await self._clock.sleep(_POLL_S)

    async def _link(self) -> Link:
        return parse_link(await self._ask(LINK_STATUS))

    async def _ask(self, request: bytes) -> bytes:
        """A request's body, asked again when the stick refuses. Raises Transient, Malformed for a late reply."""
        for _ in range(_ASKINGS):
            await _send(self._port, request)
            reply = await self._port.read(REPLY, TRANSFER_S)
            if not reply:
                raise _stalled("The CareLink stick stopped answering.")
            status = parse_status(reply)
            if status.accepted:
                return status.body
            await self._clock.sleep(_NAK_PAUSE_S)
        raise _stalled(f"The CareLink stick refuses a request (code {status.code:02X}).")
