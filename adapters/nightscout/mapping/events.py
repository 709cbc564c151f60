"""What happened to the devices, and what a person wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from adapters.nightscout.mapping.frame import PLAIN_NAME, Treatment, View, clean, treatment
from adapters.nightscout.mapping.settings import AlarmClass, MappingSettings
from adapters.preparation import COARSE, DOSE, Result, carried, lean, number, shown, skipped
from bridge.contracts import Document
from bridge.model import DeviceEvent, Exercise, Note, iso_wall

_CLASSES: dict[AlarmClass, tuple[str, ...]] = {
    "none": (),
    "critical": ("critical",),
    "high": ("critical", "high"),
    "normal": ("critical", "high", "normal"),
}
_ANNOUNCED_FOR_MS = 30 * 60_000
_MODES = {"auto": "Auto mode on", "manual": "Auto mode off", "safe_basal": "Auto mode: safe basal"}
_PLAIN = {
    "reservoir_change": "Insulin Change",
    "site_change": "Site Change",
    "battery_change": "Pump Battery Change",
    "sensor_start": "Sensor Start",
    "sensor_stop": "Sensor Stop",
}


def device_event(record: DeviceEvent, view: View) -> Result:
    """The treatment an event has a word for."""
    if record.event in _PLAIN:
        return treatment(record, view, _PLAIN[record.event])
    mapper = _SPECIAL.get(record.event)
    return skipped("unmapped_event") if mapper is None else mapper(record, view)


def _alarm(record: DeviceEvent, view: View) -> Result:
    notes = _alarm_text(record)
    if _within(record.severity, view.settings.announce):
        return (Treatment("Announcement", {"notes": notes}, entered_by=PLAIN_NAME).of(record, view),)
    if _within(record.severity, view.settings.alarms):
        return treatment(record, view, "Note", notes=notes)
    return skipped("alarm_class_off")


def _within(severity: str | None, chosen: AlarmClass) -> bool:
    return chosen == "all" or severity in _CLASSES[chosen]


def _alarm_text(record: DeviceEvent) -> str:
    text = clean(record.text) or "Alarm"
    return text if record.code is None else clean(f"{text} ({record.code})")


def timely(document: Document, now_ms: int, settings: MappingSettings) -> Document:
    """The document as it may go out now: an announcement older than half an hour alarms nobody, it goes as a note.

    The key stays, and so does the hash to book: that of the desired document.
    """
    if document.body.get("eventType") != "Announcement" or now_ms - document.instant_ms < _ANNOUNCED_FOR_MS:
        return document
    return replace(document, body={**document.body, "eventType": "Note", "enteredBy": settings.entered_by})


def _rewind(record: DeviceEvent, view: View) -> Result:
    change = view.prepared.change_near(record, "reservoir_change")
    return treatment(record, view, "Insulin Change") if change is None else carried(change)


def _prime(record: DeviceEvent, view: View) -> Result:
    if record.target != "cannula":
        return skipped("no_counterpart")
    change = view.prepared.change_near(record, "site_change")
    if change is not None:
        return carried(change)
    volume = "" if record.volume_u is None else f" {shown(record.volume_u, DOSE)} U"
    return treatment(record, view, "Site Change", notes=f"cannula{volume}")


def _transmitter(record: DeviceEvent, view: View) -> Result:
    return treatment(record, view, "Note", notes="Transmitter connected")


def _time_change(record: DeviceEvent, view: View) -> Result:
    before = "" if record.clock_from is None else f" {iso_wall(record.clock_from)}"
    after = "" if record.clock_to is None else f" to {iso_wall(record.clock_to)}"
    return treatment(
        record, view, "Note", notes=f"Pump clock{before}{after}" if before or after else "Pump clock set"
    )


def _mode_change(record: DeviceEvent, view: View) -> Result:
    if not clean(record.mode):
        return skipped("unmapped_event")
    notes = _MODES.get(record.mode or "") or clean(f"Auto mode: {record.mode}")
    return treatment(record, view, "Note", notes=notes)


def _temp_target(record: DeviceEvent, view: View) -> Result:
    low, high = record.low_mgdl, record.high_mgdl
    duration = number(record.duration_min or 0, COARSE)
    if not duration or low is None:
        return skipped("no_counterpart")
    bottom, top = number(low, COARSE), number(low if high is None else high, COARSE)
    return treatment(
        record, view, "Temporary Target", duration=duration, targetBottom=bottom, targetTop=top, reason="Temp target"
    )


def _unheard(_record: DeviceEvent, _view: View) -> Result:
    return skipped("no_counterpart")


_SPECIAL: dict[str, Callable[[DeviceEvent, View], Result]] = {
    "alarm": _alarm,
    "rewind": _rewind,
    "prime": _prime,
    "transmitter": _transmitter,
    "time_change": _time_change,
    "mode_change": _mode_change,
    "temp_target": _temp_target,
    "calibration_reminder": _unheard,
}


def exercise(record: Exercise, view: View) -> Result:
    """`Exercise` with its text and intensity."""
    duration = None if record.duration_min is None else number(record.duration_min, COARSE)
    notes = clean("; ".join(filter(None, (clean(record.text), clean(record.intensity)))))
    return treatment(record, view, "Exercise", **lean(duration=duration, notes=notes))


def note(record: Note, view: View) -> Result:
    """`Note`, unless nothing is left after cleaning."""
    notes = clean(record.text)
    return treatment(record, view, "Note", notes=notes) if notes else skipped("empty_note")
