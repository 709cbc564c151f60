"""Pairing, once, by a person; and what is in sight to be paired."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass

from bridge.contracts.ble import BleLink, Sighted
from bridge.errors import DeviceUnreachable, NotAllowed
from bridge.readers.ble_glucose.agent import bluez_agent
from bridge.readers.ble_glucose.asking import AskPasskey
from bridge.readers.ble_glucose.radio import BleakRadio
from bridge.readers.ble_glucose.transfer import FEATURE, IDENTITY, SERVICE, Identity, keeps_one_bond
from bridge.wire.gatt_lines import Value

LOOK_S = 30.0
"""How long a device is looked for."""
PAIR_S = 90.0
"""Time for a person to find and type a code."""

Answering = Callable[[str, AskPasskey], AbstractAsyncContextManager[None]]
"""What brings the system's pairing questions about an address to a person while it is open."""


@dataclass(frozen=True, slots=True)
class Paired:
    """A paired device. `keeps_one_bond`: it now knows this machine and no phone any more."""

    address: str
    identity: Identity
    keeps_one_bond: bool

    @property
    def bound_as(self) -> str:
        """What stands for it in the `devices` setting: its serial, else its address."""
        return self.identity.serial or self.address


async def nearby(
    radio: BleakRadio | None = None, *, service: str = SERVICE, seconds: float = 12.0
) -> Sequence[Sighted]:
    """Who is switched on in reach, without a connection to any."""
    return await (radio or BleakRadio()).scan(service, seconds, lambda one: False)


async def pair(
    address: str,
    ask: AskPasskey,
    *,
    radio: BleakRadio | None = None,
    answering: Answering | None = None,
    service: str = SERVICE,
) -> Paired:
    """Pair with a device that is in pairing mode and ask who it is. Nothing is written to it.

    Raises DeviceUnreachable (`out_of_range`) when it is not in sight, Unauthorised (`not_linked`) for a wrong code
    or a no, Transient (`ble_unavailable`) without Bluetooth.
    """
    used = radio or BleakRadio()
    wanted = address.strip().upper()
    sighted = await used.scan(service, LOOK_S, lambda one: one.address == wanted)
    name = next((one.name for one in sighted if one.address == wanted), None)
    if name is None:
        raise DeviceUnreachable("The device is not in sight.", next_step="Put it into pairing mode, close by.")
    agent = answering or (bluez_agent if used.native and sys.platform == "linux" else _the_system_asks)
    async with agent(wanted, ask), used.connect(wanted, service, _nothing) as link:
        try:
            async with asyncio.timeout(PAIR_S):
                await link.pair()
        except TimeoutError:
            raise DeviceUnreachable("The device was not paired in time.", next_step="Try again.") from None
        return await _who(wanted, name, link)


async def _who(address: str, name: str, link: BleLink) -> Paired:
    values = [Value(uuid, await link.read(uuid)) for uuid in IDENTITY if uuid in link.characteristics]
    feature = await link.read(FEATURE) if FEATURE in link.characteristics else b""
    return Paired(address, Identity.of(values, name), keeps_one_bond(feature))


def _the_system_asks(address: str, ask: AskPasskey) -> AbstractAsyncContextManager[None]:
    """On macOS and Windows the system shows a dialog of its own."""
    return nullcontext()


def _nothing(uuid: str, value: bytes) -> bytes:
    raise NotAllowed("Something was about to be written to a device while it was paired.")
