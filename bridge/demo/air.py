"""A radio in a virtual air."""

from __future__ import annotations

from bridge.ble import BleakRadio
from bridge.simulators.ble import Air, client_backend, scanner_backend


def virtual_radio(air: Air) -> BleakRadio:
    """The radio of the computer in that air, through bleak as any other."""
    computer = air.computer
    return BleakRadio(
        scanner_backend=scanner_backend(computer),
        client_backend=client_backend(computer),
        answering=computer.answering,
    )
