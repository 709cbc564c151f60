"""The shared vectors, read in place; tests that need them skip with a clear line where they are absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).resolve().parents[2].parent / "shared" / "vectors"


def path(*parts: str) -> Path:
    """Path of a vector file, or a skip at collection where the folder is absent."""
    if not VECTORS.is_dir():
        pytest.skip("the shared vectors are not beside this clone: ../shared/vectors", allow_module_level=True)
    return VECTORS.joinpath(*parts)


def rows(*parts: str) -> list[Any]:
    """All rows of a JSON-lines vector."""
    return [json.loads(line) for line in path(*parts).read_text("utf-8").splitlines() if line.strip()]


def document(*parts: str) -> Any:
    """A whole JSON vector."""
    return json.loads(path(*parts).read_text("utf-8"))
