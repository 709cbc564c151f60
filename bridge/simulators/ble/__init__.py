"""Virtual Bluetooth devices: meters and sensors on a virtual radio, and bleak backends that hear them."""

from bridge.simulators.ble.air import Air, Computer
from bridge.simulators.ble.backend import client_backend, scanner_backend
from bridge.simulators.ble.meter import Model, Stick, VirtualMeter
from bridge.simulators.ble.peripheral import Security
from bridge.simulators.ble.sensor import VirtualSensor

__all__ = [
    "Air", "Computer", "Model", "Security", "Stick", "VirtualMeter", "VirtualSensor", "client_backend",
    "scanner_backend",
]  # fmt: skip
