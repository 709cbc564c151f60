"""`run`, `mirror`, `health`."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Collection
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.workplace import Workplace, opened_engine, opened_mongo, opened_sessions
from bridge.errors import SettingsInvalid

if TYPE_CHECKING:
    from bridge.engine.engine import Engine
    from bridge.engine.fleet import Check, Fleet
    from bridge.settings import Settings

LOOK_S = 1.0
"""How often the settings file is looked at."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(run)
    app.command()(mirror)
    app.command()(health)


def run(context: typer.Context) -> None:
    """The service: read, mirror, answer on its port, until stopped."""
    place: Workplace = context.obj
    with _lock(place, place.settings()):
        asyncio.run(_run(place))


def _lock(place: Workplace, settings: Settings) -> AbstractContextManager[None]:
    """The workers of a fleet share a folder; else it is this process's alone."""
    if settings.journal.worker is not None:
        from bridge.engine.fleet import shared_folder

        return shared_folder(place.folder)
    from bridge.engine.lock import engine_lock

    return engine_lock(place.folder, "run")


async def _run(place: Workplace) -> None:
    """Serve until a signal; start over when the settings changed (a link, a bound device)."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    while not stopped.is_set():
        await _serve(place, stopped)


async def _serve(place: Workplace, stopped: asyncio.Event) -> None:
    from bridge.log import configure
    from bridge.tracing import exporting
    from bridge.web.service import serving

    settings = place.settings()
    configure(settings.log)
    with exporting(settings.tracing):
        if settings.journal.worker is not None:
            async with _opened_fleet(place, settings) as fleet:
                await _until_first(fleet.run(), stopped.wait(), _changed(place, settings))
            return
        async with opened_engine(place, settings) as engine, serving(engine, settings.service):
            await _until_first(engine.run(), stopped.wait(), _changed(place, settings))


async def _until_first(*works: Awaitable[object]) -> None:
    """Until one of them ends; then the others are cancelled, and an error of any is raised."""
    tasks = [asyncio.ensure_future(each) for each in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


@asynccontextmanager
async def _opened_fleet(place: Workplace, settings: Settings) -> AsyncIterator[Fleet]:
    """One worker over the shared journal; the port answers for what it serves."""
    from functools import partial
    from random import Random

    from bridge.engine.clock import SystemClock
    from bridge.engine.fleet import Fleet, engine_of, ledgers
    from bridge.engine.limits import HostLimits
    from bridge.journal.mongo.attendance import attendance
    from bridge.web.service import serving

    clock, random = SystemClock(), Random()  # noqa: S311
    async with (
        opened_sessions(place, settings, counted=True) as sessions,
        opened_mongo(settings, sessions.vault, worker=settings.journal.worker) as journal,
    ):
        leases = journal.leases
        places = HostLimits(settings.network.per_host, lambda: 1 if leases is None else leases.workers)

        @asynccontextmanager
        async def engine(held: Collection[str], check: Check) -> AsyncIterator[Engine]:
            built = engine_of(held, check, settings, journal, sessions.authorised, clock, random, places)
            async with serving(built, settings.service, partial(attendance, journal, settings.profiles.keys())):
                yield built

        yield Fleet(journal, settings.profiles.keys(), ledgers(settings), settings.journal.share, engine, clock)


async def _changed(place: Workplace, running: Settings) -> None:
    """Return once the settings file fits and says something else; a file that does not fit changes nothing."""
    import structlog

    from bridge.engine.bindings import Bindings

    seen = place.settings_file.stat().st_mtime_ns
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            written = place.settings_file.stat().st_mtime_ns
            if written == seen:
                continue
            seen, settings = written, place.settings()
            Bindings(settings)
        except OSError:
            continue
        except SettingsInvalid as error:
            structlog.get_logger(__name__).error("settings_invalid", reason=str(error))
            continue
        if settings != running:
            return


def mirror(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="One full cycle, then end.")] = False,
) -> None:
    """One cycle for all profiles. Exit 0: settled, 3: something pending, 4: something needs a person."""
    from bridge.engine.lock import engine_lock

    if not once:
        raise SettingsInvalid("`mirror` does one cycle.", next_step="Say `mirror --once`, or `run` for the service.")
    place: Workplace = context.obj
    if place.settings().journal.worker is not None:
        raise SettingsInvalid(
            "A fleet serves these people.", next_step="Start `glucobridge run`: it does all cycles."
        )
    with engine_lock(place.folder, "mirror --once"):
        code = asyncio.run(_mirror(place))
    raise typer.Exit(code)


async def _mirror(place: Workplace) -> int:
    from bridge.log import configure
    from bridge.settings import LogSettings

    settings = place.settings()
    configure(LogSettings(level="warning", format=settings.log.format))
    async with opened_engine(place, settings) as engine:
        cycle = await engine.once()
    for line in cycle.needs_person:
        print(line, file=sys.stderr)
    print(f"{cycle.new} new records, {cycle.pending} pending.", file=sys.stderr)
    return cycle.exit_code


def health(context: typer.Context) -> None:
    """Ask the running service whether it is ready; exit 0 when it is (for a container's check)."""
    import urllib.error
    import urllib.request

    service = context.obj.settings().service
    host = "127.0.0.1" if service.host in {"0.0.0.0", "::", ""} else service.host  # noqa: S104
    try:
        with urllib.request.urlopen(f"http://{host}:{service.port}/readyz", timeout=5) as answer:
            print(answer.read().decode())
    except urllib.error.HTTPError as error:
        print(error.read().decode(), file=sys.stderr)
        raise typer.Exit(1) from None
    except OSError:
        print("The service does not answer. Is `glucobridge run` running?", file=sys.stderr)
        raise typer.Exit(1) from None
