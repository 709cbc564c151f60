"""The last look at a document before it leaves: what a site would store wrongly, or die of, is refused.

A null, a number as an `eventType` or a zone-less instant are not errors to a site; they are damage. The models know
no null, no unknown field, no endless number, no long or marked-up text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from adapters.nightscout.mapping.frame import DEVICESTATUS, ENTRIES, PROFILE, TREATMENTS
from bridge.contracts import Document
from bridge.errors import Refused

_EARLIEST_MS = 946_684_800_000
_AHEAD_MS = 5 * 60_000
_STRICT = ConfigDict(strict=True, extra="forbid")

Text = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^<>&\x00-\x1f\x7f]+$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=100)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Date = Annotated[int, Field(ge=_EARLIEST_MS)]
Iso = Annotated[str, Field(pattern=r"^[2-9]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
Mgdl = Annotated[int, Field(ge=10, le=1000)]
Uuid = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


@with_config(_STRICT)
class Entry(TypedDict):
    """A reading."""

    type: Literal["sgv", "mbg"]
    date: Date
    dateString: Iso
    device: Text
    identifier: Uuid
    sgv: NotRequired[Mgdl]
    mbg: NotRequired[Mgdl]
    noise: NotRequired[Annotated[int, Field(ge=1, le=4)]]
    direction: NotRequired[Text]


@with_config(_STRICT)
class Treatment(TypedDict):
    """Anything drawn under the curve."""

    eventType: Text
    created_at: Iso
    identifier: Uuid
    syncIdentifier: Uuid
    enteredBy: Text
    device: Text
    notes: NotRequired[Text]
    insulin: NotRequired[Amount]
    carbs: NotRequired[Amount]
    absorptionTime: NotRequired[Amount]
    duration: NotRequired[Amount]
    absolute: NotRequired[Amount]
    rate: NotRequired[Amount]
    percent: NotRequired[Number]
    automatic: NotRequired[bool]
    type: NotRequired[Text]
    isSMB: NotRequired[bool]
    enteredinsulin: NotRequired[Amount]
    splitNow: NotRequired[Count]
    splitExt: NotRequired[Count]
    relative: NotRequired[Amount]
    glucose: NotRequired[Mgdl]
    glucoseType: NotRequired[Text]
    units: NotRequired[Text]
    targetBottom: NotRequired[Amount]
    targetTop: NotRequired[Amount]
    reason: NotRequired[Text]


@with_config(_STRICT)
class Battery(TypedDict):
    """The pump's battery."""

    percent: NotRequired[Percent]
    voltage: NotRequired[Amount]


@with_config(_STRICT)
class State(TypedDict):
    """What the pump is doing."""

    status: Text
    suspended: NotRequired[bool]
    bolusing: NotRequired[bool]
    timestamp: Iso


@with_config(_STRICT)
class Iob(TypedDict):
    """Insulin on board."""

    bolusiob: Number
    timestamp: Iso


@with_config(_STRICT)
class Pump(TypedDict):
    """What the pump said."""

    manufacturer: NotRequired[Text]
    model: NotRequired[Text]
    clock: Iso
    reservoir: NotRequired[Amount]
    battery: NotRequired[Battery]
    status: NotRequired[State]
    iob: NotRequired[Iob]
    extended: NotRequired[dict[Text, Text]]


@with_config(_STRICT)
class Uploader(TypedDict):
    """The phone."""

    battery: Percent


@with_config(_STRICT)
class Connect(TypedDict):
    """The CareLink block."""

    sensorState: NotRequired[Text]
    sensorDurationHours: NotRequired[Annotated[int, Field(ge=0)]]
    conduitInRange: NotRequired[bool]
    medicalDeviceFamily: NotRequired[Text]


@with_config(_STRICT)
class DeviceStatus(TypedDict):
    """A status."""

    identifier: Uuid
    date: Date
    created_at: Iso
    utcOffset: Annotated[int, Field(ge=0, le=0)]
    app: Text
    device: Text
    pump: NotRequired[Pump]
    uploader: NotRequired[Uploader]
    connect: NotRequired[Connect]


@with_config(_STRICT)
class TimedValue(TypedDict):
    """One entry of a day's schedule."""

    time: Annotated[str, Field(pattern=r"^\d\d:\d\d$")]
    timeAsSeconds: Annotated[int, Field(ge=0, lt=86_400)]
    value: Amount


Schedule = Annotated[list[TimedValue], Field(min_length=1)]


@with_config(_STRICT)
class StoredProfile(TypedDict):
    """One named profile."""

    dia: NotRequired[Amount]
    carbs_hr: Amount
    delay: Amount
    timezone: Text
    units: Literal["mg/dl", "mmol"]
    startDate: Iso
    basal: Schedule
    carbratio: Schedule
    sens: Schedule
    target_low: Schedule
    target_high: Schedule


@with_config(_STRICT)
class Profile(TypedDict):
    """The therapy settings."""

    _id: Annotated[str, Field(pattern=r"^[0-9a-f]{24}$")]
    defaultProfile: Text
    startDate: Iso
    created_at: Iso
    units: Literal["mg/dl", "mmol"]
    enteredBy: Text
    store: Annotated[dict[Text, StoredProfile], Field(min_length=1)]


_MODELS: Mapping[str, TypeAdapter[Any]] = {
    ENTRIES: TypeAdapter(Entry),
    TREATMENTS: TypeAdapter(Treatment),
    DEVICESTATUS: TypeAdapter(DeviceStatus),
    PROFILE: TypeAdapter(Profile),
}


def check(document: Document, now_ms: int | None = None) -> None:
    """Raises Refused, naming field and value, for a document that must not leave.

    With `now_ms` also one dated more than five minutes ahead: it would stand before every real reading.
    """
    if document.instant_ms < _EARLIEST_MS or (now_ms is not None and document.instant_ms > now_ms + _AHEAD_MS):
        raise _refused(
            document, "instant", document.instant_ms, "not between the year 2000 and five minutes from now"
        )
    try:
        _MODELS[document.path].validate_python(document.body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise _refused(document, field, first["input"], first["msg"]) from error


def _refused(document: Document, field: str, value: object, why: str) -> Refused:
    return Refused(
        f"{document.path} {field}: {value!r:.100} was not sent, {why}.",
        next_step="Keep the record and report it; the other data goes on.",
    )
