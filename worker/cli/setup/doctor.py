"""`worker doctor`: checks settings, accounts, secrets, database and broker. Changes nothing, and calls no vendor.

Except with --online: see `online`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from worker.accounts.sources import accounts_of
from worker.channels.registry import channel, sorted_out, takes_secret
from worker.cli.reading import Say, padded, pause_line, staging_line
from worker.cli.setup.finding import Finding, Level
from worker.cli.setup.online import online_findings
from worker.config.accounts import AccountSource
from worker.config.settings import Settings, load_settings, unknown_line, where
from worker.control.opening import opened
from worker.delivery.resolver.members import load_resolver
from worker.domain.account import Account, ClientCertificate, Secret
from worker.domain.errors import ConfigurationError
from worker.domain.pacing.lane import Step
from worker.domain.pause import Pause
from worker.hooks.callbacks import door_of
from worker.hooks.registry import load_hooks
from worker.language import language, said, word
from worker.outbox.engine import error_text, migrate
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.database import Database
from worker.outbox.engine.postgresql import left_to_the_role
from worker.outbox.engine.sql import read_now
from worker.outbox.lanes.lanes import count_lane_events, list_lanes
from worker.outbox.lanes.pauses import standing_pauses
from worker.outbox.lanes.processes import Process, alive, unusable_accounts_told
from worker.reporting.lane_list import remedy_of
from worker.reporting.standstill import standing_still
from worker.transport.egress.tls import ends_at, require_files
from worker.transport.token_provider import load, url_request
from worker.transport.token_source import keeper_of

LOGIN_REFUSED = ("AccessRefused", "AuthenticationError", "NotAllowed")
"""Errors by which RabbitMQ and Redis say that the connection is there, and the login is not right."""
CLOCK_S = 5.0
"""Seconds between the clocks that are reported; callbacks tolerate 300 s (`delivery.callback_max_age_s`)."""

SET_ASIDE_S = 86_400
"""Seconds back that events "set aside" are counted; something that keeps failing writes one a day."""
REFUSED_S = 3_600
"""Seconds back that the vendor's refusals of whole lanes are counted."""


SOON_S = 14 * 86_400
"""Seconds before the end of a client certificate from which on it is reported."""


def show(say: Say, *, as_json: bool, online: bool = False, account: str | None = None) -> int:
    """Prints the findings, with `online` also what the vendor says; returns 1 when one is a problem, otherwise 0."""
    load = cache(load_settings)
    found = list(findings(load))
    if online and found[0].level is not Level.PROBLEM:  # the settings can be read
        found += online_findings(load(), account)
    if as_json:
        say(json.dumps([asdict(one) for one in found], ensure_ascii=False))
    else:
        for one in found:
            level, what = word("level", one.level), word("check", one.what)
            say(f"{padded(level, 8)} {said(what)}{': ' if language() == 'en' else '：'}{said(one.text)}")
    return int(any(one.level is Level.PROBLEM for one in found))


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
        yield Finding("settings", Level.OK, where())
    else:
        yield Finding("settings", Level.CAUTION, f"nothing is set: {where()}; `worker init` writes one")
    yield from (Finding("settings", Level.CAUTION, unknown_line(name)) for name in settings.unknown_variables)
    names = accounts.names()
    for sentence in accounts.unread():
        if not sentence.startswith("database"):  # looked at below
            yield Finding("accounts", Level.PROBLEM, sentence.removeprefix("accounts: "))
    if not names:
        yield Finding(
            "accounts",
            Level.CAUTION,
            f"none is configured; add [accounts.NAME] to {where()}, or say `worker accounts add NAME`",
        )
    good, wrong = sorted_out(accounts, names)
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
        yield Finding(what, Level.OK, f"usable, {len(secrets)} secrets can be read")


def _uses(accounts: AccountSource, account: Account) -> Iterator[Callable[[], object]]:
    """What receivers and senders make of an account's suite, secrets and files, by their own code."""
    if (chain := channel(account.channel).token_chain(account)) is not None:
        yield lambda: keeper_of(accounts, chain)
    yield lambda: door_of(account, max_age_s=0.0)
    yield lambda: require_files(account.egress, f"accounts.{account.name}")
    vendor, secret, provider = channel(account.channel), account.secret, account.token_provider
    if provider is not None and provider.bearer is None:
        yield lambda: load(provider.place)
    elif provider is not None and (bearer := provider.bearer) is not None:
        yield lambda: url_request(provider.place, bearer.read(), 0.0, fresh=False)
    elif vendor.uses_token and secret is not None and chain is None:
        yield lambda: vendor.token_request(account, secret.read(), 0)


def _life(what: str, certificate: ClientCertificate, now: float) -> Iterator[Finding]:
    """Whether the client certificate is over, or will be soon."""
    left_s = ends_at(certificate) - now
    if left_s < SOON_S:
        level, text = (Level.CAUTION, "ends within two weeks") if left_s > 0 else (Level.PROBLEM, "is over")
        yield Finding(what, level, f"its client certificate in {certificate.certificate} {text}; replace the file")


def _members(settings: Settings, accounts: Iterable[Account]) -> Iterator[Finding]:
    """Whether `members_of` can be imported; if it is not set, a caution where a channel counts members."""
    if settings.members_of:
        good = f"{settings.members_of} names those of departments and tags"
        yield _imported("members", _refusal(lambda: load_resolver(settings.members_of)), good)
    elif any(channel(account.channel).counts_members for account in accounts):
        text = "no members_of names those of departments, tags and @all, so what each of them may get is not kept"
        yield Finding("members", Level.CAUTION, f"{text} before the call, and the vendor drops the rest in silence")


def _hooks(settings: Settings) -> Iterator[Finding]:
    """Whether the module of hooks can be imported as workers do; nothing when none is set."""
    if settings.hooks:
        yield _imported("hooks", _refusal(lambda: load_hooks(settings.hooks)), f"{settings.hooks} can be imported")


def _notify(settings: Settings, accounts: AccountSource) -> Iterator[Finding]:
    """Whether each of those that alerts are told to can be told anything."""
    from worker.service.notify.telling import target_problem

    targets = [(f"notify.to.{n}", target) for n, target in enumerate(settings.notify.to)]
    wrong = [problem for key, target in targets if (problem := target_problem(target, key, accounts))]
    yield from (Finding("notify", Level.PROBLEM, sentence) for sentence in wrong)
    if targets and not wrong:
        yield Finding("notify", Level.OK, f"{len(targets)} targets can be told of alerts")


def _imported(what: str, refusal: str | None, good: str) -> Finding:
    if refusal is None:
        return Finding(what, Level.OK, good)
    return Finding(what, Level.PROBLEM, refusal.removeprefix(f"{what}: "))


def _database(settings: Settings, names: Collection[str], wall_clock: Callable[[], float]) -> Iterator[Finding]:
    try:
        with opened(settings) as database, database.reading() as connection:
            revision = migrate.require_current(database)
            yield Finding("database", Level.OK, f"reachable, tables at revision {revision}")
            yield from _plans(connection)
            yield from _paused(standing_pauses(connection))
            processes = alive(connection, database.now)
            yield _workers(len(processes))
            yield from _unusable(processes)
            yield from _hindered(processes)
            yield from _standing(database, connection, names)
            before = wall_clock()
            at = database.read_now() / 1_000_000
            yield _clock(at - (before + wall_clock()) / 2)
    except (SQLAlchemyError, ConfigurationError) as error:
        yield Finding("database", Level.PROBLEM, _said(error))


def _standing(database: Database, connection: Connection, names: Collection[str]) -> Iterator[Finding]:
    """What stands on lanes and accounts."""
    yield from _parked(list_lanes(connection, database.now, None), names)
    standstills = standing_still(connection, database.now)
    yield from (Finding("standstill", Level.PROBLEM, one.told()) for one in standstills)
    now = read_now(connection, database.now)
    yield from _refused(connection, now - REFUSED_S * SECOND)
    yield from _set_aside(count_lane_events(connection, Step.SET_ASIDE, now - SET_ASIDE_S * SECOND))


def _parked(lanes: Sequence[Mapping[str, Any]], names: Collection[str]) -> Iterator[Finding]:
    """Parked accounts, each a problem; and the number of parked lanes, a caution because only their parts wait.

    So is an account that waits for what a person can bring about, such as a ticket that has not come.
    """
    rows = [row for row in lanes if row["parked"]]
    for row in lanes:
        if not row["parked"] and row["remedy"] and row["lane"] in names and row["blocked_until"] > row["now"]:
            yield Finding(f"account {row['lane']}", Level.CAUTION, f"waits: {row['reason']}; {row['remedy']}")
    for row in rows:
        if row["lane"] in names:
            yield Finding(f"account {row['lane']}", Level.PROBLEM, f"parked: {row['reason']}; {remedy_of(row)}")
    others = sum(row["lane"] not in names for row in rows)
    if others:
        yield Finding("lanes", Level.CAUTION, f"{others} parked; `worker lanes` says why, and what to do")


def _unusable(processes: Sequence[Process]) -> Iterator[Finding]:
    """Accounts that worker processes cannot use, each a problem: their settings may not be those of this process."""
    for account, (count, why) in unusable_accounts_told(processes).items():
        text = f"{count} of {len(processes)} worker processes cannot use it: {why}"
        yield Finding(f"account {account}", Level.PROBLEM, text)


def _hindered(processes: Sequence[Process]) -> Iterator[Finding]:
    """What worker processes cannot do, each a problem: others do it, and the last of them may end."""
    for process in processes:
        for sentence in process.health.hindrances():
            yield Finding(f"worker {process.host} {process.pid}", Level.PROBLEM, sentence)


def _paused(pauses: Sequence[Pause]) -> Iterator[Finding]:
    """Pauses, each a caution: a person wanted it so. Single jobs that are held are counted."""
    general = [one for one in pauses if one.job_id is None]
    yield from (Finding("pause", Level.CAUTION, f"{pause_line(one)}; `{one.ending()}`") for one in general)
    if held := len(pauses) - len(general):
        yield Finding("hold", Level.CAUTION, f"{held} jobs are held; `worker lanes` lists them")


def _workers(alive: int) -> Finding:
    """How many workers are alive; none is only a caution, because a fresh installation has none yet."""
    if alive:
        return Finding("workers", Level.OK, f"{alive} alive")
    return Finding("workers", Level.CAUTION, "none is alive: jobs wait; start `worker up` or the Procfile's lines")


def _plans(connection: Connection) -> Iterator[Finding]:
    """Plan settings that the role must have, because behind a pooler the worker sets none on its connections."""
    left = left_to_the_role(connection)
    if left:
        remedy = " and ".join(f"`alter role ROLE set {name} = off`" for name in left)
        yield Finding("database", Level.CAUTION, f"behind a pooler, where the worker sets nothing: say {remedy}")


def _refused(connection: Connection, since: int) -> Iterator[Finding]:
    """How often the vendor stopped a lane or an account lately, also when that is over; nothing when it never did."""
    if count := count_lane_events(connection, Step.STRUCK, since):
        text = f"in the last hour it said {count} times that a limit is exceeded (45009)"
        yield Finding("vendor", Level.CAUTION, f"{text}; `worker lanes --events` says which and why")
    if count := count_lane_events(connection, Step.OPENED, since):
        text = f"in the last hour {count} breakers opened, because it answered -1 or not at all"
        yield Finding("vendor", Level.CAUTION, f"{text}; `worker lanes --events` says which and why")


def _set_aside(count: int) -> Iterator[Finding]:
    """How often an error of this program set something aside within a day; nothing when it never did."""
    if count:
        text = f"in the last day errors of ours kept {count} things from being judged or done"
        yield Finding("set aside", Level.CAUTION, f"{text}; `worker lanes --events` says which and why")


def _clock(ahead_s: float) -> Finding:
    """The difference of the clocks: stored times are the database's, a callback's age is by this machine's."""
    where = "ahead of" if ahead_s > 0 else "behind"
    text = f"the database's is {abs(ahead_s):.1f} s {where} this machine's"
    return Finding("clock", Level.CAUTION if abs(ahead_s) > CLOCK_S else Level.OK, text)


def _broker(settings: Settings) -> Finding:
    from worker.service.broker import EMBEDDED, reachable, require_client

    try:
        url = settings.broker_url()
        require_client(url)
    except ConfigurationError as error:
        return Finding("broker", Level.PROBLEM, str(error).removeprefix("broker: "))
    if url == EMBEDDED:
        return Finding("broker", Level.OK, "embedded: `worker up` brings its own")
    refused = reachable(url)
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
    return error_text.remedy_of(error) or f"said {type(error).__name__}; is it there, and `worker db upgrade` done?"
