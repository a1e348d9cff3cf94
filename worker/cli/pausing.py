"""`worker pause`, `resume`, `fence`: what stops calls, and waits for those in flight."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import typer

from worker.accounts.sources import accounts_of
from worker.cli.control import carry_out
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
    plain,
)
from worker.cli.reading import outbox, pause_line
from worker.cli.times import PAST
from worker.config.settings import load_settings
from worker.control import fence as fencing, lift, pause as pausing
from worker.control.audit import Done
from worker.control.cancel import JOB_ID
from worker.control.pause import Paused
from worker.control.selection import require_configured
from worker.domain.errors import WorkerError
from worker.domain.job import id_of
from worker.domain.job_filter import JobFilter
from worker.language import plural, translate

app = Commands()


@app.command()
@by_person(asks=True)
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
    wanted, timeout_s = JobFilter(ids=ids) if ids else scope, timeout if wait else None
    if wanted is None:
        person.confirm("pause everything except recalls?")
    if wanted is not None and wanted.account is not None:
        require_configured(wanted, accounts_of(load_settings()).names())
    done: Paused | Done
    if wanted is not None and wanted.ids is not None:
        done = pausing.hold(wanted.part_or_job_ids(), person=person.name, why=person.why)
        told = _held(
            done,
            f"held {plural(len(done.jobs), 'job')} (audit {done.audit})",
            "they have nothing left to send, or were held already",
        )
        is_paused = bool(done.jobs)
    else:
        done, is_paused = pausing.pause(wanted, person=person.name, why=person.why), True
        already = "" if done.audit else " already"
        told = f"{pause_line(done.pause)}{already}\nend it with: {done.pause.ending()}"
    if not person.as_json:
        echo(told)
    left = 0 if timeout_s is None else _drain(wanted, timeout_s)
    if person.as_json:
        echo(json.dumps(plain(done) | ({} if timeout_s is None else {"in_flight": left}), ensure_ascii=False))
    elif timeout_s is not None:
        echo(f"{plural(left, 'call')} still in flight" if left else "no call is in flight")
    return is_paused and not left


def _drain(wanted: JobFilter | None, timeout_s: float) -> int:
    """Waits until nothing is in flight, telling how many calls are; returns how many were left at the end."""
    told: list[int] = []

    def progress(in_flight: int) -> None:
        if told[-1:] != [in_flight]:
            told.append(in_flight)
            echo_error(f"{in_flight} in flight")

    return pausing.drain(wanted, timeout_s=timeout_s, progress=progress)


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
    wanted = _scope(names, everything, account=account, channel=channel, kind=kind, tag=tag)
    if names and all(JOB_ID.fullmatch(id_of(name)) for name in names):
        released = pausing.release(names, person=person.name, why=person.why)
        person.answer(
            released,
            _held(
                released, f"released {plural(len(released.jobs), 'job')} (audit {released.audit})", "they were not held"
            ),
        )
        return bool(released.jobs)
    if names:
        lines = [line for name in names for line in _lifted(person, name)]
        person.answer({"told": lines}, "\n".join(lines))
        return True
    done = pausing.resume_paused(wanted, person=person.name, why=person.why)
    scope = "everything" if wanted is None else ", ".join(f"{name} {value}" for name, value in wanted.asked().items())
    person.answer(done, f"{scope} is resumed (audit {done.audit})")
    return True


def _lifted(person: Person, name: str) -> list[str]:
    """Lifts what blocks a lane or an account; a line for each, and one for each pause that still stands."""
    with outbox() as connection:
        pauses = [
            f"{pause_line(one)}; `{one.ending()}`" for one in pausing.list_pauses(connection) if one.account == name
        ]
    try:
        told = lift.lift(name, person=person.name, why=person.why).notes.values()
    except WorkerError as error:
        # A block and a pause are two things, and a person may have meant the other one.
        raise WorkerError("; ".join([str(error), *pauses])) from None
    return [*told, *(f"still {one}" for one in pauses)]


def _held(done: Done, text: str, why_left: str) -> str:
    """The text, and a line with the number of jobs that stay as they are, if there are any, and why."""
    count = done.counts["left"]
    return f"{text}\n{count} not changed: {why_left}" if count else text


@app.command()
@by_person(asks=True)
def fence(
    person: Person,
    since: Annotated[
        datetime, typer.Option(help="When the backup was made: what was enqueued later is no part of it.", **PAST)
    ],
) -> bool:
    """On a restored backup, before the first worker: marks as in doubt what may have been sent since it was made."""
    found = fencing.find_restored(since)
    question = f"mark the calls of {plural(len(found.ids), 'job')} as in doubt?"
    done = carry_out(person, found, fencing.fence, question, asks=bool(found.ids))
    parts = done.counts["parts"]
    told = f"{plural(parts, 'part')} marked as in doubt and held (audit {done.audit})"
    if parts:
        told += "; list them with `worker jobs --state unknown`, decide with `worker resolve`"
    person.answer(done, told)
    return parts > 0


def _scope(names: list[str] | None, everything: bool, **given: str | None) -> JobFilter | None:
    """The filter that the options name; None for everything, and where names are given instead."""
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if [bool(names), everything, bool(options)].count(True) != 1:
        raise typer.BadParameter(
            translate(
                "give names, or --all, or some of --account, --channel, --kind and --tag, and only one of these three"
            )
        )
    return JobFilter(**options) if options else None
