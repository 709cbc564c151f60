"""A read that is passed on names nobody's meter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.contracts import Memory
from bridge.model.pseudonym import Pseudonyms
from bridge.readers.ble_glucose import BleGlucoseReader
from tests.readers.ble_glucose.room import ADDRESS, Room


@pytest.mark.parametrize("serial", ["7654321", ""])
@pytest.mark.parametrize("name", ["Contour7800H7654321", "meter+7654321"])
async def test_no_serial_and_no_address_is_left(room: Room, serial: str, name: str) -> None:
    maker = "Roche" if name.startswith("meter") else "Ascensia"
    meter = room.meter(serial=serial, name=name, manufacturer=maker)
    meter.fill(3)
    await meter.switch_on()
    reader = room.reader(ADDRESS)
    batch = (await room.read(reader))[0]
    assert batch.capture
    assert batch.decoded
    passed_on = reader.redacted(batch.capture, Pseudonyms())
    said = f"{passed_on.body!r} {passed_on.context}"
    for secret in ("7654321", b"7654321".hex(), ADDRESS):
        assert secret not in said
    assert serial or maker == "Roche" or ADDRESS not in passed_on.feed
    again = _values(reader, passed_on.body, batch.capture.body)
    assert again
    found = reader.decode(passed_on, Memory()).records
    assert [record.time for record in found] == [record.time for record in batch.decoded.records]


def _values(reader: BleGlucoseReader, one: bytes, other: bytes) -> bool:
    """All but the serial's line is as it was."""
    lines, before = one.splitlines(), other.splitlines()
    differ = [line for line, old in zip(lines, before, strict=True) if line != old]
    return all(line.startswith(b"2A25") for line in differ)


async def test_a_second_meter_gets_another_name(room: Room) -> None:
    names, reader = Pseudonyms(), room.reader()
    meter = room.meter()
    meter.fill(1)
    await meter.switch_on()
    batch = (await room.read(reader))[0]
    assert batch.capture
    first = reader.redacted(batch.capture, names)
    second = reader.redacted(
        replace(batch.capture, body=batch.capture.body.replace(b"30303030303031", b"39393939393939")), names
    )
    assert first.body != second.body
