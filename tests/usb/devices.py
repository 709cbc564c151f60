"""A device for bus tests: it sends back what it is sent."""

from __future__ import annotations

from bridge.simulators.usb import Descriptor, Endpoint, Interface, Unplugged

HID, STORAGE = 3, 8


class Echo:
    """Composite like a meter: HID beside mass storage, both held by the kernel at first."""

    def __init__(self, product: int = 0x7410, *, unplug_after: int | None = None) -> None:
        hid = Interface(HID, (Endpoint(0x83, interrupt=True), Endpoint(0x04, interrupt=True)))
        storage = Interface(STORAGE, (Endpoint(0x81, interrupt=False), Endpoint(0x01, interrupt=False)))
        self.descriptor = Descriptor(0x1A79, product, (hid, storage))
        self.waiting: list[bytes] = []
        self.releases = 0
        self._left = unplug_after

    def write(self, endpoint: int, data: bytes) -> None:
        self._count()
        assert endpoint == 0x04
        self.waiting.append(data)

    def read(self, endpoint: int, size: int, timeout_s: float) -> bytes | None:
        self._count()
        assert endpoint == 0x83
        assert timeout_s > 0
        return self.waiting.pop(0)[:size] if self.waiting else None

    def released(self) -> None:
        self.releases += 1

    def _count(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Unplugged
