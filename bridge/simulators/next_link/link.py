"""A Contour Next Link 2.4 on the USB: the meter's own words, its radio, and the pump behind it."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator, Sequence
from enum import Enum
from random import Random

from bridge.simulators.next_link.faults import Faults
from bridge.simulators.next_link.frames import (
    Envelope,
    open_pump_word,
    open_radio_frame,
    pump_word,
    radio_frame,
)
from bridge.simulators.next_link.pump import Pump
from bridge.simulators.next_link.secrets import AirCipher, address, opening, packed_key
from bridge.simulators.usb import Descriptor, Endpoint, Interface, Unplugged
from bridge.wire import abc

OUT, IN = 0x04, 0x83
_EOT, _ENQ, _ACK, _NAK = b"\x04", b"\x05", b"\x06", b"\x15"
_NO_ANSWER = bytes.fromhex("000000020000030000")
_EMPTY_CHANNEL = bytes.fromhex("000020000000030000")
_OVERRUN = bytes.fromhex("000688006501030000")
_PUMP_GONE = bytes.fromhex("0000000200000200010000")
_RSSI = 0x7E


class _Mode(Enum):
    RESTING = 0
    GREETED = 1
    HALF = 2
    COMMANDED = 3
    THROUGH = 4
    READING = 5
    OFFERED = 6
    """Command mode is over: it waits, and a transfer begins when it is asked for."""


class NextLink:
    """The meter. `records` are further ASTM records that its own side tells (for those who read it as a meter)."""

    descriptor = Descriptor(
        0x1A79, 0x6210, (Interface(3, (Endpoint(OUT, True), Endpoint(IN, True))),), "Contour Next Link 2.4"
    )

    def __init__(
        self,
        pump: Pump | None,
        *,
        model_serial: str = "6213-1234567",
        serial: str = "BG1234567B",
        key: bytes = bytes(range(0x10, 0x20)),
        records: Sequence[bytes] = (),
        faults: Faults | None = None,
        seed: int = 1,
    ) -> None:
        self.pump, self.model_serial, self.serial, self.records = pump, model_serial, serial, records
        self.faults = faults or Faults()
        self.address = address(serial)
        self.refused: list[str] = []
        """What came that this meter would never be asked by one who only reads."""
        self.transfers = self.bytes_out = self.bytes_in = 0
        self.log: list[str] = []
        """Words and operations from the host, in order: `W|`, `04`, `op 11`."""
        self.joins: list[int] = []
        """Every channel that the radio was sent to, in order."""
        self._key, self._random = key, Random(seed)
        self.power_cycle()

    def power_cycle(self) -> None:
        """Plugged in anew: nothing of an earlier conversation is left."""
        self._mode = _Mode.RESTING
        self._partial = b""
        self._reports: deque[bytes] = deque()
        self._cipher: AirCipher | None = None
        self._pump_cipher: AirCipher | None = None
        self._frames: deque[bytes] = deque()
        self._sequence = self._word = self._words = self._messages = 0
        self._radio_open = False

    @property
    def resting(self) -> bool:
        """Whether nobody is talking to it and its radio is closed."""
        return self._mode in {_Mode.RESTING, _Mode.OFFERED} and not self._reports and not self._radio_open

    @property
    def _linked(self) -> Pump | None:
        return None if self.faults.unlinked else self.pump

    # --- the port ------------------------------------------------------------------------------------

    def write(self, endpoint: int, data: bytes) -> None:
        """One report from the host."""
        self._transfer()
        self.bytes_out += len(data)
        if endpoint != OUT or len(data) != abc.REPORT or data[:3] not in (b"ABC", b"\0\0\0"):
            return
        piece = data[4 : 4 + data[3]]
        self._partial += piece
        if len(piece) == abc.PAYLOAD and not self._whole():
            return
        message, self._partial = self._partial, b""
        self._messages += 1
        if not self._failed():
            self._hear(message)

    def read(self, endpoint: int, size: int, timeout_s: float) -> bytes | None:
        """One report to the host, or nothing."""
        self._transfer()
        if endpoint != IN or self._failed() or not self._reports:
            return None
        report = self._reports.popleft()
        self.bytes_in += len(report)
        return report[:size]

    def released(self) -> None:
        """A meter does not notice that the host has gone: it stays as it was left."""

    def _transfer(self) -> None:
        self.transfers += 1
        limit = self.faults.unplug_after
        if limit is not None and self.transfers > limit:
            raise Unplugged

    def _failed(self) -> bool:
        after = self.faults.e86_after_messages
        return self.faults.e86 or (after is not None and self._messages > after)

    def _whole(self) -> bool:
        whole = self._partial
        return len(whole) >= 33 and len(whole) == 33 + int.from_bytes(whole[0x1C:0x1E], "little")

    def _tell(self, message: bytes) -> None:
        self._reports.extend(abc.reports(message))

    # --- the meter's own side ------------------------------------------------------------------------

    def _hear(self, message: bytes) -> None:
        if message == _EOT:
            self.log.append("04")
            self._mode = _Mode.OFFERED if self._mode in {_Mode.COMMANDED, _Mode.READING} else _Mode.RESTING
            self._tell(_ENQ)
        elif message.startswith(b"\x51\x03"):
            self._operation(message)
        else:
            self._control(message)

    def _control(self, message: bytes) -> None:
        self.log.append(message.decode("ascii", "replace") if message.isalnum() or b"|" in message else message.hex())
        steps = {
            (_Mode.GREETED, _NAK): (_Mode.HALF, _EOT),
            (_Mode.HALF, _ENQ): (_Mode.COMMANDED, _ACK),
            (_Mode.COMMANDED, b"W|"): (_Mode.COMMANDED, _ACK),
            (_Mode.COMMANDED, b"Q|"): (_Mode.COMMANDED, _ACK),
            (_Mode.COMMANDED, b"R|"): (_Mode.READING, _ACK),
            (_Mode.READING, b"D|"): (_Mode.COMMANDED, self._shown("%y%m%d")),
            (_Mode.READING, b"T|"): (_Mode.COMMANDED, self._shown("%H%M")),
            (_Mode.COMMANDED, b"1|"): (_Mode.THROUGH, _ACK),
            (_Mode.THROUGH, b"W|"): (_Mode.THROUGH, _ACK),
            (_Mode.THROUGH, b"Q|"): (_Mode.THROUGH, _ACK),
            (_Mode.THROUGH, b"0|"): (_Mode.COMMANDED, _ACK),
        }
        if message == b"X" and self._mode in {_Mode.RESTING, _Mode.OFFERED}:
            self._greet()
        elif message == _ACK and self._mode is _Mode.OFFERED:
            self._mode, self._frames = _Mode.GREETED, deque((self._header(), *self._body()))
            self._tell_record()
        elif message == _ACK and self._mode is _Mode.GREETED:
            self._tell_record()
        elif (step := (self._mode, message.removesuffix(b"\r"))) in steps:
            self._mode, answer = steps[step]
            self._tell(answer)
        elif message not in (b"X", _NAK, _ENQ):
            self.refused.append(message.hex())

    def _greet(self) -> None:
        self._mode = _Mode.GREETED
        self._frames = deque(self._body())
        words = [_EOT + astm(1, self._header()), _ENQ]
        for word in reversed(words) if self.faults.enq_first else words:
            self._tell(word)

    def _body(self) -> Iterator[bytes]:
        yield from (b"P|1\r", *self.records, b"L|1||N\r")

    def _shown(self, form: str) -> bytes:
        """A part of its clock, which it has from the pump, and ACK; NAK without a pump."""
        wall = self._linked.wall() if self._linked is not None else None
        return _NAK if wall is None else f"D|{wall:{form}}|\r\n".encode() + _ACK

    def _tell_record(self) -> None:
        if self._frames:
            number = 2 + len(self.records) + 2 - len(self._frames)
            self._tell(astm(number, self._frames.popleft()))
        else:
            self._mode = _Mode.RESTING
            self._tell(_EOT)

    def _header(self) -> bytes:
        stamp = f"{self._linked.wall():%Y%m%d%H%M%S}" if self._linked is not None else ""
        sender = rf"Bayer6210^01.12\01.04\25.25\01.00.A^{self.model_serial}^0000-^{self.serial}"
        settings = "A=1^C=63^G=1,2,3^I=0200^R=0^S=1^U=0^V=10600^X=070070070070180130180180^Y=120180^Z=1"
        return rf"H|\^&||000000|{sender}|{settings}|{len(self.records)}||||||P|1|{stamp}".encode() + b"\r"

    # --- operations ----------------------------------------------------------------------------------

    def _operation(self, message: bytes) -> None:
        try:
            asked = Envelope.decode(message)
        except ValueError:
            self.faults.e86 = True
            return
        if self._mode is not _Mode.THROUGH:
            self.refused.append(f"operation {asked.operation:02x} out of turn")
            return
        self.log.append(f"op {asked.operation:02x}")
        known = {0x10: self._open, 0x11: self._close, 0x12: self._send, 0x14: self._info, 0x16: self._link_key}
        if asked.operation not in known:
            self.refused.append(f"operation {asked.operation:02x}")
            return
        known[asked.operation](asked)

    def _open(self, asked: Envelope) -> None:
        if asked.payload == opening(self.model_serial):
            self._radio_open = True
            self._answer(0x10, asked.sequence, radio_frame(self._network(0x0E, joined=False)))

    def _close(self, asked: Envelope) -> None:
        self._cipher, self._radio_open = None, False
        self._answer(0x11, asked.sequence, radio_frame(bytes(2)))

    def _info(self, asked: Envelope) -> None:
        pump = self._linked.address if self._linked is not None else 0
        body = struct.pack(">QQ", self.address, pump) + struct.pack("<H", 4) + b"\x01"
        self._answer(0x14, asked.sequence, body)

    def _link_key(self, asked: Envelope) -> None:
        has_key = self._linked is not None and not self.faults.keyless
        packed = packed_key(self._key, self.model_serial, self._random) if has_key else b""
        self._answer(0x86, asked.sequence, packed)

    def _answer(self, operation: int, sequence: int, payload: bytes) -> None:
        self._tell(Envelope(operation, sequence, payload).encode())

    # --- the radio -----------------------------------------------------------------------------------

    def _send(self, asked: Envelope) -> None:
        try:
            command, body = open_radio_frame(asked.payload)
        except ValueError:
            self.faults.e86 = True
            return
        if command == 0x03 and len(body) == 26:
            self._join(asked, body)
        elif command == 0x05:
            self._transmit(asked, body)
        else:
            self.refused.append(f"radio command {command:02x}")

    def _join(self, asked: Envelope, body: bytes) -> None:
        pump, channel = self._linked, body[1]
        self.joins.append(channel)
        self._answer(0x81, asked.sequence, radio_frame(bytes(2)))
        met = pump is not None and not self.faults.out_of_range and pump.channel == channel
        if pump is None or not met or body[10:] != struct.pack("<QQ", self.address, pump.address):
            self._from_air(_EMPTY_CHANNEL)
            return
        self._cipher = AirCipher(self._key, channel)
        self._pump_cipher = AirCipher(bytes(16), channel) if self.faults.wrong_key else self._cipher
        self._from_air(self._network(channel ^ 3 if self.faults.wrong_channel else channel, joined=True))

    def _network(self, channel: int, *, joined: bool) -> bytes:
        pump = struct.pack("<Q", self.pump.address if self.pump is not None else 0)
        head = bytes((0, 4 if joined else 0)) + pump[:5] + b"\x02" + pump + b"\x82" + bytes(5) + b"\x07\x00"
        tail = bytes((_RSSI,)) + struct.pack("<Q", self.address) + b"\x42" + bytes(7) + bytes((channel,))
        return head + tail

    def _transmit(self, asked: Envelope, body: bytes) -> None:
        busy = self.faults.busy_radio > 0
        self.faults.busy_radio -= busy
        state = bytes((0, 4, 0, 0, 0, 0, 3, 0, 1, body[8], 4 if busy else 2))
        self._answer(0x81, asked.sequence, radio_frame(state))
        if self._cipher is None or self.pump is None or self.faults.out_of_range:
            self._from_air(_PUMP_GONE)
        elif not busy:
            self._to_pump(self.pump, self._cipher, body[11 : 11 + body[10]])

    def _to_pump(self, pump: Pump, cipher: AirCipher, sealed: bytes) -> None:
        try:
            sequence, command, parameters = open_pump_word(cipher.decrypt(sealed))
        except ValueError:
            self._from_air(_NO_ANSWER)
            return
        if sequence & 0x80:
            self._word = 0
        if command == self.faults.connection_lost_at:
            self._from_air(_PUMP_GONE)
        elif self.faults.no_answers > 0 and command != 0x0412:
            self.faults.no_answers -= 1
            self._from_air(_NO_ANSWER)
        else:
            for word in pump.hear(command, parameters, self.faults):
                self._say(self._pump_cipher or cipher, word)

    def _say(self, cipher: AirCipher, word: bytes) -> None:
        self._words += 1
        gone = self.faults.gone_after_words
        if gone is not None and self._words > gone:
            if self._words == gone + 1:
                self._from_air(_PUMP_GONE)
            return
        for _ in range(self.faults.strays):
            self._from_air(_OVERRUN)
            self._carry(cipher.encrypt(pump_word(0x5F, b"\x04\x07\x01" + bytes(8))))
        self._word = self._word % 0x7F + 1
        sealed = bytearray(cipher.encrypt(pump_word(self._word, word)))
        if self._words in self.faults.damaged_words:
            sealed[0] ^= 1
        self._carry(bytes(sealed))

    def _carry(self, sealed: bytes) -> None:
        pump = self.pump.address if self.pump is not None else 0
        head = b"\0\x06" + struct.pack("<QQ", pump, self.address) + bytes((self._word, 0, 0, len(sealed)))
        self._from_air(head + sealed)

    def _from_air(self, body: bytes) -> None:
        self._sequence += 1
        self._answer(0x80, 0x80000000 | self._sequence, radio_frame(body))


def astm(number: int, record: bytes) -> bytes:
    """A record framed with its number and sum; the mark behind it says whether it is the last."""
    framed = str(number % 8).encode() + record + (b"\x03" if record.startswith(b"L") else b"\x17")
    return b"\x02" + framed + f"{sum(framed) & 0xFF:02X}".encode() + b"\r\n"
