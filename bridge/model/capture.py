"""The raw bytes of one read, kept so that it can be decoded again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Capture:
    """What a source answered, and all that a pure decoder needs beside it.

    `feed` is the device_or_feed part of the identity (`carelink:eu:patient1`, `medtronic:NG123`);
    `taken_at` is the local instant of receipt (for retention, never for a record's time);
    `context` holds plain text settings of the read (timezone, model).
    """

    profile: str
    reader: str
    feed: str
    taken_at: datetime
    body: bytes
    context: Mapping[str, str] = field(default_factory=dict)
