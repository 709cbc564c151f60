"""The virtual CareLink USB stick: requests in, replies out, and pumps by radio behind it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from bridge.simulators.stick.pump import Answer, Refusal, VirtualPump
from bridge.simulators.usb.device import Descriptor, Endpoint, Interface, Unplugged
from bridge.wire.crc import crc8

OUT, IN = 0x01, 0x82
_REPLY, _FRAGMENT = 64, 64
_ACK, _NAK, _SINGLE, _PART = 1, 2, 3, 4
_LEVEL = 0xCA
_PRODUCT = bytes.fromhex("aabbcc000000") + b"ComLink II" + bytes.fromhex("01100200010103")
_PAGES = (0x80, 0x9A, 0x9B)


@dataclass(slots=True)
class _Coming:
    """Data on its way from a pump: `status` as the stick will report it, `last` ends the answer."""

    serial: bytes
    status: int
    data: bytes
    last: bool


class VirtualStick:
    """Pumps by serial. What is wrong with it is set by plain attributes, each counting down by itself.

    `crc_error`: pages that come with a flipped byte; `lost_fragment`: pages of which one 192-byte buffer comes with
    a fragment zeroed and no checksum; `half_page`: pages that break off half way; `stale_reply`: requests that get an
    older reply first; `stick_nak`: requests that the stick refuses; `hang`: requests that it never answers;
    `pause`: the next answer breaks off after so many fragments and goes on so many polls later;
    `stall`: transfers that find the endpoint halted; `unplug_after`: transfers until it is pulled out (None: never).
    """

    descriptor = Descriptor(0x0A21, 0x8001, (Interface(0xFF, (Endpoint(OUT, False), Endpoint(IN, False))),))

    def __init__(self, pumps: Iterable[VirtualPump] = ()) -> None:
        self.pumps = {pump.serial: pump for pump in pumps}
        self.crc_error = self.lost_fragment = self.half_page = 0
        self.stale_reply = self.stick_nak = self.hang = self.stall = 0
        self.pause: tuple[int, int] | None = None
        self.unplug_after: int | None = None
        self.transfers = 0
        self.received: list[bytes] = []
        """Every request that reached the stick."""
        self._replies: deque[bytes] = deque()
        self._coming: deque[_Coming] = deque()
        self._buffer: _Coming | None = None
        self._damaged = False
        self._waits = 0
        self._old = bytes(_REPLY)
        self._sent = self._heard = 0

    # --- the bus ---------------------------------------------------------------------------------------

    def write(self, endpoint: int, data: bytes) -> None:
        """One request."""
        self._transfer()
        self.received.append(data)
        if self._counted("hang"):
            return
        if self._counted("stale_reply"):
            self._replies.append(self._old)
        reply = self._status(b"\x03", accepted=False) if self._counted("stick_nak") else self._answer(data)
        self._old = reply if len(reply) == _REPLY else self._old
        self._replies.append(reply)

    def read(self, endpoint: int, size: int, timeout_s: float) -> bytes | None:
        """The oldest reply that was not fetched."""
        self._transfer()
        if not self._replies:
            return None
        reply = self._replies.popleft()
        if len(reply) > size:
            self._replies.appendleft(reply[size:])
        return reply[:size]

    def released(self) -> None:
        """Nothing changes: what was not fetched is still there for the next program."""

    def _transfer(self) -> None:
        self.transfers += 1
        if self.unplug_after is not None:
            self.unplug_after -= 1
            if self.unplug_after < 0:
                self._lose_power()
                raise Unplugged
        if self._counted("stall"):
            _halt()

    def _lose_power(self) -> None:
        self.unplug_after = None
        self._replies.clear()
        self._coming.clear()
        self._buffer, self._waits = None, 0

    def _counted(self, knob: str) -> bool:
        """Whether the knob is set; one less next time."""
        left: int = getattr(self, knob)
        setattr(self, knob, max(left - 1, 0))
        return left > 0

    # --- requests --------------------------------------------------------------------------------------

    def _answer(self, request: bytes) -> bytes:
        match request[0]:
            case 0x01:
                return self._transmit(request)
            case 0x03:
                return self._status(self._link())
            case 0x04:
                return self._status(_PRODUCT)
            case 0x05:
                counts = self._heard.to_bytes(4, "big") + self._sent.to_bytes(4, "big")
                return self._status(bytes(4) + counts)
            case 0x06:
                return self._status(bytes([0xBC]))
            case 0x0C if crc8(request[:4]) == request[4]:
                return self._fetched(int.from_bytes(request[2:4], "big"))
        return self._status(b"\x01", accepted=False)

    def _status(self, body: bytes, *, accepted: bool = True) -> bytes:
        """64 bytes; what the body does not fill is what was there before."""
        head = b"\x01\x55\0" if accepted else b"\x01\x66"
        fresh = head + body
        return fresh + self._old[len(fresh) :]

    def _transmit(self, request: bytes) -> bytes:
        count = int.from_bytes(request[7:9], "big") & 0x7FFF
        params = request[15 : 15 + count]
        if request[:4] != b"\x01\0\xa7\x01" or crc8(request[:14]) != request[14] or crc8(params) != request[-1]:
            return self._status(b"\x02", accepted=False)
        self._sent += 1
        serial, opcode = request[4:7], request[13]
        pump = self.pumps.get(serial.hex())
        answer = pump.ask(opcode, params) if pump is not None else None
        self._coming.extend(self._by_radio(serial, opcode, answer))
        self._waits = 6 if opcode == 0x5D else 1
        return self._status(b"")

    def _by_radio(self, serial: bytes, opcode: int, answer: Answer) -> list[_Coming]:
        if answer is None:
            return []
        if isinstance(answer, Refusal):
            return [_Coming(serial, _NAK, bytes([answer.code]), True)]
        if len(answer) < _FRAGMENT:
            return [_Coming(serial, _ACK, answer, True)]
        parts = [answer[at : at + _FRAGMENT] for at in range(0, len(answer), _FRAGMENT)]
        if opcode in _PAGES:
            self._spoil(parts)
        status = _SINGLE if len(parts) == 1 else _PART
        whole = len(answer) // _FRAGMENT
        return [_Coming(serial, status, part, number == whole) for number, part in enumerate(parts, 1)]

    def _spoil(self, parts: list[bytes]) -> None:
        if self._counted("crc_error"):
            parts[3] = bytes([parts[3][0] ^ 0x10]) + parts[3][1:]
        if self._counted("half_page"):
            del parts[len(parts) // 2 :]
        self._damaged = self._damaged or self._counted("lost_fragment")

    # --- the radio's buffer ----------------------------------------------------------------------------

    def _link(self) -> bytes:
        """Every poll that finds the air quiet long enough brings one fragment more into the buffer."""
        if self._waits:
            self._waits -= 1
        elif self._coming:
            self._collect(3 if self._damaged and len(self._coming) >= 3 else 1)
            self._pause()
        waiting = len(self._buffer.data) + 14 if self._buffer is not None else 0
        flags = bool(waiting) | (bool(self._coming) << 1)
        return bytes([0, 2, flags]) + waiting.to_bytes(2, "big")

    def _pause(self) -> None:
        if self.pause is not None:
            left, polls = self.pause
            self.pause = (left - 1, polls) if left > 1 else None
            self._waits = polls if left <= 1 else 0

    def _collect(self, fragments: int) -> None:
        for _ in range(fragments):
            part, before = self._coming.popleft(), self._buffer
            data = part.data if before is None else before.data + part.data
            self._buffer = _Coming(part.serial, part.status, data, part.last)
            self._heard += 1

    def _fetched(self, size: int) -> bytes:
        buffer, self._buffer = self._buffer, None
        if buffer is None or size != len(buffer.data) + 14:
            return self._status(b"\x04", accepted=False)
        length = len(buffer.data) | (0x8000 if buffer.last else 0)
        head = bytes([2, 0, buffer.status, 0, _LEVEL]) + length.to_bytes(2, "big") + b"\xa7\x01" + buffer.serial
        data, check = buffer.data, crc8(buffer.data)
        if self._damaged and len(data) >= 3 * _FRAGMENT:
            data, check = data[:_FRAGMENT] + bytes(_FRAGMENT) + data[2 * _FRAGMENT :], 0
            self._damaged = False
        return head + bytes([crc8(head)]) + data + bytes([check])


def _halt() -> None:
    from errno import EPIPE

    from usb.core import USBError

    raise USBError("Pipe error", -9, EPIPE)
