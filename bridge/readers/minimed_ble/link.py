"""The seam to a linked pump, and the only way out to it: every value is checked, then sealed, then sent."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from bridge.errors import Malformed
from bridge.readers.minimed_ble.allowed import permitted
from bridge.readers.minimed_ble.frames import Opener, Sealer
from bridge.readers.minimed_ble.keys import KeyDatabase
from bridge.readers.minimed_ble.uuids import SEALED
from bridge.wire.gatt_lines import Value


class RawLink(Protocol):
    """Bytes in and out of a connected pump, as they go over the air.

    Errors: DeviceUnreachable (`out_of_range`) when the link is gone, Transient when no answer comes, Refused for the
    rest.
    """

    async def read(self, service: str, uuid: str) -> bytes | None:
        """The value of a characteristic, None where the pump has none."""
        ...

    async def write(self, service: str, uuid: str, value: bytes) -> None:
        """Write with response."""
        ...

    async def listen(self, service: str, uuid: str) -> None:
        """From now on what this characteristic notifies or indicates can be `heard`."""
        ...

    async def heard(self, timeout_s: float) -> Value | None:
        """The next value in the order of arrival, None when none came in time."""
        ...


class PumpLink:
    """A pump after the handshake. One request at a time: sealed values are opened in the order in which they came."""

    def __init__(self, raw: RawLink, sealer: Sealer, opener: Opener) -> None:
        self._raw, self._sealer, self._opener = raw, sealer, opener

    @property
    def missed(self) -> int:
        """So many sealed values did not arrive, or not whole."""
        return self._opener.missed

    async def read(self, service: str, uuid: str) -> Value | None:
        """A value as the pump meant it, None where it has none."""
        wire = await self._raw.read(service, uuid)
        return None if wire is None else Value(uuid, self._opened(uuid, wire))

    async def write(self, service: str, uuid: str, plain: bytes) -> None:
        """Raises NotAllowed before a byte leaves for all that does not only read."""
        allowed = permitted(service, uuid, plain)
        await self._raw.write(service, uuid, self._sealer.seal(allowed) if uuid in SEALED else allowed)

    async def listen(self, service: str, uuid: str) -> None:
        """As RawLink."""
        await self._raw.listen(service, uuid)

    async def heard(self, timeout_s: float) -> Value | None:
        """As RawLink; a value with a wrong seal is left out. Raises Transient when the link is out of step."""
        while (value := await self._raw.heard(timeout_s)) is not None:
            try:
                return Value(value.uuid, self._opened(value.uuid, value.data))
            except Malformed:
                continue
        return None

    def _opened(self, uuid: str, wire: bytes) -> bytes:
        return self._opener.open(wire) if uuid in SEALED else wire


class PumpRadio(Protocol):
    """Waits for the pump: it is the pump that connects."""

    def connect(self, database: KeyDatabase, wait_s: float) -> AbstractAsyncContextManager[PumpLink]:
        """A pump that came, was linked and has shown that its keys fit; left at the end whatever happened.

        Raises DeviceUnreachable (`out_of_range`) when none came, Unauthorised (`not_linked`) when keys or bond do
        not fit, Incompatible (`ble_unavailable`) without a radio.
        """
        ...
