"""What every virtual device has: a switch, services, bonds, and a link that it can drop."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from bumble.core import UUID, AdvertisingData
from bumble.device import Connection, Device
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.pairing import PairingConfig, PairingDelegate

from bridge.simulators.ble.air import Air

_ADVERTISE_MS = 10.0
_KEYS = PairingDelegate.KeyDistribution.DISTRIBUTE_ENCRYPTION_KEY
_Properties, _Permissions = Characteristic.Properties, Characteristic.Permissions
DEVICE_INFORMATION = "180A"


class Security(Enum):
    """What a device wants before it gives its records: nothing, a bond, or a bond by the code it shows.

    An open one that has a code still asks for it when somebody pairs with it.
    """

    OPEN = "open"
    JUST_WORKS = "just_works"
    PASSKEY = "passkey"


class _Screen(PairingDelegate):
    """A device that shows a code, or has no screen."""

    def __init__(self, passkey: int | None) -> None:
        capability = PairingDelegate.IoCapability
        super().__init__(
            capability.NO_OUTPUT_NO_INPUT if passkey is None else capability.DISPLAY_OUTPUT_ONLY,
            local_initiator_key_distribution=_KEYS,
            local_responder_key_distribution=_KEYS,
        )
        self._passkey = passkey or 0

    async def generate_passkey(self) -> int:
        """The code it shows."""
        return self._passkey


class Peripheral:
    """A device in the air; off until `switch_on`. `connections` counts those made to it."""

    def __init__(self, air: Air, address: str, name: str, service: str, security: Security, passkey: int) -> None:
        self.address, self.security = address, security
        self.device: Device = air.radio(name, address)
        self.connections = 0
        self._name, self._service = name, service
        mitm = security is Security.PASSKEY or passkey != 0
        screen = _Screen(passkey if mitm else None)
        self.device.pairing_config_factory = lambda _: PairingConfig(
            sc=True, mitm=mitm, bonding=True, delegate=screen
        )
        self.device.on("connection", self._connected)

    def services(self) -> list[Service]:
        """Its GATT table; subclasses build it once."""
        raise NotImplementedError

    async def switch_on(self) -> None:
        """Advertise from now on."""
        if not self.device.powered_on:
            self.device.add_services(self.services())
            await self.device.power_on()
        self.device.advertising_data = bytes(
            AdvertisingData(
                [
                    (AdvertisingData.COMPLETE_LOCAL_NAME, self._name.encode()),
                    (
                        AdvertisingData.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
                        UUID(self._service).to_bytes(),
                    ),
                ]
            )
        )
        await self.device.start_advertising(
            auto_restart=True, advertising_interval_min=_ADVERTISE_MS, advertising_interval_max=_ADVERTISE_MS
        )

    async def switch_off(self) -> None:
        """Silent, and any link broken."""
        await self.device.stop_advertising()
        await self.drop()

    async def drop(self) -> None:
        """Break the link."""
        for connection in list(self.device.connections.values()):
            await connection.disconnect()

    def readable(self, uuid: str, value: bytes | CharacteristicValue[bytes]) -> Characteristic[bytes]:
        """A characteristic that anybody may read."""
        return Characteristic(uuid, _Properties.READ, _Permissions.READABLE, value)

    def notifying(self, uuid: str, *, write: Any = None) -> Characteristic[bytes]:
        """A characteristic that notifies, and takes writes where there is a handler."""
        if write is None:
            return Characteristic(uuid, _Properties.NOTIFY, _Permissions.READABLE, b"")
        properties = _Properties.NOTIFY | _Properties.WRITE
        return Characteristic(uuid, properties, self._guarded_write, CharacteristicValue(write=write))

    def control_point(self, uuid: str, write: Any) -> Characteristic[bytes]:
        """A characteristic that takes requests and indicates answers."""
        properties = _Properties.WRITE | _Properties.INDICATE
        return Characteristic(uuid, properties, self._guarded_write, CharacteristicValue(write=write))

    def information(self, texts: Sequence[tuple[str, str]]) -> Service:
        """The Device Information service."""
        return Service(DEVICE_INFORMATION, [self.readable(uuid, text.encode()) for uuid, text in texts])

    @property
    def _guarded_write(self) -> Characteristic.Permissions:
        wanted = {
            Security.OPEN: _Permissions(0),
            Security.JUST_WORKS: _Permissions.WRITE_REQUIRES_ENCRYPTION,
            Security.PASSKEY: _Permissions.WRITE_REQUIRES_AUTHENTICATION,
        }
        return _Permissions.WRITEABLE | wanted[self.security]

    def _connected(self, connection: Connection) -> None:
        self.connections += 1
