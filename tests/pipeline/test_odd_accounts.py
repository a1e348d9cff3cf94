"""Odd values under every key of every channel, through whatever takes an account: it stops only itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tests.pipeline.console.person import Person
from tests.pipeline.test_metrics import Scraper
from tests.support.runtime import Site, planted
from tests.unit.accounts.test_live import Scripted
from worker import Chats, Customers, NewJob, Text as AppText, To, enqueue_many, external, webhook, youdu
from worker.accounts.live import LiveAccounts
from worker.channels.registry import alike, channel, names, takes_secret, unusable_accounts
from worker.cli.setup.doctor import findings
from worker.cli.setup.finding import Level
from worker.config.account_settings import AccountSettings
from worker.config.accounts import account_of, staging_summary
from worker.config.notify import NotifyTarget
from worker.config.settings import Settings
from worker.domain.account import Account, Secret
from worker.domain.errors import ConfigurationError
from worker.domain.pacing.lane import Cause, LaneBlock
from worker.domain.state import PartState
from worker.hooks.verifiers import Verifiers
from worker.outbox.engine.clock import SECOND, DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import change_lanes
from worker.reporting.forecast import forecast
from worker.service.account_updates import AccountUpdates
from worker.service.notify.sending import target_problem
from worker.transport.grants import CodeExchanges
from worker.transport.token_probe import TokenProbe

SECRET = Secret(lambda: "a" * 43 + "=")
CALLBACK = {"token": SECRET, "aes_key": Secret(lambda: "a" * 43)}
GOOD: Mapping[str, Mapping[str, Any]] = {
    "wecom_app": {"corpid": "ww1", "agentid": 7, "callback": CALLBACK},
    "wecom_external": {"corpid": "ww1"},
    "wecom_webhook": {"edition": "push", "callback": CALLBACK},
    "wecom_suite": {"suite_id": "ww2", "callback": CALLBACK},
    "youdu": {"buin": 1, "appid": "a1", "base_url": "http://vendor", "callback": {"token": SECRET}},
}
SENDS: Mapping[str, Callable[[str], tuple[Any, Any]]] = {
    "wecom_app": lambda name: (AppText(content="hello"), To(name)),
    "wecom_external": lambda name: (external.Campaign(text="hello"), Customers({name: ["wm1"]})),
    "wecom_webhook": lambda name: (webhook.Text(content="hello"), Chats("c1")),
    "youdu": lambda name: (youdu.Text(content="hello"), To(name)),
}
"""A message of each channel, to someone of its own: the accounts of an app share the limits of its members."""


def _nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"x": [value]}
    return value


def _raise() -> str:
    raise ZeroDivisionError


ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, 10**30, 10**400, -(10**400), 1e300, float("nan"), float("inf")),
    *("", " ", "x", "none", "@all", "\ud800", "a\0b", "a\nb", "x" * 100_000, "7", "9" * 5_000, b"x", b"\xff"),
    *([], ["x"], [1], [None], [[]], [{}], ["x"] * 1_000, (), ("x",), set(), {"x"}),
    *({}, {"x": 1}, {1: 2}, {None: None}, {"env": 5}, {"env": "X", "file": "Y"}, {"env": "NOBODY_SETS_THIS"}),
    *({"token": "x"}, {"token": 5, "aes_key": []}, {"url": 5}, {"secret": 5}, {"callback": 7}, {"callback": {}}),
    *({"callback": {"token": ["x"]}}, {"*": {"weight": 10**400}}, {"x": 10**400}, {"app_day": 10**400}),
    *(_nested(3), _nested(40), _nested(400), object(), SECRET, Secret(_raise), Secret(lambda: None), int, _raise),  # type: ignore[arg-type, return-value]
)


def keys(kind: str) -> list[str]:
    """Every key that a table of this channel may have, and one that none has."""
    return sorted({*channel(kind).account_keys, *AccountSettings.model_fields, "deadline_s", "nobody_knows_it"})


def tables() -> dict[str, dict[str, Any]]:
    """A good account of each channel, and one for every odd value under every key."""
    found = {kind: {"channel": kind, "secret": SECRET, **GOOD[kind]} for kind in names()}
    good = list(found.items())
    for kind, table in good:
        for key in keys(kind):
            for n, value in enumerate(ODD):
                found[f"{kind}.{key}.{n}"] = {**table, key: value}
    return found


@pytest.fixture(scope="module")
def accounts() -> LiveAccounts:
    """These tables, as every process has them."""
    return LiveAccounts([Scripted(tables())], partial(account_of, settings=Settings()))


@pytest.fixture(scope="module")
def wrong(accounts: LiveAccounts) -> dict[str, str]:
    """The accounts that cannot be used, with their sentences."""
    return unusable_accounts(accounts)


def made(accounts: LiveAccounts) -> list[Account]:
    """The accounts that are more than a sentence, also those that are wrong for their channel."""
    found = []
    for name in accounts.names():
        try:
            found.append(accounts.get(name))
        except ConfigurationError:
            continue
    return found


def test_each_wrong_one_has_a_sentence_that_names_its_key(accounts: LiveAccounts, wrong: dict[str, str]) -> None:
    """And the good ones are none of them."""
    unnamed = {
        name: why
        for name, why in wrong.items()
        if f"accounts.{name}" not in why or name.split(".")[1] not in why.replace(name, "") or "understood" in why
    }

    assert unnamed == {}
    assert not wrong.keys() & set(names())


def test_nothing_that_takes_an_account_raises_anything_else(accounts: LiveAccounts, wrong: dict[str, str]) -> None:
    """Whoever judged it or not: the functions of every channel, and those that ask them."""
    for account in made(accounts):
        if account.name not in wrong:
            vendor = channel(account.channel)

            assert all(list(vendor.counted(account, who)) is not None for who in (None, "lisi"))
            assert f"{list(vendor.cautions(account))} {vendor.token_steps(account)} {vendor.callback_secrets(account)}"
            assert f"{vendor.app_scope(account)} {vendor.media_scope(account)}".encode()
            assert account.name in alike(accounts, account, vendor.app_scope)
            assert takes_secret(account) in (True, False)
            assert 0 < int(account.deadline_s * SECOND) < 2**63
            assert all(0 <= account.amount_of(limit) < 2**63 for limit in vendor.profile.values())
    assert staging_summary(accounts) == ""


def test_a_receiver_starts_and_answers_for_the_others(accounts: LiveAccounts, wrong: dict[str, str]) -> None:
    """A wrong account's callbacks are put off, with its sentence."""
    doors = Verifiers(accounts, 60)

    doors.require_one()

    for name in accounts.names():
        try:
            doors.of(name)
        except ConfigurationError:
            continue
    assert all(doors.of(kind) is not None for kind in names() if kind != "wecom_external")


def test_a_receiver_starts_where_every_account_is_wrong() -> None:
    """Each may have an address when it is mended."""
    for value in ODD:
        table = {"youdu": {**GOOD["youdu"], "channel": "youdu", "secret": SECRET, "callback": value}}
        if value not in (None, False):
            Verifiers(LiveAccounts([Scripted(table)], partial(account_of, settings=Settings())), 60).require_one()


@pytest.mark.fewer_databases("what Python makes of an account; no statement is another one for it")
def test_the_doctor_tells_of_each(wrong: dict[str, str], sqlite_url: str) -> None:
    """And of everything else behind them."""
    found = list(findings(lambda: Settings(database=sqlite_url, accounts=tables())))

    told = {one.what.removeprefix("account "): one.text for one in found if one.level is Level.PROBLEM}
    assert wrong.keys() <= told.keys()
    assert {"broker", "database"} <= {one.what for one in found}


# -- through the pipeline ---------------------------------------------------------------------------------------------


@pytest.fixture
def site(
    sqlite_database: Database, driven_clock: DrivenClock, accounts: LiveAccounts, wrong: dict[str, str]
) -> Iterator[Site]:
    """A process whose accounts were good when jobs were asked for, and are odd now: two usable a key, and others."""
    every = made(accounts)
    usable = {(one.name.rpartition(".")[0], n % 2): one for n, one in enumerate(every) if one.name not in wrong}
    good_ones = [accounts.get(kind) for kind in SENDS]
    odd = [*usable.values(), *(one for n, one in enumerate(every) if one.name in wrong and n % 80 == 0), *good_ones]
    good = [replace(accounts.get(one.name.split(".")[0]), name=one.name) for one in odd]
    with planted(sqlite_database, driven_clock, accounts=good) as site:
        jobs = [NewJob(one.name, *SENDS[one.channel](one.name)) for one in good if one.channel in SENDS]
        with site.database.writing() as connection:
            enqueue_many(connection, jobs, accounts=site.accounts)
        site.accounts.replace(*odd)
        yield site


def states(site: Site) -> dict[str, tuple[PartState, str]]:
    """Account -> its part's state and reason."""
    rows = site.rows("select j.account, p.state, p.reason from worker_jobs j join worker_parts p on p.job_id = j.id")
    return {row.account: (PartState(row.state), row.reason or "") for row in rows}


@pytest.mark.fewer_databases("what Python makes of an account; no statement is another one for it")
def test_the_jobs_of_a_wrong_account_wait_and_all_others_go(site: Site, wrong: dict[str, str]) -> None:
    """Without the judge of the process's accounts, too, which may not have looked yet."""
    site.run(turns=3)
    site.advance(60)
    site.recover()
    site.run(turns=2)

    found = states(site)
    assert {state for name, (state, _) in found.items() if name in wrong} == {PartState.QUEUED}
    assert [name for name, (_, reason) in found.items() if "error in this program" in reason] == []
    assert {found[kind][0] for kind in SENDS if kind != "youdu"} == {PartState.ACCEPTED}  # its token takes its vendor


@pytest.mark.fewer_databases("what Python makes of an account; no statement is another one for it")
def test_loops_and_pages_go_on(site: Site, wrong: dict[str, str]) -> None:
    """The judge, the loops over secrets and authorisations, metrics, the forecast, alerts and the console."""
    runtime, database = site.runtime, site.database
    AccountUpdates(site.accounts, runtime.lane_states, lambda changed: None).turn()
    assert wrong.keys() & set(site.accounts.names()) == runtime.lane_states.unusable().keys()
    parked = [LaneBlock(name, name, 600.0, "refused", parked=True, cause=Cause.TOKEN) for name in site.accounts.names()]
    database.run(lambda connection: change_lanes(connection, database.now, parked))
    TokenProbe(database, site.accounts, runtime.tokens).turn()
    CodeExchanges(database, site.accounts, runtime.tokens, runtime.transport).turn()
    Scraper(site).scrape()
    with database.reading() as connection:
        assert len(states(site)) == len(forecast(connection, database.now, site.accounts))
    console = Person(site)
    for name in ["", *site.accounts.names()[::20]]:
        assert console.get(f"/accounts/{name}" if name else "/accounts").status == 200
        target = NotifyTarget(account=name or "wecom_app", recipients=("lisi",))
        assert (name in wrong) <= (target_problem(target, "notify.to.0", site.accounts) is not None)
    due = site.rows("select lane from worker_lanes where parked and blocked_until <= :now", now=site.clock.micros)
    assert not {row.lane for row in due} & wrong.keys()
    assert "wecom_app" in {row.lane for row in due}
