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
    Why,
    Yes,
    job_filter,
    tell_value,
    with_filter,
)
from worker.language import said

app = Commands()


_BODY = Annotated[str | None, typer.Argument(metavar="[JSON]", help="As the vendor's page shows it; - or none: stdin.")]
_TO = Annotated[
    list[str] | None,
    typer.Option(help="A recipient, again for each; by default those in the JSON, or a robot's own chat."),
]


@app.command()
def send(
    account: Annotated[str, typer.Argument(help="The account's name.")],
    body: _BODY = None,
    text: Annotated[str | None, typer.Option(help="A plain text, instead of JSON.")] = None,
    to: _TO = None,
    priority: Annotated[str | None, typer.Option(help="urgent, normal, bulk")] = None,
    due_at: Annotated[datetime | None, typer.Option(help="Not before then.", **INSTANT)] = None,
    expires_at: Annotated[datetime | None, typer.Option(help="Not from then on.", **INSTANT)] = None,
    dedupe_key: Annotated[str | None, typer.Option(help="A second job with it is the first one.")] = None,
    order_key: Annotated[str | None, typer.Option(help="Jobs with the same one go one by one.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="A word of yours, again for each.")] = None,
    tenant: Annotated[str | None, typer.Option(help="The team it is of, which has lanes of its own.")] = None,
    on_unknown: Annotated[str | None, typer.Option(help="In doubt and not safe to repeat: hold, resend")] = None,
    quiet_hours: Annotated[
        str | None, typer.Option(help='When to wait, as "22:00-07:00 Asia/Shanghai", or none.')
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Waits for the end and shows it, as `worker show` does.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long --wait waits.")] = 30.0,
    why: Why = "",
    person: Person = "",
    as_json: Json = False,
) -> None:
    """Enqueues one message, from options, JSON or stdin; prints the job's id, or with --wait what became of it."""
    from worker.cli import acting

    if text is not None and body is not None:
        raise typer.BadParameter(said("--text goes without JSON"))
    given: dict[str, Any] = {"priority": priority, "due_at": due_at, "expires_at": expires_at, "dedupe_key": dedupe_key}
    given |= {"order_key": order_key, "tags": tags, "tenant": tenant}
    given |= {"on_unknown": on_unknown, "quiet_hours": quiet_hours}
    options = {name: value for name, value in given.items() if value not in (None, [])}
    made = acting.send(account, body, text, to or [], options, why=why, person=person)
    if wait:
        raise typer.Exit(acting.show_end(made, timeout, as_json=as_json))
    tell_value({"job": made}, made, as_json=as_json)


@app.command()
def upload(
    account: Annotated[str, typer.Argument(help="The account's name.")],
    path: Annotated[str, typer.Argument(help="The file.")],
    upload_type: Annotated[str, typer.Option("--type", help="image, voice, video, file")] = "file",
    why: Why = "",
    person: Person = "",
    as_json: Json = False,
) -> None:
    """Enqueues the upload of a file, whose media_id is the job's receipt; prints the job's id."""
    from worker.cli import acting

    made = acting.upload_file(account, path, upload_type, why=why, person=person)
    tell_value({"job": made}, made, as_json=as_json)


@app.command("update-card")
def update_card(
    job: Annotated[str | None, typer.Argument(help="The job that sent the card; not with --account.")] = None,
    body: _BODY = None,
    to: _TO = None,
    account: Annotated[
        str | None, typer.Option(help="The account of a card that the JSON names by its response_code.")
    ] = None,
    why: Why = "",
    person: Person = "",
    as_json: Json = False,
) -> None:
    """Enqueues the update of a job's card, such as '{"button": {"replace_name": "done"}}'; prints the new job's id."""
    from worker.cli import acting

    if account is not None:
        if body is not None:
            raise typer.BadParameter(said("--account goes without a job"))
        made = acting.update_card_by_code_of(account, job, to or [], why=why, person=person)
    elif job is None:
        raise typer.BadParameter(said("name the job that sent the card, or --account"))
    else:
        made = acting.update_card_of(job, body, to or [], why=why, person=person)
    tell_value({"job": made}, made, as_json=as_json)


@app.command()
@with_filter(*OF_CALLS)
def replay(
    given: dict[str, Any],
    accepted: Annotated[bool, typer.Option("--accepted", help="Also to those who got it.")] = False,
    unknown: Annotated[bool, typer.Option("--unknown", help="Also to those of whom that is not known.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    rate: Annotated[float | None, typer.Option(min=0.01, help="At most so many jobs a second.")] = None,
    go_on: Annotated[str | None, typer.Option(metavar="AUDIT", help="Goes on with a run that was cut short.")] = None,
    why: Why = "",
    person: Person = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Sends ended jobs once more, as new jobs, to the recipients whom they did not reach; prints the id of one."""
    from worker.cli import control

    if go_on is not None and (given or accepted or unknown):
        raise typer.BadParameter(said("--go-on has the filter of its run: give no other"))
    wanted = None if go_on is not None else job_filter(given)
    found, rate = control.replayable(wanted, accepted=accepted, unknown=unknown, rate=rate, go_on=go_on)
    done = control.replay(
        found,
        rate=rate,
        dry_run=dry_run,
        why=why,
        person=person,
        yes=yes,
        as_json=as_json,
    )
    raise typer.Exit(0 if done else 1)


@app.command()
def skip(
    job: Annotated[str, typer.Argument(help="The job's id.")],
    why: Why = "",
    person: Person = "",
    as_json: Json = False,
) -> None:
    """Lets the jobs go on that wait behind a job of their order_key; the job itself does not change."""
    from worker.control import lift

    passed = lift.skip(job, person=person, why=why).told
    told = "\n".join(f"nobody waits for part {part} any more" for part in passed)
    tell_value({"parts": passed}, told, as_json=as_json)


@app.command()
@with_filter()
def cancel(given: dict[str, Any], why: Why = "", person: Person = "", yes: Yes = False, as_json: Json = False) -> None:
    """Sends nothing more of these jobs; says what was sent already, and how it can be taken back."""
    from worker.cli import control

    wanted = job_filter(given)
    done = control.cancel(wanted, why=why, person=person, yes=yes, as_json=as_json)
    raise typer.Exit(0 if done else 1)


@app.command()
@with_filter(*OF_CALLS)
def recall(
    given: dict[str, Any],
    foreign: Annotated[
        str | None, typer.Option(metavar="MSGID", help="A message that another program sent; with --account alone.")
    ] = None,
    why: Why = "",
    person: Person = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Takes back what jobs have sent, and sends nothing more of them; prints the ids of the recalls."""
    from worker.cli import acting, control

    if foreign is not None:
        if given.keys() != {"account"}:
            raise typer.BadParameter(said("--foreign goes with --account alone"))
        made = acting.recall_of_others(given["account"], foreign, why=why, person=person)
        tell_value({"job": made}, made, as_json=as_json)
        return
    wanted = job_filter(given)
    done = control.recall(wanted, why=why, person=person, yes=yes, as_json=as_json)
    raise typer.Exit(0 if done else 1)


@app.command()
@with_filter("msgid")
def resolve(
    given: dict[str, Any],
    sent: Annotated[bool | None, typer.Option("--sent/--not-sent", help="Whether the vendor carried it out.")] = None,
    why: Annotated[str, typer.Option(help="How you know, in a few words; kept in the audit.")] = "",
    msgid: Annotated[str | None, typer.Option(help="The vendor's id of the one message, to recall it by.")] = None,
    person: Person = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Ends what is in doubt by your word: it was sent, or it was not. Ids may be those of single parts."""
    from worker.cli import control

    if sent is None:
        raise typer.BadParameter(said("say --sent or --not-sent"))
    decided = control.resolve(
        job_filter(given),
        sent=sent,
        why=why,
        msgid=msgid,
        person=person,
        yes=yes,
        as_json=as_json,
    )
    raise typer.Exit(0 if decided else 1)


@app.command()
def pause(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of jobs; or else an option.", show_default=False)] = None,
    account: Account = None,
    channel: Channel = None,
    kind: OfKind = None,
    tag: Tag = None,
    everything: Everything = False,
    wait: Annotated[bool, typer.Option("--wait", help="Waits until none of their calls is in the air.")] = False,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long --wait waits.")] = 60.0,
    why: Why = "",
    person: Person = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Begins no call of these jobs, whenever they are enqueued, until `worker resume`; recalls and cancels pass."""
    from worker.cli import pausing

    wanted = _scope(ids, everything, account=account, channel=channel, kind=kind, tag=tag)
    wanted = job_filter({"ids": ids}) if ids else wanted
    done = pausing.pause(
        wanted,
        timeout_s=timeout if wait else None,
        why=why,
        person=person,
        yes=yes,
        as_json=as_json,
    )
    raise typer.Exit(0 if done else 1)


@app.command()
def resume(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAMES]...", help="What is blocked or parked: accounts or lanes. Or ids of jobs."),
    ] = None,
    account: Account = None,
    channel: Channel = None,
    kind: OfKind = None,
    tag: Tag = None,
    everything: Everything = False,
    why: Why = "",
    person: Person = "",
    as_json: Json = False,
) -> None:
    """Ends a pause, named as it was paused; or lifts the parking or block of an account or a lane now.

    What waited behind a block starts with one call in the air.
    """
    from worker.cli import pausing

    wanted = _scope(names, everything, account=account, channel=channel, kind=kind, tag=tag)
    done = pausing.resume(names or (), wanted, why=why, person=person, as_json=as_json)
    raise typer.Exit(0 if done else 1)


@app.command()
def fence(
    since: Annotated[
        datetime, typer.Option(help="When the backup was made: what was enqueued later is no part of it.", **INSTANT)
    ],
    why: Why = "",
    person: Person = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Holds what may have gone out since a backup that was restored; before the first worker is started on it."""
    from worker.cli import pausing

    done = pausing.fence(since, why=why, person=person, yes=yes, as_json=as_json)
    raise typer.Exit(0 if done else 1)


def _scope(names: list[str] | None, everything: bool, **given: str | None) -> Any:
    """The filter that the options name; None for everything, and where names are given instead."""
    options = {name: value for name, value in given.items() if value is not None}
    if [bool(names), everything, bool(options)].count(True) != 1:
        raise typer.BadParameter(said("give names, --all, or an account, channel, kind or tag, and only one of these"))
    return job_filter(options) if options else None


@app.command()
def erase(
    recipient: Annotated[str, typer.Option(help="The person: a userid, a customer, a mail address.")],
    why: Annotated[str, typer.Option(help="The reason, without the id; kept in the audit.")] = "",
    person: Person = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Takes a person out of all tables for good: texts to it alone, its id elsewhere, its callbacks; counts stay."""
    from worker.cli import control

    done = control.erase(recipient, why=why, person=person, yes=yes, as_json=as_json)
    raise typer.Exit(0 if done else 1)


@app.command()
def audit(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """Lists what people did: who, what, why, and how much of it."""
    from worker.cli import control

    control.audit(limit=limit, as_json=as_json)
