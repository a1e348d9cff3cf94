"""The commands of the console: each finds what it means, tells it, and carries it out by the code of the command line.

Knows no page: how a preview looks and who may give a command is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, cast

from worker.console.commands.background import Began
from worker.console.page import Site
from worker.control import cancel, correct, pause, recall, replay, reschedule, resolve
from worker.control.audit import Done
from worker.control.lift import lift, retry_event, skip
from worker.control.selection import FoundJobs, filter_warnings, require_configured
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job_filter import JobFilter
from worker.domain.state import JobState
from worker.domain.times import UnreadableTime, read_time
from worker.outbox.control.cancels import counted_jobs
from worker.outbox.control.withdrawals import Withdrawal
from worker.outbox.engine.clock import instant
from worker.outbox.jobs.order_queue import parts_in_orders
from worker.outbox.lanes.pauses import active_pauses
from worker.producer.options import PriorityName

CommandName = Literal[
    "cancel",
    "recall",
    "correct",
    "replay",
    "reschedule",
    "resolve",
    "hold",
    "release",
    "skip",
    "pause",
    "resume",
    "lift",
    "retry",
]
FIELDS: Mapping[CommandName, tuple[str, ...]] = {
    "replay": ("accepted", "unknown", "cancelled", "rate", "priority"),
    "correct": ("text", "rate"),
    "reschedule": ("due_at", "expires_at", "priority"),
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
    left_out: tuple[Withdrawal, ...] = ()
    """The commands that cancelled or recalled what a replay leaves out."""


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
    goes_on = state in (JobState.OPEN, JobState.UNKNOWN)
    fits: Mapping[CommandName, bool] = {
        "cancel": goes_on,
        "recall": state not in _NEVER_SENT,
        "correct": state not in (JobState.EXHAUSTED, JobState.EXPIRED),
        "replay": state is not JobState.OPEN,
        "reschedule": state is JobState.OPEN,
        "resolve": goes_on,
    }
    wanted = JobFilter(ids=[job_id])
    found = [name for name, may in fits.items() if may and ready(site, Order(name, wanted, _SAID)).preview.total]
    with site.database.reading() as connection:
        is_held = any(one.job_id for one in active_pauses(connection, [job_id]))
        if is_held or goes_on:
            found.append("release" if is_held else "hold")
        if goes_on or state is JobState.EXHAUSTED:
            parts = [id for job in counted_jobs(connection, [job_id]).values() for id in job.part_ids()[:LOOKED_AT]]
            found += ["skip"] if parts_in_orders(connection, parts) else []
    return tuple(found)


_NEVER_SENT = (JobState.REJECTED, JobState.EXHAUSTED, JobState.EXPIRED, JobState.CANCELLED)
_SAID = {"sent": "no", "cancelled": "yes"}
"""What a command has to be told before it finds all that it can be about."""


def _wanted(order: Order) -> JobFilter:
    if order.wanted is None:
        raise CheckFailed([Problem("filter", "has no content", "give ids, an account, or another field")])
    return order.wanted


_NOTES = ("ended", "lately", "ordered", "corrected", "equal")


def _preview(site: Site, found: FoundJobs) -> Preview:
    lines = [PreviewLine(count, what, account) for (account, what), count in sorted(found.counts.items())]
    lines += [PreviewLine(found.among[what], what) for what in _NOTES if found.among.get(what)]
    parts = sorted(found.among.keys() - set(_NOTES))
    lines += [PreviewLine(found.among[state], f"part:{state}") for state in parts]
    doubts = filter_warnings(found.wanted, found.missing, site.accounts.names())
    return Preview(len(found.ids), tuple(lines), tuple(doubts), found.ids)


def _running(preview: Preview, run: Callable[..., Done]) -> ReadyOrder:
    """A command that says which row of the audit is its own before its first change."""
    return ReadyOrder(preview, lambda person, why, began: run(person=person, why=why, began=began).audit)


def _at_once(act: Callable[..., Done], about: Callable[[Order], Any]) -> Callable[[Site, Order], ReadyOrder]:
    """A command that has ended when it answers, on what `about` reads from its order."""

    def ready(site: Site, order: Order) -> ReadyOrder:
        what = about(order)
        run = partial(act, what, database=site.database)
        total = len(what) if isinstance(what, list) else 1
        return ReadyOrder(Preview(total), lambda person, why, began: run(person=person, why=why).audit)

    return ready


def _cancel(site: Site, order: Order) -> ReadyOrder:
    found = cancel.find_open(_wanted(order), database=site.database)
    run = partial(cancel.cancel, found, settings=site.settings, database=site.database)
    return _running(_preview(site, found), run)


def _recall(site: Site, order: Order) -> ReadyOrder:
    found = recall.find_sent(_wanted(order), database=site.database)
    run = partial(recall.recall_found, found, accounts=site.accounts, database=site.database)
    return _running(_preview(site, found), run)


def _correct(site: Site, order: Order) -> ReadyOrder:
    text, rate = order.options.get("text"), _number("rate", order.options.get("rate"))
    more: dict[str, Any] = {"settings": site.settings, "database": site.database, "accounts": site.accounts}
    found = correct.find_correctable(_wanted(order), text, **more)
    run = partial(correct.correct_found, found, rate=correct.RATE if rate is None else rate, **more)
    return _running(_preview(site, found), run)


def _reschedule(site: Site, order: Order) -> ReadyOrder:
    found = reschedule.find_waiting(_wanted(order), database=site.database)
    new: dict[str, Any] = {"priority": order.options.get("priority")}
    now, zone, problems = instant(site.database.read_now()), site.settings.zone, list[Problem]()
    for name in ("due_at", "expires_at"):
        try:
            typed = order.options.get(name)
            new[name] = None if typed is None else read_time(typed, now, zone, is_ahead=True)
        except UnreadableTime as error:
            problems.append(Problem(name, error.text, error.remedy))
    if problems:
        raise CheckFailed(problems)
    if any(new.values()):
        reschedule.require_change(**new)
    run = partial(reschedule.reschedule, found, **new, settings=site.settings, database=site.database)
    return _running(_preview(site, found), run)


def _replay(site: Site, order: Order) -> ReadyOrder:
    wanted, options = _wanted(order), order.options
    run = partial(
        replay.replay_found,
        priority=cast(PriorityName | None, options.get("priority") or None),
        rate=_number("rate", options.get("rate")),
        accounts=site.accounts,
        database=site.database,
    )
    found = replay.find_replayable(
        wanted,
        accepted=order.has("accepted"),
        unknown=order.has("unknown"),
        cancelled=order.has("cancelled"),
        settings=site.settings,
        database=site.database,
    )
    return _running(replace(_preview(site, found), left_out=found.left_out), partial(run, found))


def _resolve(site: Site, order: Order) -> ReadyOrder:
    wanted, said = _wanted(order), order.options.get("sent", "")
    if said not in ("yes", "no"):
        raise CheckFailed([Problem("sent", "is not given", "choose whether the vendor carried it out: yes or no")])
    is_sent, msgid = said == "yes", order.options.get("msgid") or None
    found = resolve.find_unknown(wanted, database=site.database)
    parts = tuple(f"{part} {claim}" for part, claim in found.claims.items())
    # Sent, they let nothing in their order pass that would not pass anyway.
    told = replace(found, among={}) if is_sent else found
    run = partial(resolve.resolve, found, sent=is_sent, msgid=msgid, settings=site.settings, database=site.database)
    return _running(replace(_preview(site, told), ids=parts), run)


def _pause(site: Site, order: Order) -> ReadyOrder:
    wanted = _scope(order)
    require_configured(wanted, site.accounts.names())

    def give(person: str, why: str, began: Began) -> str:
        done = pause.pause(wanted, person=person, why=why, database=site.database)
        if done.audit is None:
            raise CheckFailed([Problem("filter", "is paused already", "see the page of lanes; resume ends a pause")])
        return done.audit

    return ReadyOrder(Preview(1), give)


def _ids(order: Order) -> list[str]:
    ids = (wanted := _wanted(order)).part_or_job_ids()
    if not ids or wanted.asked().keys() != {"ids"}:
        raise CheckFailed([Problem("ids", "are the only filter that this command accepts", "give ids of jobs")])
    return ids


def _scope(order: Order) -> JobFilter | None:
    """The filter of a pause; None: everything, which has to be said."""
    if order.has("all") == (order.wanted is not None):
        problem = Problem(
            "filter", "has no scope", "choose everything, or give an account, channel, kind or tag, but not both"
        )
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
        raise CheckFailed([Problem(name, "is not a number", "give one such as 10")]) from None


_READY: Mapping[CommandName, Callable[[Site, Order], ReadyOrder]] = {
    "cancel": _cancel,
    "recall": _recall,
    "correct": _correct,
    "replay": _replay,
    "reschedule": _reschedule,
    "resolve": _resolve,
    "hold": _at_once(pause.hold, _ids),
    "release": _at_once(pause.release, _ids),
    "skip": _at_once(skip, lambda order: _ids(order)[0]),
    "pause": _pause,
    "resume": _at_once(pause.resume_paused, _scope),
    "lift": _at_once(lift, partial(_said, name="name")),
    "retry": _at_once(retry_event, partial(_said, name="event")),
}
