"""One trace from a request to a Flask application, over the outbox, to the vendor call of a worker process."""

from __future__ import annotations

import requests
from flask import Flask, request
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, Tracer
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from rig.serving import serving
from rig.stack import ACCOUNT, SECRET, Stack, until
from rig.stacks import EMBEDDED, RABBITMQ, Make, on_stacks
from tests.process.test_pipeline_processes import SEND
from tests.support.otlp import Collector, attributes, collecting
from worker import Text, To, enqueue

TEXT, PERSON = "canary-text", "canary-person"
SOON = {"worker.service.loops.SPARE_EVERY_S": 1.0}
"""Counts are added up, with their exemplars, also by a process that led nothing when it began."""


@on_stacks(RABBITMQ, EMBEDDED, why="its SQL is tried on each database in process")
def test_a_request_and_its_vendor_calls_are_one_trace(make: Make) -> None:
    """Read back from the collector: the calls, of which the first is answered -1, are children of the request's span,
    and the worker's log and the exemplars of the metrics name the same trace. A worker that ends leaves no span behind.
    """
    with collecting() as collector:
        named = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "delivery"}
        # Only the drain exports, so that a lost one would be noticed.
        stack = make(env={**named, "OTEL_BSP_SCHEDULE_DELAY": "600000"}, constants=SOON)
        stack.vendor.faults({"match": {"path": SEND}, "times": 1, "action": {"answer": {"errcode": -1}}})
        job = _ask_over_http(stack, collector)
        worker = stack.worker()
        stack.until_settled()
        stack.process("worker.cli", "metrics", "--listen", "127.0.0.1:0")
        exemplars = until(lambda: _exemplars(stack), "a call is told as an exemplar")
        assert stack.end(worker) == 0

        [asked] = collector.spans("shop")
        calls = collector.spans("delivery")

    assert [_outcome(call) for call in calls] == [("retry", -1), ("accepted", 0)]
    assert {asked.trace_id} == {call.trace_id for call in calls}
    assert {asked.span_id} == {call.parent_span_id for call in calls}
    assert {(call.kind, call.name) for call in calls} == {(Span.SPAN_KIND_CLIENT, "send wecom_app")}
    assert {job} == {attributes(call)["worker.job"] for call in calls}
    assert {asked.trace_id.hex()} == {trace for trace, _ in exemplars}
    assert {span for _, span in exemplars} <= {call.span_id.hex() for call in calls}
    told = [line for line in stack.lines() if line.get("event") == "attempt"]
    assert {(asked.trace_id.hex(), "req-7", "leave")} == {
        (line["trace_id"], line["request_id"], *line["tags"]) for line in told
    }
    sent = b"".join(collector.bodies)
    assert [canary for canary in (TEXT, PERSON, SECRET, "access_token") if canary.encode() in sent] == []


@on_stacks(EMBEDDED, why="what exports is the process's own")
def test_a_collector_that_is_away_stops_no_worker(make: Make) -> None:
    """The message is sent, one line at most says that spans are lost, and the worker ends in time."""
    stack = make(env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "10"})
    with Session(stack.database.engine) as session:
        enqueue(session, ACCOUNT, Text(content=TEXT), To(users=[PERSON]), accounts=stack.accounts)
        session.commit()
    worker = stack.worker()
    stack.until_settled()
    stack.until_logged("collector_away")

    assert stack.end(worker) == 0
    assert stack.logs().count("collector_away") == 1
    assert [line for line in stack.lines() if line.get("logger", "").startswith("opentelemetry")] == []


def _ask_over_http(stack: Stack, collector: Collector) -> str:
    """One request to the shop, whose span goes to the same collector; the job that it enqueued."""
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{collector.url}/v1/traces")))
    try:
        with serving(make_server("127.0.0.1", 0, _shop(stack, provider.get_tracer("shop")))) as url:
            reply = requests.post(f"{url}/leave", headers={"X-Request-Id": "req-7"}, timeout=30)
    finally:
        provider.shutdown()
    assert reply.status_code == 200
    return reply.text


def _shop(stack: Stack, tracer: Tracer) -> Flask:
    app = Flask("shop")

    @app.post("/leave")
    def leave() -> str:
        with (
            tracer.start_as_current_span("POST /leave", kind=SpanKind.SERVER),
            Session(stack.database.engine) as session,
        ):
            tags = ["leave", f"request_id:{request.headers['X-Request-Id']}"]
            job = enqueue(session, ACCOUNT, Text(content=TEXT), To(users=[PERSON]), tags=tags, accounts=stack.accounts)
            session.commit()
            return job.id

    return app


def _exemplars(stack: Stack) -> set[tuple[str, str]]:
    """Trace and span of each exemplar that Prometheus is told, once each of the three histograms has one."""
    listening = "metrics listening on "
    url = next((line.removeprefix(listening) for line in stack.logs().splitlines() if line.startswith(listening)), None)
    if url is None:
        return set()
    reply = requests.get(f"{url}/metrics", headers={"Accept": "application/openmetrics-text"}, timeout=30)
    samples = [one for family in text_string_to_metric_families(reply.text) for one in family.samples if one.exemplar]
    told = {one.name for one in samples}
    if told != {f"worker_{name}_seconds_bucket" for name in ("call", "first_call", "end")}:
        return set()
    return {(one.exemplar.labels["trace_id"], one.exemplar.labels["span_id"]) for one in samples if one.exemplar}


def _outcome(call: Span) -> tuple[str, int]:
    told = attributes(call)
    return told["worker.outcome"], told["worker.errcode"]
