"""What evidence proves: constructed cases for each level, and everything that is missing found and named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts import Interval, Level, Verification
from bridge.model.records import (
    Basal,
    Bolus,
    BolusCalculation,
    Calibration,
    Carbs,
    DeviceEvent,
    MeterGlucose,
    PumpSettings,
    Record,
    SensorGlucose,
)
from bridge.simulators.patient import fixed
from bridge.uploader.comparing import compare
from bridge.uploader.evidence import Account, Asked, Evidence, Listed, account_of, calendar_of, listed, same_device
from bridge.uploader.matching import Fact, holes, match
from bridge.uploader.verdict import judge
from tests.uploader.facts import DEVICE, NOW, SERIAL, glucose, made

UTC_CLOCK = fixed(0)
WINDOW = Interval(NOW - timedelta(hours=24), NOW)
ENTRY = Listed(NOW + timedelta(minutes=3), "MiniMed 780G", SERIAL, is_mobile=False, status="SUCCESS")
COVERED = Interval(NOW - timedelta(days=90), NOW + timedelta(minutes=2))


def day() -> list[Record]:
    """A day of everything that must be found again."""
    return [
        *(glucose(WINDOW.start + timedelta(minutes=5 * n), 80 + n % 90) for n in range(288)),
        *(one(Bolus, f"b{n}", n * 5 + 1, delivered_u=2.5 + n) for n in range(4)),
        *(one(BolusCalculation, f"w{n}", n * 5 + 1, carbs_g=40 + n) for n in range(4)),
        *(one(Carbs, f"c{n}", n * 5 + 1, grams=40 + n) for n in range(4)),
        *(one(MeterGlucose, f"m{n}", n * 7 + 1, mgdl=120 + n) for n in range(3)),
        *(one(Calibration, f"k{n}", n * 7 + 1, mgdl=120 + n) for n in range(3)),
        *(one(Basal, f"d{n}", n / 4, delivery="automatic", dose_u=0.1) for n in range(96)),
        *(one(DeviceEvent, f"a{n}", n * 6 + 2, event="alarm", code=802) for n in range(3)),
        one(DeviceEvent, "p", 3, event="prime", target="tubing"),
    ]


def one(model: type[Record], uid: str, hours: float, **body: Any) -> Record:
    return made(model, uid, WINDOW.start + timedelta(hours=hours), UTC_CLOCK, **body)


def asked(local: Sequence[Record] | None = None, **changed: Any) -> Asked:
    return Asked(DEVICE, WINDOW, NOW, day() if local is None else local, **changed)


def evidence(**changed: Any) -> Evidence:
    return replace(Evidence("CareLink", Account("77", is_patient=True)), **changed)


def verdict(wanted: Asked | None = None, **changed: Any) -> Verification:
    return judge(wanted or asked(), evidence(**changed), NOW)


def said(found: Verification) -> str:
    return " ".join(found.evidence)


def calendar(*lost: tuple[float, float]) -> dict[str, list[Interval]]:
    """Whole-day segments of both categories without the lost hours of the sensor."""
    spans, at = [], WINDOW.start
    for start, end in lost:
        spans.append(Interval(at, WINDOW.start + timedelta(hours=start)))
        at = WINDOW.start + timedelta(hours=end)
    return {"SENSOR": [*spans, Interval(at, WINDOW.end)], "BASAL_INSULIN": [WINDOW]}


# --- levels ----------------------------------------------------------------------------------------


def test_nothing_could_be_asked() -> None:
    assert verdict().level is Level.UNVERIFIED


def test_seen() -> None:
    found = verdict(uploads=[ENTRY])
    assert (found.level, found.checked_at) == (Level.SEEN, NOW)


@pytest.mark.parametrize(("early_s", "level"), [(0, Level.SEEN), (120, Level.SEEN), (121, Level.UNVERIFIED)])
def test_an_entry_may_be_two_minutes_older_than_the_upload(early_s: int, level: Level) -> None:
    assert verdict(uploads=[replace(ENTRY, date=NOW - timedelta(seconds=early_s))]).level is level


def test_the_servers_clock_counts() -> None:
    behind = replace(ENTRY, date=NOW - timedelta(minutes=30))
    assert verdict(uploads=[behind]).level is Level.UNVERIFIED
    assert verdict(uploads=[behind], ahead_s=-1800.0).level is Level.SEEN
    assert verdict(uploads=[ENTRY], ahead_s=3600.0).level is Level.UNVERIFIED


def test_any_entry_counts_for_a_device_without_a_serial() -> None:
    other = replace(ENTRY, serial="XX1111111X")
    assert verdict(uploads=[other]).level is Level.UNVERIFIED
    assert verdict(replace(asked(), device=replace(DEVICE, serial="")), uploads=[other]).level is Level.SEEN


def test_covered_with_a_quarter_of_an_hour_for_the_sensor_and_six_hours_for_the_rest() -> None:
    newest = max(record.time for record in day())
    until = [Interval(NOW - timedelta(days=9), newest - timedelta(minutes=minutes)) for minutes in (0, 15, 16)]
    assert [verdict(covered=span).level for span in until] == [Level.COVERED, Level.COVERED, Level.UNVERIFIED]
    boluses = asked([record for record in day() if record.kind == "bolus"])
    newest = max(record.time for record in boluses.local)
    until = [Interval(NOW - timedelta(days=9), newest - timedelta(hours=hours)) for hours in (6, 7)]
    assert [verdict(boluses, covered=span).level for span in until] == [Level.COVERED, Level.UNVERIFIED]


def test_without_local_records_the_covered_time_proves_nothing() -> None:
    found = verdict(asked([]), covered=COVERED)
    assert found.level is Level.UNVERIFIED
    assert "nothing here to compare" in said(found)


def test_covered_plus() -> None:
    assert verdict(calendar=calendar()).level is Level.COVERED_PLUS
    assert verdict(calendar=calendar((4, 4.2))).level is Level.COVERED_PLUS


def test_a_hole_in_the_calendar_is_found_and_named() -> None:
    found = verdict(covered=COVERED, calendar=calendar((4, 5)))
    assert found.level is Level.COVERED
    assert "lacks sensor_glucose: 2026-03-09 22:02 UTC to 2026-03-09 23:02 UTC" in said(found)


def test_a_hole_in_which_the_device_has_nothing_either_is_none() -> None:
    start = WINDOW.start + timedelta(hours=4)
    local = [record for record in day() if not start < record.time < start + timedelta(hours=1)]
    assert verdict(asked(local), calendar=calendar((4, 5))).level is Level.COVERED_PLUS


def test_a_calendar_without_a_category_proves_nothing() -> None:
    without = {"BASAL_INSULIN": [WINDOW]}
    found = verdict(covered=COVERED, calendar=without)
    assert found.level is Level.COVERED
    assert "names no category for sensor_glucose" in said(found)
    assert verdict(calendar={"SENSOR": [], "BASAL": [WINDOW]}).level is Level.UNVERIFIED


def test_complete() -> None:
    found = verdict(records=day())
    assert found.level is Level.COMPLETE
    assert {name: (check.expected, check.found, list(check.missing)) for name, check in found.per_type.items()} == {
        "sensor_glucose": (288, 288, []), "bolus": (4, 4, []), "wizard": (4, 4, []), "carbs": (4, 4, []),
        "meter_bg": (3, 3, []), "calibration": (3, 3, []), "alarm": (3, 3, []), "prime_rewind": (1, 1, []),
        "basal": (2, 2, []),
    }  # fmt: skip
    assert not any(check.gaps for check in found.per_type.values())


def test_more_there_than_here_is_told_and_no_fault() -> None:
    found = verdict(asked(day()[10:]), records=day())
    assert found.level is Level.COMPLETE
    assert "10 more there than here" in said(found)


def test_nothing_compared_is_not_complete() -> None:
    assert verdict(asked([]), records=day(), uploads=[ENTRY]).level is Level.SEEN


# --- what is missing -------------------------------------------------------------------------------


def without(start: float, end: float) -> list[Record]:
    low, high = (WINDOW.start + timedelta(hours=hours) for hours in (start, end))
    return [record for record in day() if not low <= record.time < high]


def test_a_dropped_hour_is_found_and_named() -> None:
    found = verdict(records=without(4, 5), uploads=[ENTRY], covered=COVERED)
    assert found.level is Level.PARTIAL
    check = found.per_type["sensor_glucose"]
    low = WINDOW.start + timedelta(hours=4)
    assert (check.expected, check.found) == (288, 276)
    assert list(check.missing) == [low + timedelta(minutes=5 * n) for n in range(12)]
    assert list(check.gaps) == [Interval(low - timedelta(minutes=5), low + timedelta(hours=1))]
    assert (
        "sensor_glucose: 276 of 288 found; 12 missing between 2026-03-09 22:02 UTC and 2026-03-09 22:57 UTC"
        in said(found)
    )
    assert "gaps: 2026-03-09 21:57 UTC to 2026-03-09 23:02 UTC" in said(found)


def test_a_dropped_hour_on_a_devices_clock_elsewhere_is_named_in_utc() -> None:
    """The clock of the device is at UTC-5; the file knows only that clock."""
    clock = fixed(-300)
    local = [
        made(SensorGlucose, f"{n}", WINDOW.start + timedelta(minutes=5 * n), clock, mgdl=100) for n in range(288)
    ]
    low = WINDOW.start + timedelta(hours=4)
    found = verdict(asked(local), records=[r for r in local if not low <= r.time < low + timedelta(hours=1)])
    assert list(found.per_type["sensor_glucose"].gaps) == [
        Interval(low - timedelta(minutes=5), low + timedelta(hours=1))
    ]


def test_a_row_that_tells_why_there_is_no_reading_is_no_gap() -> None:
    why = [
        made(SensorGlucose, f"x{n}", WINDOW.start + timedelta(hours=4, minutes=5 * n), UTC_CLOCK) for n in range(12)
    ]
    found = verdict(records=[*without(4, 5), *why])
    assert found.per_type["sensor_glucose"].gaps == []
    assert len(found.per_type["sensor_glucose"].missing) == 12


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("sensor_glucose", "sensor_glucose"), ("meter_glucose", "meter_bg"), ("calibration", "calibration"),
        ("bolus", "bolus"), ("bolus_calculation", "wizard"), ("basal", "basal"),
    ],
)  # fmt: skip
def test_a_dropped_type_is_found_and_named(kind: str, name: str) -> None:
    local = [record for record in day() if record.kind != "carbs" or kind != "bolus_calculation"]
    found = verdict(asked(local), records=[record for record in local if record.kind != kind], covered=COVERED)
    assert found.level is Level.PARTIAL
    assert [each for each, check in found.per_type.items() if check.missing] == [name]
    assert found.per_type[name].found == 0
    assert f"{name}: 0 of " in said(found)


def test_missing_alarms_are_partial_but_only_a_warning() -> None:
    found = verdict(records=[record for record in day() if record.kind != "device_event"])
    assert found.level is Level.PARTIAL
    assert "alarm: 0 of 3 found; 3 missing" in said(found)
    assert said(found).count("(only a warning)") == 2


def test_settings_that_the_export_cannot_show_are_never_a_success() -> None:
    local = [*day(), one(PumpSettings, "s", 3)]
    found = verdict(asked(local), records=day())
    assert found.level is Level.COVERED_PLUS
    assert not found.per_type["settings"].checkable
    assert found.per_type["settings"].found == 0
    assert "the export cannot show this type" in said(found)
    assert verdict(asked(local), records=local).level is Level.COMPLETE
    alone = verdict(asked([one(PumpSettings, "s", 3)]), records=day(), uploads=[ENTRY])
    assert alone.level is Level.SEEN


def test_what_is_not_compared_is_told() -> None:
    local = [*day(), one(DeviceEvent, "s", 3, event="sensor_start")]
    found = verdict(asked(local), records=day())
    assert "Not compared: 1 device_event." in said(found)
    assert "device_event" not in found.per_type


def test_daily_totals_stand_for_the_doses_of_their_day() -> None:
    days = [one(DeviceEvent, f"t{n}", n * 24 - 18, event="daily_auto_insulin_total", volume_u=20) for n in range(2)]
    rest = [record for record in day() if record.kind != "basal"]
    assert verdict(records=[*rest, *days]).level is Level.COMPLETE
    found = verdict(records=[*rest, days[1]])
    assert found.level is Level.PARTIAL
    assert (found.per_type["basal"].expected, found.per_type["basal"].found) == (2, 1)


def test_carbohydrates_are_found_in_what_the_calculator_was_told() -> None:
    assert verdict(records=[record for record in day() if record.kind != "carbs"]).level is Level.COMPLETE


# --- mismatch --------------------------------------------------------------------------------------


def test_another_account_answers() -> None:
    found = verdict(asked(account_id="78"), uploads=[ENTRY], covered=COVERED, records=day())
    assert found.level is Level.MISMATCH
    assert found.evidence[0].startswith("Another account")
    assert verdict(asked(account_id="77"), records=day()).level is Level.COMPLETE


def test_the_values_of_somebody_else() -> None:
    random = Random(4)
    other = [glucose(record.time, random.randint(60, 250)) for record in day() if record.kind == "sensor_glucose"]
    found = verdict(records=other)
    assert found.level is Level.MISMATCH
    assert "Other values" in found.evidence[0]
    assert "sensor_glucose" in found.evidence[0]


@pytest.mark.parametrize(("count", "level"), [(14, Level.PARTIAL), (15, Level.MISMATCH)])
def test_five_percent_may_differ(count: int, level: Level) -> None:
    local = [record for record in day() if record.kind == "sensor_glucose"][:280]
    changed = [glucose(record.time, 300) if n < count else record for n, record in enumerate(local)]
    found = verdict(asked(local), records=changed)
    assert found.level is level
    assert len(found.per_type["sensor_glucose"].missing) == count
    assert "of these are there with another value" in said(found)


def test_a_device_of_another_person() -> None:
    theirs = replace(ENTRY, serial="NG7654321H")
    assert verdict(asked(elsewhere=frozenset({"NG7654321H"})), uploads=[ENTRY, theirs]).level is Level.MISMATCH
    assert verdict(asked(elsewhere=frozenset({SERIAL})), uploads=[ENTRY]).level is Level.MISMATCH
    long_ago = replace(theirs, date=WINDOW.start - timedelta(hours=1))
    assert verdict(asked(elsewhere=frozenset({"NG7654321H"})), uploads=[ENTRY, long_ago]).level is Level.SEEN


def test_a_serial_that_only_looks_alike_accuses_nobody() -> None:
    alike = replace(ENTRY, serial="XY7654321H")
    assert same_device("XY7654321H", "NG7654321H")
    assert verdict(asked(elsewhere=frozenset({"NG7654321H"})), uploads=[ENTRY, alike]).level is Level.SEEN


def test_no_text_shows_a_whole_serial() -> None:
    theirs = replace(ENTRY, serial="NG7654321H")
    for found in (
        verdict(asked(elsewhere=frozenset({"NG7654321H", SERIAL})), uploads=[ENTRY, theirs]),
        verdict(uploads=[ENTRY], covered=COVERED, records=without(4, 5)),
    ):
        assert "7654321" not in said(found)
        assert "0000005" not in said(found)


# --- stale -----------------------------------------------------------------------------------------


def test_stale_timestamps_are_found_and_named() -> None:
    old = replace(ENTRY, date=NOW - timedelta(hours=9), is_mobile=True)
    found = verdict(uploads=[old], covered=Interval(NOW - timedelta(days=90), NOW - timedelta(hours=9)))
    assert found.level is Level.UNVERIFIED
    assert "no newer upload of this device than that of 2026-03-10 09:02 UTC" in said(found)
    assert "covers the time until 2026-03-10 09:02 UTC only, 8 h before the newest record here" in said(found)


def test_a_fresh_feed_confirms_no_upload_of_the_history() -> None:
    local = [glucose(NOW - timedelta(minutes=5)).model_copy(update={"reader": "carelink-cloud"})]
    found = verdict(asked(local), uploads=[])
    assert found.level is Level.UNVERIFIED
    assert "feed is fresh, an upload of the history is not confirmed" in said(found)
    assert "feed" not in said(verdict(asked(local), uploads=[ENTRY]))
    assert "feed" not in said(judge(asked(local), replace(evidence(uploads=[]), where="The server x"), NOW))


def test_only_a_mobile_entry_is_said_to_be_the_phones() -> None:
    assert "phone" not in said(verdict(uploads=[ENTRY]))
    assert "The phone's app uploaded at 2026-03-10 18:05 UTC" in said(
        verdict(uploads=[replace(ENTRY, is_mobile=True)])
    )


def test_a_status_is_information_and_never_needed() -> None:
    for status in ("FAILED", "", "<b>odd</b>", "x" * 500):
        found = verdict(uploads=[replace(ENTRY, status=status)])
        assert found.level is Level.SEEN
    assert "<b>" not in said(verdict(uploads=[replace(ENTRY, status="<b>odd</b>")]))


def test_notes_are_kept() -> None:
    assert "Not available: the export (x)." in verdict(notes=["Not available: the export (x)."]).evidence


# --- matching --------------------------------------------------------------------------------------


def moved(record: Record, seconds: float, **body: Any) -> Record:
    assert record.device_time is not None
    shift = timedelta(seconds=seconds)
    return record.model_copy(update={"time": record.time + shift, "device_time": record.device_time + shift, **body})


@pytest.mark.parametrize(
    ("record", "field", "close", "far"),
    [
        (glucose(NOW), "mgdl", 121, 122),
        (one(MeterGlucose, "m", 1, mgdl=120), "mgdl", 119, 118),
        (one(Calibration, "k", 1, mgdl=120), "mgdl", 121, 122),
        (one(Bolus, "b", 1, delivered_u=2.5), "delivered_u", 2.525, 2.55),
        (one(Carbs, "c", 1, grams=40), "grams", 40.5, 41),
        (one(BolusCalculation, "w", 1, carbs_g=40), "carbs_g", 39.5, 39),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_tolerances_of_value(record: Record, field: str, close: float, far: float) -> None:
    def missing(value: float) -> int:
        (check,) = compare([record], [record.model_copy(update={field: value})]).checks.values()
        return len(check.missing)

    assert (missing(close), missing(far)) == (0, 1)


@pytest.mark.parametrize(
    ("kind", "close", "far"), [("sensor_glucose", 150, 151), ("bolus", 60, 61), ("alarm", -60, -61)]
)
def test_tolerances_of_time(kind: str, close: int, far: int) -> None:
    record = {
        "sensor_glucose": glucose(NOW),
        "bolus": one(Bolus, "b", 1, delivered_u=2.5),
        "alarm": one(DeviceEvent, "a", 1, event="alarm"),
    }[kind]
    for seconds, lost in ((close, 0), (far, 1)):
        (check,) = compare([record], [moved(record, seconds)]).checks.values()
        assert len(check.missing) == lost


def test_times_are_compared_on_the_devices_clock() -> None:
    """The export was read with a wrong zone: its instants are off by an hour, its clock is right."""
    there = [record.model_copy(update={"time": record.time + timedelta(hours=1)}) for record in day()]
    assert verdict(records=there).level is Level.COMPLETE


def test_two_equal_boluses_in_one_second_need_two_rows() -> None:
    twins = [one(Bolus, name, 1, delivered_u=1.0) for name in "ab"]
    assert compare(twins, twins).checks["bolus"].found == 2
    check = compare(twins, twins[:1]).checks["bolus"]
    assert (check.expected, check.found, len(check.missing)) == (2, 1, 1)


def test_a_bolus_that_still_runs_is_compared_by_time_alone() -> None:
    running = one(Bolus, "b", 1, delivered_u=1.0, completed=False)
    assert compare([running], [running.model_copy(update={"delivered_u": 4.0})]).checks["bolus"].found == 1


def test_a_clock_change_is_compared_by_what_it_was_set_to() -> None:
    after = datetime.fromisoformat("2026-03-10T03:00:00")
    ours = one(DeviceEvent, "t", 1, event="time_change", clock_to=after)
    theirs = one(DeviceEvent, "u", 9, event="time_change", clock_to=after + timedelta(seconds=20))
    assert compare([ours], [theirs]).checks["time_change"].found == 1


ZERO = datetime.fromisoformat("2026-01-01T00:00:00")
MINUTES = st.lists(st.integers(0, 600), max_size=40)


@given(local=MINUTES, there=MINUTES, within=st.integers(0, 7))
def test_matching_is_one_to_one_and_as_large_as_can_be(local: list[int], there: list[int], within: int) -> None:
    def facts(minutes: list[int]) -> list[Fact]:
        return [Fact(ZERO + timedelta(minutes=m), NOW + timedelta(minutes=m), None) for m in minutes]

    outcome = match(facts(local), facts(there), timedelta(minutes=within), 0)
    assert len(outcome.found) + len(outcome.differing) + len(outcome.missing) == len(local)
    assert len(outcome.found) + outcome.extra == len(there)
    assert len(outcome.found) == largest(local, there, within)


def largest(local: list[int], there: list[int], within: int) -> int:
    """The size of the largest pairing, by augmenting paths."""
    owner: dict[int, int] = {}

    def placed(index: int, tried: set[int]) -> bool:
        for at, minute in enumerate(there):
            if abs(minute - local[index]) <= within and at not in tried:
                tried.add(at)
                if at not in owner or placed(owner[at], tried):
                    owner[at] = index
                    return True
        return False

    return sum(placed(index, set()) for index in range(len(local)))


@given(spans=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 30)), max_size=12), limit=st.integers(0, 20))
def test_holes_are_longer_than_the_limit_and_touch_no_span(spans: list[tuple[int, int]], limit: int) -> None:
    def at(minute: int) -> datetime:
        return ZERO + timedelta(minutes=minute)

    held = [(at(start), at(start + length)) for start, length in spans]
    found = list(holes(held, at(0), at(100), timedelta(minutes=limit)))
    for start, end in found:
        assert end - start > timedelta(minutes=limit)
        assert at(0) <= start < end <= at(100)
        assert not any(since < end and until > start for since, until in held)
    assert found == sorted(found)


# --- answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", [None, [], "x", 5, {}, {"recentUploads": 4}, {"dataProvider": {}}, {"id": None}])
def test_odd_answers_are_unknown(odd: Any) -> None:
    assert listed(odd) is None
    assert calendar_of(odd) is None
    assert account_of(odd) is None


def test_odd_rows_are_left_out() -> None:
    rows = {"recentUploads": [5, {}, {"date": "x"}, {"date": 1738350190000, "device": None, "serialNumber": 7}]}
    (entry,) = listed(rows) or []
    assert (entry.device, entry.serial, entry.is_mobile) == ("", "7", False)
    told = {"dataProvider": [4, {"category": "A"}, {"category": "B", "segments": [{}, {"start": "x", "end": "y"}]}]}
    assert calendar_of(told) == {"B": []}


def test_account() -> None:
    assert account_of({"id": 7, "accountId": 8, "role": "PATIENT_OUS"}) == Account("7", is_patient=True)
    carer = account_of({"id": 7, "role": "CARE_PARTNER_OUS"})
    assert carer is not None
    assert not carer.is_patient
