"""`demo`: the same program against the shipped simulators."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Group

    from bridge.contracts import Clock
    from bridge.demo import Device, World
    from bridge.engine.engine import Engine


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    minutes: Annotated[
        float | None, typer.Option(help="End by itself after so many minutes, with a summary.")
    ] = None,
    speed: Annotated[float, typer.Option(min=1, max=120, help="Seconds of life played in a second.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Which virtual patient.")] = 1,
    people: Annotated[int, typer.Option(min=1, max=20, help="How many of them.")] = 1,
    device: Annotated[
        str | None, typer.Option(help="A virtual device instead: 640g on USB, contour-next-one over Bluetooth ...")
    ] = None,
) -> None:
    """A virtual 780G patient on a simulated CareLink, mirrored to a simulated Nightscout and Tidepool."""
    if device is not None:
        _known(device)
    with tempfile.TemporaryDirectory(prefix="glucobridge-demo-") as folder:
        try:
            complete = asyncio.run(_demo(Path(folder), minutes, speed, seed, people, device))
        except KeyboardInterrupt:
            return
    raise typer.Exit(0 if complete else 1)


def _known(device: str) -> None:
    from bridge.demo import known_devices
    from bridge.errors import SettingsInvalid

    if device not in known_devices():
        known = ", ".join(known_devices())
        raise SettingsInvalid(f"There is no virtual device {device!r}.", next_step=f"Known are: {known}.")


async def _demo(
    folder: Path, minutes: float | None, speed: float, seed: int, people: int, device: str | None
) -> bool:
    from bridge.credentials import Sessions, Vault, VaultSealer, create_key, http_client
    from bridge.demo import Device, FastClock, begin_with, link_all, started
    from bridge.engine.lock import engine_lock
    from bridge.journal import open_journal
    from bridge.log import configure
    from bridge.settings import LogSettings
    from bridge.simulators.carelink_cloud import Person
    from bridge.simulators.patient import VirtualPatient

    configure(LogSettings(level="error"))
    clock = FastClock(speed)
    cast = [
        Person(f"patient{n}", VirtualPatient(seed + n - 1), first_name="Person", last_name=str(n))
        for n in range(1, people + 1)
    ]
    with engine_lock(folder, "demo"):
        vault = Vault(folder, create_key(folder))
        async with started(clock, cast, seed=seed) as world:
            sessions = Sessions(vault, http_client(), clock)
            journal = await open_journal(folder / "journal.db", clock=clock, sealer=VaultSealer(vault))
            try:
                settings = await link_all(world, sessions)
                source = Device(settings)
                if device is not None:
                    source = await begin_with(settings, world.people[0].patient, device, clock)
                return await _play(_engine(source, sessions, journal, clock), source, world, clock, minutes)
            finally:
                await journal.close()
                await sessions.close()


def _engine(source: Device, sessions: object, journal: object, clock: Clock) -> Engine:
    from random import Random
    from typing import Any, cast

    from bridge.engine.build import adapters, hot_plug, readers
    from bridge.engine.engine import Engine

    settings, random = source.settings, Random()  # noqa: S311
    session_of = cast(Any, sessions).authorised
    return Engine(
        cast(Any, journal),
        list(readers(settings, session_of, clock, random, source.usb, ble=source.ble)),
        list(adapters(settings, session_of, clock, random)),
        clock,
        random,
        hot_plug(settings, source.usb, clock),
    )


async def _play(engine: Engine, source: Device, world: World, clock: Clock, minutes: float | None) -> bool:
    """Run, draw, and at the end say what arrived. True when everything read is settled everywhere."""
    import time

    from rich.console import Console
    from rich.live import Live

    console = Console()
    console.print("A virtual patient on simulated servers. Nothing here is a real person's data. Stop with Ctrl-C.")
    if source.said:
        console.print(source.said)
    task = asyncio.ensure_future(engine.run())
    life = asyncio.ensure_future(source.life()) if source.life else None
    names = {profile: person.name for profile, person in source.settings.profiles.items()}
    began = time.monotonic()
    try:
        with Live(console=console, refresh_per_second=4) as live:
            while not task.done() and (minutes is None or time.monotonic() - began < minutes * 60):
                live.update(await _frame(engine, names, clock))
                await asyncio.sleep(0.5)
    finally:
        running = {each for each in (task, life) if each is not None}
        for each in running:
            each.cancel()
        await asyncio.wait(running)
    return await _summary(engine, world, console)


async def _frame(engine: Engine, names: dict[str, str], clock: Clock) -> Group:
    from datetime import timedelta

    from bridge.contracts import Interval
    from bridge.demo.view import picture

    return await picture(engine.journal, names, Interval(clock.now() - timedelta(hours=3), clock.now()))


async def _summary(engine: Engine, world: World, console: object) -> bool:
    from typing import Any, cast

    from bridge.contracts import DeliveryState

    out, settled = cast(Any, console), True
    for status in await engine.journal.destinations():
        counts = {str(state): count for state, count in status.counts.items() if count}
        settled = settled and not counts.get("quarantined") and bool(status.counts.get(DeliveryState.ACCEPTED))
        said = ", ".join(f"{count} {state}" for state, count in counts.items())
        out.print(f"{status.destination.profile} {status.destination.name}: {said}")
    for person, site in world.sites.items():
        documents = sum(len(collection) for collection in site.collections.values())
        datums = len(world.tidepool.documents(world.tidepool_user(person)))
        out.print(f"{person}: {documents} documents stored in Nightscout, {datums} datums in Tidepool")
    out.print("Everything that was read has arrived." if settled else "Not everything has arrived: see above.")
    return settled
