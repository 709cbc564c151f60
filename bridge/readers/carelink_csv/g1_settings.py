"""Therapy settings of the first generation: what each upload wrote down, walked back through the changes.

Every upload ends with a block of `Current...` rows. From there each `Change...` row tells what was before it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from bridge.errors import Malformed
from bridge.model.records import PumpStatus
from bridge.readers.carelink_csv.clocks import Moment, UploadKey
from bridge.readers.carelink_csv.g1_rows import G1Row
from bridge.readers.carelink_csv.making import Draft, Findings, canonical, digest

_UNITS = {"mg dl": "mg/dL", "mmol l": "mmol/L"}
_LAST_MINUTE = 24 * 60
Entries = tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """One state of a pump's settings; None where the file does not tell."""

    basal_schedules: Mapping[str, Entries] = field(default_factory=dict)
    active_schedule: str | None = None
    carb_ratios: Entries = ()
    isf: Entries = ()
    targets: Entries = ()
    dia_min: float | None = None
    max_bolus_u: float | None = None
    max_basal_u_h: float | None = None
    display_unit: str | None = None

    @property
    def is_blank(self) -> bool:
        """Whether nothing has been set up yet."""
        return not (any(self.basal_schedules.values()) or self.carb_ratios or self.isf or self.targets)

    def body(self) -> dict[str, Any]:
        """The fields of the settings record."""
        return {
            "basal_schedules": dict(self.basal_schedules),
            "active_schedule": self.active_schedule,
            "carb_ratios": self.carb_ratios,
            "isf": self.isf,
            "targets": self.targets,
            "dia_min": self.dia_min,
            "max_bolus_u": self.max_bolus_u,
            "max_basal_u_h": self.max_basal_u_h,
            "display_unit": self.display_unit,
        }

    @property
    def digest(self) -> str:
        """Sixteen digits that stand for this content."""
        return digest(canonical(self.body()), 16)


@dataclass(frozen=True, slots=True)
class State:
    """Settings, and the row and moment since which they are valid. `notes` are annotation codes."""

    settings: Settings
    moment: Moment
    row: G1Row
    is_first: bool = False
    notes: tuple[str, ...] = ()


# --- entries of a schedule -------------------------------------------------------------------------


def _rate(row: G1Row) -> dict[str, Any]:
    return {"start_min": row.values.minute_of_day("START_TIME"), "rate_u_h": row.values.needed("RATE")}


def _ratio(row: G1Row) -> dict[str, Any]:
    if row.values.text("UNITS") == "exchanges":
        raise Malformed("a carb ratio is in exchanges")
    return {"start_min": row.values.minute_of_day("START_TIME"), "g_u": row.values.needed("AMOUNT")}


def _isf(row: G1Row) -> dict[str, Any]:
    return {"start_min": row.values.minute_of_day("START_TIME"), "mgdl_u": row.values.needed("AMOUNT")}


def _target(row: G1Row) -> dict[str, Any]:
    low, high = row.values.needed("AMOUNT_LOW"), row.values.needed("AMOUNT_HIGH")
    return {"start_min": row.values.minute_of_day("START_TIME"), "low_mgdl": low, "high_mgdl": high}


def _within_a_day(entry: dict[str, Any]) -> dict[str, Any]:
    if not 0 <= entry["start_min"] < _LAST_MINUTE:
        raise Malformed("`START_TIME` is not within a day")
    return entry


_ENTRIES = {
    "BasalProfile": (_rate, "PROFILE_INDEX", "NUM_PROFILES"),
    "BasalProfilePre": (_rate, "PROFILE_INDEX", "NUM_PROFILES"),
    "CarbRatio": (_ratio, "INDEX", "SIZE"),
    "InsulinSensitivity": (_isf, "INDEX", "SIZE"),
    "BGTargetRange": (_target, "INDEX", "SIZE"),
}
"""Entry rows (after `Current` or `Change`): how they are read, their place, and their pattern's count."""
_PATTERNS = {
    "BasalProfilePattern": "BasalProfile",
    "BasalProfilePatternPre": "BasalProfilePre",
    "CarbRatioPattern": "CarbRatio",
    "InsulinSensitivityPattern": "InsulinSensitivity",
    "BGTargetRangePattern": "BGTargetRange",
}
PARTS = frozenset({
    *(f"Change{name}" for name in _ENTRIES),
    *(f"Change{name}" for name in _PATTERNS if name != "BasalProfilePattern"),
    "ChangeBolusWizardSetupConfig",
})  # fmt: skip
"""Rows that only mean something as parts of a change."""
CHANGING = (
    "ChangeActiveBasalProfilePattern", "ChangeBasalProfilePattern", "ChangeBolusWizardSetup",
    "ChangeMaxBolus", "ChangeMaxBasal",
)  # fmt: skip
"""Rows of which each changes a setting."""


def is_settings_row(kind: str) -> bool:
    """Whether a row type takes part here alone, and makes no event of its own."""
    return kind.startswith("Current") or kind in PARTS


# --- reading ---------------------------------------------------------------------------------------


class SettingsHistory:
    """The settings of one pump over a file."""

    def __init__(self, rows: Sequence[G1Row], findings: Findings) -> None:
        self._findings = findings
        self._by_id = {(row.upload, row.raw_id): row for row in rows if row.raw_id}
        self._entries = self._children(rows)
        self._patterns: dict[int, Entries] = {}
        self._changes = sorted(
            (row for row in rows if row.kind in CHANGING), key=lambda row: (row.moment.time, row.upload, row.order)
        )
        self._pres = [row for row in rows if row.kind == "ChangeBasalProfilePatternPre"]
        self._first = min((row for row in rows), key=lambda row: row.moment.time, default=None)
        blocks = defaultdict[tuple[UploadKey, datetime], list[G1Row]](list)
        for row in rows:
            if row.kind.startswith("Current"):
                blocks[row.upload, row.wall].append(row)
        self.blocks = sorted(blocks.values(), key=lambda block: block[0].moment.time)

    def states(self) -> list[State]:
        """All states in order of time; neighbours can be equal, as every upload confirms what it found."""
        found: list[State] = []
        since = self._first
        for block in self.blocks:
            end = block[0]
            changes = [row for row in self._changes if self._between(since, row, end)]
            states = self._walked_back(self._current(block), changes, end)
            begun, later = states[0], states[1:]
            is_told_anew = since is not None and later and later[0].moment.time == since.moment.time
            if since is not None and not begun.settings.is_blank and not is_told_anew:
                found.append(replace(begun, moment=since.moment, row=since, is_first=True))
            found += later
            since = end
        return found

    def _between(self, since: G1Row | None, row: G1Row, end: G1Row) -> bool:
        is_later = since is None or since is self._first or row.moment.time > since.moment.time
        return is_later and row.moment.time <= end.moment.time

    def _walked_back(self, settings: Settings, changes: Sequence[G1Row], end: G1Row) -> list[State]:
        """States before the first change and after each, oldest first. The first one's moment is not known here."""
        states: list[State] = []
        for row in reversed(changes):
            before, notes = self._undone(settings, row)
            if not (states and states[0].moment.time == row.moment.time):
                states.insert(0, State(settings, row.moment, row, notes=notes))
            settings = before
        return [State(settings, end.moment, end), *states]

    def _undone(self, settings: Settings, row: G1Row) -> tuple[Settings, tuple[str, ...]]:
        """The settings before a change."""
        values = row.values
        if row.kind == "ChangeActiveBasalProfilePattern":
            agrees = values.text("PATTERN_NAME") == settings.active_schedule
            notes = () if agrees else ("settings/active-schedule-mismatch",)
            return replace(settings, active_schedule=values.text("OLD_PATTERN_NAME") or None), notes
        if row.kind == "ChangeBasalProfilePattern":
            name = values.text("PATTERN_NAME")
            pre = next((pre for pre in self._pres if self._is_pre(pre, row)), None)
            before = () if pre is None else self._pattern(pre)
            return replace(settings, basal_schedules={**settings.basal_schedules, name: before}), ()
        if row.kind == "ChangeBolusWizardSetup":
            return self._config(settings, values.text("OLD_CONFIG_DATUM_ID"), row.upload), ()
        if row.kind == "ChangeMaxBolus":
            return replace(settings, max_bolus_u=self._earlier(row, "AMOUNT")), ()
        return replace(settings, max_basal_u_h=self._earlier(row, "RATE")), ()

    @staticmethod
    def _is_pre(pre: G1Row, row: G1Row) -> bool:
        same = pre.values.text("PATTERN_NAME") == row.values.text("PATTERN_NAME")
        return same and (pre.wall, pre.upload) == (row.wall, row.upload)

    def _earlier(self, row: G1Row, key: str) -> float | None:
        """What the previous change of the same setting set it to; unknown before the first."""
        place = self._changes.index(row)
        earlier = (other for other in reversed(self._changes[:place]) if other.kind == row.kind)
        other = next(earlier, None)
        return None if other is None else self._number(other, key)

    def _config(self, settings: Settings, name: str, upload: UploadKey) -> Settings:
        """The settings with the calculator's part replaced by that of a configuration row."""
        row = self._by_id.get((upload, name))
        if row is None:
            return settings
        curve = self._number(row, "INSULIN_ACTION_CURVE")
        return replace(
            settings,
            carb_ratios=self._referred(row, "CARB_RATIO_PATTERN_DATUM_ID"),
            isf=self._referred(row, "INSULIN_SENSITIVITY_PATTERN_DATUM_ID"),
            targets=self._referred(row, "BG_TARGET_RANGE_PATTERN_DATUM_ID"),
            dia_min=curve or None,
            display_unit=_UNITS.get(row.values.text("BG_UNITS")),
        )

    def _referred(self, row: G1Row, key: str) -> Entries:
        pattern = self._by_id.get((row.upload, row.values.text(key)))
        return () if pattern is None else self._pattern(pattern)

    def _current(self, block: Iterable[G1Row]) -> Settings:
        rows = {row.kind.removeprefix("Current"): row for row in block}
        schedules = {
            row.values.text("PATTERN_NAME"): self._pattern(row)
            for row in block
            if row.kind == "CurrentBasalProfilePattern"
        }
        lists = {
            name: self._pattern(rows[name]) if name in rows else ()
            for name in ("CarbRatioPattern", "InsulinSensitivityPattern", "BGTargetRangePattern")
        }

        def said(name: str, key: str) -> float | None:
            return self._number(rows[name], key) if name in rows else None

        def word(name: str, key: str) -> str:
            return rows[name].values.text(key) if name in rows else ""

        return Settings(
            basal_schedules=schedules,
            active_schedule=word("ActiveBasalProfilePattern", "PATTERN_NAME") or None,
            carb_ratios=lists["CarbRatioPattern"],
            isf=lists["InsulinSensitivityPattern"],
            targets=lists["BGTargetRangePattern"],
            dia_min=said("InsulinActionCurve", "AMOUNT") or None,
            max_bolus_u=said("MaxBolus", "AMOUNT"),
            max_basal_u_h=said("MaxBasal", "RATE"),
            display_unit=_UNITS.get(word("BolusWizardBGUnits", "UNITS")),
        )

    def _children(self, rows: Iterable[G1Row]) -> dict[tuple[UploadKey, str], list[G1Row]]:
        found = defaultdict[tuple[UploadKey, str], list[G1Row]](list)
        for row in rows:
            if row.kind.removeprefix("Current").removeprefix("Change") in _ENTRIES:
                found[row.upload, row.values.text("PATTERN_DATUM_ID")].append(row)
        return found

    def _pattern(self, pattern: G1Row) -> Entries:
        """A pattern's entries by their place; those that are missing leave no hole, and are told."""
        known = self._patterns.get(pattern.line)
        if known is None:
            known = self._patterns[pattern.line] = self._read_pattern(pattern)
        return known

    def _read_pattern(self, pattern: G1Row) -> Entries:
        name = pattern.kind.removeprefix("Current").removeprefix("Change")
        if name not in _PATTERNS:
            self._findings.note(
                "settings/incomplete", f"Line {pattern.line}: a change refers to a row of another type."
            )
            return ()
        read, place_key, count_key = _ENTRIES[_PATTERNS[name]]
        placed: dict[int, dict[str, Any]] = {}
        for row in self._entries.get((pattern.upload, pattern.raw_id), ()):
            try:
                entry = _within_a_day(read(row))
                placed.setdefault(int(row.values.needed(place_key)), entry)
            except Malformed as why:
                self._findings.reject(row.line, why.message)
        count = self._number(pattern, count_key)
        if count is not None and len(placed) < count:
            text = f"Line {pattern.line}: a schedule has fewer entries than it names."
            self._findings.note("settings/incomplete", text)
        return tuple(placed[place] for place in sorted(placed))

    def _number(self, row: G1Row, key: str) -> float | None:
        try:
            return row.values.number(key)
        except Malformed as why:
            self._findings.reject(row.line, why.message)
            return None

    # --- the pump at an upload ---

    def statuses(self) -> list[Draft]:
        """One status an upload: battery, reservoir, and what else its rows say that has no place of its own."""
        return [self._status(block) for block in self.blocks]

    def _status(self, block: Sequence[G1Row]) -> Draft:
        rows = {row.kind: row for row in block}

        def said(kind: str, key: str) -> float | None:
            return self._number(rows[kind], key) if kind in rows else None

        hundredths = said("CurrentBatteryStatus", "VOLTAGE")
        status = rows["CurrentPumpStatus"].values.text("STATUS") if "CurrentPumpStatus" in rows else ""
        body = {
            "battery_v": None if hundredths is None else hundredths / 100,
            "reservoir_u": said("CurrentTotalRemaining", "AMOUNT"),
            "suspended": "suspend" in status if status else None,
            "pump_clock": block[0].wall,
        }
        first = block[0]
        raw = {kind: row.values.pairs for kind, row in sorted(rows.items()) if not _is_in_settings(kind)}
        key = f"Current:{first.wall.isoformat()}:{digest(canonical(raw), 12)}"
        return Draft(PumpStatus, first.moment, first.device, key, body, first.line, raw=raw)


def _is_in_settings(kind: str) -> bool:
    name = kind.removeprefix("Current")
    return name in _ENTRIES or name in _PATTERNS
