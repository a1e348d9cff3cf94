"""The jobs that a command would be about, and what in its filter is probably mistyped."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from worker.channels.registry import channel, names
from worker.config.accounts import not_known
from worker.domain.errors import WorkerError
from worker.domain.job_filter import JobFilter

SHOWN = 20
"""Most ids that are told of."""


@dataclass(frozen=True, slots=True)
class FoundJobs:
    """The jobs that a command would be about, as they were when it was asked: what the command takes."""

    wanted: JobFilter = field(repr=False)
    """The filter that was asked for."""
    ids: tuple[str, ...]
    """Ids of the jobs; of `find_unknown` those of the parts in doubt."""
    counts: Mapping[tuple[str, str], int]
    """(Account, kind) -> how many; of `find_replayable` (account, state), of `find_person` nothing."""
    among: Mapping[str, int] = field(default_factory=dict)
    """How many of them are so, as the function that found them says, such as `ended`; or of their parts, by state."""
    missing: tuple[str, ...] = ()
    """The given ids that are no job's."""


def require_known(wanted: JobFilter | None, accounts: Sequence[str]) -> None:
    """WorkerError where a pause names an account that is not configured: nothing would be paused by it."""
    if wanted is not None and wanted.account is not None and wanted.account not in accounts:
        raise WorkerError(f"nothing was paused: {not_known(wanted.account, accounts)}")


def mistyped(wanted: JobFilter, missing: Sequence[str], accounts: Collection[str]) -> list[str]:
    """A sentence for each; `missing`: the ids that are no job's, `accounts`: the names of those that are configured."""
    doubts = [f"there is no job {id}; give the whole id, `worker why {id}` may find it" for id in missing[:SHOWN]]
    kinds = {kind for name in names() for kind in channel(name).kinds}
    for sort, given, known in (
        ("account", wanted.account, accounts),
        ("channel", wanted.channel, names()),
        ("kind", wanted.kind, kinds),
    ):
        if given is not None and given not in known:
            doubts.append(f"there is no {sort} {given}; use one of {', '.join(sorted(known))}")
    return doubts
