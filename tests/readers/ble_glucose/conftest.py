"""A room full of virtual meters."""

from __future__ import annotations

import pytest

from bridge.ble import radio
from bridge.readers.ble_glucose import talk
from tests.readers.ble_glucose.room import Room


@pytest.fixture
async def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    """The air around one computer; waiting is short in it."""
    monkeypatch.setattr(radio, "SETTLE_S", 0.03)
    monkeypatch.setattr(talk, "LATE_S", 0.04)
    found = Room()
    await found.air.computer.start()
    return found
