"""One conversation with a linked pump: who it is, how it is, its history."""

from __future__ import annotations

import contextlib
from datetime import datetime

from bridge.contracts.setup import Clock, Progress
from bridge.errors import Malformed, Refused, Transient
from bridge.readers.minimed_ble import history_requests, uuids
from bridge.readers.minimed_ble.allowed import Ask
from bridge.readers.minimed_ble.history import parse_event
from bridge.readers.minimed_ble.history_requests import NO_RECORDS, SUCCESS, Ended
from bridge.readers.minimed_ble.link import PumpLink
from bridge.readers.minimed_ble.uuids import INSULIN
from bridge.wire.gatt_lines import Value

ANSWER_S = 10.0
IDLE_S = 30.0
"""The longest silence between two records of one request."""
CHUNK = 200
"""Records that are asked for at once."""
_TRIES = 3
_TEXTS = (uuids.SERIAL, uuids.MODEL, uuids.FIRMWARE, uuids.HARDWARE)
_LOOKED_AT = (
    (uuids.BATTERY, uuids.BATTERY_LEVEL),
    (INSULIN, uuids.SENSOR_BATTERY),
    (INSULIN, uuids.STATUS),
    (INSULIN, uuids.FEATURES),
)


class Talk:
    """`values` is all that came whole, in its order; it stands also when the conversation breaks off."""

    def __init__(self, link: PumpLink, clock: Clock, progress: Progress) -> None:
        self._link, self._clock, self._progress = link, clock, progress
        self.values: list[Value] = []
        self.host: datetime | None = None
        """When the status was read."""

    async def introduce(self) -> str | None:
        """Ask who it is; its serial."""
        for uuid in _TEXTS:
            await self._read(uuids.INFORMATION, uuid)
        said = next((value.data for value in self.values if value.uuid == uuids.SERIAL), b"")
        return said.split(b"\0")[0].decode("utf-8", "replace").strip() or None

    async def look(self) -> None:
        """Ask how it is."""
        for service, uuid in _LOOKED_AT:
            await self._read(service, uuid)
        await self._link.listen(INSULIN, uuids.STATUS_READER)
        for ask in (Ask.ACTIVE_BASAL, Ask.INSULIN_ON_BOARD, Ask.ALGORITHM):
            await self._link.write(INSULIN, uuids.STATUS_READER, ask.request)
            value = await self._link.heard(ANSWER_S)
            if value is not None:
                self.values.append(value)
        self.host = self._clock.now()

    async def fetch(self, since: int | None) -> None:
        """Bring the history from that number on, all without one; a hole in the numbers is no harm.

        Raises Transient (`incomplete`) when some are missing, DeviceUnreachable when the link broke. Only whole
        stretches are kept, so what is kept has no gap.
        """
        await self._link.listen(INSULIN, uuids.HISTORY)
        await self._link.listen(INSULIN, uuids.RACP)
        first, last = await self._end(history_requests.FIRST), await self._end(history_requests.LAST)
        if first is None or last is None:
            return
        start = first if since is None or since > last else max(first, since)
        for at in range(start, last + 1, CHUNK):
            self.values += await self._stretch(history_requests.report(at, min(at + CHUNK - 1, last)))
            self._progress("history", min(at + CHUNK, last + 1) - start, last + 1 - start)

    async def _read(self, service: str, uuid: str) -> None:
        """What the pump does not tell is left out."""
        with contextlib.suppress(Refused, Malformed):
            value = await self._link.read(service, uuid)
            if value is not None:
                self.values.append(value)

    async def _end(self, request: bytes) -> int | None:
        """The number of the first or last record, None of an empty history."""
        try:
            return next((parse_event(value.data).sequence for value in await self._stretch(request)), None)
        except Malformed:
            raise _incomplete() from None

    async def _stretch(self, request: bytes) -> list[Value]:
        """What one request brings, asked again while something of it was lost on the way."""
        for _ in range(_TRIES):
            missed = self._link.missed
            values = await self._asked(request)
            await self._count()
            if values is not None and self._link.missed == missed:
                return values
        raise _incomplete()

    async def _count(self) -> None:
        """One more sealed value: its number shows whether the last record came too."""
        with contextlib.suppress(Refused, Malformed):
            await self._link.read(INSULIN, uuids.STATUS)

    async def _asked(self, request: bytes) -> list[Value] | None:
        """The records, None when the pump did not finish."""
        await self._link.write(INSULIN, uuids.RACP, request)
        records: list[Value] = []
        while (value := await self._link.heard(IDLE_S)) is not None:
            if value.uuid == uuids.HISTORY:
                records.append(value)
            elif value.uuid == uuids.RACP:
                return records if _code(value) in (SUCCESS, NO_RECORDS) else None
        raise Transient("The pump fell silent in the middle of its history.", state="incomplete")


def _code(value: Value) -> int | None:
    try:
        answer = history_requests.parse(value.data)
    except Malformed:
        return None
    return answer.code if isinstance(answer, Ended) else None


def _incomplete() -> Transient:
    return Transient("The pump did not send all of its history.", state="incomplete")
