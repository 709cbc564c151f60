"""After the last fault: what was open is settled, in the time that the rules give it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from bridge.engine.backoff import CEILING_S
from bridge.engine.fleet import TAKEOVER_S
from tests.chaos.stage import Play

PATIENCE_S = 2 * TAKEOVER_S


@dataclass(frozen=True)
class Quiet:
    """`opened` deliveries were open after the last fault; the last of them was settled after `lasted_s`.

    `late`: so many were still open after two of the run's own lease times, which are shorter than the default.
    """

    opened: int
    late: int
    stuck: list[str]
    lasted_s: float


async def quiet(rows: Any, play: Play) -> Quiet:
    """Waits until everything that was open is settled.

    Two lease times (the default ones) without one delivery less are a standstill. What is open then is stuck, unless
    its destination was down: that is left alone for a while, by name, at most for the longest back-off.
    """
    begun, waiting = time.monotonic(), await _open(rows)
    opened, late, moved = len(waiting), 0, begun
    while waiting:
        await asyncio.sleep(min(2.0, play.lease_s / 4))
        left, now = waiting & await _open(rows), time.monotonic()
        moved, waiting = (moved, left) if left == waiting else (now, left)
        late = late or (len(left) if now > begun + 2 * play.lease_s else 0)
        stuck = await _stuck(rows, left) if now > moved + PATIENCE_S else []
        if stuck or now > moved + PATIENCE_S + CEILING_S / play.speed:
            return Quiet(opened, late, stuck or sorted(left), now - begun)
    return Quiet(opened, late, [], time.monotonic() - begun)


async def _stuck(rows: Any, left: set[str]) -> list[str]:
    found = rows["destinations"].find({"health": {"$ne": "ok"}}, {"profile": 1, "name": 1})
    left_alone = {(row["profile"], row["name"]) async for row in found}
    return sorted(each for each in left if tuple(each.split()[:2]) not in left_alone)


async def _open(rows: Any) -> set[str]:
    """Revision by revision: a bolus that still runs is revised again and again."""
    fields = {"profile": 1, "record": 1, "destination": 1}
    waiting = rows["deliveries"].find({"ready_ms": {"$exists": True}}, fields)
    places = [(row["profile"], row["destination"], row["record"]) async for row in waiting]
    ids = [record for *_, record in places]
    found = rows["records"].find({"id": {"$in": ids}}, {"id": 1, "revision": 1})
    revisions = {row["id"]: row["revision"] async for row in found}
    return {f"{profile} {name} {record} revision {revisions.get(record)}" for profile, name, record in places}
