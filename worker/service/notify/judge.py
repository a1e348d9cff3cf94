"""What is to be told now: a pure decision over the rows of alerts and what is found to be wrong.

An alert is raised when its cause has stood for its time, and ended when the cause has been away for five minutes; one
whose cause went before it was told is forgotten. Notices are few: one for each alert, however many accounts it names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Literal

from worker.outbox.engine.clock import SECOND
from worker.outbox.upkeep.alerts import HOUR, AlertRow
from worker.service.notify.rules import RULES, AlertRule

QUIET_S = 300
"""Seconds for which a cause must be away before its end is told, so that what comes and goes is one alert."""
AN_HOUR, FOR_PAGES = 30, 10
"""Notices within an hour at most, and those of them that tickets leave to pages; what comes then waits in its row, and
is told together.
"""

Found = tuple[str, str]
"""An alert's name, and what it is about."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What one look found."""

    found: frozenset[Found]
    unfit: frozenset[str] = frozenset()
    """Further accounts that no notice goes by now."""

    @property
    def stuck(self) -> frozenset[str]:
        """The queues that no worker takes from."""
        return frozenset(subject for alert, subject in self.found if alert == "QueueWithoutWorkers")


@dataclass(frozen=True, slots=True)
class AlertNotice:
    """One text for people, still to be told."""

    rule: AlertRule
    rows: Sequence[AlertRow]
    """Never empty, and all of this alert."""
    is_end: bool
    at: int
    """When it was decided, by the database's clock."""
    after: int = -1
    """Targets up to this place have failed to tell it."""
    stuck: frozenset[str] = frozenset()
    """The queues that no worker takes from."""
    fills_the_hour: bool = False
    """It is the last one for now; others wait until there are fewer within the hour."""

    @property
    def priority(self) -> Literal["urgent", "normal"]:
        """Urgent for a page, normal for a ticket; the other one where no worker takes from that queue."""
        page = self.rule.severity == "page"
        if ("urgent" if page else "normal") in self.stuck:
            page = not page
        return "urgent" if page else "normal"

    @property
    def subjects(self) -> list[str]:
        """What it is about, in order; empty: the installation."""
        return sorted(row.subject for row in self.rows if row.subject)


@dataclass(slots=True)
class Judged:
    """What follows from one look."""

    changed: list[AlertRow] = field(default_factory=list)
    """Rows to be written."""
    forgotten: list[str] = field(default_factory=list)
    """Ids of rows to be deleted."""
    to_raise: list[AlertRow] = field(default_factory=list)
    to_end: list[AlertRow] = field(default_factory=list)


def judge(rows: Sequence[AlertRow], seen: Situation, now: int, new_id: Callable[[], str]) -> Judged:
    """Moves the rows on by what was seen; what is to be told is in `to_raise` and `to_end` until it has been."""
    judged = Judged()
    known: set[Found] = set()
    for row in rows:
        if row.alert not in RULES or (row.ended_at is not None and now - row.ended_at > HOUR):
            judged.forgotten.append(row.id)
        elif row.ended_at is None:
            known.add((row.alert, row.subject))
            _move(judged, row, now, stands=(row.alert, row.subject) in seen.found)
    for alert, subject in sorted(seen.found - known):
        row = AlertRow(new_id(), alert, subject, seen_at=now)
        judged.changed.append(row)
        _move(judged, row, now, stands=True)
    return judged


def _move(judged: Judged, row: AlertRow, now: int, *, stands: bool) -> None:
    if stands:
        if row.gone_at is not None:
            row.gone_at = None
            judged.changed.append(row)
        if row.raised_at is None and now - row.seen_at >= RULES[row.alert].delay * SECOND:
            judged.to_raise.append(row)
    elif row.raised_at is None:
        judged.forgotten.append(row.id)
    elif row.gone_at is None:
        row.gone_at = now
        judged.changed.append(row)
    elif now - row.gone_at >= QUIET_S * SECOND:
        judged.to_end.append(row)


def notices(
    rows: Iterable[AlertRow], judged: Judged, failed: Mapping[str, int], targets: Sequence[str | None], now: int
) -> list[AlertNotice]:
    """The notices to be told now, the most urgent first, as many as the hour has room for.

    `failed`: row -> the place of the target whose job about it was not taken; `targets`: the accounts of all targets,
    None for a URL.
    """
    rows = list(rows)
    # Each target is tried once for a notice, in their order, so what fails everywhere is not told for ever.
    again = [row for row in rows if failed.get(row.id, len(targets)) < len(targets) - 1]
    ends = [row for row in again if row.ended_at is not None]
    raises = [row for row in again if row.ended_at is None and row.gone_at is None]
    found = [
        *_grouped(judged.to_raise, {}, targets, now, is_end=False),
        *_grouped(raises, failed, targets, now, is_end=False),
        *_grouped(judged.to_end, {}, targets, now, is_end=True),
        *_grouped(ends, failed, targets, now, is_end=True),
    ]
    found.sort(key=lambda one: (one.rule.severity, one.is_end))
    room = AN_HOUR - _told(rows, now)
    # Pages stand before tickets, which leave them some room.
    told = [one for n, one in enumerate(found) if n < (room if one.rule.severity == "page" else room - FOR_PAGES)]
    fills = len(told) < len(found) or len(told) == room
    return [*told[:-1], replace(told[-1], fills_the_hour=True)] if told and fills else told


def _grouped(
    rows: Iterable[AlertRow], failed: Mapping[str, int], targets: Collection[str | None], now: int, *, is_end: bool
) -> Iterator[AlertNotice]:
    def which(row: AlertRow) -> tuple[str, int, str]:
        # What is about a target's own account is told apart, because that account cannot tell it.
        return row.alert, failed.get(row.id, -1), row.subject if row.subject in targets else ""

    for (alert, after, _), together in groupby(sorted(rows, key=which), which):
        yield AlertNotice(RULES[alert], list(together), is_end, now, after)


def _told(rows: Collection[AlertRow], now: int) -> int:
    """Notices of the last hour: rows that were told together have one instant."""
    raised = {(row.alert, row.raised_at) for row in rows if row.raised_at is not None and now - row.raised_at < HOUR}
    ended = {(row.alert, row.ended_at) for row in rows if row.ended_at is not None and now - row.ended_at < HOUR}
    return len(raised) + len(ended)


def fit_targets(notice: AlertNotice, accounts: Sequence[str | None], unfit: Collection[str]) -> list[int]:
    """The places of the targets that may tell a notice, in order; of `accounts` None is a URL."""
    about = set(notice.subjects) if notice.rule.about == "account" else set[str]()
    return [
        n
        for n, account in enumerate(accounts)
        if n > notice.after and (account is None or not (notice.rule.urls_only or account in unfit or account in about))
    ]


def unfit_accounts(seen: Situation) -> set[str]:
    """Accounts that no notice goes by while this stands."""
    return {subject for alert, subject in seen.found if RULES[alert].carries_none} | set(seen.unfit)
