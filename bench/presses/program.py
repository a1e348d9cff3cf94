"""From a press to its hook, right after 100,000 jobs were cancelled by a process that loads no hooks.

Once with a hook for presses alone, when no cancelled job may leave an event, and once with a hook for cancelled jobs
as well, whose 100,000 events the presses overtake. One real worker process; the slower of both counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

from bench import Figure
from bench.stand.installation import installation, lay_ready
from bench.stand.stacks import EMBEDDED, STACKS, missing_service
from bench.throughput.rig import BenchFailed
from rig.stack import ACCOUNT, Stack, Vendor, until
from rig.stacks import WITH_A_BROKER
from worker import ButtonCard, JobFilter, NewJob, Text, To, cancel, enqueue, find_open
from worker.domain.callbacks.inbound import CardPress, Inbound
from worker.hooks.callbacks import CallbackStore

GOAL_S = 1.0
JOBS, PRESSES = 100_000, 20
TAG = "wrong"
ENDED = "select count(*) from worker_events where ended_at is not null"


def main(argv: list[str]) -> Figure:
    """Without a hook for the ends, and with it; the slowest press."""
    parser = argparse.ArgumentParser(prog="python -m bench presses")
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--stack", choices=[kind for kind in STACKS if kind != EMBEDDED], default=WITH_A_BROKER[0])
    options = parser.parse_args(argv)
    if missing := missing_service([options.stack]):
        return Figure("presses", f"{missing} does not answer", f"{GOAL_S} s", ok=False)
    worst = max(measure(options.stack, options.jobs, ends=ends) for ends in (False, True))
    return Figure("presses", f"{worst:.2f} s", f"{GOAL_S} s", worst <= GOAL_S)


def measure(kind: str, jobs: int, *, ends: bool) -> float:
    """Seconds until the hook of the slowest press ran."""
    with _stack(kind, ends=ends) as stack:
        card = _card(stack)
        later = (
            NewJob(ACCOUNT, Text(content=f"{n}"), To([f"u{n}"]), tags=[TAG], due_at=timedelta(days=1))
            for n in range(jobs)
        )
        lay_ready(stack, later)
        cancel(find_open(JobFilter(tag=TAG), settings=stack.settings), person="bench", settings=stack.settings)
        left = stack.number("select count(*) from worker_events")
        ended, at = stack.number(ENDED), time.monotonic()
        spans = _press(stack, card)
        rate = (stack.number(ENDED) - ended) / (time.monotonic() - at)
    print(
        f"  {kind}: {jobs:,} cancelled, {left:,} events of them: a press's hook runs after {max(spans):.2f} s at most,"
        f" beside {rate:.0f} hooks a second"
    )
    if left != (jobs if ends else 0):
        raise BenchFailed(f"{left} events of {jobs} jobs")
    return max(spans)


@contextmanager
def _stack(kind: str, *, ends: bool) -> Iterator[Stack]:
    """A worker that is ready."""
    with tempfile.TemporaryDirectory(prefix="bench-presses-") as name, closing(Vendor(Path(name))) as vendor:
        env: Mapping[str, str] = {"BENCH_LOG": f"{name}/hooks.log", "BENCH_ENDS": "1" if ends else ""}
        top = 'hooks = "bench.presses.hooks"'
        with installation("presses", kind, Path(name), vendor, delivery={}, top=top, env=env) as stack:
            stack.worker(threads=32)
            until(lambda: stack.number("select count(*) from worker_processes"), "the worker is there")
            yield stack


def _card(stack: Stack) -> str:
    """A card that was sent to everybody who will press it."""
    card = ButtonCard(main_title={"title": "leave"}, button_list=[{"text": "ok", "key": "ok"}])
    people = To([f"p{n}" for n in range(PRESSES)])
    with stack.database.writing() as connection:
        job = enqueue(connection, ACCOUNT, card, people, accounts=stack.accounts).id
    stack.until_settled()
    return job


def _press(stack: Stack, card: str) -> list[float]:
    """Seconds from each press to its hook; stored as the receiver stores it."""
    store, log = CallbackStore(stack.database, stack.settings, stack.accounts), Path(stack.env["BENCH_LOG"])
    pressed: dict[str, float] = {}
    for n in range(PRESSES):
        person = f"p{n}"
        press = CardPress(f"w{card}-0", "ok", "button_interaction", None, {})
        inbound = Inbound("template_card_event", person, int(time.time()), (card, person), {}, press)
        pressed[person] = time.monotonic()
        store.store(ACCOUNT, inbound)
        until(lambda n=n: log.exists() and len(log.read_text().splitlines()) > n, f"hook {n}")  # type: ignore[misc]
    ran = dict(line.split() for line in log.read_text(encoding="utf-8").splitlines())
    return [float(ran[person]) - at for person, at in pressed.items()]
