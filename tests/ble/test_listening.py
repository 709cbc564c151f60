"""How the machine listens: passively where it can, and never at the cost of a device that is then not found."""

from __future__ import annotations

import pytest

from bridge.ble import BleakRadio, radio
from bridge.ble.listening import ACTIVE_AT_FIRST, ACTIVE_EVERY, Ways, patterns
from bridge.contracts.ble import Sighted
from bridge.simulators.ble.bluez import FakeBlueZ
from tests.ble.test_bluez import bluez, bus, needs_dbus
from tests.readers.ble_glucose.room import ADDRESS, OTHER, Room

__all__ = ["bluez", "bus"]
NAME = "Contour7800H0000001"


async def look(room: Room, *, thorough: bool = False) -> list[Sighted]:
    return list(await room.radio.scan("1808", 0.4, lambda one: one.address == ADDRESS, thorough=thorough))


def test_every_second_look_is_active_then_every_fourth() -> None:
    ways = Ways(passive=True)
    assert (ACTIVE_AT_FIRST, ACTIVE_EVERY) == (2, 4)
    assert [ways.next() for _ in range(4)] == ["passive", "active"] * 2
    ways.found()
    assert [ways.next() for _ in range(8)] == ["passive", "passive", "passive", "active"] * 2


def test_what_was_refused_is_not_tried_again() -> None:
    ways = Ways(passive=True)
    ways.refused(ValueError("no"))
    assert {ways.next() for _ in range(9)} == {"active"}


def test_a_service_is_found_at_each_place_of_a_list() -> None:
    found = patterns("1808")
    assert len(found) <= 16, "the kernel takes no more"
    lists = [bytes.fromhex(each) for each in ("0818", "0f180818", "0a180f180818", "0a180f1805180818")]
    for uuids in lists:
        assert any(uuids[place : place + 2] == data for place, kind, data in found if int(kind) == 0x03)
    assert (0, 0x07, bytes.fromhex("fb349b5f800000800010000008180000")) in [(p, int(k), d) for p, k, d in found]


def test_another_systems_own_radio_and_a_virtual_one_listen_as_they_do(room: Room) -> None:
    assert not room.radio._ways.passive


@needs_dbus
async def test_it_only_receives_where_bluez_can(bluez: FakeBlueZ, room: Room) -> None:
    bluez.monitors = True
    meter = room.meter()
    meter.fill(3)
    await meter.switch_on()
    reader = room.reader()
    assert len(await room.records(reader)) == 3
    assert bluez.listened == ["passive"]
    for _ in range(3):
        assert [each.name for each in await look(room)] == [NAME]
    assert bluez.listened == ["passive", "passive", "passive", "active"]
    assert [each.name for each in await look(room, thorough=True)] == [NAME]
    assert bluez.listened[-1] == "active"


@needs_dbus
async def test_where_it_cannot_it_listens_actively_in_the_same_look(bluez: FakeBlueZ, room: Room) -> None:
    meter = room.meter()
    await meter.switch_on()
    for _ in range(3):
        assert [each.address for each in await look(room)] == [ADDRESS]
    assert bluez.listened == ["active"] * 3
    assert not room.radio._ways.passive


@needs_dbus
async def test_an_adapter_that_hears_nothing_so_is_not_trusted(bluez: FakeBlueZ, room: Room) -> None:
    bluez.monitors = bluez.deaf = True
    await room.meter().switch_on()
    for _ in range(2):
        assert await look(room) == []
        assert [each.address for each in await look(room)] == [ADDRESS]
    assert bluez.listened == ["passive", "active"] * 2


@needs_dbus
async def test_a_wanted_device_without_a_name_is_asked_for_it(
    bluez: FakeBlueZ, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(radio, "NAME_S", 0.5)
    bluez.monitors = bluez.short_packets = True
    meter = room.meter()
    await meter.switch_on()
    assert [each.name for each in await look(room)] == [NAME]
    assert bluez.listened == ["passive", "active"]


@needs_dbus
async def test_a_stranger_without_a_name_is_not_asked(bluez: FakeBlueZ, room: Room) -> None:
    bluez.monitors = bluez.short_packets = True
    await room.meter(address=OTHER).switch_on()
    assert [each.address for each in await look(room)] == [OTHER]
    assert bluez.listened == ["passive"]


@needs_dbus
async def test_other_services_are_not_sighted(bluez: FakeBlueZ, room: Room) -> None:
    bluez.monitors = True
    await room.meter().switch_on()
    assert await room.radio.scan("181f", 0.3, lambda one: True) == []
    assert isinstance(room.radio, BleakRadio)
