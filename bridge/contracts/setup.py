"""What a plug-in is made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from bridge.contracts.ble import BleRadio
from bridge.contracts.linking import Linking, Session
from bridge.contracts.ports import UsbBus


class Clock(Protocol):
    """Injected time. `now` is UTC and may jump; `monotonic` never goes back and is what deadlines use."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds of this clock."""
        ...


class Progress(Protocol):
    """Told how far a device's read is: `done` of `total` pages, blocks or results of `what`."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Must return at once."""
        ...


def silent(what: str, done: int, total: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a reader or adapter class is constructed with: `ReaderClass(setup)`.

    `settings` is the plug-in's own table of the settings file, already checked against its `Settings`
    model; `session` is None where no network is allowed (`decode`, `map`); `timezone` is the person's IANA zone.
    """

    profile: str
    settings: Mapping[str, Any]
    clock: Clock
    random: Random
    session: Session | None = None
    timezone: str | None = None
    installation: str = ""
    """Short id of this installation, from the settings file (names what is ours at a destination)."""
    usb: UsbBus | None = None
    """What is plugged into this machine; None where nothing may be opened (`decode`, `map`)."""
    ble: BleRadio | None = None
    """This machine's Bluetooth, shared by all readers; None where nothing may be connected."""
    bound_elsewhere: frozenset[str] = frozenset()
    """Serials of devices that belong to other people here: not read, not announced."""
    progress: Progress = silent


class PlugIn(Protocol):
    """What an entry point names: a class with these attributes whose instances are a Reader or an Adapter."""

    name: str
    Settings: ClassVar[type[BaseModel]]
    linking: ClassVar[Linking | None]
    """None: nothing to link (a device that is plugged in, a file)."""
