"""A virtual USB bus: protocol-level devices behind pyusb's backend seam, with plugs to pull."""

from bridge.simulators.usb.backend import VirtualBackend
from bridge.simulators.usb.device import Descriptor, Endpoint, Interface, Unplugged, VirtualDevice

__all__ = ["Descriptor", "Endpoint", "Interface", "Unplugged", "VirtualBackend", "VirtualDevice"]
