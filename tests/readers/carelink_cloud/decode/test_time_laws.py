"""Time is honest: zones, both edges of summer time, travel, a drifting clock, lost polls."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts import Memory
from tests.readers.carelink_cloud.decode.payloads import (
    START,
    STEP,
    Follower,
    World,
    after,
    changing,
    constant,
    decoded_of,
    dose,
    glucose,
    marker,
    meal,
    of_kind,
    payload,
    sg,
    wall_text,
)

LONG = os.environ.get("GLUCOBRIDGE_PROOF") == "long"
QUARTER = timedelta(minutes=15)
HOUR = timedelta(hours=1)
OFFSETS = st.integers(-48, 56).map(lambda quarters: quarters * QUARTER)


def odd_zones() -> list[str]:
    """IANA zones with an offset of no whole hour in January or July."""
    days = (datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 7, 15, tzinfo=UTC))
    odd = [
        name
        for name in sorted(available_timezones())
        if any((day.astimezone(ZoneInfo(name)).utcoffset() or HOUR) % HOUR for day in days)
    ]
    assert {"Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns", "Australia/Adelaide", "Pacific/Chatham"} <= set(odd)
    return odd


@pytest.mark.parametrize("month", [1, 7])
def test_zones_of_quarter_and_half_hours(month: int) -> None:
    for name in odd_zones():
        now = datetime(2026, month, 15, 3, 17, tzinfo=UTC)
        offset = now.astimezone(ZoneInfo(name)).utcoffset() or HOUR
        if offset % QUARTER:
            continue
        rows = [sg(wall_text(now - STEP * step, offset), glucose(now - STEP * step)) for step in range(5, 0, -1)]
        found = of_kind(decoded_of(payload(now, offset=offset, sgs=rows)).records, "sensor_glucose")
        assert [record.time for record in found] == [now - STEP * step for step in range(5, 0, -1)], name


@settings(max_examples=60, deadline=None)
@given(OFFSETS, st.integers(-290, 290))
def test_any_offset_and_any_small_error_of_the_clock(offset: timedelta, wrong_s: int) -> None:
    wrong = timedelta(seconds=wrong_s)
    follower = Follower(World(constant(offset + wrong), constant(offset)))
    follower.world.live(START + 6 * STEP)
    for step in range(1, 7):
        follower.poll(START + step * STEP + timedelta(seconds=40))
    follower.check(START + 5 * STEP, within=abs(wrong) + timedelta(seconds=1))
    assert {record.utc_offset_min for record in follower.records.values()} == {offset // timedelta(minutes=1)}


def live_through(rng: random.Random, by_min: int, *, skipping: float = 0.0, hours: float = 4.0) -> Follower:
    """Poll through a change of the pump's clock somewhere in the middle."""
    drift = timedelta(seconds=rng.choice([0, 0, -17, 120, -200]))
    before = rng.randrange(-30, 31) * QUARTER + drift
    then = before + timedelta(minutes=by_min)
    changed = START + timedelta(seconds=rng.randint(3600, 7200))
    phone_moves = changed + timedelta(minutes=rng.randint(-60, 60))
    phone = changing(before - drift, phone_moves, then - drift) if rng.random() < 0.5 else constant(before - drift)
    changes = [changed] if rng.random() < 0.7 else []
    follower = Follower(World(changing(before, changed, then), phone, changes=changes))
    now, end = START + timedelta(seconds=rng.randint(30, 299)), START + timedelta(hours=hours)
    follower.world.live(end + STEP)
    while now < end:
        last = now
        if rng.random() >= skipping or now + 2 * STEP >= end:
            follower.poll(now)
        now += STEP + timedelta(seconds=rng.randint(-20, 20))
    follower.check(last - 4 * STEP, within=abs(drift) + timedelta(seconds=2))
    return follower


@pytest.mark.parametrize("by_min", [60, -60, 30, -30, 15, -15, 45, -45, 120, -120, 345, -345])
def test_the_pumps_clock_is_changed_while_we_follow(by_min: int) -> None:
    live_through(random.Random(by_min), by_min)


@pytest.mark.parametrize("by_min", [60, -60, 30, -180])
def test_the_pumps_clock_is_changed_while_polls_are_lost(by_min: int) -> None:
    live_through(random.Random(by_min), by_min, skipping=0.6, hours=4.5)


def test_the_phone_alone_changes_to_summer_time() -> None:
    follower = Follower(World(constant(HOUR), changing(HOUR, START + 6 * STEP, 2 * HOUR)))
    follower.world.live(START + 12 * STEP)
    for step in range(1, 12):
        follower.poll(START + step * STEP + timedelta(seconds=40))
    follower.check(START + 10 * STEP)
    assert follower.last is not None
    assert follower.last.health.state == "clock_mismatch"


def test_a_clock_that_runs_away_slowly_keeps_its_offset_and_its_rows() -> None:
    def pump(at: datetime) -> timedelta:
        return HOUR + (at - START) / 20

    follower = Follower(World(pump, constant(HOUR)))
    end = START + timedelta(minutes=170)
    follower.world.live(end)
    for step in range(1, 34):
        follower.poll(START + step * STEP + timedelta(seconds=40))
    follower.check(START + 30 * STEP, within=timedelta(minutes=8.5))
    assert {record.utc_offset_min for record in follower.records.values()} == {60}


@pytest.mark.parametrize("cut", [0, 1, 7, 20])
def test_the_repeated_hour_at_a_first_read(cut: int) -> None:
    """Two readings of one wall stamp are two; the backward jump shows where the older offset ends."""
    changed = START + timedelta(hours=2, minutes=2)
    world = World(changing(2 * HOUR, changed, HOUR), constant(HOUR))
    world.live(changed + (12 + cut) * STEP)
    follower = Follower(world)
    follower.poll(changed + (12 + cut) * STEP + timedelta(seconds=40))
    found = follower.of("sensor_glucose")
    truth = [at for at in world.readings if at <= changed + (12 + cut) * STEP]
    assert [record.time for record in found] == truth
    assert [record.mgdl for record in found] == [glucose(at) for at in truth]
    keys = [record.source_key for record in found]
    assert len(set(keys)) == len(keys)
    assert any(key.endswith("#2") for key in keys)


@pytest.mark.parametrize("told", [True, False])
def test_the_lost_hour_at_a_first_read_needs_the_pumps_word(told: bool) -> None:
    changed = START + timedelta(hours=1, minutes=2)
    world = World(changing(HOUR, changed, 2 * HOUR), constant(2 * HOUR), changes=[changed] if told else [])
    world.live(changed + 10 * STEP)
    found = of_kind(decoded_of(world.answer(changed + 10 * STEP)).records, "sensor_glucose")
    truth = [at for at in world.readings if at <= changed + 10 * STEP - STEP / 5]
    right = [record.time == at for record, at in zip(found, truth, strict=True)]
    assert all(right) if told else (right[-1] and not right[0])


def test_events_of_the_repeated_hour_are_marked_when_nothing_tells_them_apart() -> None:
    changed = START + timedelta(hours=2)
    now = changed + timedelta(hours=2)
    offset = changing(2 * HOUR, changed, HOUR)
    readings = [now - STEP * step for step in range(48, 0, -1)]
    rows = [sg(wall_text(at, offset(at)), glucose(at)) for at in readings]
    doubled = dose(wall_text(changed + timedelta(minutes=31), HOUR))
    early = dose(wall_text(START + timedelta(minutes=20), 2 * HOUR), 0.2)
    found = of_kind(decoded_of(payload(now, offset=HOUR, sgs=rows, markers=[early, doubled])).records, "basal")
    assert [bool(record.annotation("clock/uncertain")) for record in found] == [False, True]
    assert found[0].time == START + timedelta(minutes=20)


def test_a_lone_event_of_the_doubled_hour_is_placed_by_what_was_news() -> None:
    """The first answer after it tells which of the two hours it was in, without a doubt."""
    changed = START + timedelta(minutes=62)
    world = World(changing(2 * HOUR, changed, HOUR), constant(HOUR))
    eaten = changed + timedelta(minutes=20)
    world.live(eaten + 4 * STEP)
    memory, meals = Memory(), []
    for step in range(1, 21):
        now = START + step * STEP + timedelta(seconds=40)
        document = world.answer(now)
        if now > eaten:
            document["patientData"]["markers"].insert(0, meal(wall_text(eaten, HOUR)))
        decoded = decoded_of(document, memory)
        memory = after(memory, decoded)
        meals += of_kind(decoded.records, "carbs")
    assert {(record.time, record.annotations) for record in meals} == {(eaten, ())}


def test_a_clock_set_back_by_a_day_does_not_swallow_new_rows() -> None:
    """The stamps of thirty hours ago come again, with the same values; they are other events."""
    wall = wall_text(START - STEP, HOUR)
    first = decoded_of(payload(START, sgs=[sg(wall)], markers=[dose(wall)]))
    later = START + timedelta(hours=26)
    set_back = decoded_of(
        payload(later, offset=-10 * HOUR, sgs=[sg(wall)], markers=[dose(wall)]), Memory(first.sightings)
    )
    assert {record.source_key for record in set_back.records if record.kind != "pump_status"} == {
        f"SG:{wall}#2",
        f"AUTO_BASAL_DELIVERY:{wall}#2",
    }


def test_a_time_change_is_told_once() -> None:
    changed = START + timedelta(hours=1)
    world = World(changing(HOUR, changed, 2 * HOUR), constant(HOUR), changes=[changed])
    follower = Follower(world)
    world.live(START + timedelta(hours=2))
    for step in range(1, 24):
        follower.poll(START + step * STEP + timedelta(seconds=50))
    (event,) = [record for record in follower.of("device_event") if record.event == "time_change"]
    assert abs(event.time - changed) < timedelta(seconds=2)


def test_markers_alone_find_the_change_by_the_last_answer() -> None:
    """Without a sensor, what is new lies after the last upload."""
    changed = START + timedelta(minutes=62)
    offset = changing(2 * HOUR, changed, HOUR)
    doses = [START + STEP * step for step in range(26)]
    memory = Memory()
    found: dict[str, datetime] = {}
    for step in range(1, 26):
        now = START + step * STEP + timedelta(seconds=30)
        rows = [dose(wall_text(at, offset(at)), 0.1) for at in doses if at < now]
        rows.append(marker("BG_READING", wall_text(START, 2 * HOUR), unitValue=100))
        decoded = decoded_of(payload(now, offset=offset(now), markers=rows), memory)
        memory = Memory({**memory.sightings, **decoded.sightings}, decoded.state)
        found |= {record.id: record.time for record in of_kind(decoded.records, "basal")}
    assert sorted(found.values()) == doses[: len(found)]
    assert len(found) >= 25


@pytest.mark.proof
def test_proof_a_followed_pump_through_any_change() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(300 if LONG else 6):
        by_min = rng.choice([60, -60, 30, -30, 15, -15, 45, -45, 120, -120, 180, -300, 345])
        live_through(rng, by_min, skipping=rng.choice([0, 0.3, 0.6]), hours=4.5)
