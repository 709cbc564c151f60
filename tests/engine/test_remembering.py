"""What a reader recalls is the same from this process and from the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from random import Random

from bridge.contracts import Batch, Decoded, Memory, Sighting
from bridge.engine.poller import Poller
from bridge.errors import Transient
from bridge.journal import open_journal
from bridge.journal.sqlite.journal import SqliteJournal
from bridge.model.health import Health
from tests.support.clock import FakeClock

READER = "carelink-cloud"


class Recalling:
    """Sees new rows at every pass, and old ones again under another time."""

    name, file_feed = READER, "x"

    def __init__(self, clock: FakeClock) -> None:
        self._clock, self._random, self.number = clock, Random(1), 0
        self.recalled: list[Memory] = []

    def decode(self, capture: object, memory: Memory) -> Decoded:
        raise NotImplementedError

    async def read(self, memory: Memory, since: object) -> AsyncIterator[Batch]:
        self.recalled.append(memory)
        for _ in range(self._random.randrange(3)):
            self.number += 1
            now = self._clock.now()
            seen = {f"{key}": Sighting(now, f"k{key}") for key in range(max(0, self.number - 9), self.number)}
            state = {"number": self.number, "pair": (1, 2)}
            yield Batch("p1", READER, now, Health(), Decoded((), sightings=seen, state=state))


class Failing:
    """A journal whose answer to an append may be lost, after it was done."""

    def __init__(self, journal: SqliteJournal) -> None:
        self.journal, self.lost, self.asked = journal, False, 0
        self.context = journal.context

    async def memory(self, profile: str, reader: str) -> Memory:
        self.asked += 1
        return await self.journal.memory(profile, reader)

    async def append(self, batch: Batch) -> object:
        appended = await self.journal.append(batch)
        if self.lost:
            raise Transient("the answer was lost")
        return appended


async def test_many_passes_recall_what_the_journal_would_give(tmp_path: Path) -> None:
    clock, random = FakeClock(), Random(2)
    journal = await open_journal(tmp_path / "j.db", clock=clock)
    seam, reader = Failing(journal), Recalling(clock)
    poller = Poller(seam, reader, "p1", clock, random, lambda arrival: None)  # type: ignore[arg-type]
    for _ in range(300):
        clock.jump(random.choice([1, 300, 7200]))
        seam.lost = random.random() < 0.1
        there = await journal.memory("p1", READER)
        await poller.once()
        assert reader.recalled[-1] == there
    assert seam.asked < 60
    await journal.close()


async def test_what_is_older_than_the_memory_is_let_go(tmp_path: Path) -> None:
    clock = FakeClock()
    journal = await open_journal(tmp_path / "j.db", clock=clock)
    reader = Recalling(clock)
    poller = Poller(journal, reader, "p1", clock, Random(1), lambda arrival: None)
    for _ in range(60):
        await poller.once()
        clock.jump(3600)
    oldest = min(each.time for each in reader.recalled[-1].sightings.values())
    assert oldest >= clock.now() - timedelta(hours=37)
    await journal.close()
