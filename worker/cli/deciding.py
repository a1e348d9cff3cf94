"""Commands with which a person decides about jobs, lanes and events. Each leaves a row that `worker audit` shows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from worker.cli.options import (
    INSTANT,
    OF_CALLS,
    Account,
    Channel,
    Commands,
    Everything,
    Json,
    OfKind,
    Person,
    Tag,
    by_person,
    with_filter,
)
from worker.domain.job_filter import JobFilter
from worker.language import said

app = Commands()


@app.command()
@with_filter(*OF_CALLS)
@by_person(asks=True)
def replay(
    person: Person,
    given: dict[str, Any],
    accepted: Annotated[bool, typer.Option("--accepted", help="Also to those who got it.")] = False,
    unknown: Annotated[bool, typer.Option("--unknown", help="Also to those of whom that is not known.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    rate: Annotated[float | None, typer.Option(min=0.01, help="At most so many jobs a second.")] = None,
    go_on: Annotated[str | None, typer.Option(metavar="AUDIT", help="Goes on with a run that was cut short.")] = None,
) -> bool:
    """Sends ended jobs once more, as new jobs, to the recipients whom they did not reach; prints the id of one."""
    from worker.cli import control

    if go_on is not None and (given or accepted or unknown):
        raise typer.BadParameter(said("--go-on has the filter of its run: give no other"))
    wanted = None if go_on is not None else JobFilter(**given)
    found, rate = control.replayable(wanted, accepted=accepted, unknown=unknown, rate=rate, go_on=go_on)
    return control.replay(person, found, rate=rate, dry_run=dry_run)


@app.command()
@by_person()
def skip(person: Person, job: Annotated[str, typer.Argument(help="The job's id.")]) -> None:
    """Lets the jobs behind this one go on (same order_key); the job itself does not change."""
    from worker.control import lift

    passed = lift.skip(job, person=person.name, why=person.why).jobs
    person.tell({"parts": passed}, "\n".join(f"nobody waits for part {part} any more" for part in passed))


@app.command()
@with_filter()
@by_person(asks=True)
def cancel(person: Person, given: dict[str, Any]) -> bool:
    """Cancels jobs: nothing more of them is sent. Says what was sent already, and how to take it back."""
    from worker.cli import control

    return control.cancel(person, JobFilter(**given))


@app.command()
@with_filter(*OF_CALLS)
@by_person(asks=True)
def recall(
    person: Person,
    given: dict[str, Any],
    foreign: Annotated[
        str | None, typer.Option(metavar="MSGID", help="A message that another program sent; with --account alone.")
    ] = None,
) -> bool | None:
    """Recalls what jobs have sent, and cancels the rest; prints the ids of the recalls."""
    from worker.cli import control, sending

    if foreign is None:
        return control.recall(person, JobFilter(**given))
    if given.keys() != {"account"}:
        raise typer.BadParameter(said("--foreign goes with --account alone"))
    sending.recall_foreign(person, given["account"], foreign)
    return None


@app.command()
@with_filter("msgid")
@by_person(asks=True, help="How you know, in a few words; kept in the audit.")
def resolve(
    person: Person,
    given: dict[str, Any],
    sent: Annotated[bool | None, typer.Option("--sent/--not-sent", help="Whether the vendor carried it out.")] = None,
    msgid: Annotated[str | None, typer.Option(help="The vendor's id of the one message, to recall it by.")] = None,
) -> bool:
    """Ends calls in doubt: you know whether they were sent or not. Ids may be those of single parts."""
    from worker.cli import control

    if sent is None:
        raise typer.BadParameter(said("say --sent or --not-sent"))
    return control.resolve(person, JobFilter(**given), sent=sent, msgid=msgid)


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
    from worker.cli import pausing

    wanted = _scope(ids, everything, account=account, channel=channel, kind=kind, tag=tag)
    return pausing.pause(person, JobFilter(ids=ids) if ids else wanted, timeout if wait else None)


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
    from worker.cli import pausing

    wanted = _scope(names, everything, account=account, channel=channel, kind=kind, tag=tag)
    return pausing.resume(person, names or (), wanted)


@app.command()
@by_person(asks=True)
def fence(
    person: Person,
    since: Annotated[
        datetime, typer.Option(help="When the backup was made: what was enqueued later is no part of it.", **INSTANT)
    ],
) -> bool:
    """On a restored backup, before the first worker: marks as in doubt what may have been sent since it was made."""
    from worker.cli import pausing

    return pausing.fence(person, since)


def _scope(names: list[str] | None, everything: bool, **given: str | None) -> JobFilter | None:
    """The filter that the options name; None for everything, and where names are given instead."""
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if [bool(names), everything, bool(options)].count(True) != 1:
        raise typer.BadParameter(said("give names, --all, or an account, channel, kind or tag, and only one of these"))
    return JobFilter(**options) if options else None


@app.command()
@by_person(asks=True, help="The reason, without the id; kept in the audit.")
def erase(
    person: Person,
    recipient: Annotated[str, typer.Option(help="The person: a userid, a customer, a mail address.")],
) -> bool:
    """Takes a person out of all tables for good: texts to it alone, its id elsewhere, its callbacks; counts stay."""
    from worker.cli import control

    return control.erase(person, recipient)


@app.command()
def audit(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """Lists what people did: who, what, why, and how much of it."""
    from worker.cli import control

    control.audit(limit=limit, as_json=as_json)
