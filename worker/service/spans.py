"""Exports spans of vendor calls and hooks to an OTLP collector. Only this module imports OpenTelemetry.

It is loaded only if the OTEL_* variables name a collector. Its tracer provider is not the process's, so what the
application sets up for its hooks stays as it is. A span holds no secret, recipient or text.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, StatusCode, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from worker.domain.trace import Attributes, HookRun, SpanRef

log = structlog.get_logger()

NAME = "im-delivery-worker"
CLOSE_S = 3.0
"""Seconds that the end of a process waits for a collector, at most."""
NANOSECONDS = 1_000_000_000
NO_PARENT, PROPAGATOR = Context(), TraceContextTextMapPropagator()


class Spans:
    """Writes spans to a bounded queue, which a thread exports. Thread-safe."""

    def __init__(self, exporter: SpanExporter, wall_ns: Callable[[], int] = time.time_ns):
        self._wall_ns = wall_ns
        # Not at the interpreter's exit, which could wait half a minute for a collector that is away.
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_LoggingExporter(exporter)))
        self._tracer = self._provider.get_tracer(NAME)

    def call(
        self, name: str, parent: str | None, began_ago_s: float, ended_ago_s: float, describe: Callable[[], Attributes]
    ) -> SpanRef | None:
        """Writes the span of a call. Returns None, without calling `describe`, if the span is not sampled."""
        try:
            return self._call(name, parent, began_ago_s, ended_ago_s, describe)
        except Exception as error:  # noqa: BLE001  the answer of the call is recorded after this, and must not be lost
            log.warning("span_failed", error=type(error).__name__, span=name)
            return None

    def _call(
        self, name: str, parent: str | None, began_ago_s: float, ended_ago_s: float, describe: Callable[[], Attributes]
    ) -> SpanRef | None:
        now = self._wall_ns()
        begin = now - round(began_ago_s * NANOSECONDS)
        span = self._tracer.start_span(name, _parent(parent), SpanKind.CLIENT, start_time=begin)
        if not span.is_recording():  # most are not, and need no attributes
            return None
        attributes = describe()
        _set_attributes(span, attributes)
        if attributes["error.type"] is not None:
            span.set_status(StatusCode.ERROR)
        span.end(now - round(ended_ago_s * NANOSECONDS))
        context = span.get_span_context()
        return SpanRef(f"{context.trace_id:032x}", f"{context.span_id:016x}")

    @contextmanager
    def hooks(self, run: HookRun) -> Iterator[None]:
        """Wraps a run of hooks in a span, which is the current one of this thread."""
        span = self._tracer.start_span(f"hook {run.kind}", _parent(run.parent), SpanKind.CONSUMER)
        _set_attributes(span, {"worker.job": run.job, "worker.part": run.part, "worker.attempt": run.attempt})
        try:
            # The text of an application's exception may hold anything, so only its class is exported.
            with use_span(span, record_exception=False, set_status_on_exception=False):
                yield
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            span.end()

    def close(self) -> None:
        """Exports the remaining spans, for at most `CLOSE_S` seconds."""
        closing = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        closing.start()
        closing.join(CLOSE_S)


class _LoggingExporter(SpanExporter):
    """Exports spans, and logs once when the collector stops accepting them and once when it accepts them again."""

    def __init__(self, exporter: SpanExporter):
        self._exporter = exporter
        self._is_away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        is_away = result is not SpanExportResult.SUCCESS
        if is_away and not self._is_away:
            log.warning("collector_away", remedy="see OTEL_EXPORTER_OTLP_ENDPOINT; spans are lost until it is back")
        elif self._is_away and not is_away:
            log.info("collector_back")
        self._is_away = is_away
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def spans_from_environment() -> Spans:
    """Returns spans that are exported as the OTEL_* variables say."""
    return Spans(OTLPSpanExporter())


def _resource() -> Resource:
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return resource.merge(Resource({SERVICE_NAME: NAME}))
    return resource


def _parent(header: str | None) -> Context:
    """Returns the parent context of a stored trace header, or an empty one if there is none that can be read."""
    if header is None:
        return NO_PARENT
    parent, _, state = header.partition(" ")
    return PROPAGATOR.extract({"traceparent": parent, "tracestate": state}, NO_PARENT)


def _set_attributes(span: Span, attributes: Attributes) -> None:
    span.set_attributes({name: value for name, value in attributes.items() if value is not None})
