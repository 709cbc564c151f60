"""USB: the real bus behind the `UsbBus` seam."""

from bridge.usb.advice import RULES, Seen
from bridge.usb.bus import PyUsbBus
from bridge.usb.watch import Watch

__all__ = ["RULES", "PyUsbBus", "Seen", "Watch"]
