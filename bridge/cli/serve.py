"""`run`, `mirror`, `health`."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.workplace import Workplace, opened_engine
from bridge.errors import SettingsInvalid

if TYPE_CHECKING:
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
    from bridge.engine.lock import engine_lock

    place: Workplace = context.obj
    place.settings()
    with engine_lock(place.folder, "run"):
        asyncio.run(_run(place))


async def _run(place: Workplace) -> None:
    """Serve until a signal; start over when the settings changed (a link, a bound device)."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    while not stopped.is_set():
        await _serve(place, stopped)


async def _serve(place: Workplace, stopped: asyncio.Event) -> None:
    from bridge.log import configure
    from bridge.web.service import serving

    settings = place.settings()
    configure(settings.log)
    async with opened_engine(place, settings) as engine, serving(engine, settings.service):
        tasks = [asyncio.ensure_future(each) for each in (engine.run(), stopped.wait(), _changed(place, settings))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


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
    place.settings()
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
