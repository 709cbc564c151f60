"""What the site's pages would show: pump, insulin on board of the pump, basal, ages, direction, room left.

Insulin and carbs on board of treatments are not computed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bridge.simulators.nightscout.store import Collection
from bridge.simulators.nightscout.values import Doc, is_number, moment

if TYPE_CHECKING:
    from bridge.simulators.nightscout.sim import NightscoutSim

_RECENT_IOB_MS = 30 * 60_000
_STALE_PUMP_MS = 120 * 60_000
_LARGEST_BASE_MIB = 496
_ARROWS = {
    "NONE": "⇼", "TripleUp": "⤊", "DoubleUp": "⇈", "SingleUp": "↑", "FortyFiveUp": "↗", "Flat": "→",
    "FortyFiveDown": "↘", "SingleDown": "↓", "DoubleDown": "⇊", "TripleDown": "⤋",
    "NOT COMPUTABLE": "-", "RATE OUT OF RANGE": "⇕",
}  # fmt: skip
_AGES = {
    "cage": ("Site Change",),
    "iage": ("Insulin Change", "Insulin Cartridge Change"),
    "bage": ("Pump Battery Change",),
}


def properties(sim: NightscoutSim) -> Doc:
    """All properties by plugin name, as `GET /api/v2/properties` gives them, in small."""
    now = sim.now_ms()
    treatments = [one for one in sim.collections["treatments"] if _at(one) <= now]
    found: Doc = {
        "pump": _pump(sim.collections["devicestatus"], now),
        "iob": _iob(sim.collections["devicestatus"], now),
        "upbat": _uploader(sim.collections["devicestatus"], now),
        "basal": _basal(sim, treatments, now),
        "sage": _sensor_age(treatments, now),
        "direction": _direction(sim.collections["entries"]),
        "dbsize": _room(sim),
    }
    for name, types in _AGES.items():
        found[name] = _age(_latest(treatments, types), now, in_days=name == "bage")
    return {name: value for name, value in found.items() if value is not None}


def _at(treatment: Doc) -> int:
    read = moment(treatment.get("created_at"))
    return read[0] if read else 0


def _latest(treatments: Iterable[Doc], types: tuple[str, ...]) -> Doc | None:
    fitting = [one for one in treatments if any(kind in str(one.get("eventType")) for kind in types)]
    return max(fitting, key=_at, default=None)


def _newest_status(statuses: Collection, part: str, now: int, within_ms: int) -> Doc | None:
    for status in statuses.newest_first():
        if isinstance(status.get(part), dict) and 0 <= now - _at(status) <= within_ms:
            return status
    return None


def _pump(statuses: Collection, now: int) -> Doc | None:
    status = _newest_status(statuses, "pump", now, _STALE_PUMP_MS)
    if status is None:
        return None
    pump = status["pump"]
    data: Doc = {
        "reservoir": _reservoir(pump.get("reservoir")),
        "battery": _battery(pump.get("battery")),
        "status": _state(pump.get("status")),
    }
    return {"data": {name: value for name, value in data.items() if value is not None}}


def _reservoir(units: Any) -> Doc | None:
    if not is_number(units):
        return None
    text = f"{units:.3g}U" if units >= 100 else f"{units:.2f}U" if units < 1 else f"{units:.3g}U"
    return {"value": units, "display": text, "level": 2 if units < 5 else 1 if units < 10 else -3}


def _battery(battery: Any) -> Doc | None:
    if not isinstance(battery, dict):
        return None
    if battery.get("percent"):
        value, unit, warn, urgent = battery["percent"], "%", 30.0, 20.0
    elif battery.get("voltage"):
        value, unit, warn, urgent = battery["voltage"], "v", 1.35, 1.3
    else:
        return None
    return {"value": value, "display": f"{value}{unit}", "level": 2 if value < urgent else 1 if value < warn else -3}


def _state(state: Any) -> Doc | None:
    if not isinstance(state, dict):
        return None
    text = state.get("status", "normal")
    for name in ("bolusing", "suspended"):
        if state.get(name):
            text = name
    return {"value": text}


def _iob(statuses: Collection, now: int) -> Doc | None:
    for status in statuses.newest_first():
        if not 0 <= now - _at(status) <= _RECENT_IOB_MS:
            continue
        pump: Any = status.get("pump")
        part: Any = pump.get("iob") if isinstance(pump, dict) else None
        for name in ("iob", "bolusiob") if isinstance(part, dict) else ():
            units = part.get(name)
            if is_number(units):
                source = "MM Connect" if "connect" in status else "Pump"
                return {"iob": units, "display": f"{units:.2f}" if units else "0", "source": source}
    return None


def _uploader(statuses: Collection, now: int) -> Doc | None:
    status = _newest_status(statuses, "uploader", now, _RECENT_IOB_MS)
    level = status["uploader"].get("battery") if status else None
    return {"value": level, "display": f"{level}%"} if is_number(level) else None


def _basal(sim: NightscoutSim, treatments: Iterable[Doc], now: int) -> Doc | None:
    scheduled = _scheduled(sim.collections["profile"], now)
    if scheduled is None:
        return None
    running = _running(treatments, "Temp Basal", now)
    combo = _running(treatments, "Combo Bolus", now)
    rate, mark = scheduled, ""
    if running is not None:
        mark = "T: "
        if is_number(running.get("absolute")):
            rate = running["absolute"]
        elif is_number(running.get("percent")):
            rate = scheduled * (100 + running["percent"]) / 100
    if combo is not None and is_number(combo.get("relative")):
        rate, mark = rate + combo["relative"], "TC: " if mark else "C: "
    return {"display": f"{mark}{rate:.3f}U", "current": rate}


def _running(treatments: Iterable[Doc], kind: str, now: int) -> Doc | None:
    """The latest of that type, while it lasts; a later one cuts an earlier one."""
    latest = _latest([one for one in treatments if is_number(one.get("duration"))], (kind,))
    return latest if latest and now < _at(latest) + latest["duration"] * 60_000 else None


def _scheduled(profiles: Collection, now: int) -> float | None:
    newest = profiles.newest_first()
    store = newest[0].get("store", {}).get(newest[0].get("defaultProfile"), {}) if newest else {}
    starts = store.get("basal", [])
    second = now // 1000 % 86_400
    due = [one["value"] for one in starts if one.get("timeAsSeconds", 0) <= second]
    return float(due[-1]) if due else None


def _age(event: Doc | None, now: int, *, in_days: bool) -> Doc | None:
    if event is None:
        return None
    hours = (now - _at(event)) // 3_600_000
    return {"found": True, "age": hours, "display": f"{hours // 24}d{hours % 24}h" if in_days else f"{hours}h"}


def _sensor_age(treatments: Iterable[Doc], now: int) -> Doc | None:
    """A start before the last change is hidden."""
    start, change = _latest(treatments, ("Sensor Start",)), _latest(treatments, ("Sensor Change",))
    if start and change and _at(change) >= _at(start):
        start = None
    ages = {
        "Sensor Start": _age(start, now, in_days=True) or {"found": False},
        "Sensor Change": _age(change, now, in_days=True) or {"found": False},
    }
    if start is None and change is None:
        return None
    return {**ages, "min": "Sensor Start" if start else "Sensor Change"}


def _direction(entries: Collection) -> Doc | None:
    newest = next((one for one in entries.newest_first() if one.get("type") == "sgv"), None)
    if newest is None or "direction" not in newest:
        return None
    return {"value": newest["direction"], "label": _ARROWS.get(newest["direction"], "-")}


def _room(sim: NightscoutSim) -> Doc:
    """Estimated from the number of documents, unless the settings say how full it is."""
    mebibytes = sum(map(len, sim.collections.values())) * 500 / 1024**2
    percent = sim.settings.database_percent
    if percent is None:
        percent = round(mebibytes / _LARGEST_BASE_MIB * 100)
    return {"display": f"{percent}%", "details": {"dataSize": round(mebibytes), "dataPercentage": percent}}
