"""The virtual stick byte by byte: replies as the real one gives them, and each knob."""

from __future__ import annotations

from datetime import datetime
from random import Random

import pytest

from bridge.simulators.stick import Nak, PumpMemory, VirtualPump, VirtualStick
from bridge.simulators.usb import Unplugged
from bridge.wire.crc import crc8, crc16

SERIAL = "123456"
OUT, IN = 0x01, 0x82
LINK = b"\x03\0\0"


def _page(seed: int) -> bytes:
    body = Random(seed).randbytes(1022)
    return body + crc16(body).to_bytes(2, "big")


@pytest.fixture
def stick() -> VirtualStick:
    memory = PumpMemory({0x72: b"\0\0\x91"}, [_page(2), _page(1)], glucose={7: _page(3)}, isig={})
    return VirtualStick([VirtualPump(SERIAL, "523", memory, lambda: datetime(2026, 3, 10, 7, 8, 9))])  # noqa: DTZ001


def ask(stick: VirtualStick, request: bytes, size: int = 64) -> bytes | None:
    stick.write(OUT, request)
    return stick.read(IN, size, 0.1)


def transmit(opcode: int, params: bytes = b"", records: int = 1) -> bytes:
    power = opcode == 0x5D
    head = bytes.fromhex("0100a701" + SERIAL) + (0x8000 | len(params)).to_bytes(2, "big")
    head += bytes([0x55 if power else 0, 0 if power else 2, records, 0, opcode])
    return head + bytes([crc8(head)]) + params + bytes([crc8(params)])


def gather(stick: VirtualStick, request: bytes, polls: int = 40) -> list[bytes]:
    """All radio replies to a command."""
    assert (ask(stick, request) or b"")[:2] == b"\x01\x55"
    found = []
    for _ in range(polls):
        link = ask(stick, LINK) or b""
        size = int.from_bytes(link[6:8], "big")
        if link[5] & 1:
            head = b"\x0c\0" + size.to_bytes(2, "big")
            found.append(ask(stick, head + bytes([crc8(head)]), -(-size // 64) * 64) or b"")
    return found


def test_product_info_as_captured(stick: VirtualStick) -> None:
    reply = ask(stick, b"\x04\0\0") or b""
    assert reply[:29] == bytes.fromhex("015500aabbcc000000436f6d4c696e6b204949011002000101030000000000")[:29]


def test_the_tail_of_a_reply_is_what_was_there_before(stick: VirtualStick) -> None:
    ask(stick, b"\x04\0\0")
    reply = ask(stick, LINK) or b""
    assert b"ComLink"[1:] in reply[8:]


def test_single_record_as_captured(stick: VirtualStick) -> None:
    (reply,) = gather(stick, transmit(0x8D))
    captured = bytes.fromhex("02000300ca8040a7011234562403353233") + bytes(60) + b"\xc7"
    assert reply == captured


def test_page_in_fragments(stick: VirtualStick) -> None:
    parts = gather(stick, transmit(0x80, b"\1", 2))
    assert b"".join(part[13:-1] for part in parts) == _page(1)
    assert [part[5] >> 7 for part in parts] == [0] * (len(parts) - 1) + [1]
    assert all(crc8(part[:12]) == part[12] for part in parts)
    assert all(crc8(part[13:-1]) == part[-1] for part in parts)


@pytest.mark.parametrize("opcode", [0x28, 0x40, 0x42, 0x4C, 0x4D, 0x5B, 0x69, 0x6F, 0xA8])
def test_the_pump_refuses_what_is_no_read(stick: VirtualStick, opcode: int) -> None:
    (reply,) = gather(stick, transmit(opcode))
    assert (reply[2], reply[13]) == (2, Nak.UNKNOWN_COMMAND)


def test_pages_that_do_not_exist(stick: VirtualStick) -> None:
    for request in (transmit(0x80, b"\2", 2), transmit(0x9A, bytes([0, 0, 0, 8]), 2), transmit(0x9B, bytes(4), 2)):
        (reply,) = gather(stick, request)
        assert (reply[2], reply[13]) == (2, Nak.NO_PAGE)


def test_requests_with_a_wrong_checksum_are_refused(stick: VirtualStick) -> None:
    good = transmit(0x80, b"\1", 2)
    for at in (14, len(good) - 1, 15):
        assert (ask(stick, good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]) or b"")[:2] == b"\x01\x66"
    assert (ask(stick, b"\x0c\0\0\x4e\0") or b"")[:2] == b"\x01\x66"
    assert not stick.pumps[SERIAL].asked


def test_asleep_until_the_power_command(stick: VirtualStick) -> None:
    pump = stick.pumps[SERIAL]
    pump.asleep = True
    assert gather(stick, transmit(0x8D)) == []
    (reply,) = gather(stick, transmit(0x5D, b"\x01\x0a", 0))
    assert (reply[2], reply[13:-1]) == (1, b"\0")
    assert len(gather(stick, transmit(0x8D))) == 1


def test_out_of_range_and_other_serials_are_silence(stick: VirtualStick) -> None:
    stick.pumps[SERIAL].out_of_range = True
    assert gather(stick, transmit(0x8D)) == []
    stick.pumps.clear()
    assert gather(stick, transmit(0x8D)) == []


def test_crc_error(stick: VirtualStick) -> None:
    stick.crc_error = 1
    bad, good = (b"".join(each[13:-1] for each in gather(stick, transmit(0x80, b"\0", 2))) for _ in range(2))
    assert sum(one != other for one, other in zip(bad, good, strict=True)) == 1
    assert good == _page(2)


def test_lost_fragment(stick: VirtualStick) -> None:
    stick.lost_fragment = 1
    parts = gather(stick, transmit(0x80, b"\0", 2))
    large = next(part for part in parts if len(part) == 192 + 14)
    assert (large[-1], large[13 + 64 : 13 + 128]) == (0, bytes(64))


def test_half_page(stick: VirtualStick) -> None:
    stick.half_page = 1
    parts = gather(stick, transmit(0x80, b"\0", 2))
    assert sum(len(part) - 14 for part in parts) == 512
    assert not any(part[5] >> 7 for part in parts)


def test_stale_reply_hang_and_refusal(stick: VirtualStick) -> None:
    stick.stale_reply = 1
    assert b"ComLink" not in (ask(stick, b"\x04\0\0") or b"")
    assert b"ComLink" in (stick.read(IN, 64, 0.1) or b"")
    stick.hang = 1
    assert ask(stick, LINK) is None
    stick.stick_nak = 1
    assert (ask(stick, LINK) or b"")[:3] == b"\x01\x66\x03"
    assert (ask(stick, LINK) or b"")[:3] == b"\x01\x55\0"


def test_unplug_after(stick: VirtualStick) -> None:
    stick.unplug_after = 3
    ask(stick, LINK)
    stick.write(OUT, LINK)
    with pytest.raises(Unplugged):
        stick.read(IN, 64, 0.1)


def test_naks(stick: VirtualStick) -> None:
    stick.pumps[SERIAL].naks[0x72] = Nak.BOLUS_RUNS
    (reply,) = gather(stick, transmit(0x72))
    assert (reply[2], reply[13]) == (2, 0x0C)


def test_clock(stick: VirtualStick) -> None:
    (reply,) = gather(stick, transmit(0x70))
    assert reply[13:20].hex() == "07080907ea030a"
