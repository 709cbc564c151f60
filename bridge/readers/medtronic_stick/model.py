"""The pump's model: what its number says about layouts and scales."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bridge.errors import Malformed

GRAMS_PER_EXCHANGE = 15
_NUMBER = re.compile(r"[57](\d\d)[A-Z]{0,3}")
_FAMILIES = frozenset({12, 15, 22, 23, 30, 40, 51, 54})
_FIRST_NEW = 23


@dataclass(frozen=True, slots=True)
class PumpModel:
    """`text` as the pump says it ("723"), `family` the number modulo 100 (23)."""

    text: str
    family: int

    @property
    def new(self) -> bool:
        """Whether records are of the later form (523/723 and after), in steps of 1/40 U."""
        return self.family >= _FIRST_NEW


def pump_model(text: str) -> PumpModel:
    """The model of a pump's own text. Raises Malformed for a pump that this decoder does not know."""
    found = _NUMBER.fullmatch(text.strip())
    if found is None or int(found[1]) not in _FAMILIES:
        raise Malformed(
            f"{text[:12]!r} is not a pump model that can be read.",
            next_step="The model stands on the back of the pump: 512 to 554 or 712 to 754.",
        )
    return PumpModel(text.strip(), int(found[1]))
