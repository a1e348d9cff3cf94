"""Whether the formulas of `model.py` hold: disk, memory, CPU and connections of a worker that delivers.

Each database, and its broker, is a server of the bench's own with its default settings, so that the CPU of others who
use the machine does not count. A worker delivers some thousand jobs; then the tables are measured, once every job is
indexed. More runs have fewer threads, more accounts and more lanes: each is compared with the run before it, so that
what one of them adds to the memory is seen.
"""

from __future__ import annotations

import argparse
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import Figure
from bench.capacity.model import MORE_MIB, PER_JOB, TERMS, TOLERANCE, Kind, connections, memory_mib
from bench.scale.contents import add_at_work
from bench.stand.servers import own_database
from bench.throughput.cost import machine_seconds, tree_seconds
from bench.throughput.ours import prepare
from bench.throughput.plain_call import text_of, user_of
from bench.throughput.rig import same
from rig.servers import own_mariadb, own_postgres, own_redis
from rig.stack import ACCOUNT, Process, Stack, Vendor, peak_kib, until
from worker import NewJob, Text, To, enqueue_many

JOBS, FEW_JOBS, WARM_UP, LOT = 3_000, 900, 500, 1_000
THREADS, FEW_THREADS, LATENCY_MS = 64, 8, 20
ACCOUNTS, LANES = 300, 10_000
CROWDED = (os.cpu_count() or 1) / 2
"""Processors that others keep busy; on a more crowded machine each job takes more CPU, up to four times as much."""
TAGS = ("capacity", "bench")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "job": ("jobs", "parts", "receipts"),
    "term": ("terms",),
    "attempt": ("attempts",),
    "body": ("bodies", "duplicates"),
}
SIZES: Mapping[Kind, str] = {
    "postgres": "select relname, pg_total_relation_size(oid) from pg_class where relkind = 'r'",
    "sqlite": "select m.tbl_name, d.pgsize from dbstat d join sqlite_master m on m.name = d.name",
    "mariadb": (
        "select replace(substring_index(table_name, '.', -1), '`', ''), count(*) * @@innodb_page_size"
        " from information_schema.innodb_buffer_page"
        " where table_name like concat('`', database(), '`.%') and page_type in ('INDEX', 'BLOB') group by 1"
    ),
}
"""Of MariaDB the pages in use, all of which are in memory here: its files grow by a megabyte at a time."""
CONNECTED: Mapping[Kind, str] = {
    "postgres": "select count(*) from pg_stat_activity where datname = current_database()",
    "mariadb": "select count(*) from information_schema.processlist where db = database()",
}


@dataclass(frozen=True)
class Place:
    """A database, its broker, and the processes that serve both."""

    kind: Kind
    database: str
    """Of the server; each run makes one of its own there. Of SQLite "", which is a file."""
    broker: str
    roots: tuple[int, ...]
    """The servers' first processes."""


@dataclass(frozen=True)
class Used:
    """Processor seconds for 1,000 jobs."""

    worker: float
    servers: float
    others: float
    """How many processors everything else on the machine kept busy meanwhile."""


@dataclass(frozen=True)
class Seen:
    """What one run showed."""

    peak_mib: float
    connections: int
    used: Used
    bytes_each: Mapping[str, float]
    """Of each group of tables, a row of its first one."""
    terms: float
    """Of a job."""


def main(argv: list[str]) -> Figure:
    """Every figure on every database beside its formula; how many are within their tolerance."""
    parser = argparse.ArgumentParser(prog="python -m bench capacity")
    parser.add_argument("--database", choices=("all", *PER_JOB), default="all")
    options = parser.parse_args(argv)
    kinds = [kind for kind in PER_JOB if options.database in ("all", kind)]
    found = [is_near for kind in kinds for is_near in judged(kind)]
    return Figure("capacity", f"{sum(found)} of {len(found)}", "every figure within its tolerance", all(found))


def judged(kind: Kind) -> Iterator[bool]:
    """One database's figures; what accounts and lanes add to a process is the same on each, and asked of one."""
    with place_of(kind) as place:
        full, each = delivered(place, THREADS), PER_JOB[kind]
        for name, size in full.bytes_each.items():
            yield near("disk", f"{kind}: bytes, {name}", size, getattr(each, name))
        print(f"{kind}: terms of a job: {full.terms:g}, by the formula {TERMS}")
        yield full.terms == TERMS
        yield from _enough_cpu(f"{kind}: worker", full.used.worker, each.worker_cpu, full.used.others)
        yield near("memory", f"{kind}: MiB, {THREADS} threads", full.peak_mib, memory_mib(THREADS))
        if kind != "sqlite":
            yield from _enough_cpu(f"{kind}: servers", full.used.servers, each.server_cpu, full.used.others)
            most = connections(kind, THREADS)
            print(f"{kind}: connections: {full.connections}, by the formula at most {most}")
            yield 0 < full.connections <= most
        if kind == "postgres":
            yield from _memory(place)


def _memory(place: Place) -> Iterator[bool]:
    """Of a process with few threads: alone, with many accounts, with many lanes."""
    few = delivered(place, FEW_THREADS).peak_mib
    yield near("memory", f"MiB, {FEW_THREADS} threads", few, memory_mib(FEW_THREADS))
    for name, more in ((f"{ACCOUNTS} accounts", {"accounts": ACCOUNTS}), (f"{LANES} lanes", {"lanes": LANES})):
        added = delivered(place, FEW_THREADS, **more).peak_mib - few
        is_little = added <= MORE_MIB
        print(f"MiB that {name} add: {added:.1f}, at most {MORE_MIB}: {'ok' if is_little else 'more'}", flush=True)
        yield is_little


def near(what: str, name: str, measured: float, formula: float) -> bool:
    """Prints a figure beside its formula, and whether it is near enough."""
    is_near = abs(measured - formula) <= TOLERANCE[what] * formula
    told = "ok" if is_near else f"off by more than {TOLERANCE[what]:.0%}"
    print(f"{name}: {measured:.4g}, by the formula {formula:.4g}: {told}", flush=True)
    return is_near


def _enough_cpu(name: str, measured: float, formula: float, others: float) -> Iterator[bool]:
    """Whether the formula's processor seconds are enough; a crowded machine takes more, and is no judge."""
    print(f"{name}, s for 1,000 jobs: {measured:.2f}, by the formula {formula:.2f}", end=": ")
    if others > CROWDED:
        print(f"not judged, because other processes kept {others:.1f} processors busy", flush=True)
        return
    is_enough = measured <= (1 + TOLERANCE["CPU"]) * formula
    print("ok" if is_enough else f"more by over {TOLERANCE['CPU']:.0%}", flush=True)
    yield is_enough


@contextmanager
def place_of(kind: Kind) -> Iterator[Place]:
    """Servers of this bench's own; a file and no server for SQLite."""
    if kind == "sqlite":
        yield Place(kind, "", "embedded", ())
        return
    with own_redis.running() as redis, ExitStack() as scope:
        if kind == "mariadb":
            mariadb = scope.enter_context(own_mariadb.running())
            yield Place(kind, mariadb.url, redis.url, (mariadb.process.pid, redis.process.pid))
        else:
            postgres = scope.enter_context(own_postgres.running())
            yield Place(kind, postgres.url, redis.url, (postgres.pid, redis.process.pid))


def delivered(place: Place, threads: int, *, accounts: int = 1, lanes: int = 0) -> Seen:
    """One worker process delivers all jobs in an outbox of its own."""
    jobs = JOBS if threads == THREADS else FEW_JOBS
    with ExitStack() as scope:
        folder = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="bench-capacity-")))
        vendor = scope.enter_context(closing(Vendor(folder, bare=True, latency_ms=LATENCY_MS)))
        url = f"sqlite:///{folder}/outbox.db"
        if place.database:
            url = scope.enter_context(own_database(place.database, f"capacity_{secrets.token_hex(4)}"))
        more = "".join(_account(number, vendor.url) for number in range(1, accounts))
        stack = scope.enter_context(
            closing(Stack(folder, url, place.broker, vendor, delivery={"cold_after_s": 0}, account=more))
        )
        _enqueue(stack, jobs, accounts, lanes)
        worker = stack.worker(threads=threads)
        used = _used(place, vendor, worker, jobs, threads)
        open_now = _connected(place, stack)
        stack.until_settled()
        unindexed = "select count(*) from worker_unindexed"
        until(lambda: not stack.number(unindexed), "every job is indexed", progress=lambda: stack.number(unindexed))
        same({"accepted jobs": stack.number("select count(*) from worker_jobs where state = 2")}, jobs)
        terms = stack.number("select count(*) from worker_terms") / jobs
        return Seen(peak_kib(worker.pid) / 1024, open_now, used, _bytes_each(place, stack), terms)


def _used(place: Place, vendor: Vendor, worker: Process, jobs: int, threads: int) -> Used:
    """What the calls between start and end take."""
    roots = (worker.pid, vendor.process.pid, *place.roots)

    def clocks() -> tuple[float, ...]:
        return (time.monotonic(), vendor.sends(), machine_seconds(), *map(tree_seconds, roots))

    until(lambda: vendor.sends() >= WARM_UP, f"{WARM_UP} calls", progress=vendor.sends)
    before = clocks()
    until(lambda: vendor.sends() >= jobs - 2 * threads, "nearly all calls", progress=vendor.sends)
    spent, calls, machine, *ours = (now - then for now, then in zip(clocks(), before, strict=True))
    own, _vendor, *servers = ours
    return Used(own * 1_000 / calls, sum(servers) * 1_000 / calls, (machine - sum(ours)) / spent)


def _account(number: int, url: str) -> str:
    return (
        f'[accounts.a{number}]\nchannel = "wecom_app"\ncorpid = "ww{number}"\nagentid = 7\n'
        f'secret = {{ file = "FOLDER/secret" }}\nbase_url = "{url}"\n'
    )


def _enqueue(stack: Stack, jobs: int, accounts: int, lanes: int) -> None:
    """All jobs, spread over the accounts."""
    prepare(stack, 0)
    names = [ACCOUNT, *(f"a{number}" for number in range(1, accounts))]
    for first in range(0, jobs, LOT):
        lot = [
            NewJob(names[n % accounts], Text(content=text_of(n)), To(users=[user_of(n)]), tags=TAGS)
            for n in range(first, min(jobs, first + LOT))
        ]
        with stack.database.writing() as connection:
            enqueue_many(connection, lot, accounts=stack.accounts)
    if lanes:
        add_at_work(stack.database, lanes)


def _connected(place: Place, stack: Stack) -> int:
    """The worker's connections, without the bench's own."""
    if place.kind not in CONNECTED:
        return 0
    stack.database.engine.dispose()  # of its connections one is left, the question's own
    return stack.number(CONNECTED[place.kind]) - 1


def _bytes_each(place: Place, stack: Stack) -> dict[str, float]:
    """Bytes of each group of tables with their indexes, a row of the group's first table."""
    sizes: dict[str, int] = {}
    for table, size in stack.rows(SIZES[place.kind]):
        sizes[table] = sizes.get(table, 0) + int(size)
    return {
        name: sum(sizes[f"worker_{table}"] for table in tables)
        / stack.number(f"select count(*) from worker_{tables[0]}")
        for name, tables in GROUPS.items()
    }
