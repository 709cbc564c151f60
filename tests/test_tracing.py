"""Spans of a whole round trip: what they say, what they never say, and that nothing is loaded while they are off."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bridge import tracing
from bridge.errors import SettingsInvalid, Transient
from bridge.settings import TracingSettings
from tests.support.clock import FakeClock
from tests.support.house import built

EVENING = datetime(2026, 3, 10, 18, 0, tzinfo=UTC)
FACTS = {"reader", "state", "new", "revised", "leased", "adapter", "posted", "posts", "deletes", "transport"}


@pytest.fixture
def kept() -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with tracing.traced(provider):
        yield exporter


async def test_a_cycle_is_told_without_a_person_a_secret_or_a_value(
    tmp_path: Path, kept: InMemorySpanExporter
) -> None:
    async with built(tmp_path, FakeClock(EVENING)) as house, house.engine() as engine:
        await engine.once()
    spans = kept.get_finished_spans()
    assert {span.name for span in spans} == {"read", "append", "deliver", "send"}
    names = {span.context.span_id: span.name for span in spans if span.context}
    inside = {(span.name, names.get(span.parent.span_id)) for span in spans if span.parent}
    assert inside == {("append", "read"), ("send", "deliver")}
    facts = [dict(span.attributes or {}) for span in spans]
    assert {name for each in facts for name in each} <= {f"glucobridge.{name}" for name in FACTS}
    texts = {fact for each in facts for fact in each.values() if isinstance(fact, str)}
    assert texts == {"ok", "carelink-cloud", "nightscout", "tidepool"}
    assert all(not span.events and span.status.description is None for span in spans)
    said = str([span.to_json() for span in spans])
    assert not [word for word in ("p1", "127.0.0.1", "Robin", "patient1", "http") if word in said]


def _only(kept: InMemorySpanExporter) -> ReadableSpan:
    (span,) = kept.get_finished_spans()
    return span


def test_an_error_is_a_state_and_no_sentence(kept: InMemorySpanExporter) -> None:
    with pytest.raises(Transient), tracing.span("read"):
        raise Transient("The site anna.example does not answer.")
    span = _only(kept)
    assert span.status.status_code.name == "ERROR"
    assert dict(span.attributes or {}) == {"glucobridge.state": "unreachable"}
    assert "anna" not in span.to_json()


def test_off_there_is_one_span_for_all_and_it_hears_nothing() -> None:
    with tracing.exporting(TracingSettings()), tracing.span("read", reader="x") as noted:
        noted.note(new=1)
        assert tracing.span("append") is tracing.span("deliver")


def test_the_libraries_are_loaded_when_traces_are_asked_for_and_not_before() -> None:
    code = (
        "import sys, bridge.engine.engine, bridge.tracing;"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsInvalid, match="extra `otel`"), tracing.exporting(TracingSettings(enabled=True)):
        pass
