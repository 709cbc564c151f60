"""What was noted beside a read: the person's zone and this machine's clock, from a capture's context."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bridge.errors import Malformed
from bridge.model.time import EARLIEST, parse_instant

_LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def zone(context: Mapping[str, str]) -> tzinfo | None:
    """`timezone`, None where it was not told. Raises Malformed for one that nobody knows."""
    name = context.get("timezone")
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Malformed(
            f"The time zone {name!r} is not known.", next_step="Name one such as Europe/Berlin."
        ) from None


def host_clock(context: Mapping[str, str]) -> datetime | None:
    """`host_clock`, None where it was not told. Raises Malformed for what no clock of these years shows."""
    said = context.get("host_clock")
    try:
        host = parse_instant(said) if said else None
    except (ValueError, OverflowError):
        raise Malformed("The capture's host clock cannot be read.") from None
    if host is not None and not EARLIEST <= host < _LATEST:
        raise Malformed("The capture's host clock is wrong.")
    return host
