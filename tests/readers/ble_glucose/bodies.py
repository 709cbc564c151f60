"""Bodies and captures for the pure decoder."""

# ruff: noqa: DTZ001 - wall clocks have no zone

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from bridge.contracts import Decoded, Memory
from bridge.model.capture import Capture
from bridge.readers.ble_glucose.decode import decode
from bridge.simulators.ble import values

NOW = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
WALL = datetime(2024, 5, 1, 8, 30)


def line(uuid: str, value: bytes | str) -> str:
    data = value.encode() if isinstance(value, str) else value
    return f"{uuid} {data.hex()}"


def stick(sequence: int, mgdl: int | None, wall: datetime = WALL, **more: int | bool | None) -> str:
    return line("2A18", values.glucose(sequence, wall, mgdl, **more))  # type: ignore[arg-type]


def note(sequence: int, **more: int) -> str:
    return line("2A34", values.note(sequence, **more))


def maker(name: str, serial: str = "0000001") -> list[str]:
    return [line("2A29", name), line("2A25", serial)]


def capture(lines: Iterable[str], **context: str) -> Capture:
    said = {"timezone": "UTC"} | context
    return Capture("default", "ble-glucose", "ble", NOW, "\n".join(lines).encode(), said)


def decoded(lines: Iterable[str], memory: Memory = Memory(), /, **context: str) -> Decoded:  # noqa: B008
    return decode(capture(lines, **context), memory)
