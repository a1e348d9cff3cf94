"""Finds what a part needs before it can be rendered: msgids, response codes, media, files, members."""

from worker.domain.outcome import Accepted, Held, Rejected, Retry
from worker.outbox.jobs.loading import JobPart

Resolved = JobPart | Rejected | Accepted | Held | Retry | None
"""The part with what its call needs, or an outcome without a call, or None if the part waits, as its row says."""
