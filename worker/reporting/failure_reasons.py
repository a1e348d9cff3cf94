"""Counts why jobs of a filter did not reach recipients: by errcode, by the vendor's list of refused, or by our reason.

Reads only, and at most 200,000 jobs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from worker.channels.registry import channel_if_there
from worker.domain.content.recipient import stored_spec
from worker.domain.job_filter import JobFilter, require_filter
from worker.domain.state import JobState
from worker.language import Lang
from worker.outbox.control.mailings import failed_parts, mailing_pages, refused_by_list, replayed_jobs
from worker.outbox.engine.caller import on_callers_connection
from worker.outbox.engine.clock import now_in
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.rows import COUNTER_NAMES
from worker.reporting.mailing import MAX_JOBS
from worker.reporting.recipient_status import recipient_count

STATES = (JobState.REJECTED, JobState.EXHAUSTED, JobState.PARTIAL, JobState.EXPIRED, JobState.UNKNOWN, JobState.OPEN)
"""The states of jobs of which something may have failed. What a person cancelled did not fail."""
_FAILED = ("n_rejected", "n_exhausted", "n_expired", "n_partial")


@dataclass(frozen=True, slots=True)
class FailureReason:
    """One reason for which recipients of an account did not get a message."""

    account: str
    channel: str
    errcode: int | None
    """The vendor's errcode, or None if it gave none: the vendor named the recipient in a list, or it was our reason."""
    reason: str
    """Why, in our words: such as the vendor's list that names a recipient. Empty if there is an errcode."""

    def meaning(self, lang: Lang) -> Sequence[str]:
        """Returns the errcode with its meaning, and what to do about it; empty without an errcode that is known."""
        vendor = channel_if_there(self.channel)
        lines = None if vendor is None or self.errcode is None else vendor.explain(self.errcode, lang)
        # Between them stands what the worker does, which it has done.
        return () if lines is None else (lines[0], *lines[3:])


@dataclass(frozen=True, slots=True)
class FailureCount:
    """The numbers of one reason."""

    reason: FailureReason
    jobs: int
    """Jobs of which something failed for it."""
    recipients: int
    """Recipients who did not get the message for it. Of a text in pieces, those who did not get its worst piece."""


@dataclass(frozen=True, slots=True)
class FailureReport:
    """The reasons, the most frequent first."""

    counts: Sequence[FailureCount]
    is_cut_short: bool
    """True if there are older jobs that were not counted."""
    leaves_fresh_out: bool
    """True if too many jobs are open, or ended so lately that no index has them, for all to be counted."""


@on_callers_connection
def failures_by_reason(connection: Connection, filter: JobFilter) -> FailureReport:
    """Counts the recipients of a filter's jobs who got nothing, by account and reason.

    A job that was replayed is not counted, but its newest replay that was not cancelled is, if the filter has it.
    Counts the newest 200,000 jobs at most. Raises CheckFailed where the filter is about parts or calls.
    """
    require_filter(filter)
    filter.require_jobs_of_a_list()
    now, is_cut_short, leaves_fresh_out = read_now(connection, now_in(connection)), False, False
    jobs, recipients = Counter[FailureReason](), Counter[FailureReason]()
    for page in mailing_pages(connection, filter, now, MAX_JOBS, STATES):
        rows = {row["id"]: row for row in page.rows if any(row[name] for name in _FAILED)}
        for id in replayed_jobs(connection, rows):
            del rows[id]
        _count(connection, rows, jobs, recipients)
        is_cut_short, leaves_fresh_out = page.is_cut_short, leaves_fresh_out or page.leaves_fresh_out
    order = sorted(jobs, key=lambda reason: (-recipients[reason], -jobs[reason], reason.account, reason.reason))
    counts = [FailureCount(reason, jobs[reason], recipients[reason]) for reason in order]
    return FailureReport(counts, is_cut_short, leaves_fresh_out)


def _count(
    connection: Connection,
    rows: Mapping[str, Mapping[str, Any]],
    jobs: Counter[FailureReason],
    recipients: Counter[FailureReason],
) -> None:
    """Adds some jobs to the counts."""
    by_job: dict[tuple[str, FailureReason], Counter[int]] = {}
    sizes = {id: sum(row[name] for name in COUNTER_NAMES) for id, row in rows.items()}
    for parts in failed_parts(connection, sizes):
        by_list = refused_by_list(connection, [part.id for part in parts])
        for part in parts:
            row, counts, spec = rows[part.job_id], by_list.get(part.id, {}), stored_spec(part.spec) or {}
            found = {
                (code or None, "" if code else f"named by the vendor in {name}"): count
                for (name, code), count in counts.items()
            }
            if not part.is_accepted:
                left = recipient_count(spec) - sum(found.values())
                own = (part.errcode, "" if part.errcode else part.reason or "")
                if left or not found:
                    found[own] = found.get(own, 0) + left
            for (code, text), count in found.items():
                reason = FailureReason(row["account"], row["channel"], code, text)
                # Every piece of a text goes to the same people.
                by_job.setdefault((part.job_id, reason), Counter())[int(spec.get("piece", 0))] += count
    for (_, reason), by_piece in by_job.items():
        jobs[reason] += 1
        recipients[reason] += max(by_piece.values())
