"""Lets go on what is stuck: blocked lanes, parked events of hooks, parts behind one in an order. Each is audited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.control.audit import Done, audited
from worker.domain.callbacks.hook import EventKind, EventState
from worker.domain.errors import WorkerError
from worker.domain.pacing.lane import Resume
from worker.outbox.engine.database import Database
from worker.outbox.jobs import events
from worker.outbox.lanes import lanes, tokens
from worker.producer import resend

BY_A_PERSON = "a person resumed it"


def lift(name: str, *, person: str, why: str = "", database: Database | None = None) -> Done:
    """Lifts all blocks of an account and its lanes, or of one lane, with a note for each. WorkerError without a block.

    A penalty of the vendor's ends with its block.
    """
    with audited("resume", person=person, why=why, asked={"name": name}, database=database) as running:
        outbox = running.database
        with outbox.reading() as connection:
            known = lanes.lanes_of(connection, name)
        # The token first: a sender that finds the lane open while gettoken is still refused would park it again.
        refused = outbox.run(lambda connection: tokens.probe_now(connection, name))
        resumed = [Resume(lane, BY_A_PERSON, ends_penalty=True) for lane in known]
        steps = outbox.run(lambda c: lanes.change_lanes(c, outbox.now, resumed))
        notes = {step.lane: f"{step.lane} starts with one call in flight" for step in steps}
        notes |= {f"{name}.secret": f"the secret of {name} is tried now"} if refused else {}
        if not notes:
            raise WorkerError(f"nothing of {name!r} is blocked or parked; `worker lanes` lists what is")
        running.counts["lifted"] = len(notes)
    return Done(running.id, running.counts, notes=notes)


def retry_event(event_id: str, *, person: str, why: str = "", database: Database | None = None) -> Done:
    """Gives a parked or ignored event to the hooks again; WorkerError for any other."""
    with audited("retry", person=person, why=why, asked={"event": event_id}, database=database) as running:
        outbox = running.database
        if not outbox.run(lambda connection: events.retry_event(connection, outbox.now, event_id)):
            with outbox.reading() as connection:
                raise _not_retried(event_id, events.read_event(connection, event_id))
        running.counts["events"] = 1
    return Done(running.id, running.counts)


def _not_retried(event_id: str, row: Mapping[str, Any] | None) -> WorkerError:
    if row is None:
        return WorkerError(f"no event {event_id!r}; `worker events` lists them")
    if row["job_id"] is None and row["kind"] == EventKind.CARD_ACTION:
        return WorkerError(f"event {event_id} is about no job of ours; there is nothing a hook could be told")
    label = EventState(row["state"]).label
    return WorkerError(f"event {event_id} is {label}; only parked and ignored ones are retried")


def skip(job_id: str, *, person: str, why: str = "", database: Database | None = None) -> Done:
    """Lets the parts behind a job in its order go on: those that its `jobs` held up. NotReplayable where none waits."""
    with audited("skip", person=person, why=why, asked={"ids": [job_id]}, database=database) as running:
        passed = resend.skip(running.database, job_id)
        running.counts["parts"] = len(passed)
    return Done(running.id, running.counts, tuple(passed))
