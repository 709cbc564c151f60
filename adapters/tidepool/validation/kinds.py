"""Scalars, small objects and the common fields of the platform's datum rules, as types."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, NoReturn, TypeAlias
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

_METADATA_BYTES = 4096
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_WALL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?")


def refuse(field: str, text: str) -> NoReturn:
    """Refuse a field (`outer/inner`) from a rule between fields; empty: the object itself."""
    raise PydanticCustomError("rule", "{text}", {"field": field, "text": text})


class Part(BaseModel):
    """An object of the platform. Unknown fields are dropped there, so they are ignored here; null is absent."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", defer_build=True)


def _check_whole(value: float) -> float:
    if not value.is_integer():
        raise PydanticCustomError("whole", "is not a whole number")
    return value


def _dated(form: re.Pattern[str], what: str) -> AfterValidator:
    def check(text: str) -> str:
        try:
            if form.fullmatch(text):
                datetime.fromisoformat(text)
                return text
        except ValueError:
            pass
        raise PydanticCustomError("time", "is not {what}", {"what": what})

    return AfterValidator(check)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _check_zone(name: str) -> str:
    if name not in _zones():
        raise PydanticCustomError("zone", "is not an IANA time zone")
    return name


def _check_metadata(value: dict[str, Any]) -> dict[str, Any]:
    if all(each is None for each in value.values()):
        raise PydanticCustomError("empty", "is empty")
    if len(_ENCODER.encode(value).encode()) > _METADATA_BYTES:
        raise PydanticCustomError("size", "is larger than 4096 bytes")
    return value


def _check_distinct(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("twice", "holds a value twice")
    return values


DISTINCT, WHOLE = AfterValidator(_check_distinct), AfterValidator(_check_whole)
Number: TypeAlias = Annotated[float, Field(strict=True)]
Whole: TypeAlias = Annotated[float, Field(strict=True), WHOLE]
NotNegative: TypeAlias = Annotated[float, Field(strict=True, ge=0)]
UpTo100: TypeAlias = Annotated[float, Field(strict=True, ge=0, le=100)]
UpTo250: TypeAlias = Annotated[float, Field(strict=True, ge=0, le=250)]
UpTo1000: TypeAlias = Annotated[float, Field(strict=True, ge=0, le=1000)]
Signed100: TypeAlias = Annotated[float, Field(strict=True, ge=-100, le=100)]
Scale: TypeAlias = Annotated[float, Field(strict=True, ge=0.1, le=10)]
OffsetMin: TypeAlias = Annotated[float, Field(strict=True, ge=-10080, le=10080), WHOLE]
DriftMs: TypeAlias = Annotated[float, Field(strict=True, ge=-86_400_000, le=86_400_000), WHOLE]
DaySeconds: TypeAlias = Annotated[float, Field(strict=True, ge=0, le=86_400), WHOLE]
DayMs: TypeAlias = Annotated[float, Field(strict=True, ge=0, le=86_400_000), WHOLE]
WeekMs: TypeAlias = Annotated[float, Field(strict=True, ge=0, le=604_800_000), WHOLE]
Flag: TypeAlias = Annotated[bool, Field(strict=True)]
Word: TypeAlias = Annotated[str, Field(strict=True, min_length=1)]
Name: TypeAlias = Annotated[str, Field(strict=True, min_length=1, max_length=100)]
Text: TypeAlias = Annotated[str, Field(strict=True, min_length=1, max_length=1000)]
Instant: TypeAlias = Annotated[str, Field(strict=True), _dated(_INSTANT, "an instant with a zone")]
Wall: TypeAlias = Annotated[str, Field(strict=True), _dated(_WALL, "a local time without a zone")]
Zone: TypeAlias = Annotated[str, Field(strict=True), AfterValidator(_check_zone)]
DatumId: TypeAlias = Annotated[str, Field(strict=True, pattern=r"^[0-9a-z]{32}$")]
Metadata: TypeAlias = Annotated[dict[str, Any], AfterValidator(_check_metadata)]
GlucoseUnits: TypeAlias = Literal["mmol/L", "mmol/l", "mg/dL", "mg/dl"]
RateUnits: TypeAlias = Literal["mmol/L/minute", "mg/dL/minute"]
SpanUnits: TypeAlias = Literal["hours", "minutes", "seconds"]
Ranges: TypeAlias = Mapping[str, tuple[float, float]]
GLUCOSE: Ranges = {"mmol": (0, 55), "mg": (0, 1000)}


def require_within(field: str, value: float | None, units: str | None, ranges: Ranges) -> None:
    """Refuse a number outside the range of its units; `ranges` goes by the units before the first slash."""
    limits = ranges.get((units or "").partition("/")[0])
    if value is not None and limits is not None and not limits[0] <= value <= limits[1]:
        refuse(field, f"{value:g} is not between {limits[0]:g} and {limits[1]:g} {units}")


def require_order(low: str, low_value: float | None, high: str, high_value: float | None, blame: str = "") -> None:
    """Refuse a pair in the wrong order; `blame` is the field that is named, `high` when empty."""
    if low_value is not None and high_value is not None and high_value < low_value:
        refuse(blame or high, f"{high} {high_value:g} is less than {low} {low_value:g}")


def require_only(field: str, value: object, *, wanted: bool, why: str, needed: bool = True) -> None:
    """Refuse a field that is there without its reason, or (if `needed`) missing with it."""
    if value is not None and not wanted:
        refuse(field, f"may only be there with {why}")
    if value is None and wanted and needed:
        refuse(field, f"is needed with {why}")


def spans(hours: float) -> Ranges:
    """Ranges of a span of at most so many hours, by its units."""
    return {"hours": (0, hours), "minutes": (0, hours * 60), "seconds": (0, hours * 3600)}


class Target(Part):
    """A glucose target in exactly one of its four forms; `check` knows the units."""

    target: Number | None = None
    range: Number | None = None
    low: Number | None = None
    high: Number | None = None

    def check(self, field: str, units: str | None) -> None:
        """Refuse what is no target in these units."""
        odd = self._odd()
        if odd:
            refuse(f"{field}/{odd}", "does not fit: target; target, range; target, high; or low, high")
        for name in ("target", "low", "high"):
            require_within(f"{field}/{name}", getattr(self, name), units, GLUCOSE)
        if units is None:
            return
        base = self.low if self.target is None else self.target
        require_order("lower bound", base, f"{field}/high", self.high)
        room = min(base or 0, GLUCOSE[units.partition("/")[0]][1] - (base or 0))
        if self.range is not None and not 0 <= self.range <= room:
            refuse(f"{field}/range", f"{self.range:g} is not between 0 and {room:g}")

    def _odd(self) -> str:
        """The field that is missing or too many, empty when the form is right."""
        given = {name for name in ("target", "range", "low", "high") if getattr(self, name) is not None}
        if "target" in given:
            extra = given - {"target", "range" if "range" in given else "high"}
            return min(extra, default="")
        if {"low", "high"} <= given:
            return "range" if "range" in given else ""
        return "high" if "low" in given else "target"


class Origin(Part):
    """Where a datum comes from; `id` is the key that replaces."""

    id: Name | None = None
    name: Name | None = None
    version: Name | None = None
    time: Instant | None = None
    type: Literal["application", "device", "manual", "service"] | None = None
    payload: Metadata | None = None


class Association(Part):
    """A pointer to something related."""

    type: Literal["blob", "datum", "image", "url"]
    id: DatumId | None = None
    url: Annotated[str, Field(strict=True, pattern=r"^https?://[^/\s]")] | None = None
    reason: Text | None = None

    @model_validator(mode="after")
    def _rules(self) -> Association:
        require_only("url", self.url, wanted=self.type == "url", why="the type url")
        require_only("id", self.id, wanted=self.type != "url", why="a type of one's own data")
        return self


class Datum(Part):
    """What all types have in common."""

    type: Word
    time: Instant
    device_time: Wall | None = None
    timezone: Zone | None = None
    timezone_offset: OffsetMin | None = None
    conversion_offset: Whole | None = None
    clock_drift_offset: DriftMs | None = None
    device_id: Word | None = None
    origin: Origin | None = None
    id: DatumId | None = None
    source: Literal["carelink"] | None = None
    payload: Metadata | None = None
    annotations: Annotated[list[Metadata], Field(min_length=1, max_length=100)] | None = None
    associations: Annotated[list[Association], Field(min_length=1, max_length=100)] | None = None
    notes: Annotated[list[Text], Field(max_length=100)] | None = None
    tags: Annotated[list[Name], Field(min_length=1, max_length=100), DISTINCT] | None = None
