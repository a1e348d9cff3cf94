"""Prepares the console's commands: selects what a command would change, counts it, and gives the function that runs it.

The selection and the change are those of the command line. Knows no page: how a preview looks and who may run a
command is decided elsewhere.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, cast

from worker.console.commands.background import OnBegin
from worker.console.page import Site
from worker.control import cancel, correct, pause, recall, replay, reschedule, resolve
from worker.control.audit import CommandResult
from worker.control.lift import lift, retry_event, skip
from worker.control.new_message import CorrectionSample
from worker.control.selection import JobSelection, filter_warnings, require_configured
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job_filter import JobFilter
from worker.domain.job_terms import text_hash
from worker.domain.state import JobState
from worker.domain.times import UnreadableTime, read_time
from worker.outbox.control.cancels import job_sizes
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
OPTIONS: Mapping[CommandName, tuple[str, ...]] = {
    "replay": ("accepted", "unknown", "cancelled", "rate", "priority"),
    "correct": ("text", "old", "new", "one_for_all", "rate"),
    "reschedule": ("due_at", "expires_at", "priority"),
    "resolve": ("sent", "msgid", "force"),
    "lift": ("name",),
    "retry": ("event",),
    "pause": ("all",),
    "resume": ("all",),
}
"""The options of a command besides its filter."""
SCOPE = ("account", "channel", "kind", "tag")
MAX_PARTS = 1_000
"""Largest number of parts of a job that are looked up in their order."""


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """A command with the filter and options that a person typed."""

    name: CommandName
    job_filter: JobFilter | None
    options: Mapping[str, str] = field(default_factory=dict)
    """The texts of the options in `OPTIONS`, without empty ones."""

    def has(self, option: str) -> bool:
        """Returns whether the checkbox of an option is ticked."""
        return bool(self.options.get(option))


@dataclass(frozen=True, slots=True)
class PreviewLine:
    """A line of a preview."""

    count: int
    what: str
    """A state, a kind, or one of `_NOTES`."""
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a command would change, counted as on the command line."""

    total: int
    """The number of jobs or parts; 1 for a command on a single other thing, such as a lane."""
    lines: tuple[PreviewLine, ...] = ()
    warnings: tuple[str, ...] = ()
    """Sentences about values of the filter that are probably mistyped."""
    ids: tuple[str, ...] = field(default=(), repr=False)
    """The ids of the jobs, or of the parts with their last claim. They show whether others were added since.

    Empty for a command on a single other thing.
    """
    omitted: tuple[Withdrawal, ...] = ()
    """The commands that cancelled, recalled or corrected the jobs that a replay omits."""
    samples: tuple[CorrectionSample, ...] = field(default=(), repr=False)
    """Old and new texts of a correction."""
    content: str = ""
    """A hash of new texts that have to be seen in samples before they are sent, or empty."""
    due_within_s: float | None = None
    """Seconds in which the corrections become due; None for other commands."""

    @property
    def shown(self) -> tuple[str, ...]:
        """What the form stands for: the ids, and the new texts."""
        return (*self.ids, *([self.content] if self.content else []))


Run = Callable[[str, str, OnBegin], CommandResult]
"""Takes a person, a reason and the callback; runs the command and returns its result."""


@dataclass(frozen=True, slots=True)
class PreparedCommand:
    """A command with its selection, ready to run."""

    preview: Preview
    run: Run = field(repr=False)
    is_long: bool = False
    """Whether it goes through many jobs, which may take an hour. Few such commands run at once."""


def prepare(site: Site, request: CommandRequest) -> PreparedCommand:
    """Selects what a command would change; raises CheckFailed for a filter or an option that it does not accept."""
    return _PREPARERS[request.name](site, request)


def available_commands(site: Site, job_id: str, state: JobState) -> tuple[CommandName, ...]:
    """Returns the commands that would change something about a job now, by the commands' own selection."""
    is_open = state in (JobState.OPEN, JobState.UNKNOWN)
    candidates: Mapping[CommandName, bool] = {
        "cancel": is_open,
        "recall": state not in _NEVER_SENT,
        "correct": state not in (JobState.EXHAUSTED, JobState.EXPIRED),
        "replay": state is not JobState.OPEN,
        "reschedule": state is JobState.OPEN,
        "resolve": is_open,
    }
    job_filter = JobFilter(ids=[job_id])
    names = [
        name
        for name, is_possible in candidates.items()
        if is_possible and prepare(site, CommandRequest(name, job_filter, _WIDEST_OPTIONS)).preview.total
    ]
    with site.database.reading() as connection:
        is_held = any(pause.job_id for pause in active_pauses(connection, [job_id]))
        if is_held or is_open:
            names.append("release" if is_held else "hold")
        if is_open or state is JobState.EXHAUSTED:
            parts = [id for job in job_sizes(connection, [job_id]).values() for id in job.part_ids()[:MAX_PARTS]]
            names += ["skip"] if parts_in_orders(connection, parts) else []
    return tuple(names)


_NEVER_SENT = (JobState.REJECTED, JobState.EXHAUSTED, JobState.EXPIRED, JobState.CANCELLED)
_WIDEST_OPTIONS = {"sent": "no", "cancelled": "yes"}
"""The options with which a command selects the most."""


def _required_filter(request: CommandRequest) -> JobFilter:
    if request.job_filter is None:
        raise CheckFailed([Problem("filter", "has no content", "give ids, an account, or another field")])
    return request.job_filter


_OF_CORRECTIONS = ("different", "corrected", "equal", "unchanged", "unused")
_NOTES = (
    "waiting",
    "sent",
    "not_recallable",
    "ended",
    "lately",
    "corrections",
    "ordered",
    "settling",
    "forced",
    *_OF_CORRECTIONS,
)


def _preview(site: Site, selection: JobSelection) -> Preview:
    lines = [PreviewLine(count, kind, account) for (account, kind), count in sorted(selection.counts.items())]
    lines += [PreviewLine(selection.breakdown[kind], kind) for kind in _NOTES if selection.breakdown.get(kind)]
    parts = sorted(selection.breakdown.keys() - set(_NOTES))
    lines += [PreviewLine(selection.breakdown[state], f"part:{state}") for state in parts]
    warnings = filter_warnings(selection.filter, selection.missing, site.accounts.names())
    return Preview(len(selection.ids), tuple(lines), tuple(warnings), selection.ids)


def _with_progress(preview: Preview, run: Callable[..., CommandResult]) -> PreparedCommand:
    """Prepares a command that passes the id of its audit row to `on_begin` before its first change."""
    return PreparedCommand(
        preview, lambda person, why, on_begin: run(person=person, why=why, on_begin=on_begin), is_long=True
    )


def _immediate(
    run_command: Callable[..., CommandResult], read_target: Callable[[CommandRequest], Any]
) -> Callable[[Site, CommandRequest], PreparedCommand]:
    """Returns the preparation of a command without progress. `read_target` reads its target from the request."""

    def prepare(site: Site, request: CommandRequest) -> PreparedCommand:
        target = read_target(request)
        run = partial(run_command, target, database=site.database)
        total = len(target) if isinstance(target, list) else 1
        return PreparedCommand(Preview(total), lambda person, why, on_begin: run(person=person, why=why))

    return prepare


def _cancel(site: Site, request: CommandRequest) -> PreparedCommand:
    selection = cancel.find_open(_required_filter(request), database=site.database)
    run = partial(cancel.cancel, selection, settings=site.settings, database=site.database)
    return _with_progress(_preview(site, selection), run)


def _recall(site: Site, request: CommandRequest) -> PreparedCommand:
    selection = recall.find_sent(_required_filter(request), database=site.database)
    run = partial(recall.recall_jobs, selection, accounts=site.accounts, database=site.database)
    return _with_progress(_preview(site, selection), run)


def _correct(site: Site, request: CommandRequest) -> PreparedCommand:
    options, one_for_all = request.options, request.has("one_for_all")
    text, old, new = options.get("text"), options.get("old"), options.get("new", "")
    if new and not old:
        raise CheckFailed([Problem("old", "is missing", "give the text that the new one takes the place of")])
    rate = _number("rate", options.get("rate")) or correct.RATE
    context: dict[str, Any] = {"settings": site.settings, "database": site.database, "accounts": site.accounts}
    content: dict[str, Any] = {"replace": {old: new} if old else None, "one_for_all": one_for_all}
    selection = correct.find_correctable(_required_filter(request), text, **content, **context)
    preview = replace(
        _preview(site, selection),
        samples=selection.samples,
        content=text_hash(json.dumps([text, old, new])) if old or (text and one_for_all) else "",
        due_within_s=len(selection.ids) / rate,
    )
    return _with_progress(preview, partial(correct.correct_jobs, selection, rate=rate, **context))


def _reschedule(site: Site, request: CommandRequest) -> PreparedCommand:
    selection = reschedule.find_waiting(_required_filter(request), database=site.database)
    changes: dict[str, Any] = {"priority": request.options.get("priority")}
    now, zone, problems = instant(site.database.read_now()), site.settings.zone, list[Problem]()
    for name in ("due_at", "expires_at"):
        try:
            text = request.options.get(name)
            changes[name] = None if text is None else read_time(text, now, zone, is_ahead=True)
        except UnreadableTime as error:
            problems.append(Problem(name, error.text, error.remedy))
    if problems:
        raise CheckFailed(problems)
    if any(changes.values()):
        reschedule.require_change(**changes)
    run = partial(reschedule.reschedule, selection, **changes, settings=site.settings, database=site.database)
    return _with_progress(_preview(site, selection), run)


def _replay(site: Site, request: CommandRequest) -> PreparedCommand:
    job_filter, options = _required_filter(request), request.options
    run_replay = partial(
        replay.replay_jobs,
        priority=cast(PriorityName | None, options.get("priority") or None),
        rate=_number("rate", options.get("rate")),
        accounts=site.accounts,
        database=site.database,
    )
    selection = replay.find_replayable(
        job_filter,
        accepted=request.has("accepted"),
        unknown=request.has("unknown"),
        cancelled=request.has("cancelled"),
        settings=site.settings,
        database=site.database,
    )
    return _with_progress(replace(_preview(site, selection), omitted=selection.omitted), partial(run_replay, selection))


def _resolve(site: Site, request: CommandRequest) -> PreparedCommand:
    job_filter, answer = _required_filter(request), request.options.get("sent", "")
    if answer not in ("yes", "no"):
        raise CheckFailed([Problem("sent", "is not given", "choose whether the vendor carried it out: yes or no")])
    is_sent, msgid = answer == "yes", request.options.get("msgid") or None
    selection = resolve.find_unknown(job_filter, force=request.has("force"), database=site.database)
    parts = tuple(f"{part} {claim}" for part, claim in selection.claims.items())
    # It warns about jobs behind these in their order, which go on only after "not sent".
    breakdown = {name: count for name, count in selection.breakdown.items() if name != "ordered" or not is_sent}
    previewed = replace(selection, breakdown=breakdown)
    run = partial(resolve.resolve, selection, sent=is_sent, msgid=msgid, settings=site.settings, database=site.database)
    return _with_progress(replace(_preview(site, previewed), ids=parts), run)


def _pause(site: Site, request: CommandRequest) -> PreparedCommand:
    job_filter = _scope(request)
    require_configured(job_filter, site.accounts.names())

    def run(person: str, why: str, on_begin: OnBegin) -> CommandResult:
        result = pause.pause(job_filter, person=person, why=why, database=site.database)
        if result.audit is None:
            raise CheckFailed([Problem("filter", "is paused already", "see the page of lanes; resume ends a pause")])
        return CommandResult(result.audit, Counter(pauses=1))

    return PreparedCommand(Preview(1), run)


def _ids(request: CommandRequest) -> list[str]:
    ids = (job_filter := _required_filter(request)).part_or_job_ids()
    if not ids or job_filter.conditions().keys() != {"ids"}:
        raise CheckFailed([Problem("ids", "are the only filter that this command accepts", "give ids of jobs")])
    return ids


def _single_id(request: CommandRequest) -> str:
    if len(ids := _ids(request)) > 1:
        raise CheckFailed([Problem("ids", "are too many", "give this command one job at a time", 1, "ids", len(ids))])
    return ids[0]


def _scope(request: CommandRequest) -> JobFilter | None:
    """Returns the filter of a pause, or None for everything, which the person has to choose explicitly."""
    if request.has("all") == (request.job_filter is not None):
        problem = Problem(
            "filter", "has no scope", "choose everything, or give an account, channel, kind or tag, but not both"
        )
        raise CheckFailed([problem])
    return request.job_filter


def _required_option(request: CommandRequest, name: str) -> str:
    if not (text := request.options.get(name, "").strip()):
        raise CheckFailed([Problem(name, "is missing", "give one")])
    return text


def _number(name: str, text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise CheckFailed([Problem(name, "is not a number", "give one such as 10")]) from None


_PREPARERS: Mapping[CommandName, Callable[[Site, CommandRequest], PreparedCommand]] = {
    "cancel": _cancel,
    "recall": _recall,
    "correct": _correct,
    "replay": _replay,
    "reschedule": _reschedule,
    "resolve": _resolve,
    "hold": _immediate(pause.hold, _ids),
    "release": _immediate(pause.release, _ids),
    "skip": _immediate(skip, _single_id),
    "pause": _pause,
    "resume": _immediate(pause.resume, _scope),
    "lift": _immediate(lift, partial(_required_option, name="name")),
    "retry": _immediate(retry_event, partial(_required_option, name="event")),
}
