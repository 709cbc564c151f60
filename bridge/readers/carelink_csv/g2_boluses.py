"""Boluses of the second generation: a row when programmed and a row when delivered are one bolus."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bridge.errors import ContractViolation, Malformed
from bridge.model.records import Basal, Bolus, DeviceEvent
from bridge.readers.carelink_csv.boluses import Part, bolus_body
from bridge.readers.carelink_csv.g2_events import draft_of
from bridge.readers.carelink_csv.g2_rows import G2Row
from bridge.readers.carelink_csv.making import Draft, Findings
from bridge.readers.carelink_csv.numbers import number, plain

SELECTED, DELIVERED, NUMBER, SOURCE = (
    "Bolus Volume Selected", "Bolus Volume Delivered", "Bolus Number", "Bolus Source",
)  # fmt: skip
AGGREGATED = "Aggregated Auto Insulin Data"
DAILY_TOTAL, MICRO_DOSE = "CLOSED_LOOP_AUTO_INSULIN", "CLOSED_LOOP_AUTO_BASAL"
_AUTOMATIC = ("CLOSED_LOOP_AUTO_BOLUS", "CLOSED_LOOP_BG_CORRECTION")
_WIZARD = ("BOLUS_WIZARD", "CLOSED_LOOP_BG_CORRECTION_AND_FOOD_BOLUS", "CLOSED_LOOP_FOOD_BOLUS")
_WORDS = (("MANUAL", "manual"), ("EASY", "easy"), ("REMOTE", "remote"))
_ONE_NUMBER = timedelta(hours=24)
_AFTER_END, _DUAL_APART = timedelta(minutes=5), timedelta(minutes=15)
_NEAR = timedelta(minutes=5)
_DOSE_MIN = 5
_EQUAL_U = 0.0005
_STEP_U = 0.025


@dataclass(eq=False, slots=True)
class _Half:
    """One part of a bolus with the rows that tell it: when it was programmed, when it ended, or both in one."""

    programmed: G2Row | None
    delivered: G2Row | None

    @property
    def row(self) -> G2Row:
        """The row it takes its time from."""
        row = self.programmed or self.delivered
        if row is None:
            raise ContractViolation("A part of a bolus without rows was made.")
        return row

    @property
    def is_square(self) -> bool:
        return "square" in self.row.text("Bolus Type").lower()

    @property
    def is_of_dual(self) -> bool:
        return self.row.text("Bolus Type").lower().startswith("dual")

    def text(self, name: str) -> str:
        """A cell of either row, the later one's first."""
        rows = (self.delivered, self.programmed)
        return next((text for row in rows if row is not None and (text := row.text(name))), "")

    def part(self) -> Part:
        """The amounts, which `_check` has seen before."""
        selected, minutes = self.text(SELECTED), None
        for row in (self.programmed, self.delivered):
            minutes = minutes if row is None or minutes else row.minutes("Bolus Duration")
        return Part(
            delivered_u=self.delivered.number(DELIVERED) if self.delivered else None,
            programmed_u=number(selected, SELECTED) if selected else None,
            minutes=minutes,
        )


def insulin_drafts(rows: Sequence[G2Row], calculations: Sequence[Draft], findings: Findings) -> list[Draft]:
    """Drafts of all insulin rows: boluses, the closed loop's micro-doses, and its daily totals."""
    boluses = defaultdict[str | None, list[G2Row]](list)
    drafts: list[Draft] = []
    for row in rows:
        if SELECTED not in row.cells and DELIVERED not in row.cells:
            continue
        try:
            if row.text(SOURCE) == DAILY_TOTAL or row.section == AGGREGATED:
                drafts.append(_daily_total(row))
            elif row.text(SOURCE) == MICRO_DOSE:
                drafts.append(_micro_dose(row))
            else:
                _check(row)
                boluses[row.device.serial].append(row)
        except Malformed as why:
            findings.reject(row.line, why.message)
    for group in boluses.values():
        made = [_bolus(*halves) for halves in _duals(_halves(group))]
        _link(made, calculations)
        drafts += made
    return drafts


def _check(row: G2Row) -> None:
    """Refuse a row whose amounts are no numbers before it meets others."""
    row.number(SELECTED)
    row.number(DELIVERED)
    row.minutes("Bolus Duration")


def _needed(row: G2Row, name: str) -> float:
    value = row.number(name)
    if value is None:
        raise Malformed(f"`{name}` is missing")
    return value


def _daily_total(row: G2Row) -> Draft:
    volume = _needed(row, DELIVERED)
    body = {"event": "daily_auto_insulin_total", "volume_u": volume}
    return draft_of(row, DeviceEvent, f"daily_auto_insulin_total {plain(volume)}", body, SOURCE)


def _micro_dose(row: G2Row) -> Draft:
    dose = round(_needed(row, DELIVERED), 3)
    body = {
        "delivery": "automatic",
        "rate_u_h": round(dose * 60 / _DOSE_MIN, 3),
        "duration_min": _DOSE_MIN,
        "dose_u": dose,
    }
    return draft_of(row, Basal, plain(dose), body, SOURCE, NUMBER)


# --- rows that belong together ---------------------------------------------------------------------


def _halves(rows: Iterable[G2Row]) -> list[_Half]:
    """Rows of one device joined: a delivered row with the nearest earlier programmed row of its bolus."""
    found: list[_Half] = []
    waiting: list[_Half] = []
    for row in sorted(rows, key=lambda row: (row.moment.time, DELIVERED in row.cells, -row.line)):
        waiting = [half for half in waiting if row.moment.time - half.row.moment.time <= _ONE_NUMBER]
        if DELIVERED not in row.cells:
            half = _Half(row, None)
            waiting.append(half)
            found.append(half)
            continue
        begun = next((half for half in reversed(waiting) if _is_end_of(half.row, row)), None)
        if begun is None:
            found.append(_Half(None, row))
        else:
            begun.delivered = row
            waiting.remove(begun)
    return found


def _is_end_of(begun: G2Row, row: G2Row) -> bool:
    if begun.text("Bolus Type") != row.text("Bolus Type") and row.text("Bolus Type"):
        return False
    if begun.text(NUMBER) or row.text(NUMBER):
        return begun.text(NUMBER) == row.text(NUMBER)
    selected, planned = row.number(SELECTED), begun.number(SELECTED)
    if selected is None or planned is None or abs(selected - planned) > _EQUAL_U:
        return False
    span = timedelta(minutes=begun.minutes("Bolus Duration") or 0)
    return row.moment.time - begun.moment.time <= span + _AFTER_END


def _duals(halves: Iterable[_Half]) -> list[tuple[_Half | None, _Half | None]]:
    """(normal, square) of each bolus: the two parts of a dual are one."""
    found: list[tuple[_Half | None, _Half | None]] = []
    waiting: list[_Half] = []
    for half in sorted(halves, key=lambda half: (half.row.moment.time, half.is_square)):
        if not half.is_of_dual or not half.is_square:
            found.append((None, half) if half.is_square else (half, None))
            if half.is_of_dual:
                waiting.append(half)
            continue
        normal = next((other for other in reversed(waiting) if _is_same_dual(other, half)), None)
        if normal is None:
            found.append((None, half))
        else:
            waiting.remove(normal)
            found[found.index((normal, None))] = (normal, half)
    return found


def _is_same_dual(normal: _Half, square: _Half) -> bool:
    apart = square.row.moment.time - normal.row.moment.time
    if normal.text(NUMBER) or square.text(NUMBER):
        return normal.text(NUMBER) == square.text(NUMBER) and apart <= _ONE_NUMBER
    return apart <= _DUAL_APART


def _bolus(normal: _Half | None, square: _Half | None) -> Draft:
    half = normal or square
    if half is None:
        raise ContractViolation("A bolus without parts was made.")
    body = bolus_body(normal.part() if normal else None, square.part() if square else None)
    source = half.text(SOURCE)
    body |= {"automatic": source in _AUTOMATIC, "requested_by": _requested_by(source)}
    amount = body["programmed_u"] if body["programmed_u"] is not None else body["delivered_u"]
    draft = draft_of(half.row, Bolus, plain(amount), body)
    draft.raw = {name: text for name in _KEPT if (text := half.text(name))}
    if not body["completed"]:
        draft.note("bolus/provisional")
    return draft


_KEPT = (SOURCE, NUMBER, "Bolus Cancellation Reason", "Preset Bolus")


def _requested_by(source: str) -> str | None:
    if source in _AUTOMATIC:
        return "closed_loop"
    if source in _WIZARD:
        return "wizard"
    return next((name for word, name in _WORDS if word in source), None)


def _link(boluses: Iterable[Draft], calculations: Sequence[Draft]) -> None:
    """Each calculation to the next bolus within five minutes of the amount it recommended."""
    waiting = sorted(boluses, key=lambda draft: draft.moment.time)
    for calculation in sorted(calculations, key=lambda draft: draft.moment.time):
        bolus = next((bolus for bolus in waiting if _follows(bolus, calculation)), None)
        if bolus is None:
            continue
        waiting.remove(bolus)
        calculation.links["bolus_id"], bolus.links["calculation_id"] = bolus, calculation
        bolus.body["requested_by"] = bolus.body["requested_by"] or "wizard"


def _follows(bolus: Draft, calculation: Draft) -> bool:
    apart = bolus.moment.time - calculation.moment.time
    if not timedelta(0) <= apart <= _NEAR or bolus.device != calculation.device or bolus.body["automatic"]:
        return False
    final = (calculation.raw or {}).get("Final Bolus Estimate")
    wanted = [calculation.body["recommended_net_u"], number(final, "Final Bolus Estimate") if final else None]
    amount = bolus.body["programmed_u"]
    return amount is not None and any(one is not None and abs(one - amount) < _STEP_U / 2 for one in wanted)
