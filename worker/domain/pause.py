"""A pause: the jobs of which no call begins until a person ends it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.domain.job import Kind
from worker.domain.job_terms import tags_of


@dataclass(frozen=True, slots=True)
class Pause:
    """What is paused: the jobs for which all that is given holds; where nothing is given, every job.

    Recalls pass, unless the pause is of that very job: what takes messages back is what one pauses for.
    """

    id: str
    """32 hexadecimal digits, a UUIDv7."""
    parked_until: int
    """The `not_before` of parts that wait for its end: behind `FOREVER`, and its own, so that they are found by it."""
    began_at: datetime
    """When it began, by the database's clock."""
    person: str
    """The name of the person who paused, or who holds the job."""
    why: str
    """The reason in the person's own words."""
    account: str | None = None
    """Only jobs of this account; None: of any."""
    channel: str | None = None
    """Only jobs of this channel; None: of any."""
    kind: str | None = None
    """Only jobs of this kind; None: of any."""
    tag: str | None = None
    """Only jobs with this tag; None: with any or none."""
    job_id: str | None = None
    """The one job that is held; None: the pause is of all jobs with the rest."""

    def covers(self, job: Mapping[str, Any]) -> bool:
        """Whether it holds for a job, given by its columns."""
        if self.job_id is not None:
            return bool(job["id"] == self.job_id)
        conditions = {name: value for name, value in self._equal().items() if value is not None}
        if job["kind"] == Kind.RECALL or any(job[name] != value for name, value in conditions.items()):
            return False
        return self.tag is None or self.tag in tags_of(job["tags"])

    def holds_lanes(self) -> bool:
        """True when it holds for all parts of a lane or for none: these have one account and one kind."""
        return self.tag is None and self.job_id is None

    def holds_lane(self, account: str, kind: str) -> bool:
        """True when it certainly holds for a lane; the lane's channel is not known here."""
        if self.channel is not None or not self.holds_lanes() or kind == Kind.RECALL:
            return False
        return self.account in (None, account) and self.kind in (None, kind)

    def scope(self) -> dict[str, str]:
        """What is given, by name."""
        conditions = {**self._equal(), "tag": self.tag, "job": self.job_id}
        return {name: value for name, value in conditions.items() if value is not None}

    def told(self) -> str:
        """What is given, for people."""
        return ", ".join(f"{name} {value}" for name, value in self.scope().items()) or "everything"

    def ending(self) -> str:
        """The command that ends it."""
        if self.job_id is not None:
            return f"worker resume {self.job_id}"
        options = [word for name, value in self.scope().items() for word in (f"--{name}", value)]
        return shlex.join(["worker", "resume", *(options or ["--all"])])

    def _equal(self) -> dict[str, str | None]:
        return {"account": self.account, "channel": self.channel, "kind": self.kind}
