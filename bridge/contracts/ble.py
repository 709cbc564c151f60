"""The Bluetooth seam: who is in sight, pairing, and values in and out of one connected device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from bridge.wire.gatt_lines import Value


@dataclass(frozen=True, slots=True)
class Sighted:
    """A device that advertises. `address` in upper case (on macOS an identifier of that machine)."""

    address: str
    name: str


Permit = Callable[[str, bytes], bytes]
"""Gives a value back that may be written to a characteristic; raises NotAllowed for any other."""


@dataclass(frozen=True, slots=True)
class Question:
    """Asks for the six digits that the device or its label shows; where `shown` is set, whether it shows these."""

    address: str
    shown: int | None = None


class AskPasskey(Protocol):
    """Asks a person while a device is paired: a terminal, a page, a test."""

    async def __call__(self, question: Question) -> int | None:
        """The six digits as a number (0..999999); to a shown number that number for yes. None: no."""
        ...


class BleLink(Protocol):
    """One connected device. UUIDs are short where they are assigned.

    Errors: DeviceUnreachable (`out_of_range`) when the link is gone or the device does not answer, Unauthorised
    (`not_linked`) when it wants to be paired first, Transient when it is busy, Refused for the rest.
    """

    @property
    def characteristics(self) -> frozenset[str]:
        """What it has."""
        ...

    async def read(self, uuid: str) -> bytes:
        """The value of a characteristic."""
        ...

    async def write(self, uuid: str, value: bytes) -> None:
        """Write with response. Raises NotAllowed before a byte leaves for what is not permitted."""
        ...

    async def listen(self, uuid: str) -> None:
        """From now on what this characteristic notifies or indicates can be `heard`."""
        ...

    async def heard(self, timeout_s: float) -> Value | None:
        """The next value, None when none came in time. What came before the link broke is given before the error."""
        ...

    async def pair(self) -> None:
        """Bond with the device. Raises Unauthorised (`not_linked`) when it, or the person, says no."""
        ...


class BleRadio(Protocol):
    """The machine's Bluetooth. Everything raises Incompatible or Transient (`ble_unavailable`) without one."""

    async def scan(
        self, service: str, seconds: float, wanted: Callable[[Sighted], bool], *, thorough: bool = False
    ) -> Sequence[Sighted]:
        """Who advertises a service. Ends early, a moment after one that is wanted was seen.

        `thorough`: all devices are asked to show themselves, which costs their batteries; for a person who looks.
        """
        ...

    def connect(self, address: str, service: str, permit: Permit) -> AbstractAsyncContextManager[BleLink]:
        """A connected device, left at the end whatever happened. One conversation at a time on this machine.

        `service`: whose characteristics are meant where a device has one of a UUID in several services.
        """
        ...

    def answering(self, address: str, ask: AskPasskey) -> AbstractAsyncContextManager[None]:
        """While it is open the questions of a pairing with that device are put to a person."""
        ...


@dataclass(frozen=True, slots=True)
class Introduced:
    """What a device says it is. `keeps_one_bond`: once paired with this machine it knows no phone any more."""

    model: str | None
    serial: str | None
    keeps_one_bond: bool = False


class BlePlugIn(Protocol):
    """What the class of a reader of Bluetooth devices has beside a plug-in's attributes."""

    name: str

    @property
    def advertises(self) -> str:
        """The service by which its devices are found."""
        ...

    @property
    def introduces(self) -> Sequence[str]:
        """The characteristics that say who a device is; they are only read."""
        ...

    @classmethod
    def introduced(cls, values: Sequence[Value], name: str) -> Introduced:
        """Who they say it is; `name` is the advertised one."""
        ...
