"""Glucose meters over Bluetooth: the standard Glucose Profile, read each time a meter is switched on in reach."""

from bridge.contracts.ble import BleLink, BleRadio, Sighted
from bridge.readers.ble_glucose.asking import AskPasskey, Question
from bridge.readers.ble_glucose.pairing import Paired, nearby, pair
from bridge.readers.ble_glucose.radio import BleakRadio
from bridge.readers.ble_glucose.reader import BleGlucoseReader

__all__ = [
    "AskPasskey", "BleGlucoseReader", "BleLink", "BleRadio", "BleakRadio", "Paired", "Question", "Sighted", "nearby",
    "pair",
]  # fmt: skip
