"""Unblocks lanes and accounts, retries parked hook events, and releases parts that wait behind a job of their order.

Also acknowledges problems about the past, so that they are shown no more until something newer of the kind happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.control.audit import CommandResult, audited
from worker.control.command import Command, TargetKind
from worker.domain.callbacks.hook import EventKind, EventState
from worker.domain.errors import WorkerError
from worker.domain.pacing.lane import LaneEvent, LaneEventKind, Resume
from worker.domain.state import JobState
from worker.outbox.engine.database import Database
from worker.outbox.jobs import events
from worker.outbox.lanes import lanes, tokens
from worker.outbox.lanes.processes import recently_died
from worker.producer import resend

BY_A_PERSON = "a person resumed it"


def lift(name: str, *, person: str, why: str = "", database: Database | None = None) -> CommandResult:
    """Ends the blocks of a lane, or of an account and all its lanes. Raises WorkerError if nothing is blocked.

    The result has a note for each block that ended. A penalty by the vendor ends with its block.
    """
    with audited("resume", person=person, why=why, arguments={"name": name}, database=database) as command:
        outbox = command.database
        with outbox.reading() as connection:
            lane_names = lanes.lanes_of(connection, name)
        # The token first: a sender that finds the lane open while gettoken is still refused would park the lane again.
        token_is_due = outbox.run(lambda connection: tokens.retry_refused_account(connection, name))
        resumed = [Resume(lane, BY_A_PERSON, ends_penalty=True) for lane in lane_names]
        lane_events = outbox.run(lambda c: lanes.change_lanes(c, outbox.now, resumed))
        notes = {event.lane: f"{event.lane} starts with one call in flight" for event in lane_events}
        notes |= {f"{name}.secret": f"the secret of {name} is tried again now"} if token_is_due else {}
        if not notes:
            raise WorkerError(f"nothing of {name!r} is blocked or parked; `worker lanes` lists what is")
        command.counts["lifted"] = len(notes)
    return CommandResult(command.id, command.counts, notes=notes)


LIFT = Command(
    name="lift",
    help="Lifts the block of an account or a lane at once, which starts with one call in flight.",
    target=TargetKind.LANE,
    typed_as="resume",
    run=lift,
    lines=lambda result, options: result.notes.values(),
    done=("lifted",),
)


def retry_event(event_id: str, *, person: str, why: str = "", database: Database | None = None) -> CommandResult:
    """Gives a parked or ignored event to the hooks again. Raises WorkerError for any other event.

    Also for `unknown` of a job that has ended since: the hook would be left with it.
    """
    with audited("retry", person=person, why=why, arguments={"event": event_id}, database=database) as command:
        outbox = command.database
        if not outbox.run(lambda connection: events.retry_event(connection, outbox.now, event_id)):
            with outbox.reading() as connection:
                row, has_later_end = events.read_event(connection, event_id), events.has_later_end(connection, event_id)
            raise _not_retried(event_id, row, has_later_end=has_later_end)
        command.counts["events"] = 1
    return CommandResult(command.id, command.counts)


RETRY = Command(
    name="retry",
    help="Gives this parked or ignored event to the hooks again.",
    target=TargetKind.EVENT,
    typed_as="hooks --retry",
    run=retry_event,
    done=("events",),
)


def _not_retried(event_id: str, row: Mapping[str, Any] | None, *, has_later_end: bool) -> WorkerError:
    if row is None:
        return WorkerError(f"no event {event_id!r}; `worker hooks` lists them")
    if row["job_id"] is None and row["kind"] == EventKind.CARD_ACTION:
        return WorkerError(f"event {event_id} belongs to no job, so there is nothing to give to a hook")
    if has_later_end:
        return WorkerError(f"event {event_id} says unknown of a job that has ended since; that end has its own event")
    label = EventState(row["state"]).label
    return WorkerError(f"event {event_id} is {label}; only parked and ignored ones are retried")


def skip(job_id: str, *, person: str, why: str = "", database: Database | None = None) -> CommandResult:
    """Releases the parts that wait behind a job in its order. They are the `jobs` of the result.

    Raises NotReplayable if no part waits behind the job.
    """
    with audited("skip", person=person, why=why, arguments={"ids": [job_id]}, database=database) as command:
        released = resend.skip(command.database, job_id)
        command.counts["parts"] = len(released)
    return CommandResult(command.id, command.counts, tuple(released))


SKIP = Command(
    name="skip",
    help="Lets the jobs behind this one go on (same order_key); the job itself does not change.",
    target=TargetKind.JOB,
    run=skip,
    lines=lambda result, options: (f"no job waits for part {part} any more" for part in result.jobs),
    done=("parts",),
    might_apply=lambda job: job.is_ordered and (job.goes_on or job.state is JobState.EXHAUSTED),
)


def acknowledge(name: str, *, person: str, why: str = "", database: Database | None = None) -> CommandResult:
    """Acknowledges the loss of a worker, named as `host pid`, in whose place none has to be started.

    Raises WorkerError if none of this name was lost in the last day, or it was acknowledged before.
    """
    with audited("acknowledge", person=person, why=why, arguments={"name": name}, database=database) as command:
        outbox = command.database
        with outbox.reading() as connection:
            lost = sum(f"{process.host} {process.pid}" == name for process in recently_died(connection, outbox.now))
        if not lost:
            raise WorkerError(f"no lost worker {name!r} waits to be acknowledged; `worker doctor` says what is wrong")
        reason = "a person acknowledged it"
        event = LaneEvent("", "", name[:100], LaneEventKind.ACKNOWLEDGED, reason, None, None, None)
        outbox.run(lambda connection: lanes.write_lane_events(connection, outbox.now, [event]))
        command.counts["acknowledged"] = lost
    return CommandResult(command.id, command.counts)


ACKNOWLEDGE = Command(
    name="acknowledge",
    help="Acknowledges a lost worker, such as one of a machine that is gone for good: it is shown no longer.",
    target=TargetKind.PROCESS,
    run=acknowledge,
    lines=lambda result, options: (f"acknowledged: {result.counts['acknowledged']}",),
    done=("acknowledged",),
)
