"""The peripheral role: this machine advertises as a phone, the pump connects, and both sides serve each other.

It needs a Bluetooth dongle of its own: the host stack is bumble's, in this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

from bumble.att import ATT_Error
from bumble.core import UUID, AdvertisingData, BaseBumbleError
from bumble.device import Connection, Device, Peer
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.hci import Address
from bumble.pairing import PairingConfig, PairingDelegate
from bumble.transport import open_transport

from bridge.errors import BridgeError, DeviceUnreachable, Incompatible, Refused, Transient
from bridge.readers.minimed_ble import uuids
from bridge.readers.minimed_ble.bonds import Bonds
from bridge.readers.minimed_ble.handshake import KICKOFF, Handshake
from bridge.readers.minimed_ble.keys import KeyDatabase
from bridge.readers.minimed_ble.link import PumpLink
from bridge.wire.gatt_lines import Value, short

HANDSHAKE_S = 30.0
ANSWER_S = 10.0
LEAVE_S = 5.0
_INTERVAL_MS = 30.0
"""The pump often misses slower advertisements."""
_SMALLEST_MTU, _MTU = 23, 185
"""The pump hangs when it is given more than the least during its discovery of our services."""
_SERVICES = (uuids.INFORMATION, uuids.BATTERY, uuids.INSULIN)
_OWN_INFORMATION = uuids.own(0x0900)
_TEXTS = (("2A29", b"glucobridge"), ("2A24", b"1"), ("2A25", b"1"), ("2A27", b"1"), ("2A26", b"1"), ("2A28", b"1"))
_NUMBERS = (("2A23", bytes(8)), ("2A50", bytes(7)), ("2A2A", b""))
_Properties, _Permissions = Characteristic.Properties, Characteristic.Permissions
OpenDevice = Callable[[str], AbstractAsyncContextManager[Device]]
"""A Bluetooth device of that address, not yet powered."""


def dongle(transport: str) -> OpenDevice:
    """The device behind a transport name such as `usb:0`."""

    @asynccontextmanager
    async def opened(address: str) -> AsyncIterator[Device]:
        try:
            port = await open_transport(transport)
        except (BaseBumbleError, OSError, ValueError) as error:
            raise _unavailable() from error
        async with port:
            yield Device.with_hci("glucobridge", Address(address), port.source, port.sink)

    return opened


class BumbleRadio:
    """As PumpRadio."""

    def __init__(self, open_device: OpenDevice, bonds: Bonds) -> None:
        self._open, self._bonds = open_device, bonds

    @asynccontextmanager
    async def connect(self, database: KeyDatabase, wait_s: float) -> AsyncIterator[PumpLink]:
        """As PumpRadio."""
        async with self._open(self._bonds.address) as device:
            station = _Station(device, Handshake(database))
            try:
                with _translated():
                    await station.advertise(self._bonds)
                    link = await station.linked(wait_s)
                yield link
            finally:
                await station.leave()


class _Station:
    """What waits for a pump and talks to it."""

    def __init__(self, device: Device, handshake: Handshake) -> None:
        self._device, self._handshake = device, handshake
        self._written: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._heard: asyncio.Queue[Value | None] = asyncio.Queue()
        self._subscribed: asyncio.Queue[None] = asyncio.Queue()
        self._connected: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._port: Characteristic[bytes] = Characteristic(
            uuids.PORT,
            _Properties.WRITE | _Properties.NOTIFY,
            _Permissions.WRITEABLE,
            CharacteristicValue(write=self._take),
        )

    async def advertise(self, bonds: Bonds) -> None:
        """Be seen: as a new phone, or as the one that the pump knows."""
        device = self._device
        device.irk, device.le_privacy_enabled, device.keystore = bonds.irk, True, bonds
        device.pairing_config_factory = _pairing
        device.gatt_server.max_mtu = _SMALLEST_MTU
        device.add_services([Service(_OWN_INFORMATION, _information()), Service(uuids.PORT_SERVICE, [self._port])])
        self._port.on(self._port.EVENT_SUBSCRIPTION, self._on_subscription)
        device.on(Device.EVENT_CONNECTION, self._on_connection)
        await device.power_on()
        device.advertising_data = _advertisement(bonds)
        await device.start_advertising(
            auto_restart=False, advertising_interval_min=_INTERVAL_MS, advertising_interval_max=_INTERVAL_MS
        )
        if _cancelled():
            raise asyncio.CancelledError  # the stack may swallow it between two commands

    async def linked(self, wait_s: float) -> PumpLink:
        """Wait for the pump and run the handshake with it."""
        try:
            async with asyncio.timeout(wait_s):
                connection = await asyncio.shield(self._connected)
        except TimeoutError:
            raise DeviceUnreachable(
                "No pump came.", next_step="Bring it near, and let it look for a phone when it is the first time."
            ) from None
        async with asyncio.timeout(HANDSHAKE_S):
            await self._shake_hands(connection)
        session = self._handshake.session
        if session is None:
            raise _gone()
        raw = _BumbleLink(connection, self._heard)
        await raw.explore()
        return PumpLink(raw, *session)

    async def leave(self) -> None:
        """End the link and be silent."""
        with contextlib.suppress(BridgeError), _translated():
            async with asyncio.timeout(LEAVE_S):
                if self._device.is_advertising:
                    await self._device.stop_advertising()
                for connection in list(self._device.connections.values()):
                    await connection.disconnect()
                await self._device.power_off()

    async def _shake_hands(self, connection: Connection) -> None:
        await self._subscribed.get()
        answer: bytes | None = KICKOFF
        while answer is not None:
            await self._device.notify_subscriber(connection, self._port, answer)
            message = await self._written.get()
            if message is None:
                raise _gone()
            answer = self._handshake.feed(message)

    async def _take(self, connection: Connection, value: bytes) -> None:
        self._written.put_nowait(bytes(value))

    def _on_subscription(self, connection: Connection, notify: bool, indicate: bool) -> None:
        if notify:
            self._subscribed.put_nowait(None)

    def _on_connection(self, connection: Connection) -> None:
        if not self._connected.done():
            connection.on(connection.EVENT_DISCONNECTION, self._on_disconnection)
            self._connected.set_result(connection)

    def _on_disconnection(self, reason: int) -> None:
        self._subscribed.put_nowait(None)
        self._written.put_nowait(None)
        self._heard.put_nowait(None)


class _BumbleLink:
    """As RawLink."""

    def __init__(self, connection: Connection, heard: asyncio.Queue[Value | None]) -> None:
        self._peer, self._heard, self._broken = Peer(connection), heard, False
        self._found: dict[tuple[str, str], Any] = {}
        connection.on(connection.EVENT_DISCONNECTION, self._on_disconnection)

    async def explore(self) -> None:
        """Learn what the pump has."""
        async with asyncio.timeout(HANDSHAKE_S):
            await self._peer.request_mtu(_MTU)
            await self._peer.discover_services([UUID(each) for each in _SERVICES])
            for service in self._peer.services:
                for characteristic in await service.discover_characteristics():
                    self._found[_text(service.uuid), _text(characteristic.uuid)] = characteristic

    async def read(self, service: str, uuid: str) -> bytes | None:
        """As RawLink."""
        meant = self._found.get((service, uuid))
        if meant is None:
            return None
        with _translated():
            async with asyncio.timeout(ANSWER_S):
                return bytes(await self._peer.read_value(meant))

    async def write(self, service: str, uuid: str, value: bytes) -> None:
        """As RawLink."""
        with _translated():
            async with asyncio.timeout(ANSWER_S):
                await self._peer.write_value(self._meant(service, uuid), value, with_response=True)

    async def listen(self, service: str, uuid: str) -> None:
        """As RawLink."""

        def heard(data: bytes) -> None:
            self._heard.put_nowait(Value(uuid, bytes(data)))

        with _translated():
            async with asyncio.timeout(ANSWER_S):
                await self._peer.subscribe(self._meant(service, uuid), heard)

    async def heard(self, timeout_s: float) -> Value | None:
        """As RawLink."""
        if self._broken and self._heard.empty():
            raise _gone()
        try:
            async with asyncio.timeout(timeout_s):
                value = await self._heard.get()
        except TimeoutError:
            return None
        if value is None:
            raise _gone()
        return value

    def _meant(self, service: str, uuid: str) -> Any:
        if self._broken:
            raise _gone()
        if (service, uuid) not in self._found:
            raise Refused("The pump lacks a part that belongs to its kind.")
        return self._found[service, uuid]

    def _on_disconnection(self, reason: int) -> None:
        self._broken = True


def _information() -> list[Characteristic[bytes]]:
    return [
        Characteristic(uuid, _Properties.READ, _Permissions.READABLE, value) for uuid, value in (*_TEXTS, *_NUMBERS)
    ]


def _advertisement(bonds: Bonds) -> bytes:
    service = uuids.RECONNECT_SERVICE if bonds.any else uuids.PORT_SERVICE
    name = f"Mobile {secrets.randbelow(500_000) * 2 + 1:06d}"
    return bytes(
        AdvertisingData([
            (AdvertisingData.FLAGS, b"\x06"),
            (AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS, UUID(service).to_bytes()),
            (AdvertisingData.COMPLETE_LOCAL_NAME, name.encode()),
        ])
    )  # fmt: skip


def _pairing(connection: Connection) -> PairingConfig:
    """The old pairing without a code: the pump accepts no other."""
    delegate = PairingDelegate(PairingDelegate.IoCapability.NO_OUTPUT_NO_INPUT)
    identity = PairingConfig.AddressType.RANDOM
    return PairingConfig(sc=False, mitm=False, bonding=True, delegate=delegate, identity_address_type=identity)


def _text(uuid: UUID) -> str:
    return short(uuid.to_hex_str("-")) if len(uuid.to_bytes()) != 2 else uuid.to_hex_str().lower()


def _gone() -> DeviceUnreachable:
    return DeviceUnreachable("The pump went out of reach or left the link.")


def _unavailable() -> Incompatible:
    return Incompatible(
        "The Bluetooth dongle for the pump cannot be opened.",
        next_step="Plug it in, and see that nothing else uses it.",
        state="ble_unavailable",
    )


def _cancelled() -> bool:
    """Whether somebody asked this task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@contextmanager
def _translated() -> Iterator[None]:
    """The errors of the Bluetooth stack as ours."""
    try:
        yield
    except asyncio.CancelledError as error:
        if _cancelled():
            raise
        raise _gone() from error  # the stack says so when the link breaks under a request
    except TimeoutError as error:
        raise Transient("The pump does not answer.", state="incomplete") from error
    except ATT_Error as error:
        raise Refused("The pump refused a request to read.") from error
    except BaseBumbleError as error:
        raise DeviceUnreachable("The link with the pump broke.") from error
