"""A 640G or 670G: what it answers to each question, and its long answers in segments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from bridge.simulators.next_link import status
from bridge.simulators.next_link.clock import RunningClock
from bridge.simulators.next_link.events import u16, u32
from bridge.simulators.next_link.faults import Faults
from bridge.simulators.next_link.history import BLOCK, Canned, History, Remembered, plain_size
from bridge.simulators.next_link.life import CARB_RATIO_G_U, SEGMENTS, Life
from bridge.simulators.next_link.secrets import address
from bridge.simulators.patient import VirtualPatient, fixed
from bridge.wire.crc import crc16

LONGEST_WORD = 96
"""Command and parameters that still fit into one packet of the radio."""
SEGMENT = 94
MODELS = {"640G": "MMT-1712", "670G": "MMT-1780"}
_ACK, _NAK, _HIGH_SPEED = 0x00FE, 0x00FF, 0x0412
_BEGINS, _SEGMENT, _RESEND = 0xFF00, 0xFF01, 0xFF02
_NOT_SUPPORTED = 0x08


class Pump:
    """`kind` 640G or 670G. `canned`: parameters to answer with by answer command, before anything else.

    Lives with `patient`, or hands out `history` as given. `now` tells the true time.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        patient: VirtualPatient | None = None,
        *,
        kind: str = "670G",
        serial: str = "NG1234567H",
        channel: int = 0x14,
        history: History | None = None,
        canned: Mapping[int, bytes] | None = None,
        born: datetime = datetime(2025, 1, 1, tzinfo=UTC),
        meter_serial: str = "BG1234567B",
    ) -> None:
        self.serial, self.model, self.channel, self.address = serial, MODELS[kind], channel, address(serial)
        self.clock = RunningClock(born, patient.pump if patient is not None else fixed(60))
        self.canned = dict(canned or {})
        self._now, self._patient = now, patient
        self._life: Life | None = None
        self._history: History = history or Canned({})
        if patient is not None:
            names = serial, self.model, meter_serial
            self._life = Life(patient, self.clock, names, loop=kind == "670G")
            self._history = history or Remembered(self._life)
        self._sender = _Sender()
        self.heard: list[int] = []
        """Every command that came, in order."""
        self.spans: dict[int, list[tuple[int, int]]] = {}
        """Stretches of history that were asked for, by data type, in order."""
        self._answers: dict[int, tuple[int, Callable[[bytes], bytes]]] = {
            0x0403: (0x0407, self._time), 0x0112: (0x013C, self._status), 0x0116: (0x0123, _pattern),
            0x012B: (0x012C, _ratios), 0x012E: (0x012F, _sensitivities), 0x0131: (0x0132, _targets),
            0x0138: (0x0139, _parameters), 0x013A: (0x013B, self._string), 0x0200: (0x0201, self._characteristics),
            0x030C: (0x030D, self._history_info),
        }  # fmt: skip

    def hear(self, command: int, parameters: bytes, faults: Faults) -> list[bytes]:
        """Words (command and parameters) that the pump says to this one."""
        self.heard.append(command)
        if command == _HIGH_SPEED:
            self._sender.forget()
            return []
        if command in (_ACK, _RESEND):
            return self._sender.hear(command, parameters, faults)
        if faults.nak is not None and faults.nak_command in (None, command):
            return [_word(_NAK, command.to_bytes(2, "big") + bytes((faults.nak,)))]
        if command == 0x0304:
            return self._sender.begin(self._pages(parameters, faults), bulk=True)
        if command not in self._answers:
            return [_word(_NAK, command.to_bytes(2, "big") + bytes((_NOT_SUPPORTED,)))]
        return self._answered(command, parameters, faults)

    def wall(self) -> datetime:
        """What its clock shows."""
        return self.clock.wall(self._now())

    def _answered(self, command: int, parameters: bytes, faults: Faults) -> list[bytes]:
        code, make = self._answers[command]
        told = self.canned[code] if code in self.canned else make(parameters)
        if code == 0x0407 and faults.clock_not_set:
            told = b"\0" + told[1:]
        if code == 0x030D and faults.empty_history:
            told = told[:1] + bytes(4) + told[5:]
        word = _word(code, told)
        return [word] if len(word) <= LONGEST_WORD else self._sender.begin([word], bulk=False)

    # --- what is asked -------------------------------------------------------------------------------

    def _time(self, _: bytes) -> bytes:
        return b"\x01" + self.clock.stamp(self._now())

    def _status(self, _: bytes) -> bytes:
        if self._patient is None or self._life is None:
            return status.at_rest()
        return status.worn(self._patient, self._life, self.clock, self._now())

    def _string(self, parameters: bytes) -> bytes:
        text = self.model.encode("utf-16-be").ljust(0x50, b"\0")
        return self.address.to_bytes(8, "big") + parameters[10:11] + b"\0\0" + text

    def _characteristics(self, _: bytes) -> bytes:
        head = self.serial.encode() + self.address.to_bytes(8, "big") + bytes.fromhex("02010110010001000a003c012c")
        return head + bytes.fromhex("0000ffff0701000209440201410000000000000100")

    def _span(self, parameters: bytes) -> tuple[int, int, int]:
        kind, start, end = parameters[0], *(int.from_bytes(parameters[at : at + 4], "big") for at in (2, 6))
        return kind, start, end

    def _pages(self, parameters: bytes, faults: Faults) -> list[bytes]:
        if faults.empty_history:
            return []
        return list(self._history.pages(*self._span(parameters), self._now()))

    def _history_info(self, parameters: bytes) -> bytes:
        kind, start, end = self._span(parameters)
        self.spans.setdefault(kind, []).append((start, end))
        size = sum(plain_size(page) for page in self._history.pages(kind, start, end, self._now()))
        bounds = (self.clock.stamp(self.clock.instant(rtc)) for rtc in (start, end))
        return bytes((kind,)) + (size // BLOCK * BLOCK).to_bytes(4, "big") + b"".join(bounds)


class _Sender:
    """Long answers, one after the other: announced, sent in segments, sent again, acknowledged."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._current: bytes | None = None
        self._times_lost: dict[int, int] = {}
        self._bulk = False

    def forget(self) -> None:
        """Drop whatever was going on."""
        self._waiting, self._current, self._bulk = [], None, False

    def begin(self, words: list[bytes], *, bulk: bool) -> list[bytes]:
        """First words of a series; `bulk`: framed by the pump's own change of speed."""
        self._waiting, self._bulk = list(words), bulk
        return [*([_word(_HIGH_SPEED, b"\0")] if bulk else []), *self._next()]

    def hear(self, command: int, parameters: bytes, faults: Faults) -> list[bytes]:
        """The host acknowledges or asks again."""
        if self._current is None:
            return []
        first, count = int.from_bytes(parameters[:2], "big"), int.from_bytes(parameters[2:4], "big")
        if command == _RESEND:
            return self._segments(list(range(first, first + count)), faults)
        if first == _BEGINS:
            return self._segments(list(range(len(self._pieces()))), faults)
        return self._next() if first == _SEGMENT else []

    def _next(self) -> list[bytes]:
        self._times_lost = {}
        self._current = self._waiting.pop(0) if self._waiting else None
        if self._current is not None:
            pieces = self._pieces()
            sizes = len(self._current).to_bytes(4, "big") + u16(SEGMENT) + u16(len(pieces[-1])) + u16(len(pieces))
            return [_word(_BEGINS, sizes)]
        return [_word(0x030A, b"\0"), _word(_HIGH_SPEED, b"\x01")] if self._bulk else []

    def _pieces(self) -> list[bytes]:
        whole = self._current or b""
        return [whole[at : at + SEGMENT] for at in range(0, len(whole), SEGMENT)]

    def _segments(self, numbers: list[int], faults: Faults) -> list[bytes]:
        pieces, said = self._pieces(), []
        for number in _shuffled(numbers, faults):
            if number >= len(pieces) or self._lost(number, faults):
                continue
            word = _word(_SEGMENT, u16(number) + pieces[number])
            said += [word, word] if number in faults.duplicate_segments else [word]
        return said

    def _lost(self, number: int, faults: Faults) -> bool:
        if faults.silent_after_segment is not None and number > faults.silent_after_segment:
            return True
        times = self._times_lost.get(number, 0)
        self._times_lost[number] = times + 1
        return number in faults.lost_segments and times < faults.lost_times


def _shuffled(numbers: list[int], faults: Faults) -> list[int]:
    order = list(numbers)
    for number in faults.swapped_segments:
        if number in order and number + 1 in order:
            left, right = order.index(number), order.index(number + 1)
            order[left], order[right] = order[right], order[left]
    return order


def _word(command: int, parameters: bytes) -> bytes:
    return command.to_bytes(2, "big") + parameters


def _pattern(parameters: bytes) -> bytes:
    rows = [u32(rate) + bytes((minutes // 30,)) for minutes, rate in SEGMENTS] if parameters[0] == 1 else []
    return parameters[:1] + bytes((len(rows),)) + b"".join(rows)


def _ratios(_: bytes) -> bytes:
    return _table([round(CARB_RATIO_G_U * 10).to_bytes(4, "big") + bytes(4) + b"\0"])


def _sensitivities(_: bytes) -> bytes:
    return _table([u16(40) + u16(22) + b"\0"])


def _targets(_: bytes) -> bytes:
    day = u16(120) + u16(67) + u16(90) + u16(50) + b"\0"
    return _table([day, u16(130) + u16(72) + u16(100) + u16(56) + bytes((44,))])


def _table(rows: list[bytes]) -> bytes:
    body = bytes((len(rows),)) + b"".join(rows)
    return u16(crc16(body)) + body


def _parameters(_: bytes) -> bytes:
    form = bytearray(0x3D)
    on = b"\x01"
    for at, value in ((6, on), (0x14, u32(25)), (0x18, u32(35)), (0x24, u16(240)), (0x30, on), (0x37, on)):
        form[at - 3 : at - 3 + len(value)] = value
    return bytes(form)
