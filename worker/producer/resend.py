"""Sends a job once more, to all of its recipients or to those who were refused; and lets an order go on without one.

As in `enqueue.py`, all is written in the caller's own transaction. A replay also updates the rows of its files, which
housekeeping would delete, and of its place in an order; no worker waits for these rows.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection

from worker.channels.registry import channel
from worker.domain.content.erasure import is_erased
from worker.domain.content.recipient import Recipients, stored_recipients
from worker.domain.errors import NotReplayable
from worker.domain.job import FOLLOW_UPS, JobId, JobKind, Priority, id_of, is_read
from worker.domain.stored import stored_object
from worker.outbox.control.withdrawals import withdrawals, withdrawn_jobs
from worker.outbox.engine.caller import in_callers_transaction
from worker.outbox.engine.clock import instant
from worker.outbox.engine.database import Database
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.jobs import jobs as outbox, order_queue
from worker.outbox.jobs.blobs import lock_blobs
from worker.outbox.jobs.order_queue import take_position
from worker.outbox.jobs.target_job import senders
from worker.producer.chain import (
    ReplayScope,
    nearest_statuses,
    not_reached,
    original_and_replays,
    require_no_repeat,
    require_readable,
    unreadable,
)
from worker.producer.follow_ups import require_replayable
from worker.producer.insert import JobRef, insert_one
from worker.producer.options import Instant, MessageOptions, PriorityName
from worker.producer.plan import COLUMN_OPTIONS, JobRequest, find_account, plan
from worker.reporting.find_job import row_of, rows_of
from worker.reporting.recipient_status import RecipientStatus, each_recipient, group_by_status, select_by_status

if TYPE_CHECKING:
    from worker.config.accounts import AccountSource

REPLAY_SUFFIX_CHARACTERS = 6
"""Random characters that make a card's task_id differ from those of other replays and corrections. A counter would need
a lock on rows that workers use."""


def replay_suffix() -> str:
    """Returns what makes the task_ids of a replay or a correction its own."""
    return secrets.token_urlsafe(REPLAY_SUFFIX_CHARACTERS)[:REPLAY_SUFFIX_CHARACTERS]


@in_callers_transaction
def replay(
    connection: Connection,
    job_id: JobId,
    *,
    accepted: bool = False,
    unknown: bool = False,
    cancelled: bool = False,
    priority: PriorityName | Priority | None = None,
    due_at: Instant | None = None,
    accounts: AccountSource | None = None,
) -> JobRef:
    """Enqueues a job once more, as a new job linked to the first, for the recipients whom it did not reach.

    Those whom one of its replays reached, or is under way to, are left out too. `accepted=True` sends it again to those
    who got it, `unknown=True` to those of whom that is not known; a job without recipients (a recall, an upload) is
    repeated whole. It is due at `due_at`. Without that it is due when the first job was, if that is still to come, and
    then expires with it; otherwise at once. Where jobs of its order_key wait behind the first, the new job takes the
    first's place and goes before them. Raises NotReplayable while the job is open, or in doubt with a repeat of its own
    to come; when it was cancelled, recalled or corrected, unless `cancelled=True` says that it is sent all the same;
    when there is no recipient left; and when its message, or one of its files, is no longer kept. Two transactions that
    replay a job at once do not see each other, and both send it; at REPEATABLE READ of PostgreSQL "at once" begins with
    a transaction's first read. MariaDB raises RetryTransaction there if the job was replayed since.
    """
    also = ReplayScope(accepted, unknown, cancelled)
    return replay_row(connection, row_of(connection, id_of(job_id)), also, priority, due_at, accounts)


def replay_row(
    connection: Connection,
    old: Mapping[str, Any],
    also: ReplayScope,
    priority: PriorityName | Priority | None,
    due_at: Instant | None,
    accounts: AccountSource | None,
) -> JobRef:
    """Replays the job of a row."""
    job_id = str(old["id"])
    require_read(old)
    if old["n_open"]:
        raise NotReplayable(f"job {job_id} is still open; wait for its end, or cancel it", job=job_id)
    if not also.cancelled:
        _require_not_withdrawn(connection, job_id)
    all_jobs = original_and_replays(connection, old)
    to = not_reached(connection, old, all_jobs, also)
    request = _repeat_request(connection, old, to, priority, accounts)
    if due_at is not None:
        request.options["due_at"] = due_at
    elif outbox.is_in_future(connection, old["due_at"]):
        request.options["due_at"] = instant(old["due_at"])
        request.options["expires_at"] = None if old["expires_at"] is None else instant(old["expires_at"])
    new_job = insert_one(connection, request)
    if old["order_key"] is not None:
        # An earlier replay has the place, where there is one.
        for row in all_jobs:
            if not row["n_open"]:
                take_position(connection, str(row["id"]), new_job.id)
    return new_job


@in_callers_transaction
def resend_failed(
    connection: Connection,
    job_id: JobId,
    *,
    unknown: bool = False,
    cancelled: bool = False,
    priority: PriorityName | Priority | None = None,
    accounts: AccountSource | None = None,
) -> JobRef:
    """Enqueues a send once more for exactly the recipients who were refused: a new job linked to the first.

    Without those whom another replay reached since, or is under way to. With `unknown=True` also for recipients of
    whom it is not known whether they got it; they may get it twice.
    Raises NotReplayable when there is no recipient to send to, the message is no longer kept, a repeat to the
    unknown is still to come, or the job was cancelled, recalled or corrected; `cancelled=True` sends it all the
    same. Two transactions that resend a job at once do not see each other, and both send it; see `replay`.
    """
    job_id = id_of(job_id)
    rows = rows_of(connection, job_id)
    require_read(rows.job)
    require_readable(rows)
    if rows.job["kind"] not in channel(rows.job["channel"]).sends:
        raise NotReplayable(f"job {job_id} is not a send but {rows.job['kind']}", job=job_id)
    asked = _recipients_of(rows.job)
    by_status = group_by_status(asked, bool(rows.job["n_open"]), rows.parts, rows.failures)
    statuses = (RecipientStatus.REFUSED, RecipientStatus.UNKNOWN) if unknown else (RecipientStatus.REFUSED,)
    chain = original_and_replays(connection, rows.job)
    if unknown and by_status[RecipientStatus.UNKNOWN]:
        require_no_repeat(connection, job_id, chain)
    ids = [str(row["id"]) for row in chain]
    since = ids[ids.index(job_id) + 1 :]
    reached = nearest_statuses(connection, since) if since else {}
    if unknown:
        reached = {recipient: status for recipient, status in reached.items() if status is not RecipientStatus.UNKNOWN}
    by_status = {
        status: [recipient for recipient in ones if (recipient[0], recipient[1].lower()) not in reached]
        for status, ones in by_status.items()
    }
    to = select_by_status(asked, by_status, *statuses)
    if not to:
        left = len(by_status[RecipientStatus.UNKNOWN])
        more = f"; unknown: {left}, include them with unknown=True" if left and not unknown else ""
        other = " and not sent to since" if reached else ""
        raise NotReplayable(f"job {job_id} has no recipient that was refused{other}{more}", job=job_id)
    if not cancelled:
        _require_not_withdrawn(connection, job_id)
    return insert_one(connection, _repeat_request(connection, rows.job, to, priority, accounts))


def _require_not_withdrawn(connection: Connection, job_id: str) -> None:
    """Raises NotReplayable if the job was cancelled, recalled or corrected."""
    for one in withdrawals(connection, withdrawn_jobs(connection, [job_id]).values()):
        text = f"job {job_id} was {one.how} by {one.by()}; cancelled=True, or --cancelled, sends it all the same"
        raise NotReplayable(text, job=job_id)


def _recipients_of(job: Mapping[str, Any]) -> Recipients:
    return Recipients.from_json(json.loads(job["recipients"]))


def _repeat_request(
    connection: Connection,
    old: Mapping[str, Any],
    to: Recipients,
    priority: PriorityName | Priority | None,
    accounts: AccountSource | None,
    account_name: str | None = None,
) -> JobRequest:
    """Returns a request for the same job once more, linked to the original, on its account or on another one."""
    document = json.loads(old["message"])
    to = without_erased(old, to)
    account = find_account(account_name or old["account"], accounts)
    _require_content_kept(connection, old, document)
    require_replayable(connection, old, document, account)
    # A choice of the caller's that is kept in the parts' specs and not in the message.
    is_update = old["kind"] == JobKind.UPDATE_CARD
    reserves = is_update and outbox.first_spec(connection, str(old["id"])).get("reserve_last")
    about = str(old["target_job_id"] if old["kind"] in FOLLOW_UPS else old["replay_of"] or old["id"])
    return JobRequest(
        old["kind"],
        account,
        document,
        to,
        # By the account that sends the message that it repeats, or is about: a person may have moved that.
        sent_by=senders(connection, [about]).get(about),
        replay=replay_suffix(),
        options=cast(MessageOptions, options_of(old) | ({} if priority is None else {"priority": priority})),
        target=old["target_job_id"],
        replay_of=old["replay_of"] or old["id"],
        spec={"reserve_last": True} if reserves else {},
    )


def check_on(connection: Connection, old: Mapping[str, Any], account: str, accounts: AccountSource) -> None:
    """Raises CheckFailed or NotReplayable if another account could not send the job of a row."""
    require_read(old)
    plan(_repeat_request(connection, old, _recipients_of(old), None, accounts, account), lane_key(connection))


def options_of(old: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options that a job has in common with another that takes its place."""
    return {
        **{name: old[name] for name in COLUMN_OPTIONS - {"dedupe_key"}},
        "priority": Priority(old["priority"]),
        "on_gap": old["on_gap"],
        # Without a blank tag, which was accepted once: a person could not take it out of the stored job.
        "tags": [tag for tag in json.loads(old["tags"] or "[]") if tag.strip()],
    }


def require_read(old: Mapping[str, Any]) -> None:
    """Raises NotReplayable if a newer release enqueued the job, or nothing can read what is stored of it."""
    if not is_read(old["payload"]):
        text = f"job {old['id']} was enqueued by a newer release than this one; replay it with that release"
        raise NotReplayable(text, job=str(old["id"]))
    if stored_object(old["message"]) is None or stored_recipients(old["recipients"]) is None:
        raise unreadable(str(old["id"]))


def without_erased(old: Mapping[str, Any], to: Recipients) -> Recipients:
    """Returns the recipients that were not erased. Raises NotReplayable if all were erased."""
    if any(is_erased(sender) for sender, _ in to.by_sender):
        raise NotReplayable(f"a sender of job {old['id']} is no longer kept; enqueue it anew", job=str(old["id"]))
    if not any(is_erased(one) for _, one in each_recipient(to)):
        return to
    kept = {RecipientStatus.REFUSED: [one for one in each_recipient(to) if not is_erased(one[1])]}
    left = select_by_status(to, kept, RecipientStatus.REFUSED)
    # Without its message it is refused for that.
    if not left and json.loads(old["message"]):
        raise NotReplayable(f"the recipients of job {old['id']} are no longer kept; enqueue it anew", job=old["id"])
    return left


def _require_content_kept(connection: Connection, old: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    job_id = str(old["id"])
    is_recall_of_job = old["kind"] == JobKind.RECALL and old["target_job_id"] is not None
    if not document and not is_recall_of_job:
        raise NotReplayable(f"the message of job {job_id} is no longer kept; enqueue it anew", job=job_id)
    blobs = {str(entry["blob"]) for entry in document.get("files", {}).values() if "url" not in entry}
    if blobs and blobs - lock_blobs(connection, sorted(blobs)):
        raise NotReplayable(f"a file of job {job_id} is no longer kept; enqueue it anew", job=job_id)


def skip(database: Database, job_id: str) -> list[str]:
    """Removes a job's parts that are first in an order, so that the parts behind them go on. Returns their ids.

    Their states do not change: a part held in doubt or exhausted stays so, a queued part (its lane is parked) is sent
    when it can be. Raises NotReplayable if no part of the job is first in an order, or its call is in flight, and
    JobNotFound for no job.
    """
    job_id = id_of(job_id)
    # Which part goes next: `order_queue.py`.
    released = database.run(lambda connection: order_queue.skip_first_parts(connection, database.now, job_id))
    if not released:
        with database.reading() as connection:
            row_of(connection, job_id)
        text = f"no job waits for job {job_id}: nothing of it is first in an order, or its call is in flight"
        raise NotReplayable(text, job=job_id)
    return released
