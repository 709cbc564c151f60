"""What a reader recalls, kept small in this process between two passes: the journal need not be asked again."""

from __future__ import annotations

import json
import marshal
import zlib
from collections.abc import Mapping
from datetime import datetime

from bridge.contracts import Memory, Sighting
from bridge.model.time import from_ms, to_ms

_QUICK, _MOST_LOOSE = 1, 64
_Rows = dict[str, tuple[int, str]]
"""Epoch ms and source key by the row's own key."""


class Remembered:
    """One reader's memory as the journal has it. Only for a reader whose batches nobody else appends."""

    def __init__(self) -> None:
        self._packed: bytes | None = None
        self._loose: _Rows = {}
        self._state = b""
        self._since_ms = -(1 << 62)

    def memory(self, since: datetime) -> Memory | None:
        """What is recalled of rows from `since` on; None where the journal must be asked."""
        if self._packed is None:
            return None
        self._since_ms = to_ms(since)
        rows = {**self._loose, **_unpacked(self._packed)}
        seen = {key: Sighting(from_ms(ms), source) for key, (ms, source) in rows.items() if ms >= self._since_ms}
        return Memory(seen, json.loads(self._state))

    def begin(self, memory: Memory) -> None:
        """It was read from the journal."""
        self._packed, self._loose = _packed(_rows(memory.sightings)), {}
        self._state = json.dumps(dict(memory.state)).encode()

    def grow(self, new: Memory) -> None:
        """The journal took these in: what was seen first stays, the state is the new one."""
        if self._packed is None:
            return
        self._loose = {**_rows(new.sightings), **self._loose}
        self._state = json.dumps(dict(new.state)).encode()
        if len(self._loose) > _MOST_LOOSE:
            whole = {**self._loose, **_unpacked(self._packed)}
            kept = {key: row for key, row in whole.items() if row[0] >= self._since_ms}
            self._packed, self._loose = _packed(kept), {}

    def forget(self) -> None:
        """It is not known what was written."""
        self._packed = None


def _rows(sightings: Mapping[str, Sighting]) -> _Rows:
    return {key: (to_ms(each.time), each.source_key) for key, each in sightings.items()}


def _packed(rows: _Rows) -> bytes:
    return zlib.compress(marshal.dumps(rows), _QUICK)


def _unpacked(packed: bytes) -> _Rows:
    rows: _Rows = marshal.loads(zlib.decompress(packed))  # noqa: S302 - written by this process
    return rows
