"""Pairing through the virtual radio: codes right and wrong, and reading with the bond afterwards."""

from __future__ import annotations

import asyncio

import pytest

from bridge.ble import Paired, nearby, pair, pairing
from bridge.contracts.ble import AskPasskey, Question
from bridge.errors import DeviceUnreachable, NotAllowed, Unauthorised
from bridge.model.health import State
from bridge.readers.ble_glucose import BleGlucoseReader
from bridge.simulators.ble import Security
from tests.readers.ble_glucose.room import ADDRESS, SERIAL, Room

CODE = 123456


class Person:
    """Answers with what they believe to be the code."""

    def __init__(self, answer: int | None = CODE) -> None:
        self.answer = answer
        self.asked: list[Question] = []

    async def __call__(self, question: Question) -> int | None:
        self.asked.append(question)
        return self.answer


async def paired(room: Room, person: AskPasskey) -> Paired:
    return await pair(room.radio, BleGlucoseReader, ADDRESS.lower(), person)


async def test_an_unpaired_meter_says_what_to_do(room: Room) -> None:
    meter = room.meter(security=Security.PASSKEY, passkey=CODE)
    meter.fill(3)
    await meter.switch_on()
    batch = (await room.read(room.reader()))[0]
    assert batch.health.state is State.NOT_LINKED
    assert "devices pair" in batch.health.text
    assert batch.capture is None


async def test_the_right_code_pairs_and_the_bond_reads(room: Room) -> None:
    meter = room.meter(security=Security.PASSKEY, passkey=CODE)
    meter.fill(3)
    await meter.switch_on()
    person = Person()
    found = await paired(room, person)
    assert person.asked == [Question(ADDRESS)]
    assert (found.bound_as, found.who.model, found.who.keeps_one_bond) == (SERIAL, "Contour Next One", True)
    assert await room.air.computer.bonded(ADDRESS)
    reader = room.reader()
    assert len(await room.records(reader)) == 3
    room.later()
    meter.take(101)
    assert len(await room.records(reader)) == 1
    assert len(person.asked) == 1


@pytest.mark.parametrize("answer", [654321, None])
async def test_a_wrong_code_pairs_nothing(room: Room, answer: int | None) -> None:
    meter = room.meter(security=Security.PASSKEY, passkey=CODE)
    meter.fill(3)
    await meter.switch_on()
    with pytest.raises(Unauthorised) as caught:
        await paired(room, Person(answer))
    assert caught.value.state == "not_linked"
    assert str(CODE) not in str(caught.value)
    assert not await room.air.computer.bonded(ADDRESS)
    assert (await room.read(room.reader()))[0].health.state is State.NOT_LINKED


async def test_a_second_try_with_the_right_code(room: Room) -> None:
    meter = room.meter(security=Security.PASSKEY, passkey=CODE)
    meter.fill(3)
    await meter.switch_on()
    with pytest.raises(Unauthorised):
        await paired(room, Person(1))
    await paired(room, Person())
    assert len(await room.records(room.reader())) == 3


async def test_a_meter_without_a_screen_asks_nobody(room: Room) -> None:
    meter = room.meter(security=Security.JUST_WORKS, one_bond=False)
    meter.fill(3)
    await meter.switch_on()
    assert (await room.read(room.reader()))[0].health.state is State.NOT_LINKED
    person = Person()
    assert not (await paired(room, person)).who.keeps_one_bond
    assert not person.asked
    room.later()
    assert len(await room.records(room.reader())) == 3


async def test_a_forgotten_bond_is_named(room: Room) -> None:
    meter = room.meter(security=Security.JUST_WORKS)
    meter.fill(3)
    await meter.switch_on()
    await paired(room, Person())
    await room.air.computer.forget(ADDRESS)
    assert (await room.read(room.reader()))[0].health.state is State.NOT_LINKED


async def test_a_meter_that_is_not_in_sight(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "LOOK_S", 0.05)
    with pytest.raises(DeviceUnreachable, match="not in sight") as caught:
        await paired(room, Person())
    assert caught.value.state == "out_of_range"


async def test_a_person_who_takes_too_long(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "PAIR_S", 0.3)
    meter = room.meter(security=Security.PASSKEY, passkey=CODE)
    await meter.switch_on()

    async def thinks(question: Question) -> int | None:
        await asyncio.Event().wait()
        return None

    with pytest.raises(DeviceUnreachable, match="in time"):
        await paired(room, thinks)
    assert not await room.air.computer.bonded(ADDRESS)


async def test_what_is_nearby_is_seen_without_a_connection(room: Room) -> None:
    meter = room.meter()
    await meter.switch_on()
    assert [(each.address, each.name) for each in await nearby(room.radio, BleGlucoseReader, seconds=0.3)] == [
        (ADDRESS, "Contour7800H0000001")
    ]
    assert meter.connections == 0


def test_nothing_is_written_while_pairing() -> None:
    with pytest.raises(NotAllowed):
        pairing._nothing("2a52", b"\x01\x01")
