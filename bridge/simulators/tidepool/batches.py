"""A posted batch as the service takes it: parse all, then validate all, then normalise what is stored."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bridge.simulators.tidepool import datums, settings_datums
from bridge.simulators.tidepool.rules import Fault, Faults, choose

FACTOR = 18.01559
PRECISION = 100_000.0
DATUM = choose("type", {
    "physicalActivity": datums.ACTIVITY, "alert": settings_datums.ALERT, "basal": datums.BASAL, "cbg": datums.CBG,
    "smbg": datums.SMBG, "bloodKetone": datums.KETONE, "bolus": datums.BOLUS, "wizard": datums.WIZARD,
    "deviceEvent": datums.DEVICE_EVENT, "dosingDecision": settings_datums.DOSING_DECISION, "food": datums.FOOD,
    "insulin": datums.INSULIN, "cgmSettings": settings_datums.CGM_SETTINGS,
    "controllerSettings": settings_datums.CONTROLLER_SETTINGS, "pumpSettings": settings_datums.PUMP_SETTINGS,
    "reportedState": datums.REPORTED_STATE, "controllerStatus": settings_datums.CONTROLLER_STATUS,
    "pumpStatus": settings_datums.PUMP_STATUS, "water": datums.WATER,
})  # fmt: skip
KINDS = {"bolus": "subType", "deviceEvent": "subType", "basal": "deliveryType"}
"""Types whose subtype belongs to the identity and to the `meta` of an error."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch read: either `faults` (of one stage) or the clean datums."""

    datums: Sequence[dict[str, Any]]
    faults: Sequence[Fault]

    @property
    def stage(self) -> str:
        """`parse` or `validate`: which of the two refused."""
        return "parse" if any(found.parse for found in self.faults) else "validate"


def read_batch(batch: Sequence[Any]) -> Batch:
    """Faults point at `/<index>/<field>`; a parse fault hides every validation fault. Nulls are skipped."""
    faults: Faults = []
    clean = []
    for index, raw in enumerate(batch):
        if raw is None:
            continue
        before = len(faults)
        datum = DATUM(raw, faults)
        if len(faults) > before:
            _placed(faults[before:], index, raw)
        clean.append(datum)
    parse = [found for found in faults if found.parse]
    return Batch(clean, parse or faults)


def _placed(faults: Faults, index: int, raw: Any) -> None:
    meta = _meta(raw)
    for found in faults:
        found.path.append(str(index))
        found.meta = meta


def _meta(raw: Any) -> Mapping[str, str] | None:
    """The `meta` of an error: left out where the type or subtype itself was not understood."""
    kind = raw.get("type") if isinstance(raw, dict) else None
    if not isinstance(kind, str):
        return None
    field = KINDS.get(kind)
    if field is None:
        return {"type": kind}
    known = {"bolus": BOLUS_KINDS, "deviceEvent": EVENT_KINDS, "basal": BASAL_KINDS}[kind]
    return {"type": kind, field: raw[field]} if raw.get(field) in known else None


BOLUS_KINDS = ("dual/square", "square", "normal", "automated")
BASAL_KINDS = ("automated", "scheduled", "suspend", "temp")
EVENT_KINDS = (
    "alarm", "calibration", "pumpSettingsOverride", "prime", "reservoirChange", "status", "timeChange",
)  # fmt: skip


# --- normalisation ---------------------------------------------------------------------------------


def stored_glucose(value: float) -> float:
    """mmol/L as stored, of mg/dL: five decimals, half away from zero, in this very order of operations."""
    return int(value / FACTOR * PRECISION + (0.5 if value >= 0 else -0.5)) / PRECISION


def _is_mgdl(units: Any) -> bool:
    return units in ("mg/dL", "mg/dl")


def _convert(holder: Mapping[str, Any] | None, names: Iterable[str]) -> None:
    if isinstance(holder, dict):
        for name in names:
            if name in holder:
                holder[name] = stored_glucose(holder[name])


_TARGET = ("target", "range", "low", "high")


def _glucose(datum: dict[str, Any]) -> None:
    if _is_mgdl(datum["units"]):
        _convert(datum, ("value",))
    datum["units"] = "mmol/L"
    if datum.get("trendRateUnits") == "mg/dL/minute":
        _convert(datum, ("trendRate",))
        datum["trendRateUnits"] = "mmol/L/minute"


def _event(datum: dict[str, Any]) -> None:
    if datum["subType"] == "calibration":
        _glucose(datum)
    elif isinstance(datum.get("units"), dict):
        if _is_mgdl(datum["units"]["bg"]):
            _convert(datum.get("bgTarget"), _TARGET)
        datum["units"] = {"bg": "mmol/L"}


def _wizard(datum: dict[str, Any]) -> None:
    if _is_mgdl(datum["units"]):
        _convert(datum, ("bgInput", "insulinSensitivity"))
        _convert(datum.get("bgTarget"), _TARGET)
    datum["units"] = "mmol/L"


def _entries(datum: Mapping[str, Any], *names: str) -> Iterable[dict[str, Any]]:
    for name in names:
        setting = datum.get(name) or []
        for entries in setting.values() if isinstance(setting, dict) else [setting]:
            yield from entries or []


def _pump_settings(datum: dict[str, Any]) -> None:
    units = datum.get("units")
    if units and _is_mgdl(units["bg"]):
        for entry in _entries(datum, "bgTarget", "bgTargets"):
            _convert(entry, _TARGET)
        for entry in _entries(datum, "insulinSensitivity", "insulinSensitivities"):
            _convert(entry, ("amount",))
        _convert(datum, ("bgSafetyLimit",))
        for name in ("bgTargetPhysicalActivity", "bgTargetPreprandial"):
            _convert(datum.get(name), _TARGET)
        for preset in datum.get("overridePresets", {}).values():
            _convert(preset.get("bgTarget"), _TARGET)
    if units:
        units["bg"] = "mmol/L"
    _sort(datum, "manufacturers")


def _cgm_settings(datum: dict[str, Any]) -> None:
    rates = datum.pop("rateOfChangeAlerts", None)
    if rates is not None:
        datum["rateOfChangeAlert"] = rates
    if _is_mgdl(datum.get("units")):
        for holder in (datum.get("lowAlerts"), datum.get("highAlerts")):
            _convert(holder, ("level",))
        for rate in (rates or {}).values():
            _convert(rate, ("rate",))
    if "units" in datum:
        datum["units"] = "mmol/L"
    _sort(datum, "manufacturers")


def _dosing_decision(datum: dict[str, Any]) -> None:
    units = datum["units"]
    if _is_mgdl(units["bg"]):
        for sample in [datum.get("smbg"), *datum.get("bgHistorical", []), *datum.get("bgForecast", [])]:
            _convert(sample, ("value",))
        for entry in datum.get("bgTargetSchedule", []):
            _convert(entry, _TARGET)
    units["bg"] = "mmol/L"


def _sort(datum: dict[str, Any], name: str) -> None:
    if name in datum:
        datum[name] = sorted(datum[name])


def _ketone(datum: dict[str, Any]) -> None:
    datum["units"] = "mmol/L"


_NORMALISERS = {
    "cbg": _glucose, "smbg": _glucose, "bloodKetone": _ketone, "deviceEvent": _event, "wizard": _wizard,
    "pumpSettings": _pump_settings, "cgmSettings": _cgm_settings, "dosingDecision": _dosing_decision,
}  # fmt: skip


def normalised(clean: Sequence[dict[str, Any]], new_id: Any) -> list[dict[str, Any]]:
    """Datums as stored, embedded ones split off behind their holder; `new_id()` gives 32 hex digits."""
    stored: list[dict[str, Any]] = []
    for datum in clean:
        for each in _split(datum):
            each.setdefault("id", new_id())
            _sort(each, "tags")
            if not each.get("notes", True):
                del each["notes"]
            normalise = _NORMALISERS.get(each["type"])
            if normalise is not None:
                normalise(each)
            stored.append(each)
        _refer(stored, datum)
    return stored


def _split(datum: dict[str, Any]) -> list[dict[str, Any]]:
    inner = datum.get("bolus") if datum["type"] == "wizard" else datum.get("status")
    return [datum, inner] if isinstance(inner, dict) else [datum]


def _refer(stored: Sequence[dict[str, Any]], datum: dict[str, Any]) -> None:
    """An embedded datum leaves its id behind; that of an automated bolus is not kept."""
    for name in ("bolus", "status"):
        inner = datum.get(name)
        if isinstance(inner, dict) and stored[-1] is inner:
            datum[name] = inner["id"]
            if inner.get("subType") == "automated":
                del datum[name]


# --- identity --------------------------------------------------------------------------------------


def _plain(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")


def identity_fields(datum: Mapping[str, Any], user_id: str, data_set_id: str | None) -> list[str]:
    """What the identity hash is made of; with a data set id the data-set version, else the device version.

    Raises KeyError when the device version lacks a device id.
    """
    fields = [user_id, data_set_id if data_set_id is not None else datum["deviceId"], datum["time"], datum["type"]]
    if datum["type"] in ("cbg", "smbg", "bloodKetone"):
        fields += [datum["units"], _plain(datum["value"])]
    elif datum["type"] in KINDS:
        fields.append(datum[KINDS[datum["type"]]])
    return fields


def identity_hash(fields: Sequence[str]) -> str:
    """Base64 of the SHA-256 of the fields joined by `|`."""
    return base64.b64encode(hashlib.sha256("|".join(fields).encode()).digest()).decode()
