"""Which services and characteristics of a pump are read. Its own UUIDs stand on its maker's base."""

from __future__ import annotations

_BASE = "0000{:04x}-0000-1000-0000-009132591325"


def own(number: int) -> str:
    """The whole UUID of one of the maker's numbers."""
    return _BASE.format(number)


INFORMATION, BATTERY, CGM, INSULIN = "180a", "180f", "181f", own(0x0100)
"""Services."""
SERIAL, MODEL, FIRMWARE, HARDWARE = "2a25", "2a24", "2a26", "2a27"
BATTERY_LEVEL = "2a19"
STATUS, FEATURES, STATUS_READER, HISTORY = own(0x0102), own(0x0104), own(0x0105), own(0x0108)
SENSOR_BATTERY = own(0x0400)
RACP, SESSION_CONTROL = "2a52", "2aac"
PORT_SERVICE, RECONNECT_SERVICE = "fe82", "fe81"
PORT = "0000fe82-0000-1000-0000-009132591325"
SEALED = frozenset((STATUS, FEATURES, STATUS_READER, HISTORY))
"""Characteristics of the insulin service whose values are sealed."""
