"""One conversation with a connected sensor: who it is, its session, the readings since the last one known."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime

from bridge.contracts import Clock
from bridge.contracts.ble import BleLink
from bridge.errors import BridgeError, Malformed, Transient
from bridge.readers.ble_cgm.transfer import FEATURE, IDENTITY, MEASUREMENT, RACP, START, STATUS
from bridge.wire import racp
from bridge.wire.device_information import SERIAL, text
from bridge.wire.gatt_lines import Value
from bridge.wire.racp import Code, Ended

IDLE_S = 30.0
"""The longest silence between two values of one request."""
ABORT_S = 2.0
_BUSY_TRIES = 3


class Talk:
    """`values` is all that came, in its order; it stands also when the conversation breaks off."""

    def __init__(self, link: BleLink, clock: Clock) -> None:
        self._link, self._clock = link, clock
        self.values: list[Value] = []
        self.host: datetime | None = None
        """When the session's minutes were read."""
        self._running = False

    async def introduce(self) -> str | None:
        """Ask who it is; its serial."""
        for uuid in IDENTITY:
            await self._read(uuid)
        return next((text(value.data) for value in self.values if value.uuid == SERIAL), None)

    async def read_session(self) -> bytes | None:
        """Ask for the session; the value of its start."""
        for uuid in (FEATURE, START, STATUS):
            await self._read(uuid)
        self.host = self._clock.now()
        return next((value.data for value in self.values if value.uuid == START), None)

    async def fetch(self, read_to: int | None) -> None:
        """Bring the readings after minute `read_to` of the session, all without one.

        Raises Transient (`incomplete`) when some are missing, DeviceUnreachable when the link broke.
        """
        for uuid in (MEASUREMENT, RACP):
            if uuid in self._link.characteristics:
                await self._link.listen(uuid)
        request = racp.REPORT_ALL if read_to is None else racp.report_since(min(read_to + 1, 0xFFFF))
        ended = await self._asked(request)
        if ended.code in racp.UNSUPPORTED and request != racp.REPORT_ALL:
            ended = await self._asked(racp.REPORT_ALL)
        if ended.code not in (Code.SUCCESS, Code.NO_RECORDS):
            raise Transient("The sensor did not send all its readings.", state="incomplete")

    async def abort(self) -> None:
        """Stop a request that still runs. Never raises for a link that is gone."""
        if self._running:
            self._running = False
            with contextlib.suppress(BridgeError, TimeoutError):
                async with asyncio.timeout(ABORT_S):
                    await self._link.write(RACP, racp.ABORT)

    async def _read(self, uuid: str) -> None:
        if uuid in self._link.characteristics:
            self.values.append(Value(uuid, await self._link.read(uuid)))

    async def _asked(self, request: bytes) -> Ended:
        for attempt in range(_BUSY_TRIES):
            ended = await self._procedure(request)
            if ended.code != Code.SERVER_BUSY:
                break
            await self._clock.sleep(2.0**attempt)
        return ended

    async def _procedure(self, request: bytes) -> Ended:
        await self._link.write(RACP, request)
        self._running = True
        while (value := await self._link.heard(IDLE_S)) is not None:
            self.values.append(value)
            ended = _answer(request, value)
            if ended is not None:
                self._running = False
                return ended
        raise Transient("The sensor fell silent in the middle of its readings.", state="incomplete")


def _answer(request: bytes, value: Value) -> Ended | None:
    if value.uuid != RACP:
        return None
    try:
        indication = racp.parse(value.data)
    except Malformed:
        return None
    return indication if isinstance(indication, Ended) and racp.answers(request, indication) else None
