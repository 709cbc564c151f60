"""The record with which the meter introduces itself. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FRAME = re.compile(rb"\x02(.*?[\x03\x17])([0-9A-Fa-f]{2})", re.DOTALL)
_MODEL_SERIAL = re.compile(rb"\d{4}-\d{7}")
_SERIAL = re.compile(rb"\^(\w{2}\d{7}\w)\|")
_SENDER = 4


@dataclass(frozen=True, slots=True)
class MeterInfo:
    """Model name, `NNNN-NNNNNNN` and the serial as printed on it; `intact`: the record's sum is right."""

    model: str
    model_serial: str
    serial: str | None
    intact: bool

    def named(self, name: str) -> bool:
        """Whether a person means this meter by that serial."""
        return name.upper() in (self.model_serial, (self.serial or self.model_serial).upper())


def parse(record: bytes) -> MeterInfo | None:
    """The meter of its header record, framed or not; None when it names no serial."""
    found = _MODEL_SERIAL.search(record)
    if found is None:
        return None
    serial = _SERIAL.search(record)
    return MeterInfo(
        model=_model(record),
        model_serial=found.group().decode(),
        serial=serial.group(1).decode() if serial else None,
        intact=_intact(record),
    )


def _model(record: bytes) -> str:
    fields = record.split(b"|")
    sender = fields[_SENDER] if len(fields) > _SENDER else b""
    return sender.split(b"^")[0].decode("ascii", "replace")


def _intact(record: bytes) -> bool:
    frame = _FRAME.search(record)
    return frame is not None and sum(frame.group(1)) & 0xFF == int(frame.group(2), 16)
