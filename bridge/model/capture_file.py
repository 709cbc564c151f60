"""A capture as a file that a person can pass on: JSON, the body as text where it is text."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from bridge.model.capture import Capture
from bridge.model.time import iso_ms, parse_instant

_MARK = "glucobridge_capture"
_FORM = 1


def to_file(capture: Capture) -> bytes:
    """UTF-8 JSON of a capture; the profile is left out, it means nothing to others."""
    head: dict[str, Any] = {
        _MARK: _FORM, "reader": capture.reader, "feed": capture.feed, "taken_at": iso_ms(capture.taken_at),
        "context": dict(capture.context),
    }  # fmt: skip
    return json.dumps(head | _body(capture.body), ensure_ascii=False, indent=1).encode() + b"\n"


def from_file(data: bytes, profile: str) -> Capture | None:
    """The capture in such a file; None when the bytes are something else (a payload, a page).

    Raises ValueError for a capture file that is broken.
    """
    if data.lstrip()[:1] != b"{" or _MARK.encode() not in data[:64]:
        return None
    head = json.loads(data)
    if head.get(_MARK) != _FORM:
        raise ValueError(f"capture files of form {head.get(_MARK)!r} are not known")
    try:
        taken, context = parse_instant(head["taken_at"]), {str(k): str(v) for k, v in head["context"].items()}
        return Capture(profile, str(head["reader"]), str(head["feed"]), taken, _bytes(head), context)
    except (KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise ValueError(f"the capture file is broken: {error!r}") from error


def _body(body: bytes) -> dict[str, str]:
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def _bytes(head: dict[str, Any]) -> bytes:
    if "text" in head:
        return str(head["text"]).encode()
    return base64.b64decode(head["base64"], validate=True)
