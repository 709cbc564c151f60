"""`python -m benchmarks.peers SETTINGS.toml`: one table, a line a bridge; ours is always the first."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks.peers.asked import Asked, Peer, filled, read
from benchmarks.peers.day import KINDS, Count, day
from benchmarks.peers.measured import Cost, run
from bridge.errors import BridgeError

OURS = Peer(name="glucobridge", command=[sys.executable, "-m", "bridge", "--data", "${ours}", "mirror", "--once"])

Line = tuple[str, dict[str, Count], Cost]


async def compared(asked: Asked) -> list[Line]:
    """Each on a day of its own, which is the same day."""
    return [await _one(peer, asked.seed) for peer in (OURS, *asked.peers)]


async def _one(peer: Peer, seed: int) -> Line:
    with tempfile.TemporaryDirectory(prefix="peer-") as name:
        folder = Path(name)
        async with day(folder, seed) as given:
            cost = await run(filled(peer, given.names), folder, peer.seconds)
            counts = given.counts()
        if not any(each.delivered for each in counts.values()):
            print(f"{peer.name} delivered nothing. Its last words:", (folder / "log").read_text("utf-8")[-1500:])
    return peer.name, counts, cost


def show(lines: list[Line]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("bridge", *(f"{kind}: there / missing / extra" for kind in KINDS), "ended", "wall", "CPU", "memory")
    for name, counts, cost in lines:
        told = [f"{each.delivered} of {each.asked} / {each.missing} / {each.extra}" for each in counts.values()]
        ended = "its time was over" if cost.ended is None else f"by itself, {cost.ended}"
        table.add_row(name, *told, ended, f"{cost.wall_s:.1f} s", f"{cost.cpu_s:.2f} s", f"{cost.peak_mb:.0f} MB")
    Console(width=170).print(table)


def main(arguments: list[str]) -> int:
    """0, or 2 for settings that do not fit."""
    try:
        asked = read(Path(arguments[0])) if arguments else Asked()
        show(asyncio.run(compared(asked)))
    except BridgeError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
