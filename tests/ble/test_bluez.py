"""bleak's own Linux backend and our pairing agent against a private D-Bus."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.ble import BleakRadio, pair
from bridge.ble.agent import bluez_agent
from bridge.contracts.ble import Question
from bridge.errors import BridgeError, Transient, Unauthorised
from bridge.model.health import State
from bridge.readers.ble_glucose import BleGlucoseReader
from bridge.simulators.ble import Security
from bridge.simulators.ble.bluez import FakeBlueZ, private_bus
from tests.readers.ble_glucose.room import ADDRESS, SERIAL, Room

needs_dbus = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="no dbus-daemon on this machine")
pytestmark = needs_dbus
CODE = 123456
ENVIRONMENT = "DBUS_SYSTEM_BUS_ADDRESS"


@pytest.fixture
async def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The address of a system bus without anybody on it."""
    async with private_bus(tmp_path) as address:
        monkeypatch.setenv(ENVIRONMENT, address)
        yield address
    await _let_bleak_notice()


async def _let_bleak_notice() -> None:
    """bleak watches its bus; let it see that the daemon is gone before the loop is."""
    from bleak.backends.bluezdbus import manager

    watcher = getattr(manager._global_instances.get(asyncio.get_running_loop()), "_bus_watcher_task", None)
    if watcher is not None:
        await asyncio.wait({watcher}, timeout=5)


@pytest.fixture
async def bluez(bus: str, room: Room) -> AsyncIterator[FakeBlueZ]:
    """BlueZ with the room's computer for an adapter."""
    found = FakeBlueZ(bus, room.air.computer)
    await found.start()
    room.radio = BleakRadio()
    yield found
    await found.stop()


async def asking(question: Question) -> int | None:
    return CODE


async def test_the_genuine_backend_reads_a_meter(bluez: FakeBlueZ, room: Room) -> None:
    meter = room.meter()
    meter.fill(20)
    meter.take(120, meal=1)
    await meter.switch_on()
    found: list[Any] = await room.records(room.reader())
    assert len(found) == 21
    assert found[-1].meal == "before"
    assert not room.air.computer.device.connections


async def test_the_genuine_backend_survives_a_drop(bluez: FakeBlueZ, room: Room) -> None:
    meter, reader = room.meter(), room.reader()
    meter.fill(100)
    meter.records.drop_after = 1 + 37
    await meter.switch_on()
    batch = (await room.read(reader))[0]
    assert batch.health.state is State.INCOMPLETE
    room.clock.advance(6)
    assert len(await room.records(reader)) == 100


async def test_the_agent_brings_the_code(bluez: FakeBlueZ, room: Room) -> None:
    meter = room.meter(security=Security.PASSKEY, passkey=CODE)
    meter.fill(3)
    await meter.switch_on()
    asked: list[Question] = []

    async def person(question: Question) -> int | None:
        asked.append(question)
        return CODE

    assert (await pair(room.radio, BleGlucoseReader, ADDRESS, person)).bound_as == SERIAL
    assert asked == [Question(ADDRESS)]
    assert bluez.asked == ["RequestPasskey"]
    assert len(await room.records(room.reader())) == 3


@pytest.mark.parametrize("answer", [654321, None])
async def test_the_agent_brings_a_wrong_code(bluez: FakeBlueZ, room: Room, answer: int | None) -> None:
    meter = room.meter(security=Security.PASSKEY, passkey=CODE)
    meter.fill(3)
    await meter.switch_on()

    async def person(question: Question) -> int | None:
        return answer

    with pytest.raises(Unauthorised) as caught:
        await pair(room.radio, BleGlucoseReader, ADDRESS, person)
    assert caught.value.state == "not_linked"
    assert (await room.read(room.reader()))[0].health.state is State.NOT_LINKED


PATH = "/org/bluez/hci0/dev_" + ADDRESS.replace(":", "_")
STRANGER = "/org/bluez/hci0/dev_C0_00_00_00_00_99"


@pytest.mark.parametrize(
    ("member", "signature", "body", "answer"),
    [
        ("RequestPasskey", "o", [PATH], [CODE]),
        ("RequestPinCode", "o", [PATH], [f"{CODE:06d}"]),
        ("RequestConfirmation", "ou", [PATH, CODE], []),
        ("RequestConfirmation", "ou", [PATH, CODE - 1], None),
        ("RequestAuthorization", "o", [PATH], []),
        ("AuthorizeService", "os", [PATH, "00001808-0000-1000-8000-00805f9b34fb"], []),
        ("DisplayPasskey", "ouq", [PATH, CODE, 0], []),
        ("DisplayPinCode", "os", [PATH, "123456"], []),
        ("Cancel", "", [], []),
        ("Release", "", [], []),
        ("RequestPasskey", "o", [STRANGER], None),
        ("RequestAuthorization", "o", [STRANGER], None),
        ("AuthorizeService", "os", [STRANGER, "x"], None),
        ("Explode", "o", [PATH], None),
    ],
)
async def test_every_question_of_bluez(
    bluez: FakeBlueZ, member: str, signature: str, body: list[Any], answer: list[Any] | None
) -> None:
    async with bluez_agent(ADDRESS, asking):
        assert await bluez.ask(member, signature, body) == answer
    assert await bluez.ask("RequestPasskey", "o", [PATH]) is None


async def test_a_cancelled_question_is_let_go(bluez: FakeBlueZ) -> None:
    waits = asyncio.Event()

    async def thinks(question: Question) -> int | None:
        waits.set()
        await asyncio.Event().wait()
        return None

    async with bluez_agent(ADDRESS, thinks):
        question = asyncio.ensure_future(bluez.ask("RequestPasskey", "o", [PATH]))
        await waits.wait()
        assert await bluez.ask("Cancel", "", []) == []
        assert await question is None


async def test_nobody_but_bluez_gets_an_answer(bluez: FakeBlueZ, bus: str) -> None:
    from dbus_fast import BusType, Message, MessageType
    from dbus_fast.aio import MessageBus

    other = await MessageBus(bus_address=bus, bus_type=BusType.SYSTEM).connect()
    try:
        async with bluez_agent(ADDRESS, asking):
            assert bluez.agent
            name, path = bluez.agent
            call = Message(name, path, "org.bluez.Agent1", "RequestPasskey", signature="o", body=[PATH])
            reply = await other.call(call)
            assert reply
            assert reply.message_type is MessageType.ERROR
    finally:
        other.disconnect()
        await other.wait_for_disconnect()  # type: ignore[no-untyped-call]


# --- absent ---------------------------------------------------------------------------------------


async def reading(room: Room) -> State:
    room.radio = BleakRadio()
    batch = (await room.read(room.reader()))[0]
    assert "bluetoothd" in batch.health.text
    return batch.health.state


async def pairing_fails() -> BridgeError:
    with pytest.raises(Transient) as caught:
        async with bluez_agent(ADDRESS, asking):
            pass
    return caught.value


async def test_no_bus_at_all(room: Room, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(ENVIRONMENT, f"unix:path={tmp_path / 'nothing'}")
    assert await reading(room) is State.named("ble_unavailable")
    assert (await pairing_fails()).state == "ble_unavailable"


async def test_a_bus_without_bluez(bus: str, room: Room) -> None:
    assert await reading(room) is State.named("ble_unavailable")
    assert (await pairing_fails()).state == "ble_unavailable"


async def test_bluez_without_an_adapter(bus: str, room: Room) -> None:
    bluez = FakeBlueZ(bus, room.air.computer)
    await bluez.start(adapter=False)
    assert await reading(room) is State.named("ble_unavailable")
    await bluez.stop()


async def test_an_adapter_that_is_off_and_comes_on(bus: str, room: Room) -> None:
    bluez = FakeBlueZ(bus, room.air.computer)
    room.air.computer.adapter = False
    await bluez.start()
    meter = room.meter()
    meter.fill(3)
    await meter.switch_on()
    assert await reading(room) is State.named("ble_unavailable")
    room.air.computer.plug_adapter()
    bluez.power(on=True)
    await asyncio.sleep(0.05)  # the signal is on its way
    room.later()
    assert len(await room.records(room.reader())) == 3
    await bluez.stop()


async def test_bluez_stops_and_starts_again(bus: str, room: Room) -> None:
    meter = room.meter()
    meter.fill(3)
    await meter.switch_on()
    first = FakeBlueZ(bus, room.air.computer)
    await first.start()
    room.radio = BleakRadio()
    reader = room.reader()
    assert len(await room.records(reader)) == 3
    await first.stop()
    room.later()
    assert (await room.read(reader))[0].health.state is State.named("ble_unavailable")
    second = FakeBlueZ(bus, room.air.computer)
    await second.start()
    room.later()
    meter.take(101)
    assert len(await room.records(reader)) == 1
    await second.stop()
