"""Records of the pump's history: events with a sequence number and an offset to the last reference time. Pure;
Malformed is all that this raises. What an event of unknown type holds is kept raw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from bridge.errors import Malformed
from bridge.readers.minimed_ble.fields import Fields

REFERENCE, SIG_REFERENCE = 0xF00E, 0x000F
PROGRAMMED_1, PROGRAMMED_2, DELIVERED_1, DELIVERED_2 = 0x005A, 0x0066, 0x0069, 0x0096
BASAL_CHANGED, AUTO_BASAL, LOOP, CONTEXT, MEAL = 0x0099, 0xF001, 0xF002, 0xF004, 0xF005
BG, CALIBRATED, CALIBRATION_REJECTED = 0xF007, 0xF008, 0xF009
STOPPED, RESTARTED, SENSOR, ALERT_CLEARED, ALERT = 0xF00A, 0xF00B, 0xF00C, 0xF00F, 0xF010
_HEAD_BYTES, _FIRST_CODE = 8, 0x0300
_KG_PER_L = Decimal(100_000)
"""mg/dL in one kg/L."""
_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 - the pump's own wall clock
_ALERT_BASE = 0x0FFF

Body = dict[str, Any]
_REASON = {0x0F: "undetermined", 0x33: "set", 0x3C: "periodic", 0x55: "loss"}
_SHAPE = {0x33: "fast", 0x3C: "extended", 0x55: "multiwave"}
_ACTIVATION = {
    0x0F: "undetermined", 0x33: "manual", 0x3C: "recommended", 0x55: "changed_recommended", 0x5A: "commanded",
}  # fmt: skip
_END = {0x33: "programmed_amount_delivered", 0x3C: "canceled", 0x55: "error"}
_BASAL_CONTEXT = {0x0F: "undetermined", 0x33: "device", 0x3C: "remote", 0x55: "closed_loop"}
_TEMP_TYPE = {0x0F: "undetermined", 0x33: "absolute", 0x3C: "relative"}
_LOOP_TO = {0: "auto", 1: "user", 2: "alarm", 3: "safe_basal_time_out", 4: "high_sg"}
_STOP = {
    0x1: "alarm_suspended", 0x2: "user_suspended", 0x3: "auto_suspended", 0x4: "low_sg_suspended",
    0x5: "not_seated", 0xA: "before_low_suspended",
}  # fmt: skip
_START = {
    1: "user_selects_resume", 2: "user_clears_alarm", 3: "manual_resume", 4: "max_suspended_time",
    5: "sg_recovered", 6: "disabled",
}  # fmt: skip
_SG_STATE = {0x0301: "starting", 0x0303: "updating"}
_SG_RANGE = {0x0308: ("high", 400), 0x030D: ("low", 50)}
_ALERT_STATE = {0x33: "pending", 0x3C: "snoozed", 0x55: "confirmed"}


@dataclass(frozen=True, slots=True)
class Event:
    """One record. `name` is None for a type that is not read; `values` are named with their units, amounts exact."""

    type: int
    sequence: int
    offset_s: int
    raw: bytes
    name: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def parse_event(value: bytes) -> Event:
    """A value of the history. Raises Malformed for one that is cut short."""
    if len(value) < _HEAD_BYTES:
        raise Malformed("A record of the pump's history is cut short.")
    head = Fields(value)
    type_, sequence, offset_s = head.unsigned(2), head.unsigned(4), head.unsigned(2)
    known = _EVENTS.get(type_)
    if known is None:
        return Event(type_, sequence, offset_s, value)
    name, parser = known
    return Event(type_, sequence, offset_s, value, name, parser(head))


def _coded(names: Mapping[int, str], code: int) -> str:
    return names.get(code, f"code_{code:02X}")


def _reference(fields: Fields) -> Body:
    return {"reason": _coded(_REASON, fields.unsigned(1)), "local": fields.wall()}


def _bolus(fields: Fields) -> Body:
    return {
        "bolus_id": fields.unsigned(2),
        "bolus_type": _SHAPE.get(fields.unsigned(1)),
        "fast_u": fields.number(),
        "extended_u": fields.number(),
        "duration_min": fields.unsigned(2),
    }


def _programmed_2(fields: Fields) -> Body:
    flags = fields.unsigned(1)
    return {
        "delay_min": fields.unsigned(2) if flags & 1 else None,
        "template": fields.unsigned(1) if flags & 2 else None,
        "activation": _coded(_ACTIVATION, fields.unsigned(1)) if flags & 4 else None,
        "correction": bool(flags & 8),
        "meal": bool(flags & 16),
    }


def _delivered_2(fields: Fields) -> Body:
    flags = fields.unsigned(1)
    return {
        "start_offset_s": fields.unsigned(4),
        "activation": _coded(_ACTIVATION, fields.unsigned(1)) if flags & 1 else None,
        "end": _coded(_END, fields.unsigned(1)) if flags & 2 else None,
        "alert": fields.unsigned(2) if flags & 4 else None,
    }


def _basal_changed(fields: Fields) -> Body:
    flags, old, new = fields.unsigned(1), fields.number(), fields.number()
    context = _coded(_BASAL_CONTEXT, fields.unsigned(1)) if flags and fields.left else None
    return {"old_u_h": old, "new_u_h": new, "context": context}


def _old_new(fields: Fields) -> Body:
    return {"old": fields.number(), "new": fields.number()}


def _auto_basal(fields: Fields) -> Body:
    return {"bolus_number": fields.unsigned(1), "units": fields.number()}


def _loop(fields: Fields) -> Body:
    return {"to": _coded(_LOOP_TO, fields.unsigned(1))}


def _context(fields: Fields) -> Body:
    flags = fields.unsigned(1)
    rate = fields.number() if flags & 2 else None
    stopped = _coded(_STOP, fields.unsigned(1)) if flags & 8 else None
    temp = (_coded(_TEMP_TYPE, fields.unsigned(1)), fields.number()) if flags & 16 else (None, None)
    return {
        "sensor_on": bool(flags & 1), "rate_u_h": rate, "auto": bool(flags & 4), "stopped": stopped,
        "temp_type": temp[0], "temp_value": temp[1],
    }  # fmt: skip


def _meal(fields: Fields) -> Body:
    return {"carb_g": fields.short_number()}


def _blood(fields: Fields) -> Body:
    offset_min, amount = fields.signed(2), fields.short_number()
    exact = None if amount is None else amount * _KG_PER_L
    whole = None if exact is None else int(exact.to_integral_value(ROUND_HALF_EVEN))
    return {"time_offset_min": offset_min, "mg_dl": whole}


def _stopped(fields: Fields) -> Body:
    return {"reason": _coded(_STOP, fields.unsigned(1))}


def _restarted(fields: Fields) -> Body:
    return {"reason": _coded(_START, fields.unsigned(1))}


def _sensor(fields: Fields) -> Body:
    offset_min, value = fields.signed(2), fields.unsigned(2)
    range_, limit = _SG_RANGE.get(value, (None, None))
    return {
        "time_offset_min": offset_min,
        "mg_dl": value if 0 < value < _FIRST_CODE else None,
        "state": _SG_STATE.get(value),
        "range": range_,
        "limit": limit,
        "code": value if value >= _FIRST_CODE else None,
        "isig": fields.unsigned(2),
        "v_counter": fields.signed(2),
    }


def _analytics(fields: Fields) -> Body:
    return {
        "time_offset_min": fields.signed(2),
        "predicted": fields.short_number(),
        "calibration_factor": fields.unsigned(2),
    }


def _cleared(fields: Fields) -> Body:
    return {"fault": fields.unsigned(2) & _ALERT_BASE, "instance": fields.unsigned(2)}


def _alert(fields: Fields) -> Body:
    fields.take(1)
    instance, fault = fields.unsigned(2), fields.unsigned(2) & _ALERT_BASE
    state, since_s = _coded(_ALERT_STATE, fields.unsigned(1)), fields.unsigned(4)
    return {"fault": fault, "instance": instance, "state": state, "local": _EPOCH + timedelta(seconds=since_s)}


_EVENTS: Mapping[int, tuple[str, Callable[[Fields], Body]]] = {
    SIG_REFERENCE: ("reference_time", _reference),
    PROGRAMMED_1: ("bolus_programmed_1", _bolus),
    PROGRAMMED_2: ("bolus_programmed_2", _programmed_2),
    DELIVERED_1: ("bolus_delivered_1", _bolus),
    DELIVERED_2: ("bolus_delivered_2", _delivered_2),
    BASAL_CHANGED: ("basal_rate_changed", _basal_changed),
    0x03FC: ("max_bolus_changed", _old_new),
    AUTO_BASAL: ("auto_basal", _auto_basal),
    LOOP: ("loop_transition", _loop),
    CONTEXT: ("therapy_context", _context),
    MEAL: ("meal", _meal),
    BG: ("bg", _blood),
    CALIBRATED: ("calibrated", _blood),
    CALIBRATION_REJECTED: ("calibration_rejected", _blood),
    STOPPED: ("delivery_stopped", _stopped),
    RESTARTED: ("delivery_restarted", _restarted),
    SENSOR: ("sg", _sensor),
    0xF00D: ("sensor_analytics", _analytics),
    REFERENCE: ("ngp_reference_time", _reference),
    ALERT_CLEARED: ("alert_cleared", _cleared),
    ALERT: ("alert", _alert),
    0xF01A: ("max_auto_basal_changed", _old_new),
}
