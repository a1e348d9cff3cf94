"""Decides which notices are due, from the stored alerts and the current problems. Pure functions.

An alert is raised when its problem has lasted for the delay of its kind, and ended when the problem has been away for
five minutes. An alert whose problem goes away earlier is forgotten. One notice covers all accounts with the same alert.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from worker.outbox.engine.clock import SECOND
from worker.outbox.upkeep.alerts import HOUR, AlertRow
from worker.reporting.problem_kinds import KINDS, ProblemKind

QUIET_S = 300
"""Seconds for which a problem must be away before its alert ends, so that a flapping problem is one alert."""
MAX_PER_HOUR, RESERVED_FOR_PAGES = 30, 10
"""Notices within an hour at most, and how many of them tickets leave to pages.

Later notices wait in their rows, and are sent together.
"""


@dataclass(frozen=True, slots=True)
class AlertNotice:
    """One text for people that is still to be sent."""

    kind: ProblemKind
    rows: Sequence[AlertRow]
    """Never empty, and all of this kind."""
    is_end: bool
    at: int
    """When it was decided, by the database's clock."""
    last_failed: int = -1
    """Index of the last target that failed to deliver it, or -1."""
    last_number: int = 0
    """How many notices there are within an hour with this one, if later ones wait until there are fewer. Else 0."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Subject -> what is wrong there, if the kind lets notices say more."""

    @property
    def subjects(self) -> list[str]:
        """What it is about, sorted. Empty if it is about the whole installation."""
        return sorted(row.subject for row in self.rows if row.subject)


def update_alerts(
    rows: Iterable[AlertRow], problems: Collection[tuple[str, str]], now: int, new_id: Callable[[], str]
) -> tuple[list[AlertRow], list[str]]:
    """Updates the alerts by the current problems (name, subject). Returns all rows, and the ids of forgotten ones."""
    remaining, forgotten, new = list[AlertRow](), list[str](), set(problems)
    for row in rows:
        _end_future(row, now)
        key = row.alert, row.subject
        if row.ended_at is not None:
            stays = now - row.ended_at <= HOUR
        else:
            new.discard(key)
            row.gone_at = None if key in problems else row.gone_at or now
            stays = row.gone_at is None or row.raised_at is not None
        if stays and row.alert in KINDS:
            remaining.append(row)
        else:
            forgotten.append(row.id)
    return [*remaining, *(AlertRow(new_id(), *key, seen_at=now) for key in sorted(new))], forgotten


def _end_future(row: AlertRow, now: int) -> None:
    """Turns instants after `now` into `now`. The clock was set back since, and nothing is to wait until it is there."""
    row.seen_at = min(row.seen_at, now)
    row.gone_at, row.raised_at, row.ended_at = (
        None if instant is None else min(instant, now) for instant in (row.gone_at, row.raised_at, row.ended_at)
    )


def notices(
    rows: Collection[AlertRow], failed: Mapping[str, int], targets: Sequence[str | None], now: int
) -> list[AlertNotice]:
    """Returns the notices to send now, the most urgent first, as many as the hourly limit allows.

    `failed` maps a row to the index of the target whose job about it failed. `targets` has the accounts of all targets,
    or None for a URL.
    """
    groups = defaultdict[tuple[str, bool, str, int, str], list[AlertRow]](list)
    for row in rows:
        kind, last_failed = KINDS[row.alert], failed.get(row.id, -1)
        if row.ended_at is not None or (row.raised_at is not None and row.gone_at is None):
            # Sent before. Each target is tried once, in their order, so that a notice that fails everywhere comes to an
            # end.
            is_due = 0 <= last_failed < len(targets) - 1
        else:
            waits_s, since = (kind.delay, row.seen_at) if row.gone_at is None else (QUIET_S, row.gone_at)
            is_due, last_failed = now - since >= waits_s * SECOND, -1
        if is_due:
            # An alert about a target's own account gets its own notice, because that account cannot deliver it.
            own_account = row.subject if row.subject in targets else ""
            groups[kind.severity, row.gone_at is not None, kind.name, last_failed, own_account].append(row)
    due = [
        AlertNotice(KINDS[name], group, is_end, now, last_failed)
        for (_, is_end, name, last_failed, _), group in sorted(groups.items(), key=lambda item: item[0])
    ]
    sent = _count_last_hour(rows, now)
    capacity = MAX_PER_HOUR - sent
    # Pages come before tickets, which leave them some of the limit.
    selected = [
        one
        for n, one in enumerate(due)
        if n < (capacity if one.kind.severity == "page" else capacity - RESERVED_FOR_PAGES)
    ]
    if selected and (len(selected) < len(due) or len(selected) == capacity):
        selected[-1] = replace(selected[-1], last_number=sent + len(selected))
    return selected


def _count_last_hour(rows: Collection[AlertRow], now: int) -> int:
    """Counts the notices of the last hour. Rows of one notice have the same instant."""
    sent = {(row.alert, is_end, at) for row in rows for is_end, at in enumerate((row.raised_at, row.ended_at))}
    return sum(at is not None and now - at < HOUR for _, _, at in sent)


def usable_targets(notice: AlertNotice, accounts: Sequence[str | None], unusable: Collection[str]) -> list[int]:
    """Returns the indexes of the targets that may send a notice, in order. In `accounts`, None is a URL."""
    about = notice.subjects if notice.kind.about == "account" else []
    return [
        n
        for n, account in enumerate(accounts)
        if n > notice.last_failed
        and (account is None or not (notice.kind.stops == "everything" or account in unusable or account in about))
    ]
