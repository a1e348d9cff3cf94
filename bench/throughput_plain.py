"""One run of the plain Celery task, in any of its variants, counted the same way as ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.plain_task import environment, make_app, publish
from bench.throughput_events import EventCount, counting
from bench.throughput_rig import (
    BenchFailed,
    Rig,
    Run,
    bare_vendor,
    empty_broker,
    measure,
    same,
    text_of,
    until,
    user_of,
)
from rig.stack import ROOT

SETTLE_S = 60.0
LOGLEVEL = "WARNING"
"""Ours writes a line a job; the plain one writes none."""


@dataclass(frozen=True, slots=True)
class Variant:
    """How the plain task is run."""

    prefetch: int
    trust_env: bool
    events: bool = True

    @property
    def name(self) -> str:
        """For people."""
        return f"plain{' -E' if self.events else ''}, prefetch {self.prefetch}, trust_env {self.trust_env}"


VARIANTS = [Variant(prefetch, trust_env) for prefetch in (1, 4, 16) for trust_env in (False, True)]


def run(rig: Rig, variant: Variant, jobs: int) -> Run:
    """Carries out so many tasks and says how fast; fails unless calls (and events) = jobs."""
    with empty_broker(rig.broker), bare_vendor(rig) as vendor:
        given: dict[str, Any] = {"prefetch": variant.prefetch, "trust_env": variant.trust_env}
        app = make_app(rig.broker, vendor.url, **given)
        publish(app, (body_of(n) for n in range(jobs)))
        app.close()
        log = rig.folder / "plain.log"
        with (
            _events(rig, variant) as events,
            _worker(rig, variant, log, environment(rig.broker, vendor.url, **given)) as w,
        ):
            found = measure(variant.name, rig, vendor, w, jobs)
            until(lambda: vendor.sends() >= jobs, w, SETTLE_S, f"{jobs} calls", lambda: f"{vendor.sends()}")
            if events:
                until(lambda: events.told >= jobs, w, SETTLE_S, f"{jobs} events", lambda: f"{events.told}")
            w.send_signal(signal.SIGTERM)
            status = w.wait(SETTLE_S)
        told = {"events": events.told, "jobs in events": events.jobs} if events else {}
        same({"calls": vendor.sends(), **told}, jobs)
        if status or "Traceback" in log.read_text(encoding="utf-8", errors="replace"):
            raise BenchFailed(f"the plain worker ended with {status}:\n{log.read_text(encoding='utf-8')[-2000:]}")
    return found


def body_of(n: int) -> dict[str, Any]:
    """What ours sends, made ready beforehand."""
    return {"touser": user_of(n), "msgtype": "text", "agentid": 7, "text": {"content": text_of(n)}}


def _events(rig: Rig, variant: Variant) -> Any:
    return counting(rig.broker, "celeryev") if variant.events else nullcontext()


@contextmanager
def _worker(rig: Rig, variant: Variant, log: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    command = ["celery", "-A", "bench.plain_task", "worker", "-P", "threads", "-c", str(rig.threads)]
    command += ["--loglevel", LOGLEVEL, *(["-E"] if variant.events else [])]
    with log.open("wb") as opened:
        started = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", *command],
            cwd=ROOT,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=opened,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.wait()


__all__ = ["LOGLEVEL", "VARIANTS", "EventCount", "Variant", "run"]
