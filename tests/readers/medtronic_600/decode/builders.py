"""Events, blocks, payloads and captures as a pump would send them, built by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lzallright import LZOCompressor

from bridge.contracts import Decoded, Memory
from bridge.model import Capture, Record
from bridge.readers.medtronic_600.decode import decode
from bridge.wire.crc import crc16

SERIAL = "NG1234567H"
OFFSET = -1_592_387_759
"""An offset that puts START on 2017-09-01T12:00:00 of the pump's clock."""
START = 2_149_970_159
HOST = datetime(2017, 9, 1, 12, 0, tzinfo=UTC)


def event(
    kind: int, rtc: int, body: bytes = b"", *, offset: int = OFFSET, source: int = 0, auto: bool = False
) -> bytes:
    head = bytes([kind, source | (0x80 if auto else 0), 11 + len(body)])
    return head + rtc.to_bytes(4, "big") + (offset & 0xFFFFFFFF).to_bytes(4, "big") + body


def units(amount_u: float) -> bytes:
    return round(amount_u * 10_000).to_bytes(4, "big", signed=amount_u < 0)


def u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def programmed(rtc: int, number: int, amount_u: float, source: int = 0) -> bytes:
    return event(0x15, rtc, bytes([source, number, 0]) + units(amount_u) + units(0))


def delivered(rtc: int, number: int, amount_u: float, given_u: float | None = None, source: int = 0) -> bytes:
    given = amount_u if given_u is None else given_u
    return event(0xDC, rtc, bytes([source, number, 0]) + units(amount_u) + units(given) + units(0))


def square(rtc: int, number: int, amount_u: float, minutes: int) -> bytes:
    return event(0x16, rtc, bytes([0, number, 0]) + units(amount_u) + u16(minutes) + units(0))


def square_done(rtc: int, number: int, amount_u: float, given_u: float, minutes: int, actual: int) -> bytes:
    amounts = units(amount_u) + units(given_u) + u16(minutes) + u16(actual)
    return event(0xDD, rtc, bytes([0, number, 0]) + amounts + units(0))


def dual(rtc: int, number: int, normal_u: float, square_u: float, minutes: int, source: int = 0) -> bytes:
    return event(0x17, rtc, bytes([source, number, 0]) + units(normal_u) + units(square_u) + u16(minutes) + units(0))


def dual_part(
    rtc: int, number: int, normal_u: float, square_u: float, given_u: float, part: int, minutes: int, actual: int
) -> bytes:
    amounts = units(normal_u) + units(square_u) + units(given_u)
    return event(0xDE, rtc, bytes([0, number, 0]) + amounts + bytes([part]) + u16(minutes) + u16(actual) + units(0))


def wizard(
    rtc: int, *, carbs: int = 0, food_u: float = 0, correction_u: float = 0, final_u: float = 0, bg: int = 0,
    exchanges: bool = False, mmol: bool = False, isf: int = 50, ratio: int = 100,
) -> bytes:  # fmt: skip
    tables = u16(bg) + u16(carbs) + u16(isf) + ratio.to_bytes(4, "big") + u16(90) + u16(120)
    amounts = units(correction_u) + units(food_u) + units(0) + units(0) + units(final_u)
    return event(0x3D, rtc, bytes([mmol, exchanges]) + tables + amounts + b"\0\0" + units(final_u))


def segment(rtc: int, rate_u_h: float, place: int = 0, pattern: int = 1) -> bytes:
    return event(0x1D, rtc, bytes([pattern, place]) + units(rate_u_h))


def temp(rtc: int, minutes: int, *, percent: int | None = None, rate_u_h: float = 0) -> bytes:
    kind = 0 if percent is None else 1
    return event(0x1B, rtc, bytes([0, kind]) + units(rate_u_h) + bytes([percent or 0]) + u16(minutes))


def temp_done(
    rtc: int, minutes: int, *, percent: int | None = None, rate_u_h: float = 0, canceled: bool = False,
    actual: int | None = None,
) -> bytes:  # fmt: skip
    kind = 0 if percent is None else 1
    body = bytes([0, kind]) + units(rate_u_h) + bytes([percent or 0]) + u16(minutes) + bytes([canceled])
    return event(0x22, rtc, body + (b"" if actual is None else u16(actual)))


def blood(rtc: int, mgdl: int, meter: str = "", *, cal: bool = False, source: int = 1) -> bytes:
    return event(0x32, rtc, bytes([2 if cal else 0]) + u16(mgdl) + bytes([source]) + meter[::-1].encode().ljust(10))


def loop_blood(rtc: int, mgdl: int, context: int, *, radio: bool = True) -> bytes:
    return event(0x82, rtc, u16(mgdl) + bytes(9) + bytes([context << 3 | radio << 1]))


def sensor(rtc: int, *readings: tuple[int, float, int, int]) -> bytes:
    """(raw glucose, rate, sensor status, reading status), newest first."""
    rows = b"".join(
        bytes([sg >> 8, sg & 0xFF]) + u16(3000) + b"\xd5" + round(rate * 100).to_bytes(2, "big", signed=True)
        + bytes([status, reading])
        for sg, rate, status, reading in readings
    )  # fmt: skip
    return event(0xD6, rtc, bytes([5, len(readings)]) + u16(120) + rows, source=2)


def alarm(rtc: int, code: int, data: bytes = b"", *, mode: int = 2) -> bytes:
    return event(0x28, rtc, u16(code) + bytes(4) + bytes([mode, 2]) + data.ljust(10, b"\0"))


def cleared(rtc: int, code: int) -> bytes:
    return event(0x2A, rtc, u16(code) + b"\0\0")


def block(events: bytes) -> bytes:
    return events.ljust(0x7FC, b"\0") + u16(len(events)) + u16(crc16(events))


def blocks(events: Iterable[bytes]) -> list[bytes]:
    """Events never cross blocks."""
    found, used = list[bytes](), b""
    for one in events:
        if len(used) + len(one) > 0x7FC:
            found.append(block(used))
            used = b""
        used += one
    return [*found, block(used)] if used else found


def payload(data: bytes, kind: int = 2, *, compressed: bool = True, size: int | None = None) -> bytes:
    packed = LZOCompressor().compress(data) if compressed else data
    sizes = len(packed).to_bytes(4, "big") + (len(data) if size is None else size).to_bytes(4, "big")
    return b"\x03\x0e" + bytes([kind]) + sizes + bytes([compressed]) + packed


def payloads(*events: bytes, kind: int = 2) -> list[bytes]:
    """The payloads that hold these events, 16 blocks each."""
    pages = blocks(events)
    return [payload(b"".join(pages[at : at + 16]), kind) for at in range(0, len(pages), 16)]


def history(*events: bytes, kind: int = 2) -> bytes:
    """A file of payloads, one behind the other."""
    return b"".join(payloads(*events, kind=kind))


def time_answer(rtc: int, offset: int = OFFSET, *, is_set: bool = True) -> bytes:
    return b"\x01\x04\x07" + bytes([is_set]) + rtc.to_bytes(4, "big") + (offset & 0xFFFFFFFF).to_bytes(4, "big")


def status_answer(**fields: Any) -> bytes:
    """A quiet pump; a field is `at=(offset, bytes)`."""
    body = bytearray(96)
    body[:4] = b"\x02\x01\x3c\x10"
    body[0x1A] = 1
    body[0x43:0x45] = b"\xff\xff"
    for at, value in fields.values():
        body[at : at + len(value)] = value
    return bytes(body)


def table_answer(command: int, rows: Sequence[bytes]) -> bytes:
    body = bytes([len(rows)]) + b"".join(rows)
    return b"\x03" + u16(command) + u16(crc16(body)) + body


def settings_answers(**more: bytes) -> dict[str, bytes]:
    """A complete set: one pattern in use."""
    basic = bytearray(0x38)
    basic[:3] = b"\x07\x01\x39"
    basic[0x14:0x1C] = units(10) + units(2)
    basic[0x24:0x26] = u16(240)
    patterns = {f"0123:{n}": b"\x08\x01\x23" + bytes([n, 0]) for n in range(2, 9)}
    first = b"\x08\x01\x23\x01\x02" + units(0.5) + b"\0" + units(0.6) + b"\x10"
    return {
        "0123:1": first,
        **patterns,
        "012c": table_answer(0x012C, [(100).to_bytes(4, "big") + bytes(4) + b"\0"]),
        "012f": table_answer(0x012F, [u16(50) + u16(28) + b"\0"]),
        "0132": table_answer(0x0132, [u16(120) + u16(67) + u16(90) + u16(50) + b"\0"]),
        "0139": bytes(basic),
        **more,
    }


def visit(
    *events: bytes, rtc: int = START + 7200, host: datetime = HOST, sensor_events: Sequence[bytes] = (),
    answers: Mapping[str, bytes] | None = None, offset: int = OFFSET, timezone: str | None = None,
) -> Capture:  # fmt: skip
    """A live capture."""
    found = {"0407": time_answer(rtc, offset), **(answers or {})}
    pages = {
        "02": [one.hex() for one in payloads(*events)],
        "03": [one.hex() for one in payloads(*sensor_events, kind=3)],
    }
    body = {
        "pump": SERIAL, "model": "MMT-1712", "meter": "6213-1234567", "host_utc": host.isoformat(),
        "answers": {name: value.hex() for name, value in found.items()}, "history": pages,
    }  # fmt: skip
    context = {"timezone": timezone} if timezone else {}
    return Capture("default", "medtronic-600", f"medtronic:{SERIAL}", host, json.dumps(body).encode(), context)


def file(body: bytes, timezone: str | None = "Europe/Prague") -> Capture:
    context = {"timezone": timezone} if timezone else {}
    return Capture("default", "medtronic-600", "medtronic", HOST, body, context)


def decoded(capture: Capture, memory: Memory | None = None) -> Decoded:
    return decode(capture, memory or Memory())


def after(decoded: Decoded, before: Memory | None = None) -> Memory:
    """What the next decode recalls."""
    return Memory({**(before.sightings if before else {}), **decoded.sightings}, decoded.state)


def of_kind(found: Decoded, kind: str) -> list[Any]:
    """The records of one kind, in order of time."""
    records: list[Record] = [record for record in found.records if record.kind == kind]
    return records


def set_clock(rtc: int, by_s: int) -> bytes:
    """A person set the clock forward or back."""
    return event(0x03, rtc, rtc.to_bytes(4, "big") + (OFFSET + by_s & 0xFFFFFFFF).to_bytes(4, "big"))
