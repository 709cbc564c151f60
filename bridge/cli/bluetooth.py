"""`devices pair`: a Bluetooth device is met once, by a person."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge.cli.binding import Since, first_day, write_binding
from bridge.cli.workplace import Workplace
from bridge.errors import BridgeError

if TYPE_CHECKING:
    from bridge.ble import Paired
    from bridge.contracts.ble import BlePlugIn, Question
    from bridge.settings import Settings

_METER, _SENSOR = "ble-glucose", "ble-cgm"
_PASSKEYS = 1_000_000
_MOMENT_S = 1.0
_ACTIVELY = (
    "This machine listens actively, which costs the batteries of all devices around: BlueZ offers no other way. "
    "Start bluetoothd (5.56 or newer) with --experimental."
)


def pair(
    context: typer.Context,
    address: Annotated[
        str | None, typer.Argument(help="Bluetooth address; without it what is near is shown.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Whose it is: profile id or name.")] = None,
    sensor: Annotated[bool, typer.Option("--sensor", help="A glucose sensor instead of a meter.")] = False,
    since: Since = None,
) -> None:
    """Pair a Bluetooth meter or sensor once and say whose it is.

    From then on it is read each time it is switched on in reach.
    """
    from bridge.engine.registry import ble_plugin

    place: Workplace = context.obj
    plugin = ble_plugin(_SENSOR if sensor else _METER)
    settings = place.settings()
    if address is None:
        asyncio.run(_show_nearby(place, settings, plugin))
        return
    owner, begin = place.person(profile, settings), first_day(since)
    found = asyncio.run(_paired(place, settings, plugin, address))
    write_binding(place, owner, plugin.name, add=found.bound_as, since=begin)
    print(f"Paired: {found.who.model or 'a device'}, {found.bound_as}. It is read by {plugin.name} for {owner}.")
    if found.who.keeps_one_bond:
        print("It knows one partner at a time: a phone that was paired with it must be paired anew.")


async def _show_nearby(place: Workplace, settings: Settings, plugin: BlePlugIn) -> None:
    from bridge.ble import nearby

    print("Looking around ...")
    found = await nearby(place.radio(settings), plugin)
    for each in found:
        print(f"{each.address}  {each.name}")
    if found:
        print(f"Pair one with `glucobridge devices pair {found[0].address}`.")
    else:
        print("Nothing is in sight. Switch the device on (some must be put into pairing mode) and hold it close.")


async def _paired(place: Workplace, settings: Settings, plugin: BlePlugIn, address: str) -> Paired:
    from bridge.ble import pair as pair_with

    print("Looking for it; it must be in pairing mode ...")
    return await pair_with(place.radio(settings), plugin, address, _ask)


async def _ask(question: Question) -> int | None:
    """In a thread: the system waits for the answer meanwhile."""
    if question.shown is not None:
        same = await asyncio.to_thread(typer.confirm, f"Does the device show {question.shown:06}?")
        return question.shown if same else None
    typed = str(await asyncio.to_thread(typer.prompt, "The six digits that the device or its label shows"))
    digits = typed.replace(" ", "")
    return int(digits) if digits.isdecimal() and int(digits) < _PASSKEYS else None


async def ble_problems(place: Workplace) -> list[str]:
    """What `doctor ble` finds, each with what mends it. It listens for a moment."""
    radio = place.radio(place.settings())
    try:
        await radio.scan("1808", _MOMENT_S, lambda one: False)
    except BridgeError as error:
        return [str(error)]
    if radio.only_actively is None:
        return []
    return [_ACTIVELY]


def bluetooth_rows(settings: Settings) -> list[dict[str, Any]]:
    """One row for `devices` of each Bluetooth device that belongs to somebody, without looking for it."""
    from bridge.engine.bindings import Bindings

    return [
        {
            "place": "Bluetooth", "model": None, "serial": each.serial, "reader": each.reader,
            "profile": each.profile, "state": None, "need": "read when in reach",
        }
        for each in Bindings(settings).all
        if each.reader in {_METER, _SENSOR, "minimed-ble"}
    ]  # fmt: skip
