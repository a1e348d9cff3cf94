"""The jobs that a command is about, and warnings about a filter that looks mistyped."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from worker.channels.registry import channel, names
from worker.config.accounts import unknown_account
from worker.domain.errors import WorkerError
from worker.domain.job_filter import JobFilter

MAX_LISTED = 20
"""Most ids that warnings name."""


@dataclass(frozen=True, slots=True)
class FoundJobs:
    """The jobs that a command will change, as they were when they were searched for. The command takes this value."""

    wanted: JobFilter = field(repr=False)
    """The filter that selected the jobs."""
    ids: tuple[str, ...]
    """Ids of the jobs. From `find_unknown` these are ids of parts in doubt."""
    counts: Mapping[tuple[str, str], int]
    """(account, kind) -> number of jobs. From `find_replayable` the key is (account, state); from `find_person` it is
    empty."""
    among: Mapping[str, int] = field(default_factory=dict)
    """How many of the jobs, or of their parts by state, have a property that the search reports, such as `ended`."""
    missing: tuple[str, ...] = ()
    """Ids of the filter that belong to no job."""


def require_configured(wanted: JobFilter | None, accounts: Sequence[str]) -> None:
    """Raises WorkerError if a pause names an account that is not configured. Such a pause would stop nothing."""
    if wanted is not None and wanted.account is not None and wanted.account not in accounts:
        raise WorkerError(f"nothing was paused: {unknown_account(wanted.account, accounts)}")


def filter_warnings(wanted: JobFilter, missing: Sequence[str], accounts: Collection[str]) -> list[str]:
    """Returns a sentence for each part of a filter that matches nothing that exists.

    `missing` holds the ids that belong to no job, `accounts` the names of the configured accounts.
    """
    warnings = [
        f"there is no job {id}; give the whole id, `worker why {id}` may find it" for id in missing[:MAX_LISTED]
    ]
    kinds = {kind for name in names() for kind in channel(name).kinds}
    for noun, value, allowed in (
        ("account", wanted.account, accounts),
        ("channel", wanted.channel, names()),
        ("kind", wanted.kind, kinds),
    ):
        if value is not None and value not in allowed:
            warnings.append(f"there is no {noun} {value}; use one of {', '.join(sorted(allowed))}")
    return warnings
