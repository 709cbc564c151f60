"""All rows of an answer, read one by one: a bad one is named and left out, the others go on."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any

from bridge.contracts import Diagnostic
from bridge.errors import InvalidRecord
from bridge.readers.carelink_cloud.clocks import Clocks
from bridge.readers.carelink_cloud.glucose import UNIT_WHY, reading
from bridge.readers.carelink_cloud.markers import read_marker, surroundings
from bridge.readers.carelink_cloud.notifications import notification_lists, read_notification
from bridge.readers.carelink_cloud.rows import MOST_ROWS, READ, SG, Row
from bridge.readers.carelink_cloud.values import text

UNIT_SUSPECT = "unit_suspect"
BAD_ROW = "bad_row"
_MOST_DIAGNOSTICS = 20
_ROW_FIELDS = (
    "sgs", "markers", "notificationHistory", "lastAlarm", "lastSGTrend", "medicalDeviceInformation",
    "medicalDeviceFamily", "pumpModelNumber", "medicalDeviceSerialNumber",
)  # fmt: skip


@dataclass(slots=True)
class Gathered:
    """Rows in the order of the answer, and what was wrong with the others."""

    rows: list[Row] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    refused: int = 0

    def refuse(self, why: InvalidRecord) -> None:
        """Note one bad row; those after the first twenty are only counted."""
        self.refused += 1
        if self.refused <= _MOST_DIAGNOSTICS:
            self.diagnostics.append(Diagnostic(UNIT_SUSPECT if why.why == UNIT_WHY else BAD_ROW, why.message))

    @property
    def unit_suspect(self) -> bool:
        """Whether a glucose value looked like mmol/L."""
        return any(diagnostic.code == UNIT_SUSPECT for diagnostic in self.diagnostics)


def rows_digest(patient: Mapping[str, Any]) -> str | None:
    """Digest of everything that rows are made of; None when it cannot be taken."""
    try:
        return blake2b(marshal.dumps([READ, *map(patient.get, _ROW_FIELDS)]), digest_size=16).hexdigest()
    except ValueError:
        return None


def gather(patient: Mapping[str, Any], clocks: Clocks) -> Gathered:
    """Read all rows. `refused` counts the bad ones."""
    gathered = Gathered()
    around = surroundings(patient, clocks)
    _read_all(gathered, patient.get("sgs"), "sgs", reading)
    _read_all(gathered, patient.get("markers"), "markers", lambda marker: read_marker(marker, around))
    family = text(patient.get("medicalDeviceFamily"))
    for raw, state in notification_lists(patient):
        _read_all(gathered, raw, "notifications", partial(read_notification, state=state, family=family))
    gathered.rows = _each_once(gathered.rows)
    if gathered.refused > _MOST_DIAGNOSTICS:
        gathered.diagnostics.append(Diagnostic(BAD_ROW, f"{gathered.refused} rows were refused in all."))
    return gathered


def _each_once(rows: Sequence[Row]) -> list[Row]:
    """Of rows with one GUID the first; of one reading listed twice in a row the first."""
    first = {(row.model, row.guid): row for row in reversed(rows) if row.guid}
    kept: list[Row] = []
    for row in rows:
        doubled = row.kind == SG and kept and kept[-1].key == row.key and kept[-1].content == row.content
        if not doubled and (not row.guid or first[row.model, row.guid] is row):
            kept.append(row)
    return kept


def _read_all(gathered: Gathered, raw: object, name: str, read: Callable[[Mapping[str, Any]], Row | None]) -> None:
    if raw is not None and not isinstance(raw, list):
        gathered.refuse(InvalidRecord("answer", name, f"a {type(raw).__name__}", "it is not a list"))
        return
    if raw and len(raw) > MOST_ROWS:
        gathered.refuse(InvalidRecord("answer", name, len(raw), "no answer has so many rows"))
        return
    for one in raw or ():
        row = _read(gathered, one, name, read)
        if row is not None:
            gathered.rows.append(row)


def _read(gathered: Gathered, raw: object, name: str, read: Callable[[dict[str, Any]], Row | None]) -> Row | None:
    if not isinstance(raw, dict):
        gathered.refuse(InvalidRecord("answer", name, f"a {type(raw).__name__}", "it is not an object"))
        return None
    try:
        return read(raw)
    except InvalidRecord as why:
        gathered.refuse(why)
        return None
