"""The queries of the metrics: every count has an index and a bound, however large the tables are. No row is locked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from worker.domain.callbacks.hook import EventState
from worker.domain.job import Kind, first_id
from worker.domain.pacing.lane import account_of
from worker.domain.settle import FOREVER
from worker.domain.state import PartState
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import execute, fetch
from worker.outbox.lanes.full_scan import accounts_with_queued, first_queues_with_due, queued_by_lane
from worker.outbox.lanes.offering import by_lane

FIRST = 20_000
"""So many queued parts of all accounts are counted exactly, in one statement."""
MOST = 10_000
"""Behind a longer queue each count ends here, so that a backlog of a day costs no more to count than one of an hour."""
BATCH = 20
"""Most places (a lane and a priority) that one statement counts."""


@dataclass(slots=True)
class DueParts:
    """The due parts of an account and priority."""

    due: int
    """At most `MOST`."""
    oldest_at: int
    """The instant since which the first of them is due, in microseconds."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The queued parts of all accounts."""

    due: dict[tuple[str, int], DueParts]
    """The ones that are due, by account and priority."""
    parts: Counter[str]
    """All of them, by account."""
    is_capped: bool
    """Each count may be `MOST` and mean that there are at least so many."""


def queue(connection: Connection, now: str) -> Queue:
    """Counts the queued parts: exactly, where there are at most `FIRST`."""
    dialect = dialect_of(connection)
    now_once = dialect.read_once(now)
    first = f"select lane, priority, not_before from {by_lane(dialect)} where state = 0 order by lane limit {FIRST + 1}"
    query = (
        f"select lane, priority, count(*), sum(case when not_before <= {now_once} then 1 else 0 end), min(not_before)"
        f" from ({first}) first_parts group by lane, priority"
    )
    rows = fetch(connection, query)
    if sum(int(row[2]) for row in rows) > FIRST:
        queued = {
            account: sum(parts for _, parts in queued_by_lane(connection, now, account, MOST).values())
            for account in accounts_with_queued(connection)
        }
        return Queue(backlogs(connection, now), Counter(queued), is_capped=True)
    found = Queue({}, Counter(), is_capped=False)
    for lane, priority, parts, due, since in rows:
        account = account_of(lane)
        found.parts[account] += int(parts)
        if due:
            known = found.due.setdefault((account, int(priority)), DueParts(0, int(since)))
            known.due, known.oldest_at = known.due + int(due), min(known.oldest_at, int(since))
    return found


def backlogs(connection: Connection, now: str) -> dict[tuple[str, int], DueParts]:
    """Due parts by account and priority, of the first 10,000 places (a lane and a priority)."""
    found: dict[tuple[str, int], DueParts] = {}
    places = list(first_queues_with_due(connection, now, MOST))
    for some in _batches(places):
        batch = [place for place in some if _wants_more(found, place)]
        for (lane, priority, since), due in zip(batch, _due_at(connection, now, batch), strict=True):
            known = found.setdefault((account_of(lane), priority), DueParts(0, since))
            known.due = min(MOST, known.due + due)
    for lane, priority, since in places:
        known = found[account_of(lane), priority]
        known.oldest_at = min(known.oldest_at, since)
    return found


def _batches(places: Sequence[tuple[str, int, int]]) -> Iterator[Sequence[tuple[str, int, int]]]:
    # Small batches first: the first places of an account may reach `MOST`, and the others are not counted then.
    at, size = 0, 1
    while at < len(places):
        yield places[at : at + size]
        at, size = at + size, min(BATCH, size * 2)


def _wants_more(found: dict[tuple[str, int], DueParts], place: tuple[str, int, int]) -> bool:
    known = found.get((account_of(place[0]), place[1]))
    return known is None or known.due < MOST


def _due_at(connection: Connection, now: str, places: Sequence[tuple[str, int, int]]) -> list[int]:
    """How many parts are due in each of these places, in one statement."""
    if not places:
        return []
    dialect = dialect_of(connection)
    now, queue = dialect.read_once(now), by_lane(dialect)
    counts = (
        f"select {n} as n, count(*) as due from (select 1 from {queue} where state = 0 and lane = :lane{n}"
        f" and priority = :priority{n} and not_before <= {now} order by not_before, id limit {MOST}) due{n}"
        for n in range(len(places))
    )
    values: dict[str, str | int] = {f"lane{n}": place[0] for n, place in enumerate(places)}
    values |= {f"priority{n}": place[1] for n, place in enumerate(places)}
    rows = {int(n): int(due) for n, due in execute(connection, " union all ".join(counts), values)}
    return [rows[n] for n in range(len(places))]


def oldest_open(connection: Connection, now: str) -> dict[tuple[str, int], int]:
    """The instant since which the oldest open job is due, by account and priority.

    Of the 10,000 parts that are, or will be, due first.
    """
    # By the job's `due_at`, which a postponement does not change. Without parts that wait for another job or are parked
    # on a pause, and without tracks, which stay open for weeks.
    first = (
        f"select job_id from worker_parts where state = {int(PartState.QUEUED)} and waits_on is null"
        f" and not_before <= {FOREVER} order by not_before, id limit {MOST}"
    )
    query = (
        f"select j.account, j.priority, min(j.due_at) from (select distinct job_id from ({first}) queued) waiting"
        f" join worker_jobs j on j.id = waiting.job_id where j.due_at <= {now} and j.kind <> :track"
        " group by j.account, j.priority"
    )
    rows = fetch(connection, query, {"track": Kind.TRACK})
    return {(row[0], int(row[1])): int(row[2]) for row in rows}


def called_parts(connection: Connection) -> Counter[tuple[str, PartState]]:
    """Parts under a call, and at most `MOST` in doubt, by account and state."""
    sending, unknown = int(PartState.SENDING), int(PartState.UNKNOWN)
    doubtful = f"select lane from worker_parts where state = {unknown} limit {MOST}"
    query = (
        f"select {sending}, lane, count(*) from worker_parts where state = {sending} group by lane"
        f" union all select {unknown}, lane, count(*) from ({doubtful}) doubtful group by lane"
    )
    found: Counter[tuple[str, PartState]] = Counter()
    for state, lane, count in fetch(connection, query):
        found[account_of(lane), PartState(state)] += int(count)
    return found


def recent_jobs(connection: Connection, since: int) -> dict[tuple[str, str, int], int]:
    """Jobs enqueued since an instant, by account, kind and state; of the newest 10,000."""
    newest = f"select account, kind, state from worker_jobs where id > :since order by id desc limit {MOST}"
    query = f"select account, kind, state, count(*) from ({newest}) newest group by account, kind, state"
    rows = fetch(connection, query, {"since": first_id(since)})
    return {(row[0], row[1], int(row[2])): int(row[3]) for row in rows}


def hook_events(connection: Connection) -> dict[EventState, int]:
    """Events whose hook has not run to its end, by state; each at most `MOST`."""
    where = {
        EventState.WAITING: "state = 0",
        EventState.RUNNING: "holder is not null",
        EventState.PARKED: "state = 3",
    }
    count = f"(select count(*) from (select 1 from worker_events where {{}} limit {MOST}) found)"
    [counts] = fetch(connection, f"select {', '.join(map(count.format, where.values()))}")
    return dict(zip(where, map(int, counts), strict=True))
