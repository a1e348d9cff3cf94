"""Which notices are due: pure decisions over the rows of alerts and the problems of now.

An alert is raised when its problem has lasted for the delay of its kind, and ended when the problem has been away for
five minutes; one whose problem went before is forgotten. One notice tells of all accounts with the same alert.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from worker.outbox.engine.clock import SECOND
from worker.outbox.upkeep.alerts import HOUR, AlertRow
from worker.reporting.problems import KINDS, ProblemKind

QUIET_S = 300
"""Seconds for which a problem must be away before its end is told, so that what comes and goes is one alert."""
AN_HOUR, FOR_PAGES = 30, 10
"""Notices within an hour at most, and those of them that tickets leave to pages; what comes then waits in its row, and
is told together.
"""
UNABLE = frozenset({"StandingStill", "AccountParked", "LaneParked", "AccountUnusable", "BreakerStaysOpen"})
"""While an account has one of these problems, no notice goes by it."""
BY_URL = frozenset({"DatabaseAway", "DatabaseTakesNoWrites", "NothingIsDelivered"})
"""While one of these lasts, no job is delivered, so URLs alone tell of it."""


@dataclass(frozen=True, slots=True)
class AlertNotice:
    """One text for people, still to be told."""

    kind: ProblemKind
    rows: Sequence[AlertRow]
    """Never empty, and all of this kind."""
    is_end: bool
    at: int
    """When it was decided, by the database's clock."""
    after: int = -1
    """Targets up to this place have failed to tell it."""
    fills_the_hour: bool = False
    """It is the last one for now; others wait until there are fewer within the hour."""

    @property
    def subjects(self) -> list[str]:
        """What it is about, in order; empty: the installation."""
        return sorted(row.subject for row in self.rows if row.subject)


def follow(
    rows: Iterable[AlertRow], problems: Collection[tuple[str, str]], now: int, new_id: Callable[[], str]
) -> tuple[list[AlertRow], list[str]]:
    """Updates the rows by the problems (name and subject) of now; returns all rows, and the ids of the forgotten."""
    kept, forgotten, new = list[AlertRow](), list[str](), set(problems)
    for row in rows:
        key = row.alert, row.subject
        if row.ended_at is not None:
            stays = now - row.ended_at <= HOUR
        else:
            new.discard(key)
            row.gone_at = None if key in problems else row.gone_at or now
            stays = row.gone_at is None or row.raised_at is not None
        if stays and row.alert in KINDS:
            kept.append(row)
        else:
            forgotten.append(row.id)
    return [*kept, *(AlertRow(new_id(), *key, seen_at=now) for key in sorted(new))], forgotten


def notices(
    rows: Collection[AlertRow], failed: Mapping[str, int], targets: Sequence[str | None], now: int
) -> list[AlertNotice]:
    """Returns the notices to be told now, the most urgent first, as many as the hour has room for.

    `failed`: row -> the place of the target whose job about it was not taken; `targets`: the accounts of all targets,
    None for a URL.
    """
    groups = defaultdict[tuple[str, bool, str, int, str], list[AlertRow]](list)
    for row in rows:
        kind, after = KINDS[row.alert], failed.get(row.id, -1)
        if row.ended_at is not None or (row.raised_at is not None and row.gone_at is None):
            # Told already. Each target is tried once, in their order, so what fails everywhere is not told for ever.
            is_due = 0 <= after < len(targets) - 1
        else:
            waits_s, since = (kind.delay, row.seen_at) if row.gone_at is None else (QUIET_S, row.gone_at)
            is_due, after = now - since >= waits_s * SECOND, -1
        if is_due:
            # What is about a target's own account is told apart, because that account cannot tell it.
            own = row.subject if row.subject in targets else ""
            groups[kind.severity, row.gone_at is not None, kind.name, after, own].append(row)
    due = [
        AlertNotice(KINDS[name], group, is_end, now, after)
        for (_, is_end, name, after, _), group in sorted(groups.items(), key=lambda item: item[0])
    ]
    room = AN_HOUR - _told_lately(rows, now)
    # Pages stand before tickets, which leave them some room.
    told = [one for n, one in enumerate(due) if n < (room if one.kind.severity == "page" else room - FOR_PAGES)]
    if told and (len(told) < len(due) or len(told) == room):
        told[-1] = replace(told[-1], fills_the_hour=True)
    return told


def _told_lately(rows: Collection[AlertRow], now: int) -> int:
    """Counts the notices of the last hour: rows that were told together have one instant."""
    told = {(row.alert, is_end, at) for row in rows for is_end, at in enumerate((row.raised_at, row.ended_at))}
    return sum(at is not None and now - at < HOUR for _, _, at in told)


def fit_targets(notice: AlertNotice, accounts: Sequence[str | None], unfit: Collection[str]) -> list[int]:
    """Returns the places of the targets that may tell a notice, in order; of `accounts` None is a URL."""
    about = notice.subjects if notice.kind.about == "account" else []
    return [
        n
        for n, account in enumerate(accounts)
        if n > notice.after
        and (account is None or not (notice.kind.name in BY_URL or account in unfit or account in about))
    ]
