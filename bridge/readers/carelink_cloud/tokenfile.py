"""Token files of other CareLink tools: what is in them and whether it can be used. Pure."""

from __future__ import annotations

import binascii
import json
import math
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.errors import Refused

_LIMIT = 64 * 1024
_OLD_SIGN_IN = ("client_secret", "mag-identifier", "mag_identifier")
_BROWSER = "Sign in again with the browser instead."


@dataclass(frozen=True, slots=True)
class TokenFile:
    """The usable content of a token file. Empty text: not given, to be found by discovery."""

    refresh_token: str = field(repr=False)
    access_token: str = field(default="", repr=False)
    client_id: str = ""
    token_url: str = ""
    audience: str = ""
    scope: str = ""

    @property
    def expires_at(self) -> float:
        """Epoch seconds at which the access token ends by its own claim; 0 when it does not tell."""
        return _claimed_end(self.access_token)


def parse_token_file(text: str) -> TokenFile:
    """The content of a token file's JSON text. Raises Refused, without quoting it, for what cannot be used."""
    document = _document(text)
    if any(document.get(key) for key in _OLD_SIGN_IN):
        raise Refused("This token file is of CareLink's old sign-in, which no longer works.", next_step=_BROWSER)
    tokens = {key: _plain(document, key) for key in ("refresh_token", "access_token", "client_id", "token_url")}
    if not tokens["refresh_token"]:
        raise Refused("This token file has no refresh_token, so it would end within hours.", next_step=_BROWSER)
    return TokenFile(**tokens, audience=_words(document, "audience"), scope=_words(document, "scope"))


def _document(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text.strip().removeprefix("\ufeff")) if len(text) <= _LIMIT else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Refused(
            "That is not a token file: it should be a JSON object with access_token and refresh_token.",
            next_step="Give the whole content of the file, from { to }.",
        )
    return document


def _plain(document: Mapping[str, Any], key: str) -> str:
    """One word of printable ASCII; empty when absent."""
    text = _words(document, key)
    if " " in text:
        raise Refused(
            f"`{key}` in the token file is damaged.", next_step="Export the file again, or use the browser."
        )
    return text


def _words(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    text = value.strip() if isinstance(value, str) else ""
    if (value is not None and not isinstance(value, str)) or not (text.isascii() and text.isprintable()):
        raise Refused(
            f"`{key}` in the token file is damaged.", next_step="Export the file again, or use the browser."
        )
    return text


def _claimed_end(token: str) -> float:
    parts = token.split(".")
    if len(parts) != 3:
        return 0.0
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError, binascii.Error):
        return 0.0
    end = claims.get("exp") if isinstance(claims, dict) else None
    usable = isinstance(end, int | float) and not isinstance(end, bool) and math.isfinite(end)
    return float(end) if usable and end is not None else 0.0
