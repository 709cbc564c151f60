"""Takes persons out of raw bytes before anything is stored: names, birth dates, addresses, account and patient ids.

Works on bytes, not on JSON, so that a cut or garbled answer is cleaned as well; what was JSON stays JSON. The
pump's serial stays: records are told apart by it, and it never leaves this machine.
"""

from __future__ import annotations

import re

_PERSONAL = (
    "accountId", "address", "addressLine1", "addressLine2", "birthDate", "city", "conduitSerialNumber",
    "dateOfBirth", "email", "emailAddress", "emails", "familyName", "firstName", "fullName", "givenName",
    "guardianFirstName", "guardianLastName", "lastName", "middleName", "nickname", "parentFirstName",
    "parentLastName", "patientId", "patientName", "patientUsername", "phone", "phoneNumber", "postalCode",
    "preferred_username", "userName", "username",
)  # fmt: skip
_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
_NUMBER = rb"-?[0-9][0-9.eE+-]*+"
_VALUE = rb"(?:(" + _NUMBER + rb")|" + _TEXT + rb"|([\[{]))"
_BRACKET = re.compile(_TEXT + rb"|[\[\]{}]", re.DOTALL)


def _by_first_letter(names: tuple[str, ...]) -> bytes:
    """An alternation that most keys leave at their first letter."""
    starts = sorted({name[0] for name in names})
    groups = (f"{start}(?:{'|'.join(name[1:] for name in names if name[0] == start)})" for start in starts)
    return "|".join(groups).encode()


_ENTRY = re.compile(rb'("(?:' + _by_first_letter(_PERSONAL) + rb')"\s*+:\s*+)' + _VALUE, re.DOTALL)
_LOCAL = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.!#$%&'*+/=?^_`{|}~-"
_ICON_SIZES = (b"2x.", b"3x.")
"""Not mail: names of pictures, `icon@3x.png`."""
_DOMAIN = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"


def redact(body: bytes) -> bytes:
    """The same bytes without persons: such values become an empty text, numbers 0. Never raises."""
    parts: list[bytes] = []
    at = 0
    for found in _ENTRY.finditer(body):
        if found.start() >= at:
            parts += body[at : found.end(1)], b'""' if found[2] is None else b"0"
            at = _closed(body, found.start(3)) if found[3] else found.end()
    return _without_mail(b"".join([*parts, body[at:]]))


def _closed(body: bytes, start: int) -> int:
    """Where the list or object that opens at `start` ends; the end of the bytes when it is cut."""
    depth = 0
    for found in _BRACKET.finditer(body, start):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(found[0], 0)
        if not depth:
            return found.end()
    return len(body)


def _without_mail(body: bytes) -> bytes:
    """Mail addresses anywhere: cut out around the sign, an escape before them kept whole."""
    first, *others = body.split(b"@")
    parts = [first]
    for part in others:
        if part.startswith(_ICON_SIZES):
            parts[-1] += b"@" + part
            continue
        before = parts[-1].rstrip(_LOCAL)
        parts[-1] = before + b"n" if before.endswith(b"\\") else before
        parts.append(part.lstrip(_DOMAIN))
    return b"".join(parts)
