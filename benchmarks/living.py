"""Memory by profiles, time to the first poll, and freshness behind the simulated upload."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from benchmarks.delivering import server
from benchmarks.table import Row, absolute
from bridge.contracts import OAuthToken, StaticToken
from bridge.credentials import Entry, Vault, create_key
from bridge.readers.carelink_cloud.phase import Phase

MEMORY = {1: 80, 100: 120, 1000: 300}


def _folder(folder: Path, carelink: str, site: str, people: int) -> None:
    """Settings and credentials of that many people. The tokens open nothing: what counts is the engine's own weight."""
    vault = Vault(folder, create_key(folder, {}))
    lines = ['installation = "bench"', "[service]", "port = 0"]
    hosts = (carelink.split("://")[1], site.split("://")[1])
    for number in range(1, people + 1):
        later = time.time() + 86400
        token = OAuthToken("client", f"{carelink}/oauth/token", f"access-{number}", f"refresh-{number}", later)
        vault.store(f"c{number}", Entry("carelink-cloud", token, hosts, (), 1.0))
        vault.store(
            f"n{number}", Entry("nightscout", StaticToken(f"bench-{number:016x}", "api-secret"), hosts, (), 1.0)
        )
        lines += [
            f"[profiles.p{number}.readers.carelink-cloud]", f'credential = "c{number}"', 'region = "EU"',
            'role = "patient"', f'username = "patient{number}"',
            f'discovery_url = "{carelink}/connect/carepartner/v13/discover/android"',
            f"[profiles.p{number}.destinations.nightscout]", f'credential = "n{number}"', f'url = "{site}"',
        ]  # fmt: skip
    (folder / "glucobridge.toml").write_text("\n".join(lines))


def _run(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bridge", "--data", str(folder), "run"], stderr=subprocess.PIPE, text=True
    )


def memory_mb(people: int, settle_s: float = 8.0) -> float:
    import psutil

    with server("carelink") as carelink, server("nightscout") as site, tempfile.TemporaryDirectory() as name:
        _folder(Path(name), carelink, site, people)
        process = _run(Path(name))
        try:
            time.sleep(settle_s + people / 50)
            assert process.poll() is None
            return psutil.Process(process.pid).memory_info().rss / 1e6
        finally:
            process.kill()
            process.communicate()


def first_poll_s() -> float:
    """From process start to the log line of the first read."""
    with server("carelink") as carelink, server("nightscout") as site, tempfile.TemporaryDirectory() as name:
        _folder(Path(name), carelink, site, 1)
        began = time.perf_counter()
        process = _run(Path(name))
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if '"event": "read"' in line:
                    return time.perf_counter() - began
            raise AssertionError("no read")
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
    found = [
        absolute(f"resident memory, {people} profiles", memory_mb(people), "MB", aim)
        for people, aim in MEMORY.items()
    ]
    found.append(
        absolute("process start to first poll", statistics.median(first_poll_s() for _ in range(3)), "s", 1.5)
    )
    found.append(absolute(f"freshness, median (p95 {p95:.0f} s)", median, "s", 40))
    found.append(absolute("requests an hour", requests, "/h", 14))
    return found


if __name__ == "__main__":
    print(json.dumps(freshness()))
