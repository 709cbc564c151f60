"""Blood glucose in the history: received from a linked meter, or typed in."""

from __future__ import annotations

from bridge.model.records import MeterGlucose
from bridge.readers.medtronic_stick.commands import Unit
from bridge.readers.medtronic_stick.fields_events import BgFields, MeterBg
from bridge.readers.medtronic_stick.fields_insulin import WizardFields
from bridge.readers.medtronic_stick.fields_setup import WizardSetup
from bridge.readers.medtronic_stick.log import Entry, Log
from bridge.readers.medtronic_stick.making import Maker
from bridge.readers.medtronic_stick.opcodes import METER_BG

_NEAR = 4
_LINKED = 3


def read_bg(log: Log, maker: Maker, unit: Unit | None) -> None:
    """Make the glucose values. One from a meter stands twice in the log, at one time: that is one reading.

    `unit`: what the pump shows now. A meter's value that stands alone names no unit, and is made where the pump
    showed mg/dL; at the begin of what was read its other half came with an earlier read.
    """
    partners = _partners(log)
    paired = {id(meter) for meter in partners.values()}
    mmol: bool | None = None
    for entry in log.entries:
        mmol = _shows_mmol(entry, mmol)
        if isinstance(entry.fields, BgFields):
            _make(log, maker, entry, partners.get(id(entry)))
        elif isinstance(entry.fields, MeterBg) and id(entry) not in paired and entry.moment:
            known = mmol if mmol is not None else _shown_later(log, entry, unit)
            halved = entry.opcode == METER_BG and (entry is log.entries[0] or entry.after_gap)
            _make_alone(log, maker, entry, in_mgdl=known is False and not halved)


def _shows_mmol(entry: Entry, before: bool | None) -> bool | None:
    """Whether the pump shows mmol/L from this record on, as far as its calculator tells."""
    if isinstance(entry.fields, WizardFields):
        return entry.fields.mmol
    return entry.fields.after.mmol if isinstance(entry.fields, WizardSetup) else before


def _shown_later(log: Log, entry: Entry, unit: Unit | None) -> bool | None:
    """What the first word of the calculator after a record tells of the time before it; else what the pump says."""
    for other in log.entries[log.entries.index(entry) :]:
        if isinstance(other.fields, WizardSetup):
            return other.fields.before.mmol
        if isinstance(other.fields, WizardFields):
            return other.fields.mmol
    return unit.other if unit is not None else None


def _partners(log: Log) -> dict[int, Entry]:
    """The meter's record of each value: the next one of its time."""
    found: dict[int, Entry] = {}
    taken: set[int] = set()
    for place, entry in enumerate(log.entries):
        if not isinstance(entry.fields, BgFields) or entry.record.wall is None:
            continue
        for other in log.entries[place + 1 : place + 1 + _NEAR]:
            same = isinstance(other.fields, MeterBg) and other.record.wall == entry.record.wall
            if same and id(other) not in taken:
                found[id(entry)] = other
                taken.add(id(other))
                break
    return found


def _make(log: Log, maker: Maker, entry: Entry, meter: Entry | None) -> None:
    fields = entry.fields
    if not isinstance(fields, BgFields) or entry.moment is None or not fields.mgdl:
        return
    linked = meter is not None or entry.record.requestor == _LINKED
    raw = None
    if meter is not None and isinstance(meter.fields, MeterBg):
        raw = {"meter_id": meter.fields.meter_id}
        if not fields.mmol and meter.fields.bg_raw != fields.bg:
            log.tell("meter_value_differs", f"At {entry.moment.wall} pump and meter show different values.")
    body = {"mgdl": fields.mgdl, "entry": "linked" if linked else "manual", "raw": raw}
    maker.make(MeterGlucose, entry.key, entry.moment, body)


def _make_alone(log: Log, maker: Maker, entry: Entry, *, in_mgdl: bool) -> None:
    fields = entry.fields
    if entry.moment is None or not isinstance(fields, MeterBg):
        return
    if not in_mgdl:
        log.tell("meter_value_alone", f"A meter's value at {entry.moment.wall} stands alone and is left out.")
        return
    body = {"mgdl": fields.bg_raw, "entry": "linked", "raw": {"meter_id": fields.meter_id}}
    maker.make(MeterGlucose, entry.key, entry.moment, body)
