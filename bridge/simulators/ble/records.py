"""The record server of a virtual device: counts, reports and aborts, as meters and sensors do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bumble.att import ATT_Error, ErrorCode
from bumble.core import BaseBumbleError
from bumble.device import Connection, Device
from bumble.gatt import Characteristic

_REPORT, _ABORT, _COUNT = 1, 3, 4
_ALL, _AT_LEAST, _FIRST, _LAST = 1, 3, 5, 6
_SUCCESS, _NO_OP, _NO_OPERATOR, _BAD_OPERAND, _NO_RECORDS, _BUSY = 1, 2, 4, 5, 6, 10
RACP = "2A52"


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored record: its number and what is notified for it, in order, each on its characteristic."""

    number: int
    values: Sequence[tuple[Characteristic[bytes], bytes]]


class RecordServer:
    """Serves `entries()`, oldest first, to whoever subscribed.

    `drop_after`: break the link after so many notifications. `without`: operators and operations that it does not
    know. `busy`: so many requests are turned away at first. `mute`: so many are taken and not answered.
    `twice`: every record comes twice. `slow`: yield to the other side so often before each notification.
    """

    def __init__(self, device: Device, entries: Callable[[], Sequence[Entry]]) -> None:
        self.point: Characteristic[bytes] | None = None
        self.requests: list[bytes] = []
        self.drop_after: int | None = None
        self.without_operations: set[int] = set()
        self.without_operators: set[int] = set()
        self.busy = self.mute = 0
        self.twice = False
        self.lost: dict[int, int] = {}
        """By number: so many times the record does not arrive."""
        self.slow = 0
        self.late: list[tuple[Characteristic[bytes], bytes]] = []
        """Notified only after the report has ended."""
        self._device, self._entries = device, entries
        self._running: asyncio.Task[Any] | None = None
        self._answering: asyncio.Task[None] | None = None
        self.notified = 0
        """Records' values that left, of all requests."""

    async def written(self, connection: Connection, value: bytes) -> None:
        """The control point's write handler."""
        request = bytes(value)
        if self.point is None or not self._subscribed(connection, self.point):
            raise ATT_Error(ErrorCode.CCCD_IMPROPERLY_CONFIGURED)
        if request[:1] == bytes([_ABORT]):
            self.requests.append(request)
            await self._abort(connection)
            return
        if self._running is not None:
            raise ATT_Error(ErrorCode.PROCEDURE_ALREADY_IN_PROGRESS)
        self.requests.append(request)
        if self.mute:
            self.mute -= 1
            return
        self._running = asyncio.get_running_loop().create_task(self._procedure(connection, request))

    def begin_endless(self) -> None:
        """As if a request of somebody else still ran."""
        self._running = asyncio.get_running_loop().create_task(asyncio.Event().wait())

    def _subscribed(self, connection: Connection, point: Characteristic[bytes]) -> bool:
        return bool(self._device.gatt_server.subscribers.get(connection, {}).get(point.handle))

    async def _abort(self, connection: Connection) -> None:
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None
        self._answering = asyncio.get_running_loop().create_task(
            self._say(connection, bytes([6, 0, _ABORT, _SUCCESS]))
        )

    async def _procedure(self, connection: Connection, request: bytes) -> None:
        try:
            answer = await self._served(connection, request)
            self._running = None
            await self._say(connection, answer)
            late, self.late = self.late, []
            for characteristic, value in late if request[0] == _REPORT and request[1] != _LAST else ():
                await self._device.notify_subscriber(connection, characteristic, value)
        except BaseBumbleError:
            pass
        finally:
            self._running = None

    async def _served(self, connection: Connection, request: bytes) -> bytes:
        operation, operator, operand = request[0], request[1], request[2:]
        if self.busy:
            self.busy -= 1
            return bytes([6, 0, operation, _BUSY])
        if operation not in (_REPORT, _COUNT) or operation in self.without_operations:
            return bytes([6, 0, operation, _NO_OP])
        if operator not in (_ALL, _AT_LEAST, _FIRST, _LAST) or operator in self.without_operators:
            return bytes([6, 0, operation, _NO_OPERATOR])
        if operator == _AT_LEAST and (len(operand) != 3 or operand[0] != 1):
            return bytes([6, 0, operation, _BAD_OPERAND])
        found = self._chosen(operator, operand)
        if operation == _COUNT:
            return bytes([5, 0]) + len(found).to_bytes(2, "little")
        if not found:
            return bytes([6, 0, operation, _NO_RECORDS])
        await self._report(connection, found)
        return bytes([6, 0, operation, _SUCCESS])

    def _chosen(self, operator: int, operand: bytes) -> Sequence[Entry]:
        entries = self._entries()
        if operator == _AT_LEAST:
            least = int.from_bytes(operand[1:], "little")
            return [entry for entry in entries if entry.number >= least]
        return {_ALL: entries, _FIRST: entries[:1], _LAST: entries[-1:]}[operator]

    async def _report(self, connection: Connection, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if self.lost.get(entry.number):
                self.lost[entry.number] -= 1
                continue
            for characteristic, value in (*entry.values, *(entry.values if self.twice else ())):
                if self.drop_after is not None and self.notified >= self.drop_after:
                    self.drop_after = None
                    await connection.disconnect()
                    return
                for _ in range(self.slow):
                    await asyncio.sleep(0)
                await self._device.notify_subscriber(connection, characteristic, value)
                self.notified += 1

    async def _say(self, connection: Connection, answer: bytes) -> None:
        if self.point is not None:
            with contextlib.suppress(BaseBumbleError, TimeoutError):
                await self._device.indicate_subscriber(connection, self.point, answer)
