"""A virtual pump of the 700 series: it looks for its phone, connects, links itself, and serves its history."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from datetime import datetime
from typing import Any

from bumble.core import UUID, AdvertisingData, BaseBumbleError
from bumble.device import Advertisement, Connection, Device, Peer
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.pairing import PairingConfig, PairingDelegate

from bridge.simulators.ble import pump_records as records
from bridge.simulators.ble.air import Air
from bridge.simulators.ble.sake import Client, WrongTag

_OWN = "0000{}-0000-1000-0000-009132591325"
_NEW_PHONE, _KNOWN_PHONE = UUID("FE82"), UUID("FE81")
_REPORT, _ABORT, _FIRST, _LAST, _RANGE, _SEQUENCE = 0x33, 0x55, 0x66, 0x69, 0x5A, 0x0F
_SUCCESS, _NO_OP, _NO_RECORDS = 0xF0, 0x02, 0x06
_STEP_S = 2.0
_WISHED_MTU = 185
_Properties, _Permissions = Characteristic.Properties, Characteristic.Permissions


class VirtualPump:
    """`written` is all that a phone wrote to it, opened, by characteristic. `history` is oldest first.

    `lose_once_at`: the frame with that record is lost on the way, once. `lose_before`: by number, so many frames are
    lost before that record. `spoil`: so many of the next frames are sent with a wrong tag. `drop_after`: the link
    breaks after so many records. `mute`: takes requests for its history and says nothing.
    `break_on_status`: leaves instead of answering.
    """

    def __init__(self, air: Air, address: str, database: bytes, *, serial: str = "NG1000001H") -> None:
        self.device: Device = air.radio("Pump 100001H", address)
        self.serial, self.database = serial, database
        self.history: list[tuple[int, bytes]] = []
        self.written: list[tuple[str, bytes]] = []
        self.spoil = 0
        self.lose_before: dict[int, int] = {}
        self.lose_once_at: int | None = None
        self.drop_after: int | None = None
        self.mute = self.break_on_status = False
        self.links = self.pairings = 0
        self.known_by: set[str] = set()
        """Under which service a phone was found."""
        self.mtus: set[int] = set()
        """What phones grant while their services are discovered: a real pump hangs on more than 23."""
        self.private = True
        """Whether every phone came under a changing address."""
        self.reservoir, self.rate, self.on_board, self.loop = 1505, 800, 1250, 0
        self._client = Client(database)
        self._reference: datetime | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._seek: asyncio.Task[None] | None = None
        self._bonded: set[str] = set()
        self._on = False
        self._seen: asyncio.Queue[Advertisement | None] = asyncio.Queue()
        self._build()

    # --- what it records -----------------------------------------------------------------------------

    def note(self, event: int, wall: datetime, data: bytes) -> int:
        """One more record; its number. A reference time is written before the first and about hourly."""
        if self._reference is None or not 0 <= (wall - self._reference).total_seconds() < 3600:
            self.set_clock(wall, records.PERIODIC)
        reference = self._reference or wall
        return self._append(event, round((wall - reference).total_seconds()), data)

    def set_clock(self, wall: datetime, reason: int = records.SET) -> int:
        """A reference time."""
        self._reference = wall
        return self._append(records.REFERENCE, 0, records.clock(wall, reason))

    def _append(self, event: int, offset_s: int, data: bytes) -> int:
        number = self.history[-1][0] + 1 if self.history else 1000
        self.history.append((number, records.record(event, number, offset_s, data)))
        return number

    # --- its life ------------------------------------------------------------------------------------

    async def switch_on(self) -> None:
        """Look for a phone from now on, again after each link."""
        await self.device.power_on()
        self._on = True
        self._seek = asyncio.get_running_loop().create_task(self._live())

    async def switch_off(self) -> None:
        """Gone. Not by cancelling: a command to the controller that is cut off spoils it."""
        self._on = False
        self._seen.put_nowait(None)
        await self.drop()
        if self._seek is not None:
            await self._seek

    async def drop(self) -> None:
        """Break the link."""
        for connection in list(self.device.connections.values()):
            await connection.disconnect()

    async def _live(self) -> None:
        while self._on:
            with contextlib.suppress(BaseBumbleError, TimeoutError, WrongTag):
                connection = await self._find()
                if connection is not None:
                    await self._stay(connection)
            await self.drop()

    async def _stay(self, connection: Connection) -> None:
        gone = asyncio.Event()
        connection.on(connection.EVENT_DISCONNECTION, lambda _: gone.set())
        async with asyncio.timeout(_STEP_S):
            await self._link(connection)
        await gone.wait()

    async def _find(self) -> Connection | None:
        """The phone that it looks for, None when it was switched off."""
        self._seen = asyncio.Queue()
        self.device.on(Device.EVENT_ADVERTISEMENT, self._notice)
        await self.device.start_scanning()
        while (seen := await self._seen.get()) is not None and not self._wanted(seen):
            pass
        self.device.remove_listener(Device.EVENT_ADVERTISEMENT, self._notice)
        await self.device.stop_scanning()
        return None if seen is None else await self.device.connect(seen.address, timeout=_STEP_S)

    def _notice(self, seen: Advertisement) -> None:
        self._seen.put_nowait(seen)

    def _wanted(self, seen: Advertisement) -> bool:
        offered = seen.data.get(AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS) or []
        wanted = _KNOWN_PHONE if self._bonded else _NEW_PHONE
        if wanted not in offered:
            return False
        self.known_by.add(wanted.to_hex_str())
        self.private = self.private and bool(seen.address.is_resolvable)
        return seen.is_connectable

    async def _link(self, connection: Connection) -> None:
        if self._bonded:
            await connection.encrypt()
        else:
            await connection.pair()
            self.pairings += 1
            self._bonded.add(str(connection.peer_address))
            await self.device.refresh_resolving_list()
        self._client = Client(self.database)
        peer = Peer(connection)
        self.mtus.add(await peer.request_mtu(_WISHED_MTU))
        await peer.discover_all()  # type: ignore[no-untyped-call]
        port = peer.get_characteristics_by_uuid(UUID(_OWN.format("fe82")))[0]
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        await peer.subscribe(port, lambda value: heard.put_nowait(bytes(value)))
        while not self._client.ready:
            answer = self._client.feed(await heard.get())
            if answer is not None:
                await peer.write_value(port, answer, with_response=True)
        self.links += 1

    # --- what it serves ------------------------------------------------------------------------------

    def _build(self) -> None:
        self.device.pairing_config_factory = lambda _: PairingConfig(
            sc=True, mitm=True, delegate=PairingDelegate(PairingDelegate.IoCapability.NO_OUTPUT_NO_INPUT)
        )
        self._history = self._said(_OWN.format("0108"), _Properties.NOTIFY)
        self._point = self._said("2A52", _Properties.INDICATE, self._asked_history)
        self._reader = self._said(_OWN.format("0105"), _Properties.INDICATE, self._asked_status)
        self._commands = self._said(_OWN.format("0106"), _Properties.INDICATE, self._commanded)
        insulin = [
            self._read(_OWN.format("0102"), lambda: records.status(self.reservoir)),
            self._read(_OWN.format("0104"), lambda: records.FEATURES),
            self._read(_OWN.format("0400"), lambda: b"\x50", sealed=False),
            self._reader, self._commands, self._history, self._point,
        ]  # fmt: skip
        texts = [("2A24", "MMT-1884"), ("2A25", self.serial + "\0"), ("2A26", "1.0"), ("2A27", "1")]
        information = [self._read(uuid, lambda text=text: text.encode(), sealed=False) for uuid, text in texts]
        self.device.add_services([
            Service("180A", information),
            Service("180F", [self._read("2A19", lambda: b"\x42", sealed=False)]),
            Service("181F", [self._said("2A52", _Properties.INDICATE, self._commanded)]),
            Service(_OWN.format("0100"), insulin),
        ])  # fmt: skip

    def _read(self, uuid: str, value: Any, *, sealed: bool = True) -> Characteristic[bytes]:
        def given(connection: Connection) -> bytes:
            return self._client.seal(value()) if sealed else bytes(value())

        return Characteristic(uuid, _Properties.READ, _Permissions.READABLE, CharacteristicValue(read=given))

    def _said(self, uuid: str, how: Characteristic.Properties, write: Any = None) -> Characteristic[bytes]:
        if write is None:
            return Characteristic(uuid, how, _Permissions.READABLE, b"")
        value: CharacteristicValue[bytes] = CharacteristicValue(write=write)
        return Characteristic(uuid, how | _Properties.WRITE, _Permissions.WRITEABLE, value)

    async def _commanded(self, connection: Connection, value: bytes) -> None:
        self.written.append(("never", bytes(value)))

    async def _asked_status(self, connection: Connection, value: bytes) -> None:
        request = self._client.open(bytes(value))
        self.written.append(("status", request))
        if self.break_on_status:
            await connection.disconnect()
            return
        answers = {
            0x0365: records.rate_answer(self.rate),
            0x03F3: records.on_board_answer(self.on_board),
            0x03FD: records.loop_answer(self.loop),
        }
        answer = answers.get(struct.unpack("<H", request)[0])
        if answer is not None:
            self._begin(self.device.indicate_subscriber(connection, self._reader, self._client.seal(answer)))

    async def _asked_history(self, connection: Connection, value: bytes) -> None:
        request = bytes(value)
        self.written.append(("history", request))
        if not self.mute:
            self._begin(self._serve(connection, request))

    def _begin(self, work: Any) -> None:
        async def quiet() -> None:
            with contextlib.suppress(BaseBumbleError, TimeoutError):
                await work

        task = asyncio.get_running_loop().create_task(quiet())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: Connection, request: bytes) -> None:
        code = _NO_OP
        if request[0] == _REPORT and request[2] == _SEQUENCE:
            found = self._chosen(request[1], request[3:])
            code = _SUCCESS if found else _NO_RECORDS
            for number, plain in found:
                if not await self._send(connection, number, plain):
                    return
        answer = bytes([0x0F, 0x0F, request[0], code])
        await self.device.indicate_subscriber(connection, self._point, answer)

    def _chosen(self, operator: int, operand: bytes) -> list[tuple[int, bytes]]:
        if operator == _RANGE:
            least, most = struct.unpack("<II", operand)
            return [each for each in self.history if least <= each[0] <= most]
        return {_FIRST: self.history[:1], _LAST: self.history[-1:]}.get(operator, [])

    async def _send(self, connection: Connection, number: int, plain: bytes) -> bool:
        if self.drop_after is not None:
            self.drop_after -= 1
            if self.drop_after < 0:
                self.drop_after = None
                await connection.disconnect()
                return False
        for _ in range(self.lose_before.pop(number, 0)):
            self._client.seal(b"")
        wire = self._client.seal(plain)
        if self.lose_once_at == number:
            self.lose_once_at = None
            return True
        if self.spoil:
            self.spoil -= 1
            wire = wire[:-1] + bytes([wire[-1] ^ 1])
        await self.device.notify_subscriber(connection, self._history, wire)
        return True
