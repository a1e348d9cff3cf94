"""Traces: the context that a producer stores with its job, and the interface to the code that writes spans.

It imports no OpenTelemetry, and does not know how spans are written or where they go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

STATE_CHARACTERS = 512
"""The largest number of characters of a tracestate that is stored: the least that W3C Trace Context demands."""
CONTEXT_CHARACTERS = 55 + 1 + STATE_CHARACTERS
"""The longest stored context: a traceparent of version 00, a space, a tracestate."""


class SpanRef(NamedTuple):
    """A span that is written, by its ids in hexadecimal."""

    trace_id: str
    span_id: str


Attributes = Mapping[str, str | int | None]
"""The attributes of a span, by OpenTelemetry's names, without secrets, recipients and texts. None is omitted."""


@dataclass(frozen=True, slots=True)
class HookRun:
    """The attributes of a span for a run of the application's hooks."""

    parent: str | None
    """The stored context of the producer of the job that the event is about, or None without one."""
    kind: str
    job: str | None
    part: str | None
    attempt: int


class Tracing(Protocol):
    """The interface of the code that writes spans. It raises nothing, and waits for no collector."""

    def call(
        self, name: str, parent: str | None, began_ago_s: float, ended_ago_s: float, describe: Callable[[], Attributes]
    ) -> SpanRef | None:
        """Writes the span of a call, or returns None if it is not sampled, without calling `describe`.

        `parent` is the stored context of the job's producer, or None. `describe` returns the attributes; a span with an
        `error.type` has failed.
        """

    def hooks(self, run: HookRun) -> AbstractContextManager[None]:
        """Opens a span around a run of hooks, current in this thread, so that jobs they enqueue belong to it."""


def bounded_state(state: str) -> str:
    """Returns a tracestate without the last entries that make it too long."""
    return state if len(state) <= STATE_CHARACTERS else state[: STATE_CHARACTERS + 1].rpartition(",")[0]


def trace_id_of(stored: str | None) -> str | None:
    """Returns the trace id of a stored context, or None."""
    return stored.split("-", 2)[1] if stored and stored.count("-") >= 3 else None
