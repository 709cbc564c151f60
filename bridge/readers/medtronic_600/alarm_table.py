"""What the pump's alarm codes mean, and how urgent each is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

_SEVERITY = {"E": "critical", "H": "high", "N": "normal", "L": "low", "R": "reminder"}
_LIST = """
3 4 15 23 53 54|E|Pump error, insulin delivery stopped
6|E|Power lost for more than 10 minutes
7|E|Insulin flow blocked
8|E|Insulin flow blocked, reservoir may be empty
11|E|Replace battery now, insulin delivery stopped
58|N|Battery failed
61|L|Button stuck
66|L|No reservoir found
70|L|Fill the cannula?
71 72|L|Largest fill reached|units
73|H|Battery lasts less than 30 minutes
84|L|Insert battery
100|H|Bolus entry timed out
103|R|Check blood glucose after the bolus
104|N|Low pump battery
105|N|Low reservoir|units
106|N|Low reservoir|hours
107|R|Missed meal bolus
108|R|Personal reminder|reminder
109|R|Set change reminder|days
110|L|An alert occurred while silenced
113|H|Reservoir may be empty
117|L|Active insulin cleared
775|H|Calibrate now
776|H|Calibration not accepted
777 778|H|Change sensor
789|L|Change sensor
780|L|Lost sensor signal
781|L|Possible signal interference
784|H|Rise alert
786 787|H|No calibration occurred
788|H|Blood glucose not received
790 791 796|L|Sensor signal not found
794|H|Sensor expired
795|L|Check the transmitter's connection
797 798 799|L|Sensor connected, warm-up started
801|L|Sensor glucose not available
802|E|Alert on low|glucose
803|E|Low sensor glucose while suspended
805|H|Alert before low|glucose
806|L|Basal delivery resumed
807|L|Basal delivery resumed
808|L|Basal delivery resumed after 2 hours at most
809|L|Suspended on low|glucose
810|L|Suspended before low
811|N|Suspended before low
812|E|Suspended before low, no answer from the person
814|N|Basal delivery resumed, still low
815|N|Basal delivery resumed, settings changed
816|E|Alert on high|glucose
817|H|Alert before high|glucose
819|L|Auto mode is off
820|H|Auto mode exit
821|H|Auto mode: minimum delivery
822|H|Auto mode: maximum delivery
823 824|H|Auto mode exit, high sensor glucose
825|L|Auto mode started
827 829 830 831|L|Blood glucose required
832|N|Calibration required
833|L|Bolus recommended|first_glucose
869|R|Calibrate by|clock
870|N|Low transmitter battery
"""
SILENCED = 110
_FIRST_INVALID_SG = 0x300


class Alarm(NamedTuple):
    """One code: severity as the model names it, plain text, which part of the data belongs to the text."""

    severity: str
    text: str
    detail: str | None


def _parsed(line: str) -> list[tuple[int, Alarm]]:
    codes, severity, text, *detail = line.split("|")
    alarm = Alarm(_SEVERITY[severity], text, detail[0] if detail else None)
    return [(int(code), alarm) for code in codes.split()]


ALARMS: Mapping[int, Alarm] = dict(row for line in _LIST.strip().splitlines() for row in _parsed(line))


def describe(code: int, data: bytes = b"") -> tuple[str | None, str]:
    """Severity and text of a code; an unknown one has no severity."""
    alarm = ALARMS.get(code)
    if alarm is None:
        return None, f"Alarm {code}"
    more = _DETAILS[alarm.detail](data) if alarm.detail and len(data) >= _DETAIL_SIZE else ""
    return alarm.severity, f"{alarm.text}{more}"


_DETAIL_SIZE = 10


def _units(data: bytes) -> str:
    return f", {int.from_bytes(data[:4], 'big') / 10_000:g} U"


def _glucose(data: bytes) -> str:
    value = int.from_bytes(data[:2], "big")
    return f", {value} mg/dL" if 0 < value < _FIRST_INVALID_SG else ""


_DETAILS: Mapping[str, Callable[[bytes], str]] = {
    "units": _units,
    "hours": lambda data: f", {data[0]} h left",
    "days": lambda data: f", {data[0]} days",
    "reminder": lambda data: f" {data[2]}",
    "clock": lambda data: f" {data[0]:02d}:{data[1]:02d}",
    "glucose": lambda data: _glucose(data[1:]),
    "first_glucose": _glucose,
}
