"""One connected device by bleak."""

from __future__ import annotations

import asyncio
from typing import Any

from bridge.ble.naming import gone, translated
from bridge.contracts.ble import Permit
from bridge.errors import Refused
from bridge.wire.gatt_lines import Value, short

ANSWER_S = 30.0
"""The longest a device may take to answer one request."""


class BleakLink:
    """As BleLink."""

    def __init__(self, service: str, permit: Permit) -> None:
        self._service, self._permit = service, permit
        self._characteristics: dict[str, Any] = {}
        self._client: Any = None
        self._heard: asyncio.Queue[Value | None] = asyncio.Queue()
        self._broken = False

    def connected(self, client: Any) -> None:
        """Learn what it has; the wanted service speaks last, so that its characteristics are the ones meant."""
        self._client = client
        for service in sorted(client.services, key=lambda service: short(service.uuid) == self._service):
            self._characteristics |= {short(each.uuid): each for each in service.characteristics}

    def broken(self, client: Any) -> None:
        """The link is gone."""
        self._broken = True
        self._heard.put_nowait(None)

    @property
    def characteristics(self) -> frozenset[str]:
        """As BleLink."""
        return frozenset(self._characteristics)

    async def read(self, uuid: str) -> bytes:
        """As BleLink."""
        with translated():
            async with asyncio.timeout(ANSWER_S):
                return bytes(await self._client.read_gatt_char(self._meant(uuid)))

    async def write(self, uuid: str, value: bytes) -> None:
        """As BleLink."""
        checked = self._permit(uuid, value)
        with translated():
            async with asyncio.timeout(ANSWER_S):
                await self._client.write_gatt_char(self._meant(uuid), checked, response=True)

    async def listen(self, uuid: str) -> None:
        """As BleLink."""

        def heard(_: Any, data: bytearray) -> None:
            self._heard.put_nowait(Value(uuid, bytes(data)))

        with translated():
            async with asyncio.timeout(ANSWER_S):
                await self._client.start_notify(self._meant(uuid), heard)

    async def heard(self, timeout_s: float) -> Value | None:
        """As BleLink."""
        if self._broken and self._heard.empty():
            raise gone()
        try:
            async with asyncio.timeout(timeout_s):
                value = await self._heard.get()
        except TimeoutError:
            return None
        if value is None:
            raise gone()
        return value

    async def pair(self) -> None:
        """As BleLink."""
        with translated(pairing=True):
            await self._client.pair()

    def _meant(self, uuid: str) -> Any:
        if self._broken:
            raise gone()
        if uuid not in self._characteristics:
            raise Refused(f"The device has no characteristic {uuid}.")
        return self._characteristics[uuid]
