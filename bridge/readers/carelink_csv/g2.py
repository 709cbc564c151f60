"""The second generation: a whole file's sections become drafts of records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bridge.errors import Malformed
from bridge.model.records import Basal, BolusCalculation, DeviceEvent, MeterGlucose
from bridge.readers.carelink_csv.basals import BasalEvent, Segment, Step, segments
from bridge.readers.carelink_csv.clocks import Clocks
from bridge.readers.carelink_csv.dates import Dates
from bridge.readers.carelink_csv.g2_boluses import AGGREGATED, insulin_drafts
from bridge.readers.carelink_csv.g2_events import draft_of, one_reading_each, read_row
from bridge.readers.carelink_csv.g2_rows import NEW_TIME, G2Row, new_time, read_rows
from bridge.readers.carelink_csv.layout import Layout
from bridge.readers.carelink_csv.making import Draft, Findings
from bridge.readers.carelink_csv.numbers import plain

_RESUMED = ("NORMAL_PUMPING", "RESUME")
_HALF_HOUR = 30


def read_second(layout: Layout, context: Mapping[str, str], findings: Findings) -> list[Draft]:
    """Drafts of all rows. Raises Malformed for dates or zones that leave doubt."""
    rows, clocks, dates = read_rows(layout, context, findings)
    alone = [draft for row in rows for draft in read_row(row, findings)]
    drafts = [draft for draft in alone if draft.model is not MeterGlucose]
    drafts += one_reading_each(draft for draft in alone if draft.model is MeterGlucose)
    drafts += _clock_changes(rows, clocks, dates, findings)
    calculations = [draft for draft in alone if draft.model is BolusCalculation]
    insulin = insulin_drafts(rows, calculations, findings)
    return drafts + insulin + _basals(rows, insulin, findings)


def _clock_changes(rows: Iterable[G2Row], clocks: Clocks, dates: Dates, findings: Findings) -> list[Draft]:
    drafts: dict[tuple[str | None, datetime], Draft] = {}
    for row in rows:
        try:
            after = new_time(row, dates)
        except Malformed:
            findings.reject(row.line, f"`{NEW_TIME}` is not a date and time")
            continue
        if after is None or (row.device.serial, after) in drafts:
            continue
        body = {"event": "time_change", "clock_from": row.wall, "clock_to": after}
        draft = draft_of(row, DeviceEvent, f"time_change {after.isoformat()}", body)
        draft.moment = clocks.after(row, after)
        drafts[row.device.serial, after] = draft
    return list(drafts.values())


# --- basals ----------------------------------------------------------------------------------------


def _basals(rows: Sequence[G2Row], insulin: Iterable[Draft], findings: Findings) -> list[Draft]:
    """Basal segments of each device. The file holds no schedule: nothing is filled in."""
    doses = defaultdict[str | None, list[BasalEvent]](list)
    for draft in insulin:
        if draft.model is Basal:
            doses[draft.device.serial].append(BasalEvent(draft.moment.time, "dose", None))
    events = defaultdict[str | None, list[BasalEvent]](list)
    until: dict[str | None, datetime] = {}
    for row in rows:
        serial = row.device.serial
        if row.section != AGGREGATED:
            until[serial] = max(until.get(serial, row.moment.time), row.moment.time)
        events[serial] += _events(row, findings)
    drafts = []
    for serial, found in events.items():
        ordered = sorted([*found, *doses[serial]], key=lambda event: event.time)
        if serial in until:
            line = segments(ordered, until[serial], _no_schedule, starts_tell=False)
            drafts += [_draft(segment) for segment in line]
    return drafts


def _no_schedule(_at: datetime) -> Step | None:
    return None


def _events(row: G2Row, findings: Findings) -> list[BasalEvent]:
    try:
        return [event for event in (_start(row), _temp(row), _suspension(row)) if event is not None]
    except Malformed as why:
        findings.reject(row.line, why.message)
        return []


def _start(row: G2Row) -> BasalEvent | None:
    rate = row.number("Basal Rate")
    if rate is None:
        return None
    is_step = row.wall.second == 0 and row.wall.minute % _HALF_HOUR == 0
    return BasalEvent(row.moment.time, "start", row, rate, is_step=is_step)


def _temp(row: G2Row) -> BasalEvent | None:
    amount = row.number("Temp Basal Amount")
    minutes = row.minutes("Temp Basal Duration")
    if amount is None and minutes is None:
        return None
    if amount is None or minutes is None:
        raise Malformed("a temporary basal rate lacks its amount or duration")
    if row.text("Temp Basal Type").lower().startswith("percent"):
        return BasalEvent(row.moment.time, "temp", row, percent=amount, minutes=minutes)
    return BasalEvent(row.moment.time, "temp", row, amount, minutes=minutes)


def _suspension(row: G2Row) -> BasalEvent | None:
    text = row.text("Suspend").upper()
    if not text:
        return None
    if text in _RESUMED:
        return BasalEvent(row.moment.time, "resume", row)
    if "SUSPEND" not in text:
        raise Malformed("`Suspend` is neither a suspension nor a resumption")
    return BasalEvent(row.moment.time, "suspend", row, reason=_reason(text))


def _reason(text: str) -> str | None:
    words = (("BEFORE_LOW", "before_low"), ("PREDICT", "before_low"), ("LOW", "on_low"))
    others = (("ALARM", "alarm"), ("USER", "user"))
    return next((reason for word, reason in (*words, *others) if word in text), None)


def _draft(segment: Segment) -> Draft:
    row: G2Row = segment.row
    amount = segment.percent if segment.percent is not None else segment.rate_u_h
    says = row.text("Suspend") or plain(amount or 0) + ("%" if segment.percent is not None else "")
    used: tuple[Any, ...] = ("Suspend", "Temp Basal Type", "Preset Temp Basal Name")
    draft = draft_of(row, Basal, says, segment.body(), *used)
    for code in segment.notes:
        draft.note(code)
    return draft
