"""A pause: which jobs make no calls until a person ends it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.domain.job import JobKind
from worker.domain.job_terms import tags_of


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause of all jobs that meet its conditions, or of every job if it has none.

    Recalls go on, unless the pause is of that very job: one often pauses in order to recall messages.
    """

    id: str
    """32 hexadecimal digits, a UUIDv7."""
    parked_until: int
    """The `not_before` of parts that wait for its end: after `FOREVER`, and unique, so that they are found by it."""
    began_at: datetime
    """When it began, by the database's clock."""
    person: str
    """The name of the person who paused."""
    why: str
    """The reason in the person's own words."""
    account: str | None = None
    """Only jobs of this account, or of any if None."""
    channel: str | None = None
    """Only jobs of this channel, or of any if None."""
    kind: str | None = None
    """Only jobs of this kind, or of any if None."""
    tag: str | None = None
    """Only jobs with this tag, or with any or none if None."""
    job_id: str | None = None
    """The one job that is paused, or None for a pause of all jobs that meet the conditions above."""

    def covers(self, job: Mapping[str, Any]) -> bool:
        """Whether the pause applies to a job, given by its columns."""
        if self.job_id is not None:
            return bool(job["id"] == self.job_id)
        conditions = {name: value for name, value in self._equal().items() if value is not None}
        if job["kind"] == JobKind.RECALL or any(job[name] != value for name, value in conditions.items()):
            return False
        return self.tag is None or self.tag in tags_of(job["tags"])

    def covers_lanes(self) -> bool:
        """Returns True if the pause applies to whole lanes, whose parts have one account and one kind."""
        return self.tag is None and self.job_id is None

    def covers_lane(self, account: str, kind: str) -> bool:
        """Returns True if the pause certainly applies to a lane. The lane's channel is not known here."""
        if self.channel is not None or not self.covers_lanes() or kind == JobKind.RECALL:
            return False
        return self.account in (None, account) and self.kind in (None, kind)

    def scope(self) -> dict[str, str]:
        """Returns the conditions by name."""
        conditions = {**self._equal(), "tag": self.tag, "job": self.job_id}
        return {name: value for name, value in conditions.items() if value is not None}

    def scope_text(self) -> str:
        """Returns the conditions as text for people."""
        return ", ".join(f"{name} {value}" for name, value in self.scope().items()) or "everything"

    def ending(self) -> str:
        """Returns the command that ends the pause."""
        if self.job_id is not None:
            return f"worker resume {self.job_id}"
        options = [option for name, value in self.scope().items() for option in (f"--{name}", value)]
        return shlex.join(["worker", "resume", *(options or ["--all"])])

    def _equal(self) -> dict[str, str | None]:
        return {"account": self.account, "channel": self.channel, "kind": self.kind}
