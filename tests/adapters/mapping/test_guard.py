"""The last look at a Nightscout document."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.nightscout.mapping import check
from bridge.contracts import Document
from bridge.errors import Refused
from tests.adapters.mapping.made import documents, make, to_nightscout
from tests.adapters.mapping.test_vectors import read


def document(kind: str, **fields: Any) -> Document:
    record = make(kind, **fields)
    (one,) = documents(to_nightscout([record]), record)
    return one


SGV = document("sensor_glucose", mgdl=120)
NOTE = document("note", text="hello")
STATUS = document("pump_status", reservoir_u=3, suspended=True)


@pytest.mark.parametrize("name", ["records.ndjson", "780g.records.ndjson"])
def test_lets_all_expected_documents_pass(name: str) -> None:
    for one in to_nightscout(read(name)).documents.values():
        check(one)


@pytest.mark.parametrize(
    ("good", "field", "value"),
    [
        (SGV, "sgv", None),
        (SGV, "sgv", "120"),
        (SGV, "sgv", True),
        (SGV, "sgv", 7),
        (SGV, "date", 1773100860.5),
        (SGV, "noise", True),
        (SGV, "dateString", "2026-03-10T00:00:00"),
        (SGV, "device", ""),
        (SGV, "trend", 4),
        (NOTE, "eventType", ""),
        (NOTE, "eventType", 5),
        (NOTE, "eventType", True),
        (NOTE, "notes", "<b>"),
        (NOTE, "notes", "a & b"),
        (NOTE, "notes", "a\nb"),
        (NOTE, "notes", "x" * 1001),
        (NOTE, "insulin", float("nan")),
        (NOTE, "insulin", float("inf")),
        (NOTE, "insulin", -1),
        (NOTE, "duration", None),
        (NOTE, "automatic", 1),
        (NOTE, "identifier", "not-a-uuid"),
        (STATUS, "pump", {"clock": "2026-03-10T00:00:00.000Z", "reservoir": "3"}),
        (STATUS, "pump", {"clock": "2026-03-10T00:00:00.000Z", "suspended": True}),
        (STATUS, "utcOffset", 60),
        (STATUS, "utcOffset", False),
    ],
)
def test_refuses_what_a_site_would_store_wrongly(good: Document, field: str, value: object) -> None:
    check(good)
    with pytest.raises(Refused, match=field):
        check(replace(good, body={**good.body, field: value}))


def test_a_missing_field_is_named() -> None:
    body = {name: value for name, value in NOTE.body.items() if name != "eventType"}
    with pytest.raises(Refused, match="eventType"):
        check(replace(NOTE, body=body))


def test_only_what_has_happened_leaves() -> None:
    ahead = 5 * 60_000
    check(SGV, now_ms=SGV.instant_ms - ahead)
    with pytest.raises(Refused, match="instant"):
        check(SGV, now_ms=SGV.instant_ms - ahead - 1)
    with pytest.raises(Refused, match="instant"):
        check(replace(SGV, instant_ms=946_684_799_999))
