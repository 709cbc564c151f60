"""How the site reads instants, numbers and text. Server zone is UTC."""

from __future__ import annotations

import html
import math
import re
from datetime import UTC, datetime
from typing import Any, TypeGuard

from bridge.model import from_ms, iso_ms, to_ms

Doc = dict[str, Any]
"""One document, as JSON."""

OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SCRIPT = re.compile(r"<script\b.*?(</script\s*>|$)", re.IGNORECASE | re.DOTALL)
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_MARKUP = re.compile(r"[<>&]")


def moment(value: object) -> tuple[int, int] | None:
    """(epoch ms, offset min) of ISO text or a number of ms; text without a zone is UTC; None when unreadable."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return int(value), 0
    if not isinstance(value, str):
        return None
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return None
    offset = read.utcoffset()
    if offset is None:
        return to_ms(read.replace(tzinfo=UTC)), 0
    return to_ms(read.astimezone(UTC)), round(offset.total_seconds() / 60)


def iso(epoch_ms: float) -> str:
    """UTC with milliseconds and Z."""
    return iso_ms(from_ms(math.floor(epoch_ms)))


def normal_iso(text: object) -> tuple[str, int] | None:
    """(UTC text with milliseconds and Z, offset min) of ISO text; None when unreadable."""
    read = moment(text)
    if read is None:
        return None
    canonical = isinstance(text, str) and _CANONICAL.fullmatch(text)
    return (str(text) if canonical else iso(read[0])), read[1]


def number(value: object) -> float:
    """A JSON value as JavaScript's Number() reads it; NaN when it does not."""
    if value is None or value == "":
        return 0
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        read = float(value)
        return int(read) if read.is_integer() else read
    return math.nan


def leading_int(text: str) -> float:
    """As JavaScript's parseInt."""
    found = re.match(r"\s*[+-]?\d+", text)
    return int(found.group()) if found else math.nan


def purified(value: Any) -> Any:
    """Scripts removed and markup escaped in every text, at any depth."""
    if isinstance(value, str):
        if not _MARKUP.search(value):
            return value
        return html.escape(html.unescape(_SCRIPT.sub("", value)), quote=False)
    if isinstance(value, dict):
        return {name: purified(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [purified(inner) for inner in value]
    return value


def is_number(value: object) -> TypeGuard[float]:
    """A JSON number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
