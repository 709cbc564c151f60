"""A backend for bleak on a virtual computer's radio: what it scans and connects to is in the air around it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakError,
    BleakGATTProtocolError,
)
from bleak.uuids import normalize_uuid_str
from bumble import core
from bumble.att import ATT_Error
from bumble.core import UUID, AdvertisingData
from bumble.device import Advertisement, Connection, Peer
from bumble.gatt import Characteristic
from bumble.hci import Address, HCI_Error, OwnAddressType

from bridge.simulators.ble.air import Computer

_PROPERTIES = {
    Characteristic.Properties.READ: "read",
    Characteristic.Properties.WRITE: "write",
    Characteristic.Properties.WRITE_WITHOUT_RESPONSE: "write-without-response",
    Characteristic.Properties.NOTIFY: "notify",
    Characteristic.Properties.INDICATE: "indicate",
}
_FAILURES = (core.BaseBumbleError, HCI_Error, TimeoutError)


def scanner_backend(computer: Computer) -> type[BaseBleakScanner]:
    """The class to give to `BleakScanner(backend=...)`."""
    return type("VirtualScanner", (_Scanner,), {"computer": computer})


def client_backend(computer: Computer) -> type[BaseBleakClient]:
    """The class to give to `BleakClient(backend=...)`."""
    return type("VirtualClient", (_Client,), {"computer": computer})


def _require_adapter(computer: Computer) -> None:
    if not computer.adapter:
        raise BleakBluetoothNotAvailableError(
            "No Bluetooth adapter found.", BleakBluetoothNotAvailableReason.NO_BLUETOOTH
        )


@contextmanager
def _failing(what: str) -> Iterator[None]:
    """The stack's errors as bleak's; it cancels what it was asked when the link breaks."""
    try:
        yield
    except ATT_Error as error:
        raise BleakGATTProtocolError(int(error.error_code)) from error
    except _FAILURES as error:
        raise BleakError(f"{what}: {type(error).__name__}") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise BleakError(f"{what}: the link broke") from error


def _uuid(uuid: UUID) -> str:
    return normalize_uuid_str(uuid.to_hex_str("-").lower())


class _Scanner(BaseBleakScanner):
    computer: Computer

    def __init__(self, detection_callback: Any, service_uuids: list[str] | None, *_: Any, **__: Any) -> None:
        super().__init__(detection_callback, service_uuids)

    async def start(self) -> None:
        _require_adapter(self.computer)
        await self.computer.start()
        self.seen_devices = {}
        self.computer.device.on("advertisement", self._heard)
        await self.computer.device.start_scanning(filter_duplicates=False)

    async def stop(self) -> None:
        self.computer.device.remove_listener("advertisement", self._heard)
        await self.computer.device.stop_scanning()

    def _heard(self, advertisement: Advertisement) -> None:
        data = advertisement.data
        uuids = [
            _uuid(uuid)
            for kind in (
                AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
                AdvertisingData.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
            )
            for uuid in data.get(kind) or []
        ]
        if not self.computer.adapter or not self.is_allowed_uuid(uuids):
            return
        name = data.get(AdvertisingData.COMPLETE_LOCAL_NAME)
        address = advertisement.address.to_string(with_type_qualifier=False)
        said = AdvertisementData(name, {}, {}, uuids, None, advertisement.rssi, ())
        device = self.create_or_update_device(address, address, name, advertisement.address, said)
        self.call_detection_callbacks(device, said)


class _Client(BaseBleakClient):
    computer: Computer

    def __init__(self, address_or_ble_device: BLEDevice | str, **kwargs: Any) -> None:
        super().__init__(
            address_or_ble_device,
            disconnected_callback=kwargs["disconnected_callback"],
            timeout=kwargs["timeout"],
        )
        self._connection: Connection | None = None
        self._peer: Peer | None = None
        self._heard: dict[int, Any] = {}

    @property
    def name(self) -> str:
        return self.address

    @property
    def mtu_size(self) -> int:
        return int(self._connection.att_mtu) if self._connection else 23

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        _require_adapter(self.computer)
        address = Address(self.address, Address.RANDOM_DEVICE_ADDRESS)
        with _failing("could not connect"):
            connection = await self.computer.device.connect_le(
                address, own_address_type=OwnAddressType.RANDOM, timeout=min(self._timeout, 2.0)
            )
            self._connection = connection
            connection.on("disconnection", self._lost)
            await connection.cancel_on_disconnection(self._meet(connection))
        if pair:
            await self.pair()

    async def disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.remove_listener("disconnection", self._lost)
            with contextlib.suppress(*_FAILURES):
                await connection.disconnect()

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        connection = self._there()
        with _failing("pairing failed"):
            await connection.pair()

    async def unpair(self) -> None:
        await self.computer.forget(str(self._there().peer_address))

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        return bytearray(await self._asked(lambda peer: peer.read_value(characteristic.obj)))

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        return bytearray(await self._asked(lambda peer: peer.read_value(descriptor.obj)))

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: Any, response: bool) -> None:
        await self._asked(lambda peer: peer.write_value(characteristic.obj, bytes(data), response))

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: Any) -> None:
        await self._asked(lambda peer: peer.write_value(descriptor.obj, bytes(data), with_response=True))

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: Callable[[bytearray], None], **kwargs: Any
    ) -> None:
        def heard(value: bytes) -> None:
            callback(bytearray(value))

        self._heard[characteristic.handle] = heard
        notifies = "notify" in characteristic.properties
        await self._asked(lambda peer: peer.subscribe(characteristic.obj, heard, prefer_notify=notifies))

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        heard = self._heard.pop(characteristic.handle)
        await self._asked(lambda peer: peer.unsubscribe(characteristic.obj, heard))

    async def _asked(self, request: Callable[[Peer], Any]) -> Any:
        connection = self._there()
        if self._peer is None:
            raise BleakError("not connected")
        with _failing("the link failed"):
            return await connection.cancel_on_disconnection(request(self._peer))

    def _there(self) -> Connection:
        _require_adapter(self.computer)
        if self._connection is None:
            raise BleakError("not connected")
        return self._connection

    def _lost(self, _: int) -> None:
        self._connection = None
        self.services = None
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    async def _meet(self, connection: Connection) -> None:
        if await self.computer.bonded(str(connection.peer_address)):
            await connection.encrypt()
        await self._discover(connection)

    async def _discover(self, connection: Connection) -> None:
        self._peer = peer = Peer(connection)
        found = BleakGATTServiceCollection()
        for service in await peer.discover_services():
            mine = BleakGATTService(service, service.handle, _uuid(service.uuid))
            found.add_service(mine)
            for each in await peer.discover_characteristics(service=service):
                properties: Any = [name for flag, name in _PROPERTIES.items() if each.properties & flag]
                found.add_characteristic(
                    BleakGATTCharacteristic(each, each.handle, _uuid(each.uuid), properties, lambda: 20, mine)
                )
        self.services = found
