"""What can go wrong on purpose: outages, limits, and datums refused for reasons nobody can know beforehand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Poison = Callable[[Mapping[str, Any]], str | None]
"""Says why a (valid) datum is refused, or None."""


@dataclass(slots=True)
class Outage:
    """The next `times` requests whose path begins with `path` go wrong.

    `status` 0 cuts the connection. `after` lets the request take effect first: a lost acknowledgement.
    """

    status: int
    times: int = 1
    path: str = "/v1/"
    method: str | None = None
    after: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0

    def meets(self, method: str, path: str) -> bool:
        """Whether it still has a request to spoil and this is one."""
        return self.times > 0 and path.startswith(self.path) and self.method in (None, method)

    async def begin(self) -> None:
        """Count one request, and wait as long as it should hang."""
        self.times -= 1
        if self.delay_s:
            await asyncio.sleep(self.delay_s)


@dataclass(slots=True)
class Knobs:
    """Behaviour of data posts. `pointers` False: a 400 does not say which datum. `body_limit` bytes: above it 413."""

    poison: Poison | None = None
    poison_status: int = 400
    pointers: bool = True
    body_limit: int | None = None
    outages: list[Outage] = field(default_factory=list)
