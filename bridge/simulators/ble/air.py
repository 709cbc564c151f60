"""The air between one computer and the devices around it: a virtual radio link with real packets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from bumble.controller import Controller
from bumble.device import Connection, Device
from bumble.hci import Address
from bumble.host import Host
from bumble.link import LocalLink
from bumble.pairing import PairingConfig, PairingDelegate
from bumble.transport.common import AsyncPipeSink

from bridge.contracts.ble import AskPasskey, Question

_OWN = "F0:F1:F2:F3:F4:F5"
_KEYS = PairingDelegate.KeyDistribution.DISTRIBUTE_ENCRYPTION_KEY


class Air:
    """A link, and the computer that listens on it."""

    def __init__(self) -> None:
        self._link = LocalLink()  # type: ignore[no-untyped-call]
        self.computer = Computer(self.radio("computer", _OWN))

    def radio(self, name: str, address: str) -> Device:
        """One more radio with its controller, not yet switched on."""
        controller = Controller(name, link=self._link)
        host = Host(controller, AsyncPipeSink(controller))
        return Device(name=name, address=Address(address, Address.RANDOM_DEVICE_ADDRESS), host=host)


class Keyboard(PairingDelegate):
    """A person at the computer: `answer` gets the shown number or None, gives the six digits or None."""

    def __init__(self) -> None:
        super().__init__(
            PairingDelegate.IoCapability.DISPLAY_OUTPUT_AND_KEYBOARD_INPUT,
            local_initiator_key_distribution=_KEYS,
            local_responder_key_distribution=_KEYS,
        )
        self.answer: Any = None

    async def get_number(self) -> int | None:
        """The code that the other side shows."""
        return None if self.answer is None else await self.answer(None)

    async def compare_numbers(self, number: int, digits: int) -> bool:
        """Whether both sides show the same."""
        return self.answer is not None and await self.answer(number) == number


class Computer:
    """The side that connects. `adapter` off: no Bluetooth at all until it is on again.

    `begins` is awaited when its controller is powered: what is around it from then on.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.keyboard = Keyboard()
        self.adapter = True
        self.begins: list[Callable[[], Awaitable[None]]] = []
        device.pairing_config_factory = self._pairing

    async def start(self) -> None:
        """Power the controller; once."""
        if not self.device.powered_on:
            await self.device.power_on()
            for begin in self.begins:
                await begin()

    async def pull_adapter(self) -> None:
        """As if it were unplugged: connections break, nothing can be seen."""
        self.adapter = False
        for connection in list(self.device.connections.values()):
            await connection.disconnect()

    def plug_adapter(self) -> None:
        """It is back."""
        self.adapter = True

    @asynccontextmanager
    async def answering(self, address: str, ask: AskPasskey) -> AsyncIterator[None]:
        """While it is open the questions of a pairing are put to a person, as `BleRadio.answering`."""

        async def answer(shown: int | None) -> int | None:
            return await ask(Question(address, shown))

        self.keyboard.answer = answer
        try:
            yield
        finally:
            self.keyboard.answer = None

    async def bonded(self, address: str) -> bool:
        """Whether this computer holds a key of that device."""
        keys = self.device.keystore
        return keys is not None and await keys.get(address) is not None

    async def forget(self, address: str) -> None:
        """Drop its key."""
        if self.device.keystore is not None and await self.bonded(address):
            await self.device.keystore.delete(address)

    def _pairing(self, connection: Connection) -> PairingConfig:
        return PairingConfig(sc=True, mitm=True, bonding=True, delegate=self.keyboard)
