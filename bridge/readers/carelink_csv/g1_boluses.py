"""Boluses and calculator rows of the first generation find each other by their places in the log.

The file names no link. A pump writes the parts of one bolus next to each other, so their sequence numbers tell;
how far apart depends on the pump's age.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from bridge.errors import ContractViolation, Malformed
from bridge.model.records import Bolus, BolusCalculation
from bridge.readers.carelink_csv.boluses import Part, bolus_body
from bridge.readers.carelink_csv.clocks import UploadKey
from bridge.readers.carelink_csv.g1_events import draft_of
from bridge.readers.carelink_csv.g1_rows import G1Row
from bridge.readers.carelink_csv.making import Draft, Findings
from bridge.readers.carelink_csv.numbers import looks_like_mmol, mgdl_of

NORMAL, SQUARE, WIZARD = "BolusNormal", "BolusSquare", "BolusWizardBolusEstimate"
BOLUS_TYPES = (NORMAL, SQUARE, WIZARD)
UNABSORBED = "UnabsorbedInsulin"
_NEAR = timedelta(minutes=5)
_T = TypeVar("_T")
_OLDER = ("12", "15", "22")
"""Last two digits of the models that write a bolus the older way."""


@dataclass(frozen=True, slots=True)
class _Steps:
    """Where partners stand, as steps of the sequence number (larger is older), nearest first."""

    normal_square: tuple[int, ...]
    normal_wizard: tuple[int, ...]
    dual_wizard: tuple[int, ...]
    square_wizard: tuple[int, ...]
    wizard_normal: tuple[int, ...]
    wizard_square: tuple[int, ...]


_NEWER_STEPS = _Steps((1, 2), (1, 2), (2, 3), (1,), (-1, -2, -3), (-1,))
_OLDER_STEPS = _Steps((-1,), (1, 2), (1, 2), (1,), (-1, -2), (-2,))


@dataclass(slots=True)
class Joined:
    """The rows of one bolus. `notes` are annotation codes."""

    normal: G1Row | None = None
    square: G1Row | None = None
    wizard: G1Row | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def first(self) -> G1Row:
        """The row that the bolus takes its time and key from."""
        row = self.normal or self.square or self.wizard
        if row is None:
            raise ContractViolation("A bolus without rows was made.")
        return row


def joined(rows: Iterable[G1Row]) -> list[Joined]:
    """Boluses of all uploads, each once, however many uploads tell it."""
    uploads = defaultdict[UploadKey, list[G1Row]](list)
    for row in rows:
        uploads[row.upload].append(row)
    found: dict[int, Joined] = {}
    for upload in uploads.values():
        for group in _Upload(upload).joined():
            known = found.setdefault(group.first.same.line, Joined())
            known.normal = known.normal or (group.normal and group.normal.same)
            known.square = known.square or (group.square and group.square.same)
            known.wizard = known.wizard or (group.wizard and group.wizard.same)
            known.notes = known.notes or group.notes
    return _wizards_once(list(found.values()))


def _wizards_once(groups: Sequence[Joined]) -> list[Joined]:
    """A calculation that one upload shows alone and another with its bolus belongs to the bolus."""
    taken = {group.wizard.line for group in groups if group.wizard and (group.normal or group.square)}
    return [group for group in groups if group.normal or group.square or group.first.line not in taken]


class _Upload:
    """The search within one upload: each row is used once, oldest first."""

    def __init__(self, rows: Sequence[G1Row]) -> None:
        self._rows = sorted(rows, key=lambda row: (row.moment.time, row.raw_id.zfill(20), -row.order))
        self._places = {-row.order: row for row in rows if row.has_place}
        self._used = set[int]()

    def joined(self) -> list[Joined]:
        """All boluses, and the calculations that led to none; a cancelled calculation is left out."""
        found = []
        for row in self._rows:
            if row.line in self._used:
                continue
            group = self._from(row)
            if group is not None:
                found.append(group)
        return found

    def _from(self, row: G1Row) -> Joined | None:
        self._used.add(row.line)
        steps = _steps(row)
        if row.kind == NORMAL:
            return self._from_normal(row, steps, None)
        if row.kind == SQUARE:
            return Joined(square=row, wizard=self._wizard(row, steps.square_wizard))
        return self._from_wizard(row, steps)

    def _from_normal(self, row: G1Row, steps: _Steps, wizard: G1Row | None) -> Joined:
        group = Joined(normal=row, wizard=wizard)
        is_dual = row.values.flag("IS_DUAL_COMPONENT")
        if is_dual:
            group.square = self._find(row, SQUARE, steps.normal_square)
            if group.square is None:
                group.notes.append("bolus/missing-square-component")
            elif row.order - group.square.order == max(steps.normal_square) > 1:
                group.notes.append("bolus/long-search")
        if wizard is None:
            group.wizard = self._wizard(row, steps.dual_wizard if is_dual else steps.normal_wizard)
        return group

    def _from_wizard(self, row: G1Row, steps: _Steps) -> Joined | None:
        """The bolus after a calculation; None when another calculation took its place: this one was cancelled."""
        for further in (0, 1):
            for step in steps.wizard_normal:
                other = self._at(row, step - further)
                if other is not None and other.kind == WIZARD:
                    return None
                if other is not None and self._fits(row, other, step in steps.wizard_square):
                    return self._bolus_of(row, other, steps)
        return Joined(wizard=row)

    def _bolus_of(self, wizard: G1Row, bolus: G1Row, steps: _Steps) -> Joined:
        """The bolus of a calculation, from whichever of its parts was met first."""
        if bolus.kind == NORMAL:
            self._used.add(bolus.line)
            return self._from_normal(bolus, steps, wizard)
        before = self._at(bolus, -1)
        if bolus.values.flag("IS_DUAL_COMPONENT") and before is not None and before.kind == NORMAL:
            self._used.add(before.line)
            return self._from_normal(before, steps, wizard)
        self._used.add(bolus.line)
        return Joined(square=bolus, wizard=wizard)

    def _fits(self, wizard: G1Row, bolus: G1Row, square_too: bool) -> bool:
        apart = bolus.moment.time - wizard.moment.time
        is_free = bolus.line not in self._used and (square_too or bolus.kind == NORMAL)
        return is_free and timedelta(0) <= apart <= _NEAR

    def _wizard(self, row: G1Row, steps: Iterable[int]) -> G1Row | None:
        for step in steps:
            other = self._at(row, step)
            if other is not None and other.kind == WIZARD and other.line not in self._used:
                if timedelta(0) <= row.moment.time - other.moment.time <= _NEAR:
                    self._used.add(other.line)
                    return other
                return None
        return None

    def _find(self, row: G1Row, kind: str, steps: Iterable[int]) -> G1Row | None:
        for step in steps:
            other = self._at(row, step)
            if other is not None and other.kind == kind and other.line not in self._used:
                self._used.add(other.line)
                return other
        return None

    def _at(self, row: G1Row, step: int) -> G1Row | None:
        return self._places.get(step - row.order) if row.has_place else None


def _steps(row: G1Row) -> _Steps:
    digits = "".join(filter(str.isdigit, row.device.model or ""))
    return _OLDER_STEPS if digits[-2:] in _OLDER else _NEWER_STEPS


# --- records ---------------------------------------------------------------------------------------


def bolus_drafts(groups: Iterable[Joined], unabsorbed: Iterable[G1Row], findings: Findings) -> list[Draft]:
    """Drafts of boluses and calculations, linked to each other."""
    contributions = defaultdict[tuple[UploadKey, str], list[Mapping[str, str]]](list)
    for row in unabsorbed:
        contributions[row.upload, row.values.text("BOLUS_ESTIMATE_DATUM_ID")].append(row.values.pairs)
    drafts: list[Draft] = []
    for group in groups:
        wizard = _guarded(group.wizard, _calculation, findings)
        bolus = _bolus(group, findings)
        if wizard is not None and group.wizard is not None:
            parts = contributions.get((group.wizard.upload, group.wizard.raw_id))
            wizard.raw = {**group.wizard.values.pairs, **({"unabsorbed": parts} if parts else {})}
        if wizard is not None and bolus is not None:
            wizard.links["bolus_id"], bolus.links["calculation_id"] = bolus, wizard
        drafts += [draft for draft in (wizard, bolus) if draft is not None]
    return drafts


def _guarded(row: G1Row | None, read: Callable[[G1Row], _T], findings: Findings) -> _T | None:
    """What `read` makes of a row; None without a row, or when it is bad and noted as such."""
    if row is None:
        return None
    try:
        return read(row)
    except Malformed as why:
        findings.reject(row.line, why.message)
        return None


def _bolus(group: Joined, findings: Findings) -> Draft | None:
    normal = _guarded(group.normal, _part, findings)
    square = _guarded(group.square, _square, findings)
    if normal is None and square is None:
        return None
    row = group.first if normal else group.square or group.first
    requestor = row.values.text("ACTION_REQUESTOR")
    by = "wizard" if group.wizard else "remote" if "remote" in requestor else "manual" if requestor else None
    draft = draft_of(row, Bolus, {**bolus_body(normal, square), "requested_by": by})
    if group.normal and group.square and normal and square:
        draft.raw = {**group.square.values.pairs, **group.normal.values.pairs}
    draft.annotations = tuple({"code": code} for code in group.notes)
    return draft


def _part(row: G1Row) -> Part:
    return Part(row.values.needed("AMOUNT"), row.values.number("PROGRAMMED_AMOUNT"))


def _square(row: G1Row) -> Part:
    return Part(row.values.needed("AMOUNT"), row.values.number("PROGRAMMED_AMOUNT"), row.values.minutes("DURATION"))


def _calculation(row: G1Row) -> Draft:
    values = row.values
    in_grams = values.text("CARB_UNITS") != "exchanges"
    carbs = values.number("CARB_INPUT")
    body = {
        "carbs_g" if in_grams else "carb_exchanges": carbs,
        "bg_mgdl": _mgdl(row, "BG_INPUT"),
        "iob_u": values.number("UNABSORBED_INSULIN_TOTAL"),
        "recommended_carb_u": values.number("FOOD_ESTIMATE"),
        "recommended_correction_u": values.number("CORRECTION_ESTIMATE"),
        "recommended_net_u": values.number("BOLUS_ESTIMATE"),
        "carb_ratio_g_u": (values.number("CARB_RATIO") or None) if in_grams else None,
        "isf_mgdl_u": values.number("INSULIN_SENSITIVITY") or None,
        "target_low_mgdl": _mgdl(row, "BG_TARGET_LOW"),
        "target_high_mgdl": _mgdl(row, "BG_TARGET_HIGH"),
    }
    return draft_of(row, BolusCalculation, body)


def _mgdl(row: G1Row, key: str) -> int | None:
    """Glucose of the calculator in mg/dL; zero means that none was entered."""
    value = row.values.number(key)
    if not value:
        return None
    if row.values.text("BG_UNITS") == "mmol l" and looks_like_mmol(value):
        return mgdl_of(value)
    return round(value)
