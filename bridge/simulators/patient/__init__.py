"""A virtual patient whose whole life follows from a seed."""

from bridge.simulators.patient.clocks import PumpClock, fixed, kept_to, zone_offset_min
from bridge.simulators.patient.events import (
    Alarm,
    Bolus,
    Calibration,
    Delivered,
    Event,
    Fact,
    FingerStick,
    Meal,
    MicroDose,
    ModeChange,
    PenDose,
    SensorChange,
    SensorReading,
    TimeChange,
    fact,
    known_from,
)
from bridge.simulators.patient.patient import Therapy, VirtualPatient
from bridge.simulators.patient.status import PatientStatus

__all__ = [
    "Alarm", "Bolus", "Calibration", "Delivered", "Event", "Fact", "FingerStick", "Meal", "MicroDose",
    "ModeChange", "PatientStatus", "PenDose", "PumpClock", "SensorChange", "SensorReading", "Therapy",
    "TimeChange", "VirtualPatient", "fact", "fixed", "kept_to", "known_from", "zone_offset_min",
]  # fmt: skip
