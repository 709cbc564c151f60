"""Any record that the model accepts, for Hypothesis: the far ends of every range, dirty text, links, ties."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, get_args

from hypothesis import strategies as st

from bridge.model import record_id
from bridge.model.records import RECORDS, Quality, Severity, Trend
from tests.adapters.mapping.made import METER, NGP, OLD_PUMP, START

_IDS = [record_id("p", "test", "pool", str(number)) for number in range(24)]
_ODD_TEXT = ["", " ", "\x00\x1f", "<script>", "a & b", "x" * 1200, "\u2028", "Ärger 😀", "A.b$c"]


def opt(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def amount(low: float, high: float) -> st.SearchStrategy[float]:
    ends = [low, high, (low + high) / 2, *([0.0125, 1.5, 5e-324] if low == 0 else [])]
    return st.sampled_from(ends) | st.floats(low, high, allow_nan=False)


text = st.sampled_from(_ODD_TEXT) | st.text(max_size=12)
ids = st.sampled_from(_IDS)
instants = st.one_of(
    st.integers(0, 12 * 60).map(lambda minute: START + timedelta(minutes=minute)),
    st.integers(0, 4 * 86_400_000).map(lambda ms: START + timedelta(milliseconds=ms)),
)
walls = instants.map(lambda moment: moment.replace(tzinfo=None))
devices = st.sampled_from([NGP.model_dump(), OLD_PUMP.model_dump(), METER.model_dump()]) | st.fixed_dictionaries(
    {name: opt(text) for name in ("manufacturer", "model", "serial", "family")}
)
doubts: st.SearchStrategy[Any] = st.lists(
    st.fixed_dictionaries(
        {"code": st.sampled_from(["bg/out-of-range", "backfilled", "basal/open", "bolus/provisional", ""])},
        optional={
            "value": st.sampled_from(["low", "high", "", None, 3]),
            "threshold_mgdl": st.sampled_from([40, 600.5, None, float("nan"), "x"]),
            "programmed_min": st.sampled_from([30, 0, -1, None, float("inf"), "120", True]),
            "detail": st.sampled_from([{}, [], {"a": None}, [None, ""], {"a": [1]}]),
        },
    ),
    max_size=2,
)
minutes = amount(0, 60 * 24 * 366)
units = amount(0, 1000)
signed = amount(-1000, 1000)
charge = amount(0, 100)
target = amount(10, 1000)
starts = st.integers(0, 1439)


def _schedule(**value: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    entry = st.fixed_dictionaries({"start_min": st.just(0) | starts, **value})
    return opt(st.lists(entry, max_size=3))


_REQUESTED = ["wizard", "manual", "easy", "remote", "closed_loop"]
_EVENTS = [
    "alarm", "prime", "rewind", "reservoir_change", "site_change", "sensor_start", "sensor_stop", "transmitter",
    "battery_change", "time_change", "mode_change", "temp_target", "calibration_reminder", "unheard_of",
]  # fmt: skip
_KINDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "sensor_glucose": {
        "mgdl": opt(st.integers(10, 1000)),
        "trend": opt(st.sampled_from(get_args(Trend))),
        "rate_mgdl_min": opt(amount(-100, 100)),
        "quality": st.sampled_from(get_args(Quality)),
    },
    "meter_glucose": {
        "mgdl": st.integers(10, 1000),
        "entry": st.sampled_from(["meter", "linked", "manual"]),
        "meal": opt(st.sampled_from(["before", "after", "fasting"])),
        "control_solution": st.booleans(),
    },
    "calibration": {"mgdl": st.integers(10, 1000), "accepted": opt(st.booleans())},
    "ketone": {"mmol_l": amount(0, 60)},
    "bolus": {
        "shape": st.sampled_from(["normal", "square", "dual"]),
        "delivered_u": units,
        "programmed_u": opt(units),
        "immediate_u": opt(units),
        "extended_u": opt(units),
        "programmed_immediate_u": opt(units),
        "programmed_extended_u": opt(units),
        "duration_min": opt(minutes),
        "delivered_duration_min": opt(minutes),
        "automatic": st.booleans(),
        "completed": st.booleans(),
        "requested_by": opt(st.sampled_from(_REQUESTED)),
        "calculation_id": opt(ids),
        "carbs_id": opt(ids),
    },
    "bolus_calculation": {
        "carbs_g": opt(amount(0, 5000)),
        "carb_exchanges": opt(amount(0, 500)),
        "bg_mgdl": opt(st.integers(0, 1000)),
        "iob_u": opt(signed),
        "recommended_carb_u": opt(signed),
        "recommended_correction_u": opt(signed),
        "recommended_net_u": opt(signed),
        "carb_ratio_g_u": opt(amount(0.001, 1000)),
        "isf_mgdl_u": opt(amount(0.001, 2000)),
        "target_low_mgdl": opt(target),
        "target_high_mgdl": opt(target),
        "bolus_id": opt(ids),
    },
    "injection": {
        "dose_u": units,
        "action": opt(st.sampled_from(["rapid", "short", "intermediate", "long", "mixed"])),
    },
    "carbs": {"grams": amount(0.05, 5000), "absorption_min": opt(minutes)},
    "basal": {
        "delivery": st.sampled_from(["scheduled", "temporary", "automatic", "suspended"]),
        "rate_u_h": opt(amount(0, 100)),
        "duration_min": opt(minutes),
        "percent": opt(amount(0, 1000)),
        "dose_u": opt(units),
        "schedule": opt(text),
        "suspend_reason": opt(st.sampled_from(["user", "before_low", "on_low", "alarm"])),
    },
    "device_event": {
        "event": st.sampled_from(_EVENTS),
        "code": opt(text | st.integers(0, 1000)),
        "severity": opt(st.sampled_from(get_args(Severity))),
        "text": opt(text),
        "target": opt(st.sampled_from(["tubing", "cannula"])),
        "volume_u": opt(units),
        "clock_from": opt(walls),
        "clock_to": opt(walls),
        "agent": opt(st.sampled_from(["manual", "automatic", "?"])),
        "mode": opt(text | st.sampled_from(["auto", "manual", "safe_basal"])),
        "low_mgdl": opt(target),
        "high_mgdl": opt(target),
        "duration_min": opt(minutes),
    },
    "pump_status": {
        "iob_u": opt(signed),
        "iob_time": opt(instants),
        "reservoir_u": opt(units),
        "battery_pct": opt(charge),
        "battery_v": opt(amount(0, 20)),
        "suspended": opt(st.booleans()),
        "bolusing": opt(st.booleans()),
        "mode": opt(st.sampled_from(["manual", "auto", "safe_basal"])),
        "active_basal_u_h": opt(amount(0, 100)),
        "sensor_minutes_left": opt(minutes),
        "sensor_state": opt(text),
        "transmitter_battery_pct": opt(charge),
        "uploader_battery_pct": opt(charge),
        "in_range": opt(st.booleans()),
    },
    "pump_settings": {
        "basal_schedules": opt(
            st.dictionaries(text, _schedule(rate_u_h=amount(0, 100)).map(lambda one: one or []), max_size=3)
        ),
        "active_schedule": opt(text),
        "carb_ratios": _schedule(g_u=amount(0.001, 1000)),
        "isf": _schedule(mgdl_u=amount(0.001, 2000)),
        "targets": _schedule(low_mgdl=target, high_mgdl=target),
        "dia_min": opt(minutes),
        "max_bolus_u": opt(units),
        "max_basal_u_h": opt(amount(0, 100)),
        "display_unit": opt(st.sampled_from(["mg/dL", "mmol/L", "", "?"])),
    },
    "exercise": {"duration_min": opt(minutes), "intensity": opt(text), "text": opt(text)},
    "note": {"text": text},
}
KINDS = tuple(_KINDS)


def _record(kind: str) -> st.SearchStrategy[Any]:
    envelope: dict[str, st.SearchStrategy[Any]] = {
        "id": ids,
        "kind": st.just(kind),
        "time": instants,
        "device_time": opt(walls),
        "utc_offset_min": opt(st.sampled_from([-1440, -300, 0, 60, 345, 840, 1440])),
        "profile": st.sampled_from(["p1", "p1", "p2"]),
        "device": devices,
        "reader": st.sampled_from(["carelink-cloud", "medtronic-600"]),
        "source_key": st.just("key"),
        "revision": st.integers(1, 3),
        "annotations": doubts,
    }
    return st.fixed_dictionaries(envelope | _KINDS[kind]).map(RECORDS.validate_python)


def records_of(*kinds: str, most: int = 8) -> st.SearchStrategy[list[Any]]:
    """A set of records with duplicates, revisions and links among few ids."""
    return st.lists(st.one_of(*map(_record, kinds or KINDS)), max_size=most)
