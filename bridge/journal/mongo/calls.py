"""Calls of the driver, each to its end: the driver does not survive that one is cancelled.

What waits in its pool (for a connection that is being made, or handed back) and is cancelled twice, or just when its
time is over, leaves the pool's lock taken for ever: asyncio's `wait_for` before Python 3.12 lets go of a condition
that then takes its lock again, for nobody. Every later call would hang, past each deadline, and so would the end of
the event loop. A call cut off could also leave a transaction open on the servers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Calls:
    """Those under way, of one client. Each has a deadline of its own."""

    def __init__(self) -> None:
        self._running: set[asyncio.Future[Any]] = set()

    async def run(self, call: Coroutine[Any, Any, _T]) -> _T:
        """What it gives. When the caller is cancelled it goes on without one."""
        task = asyncio.ensure_future(call)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def over(self) -> None:
        """Once none is under way."""
        while self._running:
            await asyncio.wait(self._running)

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()


def uncut(method: Callable[_P, Coroutine[Any, Any, _T]]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """A method that asks the driver, made one that goes on to its end whatever becomes of its caller."""

    @wraps(method)
    async def called(*args: _P.args, **named: _P.kwargs) -> _T:
        return await _OTHERS.run(method(*args, **named))

    return called


_OTHERS = Calls()
