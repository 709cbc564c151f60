"""The pump's therapy settings as a profile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adapters.nightscout.mapping.frame import PLAIN_NAME, PROFILE, View, clean
from adapters.preparation import COARSE, DOSE, Result, daily, lean, number, skipped
from bridge.contracts import Document
from bridge.model import PumpSettings, RateStart, iso_ms, to_ms
from bridge.model.units import MGDL_PER_MMOL

_CARBS_HR = 20
"""The site's own default; without it there are no carbs on board."""
_DELAY_MIN = 20
_ID_DIGITS = 24


def pump_settings(record: PumpSettings, view: View) -> Result:
    """A whole profile, or none: half a one would blank the site's own."""
    basals = {name: daily(entries) for name, entries in (record.basal_schedules or {}).items()}
    shared = _shared(record, _mmol(record, view))
    if not basals.get(record.active_schedule or "") or shared is None:
        return skipped("settings_incomplete")
    zone = view.settings.timezone or _zone(record.utc_offset_min)
    if zone is None:
        return skipped("timezone_unknown")
    return (_document(record, basals, shared | {"timezone": zone}),)


def _document(record: PumpSettings, basals: Mapping[str, Sequence[RateStart]], shared: dict[str, Any]) -> Document:
    active, start = record.active_schedule, iso_ms(record.time)
    # Names may fall together once cleaned: the active schedule comes last and stays.
    names = sorted((name for name, entries in basals.items() if entries), key=lambda name: (name == active, name))
    store = {
        _name(name): shared
        | {"startDate": start, "basal": _schedule((one.start_min, one.rate_u_h, DOSE) for one in basals[name])}
        for name in names
    }
    key = record.id.replace("-", "")[:_ID_DIGITS]
    body = {
        "_id": key,
        "defaultProfile": _name(active or ""),
        "startDate": start,
        "created_at": start,
        "units": shared["units"],
        "enteredBy": PLAIN_NAME,
        "store": store,
    }
    instant = to_ms(record.time)
    return Document(key=key, record_id=record.id, op="put", path=PROFILE, body=body, instant_ms=instant, rank=3)


def _shared(record: PumpSettings, mmol: bool) -> dict[str, Any] | None:
    """What all schedules have in common; None when a part is missing."""
    ratios, isf, targets = daily(record.carb_ratios), daily(record.isf), daily(record.targets)
    if not (ratios and isf and targets):
        return None
    scale = MGDL_PER_MMOL if mmol else 1.0
    dia = None if record.dia_min is None else number(record.dia_min / 60, DOSE)
    return lean(dia=dia) | {
        "carbs_hr": _CARBS_HR,
        "delay": _DELAY_MIN,
        "units": "mmol" if mmol else "mg/dl",
        "carbratio": _schedule((one.start_min, one.g_u, COARSE) for one in ratios),
        "sens": _schedule((one.start_min, one.mgdl_u / scale, COARSE) for one in isf),
        "target_low": _schedule((one.start_min, one.low_mgdl / scale, COARSE) for one in targets),
        "target_high": _schedule((one.start_min, one.high_mgdl / scale, COARSE) for one in targets),
    }


def _schedule(entries: Iterable[tuple[int, float, int]]) -> list[dict[str, Any]]:
    return [
        {
            "time": "{:02d}:{:02d}".format(*divmod(start, 60)),
            "timeAsSeconds": start * 60,
            "value": number(value, digits),
        }
        for start, value, digits in entries
    ]


def _mmol(record: PumpSettings, view: View) -> bool:
    return (view.settings.site_units or record.display_unit or "").lower().startswith("mmol")


def _zone(utc_offset_min: int | None) -> str | None:
    """The fixed zone of a whole-hour offset; its sign is the other way round. None where there is none."""
    if utc_offset_min is None or utc_offset_min % 60 or not -12 * 60 <= utc_offset_min <= 14 * 60:
        return None
    hours = utc_offset_min // 60
    return f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT"


def _name(name: str) -> str:
    return clean(name.replace(".", "_").replace("$", "_")) or "_"
