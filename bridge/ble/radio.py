"""The machine's Bluetooth through bleak."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from bridge.ble.agent import bluez_agent
from bridge.ble.link import ANSWER_S, BleakLink
from bridge.ble.listening import NAME_S, Way, Ways, patterns
from bridge.ble.naming import bleak, is_unavailable, translated
from bridge.contracts.ble import AskPasskey, Permit, Sighted
from bridge.errors import BridgeError
from bridge.wire.gatt_lines import whole

CONNECT_S = 40.0
SETTLE_S = 0.5
"""After a wanted device was seen, others get this long to show up too."""
LEAVE_S = 5.0

Answering = Callable[[str, AskPasskey], AbstractAsyncContextManager[None]]
"""What brings the system's pairing questions about an address to a person while it is open."""


class BleakRadio:
    """bleak on the platform's own Bluetooth, or on what is handed in (simulators, tests)."""

    def __init__(
        self,
        *,
        scanner_backend: type[Any] | None = None,
        client_backend: type[Any] | None = None,
        answering: Answering | None = None,
    ) -> None:
        self._scanner, self._client = scanner_backend, client_backend
        bluez = scanner_backend is None and sys.platform == "linux"
        self._ways = Ways(passive=bluez)
        self._answering = answering or (bluez_agent if bluez else _the_system_asks)
        self._one_at_a_time = asyncio.Lock()
        self._devices: dict[str, Any] = {}

    @property
    def only_actively(self) -> str | None:
        """Why it cannot listen passively though its system may; None where it can, or was not asked to yet."""
        return self._ways.why_not

    async def scan(
        self, service: str, seconds: float, wanted: Callable[[Sighted], bool], *, thorough: bool = False
    ) -> Sequence[Sighted]:
        """As BleRadio."""
        look = _Look(service, wanted)
        async with self._one_at_a_time:
            with translated():
                way: Way = "active" if thorough else self._ways.next()
                if not await self._listen(look, seconds, way):
                    await self._listen(look, seconds, "active")
                elif way == "passive" and look.found:
                    self._ways.found()
                    if look.nameless:
                        await self._listen(look.again(), NAME_S, "active")
        self._devices |= look.devices
        return list(look.found.values())

    async def _listen(self, look: _Look, seconds: float, way: Way) -> bool:
        """Whether this machine can listen so."""
        scanner = self._made(look, way)
        try:
            await scanner.start()
        except bleak().exc.BleakError as error:
            if way == "active" or is_unavailable(error):
                raise
            self._ways.refused(error)
            return False
        try:
            await _until(look.enough, seconds)
        finally:
            await scanner.stop()
        return True

    def _made(self, look: _Look, way: Way) -> Any:
        """BlueZ takes a list of services only for active listening, and patterns only for passive."""
        scanner = bleak().BleakScanner
        if way == "active":
            return scanner(look.detected, [whole(look.service)], backend=self._scanner)
        return scanner(look.detected, scanning_mode="passive", bluez={"or_patterns": patterns(look.service)})

    @asynccontextmanager
    async def connect(self, address: str, service: str, permit: Permit) -> AsyncIterator[BleakLink]:
        """As BleRadio."""
        async with self._one_at_a_time:
            link = BleakLink(service, permit)
            with translated():
                device = self._devices.get(address, address)
                client = bleak().BleakClient(device, link.broken, timeout=CONNECT_S, backend=self._client)
            try:
                with translated():
                    async with asyncio.timeout(CONNECT_S + ANSWER_S):
                        await client.connect()
                    link.connected(client)
                yield link
            finally:
                await _leave(client)

    def answering(self, address: str, ask: AskPasskey) -> AbstractAsyncContextManager[None]:
        """As BleRadio."""
        return self._answering(address, ask)


@dataclass(slots=True)
class _Look:
    """One look around: who advertises `service`. `enough` is set once one was seen that is wanted."""

    service: str
    wanted: Callable[[Sighted], bool]
    found: dict[str, Sighted] = field(default_factory=dict)
    devices: dict[str, Any] = field(default_factory=dict)
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    names_too: bool = False

    def detected(self, device: Any, advertisement: Any) -> None:
        """A callback of bleak: somebody was heard."""
        if whole(self.service) not in advertisement.service_uuids:
            return
        sighted = Sighted(device.address.upper(), advertisement.local_name or device.name or "")
        self.devices[sighted.address] = device
        if sighted.name or sighted.address not in self.found:
            self.found[sighted.address] = sighted
        if self.wanted(sighted) and (sighted.name or not self.names_too):
            self.enough.set()

    @property
    def nameless(self) -> bool:
        """Whether one that is wanted told no name."""
        return any(self.wanted(one) and not one.name for one in self.found.values())

    def again(self) -> _Look:
        """The same look goes on, until the names are known too."""
        self.enough.clear()
        self.names_too = True
        return self


async def _until(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
            await asyncio.sleep(SETTLE_S)


async def _leave(client: Any) -> None:
    """Disconnect; a device that has gone by itself is left already."""
    with contextlib.suppress(BridgeError), translated():
        async with asyncio.timeout(LEAVE_S):
            await client.disconnect()


def _the_system_asks(address: str, ask: AskPasskey) -> AbstractAsyncContextManager[None]:
    """On macOS and Windows the system shows a dialog of its own."""
    return nullcontext()
