"""Through the virtual radio: a pump that connects to us, with synthetic keys."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from bumble.device import Device

from bridge.contracts import Batch, Memory, Setup
from bridge.errors import NotAllowed
from bridge.model.health import State
from bridge.model.records import Basal, Bolus, PumpStatus, Record, SensorGlucose
from bridge.readers.minimed_ble import MinimedBleReader, uuids
from bridge.readers.minimed_ble import talk as talking
from bridge.readers.minimed_ble.bonds import Bonds
from bridge.readers.minimed_ble.radio import BumbleRadio
from bridge.simulators.ble import Air
from bridge.simulators.ble import pump_records as records
from bridge.simulators.ble.pump import VirtualPump
from tests.support import vectors
from tests.support.clock import FakeClock

SERIAL = "NG1000001H"
TOLD = vectors.document("ble-and-contour", "sake_synthetic.json")
OURS, PUMPS = bytes.fromhex(TOLD["server_key_db_hex"]), bytes.fromhex(TOLD["client_key_db_hex"])


class Room:
    """A pump, a dongle, and a reader."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.air = Air()
        self.pump = VirtualPump(self.air, "C0:00:00:00:00:21", PUMPS, serial=SERIAL)
        self.keys = folder / "keys.bin"
        self.keys.write_bytes(OURS)
        self.keys.chmod(0o600)
        self.bond = folder / "keys.bin.bond"
        self.memory = Memory()
        self.seen: dict[str, Record] = {}
        self.told: list[tuple[str, int, int]] = []
        self.dongle: Device | None = None
        self._dongles = 0

    @property
    def radio(self) -> BumbleRadio:
        return BumbleRadio(self._open, Bonds(self.bond))

    @asynccontextmanager
    async def _open(self, address: str) -> AsyncIterator[Device]:
        self._dongles += 1
        self.dongle = self.air.radio(f"dongle {self._dongles}", address)
        yield self.dongle

    def reader(self, *devices: str, **settings: Any) -> MinimedBleReader:
        said = {"devices": list(devices or (SERIAL,)), "keys": str(self.keys), "wait_s": 5.0} | settings
        setup = Setup("p1", said, self.clock, Random(1), timezone="UTC", progress=self._progress)
        return MinimedBleReader(setup, self.radio)

    def _progress(self, what: str, done: int, total: int) -> None:
        self.told.append((what, done, total))

    async def read(self, reader: MinimedBleReader | None = None) -> Batch:
        (batch,) = [each async for each in (reader or self.reader()).read(self.memory, None)]
        if batch.decoded is not None:
            self.memory = Memory(state=json.loads(json.dumps(dict(batch.decoded.state))))
            for record in batch.decoded.records:
                known = self.seen.setdefault(record.id, record)
                assert known.time == record.time or isinstance(record, PumpStatus)
        return batch

    def live(self, hours: int, *, every_min: int = 5) -> None:
        """Sensor readings of so many hours up to now, and a meal with its bolus."""
        for step in range(hours * 60 // every_min):
            wall = (self.clock.now() - timedelta(hours=hours) + timedelta(minutes=step * every_min)).replace(
                tzinfo=None
            )
            self.pump.note(records.GLUCOSE, wall, records.glucose(100 + step % 40, counter=step))
            if step == 3:
                self.pump.note(records.BOLUS_ASKED, wall, records.bolus(7, 4500))
                self.pump.note(records.BOLUS_ASKED_MORE, wall, records.asked_more())
                later = wall + timedelta(seconds=200)
                self.pump.note(records.BOLUS_GIVEN, later, records.bolus(7, 4500))
                self.pump.note(records.BOLUS_GIVEN_MORE, later, records.given_more(200))


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    found = Room(tmp_path)
    yield found
    await found.pump.switch_off()


def kinds(found: Sequence[Record], kind: type[Record]) -> list[Any]:
    return [record for record in found if isinstance(record, kind)]


async def test_status_and_history_then_only_what_is_new(room: Room) -> None:
    room.live(6)
    await room.pump.switch_on()
    first = await room.read()
    assert first.health.state is State.OK
    assert first.decoded
    found = first.decoded.records
    assert len(kinds(found, SensorGlucose)) == 72
    (bolus,) = kinds(found, Bolus)
    assert (bolus.delivered_u, bolus.requested_by, bolus.completed) == (4.5, "manual", True)
    (status,) = kinds(found, PumpStatus)
    assert (status.reservoir_u, status.iob_u, status.active_basal_u_h, status.mode) == (150.5, 1.25, 0.8, "manual")
    assert (status.battery_pct, status.transmitter_battery_pct, status.in_range) == (66, 80, True)
    assert status.device.serial == SERIAL
    assert status.raw["insulin_u_ml"] == 100
    assert status.device.model == "MMT-1884"
    assert first.next_due == room.clock.now() + timedelta(minutes=5)
    asked = len(room.pump.written)
    room.clock.advance(300)
    room.pump.note(records.GLUCOSE, room.clock.now().replace(tzinfo=None), records.glucose(210))
    second = await room.read()
    assert second.decoded
    assert [record.mgdl for record in kinds(second.decoded.records, SensorGlucose)][-1] == 210
    assert len(kinds(second.decoded.records, SensorGlucose)) <= 14
    assert len(room.seen) == 72 + 1 + 2 + 1
    assert room.pump.links == 2
    assert len(room.pump.written) - asked == 6


async def test_the_capture_decodes_to_the_same_and_holds_no_key(room: Room) -> None:
    room.live(2)
    await room.pump.switch_on()
    batch = await room.read()
    assert batch.capture
    assert batch.decoded
    assert batch.capture.feed == f"medtronic:{SERIAL}"
    again = room.reader().decode(batch.capture, Memory())
    assert again == batch.decoded
    for key in (OURS[at : at + 16] for at in range(7, 87, 16)):
        assert key.hex().encode() not in batch.capture.body
        assert key.hex() not in repr(batch)


async def test_paired_once_then_found_as_the_phone_it_knows(room: Room) -> None:
    room.live(1)
    await room.pump.switch_on()
    assert (await room.read()).health.state is State.OK
    assert room.pump.known_by == {"FE82"}
    assert stat.S_IMODE(room.bond.stat().st_mode) == 0o600
    assert (await room.read()).health.state is State.OK
    assert room.pump.known_by == {"FE82", "FE81"}
    assert room.pump.pairings == 1
    assert room.pump.mtus == {23}
    assert room.pump.private


async def test_nothing_but_requests_to_read_reached_the_pump(room: Room) -> None:
    room.live(30)
    await room.pump.switch_on()
    await room.read()
    status = [value for what, value in room.pump.written if what == "status"]
    assert status == [b"\x65\x03", b"\xf3\x03", b"\xfd\x03"]
    history = [value for what, value in room.pump.written if what == "history"]
    assert history[:2] == [b"\x33\x66\x0f", b"\x33\x69\x0f"]
    assert all(value[:3] == b"\x33\x5a\x0f" and len(value) == 11 for value in history[2:])
    assert len(history) == 2 + 2
    assert {what for what, _ in room.pump.written} == {"status", "history"}
    assert room.told[-1][1] == room.told[-1][2] == len(room.pump.history)


async def test_a_command_does_not_leave(room: Room) -> None:
    await room.pump.switch_on()
    from bridge.readers.minimed_ble import keys

    async with room.radio.connect(keys.parse(OURS), 5.0) as link:
        for service, uuid, value in (
            (uuids.INSULIN, uuids.own(0x0106), b"\x4b\x11"),
            (uuids.INSULIN, uuids.STATUS_READER, b"\x0c\x03"),
            (uuids.INSULIN, uuids.RACP, b"\x3c\x33\x0f"),
            (uuids.CGM, uuids.RACP, b"\x02\x01"),
        ):
            with pytest.raises(NotAllowed):
                await link.write(service, uuid, value)
    assert not room.pump.written


@pytest.mark.parametrize("place", [0, 10, 199, 200, -1])
async def test_lost_notifications_are_asked_for_again(room: Room, place: int) -> None:
    room.live(24)
    room.pump.lose_once_at = room.pump.history[place][0]
    await room.pump.switch_on()
    batch = await room.read()
    assert batch.health.state is State.OK
    assert batch.decoded
    assert room.pump.lose_once_at is None
    assert len(kinds(batch.decoded.records, SensorGlucose)) == 288


async def test_a_wrong_tag_is_asked_for_again(room: Room) -> None:
    room.live(3)
    room.pump.spoil = 2
    await room.pump.switch_on()
    batch = await room.read()
    assert batch.health.state is State.OK
    assert batch.decoded
    assert len(kinds(batch.decoded.records, SensorGlucose)) == 36


@pytest.mark.parametrize(("lost", "place", "kept"), [(300, 0, 0), (300, 250, 200), (255, 250, 530)])
async def test_300_lost_frames_end_in_a_clean_start_again(room: Room, lost: int, place: int, kept: int) -> None:
    room.live(40)
    room.pump.lose_before = {room.pump.history[place][0]: lost}
    await room.pump.switch_on()
    batch = await room.read()
    assert batch.health.state is (State.OK if lost < 256 else State.INCOMPLETE)
    assert not room.pump.lose_before
    wanted = sum(plain[:2] == b"\x0c\xf0" for _, plain in room.pump.history[:kept])
    assert sum(isinstance(record, SensorGlucose) for record in room.seen.values()) == wanted
    assert room.pump.links == 1
    assert (await room.read()).health.state is State.OK
    assert room.pump.links == 2
    assert sum(isinstance(record, SensorGlucose) for record in room.seen.values()) == 480


async def test_the_link_breaks_and_the_next_read_completes(room: Room) -> None:
    room.live(40)
    room.pump.drop_after = 290
    await room.pump.switch_on()
    broken = await room.read()
    assert broken.health.state is State.INCOMPLETE
    assert broken.decoded
    assert 0 < len(kinds(broken.decoded.records, SensorGlucose)) <= 200
    whole = await room.read()
    assert whole.health.state is State.OK
    assert sum(isinstance(record, SensorGlucose) for record in room.seen.values()) == 480


async def test_the_link_breaks_under_a_request(room: Room) -> None:
    room.live(1)
    room.pump.break_on_status = True
    await room.pump.switch_on()
    batch = await room.read()
    assert batch.health.state is State.INCOMPLETE
    assert batch.decoded
    assert kinds(batch.decoded.records, SensorGlucose) == []


async def test_a_silent_pump(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talking, "IDLE_S", 0.05)
    room.pump.mute = True
    await room.pump.switch_on()
    batch = await room.read()
    assert batch.health.state is State.INCOMPLETE
    assert batch.decoded
    assert batch.decoded.records == []


async def test_no_pump_comes(room: Room) -> None:
    batch = await room.read(room.reader(wait_s=0.05))
    assert batch.health.state is State.OUT_OF_RANGE
    assert batch.decoded is None


async def test_somebody_elses_pump_is_left_alone(room: Room) -> None:
    room.live(1)
    await room.pump.switch_on()
    batch = await room.read(room.reader("NG2000002H"))
    assert batch.health.state is State.DEVICE_UNBOUND
    assert batch.capture is None
    said = {"devices": ["NG2000002H"], "keys": str(room.keys), "wait_s": 5.0}
    setup = Setup("p2", said, room.clock, Random(1), bound_elsewhere=frozenset({SERIAL}))
    batch = await room.read(MinimedBleReader(setup, room.radio))
    assert batch.health.state is State.NO_DEVICE
    assert not room.pump.written


async def test_keys_that_do_not_fit(room: Room) -> None:
    spoilt = bytearray(PUMPS)
    spoilt[8] ^= 1
    room.pump.database = bytes(spoilt)
    await room.pump.switch_on()
    batch = await room.read()
    assert batch.health.state in (State.NOT_LINKED, State.OUT_OF_RANGE)
    assert batch.capture is None


async def test_without_keys_it_stays_off(room: Room) -> None:
    batch = await room.read(room.reader(keys=None))
    assert batch.health.state is State.NOT_LINKED
    assert "key database" in batch.health.text
    batch = await room.read(room.reader(keys=str(room.keys) + "none"))
    assert batch.health.state is State.SETTINGS_INVALID
    room.keys.chmod(0o644)
    assert (await room.read()).health.state is State.SETTINGS_INVALID
    assert not room.pump.links


async def test_an_empty_history(room: Room) -> None:
    await room.pump.switch_on()
    batch = await room.read()
    assert batch.health.state is State.OK
    assert batch.decoded
    assert batch.decoded.records == []


async def test_a_running_bolus_is_the_same_record_when_it_is_done(room: Room) -> None:
    room.live(1)
    now = room.clock.now().replace(tzinfo=None)
    room.pump.note(records.BOLUS_ASKED, now, records.bolus(9, 1000, 2000, 60))
    room.pump.note(records.BOLUS_ASKED_MORE, now, records.asked_more(0x3C))
    await room.pump.switch_on()
    first = await room.read()
    assert first.decoded
    running = kinds(first.decoded.records, Bolus)[-1]
    assert (running.completed, running.delivered_u, running.programmed_u, running.shape) == (False, 0, 3, "dual")
    for step in range(1, 40):
        room.pump.note(records.MICRO, now + timedelta(minutes=5 * step), records.micro(step, 25))
    room.clock.advance(5 * 60 * 40)
    given = now + timedelta(minutes=196)
    room.pump.note(records.BOLUS_GIVEN, given, records.bolus(9, 1000, 1800, 55))
    room.pump.note(records.BOLUS_GIVEN_MORE, given, records.given_more(196 * 60, 0x3C, 0x3C))
    second = await room.read()
    assert second.decoded
    done = next(record for record in kinds(second.decoded.records, Bolus) if record.id == running.id)
    assert (done.completed, done.delivered_u, done.extended_u, done.immediate_u) == (True, 2.8, 1.8, 1)
    assert done.requested_by == "wizard"
    assert sum(record.dose_u for record in kinds(second.decoded.records, Basal)) == pytest.approx(39 * 0.025)


async def test_cancelled_while_it_waits(room: Room) -> None:
    task = asyncio.get_running_loop().create_task(room.read())
    while room.dongle is None or not room.dongle.is_advertising:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not room.dongle.is_advertising
    room.live(1)
    await room.pump.switch_on()
    assert (await room.read()).health.state is State.OK
