"""Pages and captures written by hand: dates, records, checksums."""

from __future__ import annotations

import json
from binascii import crc_hqx
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.contracts import Decoded, Memory
from bridge.model import Capture
from bridge.model.time import iso_ms
from bridge.readers.medtronic_stick.decode import decode

SERIAL = "123456"


def wall(text: str) -> datetime:
    """`06-01 12:30` or `06-01 12:30:15`, in 2025 unless a year stands before it."""
    return datetime.fromisoformat(text if len(text) > 14 else f"2025-{text}")


def date5(at: datetime, *, requestor: int = 0, hour_bits: int = 0) -> bytes:
    return bytes(
        [
            (at.month >> 2) << 6 | at.second,
            (at.month & 3) << 6 | at.minute,
            hour_bits << 5 | at.hour,
            requestor << 5 | at.day,
            at.year - 2000,
        ]
    )


def date4(at: datetime, sub: int = 0) -> bytes:
    return bytes([(at.month >> 2) << 6 | at.hour, (at.month & 3) << 6 | at.minute, sub << 5 | at.day, at.year - 2000])


def plain(opcode: int, value: int, at: str, requestor: int = 0) -> bytes:
    """A record of seven bytes."""
    return bytes([opcode, value]) + date5(wall(at), requestor=requestor)


def bolus(
    at: str, programmed: float, delivered: float | None = None, *, kind: int = 1, minutes: int = 0, iob: float = 0,
    requestor: int = 0, new: bool = True,
) -> bytes:  # fmt: skip
    given = programmed if delivered is None else delivered
    date = date5(wall(at), requestor=requestor, hour_bits=kind)
    if not new:
        return bytes([1, round(programmed * 10), round(given * 10), minutes // 30]) + date
    amounts = b"".join(round(value * 40).to_bytes(2, "big") for value in (programmed, given, iob))
    return b"\x01" + amounts + bytes([minutes // 30]) + date


def wizard(
    at: str, *, carbs: int = 0, bg: int = 0, food: float = 0, correction: float = 0, iob: float = 0,
    estimate: float | None = None,
) -> bytes:  # fmt: skip
    """A calculation of a new pump in mg/dL and g: ratio 10, ISF 50, target 100 to 120."""
    net = (
        max(food + (max(correction - iob, 0) if correction > 0 else correction), 0) if estimate is None else estimate
    )
    fix, eat, on_board, sum_ = (round(value * 40) for value in (correction, food, iob, net))
    fix &= 0x1FFF
    b = [carbs & 0xFF, 0x50 | bg >> 8 | carbs >> 8 << 2, 0, 100, 50, 100, fix & 0xFF, eat >> 8, eat & 0xFF]
    b += [(fix >> 8) << 3, on_board >> 8, on_board & 0xFF, sum_ >> 8, sum_ & 0xFF, 120]
    return bytes([0x5B, bg & 0xFF]) + date5(wall(at)) + bytes(b)


def scheduled(at: str, rate: float, start_min: int = 0, index: int = 0) -> bytes:
    return bytes([0x7B, index]) + date5(wall(at)) + bytes([start_min // 30]) + round(rate * 40).to_bytes(2, "little")


def temp(at: str, minutes: int, rate: float | None = None, percent: int | None = None, requestor: int = 0) -> bytes:
    date = date5(wall(at), requestor=requestor)
    low, high = (
        (percent, 8) if percent is not None else (round((rate or 0) * 40) & 0xFF, round((rate or 0) * 40) >> 8)
    )
    return bytes([0x33, low]) + date + bytes([high]) + bytes([0x16, minutes // 30]) + date


def clock_set(old: str, new: str, requestor: int = 0) -> bytes:
    return plain(0x17, 0, old, requestor) + plain(0x18, 0, new, requestor)


def suspend(at: str, state: int = 1, before: int = 0) -> bytes:
    return plain(0x1E, before << 5 | state, at)


def resume(at: str, state: int = 0, before: int = 1) -> bytes:
    return plain(0x1F, before << 5 | state, at)


def alarm(at: str, code: int) -> bytes:
    return bytes([6, code, 1, 2]) + date5(wall(at))


def prime(at: str, delivered: float, fixed: float = 0) -> bytes:
    return bytes([3, 0, round(fixed * 10), 0, round(delivered * 10)]) + date5(wall(at))


def page(*records: bytes) -> bytes:
    data = b"".join(records).ljust(1022, b"\0")
    assert len(data) == 1022
    return data + crc_hqx(data, 0xFFFF).to_bytes(2, "big")


def glucose_page(*records: bytes) -> bytes:
    """Records opcode first, oldest first, as they become a page: each reversed, from the front on."""
    data = b"".join(record[::-1] for record in records).ljust(1022, b"\0")
    assert len(data) == 1022
    return data + crc_hqx(data, 0xFFFF).to_bytes(2, "big")


def isig_page(words: Mapping[int, int]) -> bytes:
    data = bytearray(2048)
    for place, word in words.items():
        data[2 * place : 2 * place + 2] = word.to_bytes(2, "little")
    data[2044], data[2046] = crc_hqx(bytes(data[:2044]), 0xFFFF).to_bytes(2, "big")
    return bytes(data)


def mark(at: str, sub: int = 0) -> bytes:
    return b"\x08" + date4(wall(at), sub)


def sensor_clock(at: str, sub: int) -> bytes:
    return b"\x0c" + date4(wall(at), sub)


TOLD = {
    "72": "00008c", "73": "00000ca3", "ce": "030000", "98": "000000200000", "89": "01",
    "c0": "00010001010096008c00000000000064010400140019010101",
    "8a": "010800006409007800000000", "8b": "0100320a3c00000000", "9f": "01006478000000",
    "92": "200000280014000000",
}  # fmt: skip
"""A pump's answers: 0.8 U/h, from 10:00 1.0 U/h; 10 and 12 g/U; 50 and 60 mg/dL per U; 100 to 120 mg/dL."""


def clock_bytes(at: datetime) -> str:
    return bytes([at.hour, at.minute, at.second, at.year >> 8, at.year & 0xFF, at.month, at.day]).hex()


def capture(
    pages: Sequence[bytes] | Mapping[int, bytes] = (), *, now: str, model: str = "523", timezone: str | None = None,
    ahead_s: float = 0, offset_min: int = 0, answers: Mapping[str, str] | None = None,
    glucose: Mapping[int, bytes] | None = None, isig: Mapping[int, bytes] | None = None, **more: Any,
) -> Capture:  # fmt: skip
    """A whole read. `now`: the local time; the pump's clock is `ahead_s` ahead of it; UTC is `offset_min` behind.
    Pages in a sequence: newest first."""
    local = wall(now)
    host = (local - timedelta(minutes=offset_min)).replace(tzinfo=UTC)
    numbered = pages if isinstance(pages, Mapping) else dict(enumerate(pages))
    told = {
        "model": model, "serial": SERIAL, "host_utc": iso_ms(host),
        "clock": clock_bytes(local + timedelta(seconds=ahead_s)),
        "answers": dict(answers or {}), "history": _hex(numbered), "glucose": _hex(glucose), "isig": _hex(isig),
        **more,
    }  # fmt: skip
    context = {"timezone": timezone} if timezone else {}
    return Capture("default", "medtronic-stick", f"medtronic:{SERIAL}", host, json.dumps(told).encode(), context)


def _hex(pages: Mapping[int, bytes] | None) -> dict[str, str]:
    return {str(number): data.hex() for number, data in (pages or {}).items()}


def read(*records: bytes, now: str, memory: Memory | None = None, **how: Any) -> Decoded:
    """Decode a read of one history page."""
    return decode(capture([page(*records)], now=now, **how), memory or Memory())


def of_kind(decoded: Decoded, kind: str) -> list[Any]:
    return [record for record in decoded.records if record.kind == kind]


def codes(decoded: Decoded) -> list[str]:
    return [diagnostic.code for diagnostic in decoded.diagnostics]


def keys(records: Iterable[Any]) -> list[str]:
    return [record.source_key for record in records]
