"""A fleet of workers over a replica set: what a person costs. `python -m benchmarks.fleet.run` runs any size in real
time; here it is few people on a clock that runs fast, so that start-up and idling weigh more than they do for many."""

from __future__ import annotations

from benchmarks.table import Row, absolute
from tests.support.mongod import find_mongod

MANY, EVERY_S = 10_000, 300.0


def rows() -> list[Row]:
    """No row where there is no `mongod`."""
    if find_mongod() is None:
        return []
    from benchmarks.fleet.run import Load, measured

    result = measured(Load(people=120, groups=20, workers=2, speed=10.0, warm_s=45.0, window_s=60.0))
    cores = result.per_poll_ms / 1e3 * MANY / EVERY_S
    what = f"cores of workers and three database nodes for {MANY:,} people, by {result.load.people}"
    return [absolute(what, cores, "cores", 1.6)]
