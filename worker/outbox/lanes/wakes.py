"""When something of the outbox goes on by itself: the next instant that a waiting part, lane or event waits for."""

from __future__ import annotations

from sqlalchemy import Connection

from worker.outbox.engine.sql import execute

_NEXT_WAKE = """
select min(wakes_at) from (
  select p.not_before as wakes_at from worker_parts p join worker_jobs j on j.id = p.job_id
    where p.state in (0, 6) and p.waits_on is null and p.not_before > :now
    and (p.claim > 0 or p.not_before <> j.due_at)
  union all select offered_until from worker_parts where state = 0 and offered_until > :now
  union all select l.blocked_until from worker_lanes l where not l.parked and l.blocked_until > :now
    and exists (select 1 from worker_parts p join worker_jobs j on j.id = p.job_id
      where p.state = 0 and j.account = l.account and p.waits_on is null and p.not_before <= l.blocked_until)
  union all select due_at from worker_events where state = 0 and due_at > :now
  union all select offered_until from worker_events where state = 0 and offered_until > :now
) wakes
"""


def next_wake(connection: Connection, now: int) -> int | None:
    """The next instant after now, in microseconds, at which the worker has something to do; None: there is none.

    Not counted is what waits for a person, and a part that has not been due yet since its job was enqueued: for that
    the application asked. It reads all that is open, so it is for small outboxes.
    """
    found: int | None = execute(connection, _NEXT_WAKE, {"now": now}).scalar()
    return found
