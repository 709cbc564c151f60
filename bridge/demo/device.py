"""A virtual device, plugged in or in reach, in place of the cloud."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bridge.contracts import BleRadio, Clock, UsbBus
from bridge.errors import Incompatible
from bridge.settings import PlugInSettings, Settings
from bridge.simulators.patient import VirtualPatient

OVER_BLUETOOTH = ("contour-next-one",)


@dataclass(frozen=True, slots=True)
class Device:
    """What the engine is given for it, what is to be said of it, and what goes on with it meanwhile."""

    settings: Settings
    usb: UsbBus | None = None
    ble: BleRadio | None = None
    said: str = ""
    life: Callable[[], Awaitable[None]] | None = None


def known_devices() -> list[str]:
    """The names, sorted."""
    with _installed():
        from bridge.simulators.usb.catalogue import known_devices as on_usb

    return sorted([*on_usb(), *OVER_BLUETOOTH])


async def begin_with(settings: Settings, patient: VirtualPatient, name: str, clock: Clock) -> Device:
    """The first person's only source is that device. Raises KeyError for one that is not known, Incompatible where
    the extra that it needs is not installed."""
    in_place = _in_reach if name in OVER_BLUETOOTH else _plugged_in
    return await in_place(settings, patient, name, clock)


async def _plugged_in(settings: Settings, patient: VirtualPatient, name: str, clock: Clock) -> Device:
    with _installed():
        from bridge.simulators.usb import VirtualBackend
        from bridge.simulators.usb.catalogue import made
    from bridge.usb import PyUsbBus

    built = made(name, patient, clock.now)
    alone = _read_by(settings, built.reader, {"devices": [built.serial]})
    return Device(alone, usb=PyUsbBus(VirtualBackend([built.device])))


async def _in_reach(settings: Settings, patient: VirtualPatient, name: str, clock: Clock) -> Device:
    """Paired as a person pairs it, by the code that it shows; from then on it is switched on by each test."""
    from bridge.ble import pair
    from bridge.contracts.ble import Question
    from bridge.engine.registry import ble_plugin

    with _installed():
        from bridge.demo.air import virtual_radio
        from bridge.simulators.ble import Air
        from bridge.simulators.ble.catalogue import PASSKEY, made

    async def ask(question: Question) -> int:
        return PASSKEY

    air = Air()
    built, radio = made(name, air, patient, clock.now), virtual_radio(air)
    air.computer.begins.append(built.device.switch_on)
    paired = await pair(radio, ble_plugin(built.reader), built.device.address, ask)
    said = f"Paired with {paired.who.model}, {paired.bound_as}, by the code {PASSKEY:06} that it showed."
    alone = _read_by(settings, built.reader, {"devices": [paired.bound_as], "scan_s": 2.0})
    return Device(alone, ble=radio, said=said, life=lambda: built.device.live(clock.sleep))


def _read_by(settings: Settings, reader: str, own: dict[str, object]) -> Settings:
    profile, person = next(iter(settings.profiles.items()))
    alone = person.model_copy(update={"readers": {reader: PlugInSettings.model_validate(own)}})
    return settings.model_copy(update={"profiles": {**settings.profiles, profile: alone}})


@contextmanager
def _installed() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise Incompatible(
            "Virtual devices are not installed.", next_step="Install glucobridge[usb,ble,pump-ble].",
            state="incompatible",
        ) from None  # fmt: skip
