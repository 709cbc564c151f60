"""What a token endpoint's answer means: pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from bridge.contracts import Answer
from bridge.errors import BridgeError, Moved, Refused, Throttled, Transient, Unauthorised

_LONGEST_PATIENCE_S = 900.0
_USUAL_LIFE_S = 3600.0
"""When neither the answer nor the token says how long it lives."""


def tokens(answer: Answer) -> Mapping[str, Any] | None:
    """The fields of a good answer, None for a good status whose body holds no token: the grant was then used,
    and what became of it is not known."""
    fields = _fields(answer)
    if fields is None or not isinstance(fields.get("access_token"), str) or not fields["access_token"]:
        return None
    return fields


def failure(answer: Answer, host: str, now: datetime) -> BridgeError | None:
    """The error of a bad answer, None for a good status. Only Unauthorised means that the grant is dead."""
    fields = _fields(answer)
    code = _code(fields)
    status = answer.status
    if 200 <= status < 300 and not code:
        return None
    if status == 429:
        patience = retry_after_s(answer.headers.get("retry-after"), now)
        return Throttled(f"{host} asks for patience before the next token.", retry_after_s=patience)
    if code == "invalid_grant" and status < 500:
        return Unauthorised(
            f"{host} says that the grant has expired, was revoked or was used elsewhere.", next_step="Link again."
        )
    if (code == "invalid_client" and status < 500) or status == 404:
        return Moved(f"{host} no longer knows this client or this address.")
    if status >= 500 or status == 408 or 300 <= status < 400 or (fields is None and status in {401, 403}):
        return Transient(f"{host} answered {status} instead of a token; the grant is kept.")
    return Refused(f"{host} refused the token request with {status}{f' {code}' if code else ''}; the grant is kept.")


def expires_at(fields: Mapping[str, Any], now: float) -> float:
    """Epoch seconds: the earlier of the token's own `exp` (where it is a JWT) and now + `expires_in`.

    An `exp` that is over on arrival comes from a clock that differs from ours and is not believed.
    """
    ends = [now + life] if (life := _number(fields.get("expires_in"))) and life > 0 else []
    stamped = _jwt_exp(fields["access_token"])
    if stamped is not None and stamped > now:
        ends.append(stamped)
    return min(ends, default=now + _USUAL_LIFE_S)


def retry_after_s(text: str | None, now: datetime) -> float | None:
    """Seconds of a Retry-After header, given as seconds or as a date, at most 15 min; None without one."""
    if text is None:
        return None
    seconds = _number(text)
    if seconds is None:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_PATIENCE_S)


def _fields(answer: Answer) -> Mapping[str, Any] | None:
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _code(fields: Mapping[str, Any] | None) -> str:
    """The answer's `error`, only where it is a code: free text might repeat what was sent."""
    code = fields.get("error") if fields else None
    return code if isinstance(code, str) and re.fullmatch(r"[a-z_]{1,40}", code) else ""


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 1e10 else None


def _jwt_exp(token: str) -> float | None:
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return _number(claims.get("exp")) if isinstance(claims, dict) else None
