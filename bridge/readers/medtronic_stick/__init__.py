"""MiniMed 500 and 700 series pumps without Bluetooth, read through the CareLink USB stick."""

from bridge.readers.medtronic_stick.reader import MedtronicStickReader

__all__ = ["MedtronicStickReader"]
