"""What of a record makes a revision, and how two bodies of one event become one."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from typing import Any, get_args

from bridge.model.records import Device, Envelope, Record

_ENVELOPE = set(Envelope.model_fields) - {"annotations"}
_FORM = {"bolus": "shape", "basal": "delivery", "device_event": "event"}
_LINKS = ("calculation_id", "carbs_id", "bolus_id")


def content_hash(record: Record) -> bytes:
    """16 bytes over the kind's own fields and the annotations: what a source can change about an event.

    The envelope (clock, offset, reader, source key, raw) is not in it: it makes no revision.
    """
    said = record.__pydantic_serializer__.to_json(record, exclude=_ENVELOPE)
    return blake2b(said, digest_size=16).digest()


def same_content(one: Record, other: Record) -> bool:
    """Whether two bodies of one kind say the same."""
    own = content_fields(one.kind)
    return one.annotations == other.annotations and all(getattr(one, name) == getattr(other, name) for name in own)


@cache
def content_fields(kind: str) -> tuple[str, ...]:
    """The fields of a kind beyond the envelope, in the model's order."""
    model = RECORD_TYPES[kind]
    return tuple(name for name in model.model_fields if name not in Envelope.model_fields)


RECORD_TYPES: dict[str, type[Envelope]] = {model.model_fields["kind"].default: model for model in get_args(Record)}
"""Record class by kind."""


def merged(old: Record, new: Record) -> Record:
    """`new` as the next body of `old`: identity and clock stay the old ones, an unknown never hides a known value.

    The revision number is the old one: whoever stores a changed body counts it up.
    """
    stays = {name: getattr(old, name) for name in ("id", "time", "device_time", "utc_offset_min", "source_key")}
    update = {**stays, "revision": old.revision, "device": _known(new.device, old.device), **_gaps(new, old)}
    return new.model_copy(update=update)


def filled(best: Record, lesser: Record) -> Record:
    """`best` with what only the lesser source knows."""
    return best.model_copy(update=_gaps(best, lesser))


def _gaps(body: Record, other: Record) -> dict[str, Any]:
    """Values of `other` for fields unknown in `body`; of a bolus of another shape (a basal of another delivery,
    another event) only the links, since its amounts mean something else."""
    form = _FORM.get(body.kind)
    alike = form is None or getattr(body, form) == getattr(other, form)
    names = content_fields(body.kind) if alike else [name for name in _LINKS if hasattr(body, name)]
    return {
        name: value for name in names if getattr(body, name) is None and (value := getattr(other, name)) is not None
    }


def _known(device: Device, before: Device) -> Device:
    unknown = {name: value for name, value in before if value is not None and getattr(device, name) is None}
    return device.model_copy(update=unknown) if unknown else device
