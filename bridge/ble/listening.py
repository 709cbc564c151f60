"""How the machine listens, so that a device's battery lasts.

Passive listening only receives. Active listening asks every device in the air for a second packet, and each of them
pays for it. Linux can listen passively where BlueZ offers its advertisement monitor; elsewhere, and where it is
refused, the machine listens actively. Some devices tell their service, or their name, in that second packet alone:
every fourth look is active, every second one until a passive look has found something (some adapters take the request
and hear nothing), and so is the rest of a look that met a wanted device without a name.
"""

from __future__ import annotations

from typing import Any, Literal

import structlog

from bridge.wire.gatt_lines import whole

Way = Literal["active", "passive"]
ACTIVE_EVERY, ACTIVE_AT_FIRST = 4, 2
NAME_S = 3.0
"""How long a device that told no name is asked for it."""
_PLACES = (0, 2, 4, 6)
"""Where in a device's list of services the wanted one may stand: a pattern is compared at one place."""
_UUID16, _UUID128 = (0x02, 0x03), (0x06, 0x07)
"""Advertisement data that lists services: in part, and complete."""

_log = structlog.get_logger(__name__)


class Ways:
    """Which way each look goes. `passive` False: always actively."""

    def __init__(self, *, passive: bool) -> None:
        self.passive = passive
        self.why_not: str | None = None
        """What the system said when it refused to listen passively."""
        self._every, self._looks = ACTIVE_AT_FIRST, 0

    def next(self) -> Way:
        """The way of this look."""
        self._looks += 1
        return "passive" if self.passive and self._looks % self._every else "active"

    def found(self) -> None:
        """A passive look found something."""
        self._every = ACTIVE_EVERY

    def refused(self, why: Exception) -> None:
        """The system cannot listen passively: not tried again in this process."""
        self.passive, self.why_not = False, str(why)
        _log.info("bluetooth_listens_actively", reason=self.why_not)


def patterns(service: str) -> list[tuple[int, Any, bytes]]:
    """What an advertisement of a service looks like: (place, type of data, bytes)."""
    from bleak.assigned_numbers import AdvertisementDataType as Kind

    full = bytes.fromhex(whole(service).replace("-", ""))[::-1]
    found: list[tuple[int, Any, bytes]] = [(0, Kind(kind), full) for kind in _UUID128]
    if len(service) == 4:
        brief = bytes.fromhex(service)[::-1]
        found += [(place, Kind(kind), brief) for kind in _UUID16 for place in _PLACES]
    return found
