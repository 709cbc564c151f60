"""What looks unfamiliar is said, and what does not is not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from bridge.model.records import Bolus, Carbs, Record
from bridge.reports import Known, Review, review
from tests.contracts.journal_records import CLOUD, NOW, PUMP, envelope, glucose

SERIAL, GUEST = PUMP.serial or "", PUMP.model_copy(update={"serial": "NG7777777H"})
EARLIER = [glucose(-60 * 24 * 10 - 5 * n, mgdl=90 + n % 60) for n in range(200)]
OWN = Known({SERIAL: None})


def made(model: type[Record], minutes: float = 0, **body: Any) -> Record:
    return model(**envelope(str(model.model_fields["kind"].default), minutes, "", CLOUD, body))


def codes(found: Review) -> list[tuple[str, int]]:
    return [(flag.code, flag.count) for flag in found.flags]


def seen(*records: Record, known: Known = OWN, earlier: Sequence[Record] = EARLIER) -> Review:
    return review(earlier, records, known)


def test_entries_are_counted_by_device_and_type() -> None:
    found = seen(glucose(-10), glucose(-5), made(Carbs, grams=30))
    assert [(row.kind, row.count) for row in found.rows] == [("carbs", 1), ("sensor_glucose", 2)]
    (_, sensor) = found.rows
    assert (sensor.first, sensor.last) == (NOW - timedelta(minutes=10), NOW - timedelta(minutes=5))
    assert found.flags == []


def test_a_device_never_seen_before_is_said_once_with_its_count() -> None:
    assert codes(seen(glucose(-10, device=GUEST), glucose(-5, device=GUEST))) == [("unknown_serial", 2)]


def test_a_bound_or_long_known_device_is_not() -> None:
    bound = Known({SERIAL: None, "NG7777777H": None})
    assert codes(seen(glucose(-10, device=GUEST), known=bound)) == []
    assert codes(seen(glucose(-10, device=GUEST), earlier=[*EARLIER, glucose(-60 * 24 * 9, device=GUEST)])) == []


def test_a_device_of_somebody_else_is() -> None:
    known = Known({SERIAL: None}, frozenset({"NG7777777H"}))
    (flag,) = seen(glucose(-10, device=GUEST), known=known).flags
    assert flag.code == "device_of_another"
    assert "NG7777777H" not in flag.text
    assert "…77H" in flag.text


def test_records_older_than_the_binding_are_said() -> None:
    known = Known({SERIAL: NOW - timedelta(hours=1)})
    assert codes(seen(glucose(-90), glucose(-30), known=known)) == [("before_binding", 1)]


def test_a_value_far_out_of_the_pattern_is_said_and_one_at_its_edge_is_not() -> None:
    assert codes(seen(glucose(-10, mgdl=400))) == [("unusual_value", 1)]
    assert codes(seen(glucose(-10, mgdl=20))) == [("unusual_value", 1)]
    assert codes(seen(glucose(-10, mgdl=155))) == []


def test_without_a_pattern_no_value_is_unusual() -> None:
    assert codes(seen(glucose(-10, mgdl=400), earlier=EARLIER[:49])) == []


def test_what_the_pump_doses_by_itself_is_no_pattern_of_the_person() -> None:
    earlier = [made(Bolus, minutes=-60 * 24 * 10 - n, delivered_u=3 + n % 3, automatic=False) for n in range(60)]
    tiny = made(Bolus, minutes=-10, delivered_u=0.05, automatic=True)
    assert codes(seen(tiny, earlier=[*EARLIER, *earlier])) == []
    big = made(Bolus, minutes=-10, delivered_u=15, automatic=False)
    assert codes(seen(big, earlier=[*EARLIER, *earlier])) == [("unusual_value", 1)]
