"""Which readers know an event best, and which are asked again and again."""

from __future__ import annotations

from bridge.model import MeterGlucose, Record

_DEVICE_READERS = ("medtronic-", "minimed-", "contour-", "ble-")
_EXPORT_READERS = ("carelink-csv",)

OWN, DEVICE, EXPORT, FEED = 4, 3, 2, 1


def rank(reader: str) -> int:
    """3 for the device itself (USB, Bluetooth), 2 for an export file, 1 for a cloud feed or an unknown plug-in."""
    if reader.startswith(_DEVICE_READERS):
        return DEVICE
    return EXPORT if reader.startswith(_EXPORT_READERS) else FEED


def weight(record: Record) -> int:
    """How well a sighting knows its event: as its reader; a meter knows its own value better than a pump it told."""
    known = rank(record.reader)
    return OWN if known == DEVICE and isinstance(record, MeterGlucose) and record.entry == "meter" else known


def polled(reader: str) -> bool:
    """True when the source answers the same window again at every poll, so that few answers need keeping."""
    return rank(reader) == FEED
