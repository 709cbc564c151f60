"""Instants and wall clocks. UTC with milliseconds is the only instant; a wall clock is naive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = datetime(2008, 1, 1, tzinfo=UTC)
"""Records before this are flagged: no device of ours stored readings then."""


def from_ms(epoch_ms: float) -> datetime:
    """Instant of an epoch in milliseconds. Raises OverflowError for what no calendar holds."""
    return EPOCH + timedelta(milliseconds=round(epoch_ms))


def to_ms(instant: datetime) -> int:
    """Epoch milliseconds of an aware instant, exact."""
    delta = instant - EPOCH
    return delta.days * 86_400_000 + delta.seconds * 1000 + delta.microseconds // 1000


def iso_ms(instant: datetime) -> str:
    """`YYYY-MM-DDTHH:MM:SS.mmmZ` of an aware instant."""
    if instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03d}Z"


def iso_wall(wall: datetime) -> str:
    """`YYYY-MM-DDTHH:MM:SS` of a naive wall clock, to the second."""
    return wall.isoformat(timespec="seconds")


def parse_instant(text: object) -> datetime:
    """Aware UTC instant from RFC 3339 text or an aware datetime; a naive one is refused with ValueError."""
    moment = datetime.fromisoformat(text) if isinstance(text, str) else text
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ValueError(f"an instant needs a zone: {text!r}")
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def parse_wall(text: object) -> datetime:
    """Naive wall clock from ISO text or a naive datetime; a zoned one is refused with ValueError."""
    moment = datetime.fromisoformat(text) if isinstance(text, str) else text
    if not isinstance(moment, datetime) or moment.tzinfo is not None:
        raise ValueError(f"a wall clock has no zone: {text!r}")
    return moment


Instant = Annotated[datetime, BeforeValidator(parse_instant), PlainSerializer(iso_ms, when_used="json-unless-none")]
"""A UTC instant; in JSON always with milliseconds and Z."""
Wall = Annotated[datetime, BeforeValidator(parse_wall), PlainSerializer(iso_wall, when_used="json-unless-none")]
"""A device's wall clock, naive."""
