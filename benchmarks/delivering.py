"""Pending to settled for 90 days of readings, against the same bytes posted by a bare loop to the same server."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random

import aiohttp

from adapters.nightscout import NightscoutAdapter
from benchmarks.appending import batch, readings
from benchmarks.table import Row, at_least
from bridge.contracts import Destination, Linking, Setup, StaticToken
from bridge.credentials import Entry, Linked, PendingAuthorisation, Sessions, Vault, Walk, create_key, http_client
from bridge.engine.clock import SystemClock
from bridge.engine.deliverer import Deliverer
from bridge.journal import open_journal
from bridge.simulators.__main__ import NIGHTSCOUT_SECRET

COUNT = 25_920
SITE = Destination("p1", "nightscout")


@contextmanager
def server(*arguments: str) -> Iterator[str]:
    """A simulator in a process of its own; its base URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge.simulators", *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)


async def linked(
    name: str, linking: Linking, own: Mapping[str, str], answers: Mapping[str, str], sessions: Sessions
) -> None:
    """Walk a plug-in's linking with known answers; a browser's part is played by asking the simulated page."""
    walk = Walk(name, linking, own, sessions)
    while not isinstance(asked := await walk.step(), Linked):
        if isinstance(asked, PendingAuthorisation):
            page = await sessions.open().request("GET", asked.url)
            walk.answer("redirect", page.headers["location"])
        else:
            walk.answer(asked.key, answers[asked.key])


async def _token(url: str, secret: str) -> str:
    """A token as linking makes it."""
    with tempfile.TemporaryDirectory() as name:
        vault = Vault(Path(name), create_key(Path(name), {}))
        sessions = Sessions(vault, http_client(), SystemClock())
        await linked("site", NightscoutAdapter.linking, {}, {"url": url, "credential": secret}, sessions)
        credential = (await vault.load("site")).credential
        await sessions.close()
        assert isinstance(credential, StaticToken)
        return credential.token


async def _ours(url: str, token: str) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder, clock = Path(name), SystemClock()
        vault = Vault(folder, create_key(folder, {}))
        host = url.split("://")[1]
        await vault.store("site", Entry("nightscout", StaticToken(token, "api-secret"), (host,), (), 1.0))
        sessions = Sessions(vault, http_client(), clock)
        journal = await open_journal(folder / "journal.db", clock=clock)
        await journal.register([SITE])
        made = readings(COUNT)
        for start in range(0, COUNT, 1000):
            await journal.append(batch(made[start : start + 1000]))
        adapter = NightscoutAdapter(Setup("p1", {"url": url}, clock, Random(1), sessions.authorised("site")))
        deliverer = Deliverer(journal, adapter, SITE, clock, Random(1))
        await deliverer.open()
        await adapter.prepare()
        began, settled = time.perf_counter(), 0
        while (done := await deliverer.round()).leased:
            settled += done.leased
        took = time.perf_counter() - began
        assert settled == COUNT, f"{settled} settled, {deliverer.health}"
        await journal.close()
        await sessions.close()
        return COUNT / took


async def _bare(url: str, token: str, size: int = 500) -> float:
    """The documents ready as bytes, one connection, one request after the other."""
    adapter = NightscoutAdapter(Setup("p1", {"url": url}, SystemClock(), Random(1)))
    bodies = [dict(doc.body) for doc in adapter.desired(readings(COUNT)).documents.values()]
    parts = [json.dumps(bodies[at : at + size]).encode() for at in range(0, COUNT, size)]
    headers = {"api-secret": token, "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as client:
        began = time.perf_counter()
        for part in parts:
            async with client.post(f"{url}/api/v1/entries.json", data=part) as answer:
                assert answer.status == 200
                await answer.read()
        return COUNT / (time.perf_counter() - began)


async def _pair(name: str, url: str, secret: str) -> Row:
    token = await _token(url, secret)
    await _bare(url, token)  # from here on both sides post what is there already
    return at_least(f"pending to settled, {name}", await _ours(url, token), await _bare(url, token), 0.8)


def rows() -> list[Row]:
    with server("nightscout") as url:
        found = [asyncio.run(_pair("shipped simulator", url, NIGHTSCOUT_SECRET))]
    live, secret = os.environ.get("NIGHTSCOUT_URL"), os.environ.get("NIGHTSCOUT_API_SECRET")
    if live and secret:
        found.append(asyncio.run(_pair("live Nightscout", live.rstrip("/"), secret)))
    return found
