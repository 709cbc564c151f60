"""What a protocol-level device offers to the virtual bus: bytes in, bytes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Unplugged(Exception):
    """The device is gone: every transfer fails from now on."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`address` with the direction bit (0x80 in); `interrupt` or bulk; `packet` bytes at most."""

    address: int
    interrupt: bool
    packet: int = 64


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface: its USB class and endpoints. `driver`: a kernel driver holds it at first."""

    usb_class: int
    endpoints: tuple[Endpoint, ...]
    driver: bool = True


@dataclass(frozen=True, slots=True)
class Descriptor:
    """How the device presents itself."""

    vendor: int
    product: int
    interfaces: tuple[Interface, ...]
    product_name: str = ""
    serial: str = ""


class VirtualDevice(Protocol):
    """A simulator that the virtual bus carries. Both calls are made from one thread at a time."""

    descriptor: Descriptor

    def write(self, endpoint: int, data: bytes) -> None:
        """Take one transfer from the host. Raises Unplugged."""
        ...

    def read(self, endpoint: int, size: int, timeout_s: float) -> bytes | None:
        """The next transfer to the host, at most `size` bytes; None when nothing comes in time.

        Need not wait `timeout_s`: virtual devices answer at once or never. Raises Unplugged.
        """
        ...

    def released(self) -> None:
        """The host closed the port (a conversation may have been left half way)."""
        ...
