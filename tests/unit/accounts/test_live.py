"""Accounts that change while a process runs: what is looked at when, and what a wrong one stops."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.runtime import Ticks
from worker.accounts.live import POLL_S, LiveAccounts, Table
from worker.accounts.sources import ApplicationAccounts, FileAccounts, accounts_of
from worker.channels.registry import alike, channel, unusable_accounts
from worker.config.accounts import account_of
from worker.config.settings import Settings, load_settings
from worker.domain.account import Secret
from worker.domain.errors import ConfigurationError, UnknownAccount
from worker.hooks.verifiers import Verifiers

GOOD = {"channel": "wecom_app", "corpid": "ww1", "agentid": 7}
ACCOUNTS = '[accounts.hr]\nchannel = "wecom_app"\ncorpid = "ww1"\nagentid = 7\n'


class Scripted:
    """A source whose tables, or whose failure, a test sets."""

    def __init__(self, tables: Mapping[str, Table]):
        self.tables, self.looks = tables, 0
        self.failure: str | None = None

    def refresh(self) -> Mapping[str, Table]:
        """The tables, counted."""
        self.looks += 1
        if self.failure is not None:
            raise ConfigurationError(self.failure)
        return self.tables


def live(ticks: Ticks, *sources: Any) -> LiveAccounts:
    """Accounts of these sources."""
    return LiveAccounts(sources, partial(account_of, settings=Settings()), monotonic=ticks)


def test_a_change_is_seen_at_the_next_look() -> None:
    """And an account whose table is equal stays the same object, because tokens and rooms are kept for it."""
    ticks, source = Ticks(), Scripted({"hr": GOOD, "ops": {**GOOD, "agentid": 8}})
    accounts = live(ticks, source)
    hr, ops, names = accounts.get("hr"), accounts.get("ops"), accounts.names()
    source.tables = {"hr": dict(GOOD), "ops": {**GOOD, "agentid": 9}, "new": GOOD}
    assert accounts.get("hr") == hr
    assert accounts.get("ops") == ops
    assert accounts.names() == names
    assert source.looks == 1

    ticks.advance(POLL_S)

    assert hr is accounts.get("hr")
    assert accounts.get("ops").settings["agentid"] == 9
    assert accounts.names() == ("hr", "new", "ops")
    assert accounts.names() is accounts.names()
    source.tables = {"hr": GOOD}
    ticks.advance(POLL_S)
    with pytest.raises(UnknownAccount, match="'ops' does not exist; use one of: hr"):
        accounts.get("ops")
    assert source.looks == 3


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # that it has threads, which is what is tried
def test_a_child_reads_for_itself_also_in_a_thread_with_the_number_of_a_lost_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process forked while another thread reads a source; a thread of the child gets that one's number."""
    parent, is_reading, may_end = os.getpid(), threading.Event(), threading.Event()

    class Slow(Scripted):
        """A source that the parent reads for as long as the test needs."""

        def refresh(self) -> Mapping[str, Table]:
            is_reading.set()
            if os.getpid() == parent:
                may_end.wait()
            return super().refresh()

    accounts = live(Ticks(), Slow({"hr": GOOD}))
    reader = threading.Thread(target=accounts.names)
    reader.start()
    is_reading.wait()
    output, name = os.pipe()

    if not (child := os.fork()):
        try:
            monkeypatch.setattr("threading.get_ident", lambda: reader.ident)
            os.write(name, accounts.get("hr").name.encode())
        finally:
            os._exit(0)

    os.waitpid(child, 0)
    may_end.set()
    reader.join()
    os.close(name)
    with open(output, encoding="utf-8") as written:
        assert written.read() == "hr"


def test_names_like_one_that_does_not_exist_are_looked_for_when_the_sentence_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In 5,000 names that takes 77 ms, and anybody may ask a receiver for any name; in Chinese, too."""
    searches: list[str] = []
    monkeypatch.setattr("difflib.get_close_matches", lambda name, *_, **__: searches.append(name) or ["customer-7"])
    monkeypatch.setenv("WORKER_LANG", "zh")
    accounts = live(Ticks(), Scripted({f"customer-{n}": GOOD for n in range(9)}))

    assert None is Verifiers(accounts, 300).of("customer-x")
    assert searches == []
    with pytest.raises(UnknownAccount, match="use one of: customer-7 and 8 more") as caught:
        accounts.get("customer-x")
    assert "账号 'customer-x' 不存在" in "".join(traceback.format_exception(caught.value))
    assert str(caught.value) == str(pickle.loads(pickle.dumps(caught.value)))


def test_a_wrong_account_stops_itself_alone() -> None:
    """With a sentence that is raised anew each time; mended, it is there."""
    ticks = Ticks()
    source = Scripted(
        {"hr": GOOD, "bad": {"corpid": "ww1"}, "worse": 7, "worst": {**GOOD, "agentid": "x"}, "a b": GOOD}
    )
    accounts = live(ticks, source)

    assert accounts.get("hr").name == "hr"
    assert unusable_accounts(accounts) == {
        "a b": "accounts: 'a b' is not an account name; use at most 60 of A-Z a-z 0-9 _ . -",
        "bad": "accounts.bad.channel: is missing; add it",
        "worst": "accounts.worst.agentid: is missing or not an integer; add the app's AgentId, such as 1000002",
        "worse": "accounts.worse: is not a table; write keys and values below it",
    }
    source.tables = {"bad": GOOD}
    ticks.advance(POLL_S)
    assert accounts.get("bad").settings["corpid"] == "ww1"


def test_a_source_that_cannot_be_read_changes_nothing() -> None:
    """The accounts stay; one that was never read is not called unknown."""
    ticks, source = Ticks(), Scripted({})
    source.failure = "accounts: shop.wecom:accounts failed: OSError"
    accounts = live(ticks, Scripted({"hr": GOOD}), source)
    with pytest.raises(ConfigurationError, match="failed: OSError") as caught:
        accounts.get("ops")
    assert not isinstance(caught.value, UnknownAccount)
    assert accounts.read_errors() == ("accounts: shop.wecom:accounts failed: OSError",)
    assert accounts.names() == ("hr",)

    source.failure, source.tables = None, {"ops": GOOD}
    ticks.advance(POLL_S)
    assert accounts.get("ops").name == "ops"
    assert accounts.read_errors() == ()
    source.failure = "again"
    ticks.advance(POLL_S)
    assert accounts.get("ops").name == "ops"
    assert accounts.read_errors() == ("again",)


def test_the_first_source_wins_and_others_are_not_looked_at_for_it() -> None:
    """A producer of accounts in the file opens no database."""
    ticks = Ticks()
    first, second = Scripted({"hr": GOOD}), Scripted({"hr": {**GOOD, "agentid": 9}, "ops": GOOD})
    accounts = live(ticks, first, second)

    assert accounts.get("hr").settings["agentid"] == 7
    assert second.looks == 0
    assert accounts.get("ops").name == "ops"
    assert second.looks == 1


def test_a_disabled_account_takes_nothing() -> None:
    """With the command that enables it."""
    accounts = live(Ticks(), Scripted({"hr": {**GOOD, "disabled": True}}))
    with pytest.raises(
        ConfigurationError, match=r"accounts\.hr: is disabled; run `worker accounts change hr --enable`"
    ):
        accounts.get("hr")


def test_accounts_of_one_app_are_found_without_asking_for_all_again() -> None:
    """Until one changes; a wrong one is none of them."""
    ticks = Ticks()
    source = Scripted({"a": GOOD, "b": GOOD, "c": {**GOOD, "corpid": "ww2"}, "bad": {}})
    accounts = live(ticks, source)
    scope = channel("wecom_app").app_scope
    assert alike(accounts, accounts.get("b"), scope) == ["b", "a"]

    source.tables = {**source.tables, "d": GOOD}
    ticks.advance(POLL_S)
    assert alike(accounts, accounts.get("b"), scope) == ["b", "a", "d"]
    assert alike(accounts, accounts.get("c"), scope) == ["c"]


def test_a_settings_file_is_followed(tmp_path: Path) -> None:
    """Also when it is replaced by another file of the same size and time; one that is not valid is waited for."""
    file = tmp_path / "worker.toml"
    file.write_text(ACCOUNTS, encoding="utf-8")
    source = FileAccounts(load_settings(file))
    first = source.refresh()
    assert first is source.refresh()

    file.write_text(ACCOUNTS + ACCOUNTS.replace("hr", "ops"), encoding="utf-8")
    assert list(source.refresh()) == ["hr", "ops"]
    file.write_text("[accounts.hr\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        source.refresh()
    other = tmp_path / "other.toml"
    other.write_text(ACCOUNTS, encoding="utf-8")
    other.replace(file)
    assert list(source.refresh()) == ["hr"]
    file.unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        source.refresh()


def test_a_function_of_the_application_names_its_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again at each look; what it raises is told without its text, and no other account suffers."""
    (tmp_path / "corps.py").write_text(
        "from worker import Secret\n"
        "FOUND = {'acme': {'channel': 'wecom_app', 'corpid': 'ww9', 'agentid': 1, 'secret': Secret(lambda: 's9')}}\n"
        "def accounts():\n    return FOUND\n"
        "def broken():\n    raise RuntimeError('hunter2')\n"
        "def odd():\n    return [7]\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "worker.toml").write_text('accounts = "corps:accounts"\n', encoding="utf-8")
    accounts = accounts_of(load_settings(tmp_path / "worker.toml"))

    secret = accounts.get("acme").secret
    assert accounts.names() == ("acme",)
    assert (secret.read() if secret else None) == "s9"
    for name, said in (("broken", "failed: RuntimeError > corps.py:6 broken"), ("odd", "must return a mapping of")):
        with pytest.raises(ConfigurationError, match=f"accounts: corps:{name} {said}") as caught:
            ApplicationAccounts(f"corps:{name}").refresh()
        assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="module corps has no function nothing"):
        ApplicationAccounts("corps:nothing")


KEYED = """
from worker import Secret

def table(secret):
    return {"channel": "wecom_app", "corpid": "ww9", "agentid": 1, "secret": Secret(lambda: secret)}

class Corp:
    def __repr__(self):
        return "hunter2"

def accounts():
    return {"hr": table("h"), "7": table("text"), 7: table("number"), None: {}, Corp(): table("object")}
"""


def test_a_name_that_is_no_text_stops_no_other_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrong key is named as an account that cannot be used; of an object of the application's its class alone."""
    (tmp_path / "keyed.py").write_text(KEYED, encoding="utf-8")
    (tmp_path / "worker.toml").write_text('accounts = "keyed:accounts"', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    accounts = accounts_of(load_settings(tmp_path / "worker.toml"))

    found = [accounts.get(name).secret for name in ("hr", "7")]
    wrong = unusable_accounts(accounts)

    assert [secret.read() for secret in found if secret] == ["h", "text"]
    assert wrong.keys() == {"(Corp)", "7 (int)", "None (NoneType)"}
    assert wrong["7 (int)"].startswith("accounts: '7 (int)' is not an account name; use")
    assert "hunter2" not in str(wrong)
    assert accounts.read_errors() == ()


def test_a_secret_is_never_a_text(tmp_path: Path) -> None:
    """Whatever the source is, and it does not show."""
    accounts = live(Ticks(), Scripted({"hr": {**GOOD, "secret": "hunter2"}, "ops": {**GOOD, "secret": Secret(str)}}))
    with pytest.raises(ConfigurationError, match="settings only name the place") as caught:
        accounts.get("hr")
    assert "hunter2" not in repr(caught.value)
    assert accounts.get("ops").secret is not None


def test_what_was_valid_before_stands_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same account with the credentials of before."""
    monkeypatch.setenv("NEW", "new")
    monkeypatch.setenv("OLD", "old")
    table = {**GOOD, "secret": {"env": "NEW"}, "previous_credentials": {"secret": {"env": "OLD"}}}
    account = live(Ticks(), Scripted({"hr": table})).get("hr")
    before = account.previous_credentials

    assert before is not None
    assert before.secret is not None
    assert account.secret is not None
    assert account.secret.read() == "new"
    assert before.secret.read() == "old"
    assert before.previous_credentials is None
    assert account.settings == before.settings
    with pytest.raises(ConfigurationError, match=r"previous_credentials\.corpid is no credential"):
        live(Ticks(), Scripted({"hr": {**GOOD, "previous_credentials": {"corpid": "x"}}})).get("hr")


def test_whatever_a_source_or_a_table_raises_stays_with_it() -> None:
    """A table that nobody foresaw is one wrong account; a source that breaks changes nothing."""
    ticks = Ticks()
    odd: dict[str, Any] = {**GOOD, "callback": {"token": {"env": 5}, "aes_key": {"env": "A"}}}
    endless: dict[str, Any] = dict(GOOD)
    endless["callback"] = endless
    source = Scripted({"hr": GOOD, "odd": odd, "endless": endless, "none": cast(Any, None)})
    accounts = live(ticks, source)
    assert accounts.get("hr").name == "hr"
    wrong = unusable_accounts(accounts)
    assert sorted(wrong) == ["endless", "none", "odd"]
    assert "accounts.odd.callback.token.env: input should be a valid string" in wrong["odd"]
    assert wrong["endless"].startswith("accounts.endless")

    source.refresh = cast(Any, lambda: {}["hunter2"])  # type: ignore[method-assign]
    ticks.advance(POLL_S)
    assert accounts.get("hr").name == "hr"
    [told] = accounts.read_errors()
    assert "accounts: a source of accounts failed: KeyError" in told
    assert "hunter2" not in told


def test_a_source_that_asks_for_an_account_itself_is_answered() -> None:
    """It hangs neither at its first look nor later."""
    ticks, found = Ticks(), list[str]()

    class Asking(Scripted):
        def refresh(self) -> Mapping[str, Table]:
            with suppress(ConfigurationError):
                found.append(accounts.get("hr").name)
            return super().refresh()

    accounts = live(ticks, Asking({"hr": GOOD}))
    accounts.get("hr")
    ticks.advance(POLL_S)
    accounts.get("hr")
    assert found == ["hr"]


def test_a_new_secret_of_the_function_is_no_other_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its newest one is read; a table that is changed in place is noticed."""
    (tmp_path / "firms.py").write_text(
        "from worker import Secret\nCALLS = []\nTABLE = {'channel': 'wecom_app', 'corpid': 'ww9', 'agentid': 1}\n"
        "def accounts():\n"
        "    CALLS.append(1)\n    n = len(CALLS)\n    TABLE['secret'] = Secret(lambda: f's{n}')\n"
        "    return {'acme': TABLE}\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "firms", raising=False)
    ticks = Ticks()
    accounts = live(ticks, ApplicationAccounts("firms:accounts"))
    first, names = accounts.get("acme"), accounts.names()
    ticks.advance(POLL_S)
    again = accounts.get("acme")
    assert again is first
    assert names is accounts.names()
    assert again.secret is not None
    assert again.secret.read() == "s2"
    sys.modules["firms"].TABLE["agentid"] = 2
    ticks.advance(POLL_S)
    assert accounts.get("acme").settings["agentid"] == 2
