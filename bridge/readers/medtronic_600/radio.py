"""The meter's radio: open it, learn the pump behind it, find the pump's channel, carry encrypted messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bridge.errors import DeviceUnreachable, Malformed
from bridge.readers.medtronic_600 import answers, comd, crypto, envelope, ngp
from bridge.readers.medtronic_600.answers import Heard, Sent
from bridge.readers.medtronic_600.comd import RESET, Comd, Said
from bridge.readers.medtronic_600.envelope import Message, Operation
from bridge.readers.medtronic_600.info import MeterInfo
from bridge.readers.medtronic_600.meter import Meter, meter_error
from bridge.readers.medtronic_600.ngp import Joined, Ngp

CHANNELS = (0x14, 0x11, 0x0E, 0x17, 0x1A)
"""Where a pump can be, the quietest first (2450, 2435, 2420, 2465, 2480 MHz)."""
METER_S = 4.0
PUMP_S = 25.0
JOIN_S = 10.0
_FOREIGN = 64
_LEAST_KEY = 0x53
_RELINK = "On the pump: Menu, Utilities, Device Options, Connect Device; link the meter again."


@dataclass(frozen=True, slots=True)
class Link:
    """The pair that meter and pump are: radio addresses."""

    meter_mac: int
    pump_mac: int


def not_linked(what: str) -> DeviceUnreachable:
    """The meter has no pump, or another key than the pump has."""
    return DeviceUnreachable(what, state="not_linked", next_step=_RELINK)


def out_of_range(what: str) -> DeviceUnreachable:
    """The pump's radio cannot be reached."""
    return DeviceUnreachable(what, next_step="Keep the meter within a few metres of the pump, airplane mode off.")


class _Counter:
    """1, 2, ... `last`, 1, ..."""

    def __init__(self, last: int) -> None:
        self._last, self._value = last, 0

    def next(self) -> int:
        self._value = self._value % self._last + 1
        return self._value


class Radio:
    """One use of a meter's radio. `monotonic` is the clock of its deadlines, seconds."""

    def __init__(self, meter: Meter, info: MeterInfo, monotonic: Callable[[], float]) -> None:
        self._meter, self._serial, self._monotonic = meter, info.model_serial, monotonic
        self._messages, self._packets, self._words = _Counter(0xFF), _Counter(0x7F), _Counter(0x7F)
        self._link: Link | None = None
        self._cipher: crypto.PumpCipher | None = None
        self.busy = False
        """The last packet left through a noisy radio."""
        self.understood = False
        """Something that the pump said has been decrypted."""

    async def open(self) -> None:
        """Start to use the radio. Raises DeviceUnreachable (`meter_error`)."""
        await self._ask(Operation.OPEN, Operation.OPEN, crypto.open_digest(self._serial))

    async def close(self) -> None:
        """End its use."""
        await self._ask(Operation.CLOSE, Operation.CLOSE, crypto.open_digest(self._serial))

    async def link(self) -> Link:
        """Who meter and pump are. Raises DeviceUnreachable (`not_linked`)."""
        answer = await self._ask(Operation.READ_INFO, Operation.READ_INFO)
        if len(answer.payload) < 16:
            raise meter_error("The meter told too little about its pump.")
        macs = (int.from_bytes(answer.payload[at : at + 8], "big") for at in (0, 8))
        link = self._link = Link(*macs)
        if not link.pump_mac:
            raise not_linked("This meter is not linked to a pump.")
        return link

    async def key(self) -> bytes:
        """The key that meter and pump share. Raises DeviceUnreachable (`not_linked`)."""
        answer = await self._ask(Operation.REQUEST_LINK_KEY, Operation.LINK_KEY)
        if answer.total < _LEAST_KEY:
            raise not_linked("This meter holds no key for its pump.")
        return crypto.unpack_link_key(answer.payload, self._serial)

    async def _ask(self, operation: Operation, answer: Operation, payload: bytes = b"") -> Message:
        await self._meter.drain()
        await self._meter.send(envelope.pack(operation, self._messages.next(), payload))
        found = await self._await(answer, METER_S)
        if found is None:
            raise meter_error("The meter did not answer; it may show E86 or be in a menu.")
        return found

    async def _await(self, operation: Operation, timeout_s: float) -> Message | None:
        """The next whole message of an operation, others dropped; None when none came in time."""
        deadline = self._monotonic() + timeout_s
        for _ in range(_FOREIGN):
            data = await self._meter.receive(max(0.05, deadline - self._monotonic()))
            if not data:
                return None
            try:
                message = envelope.unpack(data)
            except Malformed:
                continue
            if message.operation == operation:
                return message
        return None

    # --- the pump's network --------------------------------------------------------------------------

    async def join(self, key: bytes, channels: Iterable[int]) -> Joined:
        """Meet the pump on the first channel that has it. Raises DeviceUnreachable (`out_of_range`)."""
        for channel in channels:
            found = await self._join(channel)
            if found is not None and found.channel == channel:
                self._cipher = crypto.PumpCipher(key, channel)
                self._meter.reveal = self._cipher.decrypt
                return found
        raise out_of_range("The pump did not answer on any of its radio channels.")

    async def _join(self, channel: int) -> Joined | None:
        link = self._linked()
        self._packets.next()
        await self._send(Ngp.JOIN_NETWORK, ngp.join_body(channel, link.meter_mac, link.pump_mac))
        deadline = self._monotonic() + JOIN_S
        for _ in range(_FOREIGN):
            message = await self._await(Operation.RECEIVED, max(0.05, deadline - self._monotonic()))
            meaning = Heard.NO_ANSWER if message is None else answers.heard(message)
            if message is not None and meaning is Heard.JOINED:
                return _network(message)
            if meaning in (Heard.NO_ANSWER, Heard.EMPTY_CHANNEL):
                return None
            _still_there(meaning)
        return None

    async def _send(self, command: Ngp, body: bytes) -> Sent:
        """Send a frame and wait for the meter's word on it, which never fails to come from a sound meter."""
        await self._meter.drain()
        await self._meter.send(envelope.pack(Operation.SEND, self._messages.next(), ngp.pack(command, body)))
        message = await self._await(Operation.SENT, PUMP_S)
        if message is None:
            raise meter_error("The meter's radio does not answer; it is about to show E86.")
        return answers.sent(message)

    async def tell(self, command: int, parameters: bytes = b"") -> None:
        """Send a command to the pump. Raises DeviceUnreachable when the connection is gone."""
        await self._say(Said(self._words.next(), command, parameters))

    async def high_speed(self, *, on: bool) -> None:
        """Begin or end the fast exchange; the count of messages starts anew."""
        self._words = _Counter(0x7F)
        await self._say(Said(RESET, Comd.HIGH_SPEED, bytes((not on,))))

    async def _say(self, said: Said) -> None:
        if self._cipher is None:
            raise out_of_range("The pump is not there to be spoken to.")
        encrypted = self._cipher.encrypt(comd.pack(said))
        body = ngp.transmit_body(self._linked().pump_mac, self._packets.next(), encrypted)
        state = await self._send(Ngp.TRANSMIT_PACKET, body)
        self.busy = state is Sent.BUSY
        if state not in (Sent.OK, Sent.BUSY):
            raise out_of_range("The connection to the pump was lost.")

    async def hear(self, timeout_s: float) -> Said | None:
        """The pump's next word; None when it said nothing in time. Raises DeviceUnreachable when it is gone."""
        deadline = self._monotonic() + timeout_s
        for _ in range(_FOREIGN):
            message = await self._await(Operation.RECEIVED, max(0.05, deadline - self._monotonic()))
            meaning = Heard.NO_ANSWER if message is None else answers.heard(message)
            if message is None or meaning is Heard.NO_ANSWER:
                return None
            if meaning is Heard.DATA:
                said = self._understand(message)
                if said is not None:
                    return said
            else:
                _still_there(meaning)
        return None

    def _understand(self, message: Message) -> Said | None:
        """The pump's word, or None for a damaged one; a first one with the wrong key is another matter."""
        try:
            encrypted = ngp.received(ngp.unpack(message.payload))
        except Malformed:
            return None
        try:
            said = comd.unpack(self._decrypted(encrypted))
        except Malformed:
            if self.understood:
                return None
            raise not_linked("The pump's answer does not fit the meter's key.") from None
        self.understood = True
        return said

    def _decrypted(self, encrypted: bytes) -> bytes:
        return self._cipher.decrypt(encrypted) if self._cipher is not None else b""

    def _linked(self) -> Link:
        if self._link is None:
            raise not_linked("The meter has not been asked for its pump.")
        return self._link

    async def settle(self, quiet_s: float) -> None:
        """After a failure: let what is on its way arrive, until all is quiet or the meter says that it is."""
        for _ in range(_FOREIGN):
            message = await self._await(Operation.RECEIVED, quiet_s)
            if message is None or answers.heard(message) is Heard.NO_ANSWER:
                return


def _network(message: Message) -> Joined | None:
    try:
        return ngp.joined(ngp.unpack(message.payload))
    except Malformed:
        return None


def _still_there(meaning: Heard) -> None:
    if meaning is Heard.LOST:
        raise out_of_range("The connection to the pump was lost.")
    if meaning is Heard.LINK_LOST:
        raise meter_error("The meter's radio lost its way; it is about to show E86.")
