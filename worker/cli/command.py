"""Commands, made of what `worker.control.command` says of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from inspect import Parameter, Signature, signature
from typing import Annotated, Any

import typer

from worker.cli.options import Commands, Person, by_person, echo_error, with_filter, with_options
from worker.cli.reading import ProgressLine, unmatched_names
from worker.cli.times import AHEAD, PAST
from worker.control.audit import require_person
from worker.control.command import Command, Option, TargetKind
from worker.control.commands import COMMANDS
from worker.control.opening import open_database
from worker.control.selection import MAX_LISTED, NOTES, JobSelection, filter_warnings
from worker.domain.errors import WorkerError
from worker.domain.job_filter import CALL_TIMES, JobFilter
from worker.language import plural, term, translate
from worker.language.visible import visible

TARGETS: Mapping[TargetKind, Mapping[str, Any]] = {
    TargetKind.JOB: {"job": Annotated[str, typer.Argument(help="The job's id.")]},
    TargetKind.PROCESS: {"name": Annotated[str, typer.Argument(help="The lost worker, as HOST PID in quotes.")]},
    TargetKind.RECIPIENT: {
        "recipient": Annotated[str, typer.Option(help="The person: a userid, a customer, a mail address.")]
    },
    TargetKind.BACKUP: {
        "since": Annotated[
            datetime, typer.Option(help="When the backup was made: what was enqueued later is no part of it.", **PAST)
        ]
    },
}
"""How a target is typed that is no filter. Commands with another are parts of `worker pause`, `resume` and `events`."""
_WARNINGS = frozenset({"ordered", "corrections", "not_recallable", "settling", "forced"})
"""Notes that are printed also for a single job, of which no preview is."""


@dataclass(frozen=True, slots=True)
class Given:
    """A command, as a person has given it."""

    command: Command
    person: Person
    target: dict[str, Any]
    """What was typed of the target, by name: the conditions of a filter, or one other value."""
    options: dict[str, Any]
    """The command's own options."""

    def find(self, **more: Any) -> Any:
        """Finds the jobs, once the person has said what is needed. `more` are keywords of the search."""
        command = self.command
        assert command.find is not None
        require_person(self.person.name, self.person.why, empty_remedy=command.needed_why)
        command.check(command.arguments(self.options, find=False))
        search = command.arguments(self.options, find=True)
        target = JobFilter(**self.target) if command.target is TargetKind.JOBS else next(iter(self.target.values()))
        selection = command.find(target, **search, **more)
        return replace(selection, breakdown=command.notes(selection.breakdown, self.options))

    def carry_out(self, selection: JobSelection | None = None, *, notes: Sequence[str] = (), **more: Any) -> bool:
        """Changes what was found, and prints what came of it; returns whether anything did.

        Before that it prints a preview with these notes, and asks, if as many were found as the command asks from.
        `more` are keywords of the change. Raises WorkerError if nothing was found, and if the person does not confirm.
        """
        command, person = self.command, self.person
        selection = self.find() if selection is None else selection
        count = len(selection.ids)
        others = len(selection.filter.part_or_job_ids()) - count - len(selection.missing)
        if command.counted == "jobs" and count and others > 0:
            echo_error(f"ids of jobs for which there is nothing to do: {others}")
        warnings = typed_warnings(selection)
        if command.nothing and not count:
            for line in preview(selection):
                echo_error(line)
            raise WorkerError("; ".join([*warnings, command.nothing]))
        asks = count >= command.asks_from
        for line in [*warnings, *(preview(selection) if asks or _WARNINGS & selection.breakdown.keys() else [])]:
            echo_error(line)
        if asks:
            for line in notes:
                # A text of others is not translated.
                typer.echo(visible(line if line.startswith("  ") else translate(line)), err=True)
            meaning = "sent" if self.options.get("sent") else "not sent"
            person.confirm(command.question.format(count=count, jobs=plural(count, "job"), meaning=meaning))
        change = command.arguments(self.options, find=False) | more
        result = command.run(selection, person=person.name, why=person.why, progress=ProgressLine(count), **change)
        for job, reason in list(result.notes.items())[:MAX_LISTED]:
            echo_error(f"job {job}: {reason}")
        person.answer(result, "\n".join(command.lines(result, self.options | change)))
        return any(result.counts[name] for name in command.done)


def made_of(command: Command) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the target and the options of a command to a function; its first argument is then what was `Given`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(options: dict[str, Any], person: Person, target: dict[str, Any], **own: Any) -> Any:
            return function(Given(command, person, target, options), **own)

        taken = [Parameter(name, Parameter.KEYWORD_ONLY) for name in ("options", "person", "target")]
        own = [*signature(function, eval_str=True).parameters.values()][1:]
        run.__signature__ = Signature([*taken, *(one.replace(kind=Parameter.KEYWORD_ONLY) for one in own)])  # type: ignore[attr-defined]
        run.__name__, run.__doc__ = command.name, command.help
        options = dict(_options(command.keywords.values()))
        defaults = {name: command.keywords[name].default if name in command.keywords else False for name in options}
        made = with_options(run, partial(_answered, command), defaults, options, append=True)
        made = by_person(confirms=command.find is not None, help=command.why)(made)
        if command.target is TargetKind.JOBS:
            return with_filter(*(CALL_TIMES if command.is_about_ended else ()), *command.keywords)(made)
        target = TARGETS[command.target]
        return with_options(made, dict, dict.fromkeys(target, Parameter.empty), target)

    return decorate


def _options(keywords: Iterable[Option]) -> Iterator[tuple[str, Any]]:
    """Yields each option by its name; the other answer of a question is an option of its own."""
    for keyword in keywords:
        help, flag = keyword.help, f"--{keyword.name.replace('_', '-')}"
        if keyword.type is bool:
            yield keyword.name, Annotated[bool, typer.Option(flag, help=help)]
        elif keyword.type is float:
            yield keyword.name, Annotated[float | None, typer.Option(min=keyword.least, help=help)]
        elif keyword.type is datetime:
            yield keyword.name, Annotated[datetime | None, typer.Option(help=help, **AHEAD)]
        else:
            yield keyword.name, Annotated[str | None, typer.Option(help=help)]
        if keyword.no:
            yield f"not_{keyword.name}", Annotated[bool, typer.Option(f"--not-{keyword.name}", help=keyword.no)]


def _answered(command: Command, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a command's options. Raises BadParameter for a question with no answer or with two."""
    for name, keyword in command.keywords.items():
        if keyword.no and values[name] == values[f"not_{name}"]:
            raise typer.BadParameter(translate(f"give either --{name} or --not-{name}"))
    return {name: values[name] for name in command.keywords}


def preview(selection: JobSelection) -> Iterator[str]:
    """Yields how many jobs a command would change, by account and kind or state, and notes about some of them."""
    for (account, counted), count in sorted(selection.counts.items()):
        content = term("kind", term("state", counted))
        yield f"{count:>8}  {content} on account {account}"
    for state, count in sorted(selection.breakdown.items()):
        yield f"{count:>8}  {NOTES[state]}" if state in NOTES else f"{count:>8}  of their parts are {state}"


def typed_warnings(selection: JobSelection) -> list[str]:
    """Returns sentences about values of the filter that are probably mistyped."""
    if selection.ids:
        # The search has found out which ids there are; the other values are those of the jobs that it found.
        missing = selection.missing
        return filter_warnings(JobFilter(ids=selection.filter.ids), missing, ()) if missing else []
    with open_database() as database:
        return unmatched_names(database, selection.filter, is_empty=True)


def on_jobs(*names: str) -> Commands:
    """Makes these commands, each on the jobs of a filter and with no option but its own."""
    app = Commands()
    for name in names:
        app.command()(made_of(COMMANDS[name])(lambda given: given.carry_out()))
    return app
