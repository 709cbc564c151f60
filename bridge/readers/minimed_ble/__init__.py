"""Pumps of the 700 series over Bluetooth: experimental, off by default, strictly reading."""

from bridge.readers.minimed_ble.reader import MinimedBleReader

__all__ = ["MinimedBleReader"]
