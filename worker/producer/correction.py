"""A new message in the place of one that was wrong, for those who got that or would have got it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import Connection

from worker.channels.registry import channel
from worker.config.accounts import AccountSource
from worker.domain.content.message import Message
from worker.domain.content.recipient import Recipients
from worker.domain.errors import CheckFailed, NotReplayable, Problem
from worker.domain.job import Priority
from worker.domain.state import PartState
from worker.outbox.engine.clock import instant
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.jobs import jobs as outbox
from worker.outbox.jobs.reading import RecipientRows, corrections_of
from worker.producer.chain import chain_of
from worker.producer.insert import JobRef, insert_one
from worker.producer.options import MessageOptions
from worker.producer.plan import AS_GIVEN, JobRequest, document_of, plan
from worker.producer.resend import require_read, without_erased
from worker.reporting.find_job import recipients_of, row_of
from worker.reporting.recipient_status import Recipient, RecipientStatus, all_of, of_part, recipients_under, statuses

_GOT = {RecipientStatus.ACCEPTED, RecipientStatus.UNDETERMINED, RecipientStatus.NOT_YET}


def correct_job(
    connection: Connection,
    job_id: str,
    message: Message,
    due_at: int,
    accounts: AccountSource,
    *,
    refused_too: bool = False,
) -> JobRef:
    """Enqueues a message, linked to the job whose place it takes, for who got that job's message or would have.

    Those whom the vendor refused, or to whom it expired, did not get it and are left out, and so are those for whom a
    correction of this job, or of another of its chain, was enqueued already. With `refused_too` it goes to those of
    calls that were refused as a whole. It is due at `due_at`, or with the first job where that is later. NotReplayable
    where none is left.
    """
    rows = recipients_of(connection, job_id)
    old = rows.job
    require_read(old)
    request = _request(old, message, _whom(connection, rows, refused_too=refused_too), accounts)
    request.options = _options(connection, old, due_at)
    return insert_one(connection, request)


def check_correction(connection: Connection, job_id: str, message: Message, accounts: AccountSource) -> None:
    """CheckFailed with every wrong field of a message that is to go in the place of a job's; inserts nothing."""
    old = row_of(connection, job_id)
    plan(_request(old, message, Recipients.from_json(json.loads(old["recipients"])), accounts), lane_key(connection))


def _request(old: Mapping[str, Any], message: Message, to: Recipients, accounts: AccountSource) -> JobRequest:
    document, account = document_of(message), accounts.get(old["account"])
    own = channel(account.channel)
    kind = own.kind_of(document, to)
    if kind not in own.sends:
        remedy = "give a message that can be sent by itself"
        raise CheckFailed([Problem("message", "is a follow-up of another job", remedy)], channel=account.channel)
    return JobRequest(kind, account, document, to, target=old["id"])


def _options(connection: Connection, old: Mapping[str, Any], due_at: int) -> MessageOptions:
    """The options of the first job; its expiry only while it is still to be due."""
    options = {
        **{name: old[name] for name in AS_GIVEN - {"dedupe_key"}},
        "priority": Priority(old["priority"]),
        "on_gap": old["on_gap"],
        "tags": json.loads(old["tags"] or "[]"),
        "due_at": instant(max(due_at, old["due_at"])),
    }
    if old["expires_at"] is not None and outbox.lies_ahead(connection, old["due_at"]):
        options["expires_at"] = instant(old["expires_at"])
    return cast(MessageOptions, options)


def _whom(connection: Connection, rows: RecipientRows, *, refused_too: bool) -> Recipients:
    job_id, asked = str(rows.job["id"]), Recipients.from_json(json.loads(rows.job["recipients"]))
    chain = [str(row["id"]) for row in chain_of(connection, rows.job)]
    corrections = [recipients_of(connection, id) for id in corrections_of(connection, chain)]
    if not asked:
        # A robot's own chat: the message has no recipients, and its only one is reached or not.
        if not _meant_anybody(rows, refused_too=refused_too) or any(map(_meant_anybody, corrections)):
            raise _nobody(job_id)
        return asked
    meant = _meant(rows, refused_too=refused_too) - {one for correction in corrections for one in _meant(correction)}
    left = [one for one in all_of(asked) if (one[0], one[1].lower()) in meant]
    if not left:
        raise _nobody(job_id)
    return without_erased(rows.job, recipients_under(asked, {RecipientStatus.REFUSED: left}, RecipientStatus.REFUSED))


def _nobody(job_id: str) -> NotReplayable:
    text = f"nobody of job {job_id} is left to be corrected: nobody got it, or a correction is for all of them"
    return NotReplayable(text, job=job_id)


def _meant(rows: RecipientRows, *, refused_too: bool = False) -> set[Recipient]:
    """The recipients who got a job's message, may have, or would have without its cancel; ids in lower case.

    `refused_too`: also those of a call that was refused, unless they were refused by name.
    """
    asked, is_open = Recipients.from_json(json.loads(rows.job["recipients"])), bool(rows.job["n_open"])
    found = {one for one, its in statuses(asked, is_open, rows.parts, rows.failures).items() if its & _GOT}
    for part in rows.parts:
        if part["state"] == PartState.CANCELLED:
            found.update((kind, one.lower()) for _, (kind, one) in of_part(part, json.loads(part["spec"]), ()))
        elif refused_too and part["state"] == PartState.REJECTED:
            named = {(row["kind"], row["recipient_key"]) for row in rows.failures if row["part_id"] == part["id"]}
            its = {(kind, one.lower()) for _, (kind, one) in of_part(part, json.loads(part["spec"]), ())}
            found |= its - named
    return found


def _meant_anybody(rows: RecipientRows, *, refused_too: bool = False) -> bool:
    names = ("n_open", "n_accepted", "n_partial", "n_unknown", "n_cancelled", *(["n_rejected"] if refused_too else []))
    return any(rows.job[name] for name in names)
