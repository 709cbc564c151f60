"""`run`, `mirror`, `health`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import Annotated

import typer

from bridge.cli.workplace import Workplace, opened_engine
from bridge.errors import SettingsInvalid


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
    from bridge.log import configure
    from bridge.web.service import serving

    settings = place.settings()
    configure(settings.log)
    async with opened_engine(place, settings) as engine, serving(engine, settings.service):
        task = asyncio.ensure_future(engine.run())
        loop = asyncio.get_running_loop()
        for stop in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(stop, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task


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
