"""`make bench`: one table, each figure beside its bound of the same run. `python -m benchmarks decoding` runs a part."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from datetime import UTC, datetime

from benchmarks.table import show

PARTS = ("delivering", "decoding", "devices", "importing", "appending", "replicating", "fleet", "living")

if __name__ == "__main__":
    chosen = sys.argv[1:] or PARTS
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
    )
    show([row for part in chosen for row in importlib.import_module(f"benchmarks.{part}").rows()])
