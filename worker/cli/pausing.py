"""`worker pause`, `resume`, `acknowledge` and `fence`: stop calls, start them again, and guard a restored backup."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from worker.accounts.sources import accounts_of
from worker.cli.command import Given, made_of
from worker.cli.options import (
    Account,
    Channel,
    Commands,
    Everything,
    OfKind,
    Person,
    Tag,
    by_person,
    echo,
    echo_error,
    to_json,
)
from worker.cli.reading import outbox, pause_line
from worker.config.settings import load_settings
from worker.control import pause as pausing
from worker.control.audit import CommandResult
from worker.control.cancel import JOB_ID
from worker.control.fence import COMMAND as FENCE
from worker.control.lift import ACKNOWLEDGE, LIFT
from worker.control.pause import PAUSE_JOBS, RESUME_JOBS, PauseResult
from worker.control.selection import require_configured
from worker.domain.errors import WorkerError
from worker.domain.job import id_of
from worker.domain.job_filter import JobFilter
from worker.language import plural, translate
from worker.reporting.job_list import find_jobs

app = Commands()


@app.command()
@by_person(confirms=True)
def pause(
    person: Person,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of jobs; or else an option.", show_default=False)] = None,
    account: Account = None,
    channel: Channel = None,
    kind: OfKind = None,
    tag: Tag = None,
    everything: Everything = False,
    wait: Annotated[bool, typer.Option("--wait", help="Waits until none of their calls is in flight.")] = False,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long --wait waits.")] = 60.0,
) -> bool:
    """Pauses jobs, also those enqueued later, until `worker resume`; recalls and cancels go on."""
    scope = _scope(ids, everything, account=account, channel=channel, kind=kind, tag=tag)
    job_filter, timeout_s = JobFilter(ids=ids) if ids else scope, timeout if wait else None
    if job_filter is None:
        person.confirm("pause everything except recalls?")
    if job_filter is not None and job_filter.account is not None:
        require_configured(job_filter, accounts_of(load_settings()).names())
    result: PauseResult | CommandResult
    if job_filter is not None and job_filter.ids is not None:
        result = PAUSE_JOBS.run(job_filter.part_or_job_ids(), person=person.name, why=person.why)
        text, is_paused = "\n".join(PAUSE_JOBS.lines(result, {})), bool(result.jobs)
    else:
        result, is_paused = pausing.pause(job_filter, person=person.name, why=person.why), True
        already, ending = "" if result.audit else " already", result.pause.ending()
        text = f"{pause_line(result.pause)}{already}\nend it with: {ending}"
    if is_paused and timeout_s is None:
        text += "\nno call of these begins any more; those in flight go on to their end, for which --wait waits"
    if not person.as_json:
        echo(text)
    if job_filter is not None and job_filter.tag is not None:
        _warn_of_unused(job_filter.tag)
    remaining = 0 if timeout_s is None else _drain(job_filter, timeout_s)
    if person.as_json:
        echo(json.dumps(to_json(result) | ({} if timeout_s is None else {"in_flight": remaining}), ensure_ascii=False))
    elif timeout_s is not None:
        echo(f"{plural(remaining, 'call')} still in flight" if remaining else "no call is in flight")
    return is_paused and not remaining


def _warn_of_unused(tag: str) -> None:
    """Says so if no job has the tag of a pause, which may be meant for later jobs, or mistyped."""
    with outbox() as connection:
        if not find_jobs(connection, JobFilter(tag=tag), limit=1).jobs:
            echo_error(f"no job has the tag {tag} yet; the pause stops only what is enqueued with it from now on")


def _drain(job_filter: JobFilter | None, timeout_s: float) -> int:
    """Waits until no call is in flight, printing how many are; returns how many remain when the time is over."""
    printed: list[int] = []

    def progress(in_flight: int) -> None:
        if printed[-1:] != [in_flight]:
            printed.append(in_flight)
            echo_error(f"{in_flight} in flight")

    return pausing.wait_for_calls(job_filter, timeout_s=timeout_s, progress=progress)


@app.command()
@by_person()
def resume(
    person: Person,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAMES]...", help="What is blocked or parked: accounts or lanes. Or ids of jobs."),
    ] = None,
    account: Account = None,
    channel: Channel = None,
    kind: OfKind = None,
    tag: Tag = None,
    everything: Everything = False,
) -> bool:
    """Ends a pause, named as it was paused; or lifts the block of an account or a lane at once.

    A lane that was blocked starts with one call in flight.
    """
    job_filter = _scope(names, everything, account=account, channel=channel, kind=kind, tag=tag)
    if names and all(JOB_ID.fullmatch(id_of(name)) for name in names):
        resumed = RESUME_JOBS.run(names, person=person.name, why=person.why)
        person.answer(resumed, "\n".join(RESUME_JOBS.lines(resumed, {})))
        return bool(resumed.jobs)
    if names:
        return _lift_all(person, names)
    try:
        result = pausing.resume(job_filter, person=person.name, why=person.why)
    except WorkerError:
        # It is not paused, but the account or a lane of it may be parked or blocked, as `worker lanes` lists them.
        lines = [] if account is None or (channel, kind, tag) != (None, None, None) else _lift(person, account)[0]
        if not lines:
            raise
        person.answer({"lines": lines}, "\n".join(lines))
        return True
    scope = (
        "everything"
        if job_filter is None
        else ", ".join(f"{name} {value}" for name, value in job_filter.conditions().items())
    )
    text = f"{scope} is resumed (audit {result.audit})\nwhat waits is sent as fast as the limits allow"
    person.answer(result, text)
    return True


def _lift_all(person: Person, names: Sequence[str]) -> bool:
    """Lifts the blocks of these lanes and accounts. Returns False if one of them had none."""
    lifted = [_lift(person, name) for name in names]
    lines = [line for name_lines, _ in lifted for line in name_lines]
    problems = dict.fromkeys(problem for _, problem in lifted if problem)
    if not lines:
        raise WorkerError("; ".join(problems))
    for problem in problems:
        echo_error(problem)
    person.answer({"lines": lines}, "\n".join(lines))
    return not problems


def _lift(person: Person, name: str) -> tuple[list[str], str]:
    """Lifts the block of a lane or an account; returns a line for each lane, and for each pause that remains.

    If nothing was lifted, it returns no line, and why.
    """
    with outbox() as connection:
        pauses = [
            f"{pause_line(pause)}; `{pause.ending()}`"
            for pause in pausing.list_pauses(connection)
            if pause.account == name
        ]
    try:
        lines = LIFT.lines(LIFT.run(name, person=person.name, why=person.why), {})
    except WorkerError as error:
        # The person may have meant the pause instead of the block.
        return [], "; ".join([str(error), *pauses])
    return [*lines, *(f"still {pause}" for pause in pauses)], ""


@app.command()
@made_of(ACKNOWLEDGE)
def acknowledge(given: Given) -> None:
    """Acknowledges a lost worker."""
    result = ACKNOWLEDGE.run(given.target["name"], person=given.person.name, why=given.person.why)
    given.person.answer(result, "\n".join(ACKNOWLEDGE.lines(result, {})))


@app.command()
@made_of(FENCE)
def fence(given: Given) -> bool:
    """Fences a restored backup."""
    return given.carry_out()


def _scope(names: list[str] | None, everything: bool, **options: str | None) -> JobFilter | None:
    """Returns the filter of the options; None for `--all`, and if there are names instead."""
    conditions: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if [bool(names), everything, bool(conditions)].count(True) != 1:
        raise typer.BadParameter(
            translate(
                "give names, or --all, or some of --account, --channel, --kind and --tag, and only one of these three"
            )
        )
    return JobFilter(**conditions) if conditions else None
