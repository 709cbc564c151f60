"""Promises about the tree itself."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bridge.model.health import State

ROOT = Path(__file__).parents[1]


def test_every_named_state_has_an_entry_in_troubleshooting() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    assert [state for state in State if f"`{state}`" not in text] == []


def test_help_is_light() -> None:
    """What makes `--help` slow is what it imports: none of the heavy rooms."""
    heavy = (
        "aiohttp",
        "pydantic_core",
        "cryptography",
        "authlib",
        "rich.live",
        "bridge.journal.sqlite",
        "prometheus_client",
    )
    code = f"import sys, bridge.cli.app; print([m for m in {heavy!r} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_help_answers() -> None:
    began = time.monotonic()
    shown = subprocess.run([sys.executable, "-m", "bridge", "--help"], capture_output=True, text=True, check=False)
    assert shown.returncode == 0
    assert "mirror" in shown.stdout
    assert time.monotonic() - began < 5
