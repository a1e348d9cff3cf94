"""Finds the recipients that a job and its replays have reached, so that a replay reaches no person twice by accident.

A recipient counts as reached as soon as one call for it was accepted: for a piece of a long text, or for a member of a
department.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from worker.channels.registry import channel
from worker.domain.content.recipient import Recipients, stored_recipients, stored_spec
from worker.domain.errors import NotReplayable, RetryTransaction
from worker.outbox.jobs.reading import JobRows, RecipientRows, has_unseen_replay, job_and_replays
from worker.outbox.jobs.target_job import may_repeat
from worker.reporting.find_job import rows_of
from worker.reporting.recipient_status import (
    Recipient,
    RecipientStatus,
    each_recipient,
    select_by_status,
    statuses_by_recipient,
)


class ReplayScope(NamedTuple):
    """Which recipients a replay includes besides those that the job did not reach."""

    accepted: bool = False
    """Whether recipients are included who got the message."""
    unknown: bool = False
    """Whether recipients are included of whom it is not known."""
    cancelled: bool = False
    """Whether the job is sent although it was cancelled, recalled or corrected."""


_FAILED = ("n_rejected", "n_exhausted", "n_expired", "n_cancelled")


def not_reached(
    connection: Connection, old: Mapping[str, Any], job_and_replays: Sequence[Mapping[str, Any]], also: ReplayScope
) -> Recipients:
    """The recipients of an ended job whom no job of its chain reached, or is under way to; all where it has none.

    NotReplayable where there is none. `also`: with those who were reached, or of whom that is not known.
    """
    accepted, unknown, _ = also
    job_id, asked = str(old["id"]), Recipients.from_json(json.loads(old["recipients"]))
    if unknown:
        require_no_repeat(connection, job_id, job_and_replays)
    if len(job_and_replays) == 1 and (
        (accepted and unknown) or not old["n_accepted"] + old["n_partial"] + old["n_unknown"]
    ):
        return asked
    if not asked or old["kind"] not in channel(old["channel"]).sends:
        _require_not_done(job_id, job_and_replays, accepted=accepted, unknown=unknown)
        return asked
    reached = nearest_statuses(connection, [str(row["id"]) for row in job_and_replays])
    included = {RecipientStatus.ACCEPTED: accepted, RecipientStatus.UNKNOWN: unknown}
    resend_statuses = {None, *(status for status, is_named in included.items() if is_named)}
    statuses = {recipient: reached.get((recipient[0], recipient[1].lower())) for recipient in each_recipient(asked)}
    left = [recipient for recipient, status in statuses.items() if status in resend_statuses]
    if not left:
        raise _nobody_left(job_id, statuses.values())
    return select_by_status(asked, {RecipientStatus.REFUSED: left}, RecipientStatus.REFUSED)


def nearest_statuses(connection: Connection, jobs: Iterable[str]) -> dict[Recipient, RecipientStatus]:
    """Recipients (ids in lower case) -> the nearest that a call of these jobs came to them; without the others."""
    statuses: dict[Recipient, set[RecipientStatus]] = {}
    for job in jobs:
        rows = rows_of(connection, job)
        require_readable(rows)
        asked, is_open = Recipients.from_json(json.loads(rows.job["recipients"])), bool(rows.job["n_open"])
        for recipient, own_statuses in statuses_by_recipient(asked, is_open, rows.parts, rows.failures).items():
            # What is in doubt in an open job may be repeated by itself.
            under_way = {RecipientStatus.WAITING} if is_open and RecipientStatus.UNKNOWN in own_statuses else set()
            statuses.setdefault(recipient, set()).update(own_statuses | under_way)
    nearest = (RecipientStatus.WAITING, RecipientStatus.ACCEPTED, RecipientStatus.UNKNOWN)
    return {
        recipient: next(status for status in nearest if status in own_statuses)
        for recipient, own_statuses in statuses.items()
        if own_statuses.intersection(nearest)
    }


def require_readable(rows: JobRows | RecipientRows) -> None:
    """Raises NotReplayable if the rows do not say who got the message: a part or the recipients cannot be read."""
    specs = (stored_spec(part["spec"]) for part in rows.parts)
    if stored_recipients(rows.job["recipients"]) is None or None in specs:
        raise unreadable(str(rows.job["id"]))


def unreadable(job_id: str) -> NotReplayable:
    """Returns the error for a job whose rows cannot be read."""
    return NotReplayable(f"job {job_id} is stored in a form that cannot be read; enqueue its message anew", job=job_id)


def require_no_repeat(connection: Connection, job_id: str, job_and_replays: Iterable[Mapping[str, Any]]) -> None:
    """Raises NotReplayable while a part in doubt may be repeated: the message would go twice."""
    for row in job_and_replays:
        if may_repeat(connection, str(row["id"])):
            text = "is in doubt and will be repeated or looked up by itself; wait until it has ended or is held"
            raise NotReplayable(f"job {row['id']} {text}", job=job_id)


def _require_not_done(
    job_id: str, job_and_replays: Iterable[Mapping[str, Any]], *, accepted: bool, unknown: bool
) -> None:
    """Raises NotReplayable if a job without recipients, or a replay of it, was carried out or is under way."""
    for row in job_and_replays:
        if row["n_open"]:
            raise NotReplayable(f"job {job_id} is being repeated by job {row['id']}; wait for its end", job=job_id)
        if row["n_unknown"] and not unknown:
            raise _nobody_left(job_id, [RecipientStatus.UNKNOWN])
        if not row["n_unknown"] and not any(row[name] for name in _FAILED) and not accepted:
            raise _nobody_left(job_id, [RecipientStatus.ACCEPTED])


_TOLD = {
    RecipientStatus.ACCEPTED: "accepted (accepted=True, or --accepted, sends to them again)",
    RecipientStatus.UNKNOWN: "in doubt (unknown=True, or --unknown, sends to them too)",
    RecipientStatus.WAITING: "being sent to by another replay",
}


def _nobody_left(job_id: str, statuses: Iterable[RecipientStatus | None]) -> NotReplayable:
    counts = Counter(statuses)
    said = ", ".join(f"{counts[status]} {words}" for status, words in _TOLD.items() if counts[status])
    return NotReplayable(f"job {job_id} has no recipient left to send to: {said}", job=job_id)


def original_and_replays(connection: Connection, old: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Returns the original of a job and all of its replays, oldest first: ids, kinds and counters.

    Raises RetryTransaction if another one was committed since this transaction's first read.
    """
    original = str(old["replay_of"] or old["id"])
    rows = job_and_replays(connection, original)
    if has_unseen_replay(connection, original, [str(row["id"]) for row in rows]):
        text = f"job {original} was replayed since this transaction began; roll back, and run it again"
        raise RetryTransaction(text, job=original)
    return rows
