"""Frames of glucose meters: recorded ones, round trips, and damage."""

from __future__ import annotations

import os
from random import Random
from typing import Any

import pytest

from bridge.errors import Malformed
from bridge.wire.astm import ACK, ENQ, EOT, STX, Frame, build, checksum, ends_frame, parse, pieces
from tests.support.vectors import rows

VECTORS = rows("ble-and-contour", "contour_frames.jsonl")
LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"


def _frame_bytes(row: dict[str, Any]) -> bytes:
    """The frame alone: a greeting has EOT before it and ENQ behind it."""
    return bytes.fromhex(row["bytes_hex"]).removeprefix(EOT).removesuffix(ENQ)


@pytest.mark.parametrize("row", [row for row in VECTORS if row["valid"]], ids=lambda row: row["id"])
def test_recorded_frames_are_read_and_built(row: dict[str, Any]) -> None:
    data = _frame_bytes(row)
    frame = parse(data)
    assert frame == Frame(row["frame_number"], row["text"], row["last"])
    assert build(frame) == data
    assert data[-4:-2].decode() == row["checksum"]
    assert [piece for piece in pieces(bytes.fromhex(row["bytes_hex"])) if piece[:1] == STX] == [data]
    assert ends_frame(bytes.fromhex(row["bytes_hex"]))


@pytest.mark.parametrize("row", [row for row in VECTORS if not row["valid"]], ids=lambda row: row["id"])
def test_damaged_frames_are_refused_by_name(row: dict[str, Any]) -> None:
    with pytest.raises(Malformed) as caught:
        parse(_frame_bytes(row))
    assert {"checksum": "malformed", "incomplete": "incomplete"}[row["error"]] == caught.value.state
    assert ("checksum" in caught.value.message) == (row["error"] == "checksum")


def test_every_row_of_the_vectors_is_asserted_on() -> None:
    assert len(VECTORS) == 12
    assert {row["valid"] for row in VECTORS} == {True, False}


def test_checksum_goes_from_the_number_to_the_end_mark_and_may_be_lower_case() -> None:
    data = build(Frame(1, "R|67|^^^Glucose|7.9|mmol/L^P||B||201011281950"))
    assert checksum(data[1:-4]) == data[-4:-2]
    low = build(Frame(2, "P|2"))[:-4] + build(Frame(2, "P|2"))[-4:].lower()
    assert parse(low).text == "P|2"


def test_numbers_wrap_after_seven() -> None:
    assert [parse(build(Frame(number, "P|1"))).number for number in range(6, 10)] == [6, 7, 0, 1]


def test_a_record_may_go_on_in_the_next_frame() -> None:
    frame = Frame(3, "R|1|^^^Glu", whole=False)
    assert parse(build(frame)) == frame


def test_a_byte_outside_ascii_is_kept() -> None:
    assert parse(build(Frame(1, "P|Zoë"))).text == "P|Zoë"
    with pytest.raises(Malformed):
        build(Frame(1, "P|€"))


def test_any_changed_bit_is_seen() -> None:
    data = build(Frame(4, "R|2|^^^Glucose|102|mg/dL^P||M0/T1||201402052135"))
    for place in range(1, len(data) - 4):
        for bit in range(8):
            spoilt = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
            with pytest.raises(Malformed):
                parse(spoilt)


def test_a_stream_is_cut_without_loss() -> None:
    stream = EOT + build(Frame(1, "H|x")) + ENQ + ACK + b"noise" + STX + b"2cut" + build(Frame(2, "P|1"))
    found = list(pieces(stream))
    assert b"".join(found) == stream
    assert [piece for piece in found if piece[:1] == STX] == [
        build(Frame(1, "H|x")), STX + b"2cut", build(Frame(2, "P|1")),
    ]  # fmt: skip


@pytest.mark.proof
def test_mutated_frames_give_typed_errors_only() -> None:
    seed = 20260310
    print(f"seed {seed}")
    random = Random(seed)
    good = [_frame_bytes(row) for row in VECTORS]
    refused = 0
    for _ in range(250_000 if LONG else 20_000):
        data = bytearray(random.choice(good))
        for _ in range(random.randint(1, 4)):
            data[random.randrange(len(data))] = random.randrange(256)
        data = data[: random.randrange(1, len(data) + 1)] if random.random() < 0.3 else data
        assert b"".join(pieces(bytes(data))) == data
        try:
            parse(bytes(data))
        except Malformed:
            refused += 1
    assert refused > 10_000
