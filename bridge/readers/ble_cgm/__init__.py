"""Glucose sensors over Bluetooth: the standard CGM Profile, where a sensor lets itself be read."""

from bridge.readers.ble_cgm.reader import BleCgmReader

__all__ = ["BleCgmReader"]
