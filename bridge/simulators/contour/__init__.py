"""Virtual Contour meters for the virtual USB bus: five products, their stored results and their faults."""

from bridge.simulators.contour.kinds import (
    CONTOUR_NEXT,
    CONTOUR_NEXT_ONE,
    CONTOUR_NEXT_USB,
    CONTOUR_USB,
    KINDS,
    NEXT_LINK_24,
    Kind,
)
from bridge.simulators.contour.meter import Faults, VirtualMeter
from bridge.simulators.contour.results import Stored, carbs, glucose, insulin, lines, lived

__all__ = [
    "CONTOUR_NEXT", "CONTOUR_NEXT_ONE", "CONTOUR_NEXT_USB", "CONTOUR_USB", "KINDS", "NEXT_LINK_24", "Faults", "Kind",
    "Stored", "VirtualMeter", "carbs", "glucose", "insulin", "lines", "lived",
]  # fmt: skip
