"""Judges whether a universe was safe, by the vendor's record, the producers' commits and the people's commands."""

from __future__ import annotations

from bench.explore import among_jobs, of_one_job
from bench.explore.evidence import Evidence


def problems(known: Evidence) -> list[str]:
    """A sentence for each promise of safety that is broken."""
    rules = [*of_one_job.RULES, *among_jobs.RULES]
    rules += among_jobs.NOT_RESTORED if known.backup.restored_at is None else ()
    return [problem for rule in rules for problem in rule(known)]
