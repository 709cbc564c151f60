"""Glucose Measurement Context (2A34): what a person noted with a result. Pure; Malformed is all that this raises."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

from bridge.errors import Malformed
from bridge.wire.sfloat import finite, sfloat

KETONE_MEAL = 6
"""i-SENS meters mark a blood ketone so."""
_MEALS: dict[int, MealTag] = {1: "before", 2: "after", 3: "fasting"}
_OVERRUN = 0xFFFF
_CARBS, _MEAL, _TESTER, _EXERCISE, _MEDICATION, _LITRES, _HBA1C, _EXTENDED = (1 << bit for bit in range(8))

MealTag: TypeAlias = Literal["before", "after", "fasting"]


@dataclass(frozen=True, slots=True)
class Context:
    """One value as sent; what was not sent, or is not a number, is None. An exercise without end has no duration."""

    sequence: int
    extended: int | None = None
    carb_id: int | None = None
    carb_g: Decimal | None = None
    meal: int | None = None
    tester: int | None = None
    health: int | None = None
    exercise_s: int | None = None
    exercise_pct: int | None = None
    medication_id: int | None = None
    medication_mg: Decimal | None = None
    medication_ml: Decimal | None = None
    hba1c_pct: Decimal | None = None

    @property
    def meal_tag(self) -> MealTag | None:
        """The meal mark, where the model knows it."""
        return None if self.meal is None else _MEALS.get(self.meal)

    @property
    def ketone(self) -> bool:
        """Whether the result it belongs to is a blood ketone."""
        return self.meal == KETONE_MEAL


def parse_context(value: bytes) -> Context:
    """What a value says. Raises Malformed when it is too short for its flags; more bytes are let be."""
    if len(value) < 3:
        raise Malformed("A note to a result of the meter is too short.")
    flags, at = value[0], 3
    found: dict[str, object] = {"sequence": int.from_bytes(value[1:3], "little")}
    for flag, size, read in _FIELDS:
        if flags & flag:
            field = value[at : at + size]
            if len(field) < size:
                raise Malformed("A note to a result of the meter is cut short.")
            found |= read(field, flags)
            at += size
    return Context(**found)  # type: ignore[arg-type]


def _extended(field: bytes, flags: int) -> dict[str, object]:
    return {"extended": field[0]}


def _carbs(field: bytes, flags: int) -> dict[str, object]:
    return {"carb_id": field[0], "carb_g": _scaled(field[1:], 3)}


def _meal(field: bytes, flags: int) -> dict[str, object]:
    return {"meal": field[0]}


def _tester(field: bytes, flags: int) -> dict[str, object]:
    return {"tester": field[0] & 0x0F, "health": field[0] >> 4}


def _exercise(field: bytes, flags: int) -> dict[str, object]:
    seconds = int.from_bytes(field[:2], "little")
    return {"exercise_s": None if seconds == _OVERRUN else seconds, "exercise_pct": field[2]}


def _medication(field: bytes, flags: int) -> dict[str, object]:
    if flags & _LITRES:
        return {"medication_id": field[0], "medication_ml": _scaled(field[1:], 3)}
    return {"medication_id": field[0], "medication_mg": _scaled(field[1:], 6)}


def _hba1c(field: bytes, flags: int) -> dict[str, object]:
    return {"hba1c_pct": _scaled(field, 0)}


def _scaled(field: bytes, digits: int) -> Decimal | None:
    number = finite(sfloat(field))
    return None if number is None else number.scaleb(digits)


_FIELDS = (
    (_EXTENDED, 1, _extended), (_CARBS, 3, _carbs), (_MEAL, 1, _meal), (_TESTER, 1, _tester),
    (_EXERCISE, 3, _exercise), (_MEDICATION, 3, _medication), (_HBA1C, 2, _hba1c),
)  # fmt: skip
"""In the order in which they stand: flag, bytes, reader."""
