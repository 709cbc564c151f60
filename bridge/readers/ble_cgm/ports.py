"""What this reader needs of the machine's Bluetooth: who is in sight, and values in and out of one device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from bridge.wire.gatt_lines import Value


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


class BleRadio(Protocol):
    """The machine's Bluetooth. Everything raises Incompatible or Transient (`ble_unavailable`) without one."""

    async def scan(self, service: str, seconds: float, wanted: Callable[[Any], bool]) -> Sequence[Any]:
        """Who advertises a service, each with `address` and `name`. Ends early after one that is wanted was seen."""
        ...

    def connect(
        self, address: str, service: str, permit: Callable[[str, bytes], bytes]
    ) -> AbstractAsyncContextManager[BleLink]:
        """A connected device, left at the end whatever happened. One conversation at a time on this machine."""
        ...
