"""The main job: a CareLink account mirrored to Nightscout and Tidepool, by the same engine people run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from bridge.contracts import DeliveryState
from tests.support.clock import FakeClock
from tests.support.house import built, records, require_complete, require_conserved

EVENING = datetime(2026, 3, 10, 18, 0, tzinfo=UTC)


async def test_one_cycle_brings_a_day_to_both_and_a_second_adds_nothing(tmp_path: Path) -> None:
    clock = FakeClock(EVENING)
    async with built(tmp_path, clock) as house:
        async with house.engine() as engine:
            cycle = await engine.once()
            assert (cycle.exit_code, cycle.needs_person) == (0, [])
            assert cycle.new > 300
            await require_conserved(house, engine)
            await require_complete(
                house, engine.journal, EVENING - timedelta(hours=23), EVENING - timedelta(minutes=10)
            )
        before = house.counts()
        async with house.engine() as engine:
            again = await engine.once()
            assert (again.new, again.exit_code) == (0, 0)
        assert house.counts() == before


async def test_a_day_of_polls_ends_as_one_cycle_would(tmp_path: Path) -> None:
    clock = FakeClock(EVENING)
    async with built(tmp_path, clock) as house, house.engine() as engine:
        for _ in range(24):
            assert (await engine.once()).exit_code == 0
            clock.advance(30 * 60)
        await require_conserved(house, engine)
        await require_complete(
            house, engine.journal, EVENING - timedelta(hours=23), clock.now() - timedelta(minutes=45)
        )


async def test_a_lost_journal_adds_nothing_to_either_destination(tmp_path: Path) -> None:
    clock = FakeClock(EVENING)
    async with built(tmp_path, clock, marker_jitter_s=30) as house:
        async with house.engine() as engine:
            await engine.once()
            clock.advance(600)
            await engine.once()
        before = house.counts()
        for file in tmp_path.glob("journal.db*"):
            file.unlink()
        async with house.engine() as engine:
            cycle = await engine.once()
            assert cycle.exit_code == 0
        after = house.counts()
        assert {name: after[name] for name in ("entries", "treatments", "cbg", "bolus", "basal", "food")} == {
            name: before[name] for name in ("entries", "treatments", "cbg", "bolus", "basal", "food")
        }


async def test_what_a_person_deleted_stays_deleted(tmp_path: Path) -> None:
    from bridge.engine.reconcile import reconcile

    clock = FakeClock(EVENING)
    async with built(tmp_path, clock) as house, house.engine() as engine:
        await engine.once()
        destination, sink = next((d, s) for d, s in engine.sinks.items() if d.name == "nightscout")
        site = house.world.sites["patient1"].collections["treatments"]
        gone = next(doc for doc in site if doc["eventType"] == "SMB")
        site.remove(gone)
        clock.advance(3600)
        found = await reconcile(engine.journal, sink.adapter, destination, clock.now(), timedelta(days=2))
        assert found is not None
        assert [entry.key for entry in found.missing] == [gone["identifier"]]
        await engine.once()
        assert gone["identifier"] not in {doc["identifier"] for doc in site}
        states = await engine.journal.states(destination, [gone["identifier"]])
        assert states[gone["identifier"]] is DeliveryState.REMOVED_THERE


async def test_two_people_never_mix(tmp_path: Path) -> None:
    from bridge.simulators.carelink_cloud import Person
    from bridge.simulators.patient import VirtualPatient

    clock = FakeClock(EVENING)
    people = [Person(f"patient{n}", VirtualPatient(n)) for n in (1, 2)]
    async with built(tmp_path, clock, people) as house, house.engine() as engine:
        assert (await engine.once()).exit_code == 0
        for number in (0, 1):
            await require_conserved(house, engine, number)
        first, second = await records(engine.journal, "p1"), await records(engine.journal, "p2")
        assert not {record.id for record in first} & {record.id for record in second}
