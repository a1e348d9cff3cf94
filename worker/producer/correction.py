"""Sends a new message in place of a wrong one, to the persons who got that or would have got it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection

from worker.channels.registry import channel
from worker.config.accounts import AccountSource
from worker.domain.content.erasure import ERASED
from worker.domain.content.recipient import Recipients
from worker.domain.errors import CheckFailed, NotReplayable, Problem
from worker.domain.state import PartState
from worker.outbox.engine.clock import instant, now_in
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.reading import RecipientRows, corrections_of, originals_of, recipient_rows
from worker.outbox.jobs.rows import ADDRESSED_COUNTERS
from worker.producer.chain import require_readable, unreadable
from worker.producer.options import MessageOptions
from worker.producer.plan import JobRequest, PlannedJob, plan
from worker.producer.resend import options_of, replay_suffix, require_read, without_erased
from worker.reporting.find_job import require_found
from worker.reporting.recipient_status import (
    Recipient,
    RecipientStatus,
    each_recipient,
    select_by_status,
    statuses_by_recipient,
    statuses_of_part,
)

_CHAT: Recipient = ("", "")
"""The one that a message without recipients goes to."""
_MAY_HAVE_GOT = {RecipientStatus.ACCEPTED, RecipientStatus.UNKNOWN, RecipientStatus.WAITING}


NewDocument = Callable[[str, Mapping[str, Any]], dict[str, Any] | None]
"""Returns the new message of a job, or None if it has none, from the job's id and its old message; both as stored."""


class Corrections:
    """Plans a message in place of those of some jobs, which it reads all at once. Inserts nothing."""

    def __init__(
        self,
        connection: Connection,
        ids: Sequence[str],
        new_document: NewDocument,
        accounts: AccountSource,
        *,
        includes_refused: bool = False,
    ):
        self._new_document, self._accounts, self._includes_refused = new_document, accounts, includes_refused
        self._key, self._now = lane_key(connection), read_now(connection, now_in(connection))
        self._jobs = recipient_rows(connection, ids)
        originals = originals_of(connection, {_original(rows) for rows in self._jobs.values()})
        self._reached: dict[str, set[Recipient]] = {}
        """The original of a chain -> for whom a correction of one of its jobs is enqueued."""
        self._unreadable = set[str]()
        """The originals of chains with a correction that cannot be read, so that it is not known whom it reaches."""
        for rows in recipient_rows(connection, corrections_of(connection, list(originals))).values():
            original = originals[rows.job["target_job_id"]]
            try:
                require_readable(rows)
            except NotReplayable:
                self._unreadable.add(original)
                continue
            meant = _intended_recipients(rows) | ({_CHAT} if _meant_anybody(rows) else set())
            self._reached.setdefault(original, set()).update(meant)

    def plan(self, job_id: str, due_at: int, dedupe_key: str) -> PlannedJob:
        """The message, linked to the job whose place it takes, for who got that job's message or would have.

        Those whom the vendor refused, or to whom it expired, did not get it and are left out, and so are those for whom
        a correction of this job, or of another of its chain, was enqueued or planned already. With `includes_refused`
        it goes to those of calls that were refused as a whole. It is due at `due_at`, or with the first job where that
        is later. NotReplayable where none is left.
        """
        rows = require_found(self._jobs.get(job_id), job_id)
        require_read(rows.job)
        require_readable(rows)
        if _original(rows) in self._unreadable:
            raise unreadable(job_id)
        reached = self._reached.setdefault(_original(rows), set())
        to = self._whom(rows, reached)
        document = self._new_document(job_id, json.loads(rows.job["message"]))
        if document is None:
            raise NotReplayable(f"job {job_id} has no new message: its own has changed meanwhile", job=job_id)
        request = _request(rows.job, document, to, self._accounts)
        request.options = self._options(rows.job, due_at, dedupe_key)
        planned = plan(request, self._key)
        reached |= {(kind, one.lower()) for kind, one in each_recipient(to)} or {_CHAT}
        return planned

    def _options(self, old: Mapping[str, Any], due_at: int, dedupe_key: str) -> MessageOptions:
        """Returns the options of the first job; its expiry only if the job is still to be due."""
        options = options_of(old) | {"due_at": instant(max(due_at, old["due_at"])), "dedupe_key": dedupe_key}
        if old["expires_at"] is not None and old["due_at"] > self._now:
            options["expires_at"] = instant(old["expires_at"])
        return cast(MessageOptions, options)

    def _whom(self, rows: RecipientRows, reached: Collection[Recipient]) -> Recipients:
        job_id, asked = str(rows.job["id"]), Recipients.from_json(json.loads(rows.job["recipients"]))
        if not asked:
            # A robot's own chat: the message has no recipients, and its only one is reached or not.
            if not _meant_anybody(rows, includes_refused=self._includes_refused) or _CHAT in reached:
                raise _nobody_left(job_id)
            return asked
        meant = _intended_recipients(rows, includes_refused=self._includes_refused).difference(reached)
        left = [one for one in each_recipient(asked) if (one[0], one[1].lower()) in meant]
        if not left:
            raise _nobody_left(job_id)
        under = select_by_status(asked, {RecipientStatus.REFUSED: left}, RecipientStatus.REFUSED)
        return without_erased(rows.job, under)


def check_correction(
    connection: Connection,
    old: Mapping[str, Any],
    asked: Recipients,
    document: Mapping[str, Any],
    accounts: AccountSource,
) -> bool:
    """Raises CheckFailed with every wrong field of a new message, as it is stored, for a job's row. Inserts nothing.

    `asked` are the recipients in the row. Returns False without a check if all of them, or a sender, were erased.
    """
    try:
        # Looked for in the whole text, for a preview of many thousand jobs: few have an erased recipient.
        to = without_erased(old, asked) if ERASED in old["recipients"] else asked
    except NotReplayable:
        return False
    if asked and not to:
        return False
    plan(_request(old, document, to, accounts), lane_key(connection))
    return True


def _request(
    old: Mapping[str, Any], document: Mapping[str, Any], to: Recipients, accounts: AccountSource
) -> JobRequest:
    account = accounts.get(old["account"])
    own = channel(account.channel)
    kind = own.kind_of(document, to)
    if kind not in own.sends:
        remedy = "give a message that can be sent by itself"
        raise CheckFailed([Problem("message", "is a follow-up of another job", remedy)], channel=account.channel)
    # One message takes the place of many, and perhaps of a card under the same task_id (42014).
    return JobRequest(kind, account, dict(document), to, replay=replay_suffix(), target=old["id"])


def _original(rows: RecipientRows) -> str:
    return str(rows.job["replay_of"] or rows.job["id"])


def _nobody_left(job_id: str) -> NotReplayable:
    text = f"job {job_id} has no recipient left to correct: none got it, or all have a correction"
    return NotReplayable(text, job=job_id)


def _intended_recipients(rows: RecipientRows, *, includes_refused: bool = False) -> set[Recipient]:
    """The recipients who got a job's message, may have, or would have without its cancel; ids in lower case.

    `includes_refused`: also those of a call that was refused, unless they were refused by name.
    """
    asked, is_open = Recipients.from_json(json.loads(rows.job["recipients"])), bool(rows.job["n_open"])
    recipients = {
        one
        for one, its in statuses_by_recipient(asked, is_open, rows.parts, rows.failures).items()
        if its & _MAY_HAVE_GOT
    }
    for part in rows.parts:
        if part["state"] == PartState.CANCELLED:
            recipients.update(
                (kind, one.lower()) for _, (kind, one) in statuses_of_part(part, json.loads(part["spec"]), ())
            )
        elif includes_refused and part["state"] == PartState.REJECTED:
            named = {(row["kind"], row["recipient_key"]) for row in rows.failures if row["part_id"] == part["id"]}
            its = {(kind, one.lower()) for _, (kind, one) in statuses_of_part(part, json.loads(part["spec"]), ())}
            recipients |= its - named
    return recipients


def _meant_anybody(rows: RecipientRows, *, includes_refused: bool = False) -> bool:
    return any(rows.job[name] for name in (*ADDRESSED_COUNTERS, *(["n_rejected"] if includes_refused else [])))
