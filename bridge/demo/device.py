"""A virtual device on a virtual bus, in place of the cloud."""

from __future__ import annotations

from bridge.contracts import Clock, UsbBus
from bridge.settings import PlugInSettings, Settings
from bridge.simulators.patient import VirtualPatient
from bridge.simulators.usb import VirtualBackend
from bridge.simulators.usb.catalogue import made
from bridge.usb import PyUsbBus


def plug_in(settings: Settings, patient: VirtualPatient, name: str, clock: Clock) -> tuple[Settings, UsbBus]:
    """The first person's only source is that device, plugged in; settings and the bus. Raises KeyError."""
    built = made(name, patient, clock.now)
    profile, person = next(iter(settings.profiles.items()))
    table = PlugInSettings.model_validate({"devices": [built.serial]})
    alone = person.model_copy(update={"readers": {built.reader: table}})
    profiles = {**settings.profiles, profile: alone}
    return settings.model_copy(update={"profiles": profiles}), PyUsbBus(VirtualBackend([built.device]))
