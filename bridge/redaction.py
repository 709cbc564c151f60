"""Masks secrets and e-mail addresses in everything that is shown, logged or sent to anyone.

Text goes through `redact_text`, log events through `redact_event`. Secrets known to be alive are told to
`hide` and are masked wherever they turn up; the rest is recognised by its shape or by the name before it.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

MASK = "***"

_SHORTEST_HIDDEN = 8
"""Masking shorter texts everywhere would eat ordinary words."""
_MOST_HIDDEN = 512
"""So many of the newest are found even inside other text."""
_MOST_WORDS = 200_000
"""So many are found where they stand as a word. Older ones are forgotten: they were replaced long ago."""
_DEEPEST = 12

_hidden: dict[str, None] = {}
_words: dict[str, None] = {}


def hide(secret: str) -> None:
    """Mask this text from now on wherever it turns up, also percent-encoded. Kept in memory only."""
    for form in {secret, quote(secret, safe="")}:
        if len(form) >= _SHORTEST_HIDDEN:
            for kept, most in ((_hidden, _MOST_HIDDEN), (_words, _MOST_WORDS)):
                kept.pop(form, None)
                kept[form] = None
                while len(kept) > most:
                    del kept[next(iter(kept))]


_NAMES = (
    r"access[_-]?token|refresh[_-]?token|id[_-]?token|auth[_-]?tmp[_-]?token|restricted[_-]?token|session[_-]?token"
    r"|x-tidepool-session-token|token|api[_-]?secret|client[_-]?secret|secret|password|passwd|passphrase"
    r"|code[_-]?verifier|verifier|assertion|vault[_-]?key"
)
_VALUE = r"""(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|\\"[^"\\]*\\?"?|[^\s&,;"'<>(){}\[\]\\]+)"""
_RANDOM = r"(?=[\w.~+/%-]*\d)[\w.~+/%-]{12,}"

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # user:password@ of a URL
    (re.compile(r"(?<=://)[^\s/?#\"'<>]+(?=@)"), MASK),
    # JSON web tokens, whole or cut
    (re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]*){0,4}"), MASK),
    # header lines that hold nothing but a credential
    (
        re.compile(r"""(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(["']?\s*[:=]\s*)(["']?)[^\r\n"',}]+"""),
        rf"\1\2\3{MASK}",
    ),
    (re.compile(r"(?i)\b(bearer(?:\s+|%20|\+))[\w.~+/=-]{8,}"), rf"\1{MASK}"),
    # name=value, "name": "value", name: value
    (re.compile(rf"""(?i)({_NAMES})(\\?["']?\s*(?:[:=]|%3D)\s*){_VALUE}"""), rf"\1\2{MASK}"),
    # code and state mean a login only inside a query, or when they look drawn at random
    (re.compile(r"(?i)((?:[?&]|%3F|%26|&amp;)(?:code|state)(?:=|%3D))[^&\s\"'<>#]+"), rf"\1{MASK}"),
    (re.compile(r"(?i)(?<![\w-])((?:code|state)=)[^&\s\"'<>#=]+={0,2}(?=&)"), rf"\1{MASK}"),
    (re.compile(rf"""(?i)(?<![\w-])((?:code|state)["']?\s*[:=]\s*["']?){_RANDOM}"""), rf"\1{MASK}"),
    # Nightscout access tokens
    (re.compile(r"(?i)(?<![a-z0-9_-])[a-z0-9_]{0,10}-[0-9a-f]{16}(?![\w-])"), MASK),
    (re.compile(r"(?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+"), MASK),
)


_COARSE = re.compile(rf"""[^\s"'<>(){{}}\[\],;]{{{_SHORTEST_HIDDEN},}}""")
_FINE = re.compile(rf"""[^\s"'<>(){{}}\[\],;:/=&?|]{{{_SHORTEST_HIDDEN},}}""")
"""Words with and without the signs that stand inside addresses, and inside some tokens."""


def _known_word(word: re.Match[str]) -> str:
    return MASK if word[0] in _words else word[0]


def redact_text(text: str) -> str:
    """The text with secrets and e-mail addresses masked; doing it twice changes nothing more."""
    for secret in tuple(_hidden):
        if secret in text:
            text = text.replace(secret, MASK)
    if len(_words) > len(_hidden):
        text = _FINE.sub(_known_word, _COARSE.sub(_known_word, text))
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


_SECRET_KEY = re.compile(rf"(?i).*(?:{_NAMES}|authorization|cookie|jwt)")
_LOGIN_KEY = re.compile(r"(?i)code|state")
_RANDOM_TEXT = re.compile(_RANDOM)


def redact_event(logger: Any, name: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: masks keys and values at any depth and turns `exc_info` into masked text.

    Put it last before the renderer.
    """
    exc_info = event_dict.pop("exc_info", None)
    if exc_info:
        event_dict["exception"] = _traceback(exc_info)
    for key, value in event_dict.items():
        event_dict[key] = _redact_pair(key, value, 0)
    return event_dict


def _traceback(exc_info: Any) -> str:
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
    return "" if error is None else "".join(traceback.format_exception(error))


def _redact_pair(key: Any, value: Any, depth: int) -> Any:
    if not isinstance(key, str) or value is None or isinstance(value, bool):
        return _redact(value, depth)
    if _SECRET_KEY.fullmatch(key):
        return MASK
    if _LOGIN_KEY.fullmatch(key) and isinstance(value, str) and _RANDOM_TEXT.fullmatch(value):
        return MASK
    return _redact(value, depth)


def _redact(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (int, float, date, timedelta)):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if depth >= _DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {redact_text(str(key)): _redact_pair(key, inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_redact(inner, depth + 1) for inner in value]
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {redact_text(str(value))}"
    return redact_text(str(value))
