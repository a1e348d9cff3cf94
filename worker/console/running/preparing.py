"""Prepares the console's commands: selects what a command would change, counts it, and gives the function that runs it.

All of it is made of the table of commands, as on the command line. Knows no page: how a preview looks and who may run a
command is decided elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from inspect import signature
from typing import Any

from worker.console.page import Site
from worker.console.running.background import OnBegin
from worker.control.audit import CommandResult
from worker.control.command import Command, Option, TargetKind
from worker.control.commands import COMMANDS
from worker.control.new_message import CorrectionSample
from worker.control.replay import ReplayableJobs
from worker.control.resolve import UnknownParts
from worker.control.selection import NOTES, JobSelection, filter_warnings
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job_filter import JobFilter
from worker.domain.job_terms import text_hash
from worker.domain.times import UnreadableTime, read_time
from worker.outbox.control.withdrawals import Withdrawal
from worker.outbox.engine.clock import instant

NEW_MESSAGE = ("text", "old", "new")
"""What a correction sends: a text, or a new one in place of an old one."""


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """A command with the filter and options that a person typed."""

    name: str
    job_filter: JobFilter | None
    options: Mapping[str, str] = field(default_factory=dict)
    """The texts of its options, without empty ones."""

    def has(self, option: str) -> bool:
        """Returns whether the checkbox of an option is ticked."""
        return bool(self.options.get(option))


@dataclass(frozen=True, slots=True)
class PreviewLine:
    """A line of a preview."""

    count: int
    what: str
    """A state, a kind, or a sentence."""
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


def option_names(name: str, *, beside_button: bool = False) -> tuple[str, ...]:
    """Returns the options of a command, or those that are typed beside its button, which select the same jobs."""
    command = OFFERED[name]
    names = [one.name for one in command.keywords.values() if not beside_button or one.is_beside_button]
    target = () if beside_button else TARGETS[command.target][1]
    return (*target, *(NEW_MESSAGE if name == "correct" else ()), *names)


def prepare(site: Site, request: CommandRequest) -> PreparedCommand:
    """Selects what a command would change; raises CheckFailed for a target or an option that it does not accept."""
    command = OFFERED[request.name]
    target, options = TARGETS[command.target][0](request), _read_options(site, request, command)
    search, change = (command.arguments(options, find=find) for find in (True, False))
    if change.keys() & request.options.keys():
        command.check(change)
    is_correction = command.name == "correct"
    new = _new_message(request) if is_correction else {}
    found = target if command.find is None else _call(command.find, site, target, **search, **new)
    if isinstance(found, JobSelection):
        preview = _preview(site, replace(found, breakdown=command.notes(found.breakdown, options)))
    else:
        preview = Preview(len(found) if isinstance(found, list) else 1)
    if is_correction:
        preview = replace(preview, samples=found.samples, due_within_s=len(found.ids) / options["rate"])
        if request.has("old") or (request.has("text") and options["one_for_all"]):
            content = json.dumps([request.options.get(name) for name in NEW_MESSAGE])
            preview = replace(preview, content=text_hash(content))

    def run(person: str, why: str, on_begin: OnBegin) -> CommandResult:
        # Only a command that takes long says when it begins.
        result: CommandResult = _call(command.run, site, found, **change, person=person, why=why, on_begin=on_begin)
        return result

    return PreparedCommand(preview, run, is_long=isinstance(found, JobSelection))


def _required_filter(request: CommandRequest) -> JobFilter:
    if request.job_filter is None:
        raise CheckFailed([Problem("filter", "has no content", "give ids, an account, or another field")])
    return request.job_filter


def _preview(site: Site, selection: JobSelection) -> Preview:
    lines = [PreviewLine(count, kind, account) for (account, kind), count in sorted(selection.counts.items())]
    lines += [PreviewLine(count, note) for name, note in NOTES.items() if (count := selection.breakdown.get(name))]
    parts = sorted(selection.breakdown.keys() - NOTES.keys())
    lines += [PreviewLine(selection.breakdown[state], f"part:{state}") for state in parts]
    warnings = filter_warnings(selection.filter, selection.missing, site.accounts.names())
    preview = Preview(len(selection.ids), tuple(lines), tuple(warnings), selection.ids)
    match selection:
        case ReplayableJobs():
            return replace(preview, omitted=selection.omitted)
        case UnknownParts():
            return replace(preview, ids=tuple(f"{part} {claim}" for part, claim in selection.claims.items()))
    return preview


def _call(function: Callable[..., Any], site: Site, target: Any, **keywords: Any) -> Any:
    """Calls a function of a command with those of the keywords, and of the console's own values, that it takes."""
    keywords |= {"settings": site.settings, "database": site.database, "accounts": site.accounts}
    taken = signature(function).parameters
    return function(target, **{name: value for name, value in keywords.items() if name in taken})


def _read_options(site: Site, request: CommandRequest, command: Command) -> dict[str, Any]:
    """Returns the values of a command's options. Raises CheckFailed for all that cannot be read."""
    options, problems = dict[str, Any](), list[Problem]()
    for name, keyword in command.keywords.items():
        text = request.options.get(name, "")
        try:
            options[name] = _read(site, text, keyword) if text or keyword.no else keyword.default
        except UnreadableTime as error:
            problems.append(Problem(name, error.text, error.remedy))
        except ValueError:
            problems.append(Problem(name, "is not a number", "give one such as 10"))
    if problems:
        raise CheckFailed(problems)
    return options


def _read(site: Site, text: str, keyword: Option) -> Any:
    if keyword.no and text not in ("yes", "no"):
        raise CheckFailed(
            [Problem(keyword.name, "is not given", "choose whether the vendor carried it out: yes or no")]
        )
    if keyword.type is bool:
        return not keyword.no or text == "yes"
    if keyword.type is datetime:
        return read_time(text, instant(site.database.read_now()), site.settings.zone, is_ahead=True)
    return float(text) if keyword.type is float else text


def _new_message(request: CommandRequest) -> dict[str, Any]:
    text, old, new = (request.options.get(name, "") for name in NEW_MESSAGE)
    if new and not old:
        raise CheckFailed([Problem("old", "is missing", "give the text that the new one takes the place of")])
    return {"message": text or None, "replace": {old: new} if old else None}


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


TARGETS: Mapping[TargetKind, tuple[Callable[[CommandRequest], Any], tuple[str, ...]]] = {
    TargetKind.JOBS: (_required_filter, ()),
    TargetKind.IDS: (_ids, ()),
    TargetKind.JOB: (_single_id, ()),
    TargetKind.SCOPE: (_scope, ("all",)),
    TargetKind.LANE: (partial(_required_option, name="name"), ("name",)),
    TargetKind.PROCESS: (partial(_required_option, name="name"), ("name",)),
    TargetKind.EVENT: (partial(_required_option, name="event"), ("event",)),
}
"""How each target is read from a request, and the fields that it has beside those of the filter."""
OFFERED: Mapping[str, Command] = {name: command for name, command in COMMANDS.items() if command.target in TARGETS}
"""The commands of the console. Not a person's erasure and a backup's fence, which concern the whole installation."""
