"""`worker doctor`: checks settings, accounts, secrets, database and broker. It changes nothing and calls no vendor.

But it writes an empty row to see whether the database accepts writes. For --online see `online`.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from typing import Annotated

import typer
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from worker.accounts.sources import accounts_of
from worker.channels.registry import channel, split_usable, takes_secret
from worker.cli.health import reason_of, write_error
from worker.cli.options import Commands, Json, echo
from worker.cli.reading import padded, pause_line, staging_line
from worker.cli.setup.connections import broker, database_tls
from worker.cli.setup.finding import Finding, Level
from worker.cli.times import zone
from worker.config.accounts import AccountSource, unknown_account
from worker.config.settings import Settings, load_settings, settings_location, unknown_line
from worker.config.surroundings import surprises
from worker.control.opening import open_database
from worker.delivery.resolver.members import load_resolver
from worker.domain.account import Account, ClientCertificate, Secret
from worker.domain.errors import ConfigurationError
from worker.domain.pacing.lane import LaneEventKind, LaneStatus
from worker.domain.pause import Pause
from worker.domain.times import offset_of
from worker.hooks.registry import load_hooks
from worker.hooks.verifiers import make_verifier
from worker.language import language, plural, term, translate
from worker.language.visible import one_line_values
from worker.outbox.engine import error_text, migrate
from worker.outbox.engine.database import Database
from worker.outbox.engine.inherited import inherited_settings
from worker.outbox.engine.postgresql import missing_plan_settings
from worker.reporting.problems import OutboxReading, find_problems, read_outbox
from worker.transport.token_source import suite_account_of

app = Commands()

CLOCK_S = 5.0
"""Seconds between the two clocks above which there is a caution. Callbacks tolerate `delivery.callback_max_age_s`."""

PROBLEMS = (
    "BrokerAway",
    "StandingStill",
    "AccountParked",
    "AccountUnusable",
    "WorkerHindered",
    "VendorUnreachable",
    "ReceiverDown",
)
"""Problems that make the exit status 1. The others are cautions, such as no worker in a fresh installation."""
EXPIRES_SOON_S = 14 * 86_400
"""A client certificate is reported if it expires within so many seconds."""


@app.command()
def doctor(
    online: Annotated[
        bool, typer.Option("--online", help="Also asks the vendor about each account; sends no message.")
    ] = False,
    account: Annotated[str | None, typer.Option(help="Only this account is asked about.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Only problems: no cautions, nothing that is ok.")] = False,
    as_json: Json = False,
) -> None:
    """Checks settings, accounts, secrets, database and broker; exit status 1 when something cannot work.

    Problems come first, and what to do about them first is the last line.
    """
    if account is not None and not online:
        raise typer.BadParameter("--account needs --online")
    load = cache(load_settings)
    results = list(findings(load))
    if online and results[0].level is not Level.PROBLEM:  # the settings can be read
        from worker.cli.setup.online import online_findings

        results += online_findings(load(), account)
    counts, rerun = (
        Counter(finding.level for finding in results),
        f"worker doctor --quiet{' --online' if online else ''}",
    )
    levels = list(Level)[:1] if quiet else list(Level)
    printed = [finding for level in levels for finding in results if finding.level is level]
    if as_json:
        echo(json.dumps([asdict(finding) for finding in printed], ensure_ascii=False))
    else:
        for finding in map(one_line_values, printed):
            echo(f"{padded(term('level', finding.level), 8)} {_line(finding)}")
        problems, cautions, passed = (counts[level] for level in Level)
        echo(f"problems {problems}, cautions {cautions}, ok {passed}")
        if counts[Level.PROBLEM]:
            echo("next:" if printed[0].command else "next, when that is fixed:")
            echo(f"  {printed[0].command or rerun}")
    raise typer.Exit(int(bool(counts[Level.PROBLEM])))


def _line(finding: Finding) -> str:
    """Returns the check and its result, in the language of the person."""
    if finding.what == "database":
        return translate("database: " + finding.text)  # as the errors of the database begin
    if language() == "en":
        return f"{finding.what}: {finding.text}"
    return f"{translate(term('check', finding.what))}：{finding.chinese or translate(finding.text)}"


def findings(
    load: Callable[[], Settings] = load_settings, wall_clock: Callable[[], float] = time.time
) -> Iterator[Finding]:
    """Runs all checks and yields their findings, in the order in which a worker needs these things."""
    try:
        settings = load()
        own_zone = settings.zone
        accounts = accounts_of(settings)
    except ConfigurationError as error:
        yield Finding("settings", Level.PROBLEM, str(error))
        return
    if settings.file or settings.model_fields_set:  # in a container all settings may come from the environment
        yield Finding("settings", Level.OK, settings_location())
    else:
        yield Finding(
            "settings",
            Level.CAUTION,
            f"no settings were found: {settings_location()}; `worker init` writes a settings file",
            "worker init",
        )
    yield from (Finding("settings", Level.CAUTION, unknown_line(name)) for name in settings.unknown_variables)
    yield from (Finding("environment", Level.CAUTION, sentence) for sentence in surprises(os.environ))
    yield Finding("zone", Level.OK, f"{own_zone}, {offset_of(datetime.now(UTC), own_zone)}")
    names = accounts.names()
    for sentence in accounts.read_errors():
        if not sentence.startswith("database"):  # checked below
            yield Finding("accounts", Level.PROBLEM, sentence.removeprefix("accounts: "))
    if not names:
        yield Finding(
            "accounts",
            Level.CAUTION,
            (f"none is configured; add [accounts.NAME] to {settings_location()}, or run `worker accounts add NAME`"),
        )
    usable_accounts, problems = split_usable(accounts, names)
    for name in names:
        if name in problems:
            yield Finding(f"account {name}", Level.PROBLEM, problems[name])
        else:
            yield from _account(accounts, usable_accounts[name], wall_clock)
    yield from _members(settings, usable_accounts.values())
    yield from _hooks(settings, names)
    yield from _notify(settings, accounts)
    yield from _database(settings, accounts, wall_clock)
    yield broker(settings)


def _configuration_error(act: Callable[[], object]) -> str | None:
    """Calls a function; returns the text of the ConfigurationError that it raises, or None if it raises none."""
    try:
        act()
    except ConfigurationError as error:
        return str(error)
    return None


def _account(accounts: AccountSource, account: Account, wall_clock: Callable[[], float]) -> Iterator[Finding]:
    what = f"account {account.name}"
    vendor = channel(account.channel)
    certificate, provider = account.egress.client_certificate, account.token_provider
    candidates = [
        account.secret,
        account.egress.proxy,
        certificate and certificate.password,
        provider and provider.bearer,
    ]
    own = [candidate for candidate in candidates if isinstance(candidate, Secret)]
    secrets = [*own, *vendor.callback_secrets(account).values()]
    lacks_secret = account.secret is None and takes_secret(account)
    if lacks_secret:
        yield Finding(what, Level.PROBLEM, 'secret is not set; add secret = { env = "NAME" } or { file = "PATH" }')
    problems = [text for secret in own if (text := _configuration_error(secret.read))]
    unread = [text for secret in secrets[len(own) :] if (text := _configuration_error(secret.read))]
    # Not after an unreadable secret, because these would report it once more.
    if not problems and not unread:
        problems = [text for check in _checks(accounts, account) if (text := _configuration_error(check))]
    yield from (Finding(what, Level.PROBLEM, sentence) for sentence in problems)
    # Where each process is given only its own secrets, a worker's machine or container does not have these.
    yield from (Finding(what, Level.CAUTION, f"{text}; only `worker receiver` needs it") for text in unread)
    yield from (Finding(what, Level.CAUTION, sentence) for sentence in vendor.cautions(account))
    expiry = [*_certificate_expiry(what, certificate, wall_clock())] if certificate and not problems else []
    yield from expiry
    if switch := account.staging.active():
        yield Finding(what, Level.CAUTION, staging_line(switch))
    if not (lacks_secret or problems or unread) and Level.PROBLEM not in [candidate.level for candidate in expiry]:
        yield Finding(what, Level.OK, f"usable, all secrets can be read ({len(secrets)})")


def _checks(accounts: AccountSource, account: Account) -> Iterator[Callable[[], object]]:
    """Yields functions that use an account's suite, secrets and files as receivers and senders do."""
    if (chain := channel(account.channel).token_steps(account)) is not None:
        yield lambda: suite_account_of(accounts, chain)
    yield lambda: make_verifier(account, max_age_s=0.0)
    if account.egress.ca or account.egress.client_certificate:
        from worker.transport.egress.tls import require_files

        yield lambda: require_files(account.egress, f"accounts.{account.name}")
    vendor, secret, provider = channel(account.channel), account.secret, account.token_provider
    if provider is not None:
        from worker.transport.token_provider import bearer_header, load

        if (bearer := provider.bearer) is None:
            yield lambda: load(provider.place)
        else:
            yield lambda: bearer_header(bearer.read())
    elif vendor.uses_token and secret is not None and chain is None:
        yield lambda: vendor.token_request(account, secret.read(), 0)


def _certificate_expiry(what: str, certificate: ClientCertificate, now_s: float) -> Iterator[Finding]:
    """Checks whether the client certificate has expired, or will soon."""
    from worker.transport.egress.tls import expires_at

    remaining_s = expires_at(certificate) - now_s
    if remaining_s < EXPIRES_SOON_S:
        level, text = (Level.CAUTION, "expires within two weeks") if remaining_s > 0 else (Level.PROBLEM, "has expired")
        yield Finding(what, level, f"its client certificate in {certificate.certificate} {text}; replace the file")


def _members(settings: Settings, accounts: Iterable[Account]) -> Iterator[Finding]:
    """Checks that `members_of` can be imported. Yields a caution if it is not set and a channel counts members."""
    if settings.members_of:
        ok_text = f"{settings.members_of} names the members of departments and tags"
        yield _imported("members", _configuration_error(lambda: load_resolver(settings.members_of)), ok_text)
    elif any(channel(account.channel).counts_members for account in accounts):
        text = (
            "members_of is not set, so the members of departments, tags and @all are unknown, and their"
            " limits are not checked"
        )
        yield Finding(
            "members", Level.CAUTION, f"{text} before the call; the vendor drops what exceeds them without an error"
        )


def _hooks(settings: Settings, names: Sequence[str]) -> Iterator[Finding]:
    """Checks that the module of hooks can be imported, if there is one, and that the accounts in it exist."""
    if not settings.hooks:
        return
    refusal = _configuration_error(lambda: load_hooks(settings.hooks))
    yield _imported("hooks", refusal, f"{settings.hooks} can be imported")
    for name in [] if refusal else sorted(load_hooks(settings.hooks).accounts.difference(names)):
        yield Finding(
            "hooks", Level.CAUTION, f"a hook names an account for which it never runs: {unknown_account(name, names)}"
        )


def _notify(settings: Settings, accounts: AccountSource) -> Iterator[Finding]:
    """Checks that alerts can be sent to each target in `notify.to`."""
    if not settings.notify.to:
        return
    from worker.service.notify.sending import target_problem

    targets = [(f"notify.to.{n}", target) for n, target in enumerate(settings.notify.to)]
    problems = [problem for key, target in targets if (problem := target_problem(target, key, accounts))]
    yield from (Finding("notify", Level.PROBLEM, sentence) for sentence in problems)
    if not problems:
        yield Finding("notify", Level.OK, f"alerts can be sent to {plural(len(targets), 'target')}")


def _imported(what: str, refusal: str | None, ok_text: str) -> Finding:
    if refusal is None:
        return Finding(what, Level.OK, ok_text)
    return Finding(what, Level.PROBLEM, refusal.removeprefix(f"{what}: "))


def _database(settings: Settings, accounts: AccountSource, wall_clock: Callable[[], float]) -> Iterator[Finding]:
    command = ""
    try:
        with open_database(settings) as database, database.reading() as connection:
            command = "worker db upgrade" if migrate.can_upgrade(connection) else ""
            revision = migrate.require_current(database)
            yield Finding("database", Level.OK, f"reachable, tables at revision {revision}")
            yield from database_tls(connection)
            yield from _writes(database)
            yield from _planner_settings(connection)
            yield from _inherited(connection)
            reading = read_outbox(connection, database.now)
            yield from _pauses(reading.pauses)
            yield from _problems(reading, accounts)
            before = wall_clock()
            at = database.read_now() / 1_000_000
            yield _clock(at - (before + wall_clock()) / 2)
    except ConfigurationError as error:
        yield Finding("database", Level.PROBLEM, str(error).removeprefix("database: "), command)
    except SQLAlchemyError as error:
        yield Finding("database", Level.PROBLEM, error_text.description_of(error), command)


def _writes(database: Database) -> Iterator[Finding]:
    """Checks that the database accepts a row, which it does not on a full disk. A reader's role may not write one."""
    if error := write_error(database):
        level = Level.CAUTION if error_text.is_forbidden(error) else Level.PROBLEM
        yield Finding("database", level, f"takes no writes: {reason_of(error)}")


def _pauses(pauses: Sequence[Pause]) -> Iterator[Finding]:
    """Yields a caution for each pause, and one with the number of jobs that are paused one by one."""
    scoped = [pause for pause in pauses if pause.job_id is None]
    for pause in scoped:
        yield Finding("pause", Level.CAUTION, f"{pause_line(pause)}; `{pause.ending()}`", pause.ending())
    if paused_jobs := len(pauses) - len(scoped):
        text = f"{plural(paused_jobs, 'job')} paused one by one; `worker lanes` lists them"
        yield Finding("pause", Level.CAUTION, text)


def _planner_settings(connection: Connection) -> Iterator[Finding]:
    """Yields planner settings that the role needs, because behind a pooler the worker cannot set them itself."""
    missing = missing_plan_settings(connection)
    if missing:
        remedy = " and ".join(f"`alter role ROLE set {name} = off`" for name in missing)
        yield Finding(
            "database",
            Level.CAUTION,
            (f"the connection goes through a pooler, where the worker cannot change settings; run {remedy}"),
        )


def _inherited(connection: Connection) -> Iterator[Finding]:
    """Yields what the environment, the role, the database or the server says of the worker's connections."""
    left = defaultdict[str, list[str]](list)
    for setting in inherited_settings(connection):
        source, name, value = setting.source, setting.name, setting.value
        if setting.cuts_off:
            text = f"{source} sets {name} to {value}: what takes longer is cut off, again and again if it never fits"
            yield Finding("database", Level.CAUTION, f"{text}; give the worker 0, or 30 s and more")
        elif setting.forbids_writes:
            text = f"{source} sets {name} to {value}: nothing can be written"
            yield Finding("database", Level.CAUTION, f"{text}; let the worker's connections write")
        else:
            left[source].append(f"{name} = {value}")
    for source, settings in left.items():
        yield Finding("database", Level.OK, f"{source} sets {', '.join(settings)}, and the worker leaves that as it is")


def _problems(reading: OutboxReading, accounts: AccountSource) -> Iterator[Finding]:
    """Yields findings from the outbox: workers that are alive, all open problems, and what vendors refused lately."""
    names = accounts.names()
    if fresh := reading.fresh:
        yield Finding("workers", Level.OK, f"{len(fresh)} alive")
    # That no process delivers stops nothing as long as nothing is due.
    stopping = (*PROBLEMS, "NothingIsDelivered") if reading.standstills else PROBLEMS
    for problem in find_problems(reading, accounts):
        # An account that was removed from the settings may still be parked. That stops nothing.
        is_old = problem.name == "AccountParked" and problem.subject not in names
        level = Level.PROBLEM if problem.name in stopping and not is_old else Level.CAUTION
        told, chinese = problem.sentence(zone()), problem.sentence(zone(), "zh")
        yield Finding(problem.what(), level, told, problem.command, chinese)
    for lane in reading.lanes:
        # Lanes that are not parked wait for a thing, such as a ticket, that may come at any moment.
        if lane.state != LaneStatus.PARKED and lane.remedy and lane.until and lane.lane in names:
            yield Finding(f"account {lane.lane}", Level.CAUTION, f"waits: {lane.reason}; {lane.remedy}")
    steps = Counter[str]()
    for (_, step), count in reading.steps.items():
        steps[step] += count
    # What is over is told, and asks for nothing.
    level = Level.CAUTION if reading.lanes else Level.OK
    if struck := steps[LaneEventKind.THROTTLED]:
        text = f"calls refused in the last day because a limit was exceeded (45009): {struck}"
        yield Finding("vendor", level, f"{text}; `worker lanes --history` says which and why")
    if breakers := steps[LaneEventKind.OPENED]:
        text = f"circuit breakers opened in the last day because the vendor answered -1 or not at all: {breakers}"
        yield Finding("vendor", level, f"{text}; `worker lanes --history` says which and why")


def _clock(ahead_s: float) -> Finding:
    """Compares the clocks. Stored times are by the database's, the age of a callback is by this machine's."""
    where = "ahead of" if ahead_s > 0 else "behind"
    text = f"the database's clock is {abs(ahead_s):.1f} s {where} this machine's"
    return Finding("clock", Level.CAUTION if abs(ahead_s) > CLOCK_S else Level.OK, text)
