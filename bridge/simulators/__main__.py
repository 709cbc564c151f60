"""Runs one simulator in a process of its own: `python -m bridge.simulators carelink|nightscout|tidepool --port N`.

Prints one line with the base URL and stops on SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from bridge.simulators.carelink_cloud import CARER, THERAPY, CareLinkSim, Family, Person
from bridge.simulators.patient import VirtualPatient
from bridge.simulators.serving import serve

NIGHTSCOUT_SECRET = "simulated-secret"
TIDEPOOL_USER, TIDEPOOL_PASSWORD, TIDEPOOL_CLIENT = "simulated-user", "simulated", "simulated-client"
_FAMILIES = [family.value for family in Family if family is not Family.NONE]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until told to stop."""
    options = _parser().parse_args(arguments)
    build = {"carelink": _carelink, "nightscout": _nightscout, "tidepool": _tidepool}[options.simulator]
    asyncio.run(_run(build(options), options.port))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bridge.simulators", description="Runs one simulator.")
    parser.add_argument("simulator", choices=("carelink", "nightscout", "tidepool"))
    parser.add_argument("--port", type=int, default=0, help="loop-back port; 0 takes a free one")
    tidepool = parser.add_argument_group("tidepool", f"client id {TIDEPOOL_CLIENT}; {TIDEPOOL_USER} consents")
    tidepool.add_argument("--redirect-uri", action="append", default=[], help="where the client may be sent back to")
    parser.add_argument_group("nightscout", f"API secret {NIGHTSCOUT_SECRET}")
    carelink = parser.add_argument_group("carelink", f"the sign-in page lets {CARER} through, who follows everybody")
    carelink.add_argument("--people", type=int, default=1, help="how many people upload (default 1)")
    carelink.add_argument("--seed", type=int, default=1, help="seed of the first person; the next ones follow")
    carelink.add_argument("--zone", default="Europe/Berlin", help="where they live (default Europe/Berlin)")
    carelink.add_argument("--family", choices=_FAMILIES, default=Family.NGP.value, help="what they wear")
    carelink.add_argument("--speed", type=float, default=1.0, help="seconds of life in a second (default 1)")
    return parser


async def _run(app: web.Application, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(app, port) as base_url:
        sys.stdout.write(base_url + "\n")
        sys.stdout.flush()
        await stop.wait()


def _carelink(options: argparse.Namespace) -> web.Application:
    family = Family(options.family)
    people = [
        Person(f"patient{number}", _patient(options, number, family), family, last_name=f"Patient {number}")
        for number in range(1, options.people + 1)
    ]
    clock = running_clock(options.speed)
    return CareLinkSim(people, clock, seed=options.seed, auto_consent=CARER).app()


def _patient(options: argparse.Namespace, number: int, family: Family) -> VirtualPatient:
    return VirtualPatient(options.seed + number - 1, options.zone, therapy=THERAPY[family])


def running_clock(speed: float, start: datetime | None = None) -> Callable[[], datetime]:
    """A clock that runs `speed` times as fast as the machine's, from `start` or from now."""
    begun, origin = time.monotonic(), start or datetime.now(UTC)
    return lambda: origin + timedelta(seconds=(time.monotonic() - begun) * speed)


def _nightscout(_options: argparse.Namespace) -> web.Application:
    return _app(importlib.import_module("bridge.simulators.nightscout").NightscoutSim(NIGHTSCOUT_SECRET))


def _tidepool(options: argparse.Namespace) -> web.Application:
    simulator = importlib.import_module("bridge.simulators.tidepool").TidepoolSim()
    simulator.add_account(TIDEPOOL_USER, f"{TIDEPOOL_USER}@example.org", TIDEPOOL_PASSWORD, "Simulated User")
    simulator.add_client(TIDEPOOL_CLIENT, *options.redirect_uri)
    return _app(simulator)


def _app(simulator: Any) -> web.Application:
    app: web.Application = simulator.app()
    return app


if __name__ == "__main__":
    main()
