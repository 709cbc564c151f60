"""Identity of a record: frozen for ever, see docs/model.md.

`id = uuid5(namespace, profile | device_or_feed | kind | source_key)`. Nothing that can still change
is in the key.
"""

from __future__ import annotations

import unicodedata
from hashlib import sha1
from uuid import NAMESPACE_URL, UUID, uuid5

NAMESPACE = uuid5(NAMESPACE_URL, "https://glucobridge.org/records")


def _part(text: str) -> str:
    return unicodedata.normalize("NFC", text).replace("%", "%25").replace("|", "%7C")


def _uuid5(name: str) -> str:
    digest = sha1(NAMESPACE.bytes + name.encode(), usedforsecurity=False).digest()
    return str(UUID(bytes=digest[:16], version=5))


def record_id(profile: str, device_or_feed: str, kind: str, source_key: str) -> str:
    """UUIDv5 text of a record; the parts are NFC-normalised and escaped."""
    return _uuid5("|".join(map(_part, (profile, device_or_feed, kind, source_key))))


def second_id(record: str, role: str) -> str:
    """UUIDv5 text of a further document of one record (mapping: role `zero`)."""
    return _uuid5(f"{record}|{role}")


def bolus_datum_id(record: str) -> str:
    """32 hex digits: the fixed `id` of a record's bolus datum."""
    return second_id(record, "bolus").replace("-", "")
