"""Why a device is not seen, in plain words, with what mends it."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.contracts.ports import UsbDevice

CONTOUR, STICK = 0x1A79, 0x0A21
RULES = """\
SUBSYSTEM=="usb", ATTR{idVendor}=="1a79", MODE="0660", TAG+="uaccess", GROUP="plugdev"
SUBSYSTEM=="usb", ATTR{idVendor}=="0a21", ATTR{idProduct}=="8001", MODE="0660", TAG+="uaccess", GROUP="plugdev", \
ENV{ID_MM_DEVICE_IGNORE}="1", ENV{ID_MTP_DEVICE_IGNORE}="1"
"""
"""udev rules that let the logged-in user and the group plugdev open the devices, and keep ModemManager away."""
_ABSENT = (
    "No device of a known maker is plugged in. Use a data cable (many only charge), a USB-2 port or hub (the "
    "CareLink USB stick often fails on USB-3 ports), and switch a meter on so that it shows that it is connected."
)
_E86 = "A meter that shows E86 or E81 must be unplugged for five seconds: nothing else helps."


class Seen:
    """What the bus shows, makers only."""

    def __init__(self, devices: Sequence[UsbDevice]) -> None:
        self._vendors = [device.vendor for device in devices]

    def hints(self, recognised: bool) -> list[str]:
        """Plain sentences where nothing was recognised; none where all is well."""
        if recognised:
            return []
        if not {CONTOUR, STICK} & set(self._vendors):
            return [_ABSENT]
        return ["A device of a known maker is there, but it offers no interface that glucobridge reads.", _E86]
