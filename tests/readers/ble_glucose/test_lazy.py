"""Decoding needs no Bluetooth library."""

from __future__ import annotations

import subprocess
import sys


def test_nothing_of_bluetooth_is_loaded_until_it_is_used() -> None:
    code = (
        "import sys, bridge.readers.ble_glucose, bridge.readers.ble_cgm;"
        "print(sorted({'bleak', 'bumble', 'dbus_fast'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
