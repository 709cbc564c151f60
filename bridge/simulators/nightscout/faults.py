"""What a real site does on a bad day, on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

FaultKind = Literal["cut", "lost_answer", "error_after", "status", "null", "page", "wait"]


@dataclass
class Fault:
    """Befalls the next `times` requests of that method whose path contains `path`.

    `cut`: connection reset, nothing stored. `lost_answer`: stored, then reset. `error_after`: stored, then
    `status` without description. `status`: only the status. `null`: `200 null`. `page`: an HTML page with
    `status`. `wait`: answered after `wait_s` of the site's clock.
    """

    kind: FaultKind
    method: str = "POST"
    path: str = ""
    times: int = 1
    status: int = 503
    wait_s: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)

    def befalls(self, method: str, path: str) -> bool:
        """Whether this request is hit; counts down when it is."""
        if self.times <= 0 or method != self.method or self.path not in path:
            return False
        self.times -= 1
        return True
