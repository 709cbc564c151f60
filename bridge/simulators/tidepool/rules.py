"""A small language for the service's parse and validation rules: a reader takes a JSON value, returns the clean one.

Readers drop unknown fields and nulls, and append a `Fault` for what is refused. A parse fault anywhere
hides every validation fault of a batch, as on the real service.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import available_timezones

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
TRAILING_ZEROS = re.compile(r"\.(\d*?)0+(?=$|Z|[+-])")
WALL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?")
INSTANT_LAYOUT = "2006-01-02T15:04:05.999999999Z07:00"
WALL_LAYOUT = "2006-01-02T15:04:05"
METADATA_BYTES = 4096
ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
TYPE_NAMES = {str: "string", bool: "bool", dict: "map[string]interface {}", list: "[]interface {}"}
TITLES = {
    "value-not-exists": "value does not exist",
    "value-exists": "value exists",
    "value-empty": "value is empty",
    "value-duplicate": "value is a duplicate",
    "value-out-of-range": "value is out of range",
    "value-not-allowed": "value is not one of the allowed values",
    "value-not-valid": "value is not valid",
    "value-not-after": "value is not after the specified time",
    "value-not-parsable": "value is not a parsable time",
    "values-not-exist-for-any": "values do not exist for any",
    "values-not-exist-for-one": "values do not exist for one",
    "length-out-of-range": "length is out of range",
    "size-out-of-range": "size is out of range",
    "not-parsed": "not parsed",
}


@dataclass(slots=True)
class Fault:
    """One refused value. `path` grows from the inside out while the fault travels up."""

    code: str
    detail: str
    parse: bool = False
    path: list[str] = field(default_factory=list)
    meta: Mapping[str, str] | None = None

    @property
    def pointer(self) -> str:
        """JSON pointer of the value."""
        return "".join(f"/{name}" for name in reversed(self.path))

    def as_error(self) -> dict[str, Any]:
        """The error object of an answer."""
        title = TITLES.get(self.code) or self.code.replace("type-not-", "type is not ")
        error: dict[str, Any] = {"code": self.code, "title": title, "detail": self.detail}
        error["source"] = {"pointer": self.pointer}
        if self.meta:
            error["meta"] = dict(self.meta)
        return error


Faults = list[Fault]
Read = Callable[[Any, Faults], Any]
Rule = Callable[[dict[str, Any], Faults], None]


def shown(value: Any) -> str:
    """A value as the service prints it in a detail."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(shown, value))}]"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def fault(faults: Faults, code: str, detail: str = "", name: str | None = None) -> None:
    """Append a validation fault, at the field `name` when given."""
    faults.append(Fault(code, detail or TITLES[code], path=[] if name is None else [name]))


def wrong_type(faults: Faults, wanted: str, value: Any) -> Any:
    """Append the parse fault of a value of another JSON type; None, so that the field counts as absent."""
    kind = TYPE_NAMES.get(type(value), "float64")
    faults.append(Fault(f"type-not-{wanted}", f"type is not {wanted}, but {kind}", parse=True))
    return None


def out_of_range(faults: Faults, value: Any, low: Any, high: Any, name: str | None = None) -> None:
    """Append the fault of a number outside its range."""
    fault(faults, "value-out-of-range", f"value {shown(value)} is not between {shown(low)} and {shown(high)}", name)


def not_allowed(faults: Faults, value: Any, allowed: tuple[Any, ...], *, parse: bool = False) -> None:
    """Append the fault of a word that is not in its list."""
    detail = f"value {shown(value)} is not one of {shown(allowed)}"
    faults.append(Fault("value-not-allowed", detail, parse=parse))


# --- scalars ---------------------------------------------------------------------------------------


def number(low: float = float("-inf"), high: float = float("inf")) -> Read:
    """A JSON number within a range."""

    def read(value: Any, faults: Faults) -> Any:
        if type(value) is not float and type(value) is not int:
            return wrong_type(faults, "float64", value)
        if not low <= value <= high:
            _beyond(faults, value, low, high)
        return value

    return read


def _beyond(faults: Faults, value: Any, low: float, high: float) -> None:
    if high == float("inf"):
        fault(faults, "value-out-of-range", f"value {shown(value)} is not greater than or equal to {shown(low)}")
    else:
        out_of_range(faults, value, low, high)


def whole(low: float = float("-inf"), high: float = float("inf")) -> Read:
    """A JSON number without a fraction, within a range."""

    def read(value: Any, faults: Faults) -> Any:
        if type(value) is not int:
            if type(value) is not float or not value.is_integer():
                return wrong_type(faults, "int", value)
            value = int(value)
        if not low <= value <= high:
            _beyond(faults, value, low, high)
        return value

    return read


def one_of(*allowed: str) -> Read:
    """One of a list of words."""

    def read(value: Any, faults: Faults) -> Any:
        if type(value) is not str:
            return wrong_type(faults, "string", value)
        if value not in allowed:
            not_allowed(faults, value, allowed)
        return value

    return read


def whole_of(*allowed: int) -> Read:
    """One of a list of whole numbers."""
    read_whole = whole()

    def read(value: Any, faults: Faults) -> Any:
        number = read_whole(value, faults)
        if number is not None and number not in allowed:
            not_allowed(faults, number, allowed)
        return number

    return read


def text(longest: int | None = None) -> Read:
    """A string that is not empty, at most so many characters."""

    def read(value: Any, faults: Faults) -> Any:
        if type(value) is not str:
            return wrong_type(faults, "string", value)
        if not value:
            fault(faults, "value-empty")
        elif longest is not None and len(value) > longest:
            fault(faults, "length-out-of-range", f"length {len(value)} is not less than or equal to {longest}")
        return value

    return read


def equal(only: str) -> Read:
    """Exactly one word."""

    def read(value: Any, faults: Faults) -> Any:
        if type(value) is not str:
            return wrong_type(faults, "string", value)
        if value != only:
            fault(faults, "value-out-of-range", f"value {shown(value)} is not equal to {shown(only)}")
        return value

    return read


def matching(pattern: str, what: str) -> Read:
    """A string of a form; an empty one is refused as empty."""
    form = re.compile(pattern)

    def read(value: Any, faults: Faults) -> Any:
        if type(value) is not str:
            return wrong_type(faults, "string", value)
        if not value:
            fault(faults, "value-empty")
        elif not form.fullmatch(value):
            fault(faults, "value-not-valid", f"value {shown(value)} is not valid {what}")
        return value

    return read


def zone(value: Any, faults: Faults) -> Any:
    """An IANA zone name."""
    if type(value) is not str:
        return wrong_type(faults, "string", value)
    if value not in _zones():
        fault(faults, "value-not-valid", f"value {shown(value)} is not valid time zone name")
    return value


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def flag(value: Any, faults: Faults) -> Any:
    """A JSON boolean."""
    return value if type(value) is bool else wrong_type(faults, "bool", value)


def _is_time(value: str, form: re.Pattern[str]) -> bool:
    if not form.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def trimmed(value: str) -> str:
    """Zeros at the end of a fraction of a second fall away: the service prints the shortest form."""
    if "." not in value:
        return value
    return TRAILING_ZEROS.sub(lambda found: f".{found[1]}" if found[1] else "", value)


def instant(value: Any, faults: Faults) -> Any:
    """An RFC 3339 instant with a zone; returned in its shortest form."""
    if type(value) is not str:
        return wrong_type(faults, "time", value)
    if not _is_time(value, RFC3339):
        return _not_parsable(faults, value, INSTANT_LAYOUT)
    return trimmed(value)


def _not_parsable(faults: Faults, value: str, layout: str) -> Any:
    detail = f"value {shown(value)} is not a parsable time of format {shown(layout)}"
    faults.append(Fault("value-not-parsable", detail, parse=True))
    return None


def parsed_wall(value: Any, faults: Faults) -> Any:
    """A zoneless time that the service parses and gives back with a `Z`."""
    if type(value) is not str:
        return wrong_type(faults, "time", value)
    return trimmed(value) + "Z" if _is_time(value, WALL) else _not_parsable(faults, value, WALL_LAYOUT)


def _as_time(form: re.Pattern[str], layout: str) -> Read:
    def read(value: Any, faults: Faults) -> Any:
        if type(value) is not str:
            return wrong_type(faults, "string", value)
        if not _is_time(value, form):
            detail = f"value {shown(value)} is not valid as time with layout {shown(layout)}"
            fault(faults, "value-not-valid", detail)
        return value

    return read


wall = _as_time(WALL, WALL_LAYOUT)
"""A zoneless local time, kept as text."""
instant_text = _as_time(RFC3339, INSTANT_LAYOUT)
"""An instant kept as text."""


# --- compounds -------------------------------------------------------------------------------------


def metadata(value: Any, faults: Faults) -> Any:
    """A free JSON object, not empty, at most 4096 bytes."""
    if type(value) is not dict:
        return wrong_type(faults, "object", value)
    clean = {name: item for name, item in value.items() if item is not None}
    if not clean:
        fault(faults, "value-empty")
    size = len(ENCODER.encode(clean).encode())
    if size > METADATA_BYTES:
        fault(faults, "size-out-of-range", f"size {size} is not less than or equal to {METADATA_BYTES}")
    return clean


def _inside(faults: Faults, before: int, name: str) -> None:
    for found in faults[before:]:
        found.path.append(name)


def array(item: Read, longest: int | None = None, *, unique: bool = False, may_be_empty: bool = False) -> Read:
    """A list of readings of one kind; its bounds belong to validation, its elements may fault in both."""

    def read(value: Any, faults: Faults) -> Any:
        if type(value) is not list:
            return wrong_type(faults, "array", value)
        if not value and not may_be_empty:
            fault(faults, "value-empty")
        if longest is not None and len(value) > longest:
            fault(faults, "length-out-of-range", f"length {len(value)} is not less than or equal to {longest}")
        clean = [_element(item, each, index, faults) for index, each in enumerate(value)]
        if unique:
            _unique(value, faults)
        return clean

    return read


def _element(item: Read, value: Any, index: int, faults: Faults) -> Any:
    before = len(faults)
    if value is None:
        fault(faults, "value-not-exists", name=str(index))
        return None
    clean = item(value, faults)
    if len(faults) > before:
        _inside(faults, before, str(index))
    return clean


def _unique(value: list[Any], faults: Faults) -> None:
    for index, each in enumerate(value):
        if each in value[:index]:
            fault(faults, "value-duplicate", name=str(index))


def texts(longest: int, most: int, *, unique: bool = False, may_be_empty: bool = False) -> Read:
    """A list of strings."""
    return array(text(longest), most, unique=unique, may_be_empty=may_be_empty)


def mapping(item: Read) -> Read:
    """An object with free names and values of one kind."""

    def read(value: Any, faults: Faults) -> Any:
        if type(value) is not dict:
            return wrong_type(faults, "object", value)
        return {name: _element_named(item, each, name, faults) for name, each in value.items()}

    return read


def _element_named(item: Read, value: Any, name: str, faults: Faults) -> Any:
    before = len(faults)
    if value is None:
        fault(faults, "value-not-exists", name=name)
        return None
    clean = item(value, faults)
    if len(faults) > before:
        _inside(faults, before, name)
    return clean


def shape(fields: Mapping[str, Read], *rules: Rule, strict: bool = False) -> Read:
    """An object: `name!` is required; unknown names are dropped, or refused when `strict`."""
    readers = {name.rstrip("!"): reader for name, reader in fields.items()}
    required = tuple(name[:-1] for name in fields if name.endswith("!"))

    def read(value: Any, faults: Faults) -> Any:
        if type(value) is not dict:
            return wrong_type(faults, "object", value)
        clean = _fields(readers, value, faults, strict=strict)
        for name in required:
            if name not in clean:
                fault(faults, "value-not-exists", name=name)
        for rule in rules:
            rule(clean, faults)
        return clean

    return read


def _fields(readers: Mapping[str, Read], value: dict[str, Any], faults: Faults, *, strict: bool) -> dict[str, Any]:
    clean = {}
    for name, raw in value.items():
        reader = readers.get(name)
        if reader is None:
            if strict:
                faults.append(Fault("not-parsed", "not parsed", parse=True, path=[name]))
            continue
        if raw is None:
            continue
        before = len(faults)
        read = reader(raw, faults)
        if read is not None:
            clean[name] = read
        if len(faults) > before:
            _inside(faults, before, name)
    return clean


def choose(discriminator: str, shapes: Mapping[str, Read]) -> Read:
    """One of several objects, told apart by a field; a missing or unknown one is a parse fault."""

    def read(value: Any, faults: Faults) -> Any:
        if type(value) is not dict:
            return wrong_type(faults, "object", value)
        name = value.get(discriminator)
        chosen = shapes.get(name) if type(name) is str else None
        if chosen is not None:
            return chosen(value, faults)
        before = len(faults)
        if name is None:
            faults.append(Fault("value-not-exists", TITLES["value-not-exists"], parse=True))
        elif type(name) is str:
            not_allowed(faults, name, tuple(shapes), parse=True)
        else:
            wrong_type(faults, "string", name)
        _inside(faults, before, discriminator)
        return None

    return read
