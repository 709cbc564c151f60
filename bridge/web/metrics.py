"""Prometheus text of what the journal and the engine know. Profiles appear by their opaque id only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bridge import __version__
from bridge.contracts import Attendance, DestinationStatus, ReaderStatus
from bridge.engine.engine import PERSON, Engine
from bridge.model.health import State

Attending = Callable[[], Awaitable[Attendance]]
"""Asks who serves whom in the fleet."""


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        """What was gathered."""
        return self._families


async def exposition(engine: Engine, attending: Attending | None = None) -> tuple[bytes, str]:
    """Body and content type. A worker of a fleet, which knows who is `attending`, tells of its own people alone."""
    registry = CollectorRegistry()
    sinks, sources = await engine.journal.destinations(), await engine.journal.readers()
    if attending is not None:
        sinks = [each for each in sinks if each.destination.profile in engine.people]
        sources = [each for each in sources if each.profile in engine.people]
    families = [*_sinks(sinks), *_sources(sources), _persons(sinks, sources), *_own(engine)]
    if attending is not None:
        families += _fleet(await attending())
    registry.register(_Families(families))
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _own(engine: Engine) -> list[Metric]:
    crashes = CounterMetricFamily("glucobridge_loop_crashes", "Loops that ended with an error and were restarted.")
    crashes.add_metric([], engine.crashes)
    served = GaugeMetricFamily("glucobridge_people_served", "People this process serves.")
    served.add_metric([], len(engine.people))
    build = GaugeMetricFamily("glucobridge_build_info", "1, with the version of the program.", labels=["version"])
    build.add_metric([__version__], 1)
    return [crashes, served, build]


def _fleet(found: Attendance) -> list[Metric]:
    gauges = [
        GaugeMetricFamily("glucobridge_fleet_people", "People that the fleet is to serve.", found.people),
        GaugeMetricFamily("glucobridge_fleet_people_unserved", "People of no living worker.", found.unserved),
        GaugeMetricFamily("glucobridge_fleet_workers", "Workers whose lease stands.", found.workers),
    ]
    lost = CounterMetricFamily("glucobridge_leases_lost", "How often this worker's people were given to others.")
    lost.add_metric([], found.lost)
    return [*gauges, lost]


def _persons(sinks: Sequence[DestinationStatus], sources: Sequence[ReaderStatus]) -> Metric:
    """What only a person can mend; nothing where all is well."""
    family = GaugeMetricFamily(
        "glucobridge_needs_person", "1 for a source or destination that waits for a person.",
        labels=["profile", "part", "state"],
    )  # fmt: skip
    states = [(each.destination.profile, each.destination.name, each.health.state) for each in sinks]
    states += [(each.profile, each.reader, each.health.state) for each in sources]
    for profile, part, state in states:
        if state in PERSON:
            family.add_metric([profile, part, str(state)], 1)
    return family


def _sinks(statuses: Sequence[DestinationStatus]) -> list[Metric]:
    counts = GaugeMetricFamily(
        "glucobridge_deliveries", "Deliveries by state.", labels=["profile", "destination", "state"]
    )
    healthy = GaugeMetricFamily(
        "glucobridge_destination_ok", "1 while a destination is well.", labels=["profile", "destination"]
    )
    oldest = GaugeMetricFamily(
        "glucobridge_oldest_pending_timestamp_seconds", "Time of the oldest pending record.",
        labels=["profile", "destination"],
    )  # fmt: skip
    accepted = GaugeMetricFamily(
        "glucobridge_last_accepted_timestamp_seconds", "Time of the newest accepted record.",
        labels=["profile", "destination"],
    )  # fmt: skip
    for status in statuses:
        where = [status.destination.profile, status.destination.name]
        for state, count in status.counts.items():
            counts.add_metric([*where, str(state)], count)
        healthy.add_metric(where, float(status.health.state is State.OK))
        for family, moment in ((oldest, status.oldest_pending), (accepted, status.last_accepted)):
            if moment is not None:
                family.add_metric(where, moment.timestamp())
    return [counts, healthy, oldest, accepted]


def _sources(statuses: Sequence[ReaderStatus]) -> list[Metric]:
    healthy = GaugeMetricFamily("glucobridge_reader_ok", "1 while a source is well.", labels=["profile", "reader"])
    last, read, due = (
        GaugeMetricFamily(f"glucobridge_{name}_timestamp_seconds", text, labels=["profile", "reader"])
        for name, text in (
            ("last_record", "Time of the newest record."),
            ("last_read", "When the source was last read."),
            ("next_read", "When the source is to be read next."),
        )
    )
    for status in statuses:
        where = [status.profile, status.reader]
        healthy.add_metric(where, float(status.health.state is State.OK))
        for family, moment in ((last, status.last_record), (read, status.last_read), (due, status.next_due)):
            if moment is not None:
                family.add_metric(where, moment.timestamp())
    return [healthy, last, read, due]
