"""One run of our worker: jobs in a scratch database, all promises on, everything counted and compared at the end."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from bench.stand.stacks import EMBEDDED
from bench.throughput.events import EventCount, counting
from bench.throughput.plain_call import text_of, user_of
from bench.throughput.rig import (
    SETTLE_S,
    BenchFailed,
    Rig,
    Run,
    Workers,
    bare_vendor,
    empty_broker,
    measure,
    same,
    until,
)
from rig.stack import ACCOUNT, Stack
from rig.stacks import scratch
from worker import NewJob, Text, To, enqueue_many
from worker.outbox.engine.migrate import upgrade

BULK = 1_000
NONE_BLOCKED = "select count(*) from worker_lanes"
COUNTS = {
    "accepted jobs": "select count(*) from worker_jobs where state = 2",
    "receipts": "select count(*) from worker_receipts where msgid is not null",
    "attempts": "select count(*) from worker_attempts where outcome = 'accepted' and flagged and claim = 1",
    "duplicate windows": "select count(*) from worker_duplicates where others_since is null",
    "frozen bodies": "select count(*) from worker_bodies",
}


def run(rig: Rig, jobs: int, start: Callable[[Stack], Any] | None = None) -> Run:
    """Delivers so many jobs and says how fast; fails unless calls = receipts = events = jobs.

    `start` starts another worker than the usual one.
    """
    folder = rig.folder / f"ours-{secrets.token_hex(4)}"
    with (
        empty_broker(rig.broker),
        bare_vendor(rig) as vendor,
        scratch(rig.stack, folder.name.replace("-", "_"), rig.folder) as url,
    ):
        broker = EMBEDDED if rig.stack == EMBEDDED else rig.broker
        stack = Stack(folder, url, broker, vendor, delivery={})
        try:
            prepare(stack, jobs)
            with _events(rig, stack) as events:
                workers = [start(stack) if start else _worker(stack, rig) for _ in range(rig.workers)]
                name = f"ours{' -E' if events else ''}"
                found = measure(name, rig, vendor, workers, jobs, stack.database.engine.url.database or "")
                _finish(stack, workers, events, jobs)
            check(stack, events, jobs)
        except BenchFailed as error:
            raise BenchFailed(f"{error}\n{stack.state()}\n{stack.logs()[-3000:]}") from None
        finally:
            stack.close()
    return found


def _worker(stack: Stack, rig: Rig) -> Any:
    return stack.worker(threads=rig.threads, loglevel="INFO", options=("-E",))


def _events(rig: Rig, stack: Stack) -> AbstractContextManager[EventCount | None]:
    """Embedded there is no broker to tell."""
    return nullcontext() if rig.stack == EMBEDDED else counting(rig.broker, f"{stack.prefix}celeryev")


def prepare(stack: Stack, jobs: int) -> None:
    """Fresh tables with all the work in them, and the planner knows."""
    upgrade(stack.database.engine)
    for numbers in _in_bulk(range(jobs)):
        new = [NewJob(ACCOUNT, Text(content=text_of(n)), To(users=[user_of(n)])) for n in numbers]
        with stack.database.writing() as connection:
            enqueue_many(connection, new, accounts=stack.accounts)
    with stack.database.writing() as connection:
        named = connection.dialect.name in ("mysql", "mariadb")
        connection.exec_driver_sql("analyze table worker_jobs, worker_parts" if named else "analyze")


def _in_bulk(numbers: range) -> Iterator[range]:
    return (numbers[at : at + BULK] for at in range(0, len(numbers), BULK))


def _finish(stack: Stack, workers: Workers, events: EventCount | None, jobs: int) -> None:
    """Lets them work off the rest and ends them."""
    until(lambda: not stack.open_jobs(), workers, SETTLE_S, "every job ended")
    if events:
        until(lambda: events.told >= jobs, workers, SETTLE_S, f"{jobs} events", lambda: f"{events.told}")
    if any(statuses := [stack.end(worker) for worker in workers]):
        raise BenchFailed(f"the workers ended with {statuses}")


def check(stack: Stack, events: EventCount | None, jobs: int) -> None:
    """Everything that was promised happened, once, and nobody complained."""
    log = [line for line in stack.logs().splitlines() if line]
    entries = list(_entries(log))
    said = Counter(entry["event"] for entry in entries)
    counts = {name: stack.number(query) for name, query in COUNTS.items()}
    counts |= {"calls": stack.vendor.sends()}
    if events:
        counts |= {"events": events.told, "jobs in events": events.jobs}
    same(counts | {"attempts in the log": said["attempt"]}, jobs)
    if blocked := stack.number(NONE_BLOCKED):
        raise BenchFailed(f"{blocked} lanes were blocked")
    if not stack.number("select count(*) from worker_budgets"):
        raise BenchFailed("no limit was reserved: are they on?")
    complaints(log)


def complaints(log: Iterable[str]) -> None:
    """Fails on a warning, an error or a traceback in a worker's log."""
    lines = list(log)
    bad = [json.dumps(entry) for entry in _entries(lines) if entry.get("level") not in ("info", "debug")]
    bad += [line for line in lines if line.startswith("Traceback")]
    if bad:
        raise BenchFailed("the worker complained:\n" + "\n".join(bad[:5]))


def _entries(log: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The JSON lines; Celery's banner is none."""
    return (json.loads(line) for line in log if line.startswith("{"))
