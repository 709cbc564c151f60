"""The reader of CareLink's CSV exports: files come in by `import`, so there is nothing to poll."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from bridge.contracts import Batch, Decoded, FileCut, Memory, Setup
from bridge.model.capture import Capture
from bridge.model.health import Health, State

NAME = "carelink-csv"
_AGAIN = timedelta(days=1)
_WAITING = Health(State.NO_DATA, "CareLink exports are read when they are imported: `glucobridge import FILE`.")


class CareLinkCsvSettings(BaseModel):
    """A profile's `carelink-csv` table: nothing to set."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CareLinkCsvReader:
    """Reads the CSV files that a person exports from CareLink, of both generations."""

    name = NAME
    file_feed = NAME
    Settings: ClassVar[type[BaseModel]] = CareLinkCsvSettings
    linking: ClassVar[None] = None

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    def decode(self, capture: Capture, memory: Memory) -> Decoded:
        """Records of an export file. Pure. Raises Malformed for what is not one, or leaves dates in doubt."""
        from bridge.readers.carelink_csv.decode import decode

        return decode(capture, memory)

    def cut(self, body: bytes, context: Mapping[str, str]) -> FileCut:
        """A file in pieces of some thousand rows, without the names of persons."""
        from bridge.readers.carelink_csv.pieces import Cut

        return Cut(body, context)

    async def read(self, memory: Memory, since: datetime | None) -> AsyncIterator[Batch]:
        """One batch that says where files come from."""
        yield Batch(self._setup.profile, NAME, self._setup.clock.now() + _AGAIN, _WAITING)
