"""The jobs that a command applies to, and sentences about a filter that names what does not exist."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from worker.channels.registry import channel, names
from worker.config.accounts import unknown_account
from worker.domain.errors import WorkerError
from worker.domain.job import JobKind
from worker.domain.job_filter import JobFilter
from worker.outbox.control.cancels import JobSize
from worker.outbox.control.listing import job_page
from worker.outbox.control.matching import MatchingJob, missing_jobs

if TYPE_CHECKING:
    from worker.reporting.report import JobSummary

_ID = re.compile(r"[0-9a-f]{8,32}(-\d+)?")
"""An id of a job or a part, or the beginning of one."""
STORED_NAMES = ("tag", "recipient", "dedupe_key", "order_key", "msgid", "errcode", "text_hash", "replay_of")
"""The fields of a filter whose values exist only where a job has them."""
NOTES: Mapping[str, str] = {
    "waiting": "of them wait to be sent: cancelled at once",
    "sent": "of them were sent or may have been: recalled by workers, as fast as the vendor's limits allow",
    "not_recallable": "were sent on a channel without recalls: their messages stay",
    "moved_waiting": "of them wait to be sent: they go to the other account as they are",
    "moved_sent": "are left out: something of them was sent or may have been, and their account sends the rest",
    "bound": "are left out: their account alone can send them (chats, customers, everyone, a task_id of your own)",
    "ended": "of them have ended, and stay as they are",
    "lately": "of them were called within the duplicate window: the same message may still arrive",
    "corrections": "of them are corrections: people who have only these are left without the right message, too",
    "ordered": "of them have an order_key: the jobs behind them go on; replay first what has to go before those",
    "settling": "more are left out: they settle by themselves, by a repeat or a look-up",
    "forced": "of them would settle by themselves: their repeat or look-up is given up",
    "different": "different messages are among them",
    "corrected": "are left out: corrected already",
    "equal": "are left out: their text is the new one already",
    "unchanged": "are left out: what is to be replaced is not in them, or no message is for them",
    "unused": "messages are for jobs that are not among these",
}
"""What a preview says of the numbers in `breakdown`, in this order. All others are states of parts."""
MAX_LISTED = 20
"""Most ids that warnings name."""


@dataclass(frozen=True, slots=True)
class JobSelection:
    """The jobs that a command will change, as they were when they were searched for. Pass it to the command."""

    filter: JobFilter = field(repr=False)
    """The filter that selected the jobs."""
    ids: tuple[str, ...]
    """Ids of the jobs. From `find_unknown` these are ids of parts in doubt."""
    counts: Mapping[tuple[str, str], int]
    """(account, kind) -> number of jobs. From `find_replayable` the key is (account, state); from `find_person` it is
    empty."""
    breakdown: Mapping[str, int] = field(default_factory=dict)
    """How many of the jobs have a property that the search reports, such as `ended`, and how many of their parts are in
    which state."""
    missing: tuple[str, ...] = ()
    """Ids in the filter that belong to no job."""


def audit_arguments(selection: JobSelection) -> dict[str, Any]:
    """Returns the filter, the number of jobs and their accounts, as the audit entry of a command has them."""
    accounts = sorted({account for account, _ in selection.counts})
    return {"filter": selection.filter.conditions(), "jobs": len(selection.ids), "accounts": accounts}


def is_send(job: MatchingJob | JobSummary) -> bool:
    """Returns whether a job sends a message to people."""
    return job.channel in names() and job.kind in channel(job.channel).sends


def has_recall(job: MatchingJob | JobSize | JobSummary) -> bool:
    """Returns whether the job's channel can recall what the job sends."""
    return job.channel in names() and channel(job.channel).follow_up_problem(JobKind.RECALL, job.kind) is None


def require_configured(filter: JobFilter | None, accounts: Sequence[str]) -> None:
    """Raises WorkerError if a pause names an account that is not configured. Such a pause would stop nothing."""
    if filter is not None and filter.account is not None and filter.account not in accounts:
        raise WorkerError(f"nothing was paused: {unknown_account(filter.account, accounts)}")


def filter_warnings(filter: JobFilter, missing: Sequence[str], accounts: Collection[str]) -> list[str]:
    """Returns a sentence for each condition of a filter that matches nothing that exists.

    `missing` are the ids that belong to no job, and `accounts` the names of the configured accounts.
    """
    warnings = [
        f"there is no job {id}; give the whole id, `worker why {id}` may find it"
        if _ID.fullmatch(id)
        else f"there is no job {id}; an id has 32 digits and letters, and a tag is given with --tag {id}"
        for id in missing[:MAX_LISTED]
    ]
    kinds = {kind for name in names() for kind in channel(name).kinds}
    for noun, value, allowed in (
        ("account", filter.account, accounts),
        ("channel", filter.channel, names()),
        ("kind", filter.kind, kinds),
    ):
        if value is not None and value not in allowed:
            warnings.append(f"there is no {noun} {value}; use one of {', '.join(sorted(allowed))}")
    return warnings


def unmatched(
    connection: Connection, filter: JobFilter, accounts: Collection[str], *, is_empty: bool = True
) -> list[str]:
    """Returns a sentence for each name in a filter that belongs to nothing. `is_empty`: no job meets the filter."""
    missing = missing_jobs(connection, filter.part_or_job_ids())
    if not is_empty:
        return filter_warnings(JobFilter(ids=filter.ids), missing, accounts) if missing else []
    sentences = filter_warnings(filter, missing, accounts)
    for name in STORED_NAMES:
        if (value := getattr(filter, name)) is not None and not _is_stored(connection, filter, name):
            option = f"--{name.replace('_', '-')}"
            sentences.append(f"no job that is stored has {option} {value}")
    return sentences


def _is_stored(connection: Connection, filter: JobFilter, name: str) -> bool:
    """Returns whether a job has the value of one field, whatever the filter's other fields say."""
    account = {"account": filter.account} if name == "dedupe_key" else {}
    by_name = JobFilter(**{name: getattr(filter, name), **account})
    page = job_page(connection, by_name, None, ("id",), cursor=None, newest_first=True, limit=1, now=0)
    return bool(page.rows) or page.is_cut_short or page.leaves_fresh_out
