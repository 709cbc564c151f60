"""Memory by profiles, time to the first poll, and freshness behind the simulated upload."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from adapters.nightscout import NightscoutAdapter
from benchmarks.delivering import linked, server
from benchmarks.table import Row, absolute
from bridge.credentials import Sessions, Vault, create_key, http_client
from bridge.engine.clock import SystemClock
from bridge.readers.carelink_cloud import CareLinkCloudReader
from bridge.readers.carelink_cloud.phase import Phase
from bridge.simulators.__main__ import NIGHTSCOUT_SECRET
from bridge.simulators.carelink_cloud import CARER

MEMORY = {1: 80, 100: 120, 1000: 300}


async def _folder(folder: Path, carelink: str, site: str, people: int) -> None:
    """That many people behind one carer's account, all mirrored to one site."""
    vault = Vault(folder, create_key(folder, {}))
    sessions = Sessions(vault, http_client(), SystemClock())
    own = {"discovery_url": f"{carelink}/connect/carepartner/v13/discover/android"}
    await linked(
        "carer", CareLinkCloudReader.linking, own, {"region": "EU", "way": "browser", "patient": "all"}, sessions
    )
    await linked("site", NightscoutAdapter.linking, {}, {"url": site, "credential": NIGHTSCOUT_SECRET}, sessions)
    await sessions.close()
    lines = ['installation = "bench"', "[service]", "port = 0"]
    for number in range(1, people + 1):
        lines += [
            f"[profiles.p{number}.readers.carelink-cloud]", 'credential = "carer"', 'region = "EU"',
            'role = "carepartner"', f'username = "{CARER}"', f'patient = "patient{number}"',
            f'discovery_url = "{own["discovery_url"]}"',
            f"[profiles.p{number}.destinations.nightscout]", 'credential = "site"', f'url = "{site}"',
        ]  # fmt: skip
    (folder / "glucobridge.toml").write_text("\n".join(lines))


def _run(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bridge", "--data", str(folder), "run"], stderr=subprocess.PIPE, text=True
    )


def _lives(people: int, deadline_s: float) -> tuple[float, float]:
    """(seconds from process start to the first read, resident MB once everybody was read and delivered)."""
    import psutil

    with (
        server("carelink", "--people", str(people)) as carelink,
        server("nightscout") as site,
        tempfile.TemporaryDirectory() as name,
    ):
        asyncio.run(_folder(Path(name), carelink, site, people))
        began = time.perf_counter()
        process = _run(Path(name))
        assert process.stderr is not None
        first, delivered = 0.0, set[str]()
        try:
            for line in process.stderr:
                event = json.loads(line)
                first = first or (time.perf_counter() - began if event["event"] == "read" else 0.0)
                if event["event"] == "delivered":
                    delivered.add(event["profile"])
                if len(delivered) == people or time.perf_counter() - began > deadline_s:
                    break
            assert len(delivered) == people, f"{len(delivered)} of {people} delivered in {deadline_s} s"
            return first, psutil.Process(process.pid).memory_info().rss / 1e6
        finally:
            process.kill()
            process.communicate()


def freshness(hours: int = 240, seed: int = 1) -> tuple[float, float, float]:
    """(median s, p95 s, requests an hour) behind the moment an upload can be seen, by the reader's own phase."""
    random = Random(seed)
    start = datetime(2026, 3, 10, tzinfo=UTC)
    uploads, at = [], 0.0
    while at < hours * 3600:
        at += 300 + random.uniform(-1, 1)
        uploads.append((at, at + random.uniform(5, 20)))
    phase, now, requests, seen, ages = Phase(random), 0.0, 0, 0, []
    while now < hours * 3600:
        requests += 1
        visible = [upload for upload, shown in uploads[max(0, seen - 2) : seen + 40] if shown <= now]
        newest = max((i for i, (_, shown) in enumerate(uploads[: seen + 40]) if shown <= now), default=-1)
        for index in range(seen, newest + 1):
            ages.append(now - uploads[index][1])
        seen = max(seen, newest + 1)
        moment = start + timedelta(seconds=now)
        updated = start + timedelta(seconds=visible[-1]) if visible else None
        due = phase.answered(moment, moment, updated)
        now = max(now + 1, (due - start).total_seconds())
    ages.sort()
    return statistics.median(ages), ages[int(0.95 * len(ages))], requests / hours


def rows() -> list[Row]:
    median, p95, requests = freshness()
    lives = {people: _lives(people, 60 + people) for people in MEMORY}
    found = [absolute(f"resident memory, {n} profiles", lives[n][1], "MB", aim) for n, aim in MEMORY.items()]
    firsts = [lives[1][0], *(_lives(1, 60)[0] for _ in range(2))]
    found.append(absolute("process start to first poll", statistics.median(firsts), "s", 1.5))
    found.append(absolute(f"freshness, median (p95 {p95:.0f} s)", median, "s", 40))
    found.append(absolute("requests an hour", requests, "/h", 14))
    return found


if __name__ == "__main__":
    print(json.dumps(freshness()))
