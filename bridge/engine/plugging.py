"""Recognises what is plugged in, announces it, and wakes the reader that it is bound to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from bridge.contracts import Clock, DevicePlugIn, Recognised, UsbBus, UsbDevice
from bridge.engine.bindings import Bindings
from bridge.errors import BridgeError, Incompatible
from bridge.model.health import Health, State
from bridge.usb import Watch

BETWEEN_READS_S = 15 * 60.0
"""A device that is plugged in again and again starts one read in this time."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Plugged:
    """A device of a known family: by which reader, and what it says it is."""

    device: UsbDevice
    reader: str
    who: Recognised


Wake = Callable[[str, str], None]
"""Read this profile's reader now."""


class Plugging:
    """`plugins` loads the families when the first device shows up; `wake` is called for a bound one."""

    def __init__(
        self,
        bus: UsbBus,
        plugins: Callable[[], Sequence[DevicePlugIn]],
        bindings: Bindings,
        clock: Clock,
        wake: Wake,
    ) -> None:
        self._bus, self._plugins, self._bindings = bus, plugins, bindings
        self._clock, self._wake = clock, wake
        self._started: dict[tuple[str, str], float] = {}
        self.present: list[Plugged] = []

    async def run(self) -> None:
        """Follow the bus until cancelled."""
        first = True
        try:
            async for change in Watch(self._bus, self._clock).changes():
                self.present = [each for each in self.present if each.device not in change.went]
                for device in change.came:
                    await self._came(device, at_start=first)
                first = False
        except Incompatible as error:
            _log.info("hot_plug_off", state=error.state, reason=str(error))

    async def _came(self, device: UsbDevice, *, at_start: bool) -> None:
        for plugged in await recognised(self._bus, self._plugins(), device):
            self.present.append(plugged)
            self._announce(plugged, at_start=at_start)

    def _announce(self, plugged: Plugged, *, at_start: bool) -> None:
        """At the start every reader looks by itself: nobody needs waking."""
        serial = plugged.who.serial
        known = plugged.who.health.state is State.OK
        profiles = self._bindings.wakes(plugged.reader, serial) if known else set()
        _log.info(
            "device_plugged" if profiles or not known else "device_unbound",
            reader=plugged.reader, model=plugged.who.model, state=str(plugged.who.health.state),
        )  # fmt: skip
        if not at_start and self._may_start(plugged):
            for profile in profiles:
                self._wake(profile, plugged.reader)

    def _may_start(self, plugged: Plugged) -> bool:
        key, now = (plugged.reader, plugged.who.serial or plugged.device.place), self._clock.monotonic()
        last = self._started.get(key)
        if last is not None and now - last < BETWEEN_READS_S:
            return False
        self._started[key] = now
        return True


async def recognised(bus: UsbBus, plugins: Sequence[DevicePlugIn], device: UsbDevice) -> list[Plugged]:
    """What each fitting family makes of a device; a family that gets no answer says so in its health."""
    found = []
    for plugin in plugins:
        kind = next((kind for kind in plugin.plugs if kind.fits(device)), None)
        if kind is not None:
            try:
                async with bus.open(device, kind.interface_class) as port:
                    who = await plugin.recognise(port, device)
            except BridgeError as error:
                who = Recognised(plugin.name, "", None, Health(State.named(error.state), str(error)))
            found.append(Plugged(device, plugin.name, who))
    return [each for each in found if each.who.model or each.who.health.state is not State.WRONG_DEVICE]
