"""What alarm and alert ids mean: class, short text, and which ids are variants of another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CRITICAL = frozenset({
    "delivery_stopped", "occlusion", "pump_error", "pump_error_critical", "urgent_low", "emergency",
})  # fmt: skip
"""Classes that are critical whatever type the source gives them."""
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Entry:
    """One id: its class, our text, and the id it is a variant of (None when it stands for itself)."""

    kind: str
    text: str
    same_as: str | None = None

    @property
    def critical(self) -> bool:
        """Delivery stopped, occlusion, pump fault, urgent low or emergency."""
        return self.kind in CRITICAL


def look_up(code: str | None, family: str | None = None) -> Entry:
    """The entry of an id as sent. Ids of old pumps (`PARADIGM`) are a set of their own; an unknown id keeps its
    number and gets the class `other`."""
    if code is None:
        return Entry(OTHER, "alert without a number")
    known = PARADIGM_ALARMS if family == "PARADIGM" else FAULTS
    return known.get(code) or ALERTS.get(code) or Entry(OTHER, f"alert {code}")


def _expanded(groups: Mapping[str, str]) -> dict[str, Entry]:
    return {code: Entry(kind, _TEXTS[kind]) for kind, codes in groups.items() for code in codes.split()}


_NGP = (
    ("pump_error", "pump fault stopped delivery", "2", ""),
    (
        "pump_error",
        "pump fault",
        (
            "3 4 13 14 15 16 17 18 19 20 22 23 26 27 28 30 31 33 34 44 45 46 49 53 54 60 63 64 65 67 "
            "68 74 75 76 79 80 81 82"
        ),
        "2",
    ),
    ("battery", "battery out too long; delivery off", "6", ""),
    ("occlusion", "insulin flow blocked", "7", ""),
    ("occlusion", "insulin flow blocked", "8", "7"),
    ("battery", "battery failed; replace now", "11", ""),
    ("delivery_stopped", "auto-suspend timer reached", "12", ""),
    ("pump_error_critical", "critical fault; pump must not be used", "24", ""),
    ("pump_error", "power fault; note settings", "25", ""),
    ("delivery_stopped", "pump restarted", "29", ""),
    ("pump_error_critical", "critical pump fault", "35 40 47 48 50 55 131", "24"),
    ("pump_error", "motor fault", "37", ""),
    ("pump_error", "motor fault", "38 39 41 42 43", "37"),
    ("bolus", "bolus was stopped", "51", ""),
    ("delivery_limit", "hourly delivery limit exceeded", "52", ""),
    ("battery", "wrong battery type", "57", ""),
    ("battery", "needs new AA cell", "58", ""),
    ("pump_error", "button stuck", "61", ""),
    ("info", "other pump message", "62", ""),
    ("set_change", "no reservoir seen during set change", "66", ""),
    ("set_change", "loading not finished", "69", ""),
    ("info", "other pump message", "70 71 72 108 114 786 788 799 806 825 828", "62"),
    ("battery", "battery empty soon", "73", "11"),
    ("pump_error", "settings fault", "77", ""),
    ("battery", "battery removed", "84", ""),
    ("bolus", "bolus entry timed out undelivered", "100", ""),
    ("reminder", "check BG reminder", "103", ""),
    ("battery", "pump battery low", "104", ""),
    ("reservoir", "reservoir low", "105", ""),
    ("reservoir", "reservoir low", "106", "105"),
    ("reminder", "missed meal bolus", "107", ""),
    ("reminder", "set change due", "109", ""),
    ("sensor", "silenced sensor alert", "110", ""),
    ("reservoir", "reservoir empty", "113", ""),
    ("info", "active insulin cleared", "117", ""),
    ("sensor_life", "sensor grace period near", "128", ""),
    ("delivery_stopped", "rewind needed", "130", ""),
    ("delivery_stopped", "connect infusion set", "140", ""),
    ("calibration", "calibrate now", "775", ""),
    ("calibration", "calibration rejected", "776", ""),
    ("sensor_change", "sensor failed; replace", "777", ""),
    ("sensor_change", "sensor failed; replace", "778 789", "777"),
    ("transmitter", "recharge transmitter now", "779", ""),
    ("signal_loss", "sensor signal lost", "780", ""),
    ("signal_loss", "possible interference", "781", "780"),
    ("rate_rise", "glucose rising fast", "784", ""),
    ("low", "low glucose (older models: generic)", "787", ""),
    ("sensor_life", "sensor expired", "794", ""),
    ("signal_loss", "check transmitter", "795", ""),
    ("signal_loss", "no sensor signal", "796", ""),
    ("sensor", "sensor connected (new)", "797", ""),
    ("sensor", "sensor connected (new or reconnect)", "798", "797"),
    ("sensor_update", "sensor updating", "801", ""),
    ("low", "low glucose", "802", ""),
    ("low", "low glucose while suspended", "803", ""),
    ("predicted_low", "nearing low limit", "805", ""),
    ("suspend_end", "basal resumed after suspend", "807", ""),
    ("suspend_end", "basal resumed after suspend", "808", "807"),
    ("suspend_low", "delivery suspended at low", "809", ""),
    ("suspend_before_low", "delivery suspended before low", "810", ""),
    ("suspend_before_low", "delivery suspended before low", "811", "810"),
    ("emergency", "call emergency help", "812", ""),
    ("suspend_end", "resumed but still low", "814", ""),
    ("suspend_end", "low limit changed; resumed", "815", ""),
    ("high", "high glucose", "816", ""),
    ("predicted_high", "nearing high limit", "817", ""),
    ("auto_mode_exit", "closed loop exit; BG required", "819", ""),
    ("auto_mode_exit", "SmartGuard exit", "820", "819"),
    ("bg_required", "minimum delivery timeout", "821", ""),
    ("bg_required", "maximum delivery timeout", "822", ""),
    ("high", "high for over an hour", "823", ""),
    ("high", "high for over an hour", "824", "823"),
    ("urgent_low", "urgent low", "827", ""),
    ("bg_required", "BG required for loop", "829", ""),
    ("bg_required", "BG required", "830", "829"),
    ("bg_required", "BG required to stay in loop", "831", "829"),
    ("calibration", "calibration required", "832", ""),
    ("bolus", "correction recommended", "833", ""),
    ("calibration", "calibration rejected (780G)", "838", ""),
    ("bg_required", "BG required to stay in loop", "841", ""),
    ("reminder", "personal / calibration reminder", "869", ""),
    ("transmitter", "recharge transmitter soon", "870", ""),
    ("comm", "app reconnecting to pump", "nodata1", ""),
    ("comm", "signal lost to phone app", "nodata2", ""),
)
"""Faults of 600 and 700 pumps: class, text, ids, the id they are variants of."""

_CGM_KINDS = {
    "urgent_low": "alert.sg.threshold.low.urgent",
    "low": "alert.sg.threshold.low",
    "predicted_low": "alert.sg.predictive.low",
    "rate_fall": "alert.sg.rate.falling",
    "high": "alert.sg.threshold.high",
    "predicted_high": "alert.sg.predictive.high",
    "rate_rise": "alert.sg.rate.rising",
    "transmitter": "alert.transmitter.battery alert.transmitter.error",
    "sensor_change": "alert.sensor.replace.calibrationError alert.sensor.replace.sensorError",
    "sensor_life": "alert.sensor.replace.lifetime",
    "signal_loss": "alert.transmitter.signal",
    "sensor": "alert.sensor.connection alert.sensor.error",
    "calibration": (
        "alert.sensor.calibration.rejected alert.sensor.calibration.calibrate_now alert.calibration.reminder"
    ),
    "battery": "alert.receiver.battery.low",
}
"""Alerts of Guardian Connect and Simplera by class."""

_PARADIGM_CODES = {
    "battery": "3 55 81 86",
    "delivery_stopped": "4 5 6 16 43 61",
    "bolus": "50",
    "delivery_limit": "51",
    "pump_error": "59",
    "reservoir": "62 66 82",
    "set_change": "74 85",
    "reminder": "83 84 87",
    "sensor": "88 109",
    "high": "101",
    "low": "102",
    "suspend_low": "103",
    "calibration": "104 105 106",
    "sensor_life": "107",
    "sensor_change": "108",
    "transmitter": "110 111",
    "signal_loss": "112 113",
    "predicted_high": "114",
    "predicted_low": "115",
    "rate_rise": "116",
    "rate_fall": "117",
}
"""Alarm codes of Paradigm pumps by class."""

_TEXTS = {
    "battery": "battery low",
    "bolus": "bolus was stopped",
    "calibration": "calibration needed",
    "delivery_limit": "hourly delivery limit exceeded",
    "delivery_stopped": "insulin delivery stopped",
    "high": "high glucose",
    "low": "low glucose",
    "predicted_high": "nearing high limit",
    "predicted_low": "nearing low limit",
    "pump_error": "pump fault",
    "rate_fall": "glucose falling fast",
    "rate_rise": "glucose rising fast",
    "reminder": "reminder",
    "reservoir": "reservoir low or empty",
    "sensor": "sensor message",
    "sensor_change": "replace sensor",
    "sensor_life": "sensor near or at its end",
    "set_change": "set change not finished",
    "signal_loss": "sensor signal lost",
    "suspend_low": "delivery suspended at low",
    "transmitter": "transmitter needs attention",
    "urgent_low": "urgent low",
}

FAULTS = {code: Entry(kind, text, same_as or None) for kind, text, codes, same_as in _NGP for code in codes.split()}
ALERTS = _expanded(_CGM_KINDS)
PARADIGM_ALARMS = _expanded(_PARADIGM_CODES)
