"""A recorded session as umockdev's two files, and a program run in front of them.

umockdev answers the kernel's USB calls of a program from a script, so that libusb itself runs without a device.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from bridge.simulators.usb import Descriptor, Endpoint, Interface
from tests.usb.recording import Transfer

ROOT = Path(__file__).parents[2]
NODE = "bus/usb/001/004"
_HID = 3
_HID_DESCRIPTOR = bytes.fromhex("092111010001222500")
_CAPABILITIES = "USBDEVFS_GET_CAPABILITIES 0 7D000000"
"""What a kernel of today can do, little-endian: transfers of any size, no splitting."""
_CANCELLED = -2
"""-ENOENT: how the kernel hands back a transfer that the host gave up."""
_INTERRUPT, _BULK = 1, 3


def description(descriptor: Descriptor) -> str:
    """The device as /sys shows it, with its USB descriptors."""
    vendor, product = descriptor.vendor, descriptor.product
    names = {"product": descriptor.product_name, "serial": descriptor.serial}
    attributes = {
        "busnum": "1", "devnum": "4", "speed": "12", "idVendor": f"{vendor:04x}", "idProduct": f"{product:04x}",
        "bConfigurationValue": "1", "bNumConfigurations": "1", "bNumInterfaces": str(len(descriptor.interfaces)),
    } | {name: text for name, text in names.items() if text}  # fmt: skip
    lines = [
        "P: /devices/pci0000:00/0000:00:14.0/usb1/1-1",
        f"N: {NODE}",
        f"E: DEVNAME=/dev/{NODE}",
        "E: DEVTYPE=usb_device",
        "E: SUBSYSTEM=usb",
        "E: MAJOR=189",
        "E: MINOR=3",
        f"E: PRODUCT={vendor:x}/{product:x}/100",
        *[f"A: {name}={text}" for name, text in attributes.items()],
        f"H: descriptors={_descriptors(descriptor).hex().upper()}",
    ]
    return "\n".join([*lines, "", ""])


def script(descriptor: Descriptor, transfers: Sequence[Transfer]) -> str:
    """The transfers in their order. One that nothing came of stays in, as the kernel's answer to a cancelled one."""
    kinds = {each.address: _kind(each) for interface in descriptor.interfaces for each in interface.endpoints}
    lines = [_line(kinds[each.endpoint], each) for each in transfers]
    return "\n".join([f"@DEV /dev/{NODE} (USB)", _CAPABILITIES, *lines, ""])


def run(folder: Path, device: str, transfers: str, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """The command's outcome, with the device of those two files as the only one on the bus."""
    (folder / "device.umockdev").write_text(device, "ascii")
    (folder / "device.ioctl").write_text(transfers, "ascii")
    files = ["--device", str(folder / "device.umockdev"), "--ioctl", f"/dev/{NODE}={folder / 'device.ioctl'}"]
    line = ["umockdev-run", *files, "--", *command]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


def _line(kind: int, transfer: Transfer) -> str:
    data = transfer.data or b""
    status = _CANCELLED if transfer.data is None else 0
    head = f"USBDEVFS_REAPURBNDELAY 0 {kind} {transfer.endpoint} {status} 0 {transfer.size} {len(data)} 0 "
    return head + data.hex().upper()


def _kind(endpoint: Endpoint) -> int:
    return _INTERRUPT if endpoint.interrupt else _BULK


def _descriptors(descriptor: Descriptor) -> bytes:
    """Device, configuration, interfaces and endpoints, as read from the device."""
    identity = _words(descriptor.vendor, descriptor.product, 0x0100)
    strings = bytes([0, 2 if descriptor.product_name else 0, 3 if descriptor.serial else 0])
    device = bytes([18, 1]) + _words(0x0200) + bytes([0, 0, 0, 64]) + identity + strings + b"\x01"
    interfaces = b"".join(_interface(number, each) for number, each in enumerate(descriptor.interfaces))
    total = _words(9 + len(interfaces))
    return device + bytes([9, 2]) + total + bytes([len(descriptor.interfaces), 1, 0, 0x80, 50]) + interfaces


def _interface(number: int, interface: Interface) -> bytes:
    head = bytes([9, 4, number, 0, len(interface.endpoints), interface.usb_class, 0, 0, 0])
    own = _HID_DESCRIPTOR if interface.usb_class == _HID else b""
    return head + own + b"".join(_endpoint(each) for each in interface.endpoints)


def _endpoint(endpoint: Endpoint) -> bytes:
    return bytes([7, 5, endpoint.address, 3 if endpoint.interrupt else 2]) + _words(endpoint.packet) + b"\x01"


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "little") for value in values)
