"""One run of the plain Celery task, in any of its variants, counted the same way as ours."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from bench.throughput.events import counting
from bench.throughput.plain_call import body_of
from bench.throughput.plain_task import environment, make_app, publish
from bench.throughput.rig import (
    SETTLE_S,
    Rig,
    Run,
    bare_vendor,
    empty_broker,
    finish,
    measure,
    processes,
    same,
    until,
)

LOGLEVEL = "WARNING"
"""Ours writes a line a job; the plain one writes none."""


@dataclass(frozen=True, slots=True)
class Variant:
    """How the plain task is run."""

    prefetch: int
    trust_env: bool
    events: bool = True
    pool: str = "threads"

    @property
    def name(self) -> str:
        """For people."""
        pool = "" if self.pool == "threads" else f" on {self.pool}"
        return f"plain{pool}{' -E' if self.events else ''}, prefetch {self.prefetch}, trust_env {self.trust_env}"


VARIANTS = [Variant(prefetch, trust_env) for prefetch in (1, 4, 16) for trust_env in (False, True)]


def run(rig: Rig, variant: Variant, jobs: int) -> Run:
    """Carries out so many tasks and says how fast; fails unless calls (and events) = jobs."""
    log = rig.folder / "plain.log"
    log.unlink(missing_ok=True)
    with empty_broker(rig.broker), bare_vendor(rig) as vendor:
        given: dict[str, Any] = {"prefetch": variant.prefetch, "trust_env": variant.trust_env}
        app = make_app(rig.broker, vendor.url, **given)
        publish(app, (body_of(n) for n in range(jobs)))
        app.close()
        with (
            _events(rig, variant) as events,
            processes(_commands(rig, variant), environment(rig.broker, vendor.url, **given), log) as workers,
        ):
            found = measure(variant.name, rig, vendor, workers, jobs)
            if events:
                until(lambda: events.told >= jobs, workers, SETTLE_S, f"{jobs} events", lambda: f"{events.told}")
            finish(workers, vendor, log, jobs)
        if events:
            same({"events": events.told, "jobs in events": events.jobs}, jobs)
    return found


def _events(rig: Rig, variant: Variant) -> Any:
    return counting(rig.broker, "celeryev") if variant.events else nullcontext()


def _commands(rig: Rig, variant: Variant) -> list[list[str]]:
    base = ["celery", "-A", "bench.throughput.plain_task", "worker", "-P", variant.pool, "-c", str(rig.threads)]
    base += ["--loglevel", LOGLEVEL, *(["-E"] if variant.events else [])]
    return [[*base, "-n", f"plain{number}@bench"] for number in range(rig.workers)]


__all__ = ["LOGLEVEL", "VARIANTS", "Variant", "run"]
