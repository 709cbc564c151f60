"""Virtual devices by the names that a person uses, plugged into a virtual bus."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from bridge.simulators.contour import (
    CONTOUR_NEXT,
    CONTOUR_NEXT_ONE,
    CONTOUR_NEXT_USB,
    CONTOUR_USB,
    Kind,
    VirtualMeter,
)
from bridge.simulators.contour.results import lived
from bridge.simulators.patient import VirtualPatient
from bridge.simulators.usb.backend import VirtualBackend
from bridge.simulators.usb.device import VirtualDevice

Now = Callable[[], datetime]
DAYS = 14
"""How far back a virtual meter remembers."""
_METERS = {
    "contour-next": CONTOUR_NEXT, "contour-next-one": CONTOUR_NEXT_ONE, "contour-next-usb": CONTOUR_NEXT_USB,
    "contour-usb": CONTOUR_USB,
}  # fmt: skip


def known_devices() -> list[str]:
    """The names, sorted."""
    return sorted([*_METERS])


def made(name: str, patient: VirtualPatient, now: Now) -> VirtualDevice:
    """The device of that name, with the life of this patient in it. Raises KeyError for an unknown one."""
    return _meter(_METERS[name], patient, now)


def plugged_in(names: Iterable[str], now: Now = lambda: datetime.now(UTC), seed: int = 1) -> VirtualBackend:
    """A bus with these devices, all of one patient."""
    patient = VirtualPatient(seed)
    return VirtualBackend([made(name, patient, now) for name in names])


def _meter(kind: Kind, patient: VirtualPatient, now: Now) -> VirtualMeter:
    meter = VirtualMeter(kind, f"42{kind.product:05}", now, zone=patient.zone)
    meter.results = lived(patient, now() - timedelta(days=DAYS), now(), kind)
    return meter
