"""What the numbers of a pump's alerts mean, and how urgent each is. A selection: others have no text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_LIST = """
07|critical|Insulin flow blocked
33|high|Bolus stopped
54|low|Insert battery
68|normal|Low pump battery
69 6A|normal|Low reservoir
6D|reminder|Set change reminder
307|high|Calibrate now
308|high|Calibration not accepted
30A 315|high|Change sensor
30C|low|Lost sensor signal
321|low|Sensor glucose not available
322 323|critical|Low sensor glucose
325|high|Alert before low
329|low|Suspended on low
32A 32B|normal|Suspended before low
33B|critical|Low sensor glucose
327 32F|normal|Basal delivery resumed
330 344|critical|High sensor glucose
331|high|Alert before high
333 334 335 336 337 338 339 33A|high|Auto mode exit
"""


class Alert(NamedTuple):
    """Severity as the model names it, and plain text."""

    severity: str
    text: str


def _parsed(line: str) -> list[tuple[int, Alert]]:
    numbers, severity, text = line.split("|")
    return [(int(number, 16), Alert(severity, text)) for number in numbers.split()]


ALERTS: Mapping[int, Alert] = dict(row for line in _LIST.strip().splitlines() for row in _parsed(line))


def describe(number: int) -> tuple[str | None, str]:
    """Severity and text; an unknown one has no severity."""
    alert = ALERTS.get(number)
    return (None, f"Alert {number}") if alert is None else (alert.severity, alert.text)
