"""Virtual devices by the names that a person uses, with a virtual patient's life going on in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from bridge.simulators import contour, next_link, stick
from bridge.simulators.patient import VirtualPatient
from bridge.simulators.stick.pump import Answer
from bridge.simulators.usb.backend import VirtualBackend
from bridge.simulators.usb.device import VirtualDevice

Now = Callable[[], datetime]
DAYS = 7
"""How far back a virtual device remembers."""
_METERS = {
    "contour-next": contour.CONTOUR_NEXT, "contour-next-one-usb": contour.CONTOUR_NEXT_ONE,
    "contour-next-usb": contour.CONTOUR_NEXT_USB, "contour-usb": contour.CONTOUR_USB,
}  # fmt: skip
_LINKED = {"640g": "640G", "670g": "670G"}
_STICK_PUMPS = {"522": "522", "523": "523", "554": "554"}


@dataclass(frozen=True, slots=True)
class Built:
    """A virtual device: who reads it, and the serial that it is bound by."""

    device: VirtualDevice
    reader: str
    serial: str


def known_devices() -> list[str]:
    """The names, sorted."""
    return sorted([*_METERS, *_LINKED, *_STICK_PUMPS])


def made(name: str, patient: VirtualPatient, now: Now) -> Built:
    """The device of that name. Raises KeyError for an unknown one."""
    if name in _LINKED:
        pump = next_link.Pump(now, patient, kind=_LINKED[name])
        return Built(_LivingLink(pump, patient, now), "medtronic-600", pump.serial)
    if name in _STICK_PUMPS:
        serial = "123456"
        return Built(stick.VirtualStick([_LivingPump(serial, name, patient, now)]), "medtronic-stick", serial)
    kind = _METERS[name]
    serial = f"42{kind.product:05}"
    return Built(_LivingMeter(kind, serial, now, patient), "contour-usb", serial)


def plugged_in(names: Iterable[str], now: Now = lambda: datetime.now(UTC), seed: int = 1) -> VirtualBackend:
    """A bus with these devices, all of one patient."""
    patient = VirtualPatient(seed)
    return VirtualBackend([made(name, patient, now).device for name in names])


class _LivingLink(next_link.NextLink):
    """Has the finger-sticks up to the moment it is asked, as a meter of its own."""

    def __init__(self, pump: next_link.Pump, patient: VirtualPatient, now: Now) -> None:
        super().__init__(pump)
        self._patient, self._now = patient, now

    def _greet(self) -> None:
        kind, until = contour.NEXT_LINK_24, self._now()
        stored = contour.lived(self._patient, until - timedelta(days=DAYS), until, kind)
        self.records = [f"{text}\r".encode() for text in contour.lines(stored, kind.stamp_digits)]
        super()._greet()


class _LivingMeter(contour.VirtualMeter):
    """Has what was measured up to the moment it is asked."""

    def __init__(self, kind: contour.Kind, serial: str, now: Now, patient: VirtualPatient) -> None:
        super().__init__(kind, serial, now, zone=patient.zone)
        self._patient = patient

    def _wake(self) -> None:
        self.results = contour.lived(self._patient, self.now() - timedelta(days=DAYS), self.now(), self.kind)
        super()._wake()


class _LivingPump(stick.VirtualPump):
    """Writes its memory anew whenever it is asked for its model, which every read begins with."""

    def __init__(self, serial: str, model: str, patient: VirtualPatient, now: Now) -> None:
        zone = ZoneInfo(patient.zone)
        super().__init__(serial, model, stick.PumpMemory(), lambda: now().astimezone(zone).replace(tzinfo=None))
        self._patient, self._now = patient, now
        self._began = now() - timedelta(days=DAYS)

    def ask(self, opcode: int, params: bytes) -> Answer:
        """The pump's answer to one command."""
        if opcode == _MODEL:
            self.memory = stick.remember(self._patient, self.model, self._began, self._now()).memory
        return super().ask(opcode, params)


_MODEL = 0x8D
