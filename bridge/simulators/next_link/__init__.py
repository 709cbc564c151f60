"""A virtual Contour Next Link 2.4 with a 640G or 670G behind it."""

from bridge.simulators.next_link.faults import Faults
from bridge.simulators.next_link.history import PUMP, SENSOR, Canned, History, Remembered, in_blocks, in_pages, page
from bridge.simulators.next_link.life import Life
from bridge.simulators.next_link.link import IN, OUT, NextLink
from bridge.simulators.next_link.pump import MODELS, Pump

__all__ = [
    "IN", "MODELS", "OUT", "PUMP", "SENSOR", "Canned", "Faults", "History", "Life", "NextLink", "Pump",
    "Remembered", "in_blocks", "in_pages", "page",
]  # fmt: skip
