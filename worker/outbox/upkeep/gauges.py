"""The queries behind the metrics. Each uses an index and stops at a limit, however large the tables are.

Nothing here takes a lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from worker.domain.callbacks.hook import EventState
from worker.domain.job import JobKind, first_id
from worker.domain.pacing.lane import account_of
from worker.domain.pacing.quiet import QUIET_HOURS
from worker.domain.settle import FOREVER
from worker.domain.state import PartState
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import execute, fetch
from worker.outbox.jobs.rows import HELD, SETTLING
from worker.outbox.lanes.full_scan import accounts_with_queued, first_queues_with_due, queued_by_lane
from worker.outbox.lanes.offering import by_lane
from worker.outbox.lanes.pauses import active_pauses

MAX_EXACT = 20_000
"""Up to this many queued parts of all accounts, one statement counts them exactly."""
MAX_COUNT = 10_000
"""With more queued parts each count stops here, so a backlog of a day costs no more to count than one of an hour."""
BATCH = 20
"""The largest number of queues that one statement counts. A queue here is a pair of lane and priority."""

DueQueue = tuple[str, int, int]
"""Its lane, its priority, and when its first part became due, in microseconds."""


@dataclass(slots=True)
class DueParts:
    """The due parts of an account with one priority."""

    due: int
    """How many, at most `MAX_COUNT`."""
    oldest_at: int
    """When the first of them became due, in microseconds."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The queued parts of all accounts."""

    due: dict[tuple[str, int], DueParts]
    """The due parts, by account and priority."""
    parts: Counter[str]
    """How many parts are queued, by account."""
    is_capped: bool
    """If True, a count of `MAX_COUNT` means that there are at least as many."""


def queue(connection: Connection, now_sql: str) -> Queue:
    """Counts the queued parts, exactly if there are at most `MAX_EXACT`."""
    dialect = dialect_of(connection)
    stable_now = dialect.stable_now(now_sql)
    source = by_lane(dialect)
    first = f"select lane, priority, not_before from {source} where state = 0 order by lane limit {MAX_EXACT + 1}"
    query = (
        f"select lane, priority, count(*), sum(case when not_before <= {stable_now} then 1 else 0 end), min(not_before)"
        f" from ({first}) first_parts group by lane, priority"
    )
    rows = fetch(connection, query)
    if sum(int(row[2]) for row in rows) > MAX_EXACT:
        queued = {
            account: sum(lane.parts for lane in queued_by_lane(connection, now_sql, account, MAX_COUNT).values())
            for account in accounts_with_queued(connection)
        }
        return Queue(backlogs(connection, now_sql), Counter(queued), is_capped=True)
    result = Queue({}, Counter(), is_capped=False)
    for lane, priority, parts, due, due_since in rows:
        account = account_of(lane)
        result.parts[account] += int(parts)
        if due:
            total = result.due.setdefault((account, int(priority)), DueParts(0, int(due_since)))
            total.due, total.oldest_at = total.due + int(due), min(total.oldest_at, int(due_since))
    return result


def backlogs(connection: Connection, now_sql: str) -> dict[tuple[str, int], DueParts]:
    """Returns the due parts by account and priority, of the first 10,000 queues. Each count stops at `MAX_COUNT`."""
    totals: dict[tuple[str, int], DueParts] = {}
    queues = list(first_queues_with_due(connection, now_sql, MAX_COUNT))
    for batch in _batches(queues):
        uncapped = [queue for queue in batch if not _is_capped(totals, queue)]
        for (lane, priority, due_since), due in zip(uncapped, _count_due(connection, now_sql, uncapped), strict=True):
            total = totals.setdefault((account_of(lane), priority), DueParts(0, due_since))
            total.due = min(MAX_COUNT, total.due + due)
    for lane, priority, due_since in queues:
        total = totals[account_of(lane), priority]
        total.oldest_at = min(total.oldest_at, due_since)
    return totals


def _batches(queues: Sequence[DueQueue]) -> Iterator[Sequence[DueQueue]]:
    # Small batches first: the first queues of an account may reach `MAX_COUNT`, and then its others are not counted.
    start, size = 0, 1
    while start < len(queues):
        yield queues[start : start + size]
        start, size = start + size, min(BATCH, size * 2)


def _is_capped(totals: dict[tuple[str, int], DueParts], queue: DueQueue) -> bool:
    total = totals.get((account_of(queue[0]), queue[1]))
    return total is not None and total.due >= MAX_COUNT


def _count_due(connection: Connection, now_sql: str, queues: Sequence[DueQueue]) -> list[int]:
    """Counts the due parts of each queue with one statement. Returns the counts in the order of the queues."""
    if not queues:
        return []
    dialect = dialect_of(connection)
    now_sql, source = dialect.stable_now(now_sql), by_lane(dialect)
    counts = (
        f"select {n} as n, count(*) as due from (select 1 from {source} where state = 0 and lane = :lane{n}"
        f" and priority = :priority{n} and not_before <= {now_sql} order by not_before, id limit {MAX_COUNT}) due{n}"
        for n in range(len(queues))
    )
    values: dict[str, str | int] = {f"lane{n}": queue[0] for n, queue in enumerate(queues)}
    values |= {f"priority{n}": queue[1] for n, queue in enumerate(queues)}
    rows = {int(n): int(due) for n, due in execute(connection, " union all ".join(counts), values)}
    return [rows[n] for n in range(len(queues))]


def oldest_open(connection: Connection, now_sql: str) -> dict[tuple[str, int], int]:
    """Returns when the oldest open job became due, in microseconds, by account and priority.

    Considers only the 10,000 parts that are, or will be, due first.
    """
    # By the job's `due_at`, which a retry does not change. Leaves out parts that wait for another job or for the end of
    # a pause or of quiet hours, and tracks, which stay open for weeks. A pause of whole lanes leaves their parts due.
    first = (
        "select job_id, lane, limit_name, not_before from worker_parts"
        f" where state = {int(PartState.QUEUED)} and waits_on is null"
        f" and not_before <= {FOREVER} order by not_before, id limit {MAX_COUNT}"
    )
    query = (
        "select waiting.lane, j.priority, j.channel, j.kind, min(j.due_at)"
        f" from (select distinct job_id, lane from ({first}) queued"
        f" where limit_name is null or limit_name <> '{QUIET_HOURS}' or not_before <= {now_sql}) waiting"
        f" join worker_jobs j on j.id = waiting.job_id where j.due_at <= {now_sql} and j.kind <> :track"
        " group by waiting.lane, j.priority, j.channel, j.kind"
    )
    pauses = [pause for pause in active_pauses(connection, ()) if pause.covers_lanes()]
    oldest: dict[tuple[str, int], int] = {}
    for lane, priority, channel, kind, due_at in fetch(connection, query, {"track": JobKind.TRACK}):
        account = account_of(lane)
        jobs = {"account": account, "channel": channel, "kind": kind}
        if not any(pause.covers(jobs) for pause in pauses):
            oldest[account, int(priority)] = min(oldest.get((account, int(priority)), int(due_at)), int(due_at))
    return oldest


class CalledState(StrEnum):
    """What a part with a call in flight or in doubt waits for."""

    SENDING = "sending"
    """The vendor's answer."""
    SETTLING = "settling"
    """In doubt, and repeated or looked up by the worker."""
    HELD = "held"
    """In doubt, and held for a person."""


def called_parts(connection: Connection) -> Counter[tuple[str, CalledState]]:
    """Counts the parts whose call is in flight, and at most `MAX_COUNT` parts of either sort in doubt, by account."""
    conditions = {CalledState.SETTLING: SETTLING, CalledState.HELD: HELD}
    selects = [f"select '{CalledState.SENDING}', lane, count(*) from worker_parts where state = 1 group by lane"]
    selects += [
        f"select '{state}', lane, count(*) from"
        f" (select lane from worker_parts where {condition} limit {MAX_COUNT}) {state} group by lane"
        for state, condition in conditions.items()
    ]
    counts: Counter[tuple[str, CalledState]] = Counter()
    for state, lane, count in fetch(connection, " union all ".join(selects)):
        counts[account_of(lane), CalledState(state)] += int(count)
    return counts


def recent_jobs(connection: Connection, since: int) -> dict[tuple[str, str, int], int]:
    """Counts the jobs enqueued since an instant, by account, kind and state. Counts the newest 10,000 at most."""
    newest = f"select account, kind, state from worker_jobs where id > :since order by id desc limit {MAX_COUNT}"
    query = f"select account, kind, state, count(*) from ({newest}) newest group by account, kind, state"
    rows = fetch(connection, query, {"since": first_id(since)})
    return {(row[0], row[1], int(row[2])): int(row[3]) for row in rows}


@dataclass(frozen=True, slots=True)
class LongRun:
    """A hook that has been running for long."""

    event: str
    kind: str
    job_id: str | None
    started_at: int
    process: str
    """Host and number of its process."""


def longest_run(connection: Connection, before: int) -> LongRun | None:
    """Returns the run of a hook that began first, and before an instant, or None if there is none."""
    query = (
        "select e.id, e.kind, e.job_id, e.started_at, p.host, p.pid from worker_events e"
        " join worker_processes p on p.id = e.holder"
        " where e.holder is not null and e.started_at < :before order by e.started_at, e.id limit 1"
    )
    for id, kind, job_id, started_at, host, pid in fetch(connection, query, {"before": before}):
        return LongRun(id, kind, job_id, started_at, f"{host} {pid}")
    return None


def hook_events(connection: Connection) -> dict[EventState, int]:
    """Counts the events whose hooks have not all run, by state. Each count stops at `MAX_COUNT`."""
    where = {
        EventState.WAITING: "state = 0",
        EventState.RUNNING: "holder is not null",
        EventState.PARKED: "state = 3",
    }
    count = f"(select count(*) from (select 1 from worker_events where {{}} limit {MAX_COUNT}) counted)"
    [counts] = fetch(connection, f"select {', '.join(map(count.format, where.values()))}")
    return dict(zip(where, map(int, counts), strict=True))
