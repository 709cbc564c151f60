"""The machine's Bluetooth through bleak, and its errors in our words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from bridge.contracts.ble import Permit, Sighted
from bridge.errors import BridgeError, DeviceUnreachable, Incompatible, Refused, Transient, Unauthorised
from bridge.wire.gatt_lines import Value, short, whole

UNAVAILABLE = "ble_unavailable"
NOT_LINKED = "not_linked"
ANSWER_S = 30.0
"""The longest a device may take to answer one request."""
CONNECT_S = 40.0
SETTLE_S = 0.5
"""After a wanted device was seen, others get this long to show up too."""
LEAVE_S = 5.0
_UNPAIRED = frozenset({0x02, 0x03, 0x05, 0x08, 0x0C, 0x0F})
"""ATT errors of a device that wants to be paired; BlueZ shows some of them as 2 and 3."""
_UNPAIRED_NAMES = frozenset(
    f"org.bluez.Error.{name}"
    for name in (
        "NotPermitted", "NotAuthorized", "AuthenticationFailed", "AuthenticationCanceled", "AuthenticationRejected",
        "AuthenticationTimeout",
    )
)  # fmt: skip
_BUSY = frozenset({0x80, 0xFE})
_NOT_SUBSCRIBED = frozenset({0x81, 0xFD})
_NO_BLUEZ = (
    "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.Disconnected", "org.bluez.Error.NotReady",
)  # fmt: skip


class BleakRadio:
    """bleak on the platform's own Bluetooth, or on the backends that are handed in (simulators, tests)."""

    def __init__(self, *, scanner_backend: type[Any] | None = None, client_backend: type[Any] | None = None) -> None:
        self._scanner, self._client = scanner_backend, client_backend
        self._one_at_a_time = asyncio.Lock()
        self._devices: dict[str, Any] = {}

    @property
    def native(self) -> bool:
        """Whether this is the platform's own Bluetooth."""
        return self._client is None

    async def scan(self, service: str, seconds: float, wanted: Callable[[Sighted], bool]) -> Sequence[Sighted]:
        """As BleRadio."""
        found: dict[str, Sighted] = {}
        enough = asyncio.Event()

        def detected(device: Any, advertisement: Any) -> None:
            sighted = Sighted(device.address.upper(), advertisement.local_name or device.name or "")
            self._devices[sighted.address] = device
            found[sighted.address] = sighted
            if wanted(sighted):
                enough.set()

        async with self._one_at_a_time:
            with _translated():
                scanner = _bleak().BleakScanner(detected, [whole(service)], backend=self._scanner)
                async with scanner:
                    await _until(enough, seconds)
        return list(found.values())

    @asynccontextmanager
    async def connect(self, address: str, service: str, permit: Permit) -> AsyncIterator[BleakLink]:
        """As BleRadio."""
        async with self._one_at_a_time:
            link = BleakLink(service, permit)
            with _translated():
                device = self._devices.get(address, address)
                client = _bleak().BleakClient(device, link.broken, timeout=CONNECT_S, backend=self._client)
            try:
                with _translated():
                    async with asyncio.timeout(CONNECT_S + ANSWER_S):
                        await client.connect()
                    link.connected(client)
                yield link
            finally:
                await _leave(client)


class BleakLink:
    """One connection."""

    def __init__(self, service: str, permit: Permit) -> None:
        self._service, self._permit = service, permit
        self._characteristics: dict[str, Any] = {}
        self._client: Any = None
        self._heard: asyncio.Queue[Value | None] = asyncio.Queue()
        self._broken = False

    def connected(self, client: Any) -> None:
        """Learn what it has; the wanted service speaks last, so that its characteristics are the ones meant."""
        self._client = client
        for service in sorted(client.services, key=lambda service: short(service.uuid) == self._service):
            self._characteristics |= {short(each.uuid): each for each in service.characteristics}

    def broken(self, client: Any) -> None:
        """The link is gone."""
        self._broken = True
        self._heard.put_nowait(None)

    @property
    def characteristics(self) -> frozenset[str]:
        """As BleLink."""
        return frozenset(self._characteristics)

    async def read(self, uuid: str) -> bytes:
        """As BleLink."""
        with _translated():
            async with asyncio.timeout(ANSWER_S):
                return bytes(await self._client.read_gatt_char(self._meant(uuid)))

    async def write(self, uuid: str, value: bytes) -> None:
        """As BleLink."""
        checked = self._permit(uuid, value)
        with _translated():
            async with asyncio.timeout(ANSWER_S):
                await self._client.write_gatt_char(self._meant(uuid), checked, response=True)

    async def listen(self, uuid: str) -> None:
        """As BleLink."""

        def heard(_: Any, data: bytearray) -> None:
            self._heard.put_nowait(Value(uuid, bytes(data)))

        with _translated():
            async with asyncio.timeout(ANSWER_S):
                await self._client.start_notify(self._meant(uuid), heard)

    async def heard(self, timeout_s: float) -> Value | None:
        """As BleLink."""
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

    async def pair(self) -> None:
        """As BleLink."""
        with _translated(pairing=True):
            await self._client.pair()

    def _meant(self, uuid: str) -> Any:
        if self._broken:
            raise _gone()
        if uuid not in self._characteristics:
            raise Refused(f"The device has no characteristic {uuid}.")
        return self._characteristics[uuid]


async def _until(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
            await asyncio.sleep(SETTLE_S)


async def _leave(client: Any) -> None:
    """Disconnect; a device that has gone by itself is left already."""
    with contextlib.suppress(BridgeError), _translated():
        async with asyncio.timeout(LEAVE_S):
            await client.disconnect()


def _bleak() -> Any:
    try:
        import bleak
    except ImportError:
        raise Incompatible(
            "Bluetooth support is not installed.", next_step="Install glucobridge[ble].", state=UNAVAILABLE
        ) from None
    return bleak


def _gone() -> DeviceUnreachable:
    return DeviceUnreachable("The device went out of reach or switched itself off.")


@contextmanager
def _translated(*, pairing: bool = False) -> Iterator[None]:
    """The errors of bleak, and of the system behind it, as ours."""
    exc = _bleak().exc
    try:
        yield
    except exc.BleakError as error:
        raise _named(exc, error, pairing=pairing) from error
    except TimeoutError:
        raise DeviceUnreachable("The device did not answer in time.") from None
    except (OSError, EOFError) as error:
        raise _unavailable() from error


def _named(exc: Any, error: Exception, *, pairing: bool) -> BridgeError:
    if isinstance(error, exc.BleakBluetoothNotAvailableError) or _is_no_bluez(error):
        return _unavailable()
    if pairing:
        return Unauthorised(
            "The device was not paired: a wrong code, or it said no.",
            next_step="Put it into pairing mode and try again.",
            state=NOT_LINKED,
        )
    if isinstance(error, exc.BleakGATTProtocolError):
        return _refused(int(error.args[0]))
    if getattr(error, "dbus_error", None) in _UNPAIRED_NAMES:
        return _unpaired()
    return DeviceUnreachable("The device could not be talked to: it is asleep, away, or busy with a phone.")


def _is_no_bluez(error: Exception) -> bool:
    name = getattr(error, "dbus_error", None)
    text = str(error).lower()
    return name in _NO_BLUEZ or ("adapter" in text and "not found" in text) or "no powered" in text


def _unavailable() -> Transient:
    return Transient(
        "This machine's Bluetooth cannot be used now: it is off, missing, or its service does not run.",
        next_step="Switch Bluetooth on; on Linux start bluetoothd, in a container mount the system's D-Bus socket.",
        state=UNAVAILABLE,
    )


def _refused(code: int) -> BridgeError:
    if code in _UNPAIRED:
        return _unpaired()
    if code in _BUSY:
        return Transient("The device is still busy with an earlier request.")
    if code in _NOT_SUBSCRIBED:
        return Transient("The device does not know that we listen.")
    return Refused(f"The device refused a request (ATT error 0x{code:02X}).")


def _unpaired() -> Unauthorised:
    return Unauthorised(
        "The device wants to be paired first.", next_step="Run `glucobridge devices pair`.", state=NOT_LINKED
    )
