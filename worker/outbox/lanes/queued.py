"""What is queued of one account, for a forecast: counts by lane and priority, and a sample of what the parts are.

Reads through the index of the queue, never more than so many entries of it, and takes no lock. Foretells nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from worker.domain.job import job_of, part_range
from worker.domain.pacing.lane import account_of, lane_range
from worker.domain.settle import FOREVER
from worker.outbox.engine.bulk import ids_json
from worker.outbox.engine.dialect import Dialect, dialect_of
from worker.outbox.engine.sql import fetch
from worker.outbox.lanes.offering import by_lane

COHORT_US = 60_000_000
"""Parts that are due later are counted together by the minute."""
_DIGITS = 3
_LEVELS = 16**_DIGITS
_LARGE = 65_536


@dataclass(slots=True)
class QueuePlace:
    """The queued parts under one key and of one priority."""

    stored: str
    """The key: the lane's, and for a tenant a dot and its mark behind it."""
    priority: int
    cohorts: list[tuple[int, int]] = field(default_factory=list)
    """Instants at which parts are due, in order (0: by now), and how many are due at each.

    `FOREVER`: they wait for another part or job; behind it: for the end of a pause.
    """

    @property
    def parts(self) -> int:
        """How many there are."""
        return sum(parts for _, parts in self.cohorts)


@dataclass(frozen=True, slots=True)
class Queued:
    """The queued parts of an account."""

    places: list[QueuePlace]
    is_capped: bool
    """There are more, which were not counted."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One part with what tells its cost."""

    id: str
    n: int
    spec: str = field(repr=False)
    order_id: str | None
    kind: str
    message: str = field(repr=False)
    tenant: str | None

    @property
    def job_id(self) -> str:
        """Its job."""
        return job_of(self.id)


@dataclass(frozen=True, slots=True)
class QueuedPart:
    """Where one part is queued."""

    id: str
    stored: str
    priority: int
    not_before: int


def accounts_with_queued(connection: Connection) -> Iterator[str]:
    """The accounts that have queued parts, one look into the index for each, however many others there are."""
    queue = by_lane(dialect_of(connection))
    query = f"select lane from {queue} where state = 0 and lane > :after order by lane limit 1"
    after = ""
    while rows := fetch(connection, query, {"after": after}):
        account = account_of(rows[0][0])
        yield account
        after = lane_range(account)["high"]


def queued(connection: Connection, now: str, account: str, most: int) -> Queued:
    """Counts the queued parts of an account; at most `most` of them."""
    dialect = dialect_of(connection)
    # In order of the lane: otherwise PostgreSQL may walk the index by time through all other accounts' backlogs.
    first = (
        f"select lane, priority, not_before from {by_lane(dialect)}"
        f" where state = 0 and lane > :low and lane < :high order by lane, priority, not_before limit {most + 1}"
    )
    due = (
        f"case when not_before <= {dialect.read_once(now)} then 0 when not_before > {FOREVER} then {FOREVER} + 1"
        f" when not_before = {FOREVER} then not_before else not_before - not_before % {COHORT_US} end"
    )
    query = (
        f"select lane, priority, due_at, count(*) from (select lane, priority, {due} as due_at from ({first}) part)"
        " parts group by lane, priority, due_at order by lane, priority, due_at"
    )
    places: dict[tuple[str, int], QueuePlace] = {}
    for lane, priority, due_at, parts in fetch(connection, query, lane_range(account)):
        place = places.setdefault((lane, int(priority)), QueuePlace(lane, int(priority)))
        place.cohorts.append((int(due_at), int(parts)))
    return Queued(list(places.values()), sum(place.parts for place in places.values()) > most)


def before(connection: Connection, part: QueuedPart, most: int, now: int) -> int:
    """How many queued parts of its place go before a part; at most `most`."""
    dialect = dialect_of(connection)
    # What waits for another part counts as due now: behind what is due, before what is due later.
    earlier = ":now" if part.not_before == FOREVER else ":not_before - 1"
    others = f" or not_before = {FOREVER}" if now < part.not_before < FOREVER else ""
    query = (
        f"select count(*) from (select 1 from {by_lane(dialect)} where {_of_place(dialect)}"
        f" and (not_before <= {earlier} or (not_before = :not_before and id < :part){others})"
        f" order by {_order(dialect)} limit {most}) earlier"
    )
    given = {"lane": part.stored, "priority": part.priority, "not_before": part.not_before, "part": part.id, "now": now}
    given = {name: value for name, value in given.items() if f":{name}" in query}
    return int(fetch(connection, query, given)[0][0])


def sample(connection: Connection, place: QueuePlace, parts: int) -> list[Sampled]:
    """About `parts` parts of a place, from all over what was counted of it; reads about twice as many as were."""
    dialect = dialect_of(connection)
    below = min(_LEVELS, -(-_LEVELS * parts // max(1, place.parts)))
    # The last digits of a UUIDv7 are random, so these parts are no others than the rest.
    query = (
        f"select id from {by_lane(dialect)} where {_of_place(dialect)}"
        f" and substr(id, {33 - _DIGITS}, {_DIGITS}) < :below order by {_order(dialect)} limit {2 * parts}"
    )
    given = {
        "lane": place.stored,
        "priority": place.priority,
        "below": f"{below:0{_DIGITS}x}" if below < _LEVELS else "g",
    }
    return _sampled(connection, [row[0] for row in fetch(connection, query, given)])


def _sampled(connection: Connection, ids: Sequence[str]) -> list[Sampled]:
    dialect = dialect_of(connection)
    size = f"{dialect.octet_length}(j.message) + {dialect.octet_length}(p.spec)"
    source = dialect.chosen("worker_parts", alias="p", joins=f"{dialect.join('worker_jobs j')} on j.id = p.job_id")
    query = (
        f"select p.id, p.n, p.spec, p.order_id, j.kind, j.message, j.tenant from {source}"
        f" and p.state = 0 and j.payload = 0 and {size} <= {_LARGE}"
    )
    return [Sampled(*row) for row in fetch(connection, query, {"ids": ids_json(ids)})]


def _of_place(dialect: Dialect) -> str:
    # An array: otherwise PostgreSQL may walk the index by time through all other lanes' backlogs.
    lane = "any(array[:lane])" if dialect.has_arrays else ":lane"
    return f"state = 0 and lane = {lane} and priority = :priority"


def _order(dialect: Dialect) -> str:
    return f"{'lane, ' if dialect.has_arrays else ''}not_before, id"


def queued_of_job(connection: Connection, job_id: str, most: int) -> list[QueuedPart]:
    """The first queued parts of a job."""
    query = (
        "select id, lane, priority, not_before from worker_parts where id > :low and id < :high and state = 0"
        f" order by n limit {most}"
    )
    return [
        QueuedPart(row[0], row[1], int(row[2]), int(row[3])) for row in fetch(connection, query, part_range(job_id))
    ]
