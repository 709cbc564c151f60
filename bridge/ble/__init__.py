"""Bluetooth: the machine's own radio behind the `BleRadio` seam, pairing, and the agent that asks for a code."""

from bridge.ble.pairing import Paired, nearby, pair
from bridge.ble.radio import BleakRadio

__all__ = ["BleakRadio", "Paired", "nearby", "pair"]
