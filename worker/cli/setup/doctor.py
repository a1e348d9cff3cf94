"""`worker doctor`: checks settings, accounts, secrets, database and broker. Changes nothing, and calls no vendor.

Except with --online: see `online`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import cache
from typing import Annotated

import typer
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from worker.accounts.sources import accounts_of
from worker.channels.registry import channel, split_usable, takes_secret
from worker.cli.options import Commands, Json, echo
from worker.cli.reading import padded, pause_line, staging_line
from worker.cli.setup.finding import Finding, Level
from worker.cli.times import zone
from worker.config.accounts import AccountSource
from worker.config.settings import Settings, load_settings, settings_location, unknown_line
from worker.control.opening import open_database
from worker.delivery.resolver.members import load_resolver
from worker.domain.account import Account, ClientCertificate, Secret
from worker.domain.errors import ConfigurationError
from worker.domain.pacing.lane import LaneEventKind, LaneStatus
from worker.domain.pause import Pause
from worker.hooks.registry import load_hooks
from worker.hooks.verifiers import make_verifier
from worker.language import language, plural, term, translate
from worker.outbox.engine import error_text, migrate
from worker.outbox.engine.postgresql import left_to_the_role
from worker.reporting.problems import OutboxReading, find_problems, read_outbox
from worker.transport.token_source import suite_account_of

app = Commands()

LOGIN_REFUSED = ("AccessRefused", "AuthenticationError", "NotAllowed")
"""Errors by which RabbitMQ and Redis say that the connection is there, and the login is not right."""
CLOCK_S = 5.0
"""Seconds between the clocks that are reported; callbacks tolerate 300 s (`delivery.callback_max_age_s`)."""

PROBLEMS = ("StandingStill", "AccountParked", "AccountUnusable", "WorkerHindered")
"""What makes the exit status 1. The rest are cautions: a fresh installation has no worker yet, a vendor may be ill."""
SOON_S = 14 * 86_400
"""Seconds before the end of a client certificate from which on it is reported."""


@app.command()
def doctor(
    online: Annotated[
        bool, typer.Option("--online", help="Also asks the vendor about each account; sends no message.")
    ] = False,
    account: Annotated[str | None, typer.Option(help="Only this account is asked about.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Only problems: no cautions, nothing that is ok.")] = False,
    as_json: Json = False,
) -> None:
    """Looks at settings, accounts, secrets, database and broker; exit status 1 when something cannot work.

    Problems come first, and what to do about them first is the last line.
    """
    if account is not None and not online:
        raise typer.BadParameter("--account needs --online")
    load = cache(load_settings)
    found = list(findings(load))
    if online and found[0].level is not Level.PROBLEM:  # the settings can be read
        from worker.cli.setup.online import online_findings

        found += online_findings(load(), account)
    counts, again = Counter(one.level for one in found), f"worker doctor --quiet{' --online' if online else ''}"
    levels = list(Level)[:1] if quiet else list(Level)
    shown = [one for level in levels for one in found if one.level is level]
    if as_json:
        echo(json.dumps([asdict(one) for one in shown], ensure_ascii=False))
    else:
        for one in shown:
            level, what = term("level", one.level), term("check", one.what)
            echo(f"{padded(level, 8)} {translate(what)}{': ' if language() == 'en' else '：'}{translate(one.text)}")
        echo(f"problems {counts[Level.PROBLEM]}, cautions {counts[Level.CAUTION]}, ok {counts[Level.OK]}")
        if counts[Level.PROBLEM]:
            echo("next:" if shown[0].command else "next, when that is fixed:")
            echo(f"  {shown[0].command or again}")
    raise typer.Exit(int(bool(counts[Level.PROBLEM])))


def findings(
    load: Callable[[], Settings] = load_settings, wall_clock: Callable[[], float] = time.time
) -> Iterator[Finding]:
    """The findings of all checks, in the order in which a worker needs what they check."""
    try:
        settings = load()
        accounts = accounts_of(settings)
    except ConfigurationError as error:
        yield Finding("settings", Level.PROBLEM, str(error))
        return
    if settings.file or settings.model_fields_set:  # in a container the environment may say everything
        yield Finding("settings", Level.OK, settings_location())
    else:
        yield Finding(
            "settings",
            Level.CAUTION,
            f"no settings were found: {settings_location()}; `worker init` writes a settings file",
            "worker init",
        )
    yield from (Finding("settings", Level.CAUTION, unknown_line(name)) for name in settings.unknown_variables)
    names = accounts.names()
    for sentence in accounts.read_errors():
        if not sentence.startswith("database"):  # looked at below
            yield Finding("accounts", Level.PROBLEM, sentence.removeprefix("accounts: "))
    if not names:
        yield Finding(
            "accounts",
            Level.CAUTION,
            (f"none is configured; add [accounts.NAME] to {settings_location()}, or run `worker accounts add NAME`"),
        )
    good, wrong = split_usable(accounts, names)
    for name in names:
        if name in wrong:
            yield Finding(f"account {name}", Level.PROBLEM, wrong[name])
        else:
            yield from _account(accounts, good[name], wall_clock)
    yield from _members(settings, good.values())
    yield from _hooks(settings)
    yield from _notify(settings, accounts)
    yield from _database(settings, names, wall_clock)
    yield _broker(settings)


def _refusal(act: Callable[[], object]) -> str | None:
    """The text of the ConfigurationError that this ends with; None: it does what it should."""
    try:
        act()
    except ConfigurationError as error:
        return str(error)
    return None


def _account(accounts: AccountSource, account: Account, wall_clock: Callable[[], float]) -> Iterator[Finding]:
    what = f"account {account.name}"
    vendor = channel(account.channel)
    certificate, provider = account.egress.client_certificate, account.token_provider
    own = [account.secret, account.egress.proxy, certificate and certificate.password, provider and provider.bearer]
    secrets = [*(one for one in own if isinstance(one, Secret)), *vendor.callback_secrets(account).values()]
    lacks_secret = account.secret is None and takes_secret(account)
    if lacks_secret:
        yield Finding(what, Level.PROBLEM, 'secret is not set; add secret = { env = "NAME" } or { file = "PATH" }')
    wrong = [text for secret in secrets if (text := _refusal(secret.read))]
    # A secret that cannot be read would be reported by these once more.
    wrong = wrong or [text for use in _uses(accounts, account) if (text := _refusal(use))]
    yield from (Finding(what, Level.PROBLEM, sentence) for sentence in wrong)
    yield from (Finding(what, Level.CAUTION, sentence) for sentence in vendor.cautions(account))
    over = [*_life(what, certificate, wall_clock())] if certificate and not wrong else []
    yield from over
    if switch := account.staging.told():
        yield Finding(what, Level.CAUTION, staging_line(switch))
    if not lacks_secret and not wrong and Level.PROBLEM not in [one.level for one in over]:
        yield Finding(what, Level.OK, f"usable, all secrets can be read ({len(secrets)})")


def _uses(accounts: AccountSource, account: Account) -> Iterator[Callable[[], object]]:
    """What receivers and senders make of an account's suite, secrets and files, by their own code."""
    if (chain := channel(account.channel).token_steps(account)) is not None:
        yield lambda: suite_account_of(accounts, chain)
    yield lambda: make_verifier(account, max_age_s=0.0)
    if account.egress.ca or account.egress.client_certificate:
        from worker.transport.egress.tls import require_files

        yield lambda: require_files(account.egress, f"accounts.{account.name}")
    vendor, secret, provider = channel(account.channel), account.secret, account.token_provider
    if provider is not None:
        from worker.transport.token_provider import load, url_request

        if (bearer := provider.bearer) is None:
            yield lambda: load(provider.place)
        else:
            yield lambda: url_request(provider.place, bearer.read(), 0.0, fresh=False)
    elif vendor.uses_token and secret is not None and chain is None:
        yield lambda: vendor.token_request(account, secret.read(), 0)


def _life(what: str, certificate: ClientCertificate, now: float) -> Iterator[Finding]:
    """Whether the client certificate is over, or will be soon."""
    from worker.transport.egress.tls import expires_at

    left_s = expires_at(certificate) - now
    if left_s < SOON_S:
        level, text = (Level.CAUTION, "expires within two weeks") if left_s > 0 else (Level.PROBLEM, "has expired")
        yield Finding(what, level, f"its client certificate in {certificate.certificate} {text}; replace the file")


def _members(settings: Settings, accounts: Iterable[Account]) -> Iterator[Finding]:
    """Whether `members_of` can be imported; if it is not set, a caution where a channel counts members."""
    if settings.members_of:
        good = f"{settings.members_of} names the members of departments and tags"
        yield _imported("members", _refusal(lambda: load_resolver(settings.members_of)), good)
    elif any(channel(account.channel).counts_members for account in accounts):
        text = (
            "members_of is not set, so the members of departments, tags and @all are unknown, and their"
            " limits are not checked"
        )
        yield Finding(
            "members", Level.CAUTION, f"{text} before the call; the vendor drops what exceeds them without an error"
        )


def _hooks(settings: Settings) -> Iterator[Finding]:
    """Whether the module of hooks can be imported as workers do; nothing when none is set."""
    if settings.hooks:
        yield _imported("hooks", _refusal(lambda: load_hooks(settings.hooks)), f"{settings.hooks} can be imported")


def _notify(settings: Settings, accounts: AccountSource) -> Iterator[Finding]:
    """Whether each of those that alerts are told to can be told anything."""
    if not settings.notify.to:
        return
    from worker.service.notify.sending import target_problem

    targets = [(f"notify.to.{n}", target) for n, target in enumerate(settings.notify.to)]
    wrong = [problem for key, target in targets if (problem := target_problem(target, key, accounts))]
    yield from (Finding("notify", Level.PROBLEM, sentence) for sentence in wrong)
    if not wrong:
        yield Finding("notify", Level.OK, f"alerts can be sent to {plural(len(targets), 'target')}")


def _imported(what: str, refusal: str | None, good: str) -> Finding:
    if refusal is None:
        return Finding(what, Level.OK, good)
    return Finding(what, Level.PROBLEM, refusal.removeprefix(f"{what}: "))


def _database(settings: Settings, names: Collection[str], wall_clock: Callable[[], float]) -> Iterator[Finding]:
    command = ""
    try:
        with open_database(settings) as database, database.reading() as connection:
            command = "" if migrate.is_current(connection) else "worker db upgrade"
            revision = migrate.require_current(database)
            yield Finding("database", Level.OK, f"reachable, tables at revision {revision}")
            yield from _plans(connection)
            reading = read_outbox(connection, database.now)
            yield from _paused(reading.pauses)
            yield from _problems(reading, names)
            before = wall_clock()
            at = database.read_now() / 1_000_000
            yield _clock(at - (before + wall_clock()) / 2)
    except (SQLAlchemyError, ConfigurationError) as error:
        yield Finding("database", Level.PROBLEM, _said(error), command)


def _paused(pauses: Sequence[Pause]) -> Iterator[Finding]:
    """Pauses, each a caution: a person wanted it so. Single jobs that are held are counted."""
    general = [one for one in pauses if one.job_id is None]
    for one in general:
        yield Finding("pause", Level.CAUTION, f"{pause_line(one)}; `{one.ending()}`", one.ending())
    if held := len(pauses) - len(general):
        yield Finding("hold", Level.CAUTION, f"{plural(held, 'job')} held by a person; `worker lanes` lists them")


def _plans(connection: Connection) -> Iterator[Finding]:
    """Plan settings that the role must have, because behind a pooler the worker sets none on its connections."""
    left = left_to_the_role(connection)
    if left:
        remedy = " and ".join(f"`alter role ROLE set {name} = off`" for name in left)
        yield Finding(
            "database",
            Level.CAUTION,
            (f"the connection goes through a pooler, where the worker cannot change settings; run {remedy}"),
        )


def _problems(reading: OutboxReading, names: Collection[str]) -> Iterator[Finding]:
    """What the outbox tells: whether workers are alive, everything that is wrong, and what vendors refused lately."""
    if fresh := reading.fresh:
        yield Finding("workers", Level.OK, f"{len(fresh)} alive")
    for problem in find_problems(reading):
        # The parking of an account that the settings have no longer keeps nothing.
        is_old = problem.name == "AccountParked" and problem.subject not in names
        level = Level.PROBLEM if problem.name in PROBLEMS and not is_old else Level.CAUTION
        yield Finding(problem.what, level, problem.sentence(zone()), problem.command)
    for lane in reading.lanes:
        # Not parked: what is missing, such as a ticket, may come at any moment.
        if lane.state != LaneStatus.PARKED and lane.remedy and lane.until and lane.lane in names:
            yield Finding(f"account {lane.lane}", Level.CAUTION, f"waits: {lane.reason}; {lane.remedy}")
    steps = Counter[str]()
    for (_, step), count in reading.steps.items():
        steps[step] += count
    if struck := steps[LaneEventKind.THROTTLED]:
        text = f"calls refused in the last day because a limit was exceeded (45009): {struck}"
        yield Finding("vendor", Level.CAUTION, f"{text}; `worker lanes --events` says which and why")
    if breakers := steps[LaneEventKind.OPENED]:
        text = f"circuit breakers opened in the last day because the vendor answered -1 or not at all: {breakers}"
        yield Finding("vendor", Level.CAUTION, f"{text}; `worker lanes --events` says which and why")


def _clock(ahead_s: float) -> Finding:
    """The difference of the clocks: stored times are the database's, a callback's age is by this machine's."""
    where = "ahead of" if ahead_s > 0 else "behind"
    text = f"the database's clock is {abs(ahead_s):.1f} s {where} this machine's"
    return Finding("clock", Level.CAUTION if abs(ahead_s) > CLOCK_S else Level.OK, text)


def _broker(settings: Settings) -> Finding:
    try:
        url = settings.broker_url()
        if url == "embedded":
            return Finding("broker", Level.OK, "embedded: `worker up` brings its own")
        from worker.service.broker import connection_error, require_client

        require_client(url)
    except ConfigurationError as error:
        return Finding("broker", Level.PROBLEM, str(error).removeprefix("broker: "))
    refused = connection_error(url)
    if refused:
        text = f"does not answer within 2 s ({refused}); is it there, and the URL right?"
        if refused in LOGIN_REFUSED:
            text = f"refuses the user, its password or its vhost ({refused}); correct them in `broker`"
        return Finding("broker", Level.PROBLEM, text)
    return Finding("broker", Level.OK, "reachable")


def _said(error: Exception) -> str:
    """The error in our own words: a driver's text may hold values of the statement, or a URL."""
    if isinstance(error, ConfigurationError):
        return str(error).removeprefix("database: ")  # the finding begins with that word
    return error_text.remedy_of(error) or (
        f"failed with {type(error).__name__}; check that it is running and that `worker db upgrade` was run"
    )
