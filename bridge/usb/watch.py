"""What was plugged in and pulled out, once it has settled."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bridge.contracts.ports import UsbBus, UsbDevice
from bridge.contracts.setup import Clock

LOOK_S = 2.0
"""Without a signal from the kernel the bus is looked at this often."""
LOOK_WITH_SIGNAL_S = 10.0
"""With one, still this often: a signal can be missed (a container without the host's network)."""
SETTLE_S = 0.7
"""A device shows several faces while it starts: only what stays this long is there."""


@dataclass(frozen=True, slots=True)
class Change:
    """Devices that came and that went since the last change."""

    came: Sequence[UsbDevice]
    went: Sequence[UsbDevice]


class Watch:
    """Changes of a bus. `signalled`: let the kernel wake it (Linux with pyudev), else it polls."""

    def __init__(self, bus: UsbBus, clock: Clock, *, signalled: bool = True) -> None:
        self._bus, self._clock, self._signalled = bus, clock, signalled

    async def changes(self) -> AsyncIterator[Change]:
        """One item per settled change; the first is what is there already. Raises what `devices` raises."""
        known: Sequence[UsbDevice] = ()
        with _kernel_signal(self._signalled) as signal:
            while True:
                present = await self._settled()
                if present != known:
                    yield _change(known, present)
                    known = present
                await self._moment(signal)

    async def _settled(self) -> Sequence[UsbDevice]:
        """Two equal looks, `SETTLE_S` apart."""
        before = await self._bus.devices()
        while True:
            await self._clock.sleep(SETTLE_S)
            after = await self._bus.devices()
            if after == before:
                return after
            before = after

    async def _moment(self, signal: asyncio.Event | None) -> None:
        if signal is None:
            await self._clock.sleep(LOOK_S)
            return
        timer = asyncio.ensure_future(self._clock.sleep(LOOK_WITH_SIGNAL_S))
        waiting = asyncio.ensure_future(signal.wait())
        try:
            await asyncio.wait({timer, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            waiting.cancel()
            signal.clear()


def _change(known: Sequence[UsbDevice], present: Sequence[UsbDevice]) -> Change:
    return Change([each for each in present if each not in known], [each for each in known if each not in present])


@contextmanager
def _kernel_signal(wanted: bool) -> Iterator[asyncio.Event | None]:
    """An event that the kernel's USB messages set; None where there is no such thing."""
    monitor = _monitor() if wanted and sys.platform == "linux" else None
    if monitor is None:
        yield None
        return
    event, loop = asyncio.Event(), asyncio.get_running_loop()

    def heard() -> None:
        while monitor.poll(timeout=0) is not None:
            event.set()

    loop.add_reader(monitor.fileno(), heard)
    try:
        yield event
    finally:
        loop.remove_reader(monitor.fileno())


def _monitor() -> Any:
    try:
        import pyudev

        monitor = pyudev.Monitor.from_netlink(pyudev.Context())
        monitor.filter_by("usb")
        monitor.start()
    except (ImportError, OSError):
        return None
    return monitor
