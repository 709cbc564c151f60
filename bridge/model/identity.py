"""Identity of a record: frozen for ever, see docs/model.md.

`id = uuid5(namespace, profile | device_or_feed | kind | source_key)`. Nothing that can still change
is in the key.
"""

from __future__ import annotations

import unicodedata
from hashlib import sha1
from uuid import NAMESPACE_URL, uuid5

NAMESPACE = uuid5(NAMESPACE_URL, "https://glucobridge.org/records")
_NAMESPACE = NAMESPACE.bytes


def _part(text: str) -> str:
    return unicodedata.normalize("NFC", text).replace("%", "%25").replace("|", "%7C")


def _uuid5(name: str) -> str:
    """As `uuid.uuid5`, at half its cost: every row of every read is named."""
    digest = bytearray(sha1(_NAMESPACE + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def record_id(profile: str, device_or_feed: str, kind: str, source_key: str) -> str:
    """UUIDv5 text of a record; the parts are NFC-normalised and escaped."""
    return _uuid5("|".join(map(_part, (profile, device_or_feed, kind, source_key))))


def second_id(record: str, role: str) -> str:
    """UUIDv5 text of a further document of one record (mapping: role `zero`)."""
    return _uuid5(f"{record}|{role}")


def bolus_datum_id(record: str) -> str:
    """32 hex digits: the fixed `id` of a record's bolus datum."""
    return second_id(record, "bolus").replace("-", "")
