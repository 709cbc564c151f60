"""One row a figure: measured, its bound of the same run, the ratio, the aim."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    measured: str
    bound: str
    figure: str
    aim: str
    met: bool


def show(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "measured", "bound in this run", "figure", "aim", "met")
    for row in rows:
        table.add_row(row.what, row.measured, row.bound, row.figure, row.aim, "yes" if row.met else "NO")
    Console(width=150).print(table)


def median_s(work: Callable[[], object], runs: int = 15, clock: Callable[[], float] = time.perf_counter) -> float:
    work()
    times = []
    for _ in range(runs):
        began = clock()
        work()
        times.append(clock() - began)
    return statistics.median(times)


def peak_mb() -> float:
    """Most resident memory of this process since it began (Linux: `getrusage` also counts the parent's at the fork)."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def at_most(what: str, measured: float, bound: float, aim: float, unit: str = "ms", scale: float = 1e3) -> Row:
    ratio = measured / bound
    return Row(
        what,
        f"{measured * scale:.2f} {unit}",
        f"{bound * scale:.2f} {unit}",
        f"{ratio:.2f}x",
        f"<= {aim}x",
        ratio <= aim,
    )


def at_least(what: str, rate: float, bound: float, aim: float) -> Row:
    ratio = rate / bound
    return Row(what, f"{rate:,.0f}/s", f"{bound:,.0f}/s", f"{ratio:.2f}", f">= {aim}", ratio >= aim)


def absolute(what: str, value: float, unit: str, aim: float) -> Row:
    return Row(what, f"{value:.2f} {unit}", "-", f"{value:.2f} {unit}", f"<= {aim} {unit}", value <= aim)
