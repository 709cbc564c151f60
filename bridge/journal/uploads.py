"""Upload records as stored text; for every kind of journal."""

from __future__ import annotations

from functools import lru_cache

from pydantic import TypeAdapter

from bridge.contracts import UploadRecord


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[UploadRecord]:
    return TypeAdapter(UploadRecord)


def to_text(upload: UploadRecord) -> str:
    """Canonical JSON."""
    return _adapter().dump_json(upload).decode()


def from_text(text: str) -> UploadRecord:
    """The record of such text."""
    return _adapter().validate_json(text)
