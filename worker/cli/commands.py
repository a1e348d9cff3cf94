"""Commands that run something, or tell. Each imports what it needs when it runs: `worker simulator` loads no worker."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from worker.cli import accounts, deciding, sending
from worker.cli.options import (
    OF_CALLS,
    Account,
    Commands,
    Json,
    LogLevel,
    Person,
    by_person,
    note,
    say,
    system_user,
    tell_value,
    with_filter,
)
from worker.domain.job_filter import JobFilter
from worker.language import Lang, language, said

app = Commands(name="worker", help="Queue-backed delivery of enterprise-IM messages.", no_args_is_help=True)
db = Commands(help="The outbox's tables.", no_args_is_help=True)
app.add_typer(db, name="db")
app.add_typer(sending.app)
app.add_typer(deciding.app)
app.add_typer(accounts.app, name="accounts")


def _version(is_asked: bool) -> None:
    if is_asked:
        from worker.cli.running import release

        typer.echo(release())
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="This release.")] = False,
) -> None:
    """Queue-backed delivery of enterprise-IM messages."""


@app.command()
def demo(
    all_channels: Annotated[
        bool, typer.Option("--all-channels", help="Every message type, upload and follow-up of every channel, once.")
    ] = False,
    stay: Annotated[
        bool, typer.Option("--stay", help="Afterwards stays open until Ctrl-C, with an inbox to click through.")
    ] = False,
) -> None:
    """The whole worker on this machine in a few seconds, against fake vendors; leaves nothing behind."""
    from worker_simulator.demo import run, run_all_channels

    raise typer.Exit(run_all_channels(stay=stay) if all_channels else run(stay=stay))


@app.command()
def init(
    channel: Annotated[str | None, typer.Option(help="Of which channel; by default WeCom's apps.")] = None,
    account: Annotated[str | None, typer.Option(help="The account's name; by default one that fits.")] = None,
    with_simulator: Annotated[
        bool, typer.Option("--simulator", help="For the fake vendor of `worker simulator`: everything is filled in.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Writes worker.toml anew; .env is added to.")] = False,
    lang: Annotated[Lang | None, typer.Option(help="English or Chinese.")] = None,
) -> None:
    """Writes a first worker.toml and .env, and says where in the vendor's console each value is found."""
    from worker.channels.first_steps import FIRST_ACCOUNTS
    from worker.cli.setup.init import run

    run(
        typer.echo,
        channel or next(iter(FIRST_ACCOUNTS)),
        account,
        simulator=with_simulator,
        overwrite=overwrite,
        lang=lang or language(),
    )


@app.command()
def up(
    threads: Annotated[int | None, typer.Option(min=1, help="Sender threads.")] = None,
    with_console: Annotated[
        bool, typer.Option("--console", help="Serves the console, too, at console.listen.")
    ] = False,
    loglevel: LogLevel = "INFO",
) -> None:
    """Everything in one process: upgrades the tables and delivers, with a broker in memory."""
    from worker.cli.running import run_embedded

    raise typer.Exit(run_embedded(threads, loglevel, with_console=with_console))


def _settings() -> Any:
    """The settings, whose tables are there."""
    from worker.config.settings import load_settings
    from worker.control.opening import require_there

    settings = load_settings()
    require_there(settings)
    return settings


@app.command()
def receiver(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8090,
    loglevel: LogLevel = "INFO",
) -> None:
    """Takes the vendor's callbacks over HTTP: /callback/ACCOUNT for every account with a callback table."""
    from worker.service.web.receiver import run_receiver

    raise typer.Exit(run_receiver(_settings(), host, port, loglevel))


@app.command()
def metrics(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Address to listen on; port 0 takes a free one.")
    ] = "127.0.0.1:9464",
    loglevel: LogLevel = "INFO",
) -> None:
    """Serves /metrics for Prometheus, read from the outbox: backlogs, lanes, limits, processes."""
    from worker.service.web.metrics import run_metrics

    raise typer.Exit(run_metrics(_settings(), listen, loglevel))


@app.command()
def console(
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Address to listen on, by default console.listen; port 0: a free one."),
    ] = None,
    loglevel: LogLevel = "INFO",
    person: Annotated[str, typer.Option("--as", help="Who the link is for; default: the system's user.")] = "",
    password: Annotated[
        bool, typer.Option("--hash", help="Only prints the hash of a password: asked for, or the first line of stdin.")
    ] = False,
) -> None:
    """Serves the console: jobs, lanes, limits, accounts and what can be done about them; prints a link to sign in."""
    if password:
        from worker.console.sign_in.passwords import hash_password

        typer.echo(hash_password(_typed_password()))
        return
    from worker.service.web.console import run_console

    raise typer.Exit(run_console(_settings(), listen, loglevel, lambda: person or system_user()))


def _typed_password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(said("New password"), hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def simulator(context: typer.Context) -> None:
    """A fake WeCom over HTTP: --port P, --bare, --latency-ms N, --settings JSON; --help lists all."""
    from worker_simulator.__main__ import main

    main(context.args)


@db.command()
def upgrade(as_json: Json = False) -> None:
    """Brings the tables to this release; safe at any time."""
    from worker.cli.running import upgrade_tables

    revision = upgrade_tables(note)
    tell_value({"revision": revision}, f"tables at revision {revision}", as_json=as_json)


@db.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="The older release's: what `worker --version` says there.")],
    as_json: Json = False,
) -> None:
    """Takes the tables back to an older release, with what only the newer one stored; end its processes first."""
    from worker.cli.running import downgrade_tables

    downgrade_tables(revision)
    tell_value({"revision": revision}, f"tables at revision {revision}", as_json=as_json)


@db.command()
def check(as_json: Json = False) -> bool:
    """Which release each living worker runs, and which may use the tables; exit status 1 unless all run this one."""
    from worker.cli.running import check_releases

    found = check_releases()
    tell_value(found.as_json(), "\n".join(found.lines()), as_json=as_json)
    return found.is_done


@app.command()
@with_filter(*OF_CALLS)
def jobs(
    given: dict[str, Any],
    before: Annotated[str | None, typer.Option(metavar="ID", help="The next page: only jobs older than this.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    every: Annotated[bool, typer.Option("--all", help="All pages; with --json one object a line.")] = False,
    counts: Annotated[
        bool, typer.Option("--counts", help="How many, by account, kind and state; by default since a day ago.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Lists jobs, newest first: all of them, or those of a filter."""
    from worker.cli import reading

    if counts:
        reading.count(given, as_json=as_json)
        return
    # A list may be about all jobs, so a state alone is no mistake.
    state = given.pop("state", None)
    wanted = JobFilter(**given) if given else None
    if every:
        reading.all_jobs(wanted, state, as_json=as_json)
    else:
        reading.jobs(wanted, state, before=before, limit=limit, as_json=as_json)


JobName = Annotated[
    str,
    typer.Argument(metavar="JOB", help="A job's id or its beginning, a part's, a dedupe key, a task_id, or a msgid."),
]


@app.command()
def show(name: JobName, as_json: Json = False) -> None:
    """One job: state, receipts, failures, timeline."""
    from worker.cli import reading

    reading.show(name, as_json=as_json)


@app.command()
def why(name: JobName, as_json: Json = False) -> None:
    """What a job waits for now and since when, what happened to it, and what you could do."""
    from worker.cli import reading

    reading.explain_job(name, as_json=as_json)


@app.command(context_settings={"ignore_unknown_options": True})  # -1 is an errcode, no option
def explain(
    code: Annotated[int, typer.Argument(help="A vendor's errcode, such as 60020.")],
    lang: Annotated[Lang | None, typer.Option(help="English or Chinese.")] = None,
    channel: Annotated[str | None, typer.Option(help="One channel's catalogue; all of them by default.")] = None,
    as_json: Json = False,
) -> None:
    """What a vendor's errcode means, what the worker does about it, and what to do."""
    told = _explained(code, lang or language(), channel)
    if not told:
        note(f"{code} is not in the catalogue; the worker rejects such a call and never loops")
        raise typer.Exit(1)
    tell_value({"code": code, "told": told}, "\n".join(told), as_json=as_json)


@app.command()
def inbound(
    account: Account = None,
    event: Annotated[
        str | None, typer.Option(help="Only these, such as subscribe, or message: for all messages.")
    ] = None,
    chats: Annotated[
        bool, typer.Option("--chats", help="The chats that they named, to which a webhook's message can be sent.")
    ] = False,
    gone: Annotated[bool, typer.Option("--gone", help="With --chats: also those it was taken out of.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """Lists what the vendors called back: messages of people, presses, events; --json has their contents."""
    from worker.cli.lists import callbacks

    if chats:
        callbacks.show_chats(account=account, gone=gone, limit=limit, as_json=as_json)
    else:
        callbacks.show_inbound(account=account, event=event, limit=limit, as_json=as_json)


@app.command()
def limits(
    account: Account = None,
    recipient: Annotated[str | None, typer.Option(help="Whose own limits: a userid, a chat, a task's msgid.")] = None,
    as_json: Json = False,
) -> None:
    """Every limit of an account: amount, window, use and room now, and the vendor's page."""
    from worker.cli.lists import limits as listed

    listed.show(account=account, recipient=recipient, as_json=as_json)


@app.command()
def forecast(account: Account = None, as_json: Json = False) -> None:
    """Roughly when the backlog of each account will be through: what is due, divided by what lets it through."""
    from worker.cli.lists import forecast as foretold

    foretold.show(account=account, as_json=as_json)


@app.command()
def doctor(
    online: Annotated[
        bool, typer.Option("--online", help="Also asks the vendor about each account; sends no message.")
    ] = False,
    account: Annotated[str | None, typer.Option(help="Only this account is asked about.")] = None,
    as_json: Json = False,
) -> None:
    """Looks at settings, accounts, secrets, database and broker; exit status 1 when something cannot work."""
    from worker.cli.setup import doctor as looked

    if account is not None and not online:
        raise typer.BadParameter("--account goes with --online")
    raise typer.Exit(looked.show(say, as_json=as_json, online=online, account=account))


@app.command()
def health(
    pid: Annotated[int | None, typer.Option(min=1, help="Only the process with this number.")] = None,
    host: Annotated[str | None, typer.Option(help="Whose processes; by default this host's.")] = None,
    live: Annotated[bool, typer.Option(help="Only what a restart would mend, for a liveness probe.")] = False,
    as_json: Json = False,
) -> None:
    """Whether this host's workers run and what is due moves; exit status 1 if not, and why."""
    from worker.cli import health as looked

    raise typer.Exit(looked.show(say, host=host, pid=pid, as_json=as_json, live=live))


@app.command()
def lanes(
    account: Account = None,
    steps: Annotated[bool, typer.Option("--events", help="What happened to them, newest first.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many events.")] = 50,
    as_json: Json = False,
) -> None:
    """Lists what is blocked, parked or slowed down: since when, until when, why, and what to do."""
    from worker.cli.lists import lanes as listed

    if steps:
        listed.show_events(account=account, limit=limit, as_json=as_json)
    else:
        listed.show(account=account, as_json=as_json)


@app.command()
@by_person()
def events(
    person: Person,
    state: Annotated[str | None, typer.Option(help="waiting, running, done, parked, ignored")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    retry: Annotated[
        str | None, typer.Option(metavar="ID", help="Gives this parked or ignored event to the hooks again.")
    ] = None,
) -> None:
    """Lists the events of the application's hooks, newest first."""
    from worker.cli.lists.callbacks import show_events
    from worker.control.lift import retry_event

    if retry is None:
        show_events(state=state, limit=limit, as_json=person.as_json)
    else:
        retry_event(retry, person=person.name, why=person.why)
        person.tell({"event": retry}, f"event {retry} waits for a worker")


def _explained(code: int, lang: Lang, only: str | None) -> list[str]:
    """The lines about a code, with channels' names above if the channels differ; empty: no channel knows the code."""
    from worker.channels import registry

    told: dict[tuple[str, ...], list[str]] = {}
    for name in (only,) if only else registry.names():
        lines = registry.channel(name).explain(code, lang)
        if lines:
            told.setdefault(tuple(lines), []).append(name)
    if len(told) == 1:
        return list(next(iter(told)))
    return [line for lines, names in told.items() for line in (f"{', '.join(names)}:", *(f"  {one}" for one in lines))]
