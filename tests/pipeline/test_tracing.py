"""Spans of calls and hooks: children of what their producer was doing, without texts, people and secrets."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from tests.support.runtime import UPLOAD, an_account, busy, lost, planted, refused
from worker import JobState, Text, To, enqueue
from worker.config.accounts import FixedAccounts
from worker.domain.callbacks.hook import ANY_ACCOUNT, JobDone
from worker.domain.job_terms import MAX_LOGGED, tag_fields
from worker.domain.trace import STATE_CHARACTERS, bounded_state, trace_id_of
from worker.hooks.registry import ApplicationHooks, on_job_done
from worker.hooks.runs import HookRuns
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.counting import totals
from worker.outbox.engine.database import Database
from worker.outbox.upkeep.totals import Totals
from worker.service import spans as spans_module
from worker.service.lifecycle import open_spans
from worker.service.spans import Spans
from worker.service.web.collector import OutboxCollector
from worker.service.web.metrics import LatestMetrics

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
NOW_NS = 1_800_000_000_000_000_000
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


class Traced:
    """A runtime whose spans are kept in memory."""

    def __init__(self, database: Database, clock: DrivenClock):
        self._kept = InMemorySpanExporter()
        self.spans = Spans(self._kept, wall_ns=lambda: NOW_NS)
        ends = {ANY_ACCOUNT: frozenset({JobState.ACCEPTED})}
        self.planted = planted(database, clock, tracing=self.spans, hooked_ends=ends)
        self.site = self.planted.__enter__()

    def send(self, parent: str = SAMPLED, state: str = "", **options: object) -> str:
        """A text whose producer has this trace context."""
        with in_context(parent, state):
            return self.site.send(**options)  # type: ignore[arg-type]  # those of `enqueue`

    def written(self) -> list[ReadableSpan]:
        """The spans, in the order in which they ended; none is written after that."""
        self.spans.close()
        return list(self._kept.get_finished_spans())


@contextmanager
def in_context(parent: str, state: str = "") -> Iterator[None]:
    """Makes a trace context current, as a web framework's instrumentation does with the headers of a request."""
    carrier = {"traceparent": parent, "tracestate": state}
    token = attach(TraceContextTextMapPropagator().extract(carrier, Context()))
    try:
        yield
    finally:
        detach(token)


@pytest.fixture
def traced(database: Database, driven_clock: DrivenClock) -> Iterator[Traced]:
    made = Traced(database, driven_clock)
    yield made
    made.planted.__exit__(None, None, None)
    made.spans.close()


def ids(span: ReadableSpan) -> tuple[str, str]:
    """Trace and parent."""
    assert span.context
    return f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}" if span.parent else ""


# -- calls ------------------------------------------------------------------------------------------------------------


def test_a_call_is_a_child_of_its_producers_span_days_later(traced: Traced) -> None:
    """With its tracestate, the length of the call, and what may be told of it."""
    job = traced.send(state="vendor=a,other=b")
    traced.site.advance(3 * 86_400)
    traced.site.vendor.says(lambda request: replace(traced.site.vendor.takes(request), duration_s=0.1))

    traced.site.ring(job)

    [span] = traced.written()
    assert ids(span) == (TRACE, SPAN)
    assert span.parent
    assert span.parent.trace_state.to_header() == "vendor=a,other=b"
    assert (span.name, span.kind, span.status.status_code) == ("send wecom_app", SpanKind.CLIENT, StatusCode.UNSET)
    assert (span.end_time, round(((span.end_time or 0) - (span.start_time or 0)) / 1e9, 3)) == (NOW_NS, 0.1)
    assert {
        "worker.job": job,
        "worker.part": f"{job}-0",
        "worker.channel": "wecom_app",
        "worker.account": "hr",
        "worker.kind": "send",
        "worker.attempt": 1,
        "worker.outcome": "accepted",
        "worker.errcode": 0,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": "vendor",
        "server.port": 80,
    } == dict(span.attributes or {})


@pytest.mark.fewer_databases("what a span says does not depend on it")
def test_each_attempt_is_a_span_of_its_own(traced: Traced) -> None:
    """Of the same parent; one that failed says so, by the vendor's code or by what became of it."""
    job = traced.send(duplicate_check=False)
    traced.site.vendor.says(busy(), lost())
    traced.site.ring(job)
    traced.site.advance(600)

    traced.site.ring(job)

    first, second = traced.written()
    assert [ids(first), ids(second)] == [(TRACE, SPAN)] * 2
    assert [
        tuple((one.attributes or {})[name] for name in ("worker.attempt", "worker.outcome", "error.type"))
        for one in (first, second)
    ] == [(1, "retry", "-1"), (2, "unknown", "unknown")]
    assert [first.status.status_code, second.status.status_code] == [StatusCode.ERROR] * 2


@pytest.mark.fewer_databases("what a span says does not depend on it")
def test_a_host_that_is_away_is_a_span_of_no_attempt(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that an error of ours stopped is one in doubt, as in the outbox."""
    job = traced.send()

    def broken(*_: object) -> None:
        raise RuntimeError("canary")

    monkeypatch.setattr("worker.delivery.sender.record._result", broken)
    with pytest.raises(RuntimeError):
        traced.site.bell.answer(traced.site.part(job).lane, [traced.site.part(job).id])
    traced.site.settle()

    [span] = traced.written()
    assert "unknown" == (span.attributes or {})["worker.outcome"] == traced.site.of("attempts", job)[0].outcome
    assert "canary" not in span.to_json()


@pytest.mark.fewer_databases("what a span says does not depend on it")
def test_an_unsampled_producer_has_no_spans(traced: Traced) -> None:
    """Nor exemplars; its log lines have its trace id all the same."""
    job = traced.send(UNSAMPLED)

    with capture_logs() as lines:
        traced.site.ring(job)

    assert traced.written() == []
    assert [line["trace_id"] for line in lines if line["event"] == "attempt"] == [TRACE]
    assert [row.exemplars for row in traced.site.rows("select distinct exemplars from worker_counts")] == [None]


@pytest.mark.fewer_databases("what a span says does not depend on it")
@pytest.mark.parametrize("stored", ["", "nonsense", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01 =,=;\x7f"])
def test_a_context_that_cannot_be_read_harms_nothing(traced: Traced, stored: str) -> None:
    """The call has a span all the same, of the trace if that can be read, else of one of its own."""
    job = traced.site.send()
    traced.site.sql("update worker_jobs set trace = :trace", trace=stored)

    traced.site.ring(job)

    [span] = traced.written()
    assert ("accepted", stored.startswith(f"00-{TRACE}")) == (traced.site.state(job), ids(span)[0] == TRACE)


@pytest.mark.fewer_databases("what a span says does not depend on it")
def test_no_text_person_or_token_is_in_a_span(traced: Traced) -> None:
    """Whatever the vendor says about them, and wherever the call fails."""
    traced.site.vendor.says(refused(40003, "canary-person canary-text t1"), lost("canary-text"))
    for _ in range(3):
        traced.site.ring(traced.send(content="canary-text", to="canary-person", tags=["canary-tag"]))

    written = "".join(span.to_json() for span in traced.written())
    assert written.count('"worker.outcome"') == 3
    assert not any(word in written for word in ("canary", "access_token", '"t1"', "m1"))


@pytest.mark.fewer_databases("the insert is the same as of a producer's job")
def test_an_upload_belongs_to_the_send_that_needs_it(traced: Traced) -> None:
    """Both are calls of one request."""
    with in_context(SAMPLED):
        traced.site.image()

    traced.site.run()

    assert [ids(span) for span in traced.written()] == [(TRACE, SPAN)] * 2
    assert len(traced.site.calls(UPLOAD)) == 1


# -- producers --------------------------------------------------------------------------------------------------------


def test_a_job_without_a_span_has_no_context(traced: Traced) -> None:
    """Its call is a trace of its own."""
    job = traced.site.send()

    traced.site.ring(job)

    assert traced.site.job(job).trace is None
    assert [ids(span)[1] for span in traced.written()] == [""]


@pytest.mark.fewer_databases("SQLAlchemy's way into a greenlet is the same with every driver")
def test_an_asynchronous_session_keeps_the_context(sqlite_url: str) -> None:
    """Of each task its own."""
    url = sqlite_url.replace("sqlite:", "sqlite+aiosqlite:")

    async def ask(engine: AsyncEngine, span: str) -> str:
        async with AsyncSession(engine) as session:
            with in_context(f"00-{TRACE}-{span}-01"):
                job = await enqueue(session, "hr", Text(content="x"), To("ann"), accounts=FixedAccounts([an_account()]))
            await session.commit()
            report = await session.execute(text("select trace from worker_jobs where id = :id"), {"id": job.id})
            return str(report.scalar_one())

    async def produce() -> list[str]:
        engine = create_async_engine(url)
        found = list(await asyncio.gather(ask(engine, "1" * 16), ask(engine, "2" * 16)))
        await engine.dispose()
        return found

    assert [f"00-{TRACE}-{one * 16}-01" for one in "12"] == asyncio.run(produce())


@pytest.mark.fewer_databases("no database is asked")
def test_a_long_tracestate_loses_its_last_entries() -> None:
    """Whole ones, and all of them where the first is too long."""
    entries = [f"vendor{n}={'x' * 90}" for n in range(30)]

    assert ",".join(entries[:5]) == bounded_state(",".join(entries))
    assert bounded_state("a=" + "x" * STATE_CHARACTERS) == ""
    assert bounded_state("a=b") == "a=b"


@pytest.mark.fewer_databases("its column is as long everywhere")
def test_the_longest_tracestate_is_stored(traced: Traced) -> None:
    """32 entries of 100 characters, of which five fit."""
    job = traced.send(state=",".join(f"vendor{n}={'x' * 90}" for n in range(5)))

    assert trace_id_of(traced.site.job(job).trace) == TRACE
    assert traced.site.job(job).trace.count("vendor") == 5


@pytest.mark.fewer_databases("a process of its own, with a file of its own")
@pytest.mark.slow("starts a process of its own")
def test_a_producer_loads_nothing_of_opentelemetry(sqlite_url: str) -> None:
    """Nor does what a worker process is made of."""
    code = (
        "import sys, worker.service.lifecycle, worker.service.hook_service;"
        "from worker import Text, To, enqueue, sqlite_engine;"
        "from tests.support.runtime import an_account; from worker.config.accounts import FixedAccounts\n"
        f"with sqlite_engine({sqlite_url!r}).begin() as connection:\n"
        " enqueue(connection, 'hr', Text(content='x'), To('ann'), accounts=FixedAccounts([an_account()]))\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


# -- hooks ------------------------------------------------------------------------------------------------------------


def _runs(traced: Traced, hook: Callable[..., None]) -> HookRuns:
    site = traced.site
    hooks = ApplicationHooks((on_job_done(hook),))
    incarnation = site.runtime.lease.incarnation
    return HookRuns(
        site.database,
        hooks,
        site.runtime.settings,
        holder=lambda: incarnation,
        may_act=lambda: True,
        rng=random.Random(7),
        tracing=traced.spans,
    )


def test_what_a_hook_enqueues_belongs_to_the_same_trace(traced: Traced) -> None:
    """The hook's span is a child of the job's producer, and the parent of what it enqueues."""

    def hook(done: JobDone, session: Session) -> None:
        enqueue(session, "hr", Text(content="more"), To("ann"), accounts=traced.site.accounts)

    job = traced.send()
    traced.site.ring(job)
    [event] = traced.site.rows("select id from worker_events")

    _runs(traced, hook).hear(event.id)

    [more] = traced.site.rows("select trace from worker_jobs where id <> :id", id=job)
    _, run = traced.written()
    assert run.context
    assert (run.name, run.kind, ids(run)) == ("hook job_done", SpanKind.CONSUMER, (TRACE, SPAN))
    assert f"00-{TRACE}-{run.context.span_id:016x}-01" == more.trace


@pytest.mark.fewer_databases("what a span says does not depend on it")
def test_a_hook_that_fails_leaves_the_class_of_its_error(traced: Traced) -> None:
    """Not its text."""

    def hook(done: JobDone, session: Session) -> None:
        raise LookupError("canary")

    traced.site.ring(traced.send())
    [event] = traced.site.rows("select id from worker_events")

    _runs(traced, hook).hear(event.id)

    _, run = traced.written()
    assert (run.status.status_code, (run.attributes or {})["error.type"]) == (StatusCode.ERROR, "LookupError")
    assert "canary" not in run.to_json()


# -- exemplars --------------------------------------------------------------------------------------------------------


@pytest.mark.every_database
def test_buckets_have_a_traced_call_as_exemplar(traced: Traced) -> None:
    """In OpenMetrics, its own value in its own bucket; the classic format has none, and the counts are the same."""
    traced.site.vendor.says(lambda request: replace(traced.site.vendor.takes(request), duration_s=0.1))
    traced.site.ring(traced.send(priority="urgent"))
    traced.site.ring(traced.site.send(priority="bulk", to="ann"), traced.send(UNSAMPLED))
    with traced.site.database.reading() as connection:
        before = totals(connection)

    Totals(traced.site.database).turn()

    with traced.site.database.reading() as connection:
        assert before == totals(connection)
    answers = LatestMetrics(OutboxCollector(traced.site.database, traced.site.accounts))
    told, _ = answers.encoded("application/openmetrics-text")
    samples = [one for family in text_string_to_metric_families(told.decode()) for one in family.samples]
    urgent = [one for one in samples if one.exemplar and one.labels.get("priority") == "urgent"]
    assert {one.name for one in urgent} == {"worker_first_call_seconds_bucket", "worker_end_seconds_bucket"}
    span, _ = traced.written()
    assert span.context
    expected = {"trace_id": TRACE, "span_id": f"{span.context.span_id:016x}"}
    assert all(expected == one.exemplar.labels for one in urgent if one.exemplar)
    calls = {one.labels["le"]: one.exemplar.value for one in samples if one.exemplar and "call_s" in one.name}
    assert calls["0.1"] == 0.1
    assert b"# {" not in answers.encoded("text/plain")[0]


@pytest.mark.fewer_databases("the row is the same")
def test_without_tracing_a_commit_writes_no_exemplar(database: Database, driven_clock: DrivenClock) -> None:
    """Nor a span, whatever context the job has."""
    with planted(database, driven_clock) as site:
        with in_context(SAMPLED):
            job = site.send()
        site.ring(job)

        assert (site.state(job), site.job(job).trace) == ("accepted", SAMPLED)
        assert [row.exemplars for row in site.rows("select distinct exemplars from worker_counts")] == [None]


# -- collectors -------------------------------------------------------------------------------------------------------


class Collector(SpanExporter):
    """Answers as it is told to."""

    def __init__(self, *results: SpanExportResult, gate: threading.Event | None = None):
        self._results, self._gate = list(results), gate
        self.taken = threading.Semaphore(0)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken.release()
        if self._gate:
            self._gate.wait()
        return self._results.pop(0) if self._results else SpanExportResult.SUCCESS


@pytest.mark.fewer_databases("no database is asked")
def test_a_collector_that_is_away_is_told_once() -> None:
    """And once that it is back."""
    away, back = SpanExportResult.FAILURE, SpanExportResult.SUCCESS
    line = spans_module._LoggingExporter(Collector(away, away, back, back, away))

    with capture_logs() as lines:
        for _ in range(5):
            line.export([])

    assert [one["event"] for one in lines] == ["collector_away", "collector_back", "collector_away"]


@pytest.mark.fewer_databases("what is sent does not depend on it")
def test_a_collector_that_hangs_delays_neither_calls_nor_the_end(
    database: Database, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it has the first batch, calls go on and the process can end."""
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "2")
    monkeypatch.setattr(spans_module, "CLOSE_S", 0.0)
    gate = threading.Event()
    collector = Collector(gate=gate)
    spans = Spans(collector)
    with planted(database, driven_clock, tracing=spans) as site:
        jobs = [site.send(to=f"p{n}") for n in range(6)]
        site.ring(jobs[0])
        assert collector.taken.acquire(timeout=60)
        for job in jobs[1:]:
            site.ring(job)

        spans.close()

        assert [site.state(job) for job in jobs] == ["accepted"] * 6
    gate.set()


@pytest.mark.fewer_databases("what is recorded does not depend on it")
def test_a_span_that_fails_costs_no_answer(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call is recorded, and the log names the error's class."""
    monkeypatch.setattr(spans_module, "_parent", lambda stored: 1 / 0)
    job = traced.send()

    with capture_logs() as lines:
        traced.site.ring(job)

    assert traced.site.state(job) == "accepted"
    assert [line["error"] for line in lines if line["event"] == "span_failed"] == ["ZeroDivisionError"]


# -- the environment --------------------------------------------------------------------------------------------------


@pytest.mark.fewer_databases("no database is asked")
@pytest.mark.parametrize("more", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_spans_are_off_unless_a_collector_is_named(more: dict[str, str]) -> None:
    """And where they are switched off."""
    with capture_logs() as lines:
        assert open_spans({"OTEL_SERVICE_NAME": "x"}) is None
        assert open_spans(ENDPOINT | more) is None

    assert lines == []


@pytest.mark.fewer_databases("no database is asked")
def test_a_collector_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the process has spans, under the service's name of the environment or our own."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT["OTEL_EXPORTER_OTLP_ENDPOINT"])
    made = open_spans(ENDPOINT)
    assert made is not None
    with closing(made):
        assert spans_module._resource().attributes["service.name"] == "im-delivery-worker"
        monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
        assert spans_module._resource().attributes["service.name"] == "shop"


@pytest.mark.fewer_databases("no database is asked")
@pytest.mark.parametrize(
    ("environ", "remedy"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "set OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "set OTEL_TRACES_EXPORTER to otlp"),
    ],
)
def test_another_way_to_a_collector_is_told(environ: dict[str, str], remedy: str) -> None:
    """In one line; the worker starts all the same."""
    with capture_logs() as lines:
        assert open_spans(ENDPOINT | environ) is None

    [line] = lines
    assert (line["event"], line["remedy"].startswith(remedy)) == ("tracing_off", True)


@pytest.mark.fewer_databases("no database is asked")
def test_a_worker_without_the_extra_starts_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform may name a collector to all programs."""
    monkeypatch.delitem(sys.modules, "worker.service.spans")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    with capture_logs() as lines:
        assert open_spans(ENDPOINT) is None

    assert [line["remedy"].partition(",")[0] for line in lines] == ["pip install 'PATH[otel]'"]


@pytest.mark.fewer_databases("no database is asked")
def test_a_variable_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its value."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-5")

    with capture_logs() as lines:
        assert open_spans(ENDPOINT) is None

    assert [line["event"] for line in lines] == ["tracing_off"]
    assert "-5" not in str(lines)


# -- log lines --------------------------------------------------------------------------------------------------------


def test_an_attempt_tells_request_id_tags_and_trace(traced: Traced) -> None:
    """Out of the same statement as the part."""
    job = traced.send(tags=["payroll", "request_id:req-7", "2026-07"])

    with capture_logs() as lines:
        traced.site.ring(job)

    [line] = [line for line in lines if line["event"] == "attempt"]
    assert (line["request_id"], line["tags"], line["trace_id"]) == ("req-7", ["payroll", "2026-07"], TRACE)


@pytest.mark.fewer_databases("no database is asked")
def test_tags_in_a_line_are_bounded() -> None:
    """Whole ones, with a sign that some are missing; what is no list of texts is none."""
    many = [f"{n:02d}{'x' * 98}" for n in range(50)]
    listed = ", ".join(f'"{one}"' for one in many)

    assert {"tags": [*many[:3], "..."]} == tag_fields(f"[{listed}]")
    assert len(tag_fields(f'["request_id:{"x" * 5_000}"]')["request_id"]) == MAX_LOGGED
    assert {} == tag_fields(None) == tag_fields("{") == tag_fields("[]") == tag_fields("[1]")
