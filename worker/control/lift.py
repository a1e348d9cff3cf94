"""Lets go on what is stuck: blocked lanes, parked events of hooks, parts behind one in an order. Each is audited."""

from __future__ import annotations

from dataclasses import dataclass

from worker.config.settings import Settings
from worker.control.audit import audited
from worker.control.opening import at_hand
from worker.domain.callbacks.hook import EventKind, EventState
from worker.domain.errors import WorkerError
from worker.outbox.engine.database import Database
from worker.outbox.jobs import events
from worker.outbox.lanes import lanes, tokens
from worker.producer import resend

BY_A_PERSON = "a person resumed it"


@dataclass(frozen=True, slots=True)
class Lifted:
    """What goes on now, and the id of the audit's row."""

    audit: str
    told: tuple[str, ...]
    """A line for each lane and each refused secret; or the parts that others waited for; or the event."""


def lift(
    name: str, *, person: str, why: str = "", settings: Settings | None = None, database: Database | None = None
) -> Lifted:
    """Lifts all blocks of an account and its lanes, or of one lane. WorkerError when there is none."""
    with (
        at_hand(database, settings) as (outbox, _),
        audited(outbox, "resume", person=person, why=why, asked={"name": name}) as running,
    ):
        told = resume(outbox, name)
        running.counts["lifted"] = len(told)
    return Lifted(running.id, tuple(told))


def resume(database: Database, name: str) -> list[str]:
    """Lifts all blocks of an account and its lanes, or of one lane; a line for each. WorkerError when there is none.

    A penalty of the vendor's ends with its block.
    """
    with database.reading() as connection:
        known = lanes.lanes_of(connection, name)
    # The token first: a sender that finds the lane open while gettoken is still refused would park it again.
    refused = database.run(lambda connection: tokens.probe_now(connection, name))
    steps = database.run(lambda c: lanes.resume_lanes(c, database.now, known, BY_A_PERSON, ends_penalty=True))
    told = [f"{step.lane} starts with one call in flight" for step in steps]
    told += [f"the secret of {name} is tried now"] if refused else []
    if not told:
        raise WorkerError(f"nothing of {name!r} is blocked or parked; `worker lanes` lists what is")
    return told


def retry_event(
    event_id: str, *, person: str, why: str = "", settings: Settings | None = None, database: Database | None = None
) -> Lifted:
    """Gives a parked or ignored event to the hooks again; WorkerError for any other."""
    with (
        at_hand(database, settings) as (outbox, _),
        audited(outbox, "retry", person=person, why=why, asked={"event": event_id}) as running,
    ):
        retry(outbox, event_id)
        running.counts["events"] = 1
    return Lifted(running.id, (event_id,))


def retry(database: Database, event_id: str) -> None:
    """Makes a parked or ignored event due again; WorkerError for any other."""
    if database.run(lambda connection: events.retry_event(connection, database.now, event_id)):
        return
    with database.reading() as connection:
        row = events.read_event(connection, event_id)
    if row is None:
        raise WorkerError(f"no event {event_id!r}; `worker events` lists them")
    if row["job_id"] is None and row["kind"] == EventKind.CARD_ACTION:
        raise WorkerError(f"event {event_id} is about no job of ours; there is nothing a hook could be told")
    raise WorkerError(f"event {event_id} is {EventState(row['state']).label}; only parked and ignored ones are retried")


def skip(
    job_id: str, *, person: str, why: str = "", settings: Settings | None = None, database: Database | None = None
) -> Lifted:
    """Lets the parts behind a job in its order go on; NotReplayable when none waits behind it."""
    with (
        at_hand(database, settings) as (outbox, _),
        audited(outbox, "skip", person=person, why=why, asked={"ids": [job_id]}) as running,
    ):
        passed = resend.skip(outbox, job_id)
        running.counts["parts"] = len(passed)
    return Lifted(running.id, tuple(passed))
