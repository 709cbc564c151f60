"""A stand-in for Linux's Bluetooth service on a private D-Bus: what it shows and connects to is in the virtual air.

It speaks the part of BlueZ that bleak's own Linux backend and a pairing agent use. Paths end in the attribute's
handle, as BlueZ's do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bleak.exc import BleakError, BleakGATTProtocolError
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError

from bridge.simulators.ble.air import Computer
from bridge.simulators.ble.backend import client_backend, scanner_backend

_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
</policy></busconfig>"""
_ADAPTER, _AGENTS = "/org/bluez/hci0", "/org/bluez"
_AGENT = "org.bluez.Agent1"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_OBJECTS = "org.freedesktop.DBus.ObjectManager"
_READY_S = 5.0


@asynccontextmanager
async def private_bus(folder: Path) -> AsyncIterator[str]:
    """A D-Bus daemon of its own; its address. Needs the `dbus-daemon` program."""
    socket, config = folder / "bus", folder / "bus.conf"
    config.write_text(_CONFIG.format(socket=socket), "utf-8")
    daemon = await asyncio.create_subprocess_exec(
        "dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--print-address=1",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_READY_S):
            if daemon.stdout is not None:
                await daemon.stdout.readline()
        yield f"unix:path={socket}"
    finally:
        daemon.terminate()
        await daemon.wait()


class FakeBlueZ:
    """`org.bluez` on a bus, with one adapter: the computer's radio.

    `asked` are the questions put to the pairing agent; `agent` is the bus name and path of the one registered.
    `monitors`: it can listen passively; `listened` says how it was asked to. `deaf`: it says so and hears nothing.
    `short_packets`: a device tells its name only in the second packet, to who listens actively.
    """

    def __init__(self, bus_address: str, computer: Computer) -> None:
        self._bus = MessageBus(bus_address=bus_address, bus_type=BusType.SYSTEM)
        self._computer = computer
        self._scanner: Any = None
        self.agent: tuple[str, str] | None = None
        self._devices: dict[str, _Device] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.asked: list[str] = []
        self.monitors = self.short_packets = self.deaf = False
        self.listened: list[str] = []

    async def start(self, *, adapter: bool = True) -> None:
        """Take the name."""
        self.adapter = adapter
        await self._bus.connect()
        self._bus.add_message_handler(self._call)
        await self._bus.request_name("org.bluez")
        self._computer.keyboard.answer = self._ask_agent

    async def stop(self) -> None:
        """Leave the bus, as a service that was stopped."""
        for device in self._devices.values():
            await device.disconnect()
        self._bus.disconnect()

    def power(self, *, on: bool) -> None:
        """Tell that the adapter was switched."""
        self.changed(_ADAPTER, "org.bluez.Adapter1", {"Powered": Variant("b", on)})

    # --- calls ---------------------------------------------------------------------------------------

    def _call(self, message: Message) -> bool | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        handler = self._handler(message)
        if handler is None:
            return None
        task = asyncio.get_running_loop().create_task(self._answer(message, handler))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _answer(self, message: Message, handler: Callable[[Message], Coroutine[Any, Any, _Reply]]) -> None:
        try:
            signature, body = await handler(message)
            reply = Message.new_method_return(message, signature, body)
        except BleakGATTProtocolError as error:
            text = f"Operation failed with ATT error: 0x{int(error.code):02x}"
            reply = Message.new_error(message, "org.bluez.Error.Failed", text)
        except BleakError as error:
            name = "AuthenticationFailed" if message.member == "Pair" else "Failed"
            reply = Message.new_error(message, f"org.bluez.Error.{name}", str(error))
        self._bus.send(reply)

    def _handler(self, message: Message) -> Callable[[Message], Coroutine[Any, Any, _Reply]] | None:
        path, member = str(message.path), str(message.member)
        device = next((each for each in self._devices.values() if path.startswith(each.path)), None)
        if device is not None:
            return device.handler(path, member)
        handlers: dict[tuple[str, str], Callable[[Message], Coroutine[Any, Any, _Reply]]] = {
            ("/", "GetManagedObjects"): self._objects,
            (_ADAPTER, "SetDiscoveryFilter"): _nothing,
            (_ADAPTER, "StartDiscovery"): self._start_discovery,
            (_ADAPTER, "StopDiscovery"): self._stop_discovery,
            (_AGENTS, "RegisterAgent"): self._register,
            (_AGENTS, "RequestDefaultAgent"): _nothing,
            (_AGENTS, "UnregisterAgent"): self._unregister,
        }
        if self.monitors:
            handlers[_ADAPTER, "RegisterMonitor"] = self._start_monitor
            handlers[_ADAPTER, "UnregisterMonitor"] = self._stop_discovery
        return handlers.get((path, member))

    async def _objects(self, message: Message) -> _Reply:
        adapter = {
            "Address": Variant("s", "F0:F1:F2:F3:F4:F5"),
            "Powered": Variant("b", self._computer.adapter),
            "Discovering": Variant("b", False),
            "Roles": Variant("as", ["central", "peripheral"]),
        }
        objects: dict[str, Any] = {_ADAPTER: {"org.bluez.Adapter1": adapter}} if self.adapter else {}
        for device in self._devices.values():
            objects |= device.objects()
        return "a{oa{sa{sv}}}", [objects]

    async def _start_discovery(self, message: Message) -> _Reply:
        self.listened.append("active")
        return await self._listen()

    async def _start_monitor(self, message: Message) -> _Reply:
        self.listened.append("passive")
        return ("", []) if self.deaf else await self._listen()

    async def _listen(self) -> _Reply:
        self._scanner = scanner_backend(self._computer)(self._seen, None)
        await self._scanner.start()
        return "", []

    async def _stop_discovery(self, message: Message) -> _Reply:
        if self._scanner is not None:
            scanner, self._scanner = self._scanner, None
            await scanner.stop()
        return "", []

    async def _register(self, message: Message) -> _Reply:
        self.agent = (str(message.sender), str(message.body[0]))
        return "", []

    async def _unregister(self, message: Message) -> _Reply:
        self.agent = None
        return "", []

    # --- devices -------------------------------------------------------------------------------------

    def _seen(self, device: Any, advertisement: Any) -> None:
        path = f"{_ADAPTER}/dev_{device.address.replace(':', '_')}"
        if path not in self._devices:
            found = _Device(self, self._computer, path, device, advertisement)
            self._devices[path] = found
            self.added({path: found.objects()[path]})
        told = {"RSSI": Variant("n", advertisement.rssi)}
        if self.listened[-1] == "active" and not self._devices[path].named:
            self._devices[path].named = True
            told["Name"] = Variant("s", device.name or "")
        self.changed(path, "org.bluez.Device1", told)

    def added(self, objects: dict[str, Any]) -> None:
        """InterfacesAdded."""
        for path, interfaces in objects.items():
            self._signal("/", _OBJECTS, "InterfacesAdded", "oa{sa{sv}}", [path, interfaces])

    def changed(self, path: str, interface: str, values: dict[str, Variant]) -> None:
        """PropertiesChanged."""
        self._signal(path, _PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, values, []])

    def _signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        if self._bus.connected:
            self._bus.send(Message.new_signal(path, interface, member, signature, body))

    async def ask(self, member: str, signature: str, body: list[Any]) -> list[Any] | None:
        """Call the registered agent; None when there is none or it says no."""
        self.asked.append(member)
        if self.agent is None:
            return None
        name, path = self.agent
        call = Message(name, path, _AGENT, member, signature=signature, body=body)
        with contextlib.suppress(DBusError):
            reply = await self._bus.call(call)
            if reply is not None and reply.message_type is MessageType.METHOD_RETURN:
                return list(reply.body)
        return None

    async def _ask_agent(self, shown: int | None) -> int | None:
        path = next((each.path for each in self._devices.values() if each.pairing), None)
        if path is None:
            return None
        if shown is None:
            answer = await self.ask("RequestPasskey", "o", [path])
            return int(answer[0]) if answer else None
        return shown if await self.ask("RequestConfirmation", "ou", [path, shown]) is not None else None


_Reply = tuple[str, list[Any]]


async def _nothing(message: Message) -> _Reply:
    return "", []


class _Device:
    """One remote device as D-Bus objects."""

    def __init__(self, bluez: FakeBlueZ, computer: Computer, path: str, device: Any, advertisement: Any) -> None:
        self.path, self.pairing, self.named = path, False, not bluez.short_packets
        self._bluez, self._device, self._advertisement = bluez, device, advertisement
        self._client = client_backend(computer)(device, disconnected_callback=self._lost, timeout=5.0)
        self._paired = False
        self._characteristics: dict[str, Any] = {}

    @property
    def _name(self) -> str:
        return self._device.name or "" if self.named else ""

    def handler(self, path: str, member: str) -> Callable[[Message], Coroutine[Any, Any, _Reply]] | None:
        """What answers a call on one of its objects."""
        own = {"Connect": self._connect, "Disconnect": self._disconnect, "Pair": self._pair, "Set": _nothing}
        values = {
            "ReadValue": self._read, "WriteValue": self._write, "StartNotify": self._start_notify,
            "StopNotify": _nothing,
        }  # fmt: skip
        return own.get(member) if path == self.path else values.get(member)

    async def disconnect(self) -> None:
        """Break the link from this side."""
        await self._client.disconnect()

    def objects(self) -> dict[str, Any]:
        """Its own object and, while connected, its services and characteristics."""
        address = self._device.address
        device = {
            "Address": Variant("s", address), "AddressType": Variant("s", "random"),
            "Name": Variant("s", self._name), "Alias": Variant("s", self._name or address.replace(":", "-")),
            "Paired": Variant("b", self._paired), "Bonded": Variant("b", self._paired),
            "Trusted": Variant("b", False), "Blocked": Variant("b", False), "LegacyPairing": Variant("b", False),
            "Connected": Variant("b", self._client.is_connected),
            "ServicesResolved": Variant("b", self._client.is_connected),
            "RSSI": Variant("n", self._advertisement.rssi),
            "UUIDs": Variant("as", self._advertisement.service_uuids), "Adapter": Variant("o", _ADAPTER),
        }  # fmt: skip
        return {self.path: {"org.bluez.Device1": device}} | self._gatt()

    def _gatt(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for service in self._client.services or ():
            service_path = f"{self.path}/service{service.handle:04x}"
            found[service_path] = {
                "org.bluez.GattService1": {
                    "UUID": Variant("s", service.uuid), "Device": Variant("o", self.path),
                    "Primary": Variant("b", True), "Includes": Variant("ao", []),
                }
            }  # fmt: skip
            for each in service.characteristics:
                path = f"{service_path}/char{each.handle:04x}"
                self._characteristics[path] = each
                found[path] = {
                    "org.bluez.GattCharacteristic1": {
                        "UUID": Variant("s", each.uuid), "Service": Variant("o", service_path),
                        "Value": Variant("ay", b""), "Notifying": Variant("b", False),
                        "Flags": Variant("as", list(each.properties)), "MTU": Variant("q", 23),
                    }
                }  # fmt: skip
        return found

    async def _connect(self, message: Message) -> _Reply:
        await self._client.connect(pair=False)
        self._say(Connected=Variant("b", True))
        self._bluez.added(self._gatt())
        self._say(ServicesResolved=Variant("b", True))
        return "", []

    async def _disconnect(self, message: Message) -> _Reply:
        await self.disconnect()
        self._lost()
        return "", []

    async def _pair(self, message: Message) -> _Reply:
        self.pairing = True
        try:
            await self._client.pair()
        finally:
            self.pairing = False
        self._paired = True
        self._say(Paired=Variant("b", True), Bonded=Variant("b", True))
        return "", []

    async def _read(self, message: Message) -> _Reply:
        return "ay", [bytes(await self._client.read_gatt_char(self._characteristics[str(message.path)]))]

    async def _write(self, message: Message) -> _Reply:
        characteristic, value = self._characteristics[str(message.path)], bytes(message.body[0])
        await self._client.write_gatt_char(characteristic, value, response=True)
        return "", []

    async def _start_notify(self, message: Message) -> _Reply:
        path = str(message.path)

        def heard(value: bytearray) -> None:
            self._bluez.changed(path, "org.bluez.GattCharacteristic1", {"Value": Variant("ay", bytes(value))})

        await self._client.start_notify(self._characteristics[path], heard)
        return "", []

    def _lost(self) -> None:
        self._say(ServicesResolved=Variant("b", False), Connected=Variant("b", False))

    def _say(self, **values: Variant) -> None:
        self._bluez.changed(self.path, "org.bluez.Device1", values)
