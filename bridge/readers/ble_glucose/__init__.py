"""Glucose meters over Bluetooth: the standard Glucose Profile, read each time a meter is switched on in reach."""

from bridge.readers.ble_glucose.reader import BleGlucoseReader

__all__ = ["BleGlucoseReader"]
