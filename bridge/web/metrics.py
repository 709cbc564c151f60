"""Prometheus text of what the journal and the engine know. Profiles appear by their opaque id only."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bridge.contracts import DestinationStatus, ReaderStatus
from bridge.engine.engine import Engine
from bridge.model.health import State


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        """What was gathered."""
        return self._families


async def exposition(engine: Engine) -> tuple[bytes, str]:
    """Body and content type."""
    registry = CollectorRegistry()
    families = _sinks(await engine.journal.destinations()) + _sources(await engine.journal.readers())
    crashes = CounterMetricFamily("glucobridge_loop_crashes", "Loops that ended with an error and were restarted.")
    crashes.add_metric([], engine.crashes)
    registry.register(_Families([*families, crashes]))
    return generate_latest(registry), CONTENT_TYPE_LATEST


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
    last = GaugeMetricFamily(
        "glucobridge_last_record_timestamp_seconds", "Time of the newest record.", labels=["profile", "reader"]
    )
    for status in statuses:
        where = [status.profile, status.reader]
        healthy.add_metric(where, float(status.health.state is State.OK))
        if status.last_record is not None:
            last.add_metric(where, status.last_record.timestamp())
    return [healthy, last]
