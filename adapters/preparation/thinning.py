"""Which pump statuses are worth sending: the first, one in a while, and every one that says something new."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from adapters.preparation.nearby import device_key, grouped
from bridge.model import PumpStatus

_STATES = ("suspended", "bolusing", "mode", "sensor_state", "in_range")
_LEVELS: tuple[tuple[str, float, tuple[float, ...]], ...] = (
    ("iob_u", 0.25, ()),
    ("reservoir_u", 2, (10, 5)),
    ("battery_pct", 5, (30, 20)),
    ("battery_v", 0.05, (1.35, 1.3)),
    ("transmitter_battery_pct", 10, ()),
    ("uploader_battery_pct", 10, (30, 20)),
)
"""Field, the move that counts, and the thresholds a site warns at."""


def kept_statuses(records: Iterable[PumpStatus], every_min: float) -> set[str]:
    """Ids of the statuses to send; each is judged against the last kept of its device.

    Records come in ascending (time, id) order. A set whose oldest status is the last one kept goes on as the whole
    history would.
    """
    pause = timedelta(minutes=every_min)
    kept: set[str] = set()
    for line in grouped(records, device_key).values():
        last = line[0]
        kept.add(last.id)
        for status in line[1:]:
            if status.time - last.time >= pause or _news(last, status):
                kept.add(status.id)
                last = status
    return kept


def _news(last: PumpStatus, status: PumpStatus) -> bool:
    if any(getattr(last, name) != getattr(status, name) for name in _STATES):
        return True
    return any(
        _moved(getattr(last, name), getattr(status, name), step, thresholds) for name, step, thresholds in _LEVELS
    )


def _moved(before: float | None, now: float | None, step: float, thresholds: tuple[float, ...]) -> bool:
    if before is None or now is None:
        return before is not now
    if round(abs(now - before), 6) >= step:
        return True
    return any((before < threshold) != (now < threshold) for threshold in thresholds)
