"""The pure decoder: one answer and what was remembered in, records and what to remember out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from bridge.contracts import Decoded, Interval, Memory
from bridge.model.capture import Capture
from bridge.model.records import Record
from bridge.model.time import to_ms
from bridge.readers.carelink_cloud.answer import patient_data
from bridge.readers.carelink_cloud.clocks import Clocks, read_clocks
from bridge.readers.carelink_cloud.condition import NO_DATA, NO_UPLOADS, condition
from bridge.readers.carelink_cloud.gathering import UNIT_SUSPECT, rows_digest
from bridge.readers.carelink_cloud.making import Maker
from bridge.readers.carelink_cloud.reading_rows import ROW_STATE, RowsRead, read_rows
from bridge.readers.carelink_cloud.rows import Row
from bridge.readers.carelink_cloud.status import mode_row, read_device, read_mode, status_row
from bridge.readers.carelink_cloud.timestamps import server_instant
from bridge.readers.carelink_cloud.values import listed, number, text

WINDOW = timedelta(hours=24)
"""How far back an answer reaches from the last upload."""


@dataclass(frozen=True, slots=True)
class CloudAnswer:
    """An answer decoded. `covered` is the window its rows stand for, None when no rows could be taken from it."""

    decoded: Decoded
    server_now: datetime | None = None
    updated_at: datetime | None = None
    covered: Interval | None = None


def decode(capture: Capture, memory: Memory) -> Decoded:
    """Records of an answer in order of time. Raises Malformed for what is not one; never another type."""
    return read_answer(capture, memory).decoded


def read_answer(capture: Capture, memory: Memory) -> CloudAnswer:
    """As `decode`, with the server's clocks. Rows that stand unchanged since the last answer are not given again."""
    patient = patient_data(capture.body)
    if patient is None:
        return CloudAnswer(Decoded((), state=memory.state, health=NO_DATA))
    clocks = read_clocks(patient, memory.state)
    if _is_stub(patient):
        return CloudAnswer(Decoded((), state=memory.state, health=NO_UPLOADS), _server_now(patient))
    return _taken_up(capture, memory, patient, clocks)


def _is_stub(patient: Mapping[str, Any]) -> bool:
    updated = number(patient.get("lastMedicalDeviceDataUpdateServerTime"))
    return updated is not None and updated <= 1


def _taken_up(capture: Capture, memory: Memory, patient: Mapping[str, Any], clocks: Clocks) -> CloudAnswer:
    """Rows (unless they stand as they stood), status and mode of an answer with data."""
    maker = Maker(capture, read_device(patient))
    digest = rows_digest(patient)
    if _stand_as_they_stood(digest, clocks, memory.state):
        rows = RowsRead(state={name: memory.state[name] for name in ROW_STATE if name in memory.state})
    else:
        rows = read_rows(patient, clocks, memory, maker, digest)
    modes, changed = _mode(patient, clocks, memory.state, rows.mode)
    records = rows.records + _present(maker, rows, [status_row(patient, clocks), changed])
    records.sort(key=attrgetter("time", "id"))
    updated_ms = to_ms(clocks.updated_at) if clocks.updated_at and clocks.offset_min is not None else None
    state = {**clocks.remembered(memory.state), **rows.state, **modes}
    state["updated_ms"] = memory.state.get("updated_ms") if updated_ms is None else updated_ms
    decoded = Decoded(
        records,
        sightings=rows.sightings,
        state={name: value for name, value in state.items() if value is not None},
        diagnostics=rows.diagnostics,
        health=condition(clocks, waiting=rows.waiting, unit_suspect=rows.state.get(UNIT_SUSPECT) is True),
        understood=rows.understood,
    )
    covered = None if rows.waiting or not _has_rows(patient) else _window(clocks)
    return CloudAnswer(decoded, _server_now(patient), clocks.updated_at, covered)


def _server_now(patient: Mapping[str, Any]) -> datetime | None:
    return server_instant(patient.get("currentServerTime"))


def _stand_as_they_stood(digest: str | None, clocks: Clocks, state: Mapping[str, Any]) -> bool:
    """Whether the last answer had the same rows under the same offset, and nothing held then is due now."""
    if digest is None or clocks.offset_min is None:
        return False
    due_ms = number(state.get("held_until_ms"))
    due = due_ms is not None and (clocks.now is None or to_ms(clocks.now) >= due_ms)
    return state.get("rows") == digest and state.get("rows_offset_min") == clocks.offset_min and not due


def _mode(
    patient: Mapping[str, Any], clocks: Clocks, state: Mapping[str, Any], marked: str | None
) -> tuple[dict[str, Any], Row | None]:
    """The modes to remember, and the row of a change that no marker told. At first sight there is no change.

    A marker may come before or with the status that shows the same change: `told_mode` waits for it.
    """
    before, shown = text(state.get("mode")), read_mode(patient)
    told = marked or text(state.get("told_mode"))
    if shown is None or shown == before:
        return {"mode": before, "told_mode": told}, None
    if before is None or shown == told:
        return {"mode": shown}, None
    row = mode_row(shown, clocks)
    return {"mode": shown if row else before, "told_mode": told}, row


def _present(maker: Maker, rows: RowsRead, present: Sequence[Row | None]) -> list[Record]:
    return [record for row in present if row and (record := rows.made(maker, row))]


def _has_rows(patient: Mapping[str, Any]) -> bool:
    return bool(listed(patient.get("sgs")) or listed(patient.get("markers")))


def _window(clocks: Clocks) -> Interval | None:
    if clocks.updated_at is None or clocks.offset_min is None:
        return None
    return Interval(clocks.updated_at - WINDOW, clocks.updated_at)
