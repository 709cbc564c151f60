"""What may be written to a meter: requests to read records, and the question for an i-SENS clock."""

from __future__ import annotations

from bridge.errors import NotAllowed
from bridge.readers.ble_glucose.clocks import ISENS_ASK, ISENS_CLOCK_1_4, ISENS_CLOCK_1_5
from bridge.readers.ble_glucose.transfer import RACP
from bridge.wire import racp


def permitted(uuid: str, value: bytes) -> bytes:
    """The value, if it only reads. Raises NotAllowed for everything else, before a byte leaves."""
    if uuid == RACP:
        return racp.permitted(value)
    if uuid in (ISENS_CLOCK_1_4, ISENS_CLOCK_1_5) and value == ISENS_ASK:
        return value
    raise NotAllowed("Something other than a request to read was about to be written to the meter.")
