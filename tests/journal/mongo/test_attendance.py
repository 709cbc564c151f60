"""Who serves whom, as metrics tell it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bridge.contracts import Attendance
from bridge.journal.mongo.attendance import attendance
from tests.journal.mongo.conftest import Opener

PEOPLE = ("p1", "p2", "p3")


async def test_who_is_served_by_a_living_worker(opened: Opener) -> None:
    worker, other = await opened("a"), await opened("b")
    assert worker.leases is not None
    assert other.leases is not None
    await worker.leases.know(PEOPLE)
    assert await attendance(worker, PEOPLE) == Attendance(3, 3, 0, 0)
    now = await worker.leases.server_now()
    await worker.leases.take(2, now, 60)
    assert await attendance(worker, PEOPLE) == Attendance(3, 1, 1, 0)
    assert await attendance(worker, ["gone"]) == Attendance(1, 1, 1, 0)

    await worker.leases.renew(datetime.now(UTC) - timedelta(seconds=120), 60)
    assert await attendance(worker, PEOPLE) == Attendance(3, 3, 0, 0)
    await other.leases.take(9, await other.leases.server_now(), 60)
    assert await attendance(other, PEOPLE) == Attendance(3, 0, 1, 0)
    await worker.leases.renew(await worker.leases.server_now(), 60)
    assert (await attendance(worker, PEOPLE)).lost == 1
