"""Pairing, once, by a person; and what is in sight to be paired."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.contracts.ble import AskPasskey, BleLink, BlePlugIn, BleRadio, Introduced, Sighted
from bridge.errors import DeviceUnreachable, NotAllowed
from bridge.wire.gatt_lines import Value

LOOK_S = 30.0
"""How long a device is looked for."""
NEARBY_S = 8.0
PAIR_S = 90.0
"""Time for a person to find and type a code."""


@dataclass(frozen=True, slots=True)
class Paired:
    """A paired device."""

    address: str
    who: Introduced

    @property
    def bound_as(self) -> str:
        """What stands for it in the `devices` setting: its serial, else its address."""
        return self.who.serial or self.address


async def nearby(radio: BleRadio, plugin: BlePlugIn, *, seconds: float = NEARBY_S) -> Sequence[Sighted]:
    """Which of its devices are switched on in reach, without a connection to any."""
    return await radio.scan(plugin.advertises, seconds, lambda one: False, thorough=True)


async def pair(radio: BleRadio, plugin: BlePlugIn, address: str, ask: AskPasskey) -> Paired:
    """Pair with a device that is in pairing mode and ask who it is. Nothing is written to it.

    Raises DeviceUnreachable (`out_of_range`) when it is not in sight, Unauthorised (`not_linked`) for a wrong code
    or a no, Transient (`ble_unavailable`) without Bluetooth.
    """
    wanted = address.strip().upper()
    sighted = await radio.scan(plugin.advertises, LOOK_S, lambda one: one.address == wanted, thorough=True)
    name = next((one.name for one in sighted if one.address == wanted), None)
    if name is None:
        raise DeviceUnreachable("The device is not in sight.", next_step="Put it into pairing mode, close by.")
    async with radio.answering(wanted, ask), radio.connect(wanted, plugin.advertises, _nothing) as link:
        try:
            async with asyncio.timeout(PAIR_S):
                await link.pair()
        except TimeoutError:
            raise DeviceUnreachable("The device was not paired in time.", next_step="Try again.") from None
        return Paired(wanted, plugin.introduced(await _said(plugin, link), name))


async def _said(plugin: BlePlugIn, link: BleLink) -> list[Value]:
    return [Value(uuid, await link.read(uuid)) for uuid in plugin.introduces if uuid in link.characteristics]


def _nothing(uuid: str, value: bytes) -> bytes:
    raise NotAllowed("Something was about to be written to a device while it was paired.")
