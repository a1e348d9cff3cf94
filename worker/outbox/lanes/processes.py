"""Heartbeats of worker processes, the queues that they consume, and leases, such as that of the active relay."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import lru_cache
from string import ascii_lowercase
from typing import Any, TypeVar

from sqlalchemy import Connection

from worker.domain.callbacks.hook import NO_HOOKS, Subscriptions, merged
from worker.domain.job import Priority
from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, insert_rows
from worker.outbox.engine.clock import SECOND, SKEW_US, now_in
from worker.outbox.engine.counting import count_row
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.migrate import Release, this_release
from worker.outbox.engine.sql import execute, fetch, read_now
from worker.outbox.lanes.lanes import acknowledged

T = TypeVar("T", dict[str, Any], list[Any])


class QueueName(StrEnum):
    """The queues, in the order in which a worker empties them."""

    URGENT = "urgent"
    HOOKS = "hooks"
    NORMAL = "normal"
    FILES = "files"
    BULK = "bulk"


ALL_QUEUES = frozenset(QueueName)
RELAY = "relay"
"""The lease of the process that runs the relay."""
RECEIVER = "receiver"
"""The lease of a receiver of callbacks; others take it when it lapses. Its holder is a host and a process id."""
BROKER = "broker"
"""The key in `Health.hindered` of a process that can publish nothing."""
LOG = "log"
"""The key in `Health.hindered` of a process whose log lines cannot be written."""


def queues_serving(priority: int, *, is_file: bool) -> tuple[QueueName, ...]:
    """Returns the queues that parts of this priority come through. A worker must consume the first one.

    Urgent parts come through no other queue. If no process consumes the queue for files or for bulk in time, their
    parts go into the normal queue.
    """
    if priority == Priority.URGENT:
        return (QueueName.URGENT,)
    release = [QueueName.FILES] if is_file else []
    return (QueueName.NORMAL, *release, *([QueueName.BULK] if priority == Priority.BULK else []))


@dataclass(frozen=True, slots=True)
class Health:
    """What a process reports about its own health with each heartbeat."""

    problems: tuple[str, ...] = ()
    """A sentence for each problem; empty if the process is healthy."""
    hindered: Mapping[str, str] = field(default_factory=dict)
    """Lease -> why the process cannot do its work now, for example publish. A restart would not help.

    Also `account NAME` -> why, for an account that the process leaves to others because it cannot reach the vendor, and
    `broker` -> why, while the process can publish nothing; `log` -> why, while its log lines are lost.
    """

    def hindrances(self) -> list[str]:
        """Returns a sentence for each entry of `hindered`."""
        return [hindrance(lease, problem) for lease, problem in self.hindered.items()]


def hindrance(lease: str, problem: str) -> str:
    """Returns the sentence on work that a process cannot do now."""
    if lease == LOG:
        return f"it writes no log: {problem}"
    return problem if lease == BROKER else f"{lease}: {problem}"


_ACCOUNT = "account "


def deferred_account(account: str) -> str:
    """Returns the key in `Health.hindered` of an account that the process leaves to other processes."""
    return f"{_ACCOUNT}{account}"


def deferred_accounts(process: Process) -> dict[str, str]:
    """Returns account -> why the process leaves it to other processes."""
    entries = process.health.hindered.items()
    return {what.removeprefix(_ACCOUNT): why for what, why in entries if what.startswith(_ACCOUNT)}


def hindered_work(process: Process) -> dict[str, str]:
    """Returns the other entries of its `hindered`: the work of its own that it cannot do, and why."""
    return {what: why for what, why in process.health.hindered.items() if not what.startswith(_ACCOUNT)}


HEALTHY = Health()


@dataclass(frozen=True, slots=True)
class Process:
    """One incarnation of a worker process. A process gets a new incarnation after its lease has lapsed."""

    id: str
    alive_until: int
    threads: int
    lanes: Mapping[str, list[int]]
    """The figures of the lanes that it used lately; see `LaneStates.summary`."""
    fresh: bool
    """Whether its lease has not lapsed."""
    queues: frozenset[str] = ALL_QUEUES
    """The queues that it consumes."""
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Account -> what to change, for the accounts that it cannot use as they are configured."""
    host: str = ""
    pid: int = 0
    health: Health = HEALTHY
    """As of its last heartbeat. A process of an earlier release does not report its health."""
    age_s: float = 0.0
    """Seconds since the first heartbeat of its process."""
    ended: bool = False
    """Whether it has ended or counts as dead."""
    hooks: Subscriptions = NO_HOOKS
    """The events for which it has hooks."""


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """A worker process that is alive, with its release."""

    host: str
    pid: int
    threads: int
    queues: frozenset[str]
    release: Release | None
    """None if it runs an earlier release, which does not report it."""


def renew_heartbeat(
    connection: Connection,
    now: str,
    incarnation: str,
    *,
    lease_us: int,
    threads: int,
    host: str,
    pid: int,
    lanes: str,
    unusable: str | None = None,
    queues: Iterable[str] | None = None,
    health: Health = HEALTHY,
    hooks: Subscriptions = NO_HOOKS,
    before: str | None = None,
) -> bool:
    """Writes one heartbeat. Returns False if this incarnation counts as dead. Then it may not mark any more parts.

    `before` is the process's previous incarnation, or None if the process has just started.
    """
    update = (
        f"update worker_processes set alive_until = {now} + :lease, lanes = :lanes, queues = :queues,"
        " unusable = :unusable, health = :health, hindered = :hindered"
        " where id = :id and ended_at is null"
    )
    queue_names = None if queues is None else ",".join(sorted(queues))
    values = {"lanes": lanes, "queues": queue_names, "unusable": unusable}
    values |= {"health": _to_json(health.problems), "hindered": _to_json(dict(health.hindered))}
    if execute(connection, update, {**values, "lease": lease_us, "id": incarnation}).rowcount:
        return True
    instant, release = read_now(connection, now), this_release()
    row = {
        "id": incarnation,
        "alive_until": instant + lease_us,
        "started_at": _first_heartbeat(connection, before) or instant,
        "ended_at": None,
        "threads": threads,
        "host": host,
        "pid": pid,
        **values,
        "hooks": hooks.to_json() if hooks else None,
        "version": release.version,
        "revision": release.revision,
    }
    # The first heartbeat inserts the row. If the incarnation was ended meanwhile, the insert changes nothing.
    insert_rows(connection, tables.processes, [row], conflict="ignore")
    query = "select ended_at from worker_processes where id = :id"
    return execute(connection, query, {"id": incarnation}).one()[0] is None


def _to_json(value: Any) -> str | None:
    """Returns a value as JSON, or None if it is empty."""
    return json.dumps(value) if value else None


def _first_heartbeat(connection: Connection, incarnation: str | None) -> int | None:
    query = "select started_at from worker_processes where id = :id"
    return execute(connection, query, {"id": incarnation}).scalar() if incarnation else None


def end_processes(connection: Connection, now: str, incarnations: Sequence[str]) -> None:
    """Records that these processes ended cleanly."""
    _end_where(connection, now, incarnations, "")


def end_lapsed_processes(connection: Connection, now: str, incarnations: Sequence[str]) -> None:
    """Records that these processes count as dead."""
    # Checked again here, because a process that has renewed its lease since it was read is alive.
    _end_where(connection, now, incarnations, f" and (alive_until <= {now} or {_SET_BACK.format(now=now)})")


def _end_where(connection: Connection, now: str, incarnations: Sequence[str], only: str) -> None:
    update = dialect_of(connection).update_by_ids("worker_processes", f"ended_at = {now}")
    execute(connection, f"{update} and ended_at is null{only}", {"ids": ids_json(incarnations)})


_COLUMNS = (
    "id, alive_until, threads, lanes, {fresh}, queues, unusable, host, pid, health, {now} - started_at, ended_at,"
    " hindered, hooks"
)
_SET_BACK = f"alive_until - {SKEW_US} > {{now}}"
"""The condition of a lease from before the database's clock was set back. It says nothing about its process."""
_HAS_LEASE = f"ended_at is null and alive_until > {{now}} and not {_SET_BACK}"
_CAME_BACK = (
    "exists (select 1 from worker_processes later where later.host = worker_processes.host"
    " and later.pid = worker_processes.pid and later.started_at = worker_processes.started_at"
    " and later.alive_until > worker_processes.alive_until)"
)
"""The condition of a process that came back under another incarnation, for example after the database was down."""
MISSED_S = 600
"""Seconds for which a process that counts as dead is still listed for its host."""


def unended_processes(connection: Connection, now: str) -> list[Process]:
    """Returns every incarnation that has not ended, also if its process has a newer one. The oldest processes first."""
    return _processes(connection, now, "ended_at is null", {})


def living_processes(connection: Connection, now: str) -> list[Process]:
    """Returns the processes that have not ended, each with its last incarnation, also if its lease has lapsed."""
    return _processes(connection, now, f"ended_at is null and not {_CAME_BACK}", {})


def alive_processes(connection: Connection, now: str) -> list[Process]:
    """Returns the processes whose lease has not lapsed. A killed process still has its lease for a few seconds."""
    return [process for process in living_processes(connection, now) if process.fresh]


def processes_of_host(connection: Connection, now: str, host: str) -> list[Process]:
    """Returns the processes of one host, also those that ended lately, which may hang and so count as dead."""
    only = f"host = :host and (ended_at is null or ended_at > {now} - {MISSED_S * SECOND})"
    return _processes(connection, now, only, {"host": host})


LAPSED_S = 10
"""Seconds after its end for which a lease may still find another holder: two of a receiver's heartbeats."""
DEAD_S = 86_400
"""Seconds for which a process that died is reported."""


def recently_died(connection: Connection, now: str) -> list[Process]:
    """Returns the processes that died in the last day and did not come back, but for those that were acknowledged."""
    lately = f"ended_at > {now} - {DEAD_S * SECOND} and alive_until <= ended_at"
    died = _processes(connection, now, f"{lately} and not {_CAME_BACK}", {})
    seen = acknowledged(connection, read_now(connection, now) - DEAD_S * SECOND) if died else {}
    return [process for process in died if process.alive_until > seen.get(f"{process.host} {process.pid}"[:100], 0)]


def recently_stopped(connection: Connection, now: str) -> list[Process]:
    """Returns the processes that ended by themselves in the last day."""
    lately = f"ended_at > {now} - {DEAD_S * SECOND} and alive_until > ended_at"
    return _processes(connection, now, f"{lately} and not {_CAME_BACK}", {})


def _processes(connection: Connection, now: str, only: str, values: Mapping[str, Any]) -> list[Process]:
    columns = _COLUMNS.format(now=now, fresh=_HAS_LEASE.format(now=now))
    query = f"select {columns} from worker_processes where {only} order by started_at, alive_until, id"
    return [_process_of(*row) for row in execute(connection, query, values)]


def _process_of(
    incarnation: str, alive_until: int, threads: int, lanes: str, fresh: Any, queues: str | None, *more: Any
) -> Process:
    unusable, host, pid, health, age_us, ended_at, hindered, hooks = more
    figures = _parsed(lanes, dict).items()
    return Process(
        incarnation,
        alive_until,
        threads,
        {
            lane: values
            for lane, values in figures
            if isinstance(values, list) and [int] * max(2, len(values)) == [*map(type, values)]
        },
        bool(fresh),
        _queues(queues),
        {account: str(problem) for account, problem in _parsed(unusable, dict).items()},
        host,
        pid,
        Health(
            tuple(map(str, _parsed(health, list))),
            {lease: str(problem) for lease, problem in _parsed(hindered, dict).items()},
        ),
        age_us / SECOND,
        ended_at is not None,
        merged([_parsed(hooks, dict)]),
    )


RESTART_S = 600
"""Seconds for which the hooks of a process that has ended still count: it is probably being started again."""


@lru_cache(maxsize=64)
def select_hooks(dialect: Dialect, now: str) -> str:
    """Returns SQL for what `hooks_in` reads: the hooks of all processes that are alive or are being started again."""
    alive = f"ended_at is null or ended_at > {dialect.planned_now(now)} - {RESTART_S * SECOND}"
    hooks = dialect.json_list("coalesce(hooks, '{}')")
    return f"select {hooks} from worker_processes where {alive}"


@lru_cache(maxsize=64)
def hooks_in(text: str | None) -> Subscriptions | None:
    """Returns the hooks that `select_hooks` has read, or None if it has found no process."""
    rows = _parsed(text, list)
    return merged(_parsed(row, dict) for row in rows) if rows else None


def all_hooks(connection: Connection) -> Subscriptions | None:
    """Returns the hooks of the worker processes, whichever process asks. Returns None before the first one.

    If none is alive, and none has ended lately, the hooks of the one that was started last count.
    """
    select = select_hooks(dialect_of(connection), now_in(connection))
    last = "select hooks from worker_processes order by started_at desc, id desc limit 1"
    hooks = hooks_in(fetch(connection, select)[0][0])
    if hooks is not None:
        return hooks
    return next((merged([_parsed(row[0], dict)]) for row in fetch(connection, last)), None)


def _parsed(text: str | None, kind: type[T]) -> T:
    """Parses a heartbeat's JSON. Returns an empty value if the JSON is missing or invalid: a bad row may do no harm."""
    try:
        document = json.loads(text or "null")
    except (ValueError, RecursionError):
        document = None
    return document if isinstance(document, kind) else kind()


def recently_used_lanes(connection: Connection, now: str, within_s: float) -> set[str]:
    """Returns the lanes of which a part has changed lately, from the heartbeats of the last `within_s` seconds."""
    query = f"select lanes from worker_processes where alive_until > {now} - :within"
    rows = execute(connection, query, {"within": int(within_s * SECOND)})
    return {lane for (lanes,) in rows for lane in _parsed(lanes, dict)}


def lease_holder(connection: Connection, now: str, name: str) -> str | None:
    """Returns the process that has a lease, or None if no process has it, or only one that fails at the work."""
    query = f"select holder from worker_leases where name = :name and held_until > {now}"
    holder: str | None = execute(connection, query, {"name": name}).scalar()
    return holder


def has_just_lapsed(connection: Connection, now: str, name: str) -> bool:
    """Returns True if a lease ended so lately that another process may be about to take it."""
    over = f"between {now} - {LAPSED_S * SECOND} and {now}"
    query = f"select 1 from worker_leases where name = :name and held_until {over}"
    return bool(fetch(connection, query, {"name": name}))


def lapsed_lease(connection: Connection, now: str, name: str) -> tuple[str, int] | None:
    """Returns the last holder of a lease and its end. None: it is held, was given back, or has never been taken.

    A lease that has just lapsed may be taken by another process in a moment.
    """
    over = f"between 1 and {now} - {LAPSED_S * SECOND}"
    query = f"select holder, held_until from worker_leases where name = :name and held_until {over}"
    return next((tuple(row) for row in fetch(connection, query, {"name": name})), None)


def unusable_account_counts(processes: Iterable[Process]) -> dict[str, tuple[int, str]]:
    """Returns account -> (how many processes cannot use it, what to change according to the last of them)."""
    document: dict[str, tuple[int, str]] = {}
    for process in processes:
        for account, problem in process.unusable.items() if process.fresh else ():
            document[account] = (document.get(account, (0, ""))[0] + 1, problem)
    return dict(sorted(document.items()))


def running_processes(connection: Connection, now: str) -> list[RunningProcess]:
    """Returns the worker processes that are alive, sorted by host and process id."""
    query = (
        "select host, pid, threads, queues, version, revision from worker_processes"
        f" where ended_at is null and alive_until > {now} order by host, pid, id"
    )
    return [
        RunningProcess(host, pid, threads, _queues(queues), None if version is None else Release(version, revision))
        for host, pid, threads, queues, version, revision in execute(connection, query)
    ]


def _queues(queue_names: str | None) -> frozenset[str]:
    # Null means all queues.
    return ALL_QUEUES if queue_names is None else frozenset(filter(None, queue_names.split(",")))


def sending_of_ended_processes(connection: Connection, limit: int) -> list[tuple[str, int, str]]:
    """Returns (part, claim, incarnation) of the parts that are still marked by incarnations which have ended."""
    # State 1 is `sending`.
    query = (
        "select p.id, p.claim, p.incarnation from worker_parts p"
        " join worker_processes w on w.id = p.incarnation and w.ended_at is not null"
        " where p.state = 1 limit :limit"
    )
    return [(row[0], row[1], row[2]) for row in execute(connection, query, {"limit": limit})]


def sending_overdue(connection: Connection, now: str, margin_us: int, limit: int) -> list[tuple[str, int, str]]:
    """Returns (part, claim, incarnation) of the parts whose call must have ended, also in processes that are alive."""
    query = (
        f"select id, claim, incarnation from worker_parts where state = 1 and deadline_at < {now} - :margin"
        " limit :limit"
    )
    return [(row[0], row[1], row[2]) for row in execute(connection, query, {"margin": margin_us, "limit": limit})]


def check_writable(connection: Connection) -> None:
    """Writes an empty row of counts. Raises the database's error if it accepts no writes.

    A statement that changes no row would succeed even on a full disk.
    """
    insert_rows(connection, tables.counts, [count_row({})])


class Fitness(IntEnum):
    """How well a process can do the work of a lease, from best to worst."""

    ABLE = 0
    DOUBTFUL = 1
    """The work has failed lately."""
    UNABLE = 2
    """The work fails now."""


def acquire_lease(
    connection: Connection, now: str, name: str, holder: str, lease_us: int, fitness: Fitness = Fitness.ABLE
) -> bool:
    """Acquires or renews a named lease by compare-and-set. Returns whether `holder` has it.

    A process that is able has the lease for `lease_us` from now. A less able one gets a lease that counts as lapsed
    already. A more able process can acquire it at once, an equally able one only if it is not renewed. A lease that is
    longer than a lease can be is of the time before the clock was set back, and counts for nothing.
    """
    values = {"name": name, "holder": holder, "behind": int(fitness) * lease_us, "lease": (1 - fitness) * lease_us}
    free = f"holder = :holder or held_until + :behind < {now} or held_until - {lease_us + SKEW_US} > {now}"
    take = f"update worker_leases set holder = :holder, held_until = {now} + :lease where name = :name and ({free})"
    if execute(connection, take, values).rowcount:
        return True
    # The lease has no row yet, or another process has it.
    insert_rows(connection, tables.leases, [{"name": name, "holder": holder, "held_until": 0}], conflict="ignore")
    return bool(execute(connection, take, values).rowcount)


def list_leases(connection: Connection, now: str) -> dict[str, tuple[str, int]]:
    """Returns lease -> (its last holder, microseconds for which the holder still has it)."""
    rows = fetch(connection, f"select name, holder, held_until - {now} from worker_leases")
    return {name: (holder, int(left)) for name, holder, left in rows}


def renew_leases(connection: Connection, now: str, holder: str, lengths: Mapping[str, int]) -> bool:
    """Renews leases of `holder`, given as lease -> microseconds. Returns False if it has lost one of them."""
    # The lengths stand in the statement: PostgreSQL would take them for text where the driver says no type (asyncpg).
    cases, values = [], dict[str, Any](holder=holder)
    for letter, (name, lease_us) in zip(ascii_lowercase, sorted(lengths.items()), strict=False):
        cases.append(f"when :name_{letter} then {lease_us}")
        values[f"name_{letter}"] = name
    names = ", ".join(f":name_{letter}" for letter in ascii_lowercase[: len(cases)])
    update = (
        f"update worker_leases set held_until = {now} + case name {' '.join(cases)} end"
        f" where holder = :holder and name in ({names})"
    )
    return execute(connection, update, values).rowcount == len(cases)


def release_lease(connection: Connection, name: str, holder: str) -> None:
    """Releases a lease at a clean stop, so that another process can acquire it at once."""
    free = "update worker_leases set held_until = 0 where name = :name and holder = :holder"
    execute(connection, free, {"name": name, "holder": holder})
