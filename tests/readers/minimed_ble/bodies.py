"""Reads as text, written by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bridge.contracts import Decoded, Memory
from bridge.model.capture import Capture
from bridge.readers.minimed_ble.decode import decode
from bridge.simulators.ble import pump_records as records

SERIAL = "NG1000001H"
BEGAN = datetime.fromisoformat("2026-03-10T06:00:00")
HISTORY = "00000108-0000-1000-0000-009132591325"
STATUS = "00000102-0000-1000-0000-009132591325"


class Body:
    """Lines of a read; the history begins with a reference time at `BEGAN`."""

    def __init__(self, first: int = 100, *, reference: bool = True) -> None:
        self.lines = [f"2A25 {SERIAL.encode().hex()}"]
        self.next = first
        self.records: list[bytes] = []
        if reference:
            self.event(records.REFERENCE, 0, records.clock(BEGAN))

    def event(self, kind: int, offset_s: int, data: bytes) -> int:
        self.records.append(records.record(kind, self.next, offset_s, data))
        self.lines.append(f"{HISTORY} {self.records[-1].hex()}")
        self.next += 1
        return self.next - 1

    def capture(self, host: datetime | None = None, **context: str) -> Capture:
        said = {"timezone": "UTC"} | context
        if host is not None:
            said["host_clock"] = host.replace(tzinfo=UTC).isoformat()
        body = "\n".join(self.lines).encode()
        return Capture("p1", "minimed-ble", "medtronic", datetime(2026, 3, 10, tzinfo=UTC), body, said)

    def decoded(self, memory: Memory | None = None, host: datetime | None = None, **context: str) -> Decoded:
        return decode(self.capture(host, **context), memory or Memory())


def at(**span: float) -> datetime:
    return (BEGAN + timedelta(**span)).replace(tzinfo=UTC)
