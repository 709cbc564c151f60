"""What may be written to a sensor: requests to read its stored records. Its control point is never written."""

from __future__ import annotations

from bridge.errors import NotAllowed
from bridge.readers.ble_cgm.transfer import RACP
from bridge.wire import racp


def permitted(uuid: str, value: bytes) -> bytes:
    """The value, if it only reads. Raises NotAllowed for everything else, before a byte leaves."""
    if uuid != RACP:
        raise NotAllowed("Something other than a request to read was about to be written to the sensor.")
    return racp.permitted(value)
