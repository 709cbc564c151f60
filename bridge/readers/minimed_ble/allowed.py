"""What may be written to a pump: requests to read its status and its history. Everything else is refused here."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from bridge.errors import NotAllowed
from bridge.readers.minimed_ble import history_requests
from bridge.readers.minimed_ble.uuids import INSULIN, RACP, STATUS_READER


class Ask(IntEnum):
    """Requests to the status reader. `RESET_STATUS` takes events away from the official app: refused by name."""

    ACTIVE_BASAL = 0x0365
    INSULIN_ON_BOARD = 0x03F3
    ALGORITHM = 0x03FD
    RESET_STATUS = 0x030C

    @property
    def request(self) -> bytes:
        """Its bytes."""
        return self.to_bytes(2, "little")


_ASKED = frozenset(ask.request for ask in (Ask.ACTIVE_BASAL, Ask.INSULIN_ON_BOARD, Ask.ALGORITHM))


def _status(value: bytes) -> bytes:
    if value not in _ASKED:
        raise NotAllowed("Something other than a request to read the status was about to be sent to the pump.")
    return value


_WRITABLE: dict[tuple[str, str], Callable[[bytes], bytes]] = {
    (INSULIN, STATUS_READER): _status,
    (INSULIN, RACP): history_requests.permitted,
}


def permitted(service: str, uuid: str, plain: bytes) -> bytes:
    """The value before it is sealed, if it only reads. Raises NotAllowed for everything else."""
    check = _WRITABLE.get((service, uuid))
    if check is None:
        raise NotAllowed("Something was about to be written to a part of the pump that is never written to.")
    return check(plain)
