"""What meters of some makers do differently."""

from __future__ import annotations

from dataclasses import dataclass

METER = "METER"


@dataclass(frozen=True, slots=True)
class Quirks:
    """`newest_first`: sequence numbers count back from the newest, so they move with every result and name nothing;
    everything is read every time. `named_serial`: the serial is model and number in the advertised name.
    `marks_ketones`: a result is only known as blood once its note is there.
    """

    family: str = METER
    newest_first: bool = False
    named_serial: bool = False
    marks_ketones: bool = False


_PLAIN = Quirks()
_BY_MAKER = {
    "ascensia": Quirks("CONTOUR"),
    "contour": Quirks("CONTOUR"),
    "bayer": Quirks("CONTOUR"),
    "roche": Quirks("ACCU-CHEK", named_serial=True),
    "taidoc": Quirks("TAIDOC", newest_first=True),
    "i-sens": Quirks("CARESENS", marks_ketones=True),
}
_BY_NAME = {
    "meter+": _BY_MAKER["roche"],
    "caresens": _BY_MAKER["i-sens"],
    "relion": _BY_MAKER["i-sens"],
    "contour": _BY_MAKER["contour"],
}
NAMED_SERIAL = "meter+"
PLACEHOLDER_MODEL = "Model Number"
"""TNG Voice sends this for a model: the advertised name says more."""


def quirks_of(manufacturer: str | None, name: str | None) -> Quirks:
    """By the manufacturer's text, else by the advertised name."""
    for text, table in ((manufacturer, _BY_MAKER), (name, _BY_NAME)):
        found = next((quirks for start, quirks in table.items() if (text or "").lower().startswith(start)), None)
        if found is not None:
            return found
    return _PLAIN


def is_maker(manufacturer: str | None, name: str | None, maker: str) -> bool:
    """Whether a meter is of that maker."""
    return quirks_of(manufacturer, name) is _BY_MAKER[maker]
