"""The true glucose of a person: smooth noise that calms at night, plus what meals, insulin and walks do."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, exp, pi

from bridge.simulators.patient.chance import smooth
from bridge.simulators.patient.plan import Push

BASE_MGDL = 128.0
_LAYERS = ((1, 26 * 3600.0, 14.0), (2, 4 * 3600.0, 24.0), (3, 3300.0, 9.0), (4, 800.0, 2.5))
"""Streams of noise: number, period in seconds, amplitude in mg/dL."""


def _calm(hour: float) -> float:
    """1 in the afternoon, about 0.5 in the small hours."""
    return 0.76 - 0.24 * cos((hour - 3.0) / 24 * 2 * pi)


def response(push: Push, epoch_s: float) -> float:
    """What one push adds at an instant, mg/dL: a rise to its peak and a slow return."""
    after = (epoch_s - push.start_s) / push.peak_s
    return push.mgdl * (after * exp(1 - after)) ** 2 if 0 < after < 7 else 0.0


def glucose(seed: int, pushes: Sequence[Push], epoch_s: float, local_hour: float) -> float:
    """mg/dL at an instant, before the sensor's limits. `pushes` are those of today and yesterday."""
    calm = _calm(local_hour)
    wander = sum(size * smooth(seed, stream, period, epoch_s) for stream, period, size in _LAYERS)
    return BASE_MGDL + calm * wander + sum(response(push, epoch_s) for push in pushes)


def seen_by_sensor(mgdl: float) -> int:
    """As a sensor reports it, 40..400."""
    return min(max(round(mgdl), 40), 400)
