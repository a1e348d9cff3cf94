"""An OTLP collector in the test: takes spans over HTTP, and has each as OpenTelemetry's own protobuf message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.listening import listening


@dataclass
class Collector:
    """What it was sent."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        """The collector's only address."""
        self.bodies.append(await request.body())
        return Response(ExportTraceServiceResponse().SerializeToString(), media_type="application/x-protobuf")

    def spans(self, service: str) -> list[Span]:
        """The spans of a service, in the order of their beginnings."""
        sent = [group for body in self.bodies for group in ExportTraceServiceRequest.FromString(body).resource_spans]
        ours = [group for group in sent if attributes(group.resource)["service.name"] == service]
        found = [span for group in ours for scope in group.scope_spans for span in scope.spans]
        return sorted(found, key=lambda span: span.start_time_unix_nano)


def attributes(of: Any) -> dict[str, Any]:
    """The attributes of a span or a resource, by name."""
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in of.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens."""
    collector = Collector()
    with listening(Starlette(routes=[Route("/v1/traces", collector.take, methods=["POST"])])) as url:
        collector.url = url
        yield collector
