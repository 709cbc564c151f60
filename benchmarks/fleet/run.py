"""A fleet on this machine: simulators, three database nodes, workers; what a person costs and how fresh their data is."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pymongo

from benchmarks.fleet import copying
from benchmarks.fleet.people import write_credentials, write_settings
from benchmarks.fleet.simulated import played
from tests.support.mongod import ReplicaSet, find_mongod, replica_set

DATABASE = "fleet"
WORKER = "GLUCOBRIDGE__JOURNAL__WORKER"


@dataclass(frozen=True)
class Load:
    """How many people, with whose data, served by how many workers; `speed` seconds of life in a second."""

    people: int
    groups: int
    workers: int
    speed: float
    warm_s: float
    window_s: float
    cache_gb: float = 0.25


@dataclass
class Result:
    """CPU seconds and resident bytes by part, over the window; ages in seconds of life."""

    load: Load
    seconds: float
    cpu_s: dict[str, float]
    rss: dict[str, int]
    polls: int
    documents: Mapping[str, int]
    again: int
    ages: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    machine_load: float = 0.0

    @property
    def cores(self) -> float:
        """Cores that workers and database took."""
        return (self.cpu_s["workers"] + self.cpu_s["mongod"]) / self.seconds

    @property
    def per_poll_ms(self) -> float:
        """CPU of workers and database for each poll and what follows from it."""
        return (self.cpu_s["workers"] + self.cpu_s["mongod"]) * 1e3 / max(self.polls, 1)

    def told(self) -> str:
        """For a person."""
        shares = ", ".join(
            f"{name} {seconds * 1e3 / max(self.polls, 1):.1f} ms" for name, seconds in self.cpu_s.items()
        )
        memory = ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in self.rss.items())
        ages = ", ".join(
            f"{name} p50 {quantile(each, 0.5):.1f} s p99 {quantile(each, 0.99):.1f} s of {len(each)}"
            f" (missing {self.missing[name]})"
            for name, each in self.ages.items()
        )
        return (
            f"{self.load.people} people x{self.load.speed:g}, {self.seconds:.0f} s, load {self.machine_load:.1f}: "
            f"{self.polls} polls, {self.cores:.2f} cores, {self.per_poll_ms:.1f} ms a poll ({shares}); {memory}; "
            f"{ages}; documents {dict(self.documents)}, sent again {self.again}"
        )


def quantile(values: Sequence[float], part: float) -> float:
    """Of sorted values; nan of none."""
    return values[min(int(part * len(values)), len(values) - 1)] if values else float("nan")


@dataclass
class Site:
    """Everything that runs beside the workers."""

    load: Load
    folder: Path
    servers: ReplicaSet
    start: float
    began: float
    source: subprocess.Popen[str]
    sinks: subprocess.Popen[str]
    source_url: str
    sinks_url: str

    def settings(self, count: int, share: int) -> None:
        numbers = range(1, count + 1)
        write_settings(
            self.folder, numbers, self.source_url, self.sinks_url, self.servers.uri, DATABASE, share
        )  # fmt: skip

    @contextmanager
    def working(self, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
        """So many workers, asked to end at the end: the service itself, or its parts on a clock that runs fast."""
        times = [str(each) for each in (self.load.speed, self.start, self.began)]
        command = ["benchmarks.fleet.worker", *times, str(self.folder)]
        if self.load.speed == 1:
            command = ["bridge", "--data", str(self.folder), "run"]
        workers = [
            subprocess.Popen([sys.executable, "-m", *command], env={**os.environ, WORKER: f"w{number}"})
            for number in range(count)
        ]
        try:
            yield workers
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                try:
                    worker.wait(60)
                except subprocess.TimeoutExpired:
                    worker.kill()
                    worker.wait()


@contextmanager
def site(load: Load) -> Iterator[Site]:
    """Simulators and database, without anybody in it."""
    program = find_mongod()
    if program is None:
        raise SystemExit("no mongod")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-")))
        servers = stack.enter_context(replica_set(program, cache_gb=load.cache_gb))
        start, began = time.time(), time.monotonic()
        times = ["--speed", str(load.speed), "--start", str(start), "--began", str(began)]
        source = stack.enter_context(_simulated("source", "--groups", str(load.groups), *times))
        sinks = stack.enter_context(_simulated("sinks", *times))
        yield Site(load, folder, servers, start, began, source[0], sinks[0], source[1], sinks[1])


@contextmanager
def _simulated(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.fleet.simulated", *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(30)


def _asked(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=120) as answer:  # noqa: S310 - a simulator's address
        return json.loads(answer.read())


def prepare(here: Site) -> None:
    """One of each group is read in by the program itself; everybody else's journal is made from theirs."""
    load = here.load
    now = played(load.speed, here.start, here.began).now()
    everybody = range(1, load.people + 1)
    places = here.servers.uri, DATABASE, everybody, here.source_url, here.sinks_url
    asyncio.run(write_credentials(here.folder, *places, now.timestamp()))
    here.settings(load.groups, load.groups)
    with here.working(1), pymongo.MongoClient[Any](here.servers.uri) as client:
        _until(lambda: _settled(client[DATABASE], load.groups), 600)
    say("read in")
    rest = range(load.groups + 1, load.people + 1)
    now = played(load.speed, here.start, here.began).now()
    uri, parts = here.servers.uri, [rest[at::2] for at in range(2)]
    models = copying.models_of(uri, DATABASE, load.groups, now)
    with copying.without_keys(uri, DATABASE), ProcessPoolExecutor(2) as pool:
        jobs = [pool.submit(copying.fill, uri, DATABASE, models, part) for part in parts]
        for job in jobs:
            job.result()
    here.settings(load.people, -(-load.people // load.workers))


def _settled(db: Any, groups: int) -> bool:
    """Everybody's day was read and nothing waits."""
    rows = list(db["destinations"].find({"active": True}))
    counts = [row["counts"] for row in rows]
    return len(rows) == 2 * groups and all(
        each.get("accepted", 0) > 250 and not each.get("pending", 0) and not each.get("leased", 0) for each in counts
    )


def _until(done: Any, seconds: float) -> None:
    give_up = time.monotonic() + seconds
    while not done():
        if time.monotonic() > give_up:
            raise SystemExit("it did not come to an end")
        time.sleep(0.5)


def measure(here: Site, workers: Sequence[subprocess.Popen[bytes]]) -> Result:
    """A steady window, after the warm-up."""
    load = here.load
    time.sleep(load.warm_s)
    pids = {
        "workers": [each.pid for each in workers],
        "mongod": [node.process.pid for node in here.servers.nodes if node.process],
        "source": [here.source.pid],
        "sinks": [here.sinks.pid],
    }
    clock = played(load.speed, here.start, here.began)
    before, from_s = _used(pids), clock.now().timestamp()
    told_before, sent_before = _asked(here.source_url + "/uploads"), _asked(here.sinks_url + "/report")
    begun, loads = time.monotonic(), list[float]()
    while time.monotonic() - begun < load.window_s:
        time.sleep(min(5.0, load.window_s))
        loads.append(psutil.getloadavg()[0])
    after, until_s = _used(pids), clock.now().timestamp()
    seconds = time.monotonic() - begun
    told, sent = _asked(here.source_url + "/uploads"), _asked(here.sinks_url + "/report")
    result = Result(
        load, seconds,
        {name: sum(after[name]) - sum(before[name]) for name in pids},
        {name: sum(psutil.Process(pid).memory_info().rss for pid in each) for name, each in pids.items()},
        told["calls"] - told_before["calls"],
        {name: count - sent_before["documents"].get(name, 0) for name, count in sent["documents"].items()},
        sent["again"] - sent_before["again"],
        machine_load=sum(loads) / len(loads),
    )  # fmt: skip
    _age(result, told["uploads"], sent["fresh"], from_s, until_s)
    by_node = [after["mongod"][at] - before["mongod"][at] for at in range(len(pids["mongod"]))]
    say(
        f"nodes {[round(each, 1) for each in by_node]} s; workers {[round(a - b, 1) for a, b in zip(after['workers'], before['workers'], strict=True)]} s"
    )
    return result


def _used(pids: Mapping[str, Sequence[int]]) -> dict[str, list[float]]:
    return {name: [sum(psutil.Process(pid).cpu_times()[:2]) for pid in each] for name, each in pids.items()}


def _age(result: Result, uploads: Any, fresh: Any, from_s: float, until_s: float) -> None:
    """Of each reading that the cloud had in the window (but its last 90 s): how long until each destination had it."""
    accepted = {(person, name, at_ms): at for person, name, at_ms, at in fresh}
    for name in ("nightscout", "tidepool"):
        ages, missing = list[float](), 0
        for group, newest_ms, stored in uploads:
            if from_s <= stored < until_s - 90:
                for number in range(group + 1, result.load.people + 1, result.load.groups):
                    at = accepted.get((number, name, newest_ms))
                    missing += at is None
                    ages += [] if at is None else [at - stored]
        result.ages[name], result.missing[name] = sorted(ages), missing


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def measured(load: Load) -> Result:
    """One run from nothing."""
    with site(load) as here:
        prepare(here)
        say("filled")
        with here.working(load.workers) as workers:
            return measure(here, workers)


def main() -> None:
    """A run of any size: `python -m benchmarks.fleet.run --people 10000`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--groups", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--warm", type=float, default=120.0)
    parser.add_argument("--window", type=float, default=330.0)
    parser.add_argument("--cache", type=float, default=0.25)
    given = parser.parse_args()
    load = Load(given.people, given.groups, given.workers, given.speed, given.warm, given.window, given.cache)
    say(measured(load).told())


if __name__ == "__main__":
    main()
