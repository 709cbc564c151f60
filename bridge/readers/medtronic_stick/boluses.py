"""Boluses, dual waves put together, with the calculation and the carbohydrates that led to them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bridge.model.records import Annotation, Bolus, BolusCalculation, Carbs, Injection
from bridge.readers.medtronic_stick.checks import wizard_doubt
from bridge.readers.medtronic_stick.fields_events import InsulinMarker, Meal
from bridge.readers.medtronic_stick.fields_insulin import BolusFields, WizardFields
from bridge.readers.medtronic_stick.log import Entry, Log
from bridge.readers.medtronic_stick.making import Maker
from bridge.readers.medtronic_stick.time import Moment

SQUARE, DUAL_NORMAL, DUAL_SQUARE = 3, 4, 5
_KINDS = {0, 1, 2, SQUARE, DUAL_NORMAL, DUAL_SQUARE}
_JOIN = timedelta(seconds=30)
_DUAL_NEW = timedelta(minutes=-1), timedelta(minutes=5)
_DUAL_OLD = timedelta(0), timedelta(minutes=3)
_PARTNER_WITHIN = 4
"""How many bolus records on the other part of a dual wave may stand: a plain bolus may come between."""
_LONGEST = timedelta(hours=8)
_NORMAL_DONE = timedelta(hours=1)
"""The normal part of a dual wave is written by then."""
_REMOTE = 2
_KEPT = 128
PROVISIONAL: Annotation = {"code": "bolus/provisional"}


@dataclass(slots=True)
class _Delivery:
    """One bolus: a normal part, a square part, or both."""

    normal: Entry | None
    square: Entry | None
    wizard: Entry | None = None

    @property
    def head(self) -> Entry:
        entry = self.normal or self.square
        if entry is None:
            raise TypeError("a bolus has at least one part")
        return entry

    @property
    def moment(self) -> Moment:
        return _moment(self.head)

    @property
    def parts(self) -> list[BolusFields]:
        return [_bolus(entry) for entry in (self.normal, self.square) if entry is not None]

    @property
    def is_whole(self) -> bool:
        """With what led to it, or with both parts."""
        return self.wizard is not None or len(self.parts) > 1

    @property
    def is_nothing(self) -> bool:
        return not any(part.programmed_u or part.delivered_u for part in self.parts)


def read_boluses(log: Log, maker: Maker, new: bool, now: datetime | None, kept: object = None) -> list[str]:
    """Make all boluses, calculations and carbohydrates. `now`: UTC of the read, None for a page alone.

    Returns the keys of boluses that were told whole, for the `kept` of the next read: where a later read begins
    between the parts of one, it must not be told again by halves.
    """
    dated = [entry for entry in log.entries if entry.moment is not None]
    boluses = [entry for entry in dated if isinstance(entry.fields, BolusFields)]
    wizards = [entry for entry in dated if isinstance(entry.fields, WizardFields)]
    _tell_unknown_kinds(log, boluses)
    deliveries = [
        each for each in _deliveries(boluses, new) if not each.is_nothing and not _awaited(each, boluses, new, now)
    ]
    _join(wizards, deliveries)
    before = [key for key in kept if isinstance(key, str)] if isinstance(kept, list) else []
    known = set(before)
    deliveries = [each for each in deliveries if each.is_whole or _key(each, new) not in known]
    _make(log, maker, deliveries, wizards, new, now)
    _read_markers(dated, maker)
    told = {key: None for each in deliveries if each.is_whole for key in _keys(each, new)}
    return [*(key for key in before if key not in told), *told][-_KEPT:]


def _make(
    log: Log, maker: Maker, deliveries: Sequence[_Delivery], wizards: Sequence[Entry], new: bool, now: datetime | None
) -> None:
    used = {id(delivery.wizard): delivery for delivery in deliveries if delivery.wizard is not None}
    for delivery in deliveries:
        _make_bolus(maker, delivery, new, now)
    for wizard in wizards:
        _make_calculation(log, maker, wizard, used.get(id(wizard)), new)


# --- parts to boluses ------------------------------------------------------------------------------


def _deliveries(boluses: Sequence[Entry], new: bool) -> Iterator[_Delivery]:
    taken: set[int] = set()
    first_kind, second_kind = (DUAL_SQUARE, DUAL_NORMAL) if new else (DUAL_NORMAL, DUAL_SQUARE)
    for place, entry in enumerate(boluses):
        if id(entry) in taken:
            continue
        partner = None
        if _bolus(entry).subtype == first_kind:
            partner = _partner(entry, boluses[place + 1 : place + 1 + _PARTNER_WITHIN], second_kind, new)
        if partner is not None:
            taken.add(id(partner))
        yield _parts(entry, partner)


def _partner(entry: Entry, following: Sequence[Entry], kind: int, new: bool) -> Entry | None:
    earliest, latest = _DUAL_NEW if new else _DUAL_OLD
    for other in following:
        if _bolus(other).subtype == kind:
            square, normal = (entry, other) if new else (other, entry)
            apart = _moment(square).wall - _moment(normal).wall
            return other if earliest <= apart <= latest else None
    return None


def _parts(entry: Entry, partner: Entry | None) -> _Delivery:
    squares = [each for each in (entry, partner) if each is not None and _is_square(_bolus(each))]
    normals = [each for each in (entry, partner) if each is not None and not _is_square(_bolus(each))]
    return _Delivery(normals[0] if normals else None, squares[0] if squares else None)


def _is_square(fields: BolusFields) -> bool:
    known = fields.subtype in _KINDS
    return fields.subtype in (SQUARE, DUAL_SQUARE) if known and fields.subtype else fields.duration_min > 0


def _awaited(delivery: _Delivery, boluses: Sequence[Entry], new: bool, now: datetime | None) -> bool:
    """A dual wave just begun: a new pump writes its normal part, which names it, when that is delivered."""
    if not new or delivery.normal is not None or _bolus(delivery.head).subtype != DUAL_SQUARE or now is None:
        return False
    return delivery.head is boluses[-1] and now - delivery.moment.time < _NORMAL_DONE


def _join(wizards: Sequence[Entry], deliveries: Sequence[_Delivery]) -> None:
    """Each calculation to the next bolus within 30 s of it; of two before one bolus the later was the one used."""
    waiting = sorted(deliveries, key=lambda each: each.moment.wall)
    walls = [each.moment.wall for each in waiting]
    for wizard in reversed(wizards):
        wall = _moment(wizard).wall
        for delivery in waiting[bisect_left(walls, wall) : bisect_left(walls, wall + _JOIN)]:
            if delivery.wizard is None:
                delivery.wizard = wizard
                break


def _tell_unknown_kinds(log: Log, boluses: Sequence[Entry]) -> None:
    unknown = {fields.subtype for fields in map(_bolus, boluses)} - _KINDS
    if unknown:
        log.tell("unknown_bolus_kind", f"Boluses of unknown kinds: {sorted(unknown)}.", understood=False)


# --- records ---------------------------------------------------------------------------------------


def _make_bolus(maker: Maker, delivery: _Delivery, new: bool, now: datetime | None) -> None:
    running = _is_running(delivery, new, now)
    body: dict[str, Any] = {
        "delivered_u": sum(part.delivered_u for part in delivery.parts),
        "programmed_u": sum(part.programmed_u for part in delivery.parts),
        "completed": not running,
        "requested_by": _requested_by(delivery),
        **_shape(delivery, running),
    }
    if delivery.wizard is not None:
        body["calculation_id"] = maker.name(BolusCalculation, delivery.wizard.key)
        if _wizard(delivery.wizard).grams > 0:
            body["carbs_id"] = maker.name(Carbs, delivery.wizard.key)
    notes = (PROVISIONAL,) if running else ()
    maker.make(Bolus, _key(delivery, new), delivery.moment, body, notes)


def _shape(delivery: _Delivery, running: bool) -> dict[str, Any]:
    if delivery.square is None:
        return {"shape": "normal"}
    square = _bolus(delivery.square)
    body: dict[str, Any] = {
        "shape": "square" if delivery.normal is None else "dual",
        "extended_u": square.delivered_u,
        "programmed_extended_u": square.programmed_u,
        "duration_min": square.duration_min,
        "delivered_duration_min": None if running else _lasted_min(square),
    }
    if delivery.normal is not None:
        normal = _bolus(delivery.normal)
        body |= {"immediate_u": normal.delivered_u, "programmed_immediate_u": normal.programmed_u}
    return body


def _lasted_min(square: BolusFields) -> float:
    share = square.delivered_u / square.programmed_u if square.programmed_u else 0.0
    return round(min(share, 1.0) * square.duration_min, 3)


def _is_running(delivery: _Delivery, new: bool, now: datetime | None) -> bool:
    """Whether a later read may say more. An old pump writes a square part at its end, a new one at its begin."""
    if now is None:
        return False
    age = now - delivery.moment.time
    if delivery.square is None:
        return not new and _bolus(delivery.head).subtype == DUAL_NORMAL and age < _LONGEST
    square = _bolus(delivery.square)
    ends = _moment(delivery.square).time + timedelta(minutes=square.duration_min)
    return new and square.delivered_u >= square.programmed_u and now < ends


def _requested_by(delivery: _Delivery) -> str | None:
    if delivery.wizard is not None:
        return "wizard"
    return {0: "manual", _REMOTE: "remote"}.get(delivery.head.record.requestor or 0)


def _key(delivery: _Delivery, new: bool) -> str:
    """Of the normal part, else of the square one, whose delivered amount a new pump rewrites in place."""
    entry = delivery.head
    if not new or delivery.normal is not None:
        return entry.key
    data = entry.record.data
    return entry.key_of(data[:3] + b"\0\0" + data[5:])


def _keys(delivery: _Delivery, new: bool) -> list[str]:
    """The key, and that which the square part would have alone."""
    alone = _Delivery(None, delivery.square)
    return [_key(delivery, new)] if delivery.square is None else [_key(delivery, new), _key(alone, new)]


def _make_calculation(log: Log, maker: Maker, wizard: Entry, delivery: _Delivery | None, new: bool) -> None:
    fields, key, moment = _wizard(wizard), wizard.key, _moment(wizard)
    body = {**_advice(fields), "iob_u": fields.iob_u}
    if delivery is not None:
        iob_u = _bolus(delivery.head).iob_u
        body["iob_u"] = fields.iob_u if iob_u is None else iob_u
        body["bolus_id"] = maker.name(Bolus, _key(delivery, new))
    doubt = wizard_doubt(fields)
    if doubt:
        log.tell("wizard_doubt", f"A calculation at {moment.wall} does not add up.")
    maker.make(BolusCalculation, key, moment, body, doubt)
    if fields.grams > 0 and (delivery is not None or not fields.estimate_u):
        maker.make(Carbs, key, moment, {"grams": fields.grams})


def _advice(fields: WizardFields) -> dict[str, Any]:
    return {
        "carbs_g": fields.grams or None,
        "carb_exchanges": (fields.carbs or None) if fields.exchanges else None,
        "bg_mgdl": round(fields.mgdl(fields.bg)) or None,
        "recommended_carb_u": fields.food_u,
        "recommended_correction_u": fields.correction_u,
        "recommended_net_u": fields.estimate_u,
        "carb_ratio_g_u": fields.grams_per_u or None,
        "isf_mgdl_u": round(fields.mgdl(fields.isf), 1) or None,
        "target_low_mgdl": round(fields.mgdl(fields.target_low), 1) or None,
        "target_high_mgdl": round(fields.mgdl(fields.target_high), 1) or None,
    }


def _read_markers(dated: Sequence[Entry], maker: Maker) -> None:
    """Meals and insulin that a person noted."""
    for entry in dated:
        if isinstance(entry.fields, Meal) and entry.fields.grams > 0:
            maker.make(Carbs, entry.key, _moment(entry), {"grams": entry.fields.grams})
        elif isinstance(entry.fields, InsulinMarker) and entry.fields.units > 0:
            maker.make(Injection, entry.key, _moment(entry), {"dose_u": entry.fields.units})


def _moment(entry: Entry) -> Moment:
    if entry.moment is None:
        raise TypeError("only dated entries become records")
    return entry.moment


def _bolus(entry: Entry) -> BolusFields:
    if not isinstance(entry.fields, BolusFields):
        raise TypeError("not a bolus")
    return entry.fields


def _wizard(entry: Entry) -> WizardFields:
    if not isinstance(entry.fields, WizardFields):
        raise TypeError("not a calculation")
    return entry.fields
