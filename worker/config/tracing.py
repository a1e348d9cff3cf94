"""Reads from the OTEL_* variables whether spans are exported, before OpenTelemetry is imported.

They are OpenTelemetry's own variables, so that a worker is set up like every other program. `service/spans.py` reads
the rest of them. Knows no collector.
"""

from __future__ import annotations

from collections.abc import Mapping

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
EXPORTER, DISABLED = "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"
PROTOCOL = "http/protobuf"
NOT_INSTALLED = "pip install 'PATH[otel]', with the PATH of the wheel or checkout, or set OTEL_TRACES_EXPORTER=none"
NOT_USABLE = "a value of an OTEL_* variable cannot be used; correct it, or set OTEL_TRACES_EXPORTER=none"


def is_enabled(environ: Mapping[str, str]) -> bool:
    """Returns True if an endpoint is set and nothing switches spans off."""
    is_off = environ.get(DISABLED, "").strip().lower() == "true" or environ.get(EXPORTER, "").strip() == "none"
    return not is_off and any(map(environ.get, ENDPOINTS))


def unsupported(environ: Mapping[str, str]) -> str | None:
    """Returns what to change if an unsupported exporter or protocol is set, or None."""
    if environ.get(EXPORTER, "").strip() not in ("", "otlp"):
        return f"set {EXPORTER} to otlp, the only exporter that is supported, or to none"
    name = next((name for name in PROTOCOLS if environ.get(name)), None)
    if name is not None and environ[name].strip() != PROTOCOL:
        return f"set {name} to {PROTOCOL} and the endpoint to the collector's port for HTTP, often 4318"
    return None
