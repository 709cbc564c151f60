"""The pump commands that may leave: reads, and the one that wakes the radio."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.errors import NotAllowed
from bridge.readers.medtronic_stick.frames import (
    LINK_STATUS,
    OPCODE_AT,
    PARAMS_AT,
    POWER,
    PRODUCT_INFO,
    RADIO_STATS,
    READ_RADIO,
    SIGNAL,
    TRANSMIT,
    USB_STATS,
    read_radio,
    transmit,
)


@dataclass(frozen=True, slots=True)
class Command:
    """A read: how many bytes of parameters it has, how many records answer, and which families know it."""

    name: str
    params: int = 0
    records: int = 1
    since: int = 11
    until: int = 99

    def known_to(self, family: int) -> bool:
        """Whether pumps of this family (model number modulo 100) answer it."""
        return self.since <= family <= self.until


COMMANDS: dict[int, Command] = {
    POWER: Command("radio power on", params=2, records=0),
    0x70: Command("clock"),
    0x71: Command("pump id"),
    0x72: Command("battery"),
    0x73: Command("reservoir"),
    0x74: Command("firmware"),
    0x75: Command("error status"),
    0x79: Command("totals today", since=12),
    0x80: Command("history page", params=1, records=16, since=12),
    0x87: Command("bolus wizard on", since=12),
    0x88: Command("carb units", since=12),
    0x89: Command("glucose units", since=12),
    0x8A: Command("carb ratios", since=12),
    0x8B: Command("insulin sensitivities", since=12),
    0x8C: Command("glucose targets", since=12, until=14),
    0x8D: Command("model", since=12),
    0x91: Command("settings", since=12, until=14),
    0x92: Command("basal profile standard", records=3, since=12),
    0x93: Command("basal profile A", records=3, since=12),
    0x94: Command("basal profile B", records=3, since=12),
    0x98: Command("temp basal", since=12),
    0x9A: Command("glucose page", params=4, records=16, since=22),
    0x9B: Command("ISIG page", params=4, records=32, since=22),
    0x9C: Command("calibration factor", since=22),
    0x9D: Command("history counter", since=15),
    0x9F: Command("glucose targets", since=15),
    0xC0: Command("settings", since=15),
    0xCD: Command("glucose pages", since=22),
    0xCE: Command("status", since=15),
}
"""Everything that may be sent to a pump. Nothing here changes a setting, a delivery or the pump's memory."""

POWER_ON = b"\x01\x0a"
"""Ten minutes of radio: the only parameters that the power command may have."""
_PLAIN = frozenset({LINK_STATUS, PRODUCT_INFO, SIGNAL, RADIO_STATS, USB_STATS})


def require_allowed(request: bytes) -> None:
    """Raises NotAllowed unless these bytes are a request to the stick itself or a listed read of a pump."""
    if request in _PLAIN or (request[:1] == bytes([READ_RADIO]) and _is_read(request)):
        return
    if request[:1] != bytes([TRANSMIT]) or len(request) <= PARAMS_AT:
        raise NotAllowed("A request to the CareLink stick that is on no list was about to leave.")
    opcode, params = request[OPCODE_AT], request[PARAMS_AT:-1]
    command = COMMANDS.get(opcode)
    if command is None or len(params) != command.params or (opcode == POWER and params != POWER_ON):
        raise NotAllowed(f"Pump command {opcode:02X} is not on the list of reads and was not sent.")
    if request != packet(request[4:7].hex(), opcode, params):
        raise NotAllowed(f"Pump command {opcode:02X} was about to leave in another form than the list's.")


def packet(serial: str, opcode: int, params: bytes = b"") -> bytes:
    """The transmit packet of a listed command. Raises NotAllowed for any other."""
    command = COMMANDS.get(opcode)
    if command is None:
        raise NotAllowed(f"Pump command {opcode:02X} is not on the list of reads and was not sent.")
    retries = 0 if opcode == POWER else 2
    return transmit(serial, opcode, params, records=command.records, retries=retries)


def _is_read(request: bytes) -> bool:
    return len(request) == 5 and request == read_radio(int.from_bytes(request[2:4], "big"))
