"""One simulator of the fleet in a process of its own: `python -m benchmarks.fleet.simulated source|sinks ...`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from aiohttp import web

from benchmarks.fleet.sinks import Sinks
from benchmarks.fleet.source import SharedSource
from bridge.demo import FastClock
from bridge.simulators.serving import serve


def main() -> None:
    """Prints its address and runs until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("source", "sinks"))
    parser.add_argument("--groups", type=int, default=1)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--start", type=float, required=True)
    parser.add_argument("--began", type=float, required=True)
    options = parser.parse_args()
    clock = played(options.speed, options.start, options.began)
    app = SharedSource(options.groups, clock.now).app() if options.what == "source" else Sinks(clock.now).app()
    asyncio.run(_run(app))


def played(speed: float, start: float, began: float) -> FastClock:
    """The clock that all processes of a run share; `start` in epoch seconds."""
    from datetime import UTC, datetime

    return FastClock(speed, datetime.fromtimestamp(start, UTC), began)


async def _run(app: web.Application) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serve(app) as url:
        sys.stdout.write(url + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    main()
