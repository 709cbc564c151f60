"""Decoding needs no Bluetooth stack, and its absence has a name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from bridge.contracts import Memory, Setup
from bridge.model.health import State
from bridge.readers.minimed_ble import MinimedBleReader
from tests.readers.minimed_ble.test_keys import database
from tests.support.clock import FakeClock


def test_nothing_of_bluetooth_is_loaded_until_it_is_used() -> None:
    code = "import sys, bridge.readers.minimed_ble;print(sorted({'bleak', 'bumble', 'dbus_fast'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def reader(folder: Path, radio: str = "usb:0") -> MinimedBleReader:
    path = folder / "keys"
    path.write_bytes(database())
    path.chmod(0o600)
    settings = {"devices": ["NG1000001H"], "keys": str(path), "radio": radio}
    return MinimedBleReader(Setup("p1", settings, FakeClock(), Random(1)))


async def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("radio", "bonds"):
        monkeypatch.setitem(sys.modules, f"bridge.readers.minimed_ble.{name}", None)
    (batch,) = [each async for each in reader(tmp_path).read(Memory(), None)]
    assert batch.health.state is State.BLE_UNAVAILABLE
    assert "pump-ble" in batch.health.text


async def test_a_dongle_that_is_not_there(tmp_path: Path) -> None:
    (batch,) = [each async for each in reader(tmp_path, "nonsense:9").read(Memory(), None)]
    assert batch.health.state is State.BLE_UNAVAILABLE


async def test_a_spoilt_bond(tmp_path: Path) -> None:
    (tmp_path / "keys.bond").write_text("{}")
    (batch,) = [each async for each in reader(tmp_path).read(Memory(), None)]
    assert batch.health.state is State.SETTINGS_INVALID
