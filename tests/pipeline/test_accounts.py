"""Accounts in the outbox: sealed, changed while processes run, rotated without a gap; and what a wrong one stops."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.support.runtime import Site, Ticks, an_account, planted, refused
from worker import list_audit
from worker.accounts.live import POLL_S, LiveAccounts
from worker.accounts.sealed import OutboxAccounts
from worker.accounts.sources import accounts_of
from worker.channels.registry import unusable_accounts
from worker.config.accounts import account_of
from worker.config.places import SecretFrom, UrlFrom
from worker.config.settings import Settings
from worker.control import accounts as acts
from worker.control.opening import open_current_database
from worker.domain.account import Account, Secret
from worker.domain.call import CallResult
from worker.domain.errors import ConfigurationError, UnknownAccount, WorkerError
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.accounts import AccountRow, put_account
from worker.outbox.lanes.lanes import retry_changed_accounts
from worker.outbox.lanes.processes import living_processes, unusable_account_counts

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

KEY, OTHER = "k" * 32, "o" * 32
ACME = {"channel": "wecom_app", "corpid": "ww9", "agentid": 3}
CALLBACK = {"token": "callback-token", "aes_key": "a" * 43}
BY = {"person": "me", "why": "a new customer"}


@pytest.fixture
def settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of the outbox; the key is in the environment."""
    monkeypatch.setenv("WORKER_SEAL_KEY", KEY)
    return Settings(database=UrlFrom(url=database_url))


@pytest.fixture
def accounts(settings: Settings) -> tuple[LiveAccounts, Ticks]:
    """The accounts as another process sees them, and its clock."""
    ticks = Ticks()
    return LiveAccounts([OutboxAccounts(settings)], partial(account_of, settings=settings), monotonic=ticks), ticks


def secret_of(account: Account) -> str:
    """Its secret, read now."""
    assert account.secret is not None
    return account.secret.read()


def test_an_account_is_added_and_every_process_knows_it(
    settings: Settings, accounts: tuple[LiveAccounts, Ticks]
) -> None:
    """With its secrets sealed: none is in any column, or in the audit."""
    known, ticks = accounts
    assert known.names() == ()
    proxy = "http://me:proxy-password@egress:3128"
    table = {**ACME, "secret": "app-secret", "callback": CALLBACK, "proxy": proxy, "limits": {"app_day": 7}}
    acts.add_account("acme", table, settings=settings, **BY)
    with pytest.raises(UnknownAccount):
        known.get("acme")
    ticks.advance(POLL_S)

    account = known.get("acme")
    assert (secret_of(account), account.settings["corpid"], account.limits["app_day"]) == ("app-secret", "ww9", 7)
    assert isinstance(account.egress.proxy, Secret)
    assert proxy == account.egress.proxy.read()
    assert {key: one.read() for key, one in account.settings["callback"].items()} == CALLBACK
    with open_current_database(settings) as database, database.reading() as connection:
        stored = repr(connection.execute(text("select * from worker_accounts")).all())
        stored += repr(connection.execute(text("select * from worker_audit")).all())
        audit = list_audit(connection)
    assert not [one for one in ("app-secret", "proxy-password", *CALLBACK.values()) if one in stored]
    assert (audit[0].action, audit[0].person, audit[0].arguments) == ("add account", "me", {"account": "acme"})
    [shown] = acts.stored_accounts("acme", settings)
    assert shown.table["secret"] == {"sealed": "secret"}


def test_who_has_no_key_knows_the_account_and_no_secret(
    settings: Settings, accounts: tuple[LiveAccounts, Ticks], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A producer needs none; a sender says which key is missing."""
    acts.add_account("acme", {**ACME, "secret": "app-secret"}, settings=settings, **BY)
    monkeypatch.delenv("WORKER_SEAL_KEY")
    account = accounts[0].get("acme")
    assert unusable_accounts(accounts[0]) == {}
    with pytest.raises(ConfigurationError, match="seal_key names environment variable WORKER_SEAL_KEY, which is empty"):
        secret_of(account)
    monkeypatch.setenv("WORKER_SEAL_KEY", OTHER)
    with pytest.raises(ConfigurationError, match=r"accounts\.acme: its secrets were sealed with another key"):
        secret_of(account)
    monkeypatch.setenv("WORKER_SEAL_KEY", "short")
    with pytest.raises(ConfigurationError, match="seal_key: has fewer than 32 characters"):
        secret_of(account)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base_url", "http://elsewhere"),
        ("proxy", "http://elsewhere:3128"),
        ("ca", "/x.pem"),
        ("channel", "wecom_external"),
    ],
)
def test_a_secret_goes_nowhere_else_than_it_was_sealed_for(
    settings: Settings, accounts: tuple[LiveAccounts, Ticks], key: str, value: str
) -> None:
    """Who writes to the table alone could have it sent to a server of theirs; a change by the command seals anew."""
    known, ticks = accounts
    acts.add_account("acme", {**ACME, "secret": "of acme"}, settings=settings, **BY)
    with open_current_database(settings) as database, database.writing() as connection:
        [[stored]] = connection.execute(text("select settings from worker_accounts")).all()
        changed = json.dumps({**json.loads(stored), key: value})
        connection.execute(text("update worker_accounts set settings = :it, version = 'v2'"), {"it": changed})

    with pytest.raises(ConfigurationError, match="changed by hand in channel, base_url, proxy, ca or token_provider"):
        secret_of(known.get("acme"))

    with open_current_database(settings) as database, database.writing() as connection:
        connection.execute(text("update worker_accounts set settings = :it, version = 'v3'"), {"it": stored})
    acts.change_account("acme", {"base_url": "http://moved"}, settings=settings, **BY)
    ticks.advance(POLL_S)
    assert (secret_of(known.get("acme")), known.get("acme").base_url) == ("of acme", "http://moved")


def test_a_key_in_a_file(settings: Settings, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by the settings, or by a variable that ends in FILE."""
    monkeypatch.delenv("WORKER_SEAL_KEY")
    place = f"{tmp_path}/key"
    with open(place, "w", encoding="utf-8") as file:
        file.write(KEY + "\n")
    monkeypatch.setenv("WORKER_SEAL_KEY__FILE", place)
    own = Settings(database=settings.database, seal_key=SecretFrom(env="NOTHING"))
    acts.add_account("acme", {**ACME, "secret": "app-secret"}, settings=own, **BY)
    assert secret_of(accounts_of(own).get("acme")) == "app-secret"


def test_a_rotation_keeps_what_was_valid_before(settings: Settings, accounts: tuple[LiveAccounts, Ticks]) -> None:
    """One generation; the other keys of the account stay."""
    known, ticks = accounts
    acts.add_account("acme", {**ACME, "secret": "one", "callback": CALLBACK}, settings=settings, **BY)
    for new, old in (("two", "one"), ("three", "two")):
        acts.rotate_account("acme", {"secret": new}, settings=settings, **BY)
        ticks.advance(POLL_S)
        account = known.get("acme")
        assert account.previous_credentials is not None
        assert (new, old) == (secret_of(account), secret_of(account.previous_credentials))
        assert account.previous_credentials.settings["callback"]["token"].read() == "callback-token"
    acts.rotate_account("acme", {"callback": {**CALLBACK, "token": "another"}}, settings=settings, **BY)
    ticks.advance(POLL_S)
    account = known.get("acme")
    assert account.previous_credentials is not None
    assert (secret_of(account), secret_of(account.previous_credentials)) == ("three", "two")
    tokens = [one.settings["callback"]["token"].read() for one in (account, account.previous_credentials)]
    assert tokens == ["another", "callback-token"]
    with pytest.raises(ConfigurationError, match="corpid cannot be rotated; give secret or callback"):
        acts.rotate_account("acme", {"corpid": "x"}, settings=settings, **BY)
    with pytest.raises(WorkerError, match="there is no account 'nobody' in the outbox"):
        acts.rotate_account("nobody", {"secret": "x"}, settings=settings, **BY)


@pytest.mark.every_database
def test_disabled_enabled_and_removed(
    settings: Settings, accounts: tuple[LiveAccounts, Ticks], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of it needs the key."""
    known, ticks = accounts
    acts.add_account("acme", {**ACME, "secret": "one"}, settings=settings, **BY)
    monkeypatch.delenv("WORKER_SEAL_KEY")
    acts.set_disabled("acme", True, settings=settings, **BY)
    with pytest.raises(ConfigurationError, match="is disabled"):
        known.get("acme")
    acts.set_disabled("acme", False, settings=settings, **BY)
    ticks.advance(POLL_S)
    account = known.get("acme")
    monkeypatch.setenv("WORKER_SEAL_KEY", KEY)
    assert secret_of(account) == "one"
    acts.remove_account("acme", settings=settings, **BY)
    ticks.advance(POLL_S)
    assert known.names() == ()
    with pytest.raises(WorkerError, match="there is no account 'acme'"):
        acts.remove_account("acme", settings=settings, **BY)


def test_another_key_takes_over_without_a_gap(
    settings: Settings, accounts: tuple[LiveAccounts, Ticks], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both while they are sealed anew, then the new one alone."""
    known, ticks = accounts
    for name in ("acme", "other"):
        acts.add_account(name, {**ACME, "secret": f"of {name}"}, settings=settings, **BY)
    monkeypatch.setenv("WORKER_SEAL_KEY", f"{OTHER} {KEY}")
    assert secret_of(known.get("acme")) == "of acme"
    assert acts.reseal_accounts(settings=settings, **BY) == 2
    monkeypatch.setenv("WORKER_SEAL_KEY", OTHER)
    ticks.advance(POLL_S)
    assert [secret_of(known.get(name)) for name in ("acme", "other")] == ["of acme", "of other"]

    with open_current_database(settings) as database, database.writing() as connection:
        connection.execute(text("update worker_accounts set sealed = 'damaged' where name = 'acme'"))
    monkeypatch.setenv("WORKER_SEAL_KEY", f"{KEY} {OTHER}")
    with pytest.raises(WorkerError, match=r"^acme: no key opens it"):
        acts.reseal_accounts(settings=settings, **BY)
    monkeypatch.setenv("WORKER_SEAL_KEY", KEY)
    ticks.advance(POLL_S)
    assert secret_of(known.get("other")) == "of other"


@pytest.mark.parametrize("row", ["no JSON", "[1]", "null", '{"channel": {"sealed": 5}}'])
def test_a_row_that_holds_no_table_is_one_wrong_account(
    settings: Settings, accounts: tuple[LiveAccounts, Ticks], row: str
) -> None:
    """Others are read as ever, also those that are added afterwards; mended, it is there."""
    known, ticks = accounts
    for name in ("acme", "other"):
        acts.add_account(name, {**ACME, "secret": f"of {name}"}, settings=settings, **BY)
    with open_current_database(settings) as database, database.writing() as connection:
        connection.execute(text("update worker_accounts set settings = :row where name = 'acme'"), {"row": row})
    assert list(unusable_accounts(known)) == ["acme"]
    assert secret_of(known.get("other")) == "of other"
    acts.add_account("third", {**ACME, "secret": "of third"}, settings=settings, **BY)
    ticks.advance(POLL_S)
    assert secret_of(known.get("third")) == "of third"
    acts.remove_account("acme", settings=settings, **BY)
    acts.add_account("acme", {**ACME, "secret": "anew"}, settings=settings, **BY)
    ticks.advance(POLL_S)
    assert secret_of(known.get("acme")) == "anew"


def test_what_could_not_be_used_is_not_added(settings: Settings, accounts: tuple[LiveAccounts, Ticks]) -> None:
    """All or none of several; and nothing in place of another."""
    good = {**ACME, "secret": "one"}
    for wrong, said in (
        ({**good, "agentid": "x"}, r"accounts\.bad\.agentid: is missing or not an integer"),
        ({**good, "limit": 3}, r"accounts\.bad\.limit: is not a setting of wecom_app; did you mean limits"),
        ({**good, "secret": {"sealed": "secret"}}, "secret: write the secret itself"),
        ({**good, "proxy": "gopher://x:hunter2@y"}, r"accounts\.bad\.proxy"),
        ({**good, "callback": {**CALLBACK, "aes_key": "hunter2"}}, r"accounts\.bad\.callback\.aes_key"),
    ):
        with pytest.raises(ConfigurationError, match=said) as caught:
            acts.import_accounts({"good": good, "bad": wrong}, settings=settings, **BY)
        assert "hunter2" not in str(caught.value)
    acts.add_account("acme", good, settings=settings, **BY)
    with pytest.raises(WorkerError, match="account acme is there already"):
        acts.import_accounts({"another": good, "acme": good}, settings=settings, **BY)
    assert accounts[0].names() == ("acme",)


def test_an_import_reads_what_the_tables_name(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the files and variables can go afterwards."""
    monkeypatch.setenv("HR_SECRET", "from the environment")
    table = {**ACME, "secret": {"env": "HR_SECRET"}, "callback": {**CALLBACK, "token": {"env": "HR_SECRET"}}}
    assert acts.import_accounts({"hr": table}, settings=settings, **BY) == 1
    monkeypatch.setenv("PROXY", "http://t0ken@proxy:80")
    provider = {"url": "https://tokens.corp/hr", "bearer": {"env": "HR_SECRET"}}
    other = {**ACME, "proxy": {"env": "PROXY"}, "token_provider": provider}
    assert acts.import_accounts({"other": other}, settings=settings, **BY) == 1
    with open_current_database(settings) as database, database.reading() as connection:
        stored = repr(connection.execute(text("select * from worker_accounts")).all())
    assert not [one for one in ("t0ken", "from the environment") if one in stored]
    monkeypatch.delenv("HR_SECRET")
    account = accounts_of(settings).get("hr")
    assert "from the environment" == secret_of(account) == account.settings["callback"]["token"].read()


def test_of_two_people_one_changes_it(settings: Settings) -> None:
    """The other is told, and nothing of the first is lost."""
    acts.add_account("acme", {**ACME, "secret": "one"}, settings=settings, **BY)
    row = AccountRow("acme", "v2", json.dumps(ACME), None)
    with open_current_database(settings) as database:
        put = partial(put_account, now=database.now, row=row, replaces="some version of before")
        assert not database.run(put)
    [stored] = acts.stored_accounts("acme", settings)
    assert "secret" in stored.table


# -- what a wrong account stops ----------------------------------------------------------------------------------------


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process with two accounts."""
    with planted(database, driven_clock, accounts=[an_account(), an_account("it", settings={"agentid": 8})]) as made:
        yield made


def beat(site: Site) -> dict[str, tuple[int, str]]:
    """A heartbeat, and what it tells of accounts."""
    states = site.runtime.lane_states
    site.runtime.lease.beat(states.summary(), states.unusable())
    with site.database.reading() as connection:
        return unusable_account_counts(living_processes(connection, site.database.now))


def unreadable() -> str:
    raise ConfigurationError("accounts.hr.secret names environment variable HR_SECRET, which is empty or not there")


def raising(error: Exception) -> Account:
    """An account of an application's whose secret cannot be read."""

    def read() -> str:
        raise error

    table = {**ACME, "base_url": "http://vendor", "secret": Secret(read)}
    return account_of("hr", table, Settings())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (an_account(settings={"agentid": "x"}), "accounts.hr.agentid: is missing or not an integer"),
        (an_account(settings={"limit": 1}), "accounts.hr.limit: is not a setting of wecom_app"),
        (replace(an_account(), secret=Secret(unreadable)), "names environment variable HR_SECRET"),
        (replace(an_account(), secret=None), "accounts.hr has no secret"),
        (raising(KeyError("hunter2")), "accounts.hr.secret comes from a function that failed: KeyError"),
        (raising(OperationalError("hunter2", {}, Exception())), "a function that failed: OperationalError"),
    ],
)
def test_a_wrong_account_waits_and_comes_back(site: Site, wrong: Account, said: str) -> None:
    """Others go on; the heartbeat tells what to change; mended, it goes on within seconds, and each is sent once."""
    it = an_account("it", settings={"agentid": 8})
    job, other = site.send("waits"), site.send("goes", account="it")
    site.accounts.replace(wrong, it)
    site.forget_tokens()
    site.run()
    assert ([site.state(job), site.state(other)], len(site.calls())) == (["queued", "accepted"], 1)
    told = beat(site)
    assert (list(told), told["hr"][0], said in told["hr"][1]) == (["hr"], 1, True)

    site.accounts.replace(an_account(), it)
    site.advance(6)
    site.run()
    assert (site.state(job), len(site.calls())) == ("accepted", 2)
    site.advance(15)
    assert beat(site) == {}


@pytest.mark.every_database
def test_a_refused_new_secret_is_bridged_by_the_previous_one(site: Site) -> None:
    """Until the vendor takes it; nothing is parked."""
    before = an_account()
    site.accounts.replace(replace(an_account(), secret=Secret(lambda: "not valid yet"), previous_credentials=before))
    site.forget_tokens()
    site.vendor.says_for_tokens(refused(40001, "invalid credential"))
    job = site.send("in a rotation")
    site.run()
    assert site.state(job) == "accepted"

    # Now the vendor changes over: the old token and the old secret are refused, and the new one is taken at last.
    site.advance(30)
    site.vendor.says(refused(40014, "invalid access_token"))
    site.vendor.says_for_tokens(refused(40001, "invalid credential"))
    later = site.send("changed over")
    for _ in range(5):
        site.run()
        site.advance(1)
    assert site.state(later) == "accepted"


@pytest.mark.every_database
@pytest.mark.parametrize(
    ("said", "calls"),
    [(refused(60020, "not allow to access from your ip"), 2), (refused(45009, "api freq out of limit"), 1)],
    ids=["parked", "struck"],
)
def test_other_settings_are_tried_at_once_where_they_may_help(site: Site, said: CallResult, calls: int) -> None:
    """A parked account is tried with its new proxy, say; a penalty of the vendor goes on."""
    site.vendor.says(said)
    site.send("once more")
    site.run()
    assert len(site.calls()) == 1
    site.advance(10)
    site.run()
    assert len(site.calls()) == 1
    with site.database.writing() as connection:
        retry_changed_accounts(connection, site.database.now, ["hr"])
    site.advance(1)
    site.run()
    assert calls == len(site.calls())


@pytest.mark.every_database
def test_what_waits_for_a_token_is_tried_at_once_with_other_settings(site: Site) -> None:
    """Known by its cause, not by the words of its reason: an account that gettoken keeps waiting is not parked."""
    site.forget_tokens()
    site.vendor.says_for_tokens(refused(-1, "system busy"))
    job = site.send("once more")
    site.run()
    waiting = site.lane("hr")
    assert waiting is not None
    site.sql("update worker_lanes set reason = 'noise', failures = 0, blocked_until = blocked_until + 600000000")

    with site.database.writing() as connection:
        retry_changed_accounts(connection, site.database.now, ["hr"])
    site.advance(1)
    site.run()

    assert (waiting.cause, bool(waiting.parked)) == ("token", False)
    assert site.state(job) == "accepted"


def test_credentials_of_before_that_are_the_same_are_not_asked_with(site: Site) -> None:
    """Only the callback was rotated: a refused secret parks the account after one gettoken, as without a rotation."""
    site.accounts.replace(replace(an_account(), previous_credentials=an_account()))
    site.forget_tokens()
    site.vendor.says_for_tokens(*[refused(40001, "invalid credential")] * 50)
    before = site.vendor.tokens
    site.send("refused")
    for _ in range(10):
        site.run()
        site.advance(1)
    lane = site.lane("hr")
    assert lane is not None
    assert (bool(lane.parked), site.vendor.tokens - before) == (True, 1)
