"""Spans of the work under way, for OpenTelemetry. Off unless the settings ask for them, and then free.

A span says what was done, by which plug-in, how many records, how long and in which state it ended: never for whom,
never a value, an address or a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from bridge import __version__
from bridge.errors import BridgeError, SettingsInvalid
from bridge.settings import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer


class Noted:
    """What a span may be told while it runs."""

    __slots__ = ("_span",)

    def __init__(self, span: Span | None = None) -> None:
        self._span = span

    def note(self, **facts: int | str) -> None:
        """Counts, plug-ins' names and states."""
        if self._span is not None:
            self._span.set_attributes({f"glucobridge.{name}": fact for name, fact in facts.items()})


class _Off:
    """A span that nobody wants."""

    def __enter__(self) -> Noted:
        return _NOTHING

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        return None


_NOTHING, _OFF = Noted(), _Off()
_tracer: Tracer | None = None


def span(name: str, **facts: int | str) -> AbstractContextManager[Noted]:
    """A span around the block, within the one that runs already."""
    return _OFF if _tracer is None else _spanned(_tracer, name, facts)


@contextmanager
def _spanned(tracer: Tracer, name: str, facts: dict[str, int | str]) -> Iterator[Noted]:
    from opentelemetry.trace import StatusCode

    with tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as running:
        noted = Noted(running)
        noted.note(**facts)
        try:
            yield noted
        except BaseException as error:
            running.set_status(StatusCode.ERROR)
            noted.note(state=error.state if isinstance(error, BridgeError) else type(error).__name__)
            raise


@contextmanager
def exporting(settings: TracingSettings) -> Iterator[None]:
    """Send spans to the collector while the block runs, where the settings say so. Raises SettingsInvalid."""
    if not settings.enabled:
        yield
        return
    with traced(_provider(settings)):
        yield


@contextmanager
def traced(provider: TracerProvider) -> Iterator[None]:
    """Hand spans to this provider; what is left is sent at the end."""
    global _tracer
    _tracer = provider.get_tracer("glucobridge", __version__)
    try:
        yield
    finally:
        _tracer = None
        provider.shutdown()


def _provider(settings: TracingSettings) -> TracerProvider:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise SettingsInvalid(
            "Traces are asked for, but OpenTelemetry is not installed.",
            next_step="Install glucobridge with its extra `otel`, or set tracing.enabled to false.",
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": "glucobridge"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint)))
    return provider
