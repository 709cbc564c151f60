"""Simulators in processes of their own, as benches run them."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from bridge.simulators.__main__ import main, running_clock

ASKED = {
    "carelink": "/connect/carepartner/v13/discover/android/3.8",
    "nightscout": "/api/v1/status.json",
    "tidepool": "/realms/tidepool/.well-known/openid-configuration",
}


@pytest.mark.parametrize("name", sorted(ASKED))
async def test_a_simulator_runs_until_it_is_told_to_stop(name: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bridge.simulators", name, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        base = (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()
        assert base.startswith("http://127.0.0.1:")
        async with aiohttp.ClientSession() as http, http.get(base + ASKED[name]) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
        assert await process.stdout.read() == b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_a_clock_may_run_fast() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    clock = running_clock(3600.0, start)
    time.sleep(0.02)
    assert start + timedelta(seconds=60) < clock() < start + timedelta(hours=2)


def test_unknown_simulators_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["pump"])
    assert "invalid choice" in capsys.readouterr().err
