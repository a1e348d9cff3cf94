"""Heartbeats of process incarnations, the queues they take from, and the lease that makes one relay the active one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from string import ascii_lowercase
from typing import Any, TypeVar

from sqlalchemy import Connection

from worker.domain.callbacks.hook import ALL_ENDS, Ends
from worker.domain.job import Priority
from worker.domain.state import JobState
from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, insert_rows
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.counting import count_row
from worker.outbox.engine.database import Database
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.migrate import Release, this_release
from worker.outbox.engine.sql import execute, fetch, read_now

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
"""The lease of the process that offers parts."""


def serving(priority: int, *, is_file: bool) -> tuple[QueueName, ...]:
    """The queues that such parts come through; the first one is the queue that a worker must take from.

    Urgent parts come into no other queue. What no process takes from the queue of files or of bulk in time goes into
    the normal one.
    """
    if priority == Priority.URGENT:
        return (QueueName.URGENT,)
    own = [QueueName.FILES] if is_file else []
    return (QueueName.NORMAL, *own, *([QueueName.BULK] if priority == Priority.BULK else []))


@dataclass(frozen=True, slots=True)
class Health:
    """How a process judges itself with each heartbeat."""

    wrong: tuple[str, ...] = ()
    """A sentence for each thing that is wrong; empty: it is healthy."""
    hindered: Mapping[str, str] = field(default_factory=dict)
    """The name of a lease -> why it cannot do that work now, such as publish, though a restart would not help.

    Also `account NAME`, for an account whose vendor it does not reach and which it leaves to other processes.
    """

    def hindrances(self) -> list[str]:
        """A sentence for each work that it cannot do now."""
        return [hindrance(lease, why) for lease, why in self.hindered.items()]


def hindrance(lease: str, why: str) -> str:
    """The sentence on a work that a process cannot do now."""
    return f"{lease}: {why}"


def account_left(account: str) -> str:
    """The name under which a heartbeat says that its process leaves an account to others."""
    return f"account {account}"


HEALTHY = Health()


@dataclass(frozen=True, slots=True)
class Process:
    """One incarnation."""

    id: str
    alive_until: int
    threads: int
    lanes: Mapping[str, list[int]]
    """The figures of the lanes that it used lately; see `LaneStates.summary`."""
    fresh: bool
    """True while its lease has not run out."""
    queues: frozenset[str] = ALL_QUEUES
    """The queues that it takes doorbells from."""
    unusable: Mapping[str, str] = field(default_factory=dict)
    """The accounts that it cannot use as it is configured, and what to change."""
    host: str = ""
    pid: int = 0
    health: Health = HEALTHY
    """As of its last heartbeat; a process of an earlier release does not judge itself."""
    age_s: float = 0.0
    """Seconds since the first heartbeat of its process."""
    ended: bool = False
    """True when it ended, or counts as dead."""


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """A worker process that is alive, and the release that it runs."""

    host: str
    pid: int
    threads: int
    queues: frozenset[str]
    release: Release | None
    """None: an earlier one, which does not write it."""


def renew(
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
    hooked_ends: Ends | None = None,
    hooked_tags: Iterable[str] = (),
    before: str | None = None,
) -> bool:
    """Writes one heartbeat; False: this incarnation counts as dead, and nothing may be marked under it any more.

    `before`: the incarnation under which the process lived until now; None: it has just started.
    """
    update = (
        f"update worker_processes set alive_until = {now} + :lease, lanes = :lanes, queues = :queues,"
        " unusable = :unusable, health = :health, hindered = :hindered"
        " where id = :id and ended_at is null"
    )
    taken = None if queues is None else ",".join(sorted(queues))
    told = {"lanes": lanes, "queues": taken, "unusable": unusable}
    told |= {"health": _json_of(health.wrong), "hindered": _json_of(dict(health.hindered))}
    if execute(connection, update, {**told, "lease": lease_us, "id": incarnation}).rowcount:
        return True
    instant, own = read_now(connection, now), this_release()
    row = {
        "id": incarnation,
        "alive_until": instant + lease_us,
        "started_at": _first_beat(connection, before) or instant,
        "ended_at": None,
        "threads": threads,
        "host": host,
        "pid": pid,
        **told,
        "hooked_ends": None if hooked_ends is None else _stored_ends(hooked_ends),
        "hooked_tags": _json_of(sorted(hooked_tags)),
        "version": own.version,
        "revision": own.revision,
    }
    # The first heartbeat inserts the row. For an incarnation that was ended meanwhile the insert changes nothing.
    insert_rows(connection, tables.processes, [row], conflict="ignore")
    query = "select ended_at from worker_processes where id = :id"
    return execute(connection, query, {"id": incarnation}).one()[0] is None


def _json_of(value: Any) -> str | None:
    """JSON of what is not empty."""
    return json.dumps(value) if value else None


def _first_beat(connection: Connection, incarnation: str | None) -> int | None:
    query = "select started_at from worker_processes where id = :id"
    return execute(connection, query, {"id": incarnation}).scalar() if incarnation else None


def bury(connection: Connection, now: str, incarnations: Sequence[str]) -> None:
    """Notes that these processes ended cleanly."""
    _end(connection, now, incarnations, "")


def bury_lapsed(connection: Connection, now: str, incarnations: Sequence[str]) -> None:
    """Notes that these processes count as dead."""
    # Asked again here: a process that renewed its lease since it was read is alive.
    _end(connection, now, incarnations, f" and alive_until <= {now}")


def _end(connection: Connection, now: str, incarnations: Sequence[str], only: str) -> None:
    update = dialect_of(connection).update_chosen("worker_processes", f"ended_at = {now}")
    execute(connection, f"{update} and ended_at is null{only}", {"ids": ids_json(incarnations)})


_COLUMNS = (
    "id, alive_until, threads, lanes, {fresh}, queues, unusable, host, pid, health, {now} - started_at, ended_at,"
    " hindered"
)
_FRESH = "ended_at is null and alive_until > {now}"
_LIVES_ON = (
    "exists (select 1 from worker_processes later where later.host = worker_processes.host"
    " and later.pid = worker_processes.pid and later.started_at = worker_processes.started_at"
    " and later.alive_until > worker_processes.alive_until)"
)
"""The process came back under another incarnation, such as after an outage of the database."""
MISSED_S = 600
"""Seconds for which a process that counts as dead is looked for on its host."""


def not_ended(connection: Connection, now: str) -> list[Process]:
    """Every incarnation that has not ended, also one that its process has left; the oldest processes first."""
    return _processes(connection, now, "ended_at is null", {})


def living(connection: Connection, now: str) -> list[Process]:
    """The processes that have not ended, each under its last incarnation, with a running lease or without."""
    return _processes(connection, now, f"ended_at is null and not {_LIVES_ON}", {})


def alive(connection: Connection, now: str) -> list[Process]:
    """As `living`, those with a running lease; a process that was killed has one for a few seconds more."""
    return [process for process in living(connection, now) if process.fresh]


def of_host(connection: Connection, now: str, host: str) -> list[Process]:
    """As `living`, those of one host; with those that have ended lately, which may hang and count as dead."""
    only = f"host = :host and (ended_at is null or ended_at > {now} - {MISSED_S * SECOND})"
    return _processes(connection, now, only, {"host": host})


DEAD_S = 86_400
"""Seconds for which a process that died is told of."""


def died_lately(connection: Connection, now: str) -> list[Process]:
    """The processes of the last day that ended without saying so: their lease had run out, and none came back."""
    lately = f"ended_at > {now} - {DEAD_S * SECOND} and alive_until <= ended_at"
    return _processes(connection, now, f"{lately} and not {_LIVES_ON}", {})


def _processes(connection: Connection, now: str, only: str, values: Mapping[str, Any]) -> list[Process]:
    columns = _COLUMNS.format(now=now, fresh=_FRESH.format(now=now))
    query = f"select {columns} from worker_processes where {only} order by started_at, alive_until, id"
    return [_process(*row) for row in execute(connection, query, values)]


def _process(
    incarnation: str, alive_until: int, threads: int, lanes: str, fresh: Any, queues: str | None, *more: Any
) -> Process:
    unusable, host, pid, health, age_us, ended_at, hindered = more
    figures = _document(lanes, dict).items()
    return Process(
        incarnation,
        alive_until,
        threads,
        {
            lane: told
            for lane, told in figures
            if isinstance(told, list) and [int] * max(2, len(told)) == [*map(type, told)]
        },
        bool(fresh),
        _queues(queues),
        {account: str(why) for account, why in _document(unusable, dict).items()},
        host,
        pid,
        Health(
            tuple(map(str, _document(health, list))),
            {lease: str(why) for lease, why in _document(hindered, dict).items()},
        ),
        age_us / SECOND,
        ended_at is not None,
    )


def _stored_ends(ends: Ends) -> str:
    return json.dumps({account: sorted(states) for account, states in ends.items()})


def hooked_ends(database: Database, *, has_hooks: bool) -> Ends:
    """The ends of jobs for which the worker processes have a hook; while none is alive, those of the last to start.

    Where they do not say: all ends if the application has hooks, or none.
    """
    living = "select hooked_ends from worker_processes where ended_at is null"
    last = "select hooked_ends from worker_processes order by started_at desc, id desc limit 1"
    with database.reading() as connection:
        rows = execute(connection, living).scalars() or execute(connection, last).scalars() or [None]
    ends = defaultdict[str, frozenset[JobState]](frozenset)
    for row in rows:
        # A newer release may have states that this one does not know.
        stored: Ends = (ALL_ENDS if has_hooks else {}) if row is None else _document(row, dict)
        for account, states in stored.items():
            if isinstance(states, frozenset | list):
                ends[account] |= frozenset(state for state in JobState if state in states)
    return ends


def hooked_tags(connection: Connection) -> frozenset[str]:
    """The tags whose end has a hook in a worker process, as `hooked` takes them; while none is alive, in the last."""
    living = "select hooked_tags from worker_processes where ended_at is null"
    last = "select hooked_tags from worker_processes order by started_at desc, id desc limit 1"
    rows = fetch(connection, living) or fetch(connection, last)
    return frozenset(tag for row in rows for tag in _document(row[0], list) if isinstance(tag, str))


def _document(text: str | None, kind: type[T]) -> T:
    """The JSON document of a heartbeat; an empty one where there is none: one odd row stops no reader of the others."""
    try:
        found = json.loads(text or "null")
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, kind) else kind()


def moved_lately(connection: Connection, now: str, within_s: float) -> set[str]:
    """The lanes of which a part moved lately: what the heartbeats say that are not older than so many seconds."""
    query = f"select lanes from worker_processes where alive_until > {now} - :within"
    rows = execute(connection, query, {"within": int(within_s * SECOND)})
    return {lane for (lanes,) in rows for lane in _document(lanes, dict)}


def holder_of(connection: Connection, now: str, name: str) -> str | None:
    """The process that holds a lease; None: no process does, or only one that fails at the work."""
    query = f"select holder from worker_leases where name = :name and held_until > {now}"
    holder: str | None = execute(connection, query, {"name": name}).scalar()
    return holder


def unusable_accounts_told(processes: Iterable[Process]) -> dict[str, tuple[int, str]]:
    """The accounts that some of these processes cannot use: how many of them, and what the last one says to change."""
    found: dict[str, tuple[int, str]] = {}
    for process in processes:
        for account, why in process.unusable.items() if process.fresh else ():
            found[account] = (found.get(account, (0, ""))[0] + 1, why)
    return dict(sorted(found.items()))


def running(connection: Connection, now: str) -> list[RunningProcess]:
    """The worker processes with a fresh heartbeat, by host and number."""
    query = (
        "select host, pid, threads, queues, version, revision from worker_processes"
        f" where ended_at is null and alive_until > {now} order by host, pid, id"
    )
    return [
        RunningProcess(host, pid, threads, _queues(queues), None if version is None else Release(version, revision))
        for host, pid, threads, queues, version, revision in execute(connection, query)
    ]


def _queues(taken: str | None) -> frozenset[str]:
    return ALL_QUEUES if taken is None else frozenset(filter(None, taken.split(",")))


def sending_of_the_ended(connection: Connection, limit: int) -> list[tuple[str, int, str]]:
    """(part, claim, incarnation) of parts still marked by incarnations that have ended."""
    query = (
        "select p.id, p.claim, p.incarnation from worker_parts p"
        " join worker_processes w on w.id = p.incarnation and w.ended_at is not null"
        " where p.state = 1 limit :limit"
    )
    return [(row[0], row[1], row[2]) for row in execute(connection, query, {"limit": limit})]


def sending_overdue(connection: Connection, now: str, margin_us: int, limit: int) -> list[tuple[str, int, str]]:
    """(part, claim, incarnation) of parts whose call must have ended by now, also those of live processes."""
    query = (
        f"select id, claim, incarnation from worker_parts where state = 1 and deadline_at < {now} - :margin"
        " limit :limit"
    )
    return [(row[0], row[1], row[2]) for row in execute(connection, query, {"margin": margin_us, "limit": limit})]


def try_to_write(connection: Connection) -> None:
    """Writes a row of counts that counts nothing; raises what a database raises that takes no writes.

    A statement that changes no row would pass on a full disk, and where no commit reaches the disk.
    """
    insert_rows(connection, tables.counts, [count_row({})])


class Fitness(IntEnum):
    """How well a process can do the work of a lease, the best first."""

    ABLE = 0
    DOUBTFUL = 1
    """It failed lately."""
    UNABLE = 2
    """It fails now."""


def take_lease(
    connection: Connection, now: str, name: str, holder: str, lease_us: int, fitness: Fitness = Fitness.ABLE
) -> bool:
    """Takes or renews a named lease by compare-and-set; True: `holder` has it.

    Who is able has it for `lease_us` from now. The less fit has one that counts as lapsed already, so that a fitter
    process takes it at once, and an equal one only when it was not renewed.
    """
    values = {"name": name, "holder": holder, "behind": int(fitness) * lease_us, "lease": (1 - fitness) * lease_us}
    free = f"holder = :holder or held_until + :behind < {now}"
    take = f"update worker_leases set holder = :holder, held_until = {now} + :lease where name = :name and ({free})"
    if execute(connection, take, values).rowcount:
        return True
    # There is no row of it yet, or another process has it.
    insert_rows(connection, tables.leases, [{"name": name, "holder": holder, "held_until": 0}], conflict="ignore")
    return bool(execute(connection, take, values).rowcount)


def held_leases(connection: Connection, now: str) -> dict[str, tuple[str, int]]:
    """Lease -> who took it last, and for how many microseconds more it is theirs."""
    rows = fetch(connection, f"select name, holder, held_until - {now} from worker_leases")
    return {name: (holder, int(left)) for name, holder, left in rows}


def renew_leases(connection: Connection, now: str, holder: str, lengths: Mapping[str, int]) -> bool:
    """Renews the leases that `holder` has, each for so many microseconds; False: it has lost one of them."""
    cases, values = [], dict[str, Any](holder=holder)
    for letter, (name, lease_us) in zip(ascii_lowercase, sorted(lengths.items()), strict=False):
        cases.append(f"when :name_{letter} then :lease_{letter}")
        values |= {f"name_{letter}": name, f"lease_{letter}": lease_us}
    names = ", ".join(f":name_{letter}" for letter in ascii_lowercase[: len(cases)])
    update = (
        f"update worker_leases set held_until = {now} + case name {' '.join(cases)} end"
        f" where holder = :holder and name in ({names})"
    )
    return execute(connection, update, values).rowcount == len(cases)


def free_lease(connection: Connection, name: str, holder: str) -> None:
    """Gives a lease back at a clean stop, so that another takes over at once."""
    free = "update worker_leases set held_until = 0 where name = :name and holder = :holder"
    execute(connection, free, {"name": name, "holder": holder})
