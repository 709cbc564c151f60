"""`devices` and `sync`: what is plugged in, whose it is, and reading it now."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge.cli.binding import Since, first_day, write_binding
from bridge.cli.bluetooth import bluetooth_rows, pair
from bridge.cli.workplace import Workplace, opened_engine, opened_journal
from bridge.errors import AlreadyRunning, BridgeError, Incompatible, SettingsInvalid

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from bridge.engine.plugging import Plugged
    from bridge.engine.poller import Poller

_AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable.")]
_Profile = Annotated[str | None, typer.Option(help="Whose it is: profile id or name.")]
_Reader = Annotated[
    str | None,
    typer.Option(help="Reader name, for a device that is not plugged in now or that the system has paired."),
]
ANSWER_S = 300.0
"""How long `sync` waits for the running service."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    devices = typer.Typer(help="Which devices are here, and whose they are.", invoke_without_command=True)
    devices.callback()(listing)
    devices.command()(bind)
    devices.command()(unbind)
    devices.command()(pair)
    app.add_typer(devices, name="devices")
    app.command()(sync)


def listing(context: typer.Context, as_json: _AsJson = False) -> None:
    """Every known device that is plugged in, and everybody's Bluetooth ones: what it is, whose, what it needs."""
    if context.invoked_subcommand:
        return
    place: Workplace = context.obj
    bound = bluetooth_rows(place.settings())
    try:
        rows = asyncio.run(_rows(place)) + bound
    except Incompatible as error:
        if not bound:
            raise
        print(error, file=sys.stderr)
        rows = bound
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        print("No device that glucobridge knows is plugged in. `glucobridge doctor usb` says why one may be missing.")
        print("A Bluetooth meter is met with `glucobridge devices pair`.")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("where", "device", "serial", "read by", "belongs to", "state", box=None)
    for row in rows:
        table.add_row(*(str(row[key] or "") for key in ("place", "model", "serial", "reader", "profile", "need")))
    Console().print(table)


async def _rows(place: Workplace) -> list[dict[str, Any]]:
    from bridge.engine.bindings import Bindings

    bindings = Bindings(place.settings())
    return [_row(each, bindings.wakes(each.reader, each.who.serial)) for each in await _plugged(place)]


def _row(plugged: Plugged, owners: Collection[str]) -> dict[str, Any]:
    from bridge.model.health import State

    who, health = plugged.who, plugged.who.health
    need = health.text or str(health.state)
    if not owners and health.state is State.OK:
        need = f"belongs to nobody yet: `glucobridge devices bind {who.serial or 'PUMP-SERIAL'}`"
    return {
        "place": plugged.device.place, "model": who.model or f"{plugged.device.product:04x}", "serial": who.serial,
        "reader": plugged.reader, "profile": ", ".join(sorted(owners)), "state": str(health.state), "need": need,
    }  # fmt: skip


async def _plugged(place: Workplace) -> list[Plugged]:
    from bridge.engine.plugging import recognised
    from bridge.engine.registry import device_plugins

    settings = place.settings()
    if not settings.usb.enabled:
        return []
    bus = place.usb(settings)
    return [each for device in await bus.devices() for each in await recognised(bus, device_plugins(), device)]


def bind(
    context: typer.Context,
    device: Annotated[
        str, typer.Argument(help="Serial (of a Bluetooth device also its address), or where it is plugged in.")
    ],
    profile: _Profile = None,
    reader: _Reader = None,
    since: Since = None,
) -> None:
    """Say whose a device is (`devices pair` does so for Bluetooth). From a device of nobody nothing is read."""
    place: Workplace = context.obj
    owner = place.person(profile, place.settings())
    for name, serial in asyncio.run(_meant(place, device, reader)):
        write_binding(place, owner, name, add=serial, since=first_day(since))
        print(f"{serial} is read by {name} for {owner}.")


async def _meant(place: Workplace, device: str, reader: str | None) -> list[tuple[str, str]]:
    """(reader, serial) of what a person named; by the bus where it is plugged in, else by their word."""
    from bridge.engine.registry import binding_readers

    known = binding_readers()
    if reader is not None:
        if reader not in known:
            raise SettingsInvalid(f"{reader!r} reads no devices.", next_step=f"Say one of: {', '.join(known)}.")
        return [(reader, device)]
    found = [p for p in await _plugged(place) if p.who.serial and device in {p.who.serial, p.device.place}]
    if not found:
        raise SettingsInvalid(
            f"No device {device!r} is plugged in.",
            next_step="Plug it in; pair a Bluetooth device with `glucobridge devices pair`; or name its reader with "
            f"--reader: {', '.join(known)}.",
        )
    return list(dict.fromkeys((each.reader, each.who.serial) for each in found if each.who.serial))


def unbind(
    context: typer.Context,
    device: Annotated[str, typer.Argument(help="Serial of the meter or pump.")],
) -> None:
    """The device belongs to nobody again. What was read from it stays."""
    from bridge.engine.bindings import Bindings

    place: Workplace = context.obj
    owned = [each for each in Bindings(place.settings()).all if each.serial == device]
    if not owned:
        raise SettingsInvalid(f"{device!r} belongs to nobody.", next_step="See `glucobridge devices`.")
    for each in owned:
        write_binding(place, each.profile, each.reader, remove=device)
    print(f"{device} belongs to nobody now.")


def sync(
    context: typer.Context,
    device: Annotated[str | None, typer.Argument(help="Serial; every bound device when left out.")] = None,
    profile: _Profile = None,
) -> None:
    """Read devices now and mirror what they had. Exit 1 when a device could not be read."""
    from bridge.engine.lock import engine_lock

    place: Workplace = context.obj
    chosen = _chosen(place, device, profile)
    try:
        with engine_lock(place.folder, "sync"):
            complete = asyncio.run(_sync(place, chosen))
    except AlreadyRunning:
        complete = asyncio.run(_asked(place, chosen))
    raise typer.Exit(0 if complete else 1)


def _chosen(place: Workplace, device: str | None, profile: str | None) -> set[tuple[str, str]]:
    """(profile, reader) to read."""
    from bridge.engine.bindings import Bindings

    settings = place.settings()
    only = place.person(profile, settings) if profile else None
    found = {
        (each.profile, each.reader)
        for each in Bindings(settings).all
        if device in {None, each.serial} and only in {None, each.profile}
    }
    if not found:
        raise SettingsInvalid("No such device is bound to anybody.", next_step="See `glucobridge devices`.")
    return found


async def _sync(place: Workplace, chosen: set[tuple[str, str]]) -> bool:
    from rich.progress import Progress

    from bridge.log import configure
    from bridge.settings import LogSettings

    settings = place.settings()
    configure(LogSettings(level="error", format=settings.log.format))
    with Progress(transient=True) as bar:
        tasks: dict[str, Any] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=total)

        async with opened_engine(place, settings, progress=progress) as engine:
            await engine.open()
            pollers = [source.poller for source in engine.sources]
            read = [await _read(p) for p in pollers if (p.profile, p.reader.name) in chosen]
            await engine.settle({profile for profile, _ in chosen})
    for _, line in read:
        print(line)
    return all(good for good, _ in read)


async def _read(poller: Poller) -> tuple[bool, str]:
    from bridge.model.health import State

    done = await poller.once()
    said = f"{done.new} new records" if not done.health.text else f"{done.new} new records; {done.health.text}"
    return done.health.state is State.OK, f"{poller.profile} {poller.reader.name}: {said}"


async def _asked(place: Workplace, chosen: set[tuple[str, str]]) -> bool:
    """The running service reads them; wait for it and say how it went."""
    from datetime import UTC, datetime

    from bridge.model.health import State

    print("The running service reads now ...")
    began = datetime.now(UTC)
    async with opened_journal(place, place.settings()) as journal:
        for profile, reader in chosen:
            await journal.hasten(profile, reader, began)
        statuses = await _answered(journal, chosen, began)
    for status in statuses:
        print(f"{status.profile} {status.reader}: {status.health.text or status.health.state}")
    missing = len(chosen) - len(statuses)
    if missing:
        print(f"{missing} did not finish within {ANSWER_S / 60:.0f} minutes; see `glucobridge status`.")
    return not missing and all(status.health.state is State.OK for status in statuses)


async def _answered(journal: Any, chosen: set[tuple[str, str]], began: datetime) -> list[Any]:
    for _ in range(int(ANSWER_S)):
        statuses = [s for s in await journal.readers() if (s.profile, s.reader) in chosen]
        # Asking moved the next read to `began`; a finished pass moves it on.
        done = [s for s in statuses if s.next_due is not None and s.next_due > began]
        if len(done) == len(chosen):
            return done
        await asyncio.sleep(1)
    return done


async def usb_problems(place: Workplace) -> list[str]:
    """What `doctor usb` finds, each with what mends it."""
    from bridge.usb import RULES, Seen

    try:
        rows = await _rows(place)
        bus = place.usb(place.settings())
        seen = Seen(await bus.devices())
    except BridgeError as error:
        return [str(error)]
    problems = [f"{row['model']} at {row['place']}: {row['need']}" for row in rows if row["state"] != "ok"]
    problems += [f"{row['model']} at {row['place']} {row['need']}." for row in rows if not row["profile"]]
    problems += seen.hints(bool(rows))
    if any(row["state"] == "usb_permission" for row in rows):
        problems.append(
            f"Save these lines as /etc/udev/rules.d/70-glucobridge.rules and plug the device in again:\n{RULES}"
        )
    return problems
