"""Traces: the context that a producer leaves with its job, and the seam to what writes spans.

Imports no OpenTelemetry, and knows neither how spans are made nor where they go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

STATE_CHARACTERS = 512
"""Of a tracestate at most so many are kept, which is what W3C Trace Context asks for at least."""
CONTEXT_CHARACTERS = 55 + 1 + STATE_CHARACTERS
"""The longest stored context: a traceparent of version 00, a space, a tracestate."""


class SpanRef(NamedTuple):
    """A span that is written, by its ids in hexadecimal."""

    trace_id: str
    span_id: str


Attributes = Mapping[str, str | int | None]
"""What a span tells, by OpenTelemetry's names: nothing that is a secret, a recipient or a text. None is left out."""


@dataclass(frozen=True, slots=True)
class HookRun:
    """What a span tells of a run of the application's hooks."""

    parent: str | None
    """The stored context of the producer of the job that the event is about; None: there is none."""
    kind: str
    job: str | None
    part: str | None
    attempt: int


class Tracing(Protocol):
    """What writes spans. Raises nothing of its own, and waits for no collector."""

    def call(
        self, name: str, parent: str | None, began_ago_s: float, ended_ago_s: float, tell: Callable[[], Attributes]
    ) -> SpanRef | None:
        """Writes the span of a call; None: it is not sampled, and `tell` was not asked.

        `parent`: the stored context of the job's producer; None: it left none. One with an `error.type` has failed.
        """

    def hooks(self, run: HookRun) -> AbstractContextManager[None]:
        """A span around a run of hooks, current in this thread, so that what they enqueue belongs to it."""


def bounded_state(state: str) -> str:
    """A tracestate without those of its last entries that make it too long."""
    while len(state) > STATE_CHARACTERS:
        state = state.rpartition(",")[0]
    return state


def trace_id_of(stored: str | None) -> str | None:
    """The trace id of a stored context."""
    return stored.split("-", 2)[1] if stored and stored.count("-") >= 3 else None
