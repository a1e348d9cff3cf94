"""The results of a group-send: totals and lists from what a track has read so far. Reads only.

`accepted` means that the vendor's task exists. Members then send it by hand; the latest round of a track shows how many
have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection

from worker.channels.registry import channel
from worker.domain.content.recipient import Recipients, stored_recipients, stored_spec
from worker.domain.errors import NotReplayable
from worker.domain.job import JobId, JobKind, id_of
from worker.domain.state import ACCEPTED_STATES, OPEN_STATES, JobState, PartState
from worker.domain.stored import object_or_empty
from worker.outbox.engine.caller import on_callers_connection
from worker.outbox.engine.clock import instant
from worker.outbox.jobs import confirmations
from worker.outbox.jobs.reading import JobRows
from worker.outbox.jobs.target_job import follow_ups_of
from worker.reporting.find_job import rows_of

SENT, NO_CONTACT, QUOTA_SPENT = 1, 2, 3
DONE = 2
"""The status of a member's own task that is done. The three statuses above belong to customers."""


class GroupSendStage(StrEnum):
    """The progress of one task."""

    NOT_CREATED = "not_created"
    """The vendor has no task: its part was refused, was not sent, or is not yet sent."""
    UNKNOWN = "unknown"
    """The call that creates the task is in doubt."""
    WAITING = "waiting"
    """No member has sent yet, as far as the track has read."""
    PARTLY_SENT = "partly_sent"
    """Some members have sent, as far as the track has read."""
    FINISHED = "finished"
    """Every member has sent, and no customer waits any more."""
    CANCELLED = "cancelled"
    """The task was recalled. Members who had not sent cannot send any more; messages sent before stay."""
    CLOSED = "closed"
    """Some members have not sent, but the task is not tracked any more."""


@dataclass(frozen=True, slots=True)
class GroupSendTask:
    """One task of a campaign: one part of the job."""

    part: str
    """Id of its part: `<job id>-<n>`."""
    stage: GroupSendStage
    """The progress of the task."""
    members: int
    """Members who were asked to send, as far as the track has read."""
    members_done: int
    """How many of these members have sent, as far as the track has read."""


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """Every recipient of a group-send in exactly one list; `asked` is the sum of all lists.

    A customer whom two members were asked to write to counts once, in the better of the two lists. Customers of a task
    for all customers of a member appear once a track has read them.
    """

    job: str
    """Id of the job."""
    tasks: tuple[GroupSendTask, ...]
    """Its tasks, one for each part, in order."""
    asked: int
    """How many recipients are in all lists together."""
    sent: tuple[str, ...] = field(repr=False)
    """Recipients to whom a member has sent the message."""
    waiting: tuple[str, ...] = field(repr=False)
    """Recipients whose member has not sent, or of whom nothing was read yet."""
    quota_spent: tuple[str, ...] = field(repr=False)
    """Recipients who have had as many group messages as the vendor allows in a period."""
    no_contact: tuple[str, ...] = field(repr=False)
    """Recipients who are no longer contacts of the member."""
    refused: tuple[str, ...] = field(repr=False)
    """Recipients in the vendor's fail_list when the task was created."""
    cancelled: tuple[str, ...] = field(repr=False)
    """Recipients without the message when the task was cancelled."""
    closed: tuple[str, ...] = field(repr=False)
    """Recipients without the message when the tracking of the task ended."""
    unknown: tuple[str, ...] = field(repr=False)
    """Recipients for whom the creation of the task is in doubt."""
    never_sent: tuple[str, ...] = field(repr=False)
    """Recipients whose task was never created."""
    read_at: datetime | None
    """When the newest of these results was read, or None if nothing was read yet."""


LISTS = ("sent", "quota_spent", "no_contact", "waiting", "unknown", "closed", "cancelled", "refused", "never_sent")
"""The lists, best first: a recipient of several tasks is in the first one that applies."""


@on_callers_connection
def campaign(connection: Connection, job_id: JobId) -> CampaignReport:
    """Returns who got a group-send, who waits, who was not reached and why. Raises JobNotFound for no job."""
    job_id = id_of(job_id)
    rows = rows_of(connection, job_id)
    if problem := channel(rows.job["channel"]).follow_up_problem(JobKind.TRACK, rows.job["kind"]):
        raise NotReplayable(f"job {job_id} cannot be read: {problem.text}", job=job_id)
    read = confirmations.confirmations_of_job(connection, job_id)
    return _campaign(rows, read, follow_ups_of(connection, job_id))


def _campaign(
    rows: JobRows, read: Iterable[Mapping[str, Any]], follow_ups: Iterable[Mapping[str, Any]]
) -> CampaignReport:
    rows_by_part: dict[str, list[Mapping[str, Any]]] = {}
    for row in read:
        rows_by_part.setdefault(row["part_id"], []).append(row)
    ended = _parts_with_ended_tracks(follow_ups)
    recalled = {row["part_id"] for row in rows.receipts if row["recalled_at"] is not None}
    failed = {(row["part_id"], row["recipient_key"]) for row in rows.failures}
    tasks, lists_by_recipient = [], dict[str, set[str]]()
    for part in rows.parts:
        part_rows = rows_by_part.get(part["id"], [])
        unread_list = _list_of_unread(part, cancelled=part["id"] in recalled, closed=part["id"] in ended)
        tasks.append(_task(part, unread_list, part_rows))
        for recipient, list_name in _lists_of_recipients(part, unread_list, part_rows):
            refused = (part["id"], recipient.lower()) in failed
            lists_by_recipient.setdefault(recipient, set()).add("refused" if refused else list_name)
    asked = stored_recipients(rows.job["recipients"]) or Recipients()
    for recipient in (*asked.customers, *asked.chats):
        lists_by_recipient.setdefault(recipient, {"never_sent" if rows.job["state"] != JobState.OPEN else "waiting"})
    lists: dict[str, list[str]] = {name: [] for name in LISTS}
    for recipient, names in lists_by_recipient.items():
        lists[next(name for name in LISTS if name in names)].append(recipient)
    newest = max((row["seen_at"] for part_rows in rows_by_part.values() for row in part_rows), default=None)
    return CampaignReport(
        rows.job["id"],
        tuple(tasks),
        len(lists_by_recipient),
        **{name: tuple(named) for name, named in lists.items()},
        read_at=None if newest is None else instant(newest),
    )


def _parts_with_ended_tracks(follow_ups: Iterable[Mapping[str, Any]]) -> set[str]:
    """Returns the parts whose tracks have all ended."""
    tracks = [row for row in follow_ups if row["kind"] == JobKind.TRACK]
    open_targets = {_target(row) for row in tracks if PartState(row["state"]) in (PartState.QUEUED, PartState.SENDING)}
    return {_target(row) for row in tracks if row["state"] == PartState.ACCEPTED} - open_targets


def _target(row: Mapping[str, Any]) -> str:
    return str(object_or_empty(row["spec"]).get("target", ""))


_LIST_BY_STATUS = {SENT: "sent", NO_CONTACT: "no_contact", QUOTA_SPENT: "quota_spent"}


def _task(part: Mapping[str, Any], unread_list: str, part_rows: list[Mapping[str, Any]]) -> GroupSendTask:
    """Makes the task of one part. `unread_list` is the list of the recipients of whom nothing was read."""
    members = [row for row in part_rows if not row["recipient"]]
    done = sum(row["status"] == DONE for row in members)
    if unread_list == "unknown":
        stage = GroupSendStage.UNKNOWN
    elif PartState(part["state"]) not in ACCEPTED_STATES:
        stage = GroupSendStage.NOT_CREATED
    elif members and done == len(members) and all(row["status"] for row in part_rows):
        stage = GroupSendStage.FINISHED
    elif unread_list in (GroupSendStage.CANCELLED, GroupSendStage.CLOSED):
        stage = GroupSendStage(unread_list)
    else:
        stage = GroupSendStage.PARTLY_SENT if done else GroupSendStage.WAITING
    return GroupSendTask(part["id"], stage, len(members), done)


def _list_of_unread(part: Mapping[str, Any], *, cancelled: bool, closed: bool) -> str:
    """Returns the list for those recipients of a task of whom nothing was read."""
    state = PartState(part["state"])
    if state is PartState.UNKNOWN or (part["doubts"] and state in OPEN_STATES):
        return "unknown"
    if state not in ACCEPTED_STATES:
        return "waiting" if state in OPEN_STATES else "never_sent"
    return "cancelled" if cancelled else "closed" if closed else "waiting"


def _lists_of_recipients(
    part: Mapping[str, Any], unread_list: str, part_rows: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Yields each recipient of a task with its list: the one that a track read, or else `unread_list`."""
    recipients = Recipients.from_json(stored_spec(part["spec"]) or {})
    named = {recipient.lower(): recipient for recipient in (*recipients.customers, *recipients.chats)}
    statuses = ((row["recipient"], row["status"]) for row in part_rows if row["recipient"])
    read = {
        named.get(recipient.lower(), recipient): _LIST_BY_STATUS.get(status, unread_list)
        for recipient, status in statuses
    }
    for recipient in dict.fromkeys((*named.values(), *read)):
        yield recipient, read.get(recipient, unread_list)
