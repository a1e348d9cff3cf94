"""The commands of the console: each finds what it means, tells it, and carries it out by the code of the command line.

Knows no page: how a preview looks and who may give a command is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from worker.console.commands.background import Began
from worker.console.site import Site
from worker.control import cancel, pause, recall, replay, resolve
from worker.control.found import FoundJobs, mistyped, require_known
from worker.control.lift import lift, retry_event, skip
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job_filter import JobFilter
from worker.domain.state import JobState
from worker.outbox.control.cancels import counted_jobs
from worker.outbox.jobs.order_queue import in_line
from worker.outbox.lanes.pauses import standing_pauses
from worker.producer.options import PriorityName

CommandName = Literal[
    "cancel", "recall", "replay", "resolve", "hold", "release", "skip", "pause", "resume", "lift", "retry"
]
FIELDS: Mapping[CommandName, tuple[str, ...]] = {
    "replay": ("accepted", "unknown", "rate", "priority"),
    "resolve": ("sent", "msgid"),
    "lift": ("name",),
    "retry": ("event",),
    "pause": ("all",),
    "resume": ("all",),
}
"""What a command is told beside its filter."""
SCOPE = ("account", "channel", "kind", "tag")
LOOKED_AT = 1_000
"""Parts of a job that are looked for in their order."""


@dataclass(frozen=True, slots=True)
class Order:
    """A command as a person gave it."""

    name: CommandName
    wanted: JobFilter | None
    options: Mapping[str, str] = field(default_factory=dict)
    """Texts of `FIELDS`; empty ones are left out."""

    def has(self, option: str) -> bool:
        """True where a box was ticked."""
        return bool(self.options.get(option))


@dataclass(frozen=True, slots=True)
class PreviewLine:
    """One line of a preview."""

    count: int
    what: str
    """A state, a kind, or a word for a note: `ended`, `lately`, `ordered`."""
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a command would be about, as the command line counts it."""

    total: int
    """Jobs or parts; 1 for what names one thing."""
    lines: tuple[PreviewLine, ...] = ()
    doubts: tuple[str, ...] = ()
    """What in the filter is probably mistyped."""
    ids: tuple[str, ...] = field(default=(), repr=False)
    """The jobs, or the parts each with its last call, by which it is told that others came; empty for one named thing.
    """


Give = Callable[[str, str, Began], str]
"""Carries the command out for a person and a reason; returns the id of the audit's row."""


@dataclass(frozen=True, slots=True)
class ReadyOrder:
    """A command that knows what it is about."""

    preview: Preview
    give: Give = field(repr=False)


def ready(site: Site, order: Order) -> ReadyOrder:
    """Finds what an order is about; CheckFailed for a filter or an option that the command cannot take."""
    return _READY[order.name](site, order)


def possible(site: Site, job_id: str, state: JobState) -> tuple[CommandName, ...]:
    """The commands that a job has something for now: each asks what the command itself would find."""
    settings, database, wanted = site.settings, site.database, JobFilter(ids=[job_id])
    goes_on = state in (JobState.OPEN, JobState.UNKNOWN)
    found: list[tuple[CommandName, bool]] = [
        ("cancel", goes_on and bool(cancel.find_open(wanted, settings=settings, database=database).ids)),
        (
            "recall",
            state not in _NEVER_SENT and bool(recall.find_sent(wanted, settings=settings, database=database).ids),
        ),
        ("replay", bool(replay.find_replayable(wanted, settings=settings, database=database).ids)),
        ("resolve", goes_on and bool(resolve.find_unknown(wanted, settings=settings, database=database).ids)),
    ]
    with database.reading() as connection:
        is_held = any(one.job_id for one in standing_pauses(connection, [job_id]))
        found.append(("release" if is_held else "hold", is_held or goes_on))
        if goes_on or state is JobState.EXHAUSTED:
            parts = [id for job in counted_jobs(connection, [job_id]).values() for id in job.part_ids()[:LOOKED_AT]]
            found.append(("skip", bool(in_line(connection, parts))))
    return tuple(name for name, is_there in found if is_there)


_NEVER_SENT = (JobState.REJECTED, JobState.EXHAUSTED, JobState.EXPIRED, JobState.CANCELLED)


def _wanted(order: Order) -> JobFilter:
    if order.wanted is None:
        raise CheckFailed([Problem("filter", "says nothing", "give ids, an account, or another field")])
    return order.wanted


_NOTES = ("ended", "lately", "ordered")


def _preview(site: Site, found: FoundJobs) -> Preview:
    lines = [PreviewLine(count, what, account) for (account, what), count in sorted(found.counts.items())]
    lines += [PreviewLine(found.among[what], what) for what in _NOTES if found.among.get(what)]
    parts = sorted(found.among.keys() - set(_NOTES))
    lines += [PreviewLine(found.among[state], f"part:{state}") for state in parts]
    doubts = mistyped(found.wanted, found.missing, site.accounts.names())
    return Preview(len(found.ids), tuple(lines), tuple(doubts), found.ids)


def _cancel(site: Site, order: Order) -> ReadyOrder:
    found = cancel.find_open(_wanted(order), database=site.database)

    def give(person: str, why: str, began: Began) -> str:
        done = cancel.cancel(found, person=person, why=why, settings=site.settings, database=site.database, began=began)
        return done.audit

    return ReadyOrder(_preview(site, found), give)


def _recall(site: Site, order: Order) -> ReadyOrder:
    found = recall.find_sent(_wanted(order), database=site.database)

    def give(person: str, why: str, began: Began) -> str:
        done = recall.recall_found(
            found, person=person, why=why, database=site.database, accounts=site.accounts, began=began
        )
        return done.audit

    return ReadyOrder(_preview(site, found), give)


def _replay(site: Site, order: Order) -> ReadyOrder:
    wanted, options = _wanted(order), order.options
    rate = _number("rate", options.get("rate"))
    priority = cast(PriorityName | None, options.get("priority") or None)
    found = replay.find_replayable(
        wanted,
        accepted=order.has("accepted"),
        unknown=order.has("unknown"),
        settings=site.settings,
        database=site.database,
    )

    def give(person: str, why: str, began: Began) -> str:
        done = replay.replay_found(
            found,
            person=person,
            why=why,
            priority=priority,
            rate=rate,
            database=site.database,
            accounts=site.accounts,
            began=began,
        )
        return done.audit

    return ReadyOrder(_preview(site, found), give)


def _resolve(site: Site, order: Order) -> ReadyOrder:
    wanted, said = _wanted(order), order.options.get("sent", "")
    if said not in ("yes", "no"):
        raise CheckFailed([Problem("sent", "is not said", "say whether the vendor carried it out: yes or no")])
    is_sent, msgid = said == "yes", order.options.get("msgid") or None
    found = resolve.find_unknown(wanted, database=site.database)

    def give(person: str, why: str, began: Began) -> str:
        done = resolve.resolve(
            found,
            sent=is_sent,
            why=why,
            person=person,
            msgid=msgid,
            settings=site.settings,
            database=site.database,
            began=began,
        )
        return done.audit

    parts = tuple(f"{part} {claim}" for part, claim in found.claims.items())
    # Sent, they let nothing in their order pass that would not pass anyway.
    told = replace(found, among={}) if is_sent else found
    return ReadyOrder(replace(_preview(site, told), ids=parts), give)


def _hold(site: Site, order: Order) -> ReadyOrder:
    ids, database = _ids(order), site.database
    return _at_once(lambda person, why: pause.hold(ids, person=person, why=why, database=database).audit, len(ids))


def _release(site: Site, order: Order) -> ReadyOrder:
    ids, database = _ids(order), site.database
    return _at_once(lambda person, why: pause.release(ids, person=person, why=why, database=database).audit, len(ids))


def _skip(site: Site, order: Order) -> ReadyOrder:
    [job] = _ids(order)[:1]
    return _at_once(lambda person, why: skip(job, person=person, why=why, database=site.database).audit)


def _pause(site: Site, order: Order) -> ReadyOrder:
    wanted = _scope(order)
    require_known(wanted, site.accounts.names())

    def give(person: str, why: str) -> str:
        done = pause.pause(wanted, person=person, why=why, database=site.database)
        if done.audit is None:
            raise CheckFailed([Problem("filter", "is paused already", "see the lanes; a pause ends by a resume")])
        return done.audit

    return _at_once(give)


def _resume(site: Site, order: Order) -> ReadyOrder:
    wanted = _scope(order)
    database = site.database
    return _at_once(lambda person, why: pause.resume_paused(wanted, person=person, why=why, database=database).audit)


def _lift(site: Site, order: Order) -> ReadyOrder:
    name = _said(order, "name")
    return _at_once(lambda person, why: lift(name, person=person, why=why, database=site.database).audit)


def _retry(site: Site, order: Order) -> ReadyOrder:
    event = _said(order, "event")
    return _at_once(lambda person, why: retry_event(event, person=person, why=why, database=site.database).audit)


_READY: Mapping[CommandName, Callable[[Site, Order], ReadyOrder]] = {
    "cancel": _cancel,
    "recall": _recall,
    "replay": _replay,
    "resolve": _resolve,
    "hold": _hold,
    "release": _release,
    "skip": _skip,
    "pause": _pause,
    "resume": _resume,
    "lift": _lift,
    "retry": _retry,
}


def _at_once(give: Callable[[str, str], str], total: int = 1) -> ReadyOrder:
    return ReadyOrder(Preview(total), lambda person, why, began: give(person, why))


def _ids(order: Order) -> list[str]:
    ids = (wanted := _wanted(order)).part_or_job_ids()
    if not ids or wanted.asked().keys() != {"ids"}:
        raise CheckFailed([Problem("ids", "are what this command takes, and nothing else", "give ids of jobs")])
    return ids


def _scope(order: Order) -> JobFilter | None:
    """The filter of a pause; None: everything, which has to be said."""
    if order.has("all") == (order.wanted is not None):
        problem = Problem("filter", "has to be said", "say all, or name an account, channel, kind or tag, not both")
        raise CheckFailed([problem])
    return order.wanted


def _said(order: Order, name: str) -> str:
    if not (given := order.options.get(name, "").strip()):
        raise CheckFailed([Problem(name, "is missing", "give one")])
    return given


def _number(name: str, given: str | None) -> float | None:
    try:
        return float(given) if given else None
    except ValueError:
        raise CheckFailed([Problem(name, "is no number", "give one such as 10")]) from None
