"""The live view: newest glucose and arrow, and per destination what is sent, pending, quarantined, behind."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bridge.contracts import DeliveryState, DestinationStatus, Interval, Journal, ReaderStatus
from bridge.model.records import MeterGlucose, SensorGlucose

if TYPE_CHECKING:
    from collections.abc import Sequence

ARROWS = {
    "triple_up": "⤊", "double_up": "⇈", "single_up": "↑", "forty_five_up": "↗", "flat": "→",
    "forty_five_down": "↘", "single_down": "↓", "double_down": "⇊", "triple_down": "⤋",
}  # fmt: skip
_BARS = "▁▂▃▄▅▆▇█"


GLUCOSE = ("sensor_glucose", "meter_glucose")
Reading = SensorGlucose | MeterGlucose


async def picture(journal: Journal, profiles: dict[str, str], window: Interval) -> Group:
    """One frame for all profiles."""
    statuses, sources = await journal.destinations(), await journal.readers()
    panels = []
    for profile, name in profiles.items():
        readings = [r async for r in journal.records(profile, window, GLUCOSE) if isinstance(r, Reading)]
        own = [status for status in statuses if status.destination.profile == profile]
        read = [line(source) for source in sources if source.profile == profile]
        body = Group(headline(readings, window.end), *read, ledgers(own, window.end))
        panels.append(Panel(body, title=name, title_align="left"))
    return Group(*panels)


def headline(readings: Sequence[SensorGlucose | MeterGlucose], now: datetime) -> Text:
    """Newest value, arrow, age, and a line of the last three hours."""
    known = [(reading, reading.mgdl) for reading in readings if reading.mgdl is not None]
    if not known:
        return Text("no glucose yet")
    newest, mgdl = known[-1]
    age_min = (now - newest.time).total_seconds() / 60
    line = "".join(_BARS[min(7, max(0, (value - 40) * 8 // 260))] for _, value in known[-36:])
    arrow = ARROWS.get(newest.trend or "", "") if isinstance(newest, SensorGlucose) else "(finger-stick)"
    text = Text(f"{mgdl} mg/dL {arrow} ", style=f"bold {_colour(mgdl)}")
    return text.append(f" {age_min:.0f} min ago   ", style="dim").append(line, style="cyan")


def line(source: ReaderStatus) -> Text:
    """What a reader is in."""
    return Text(f"{source.reader}: {source.health.state} {source.health.text}", style="dim")


def _colour(mgdl: int) -> str:
    return "red" if mgdl < 70 else "green" if mgdl <= 180 else "yellow"


def ledgers(statuses: Sequence[DestinationStatus], now: datetime) -> Table:
    """One row a destination."""
    table = Table("destination", "state", "sent", "pending", "quarantined", "not sent", "lag", box=None)
    for status in statuses:
        counts = status.counts
        pending = sum(counts.get(state, 0) for state in (DeliveryState.PENDING, DeliveryState.LEASED))
        aside = sum(counts.get(state, 0) for state in (DeliveryState.NOT_APPLICABLE, DeliveryState.SUPERSEDED))
        table.add_row(
            status.destination.name, str(status.health.state), str(counts.get(DeliveryState.ACCEPTED, 0)),
            str(pending), str(counts.get(DeliveryState.QUARANTINED, 0)), str(aside), _lag(status, now),
        )  # fmt: skip
    return table


def _lag(status: DestinationStatus, now: datetime) -> str:
    if status.oldest_pending is None:
        return "-"
    return f"{(now - status.oldest_pending).total_seconds():.0f} s"
