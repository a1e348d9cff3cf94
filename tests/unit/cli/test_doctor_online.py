"""`worker doctor --online`: what a simulated vendor says of each account, and what is to be changed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.listening import listening
from worker.accounts.sources import accounts_of
from worker.channels.base import CallbackVerifier
from worker.cli import main
from worker.cli.db import upgrade_tables
from worker.cli.setup.finding import Finding, Level
from worker.cli.setup.online import OnlineTools, online_findings
from worker.config.settings import load_settings
from worker.control.lift import lift
from worker.domain.callbacks.inbound import Inbound
from worker.hooks.callbacks import CallbackStore
from worker.hooks.verifiers import make_verifier
from worker.outbox.engine.counting import BufferedCounts
from worker.outbox.engine.database import Database, make_engine
from worker.service.web.receiver import Receiver
from worker_simulator.server import running
from worker_simulator.settings import SimulatorSettings

APP: dict[str, Any] = {"corpid": "ww1", "agentid": 1000002, "secret": "s3cret", "visible": ["anna", "bob"]}
CALLBACK = 'callback = { token = { env = "HR_TOKEN" }, aes_key = { env = "HR_KEY" } }\n'


@pytest.fixture
def asked(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Finding]]:
    """What is found for one account, `more` in its table, at a vendor with this app; or once more, after `between`."""
    monkeypatch.setenv("WORKER_CONFIG", str(tmp_path / "worker.toml"))
    for name, value in {"HR_SECRET": "s3cret", "HR_TOKEN": "t0ken", "HR_KEY": "a" * 43}.items():
        monkeypatch.setenv(name, value)

    def run(
        app: dict[str, Any], more: str = "", top: str = "", between: Callable[[], None] | None = None
    ) -> list[Finding]:
        settings = SimulatorSettings.model_validate({"apps": [{**APP, **app}]})
        with running(settings) as url:
            (tmp_path / "worker.toml").write_text(
                f'database = "{sqlite_url}"\n{top}\n[accounts.hr]\nchannel = "wecom_app"\ncorpid = "ww1"\n'
                f'agentid = 1000002\nsecret = {{ env = "HR_SECRET" }}\nbase_url = "{url}"\n{more}',
                encoding="utf-8",
            )
            upgrade_tables()
            tools = OnlineTools(pause=lambda seconds: None)
            found = list(online_findings(load_settings(), tools=tools))
            if between is not None:
                between()
                found = list(online_findings(load_settings(), tools=tools))
            return found

    return run


Asked = Callable[..., list[Finding]]


def receiver(settings_file: Path, account: str = "hr") -> AbstractContextManager[str]:
    """`worker receiver` over real HTTP, which knows one account; its address. The file is read when it is asked."""

    def doors(name: str) -> CallbackVerifier | None:
        return make_verifier(accounts_of(load_settings(settings_file)).get(name), 300.0) if name == account else None

    return listening(Receiver(doors, lambda name, inbound: False).app)


def told(found: list[Finding]) -> list[str]:
    """Level and text of each."""
    return [f"{one.level} {one.text}" for one in found]


def test_an_account_that_works_is_proved(asked: Asked) -> None:
    """Token, address and app; the app's visible range is told, and no secret."""
    found = asked({})

    assert {one.what for one in found} == {"online hr"}
    assert told(found) == [
        "ok has a token",
        "ok trusted IP: the vendor accepts calls from this machine",
        "ok agent 1000002 (simulated app) can be read; its visible range has members: 2, departments: 0, tags: 0",
    ]


def test_an_address_that_is_not_trusted_is_told(asked: Asked) -> None:
    """As the vendor sees it, with what the console wants first."""
    found = asked({"trusted_ips": ["203.0.113.7"]})

    fetched, refused = told(found)
    assert fetched == "ok has a token"
    assert refused.startswith(
        "problem trusted IP: 60020 the caller's IP is not trusted; add the IP to the app's trusted IPs"
    )
    assert "(the vendor sees 127.0.0.1)" in refused
    assert "only for an app with a trusted domain or a callback address" in refused


@pytest.mark.parametrize(
    ("app", "wrong"),
    [
        ({"secret": "another"}, "problem no token: 40001 the secret is wrong"),
        ({"enabled": False}, "problem no token: 50003 the app is disabled; enable the app in the admin console"),
        ({"agentid": 1000003}, "problem 40056 bad agentid; correct agentid"),
    ],
)
def test_what_the_vendor_refuses_comes_with_its_remedy(asked: Asked, app: dict[str, Any], wrong: str) -> None:
    """Of the secret, the app and the agentid; and nothing is said of the address, which may not have been looked at."""
    found = told(asked(app))

    assert found[-1].startswith(wrong)
    assert not [line for line in found if "trusted IP" in line]


def test_an_earlier_refusal_is_said_to_be_one(asked: Asked, sqlite_url: str) -> None:
    """The vendor is not asked again before a person has resumed the account."""

    def a_minute_passes() -> None:
        with closing(Database(make_engine(sqlite_url))) as database, database.writing() as connection:
            connection.exec_driver_sql("update worker_tokens set probe_at = probe_at - 60000000")

    def resumed() -> None:
        with closing(Database(make_engine(sqlite_url))) as database:
            lift("hr", person="ann", database=database)

    [earlier] = told(asked({"secret": "another"}, between=a_minute_passes))
    [again] = told(asked({"secret": "another"}, between=resumed))

    assert earlier.startswith("problem no token: 40001 the secret is wrong")
    assert "; then `worker resume hr`, and check again (the vendor refused it 6" in earlier
    assert "worker resume" not in again


def test_a_vendor_that_is_not_there_is_a_problem(asked: Asked) -> None:
    """With the transport's own remedy or the reason."""
    found = asked({}, 'proxy = "http://127.0.0.1:1"')

    [line] = told(found)
    assert line.startswith("problem no token: gettoken: ")


def test_a_callback_is_asked_through_its_public_address(asked: Asked, tmp_path: Path) -> None:
    """As the vendor asks it when the console's page is saved."""
    with receiver(tmp_path / "worker.toml") as url:
        found = asked({}, CALLBACK, f'public_url = "{url}/"')

    proved = "the vendor's first callback will prove that it has the same"
    assert f"ok callback: {url}/callback/hr answers with these settings; {proved}" == told(found)[-1]


def test_the_vendors_own_callbacks_prove_what_a_verification_of_ours_cannot(
    asked: Asked, tmp_path: Path, sqlite_url: str
) -> None:
    """The receiver has our token, so it answers us; that the vendor has another shows in what it refused.

    Once one was accepted, what was refused before says nothing, however long ago that was.
    """
    with receiver(tmp_path / "worker.toml") as url, closing(Database(make_engine(sqlite_url))) as database:
        top = f'public_url = "{url}"'
        asked({}, CALLBACK, top)
        counts = BufferedCounts(database)
        counts.add("callbacks_refused", "hr", "403", times=3)
        counts.add("callbacks_refused", "hr", "404", times=5)
        counts.add("callbacks_refused", "it", "403", times=7)
        counts.flush()
        refused = told(asked({}, CALLBACK, top))[-1]
        inbound = Inbound("enter_agent", "anna", 1, ("enter",), {})
        CallbackStore(database, load_settings(), accounts_of(load_settings())).store("hr", inbound)
        with database.writing() as connection:
            connection.exec_driver_sql("update worker_inbound set received_at = received_at - 86400000000")
        taken = told(asked({}, CALLBACK, top))[-1]

    assert refused.startswith("caution callback: none from the vendor was accepted, refused so far: 3")
    assert (
        f"ok callback: {url}/callback/hr answers with these settings, and callbacks of the vendor were accepted"
        == taken
    )


@pytest.mark.parametrize(
    ("account", "token", "key", "why"),
    [
        ("it", "t0ken", "a" * 43, "answers 404: the receiver there does not have the account"),
        (
            "hr",
            "t0ken",
            "b" * 43,
            "answers 403: the receiver there has another token, aes_key (EncodingAESKey) or clock",
        ),
        (
            "hr",
            "other",
            "a" * 43,
            "answers 403: the receiver there has another token, aes_key (EncodingAESKey) or clock",
        ),
    ],
)
def test_a_callback_that_answers_otherwise_is_a_problem(
    asked: Asked, tmp_path: Path, account: str, token: str, key: str, why: str
) -> None:
    """By its status."""
    other = tmp_path / "other.toml"
    other.write_text(
        '[accounts.hr]\nchannel = "wecom_app"\ncorpid = "ww1"\nagentid = 1000002\nsecret = { env = "HR_SECRET" }\n'
        f'callback = {{ token = {{ file = "{tmp_path}/token" }}, aes_key = {{ file = "{tmp_path}/key" }} }}\n',
        encoding="utf-8",
    )
    (tmp_path / "token").write_text(token, encoding="utf-8")
    (tmp_path / "key").write_text(key, encoding="utf-8")
    with receiver(other, account) as url:
        found = asked({}, CALLBACK, f'public_url = "{url}"')

    assert f"problem callback: {url}/callback/hr {why}" in told(found)[-1]


def test_a_callback_that_is_not_reached_is_a_problem(asked: Asked) -> None:
    """The remedy names the receiver."""
    [*_, last] = told(asked({}, CALLBACK, 'public_url = "http://127.0.0.1:1"'))

    assert last.startswith("problem callback: http://127.0.0.1:1/callback/hr does not answer (")
    assert "start `worker receiver`" in last


def test_what_cannot_be_proved_is_not_known(asked: Asked) -> None:
    """No public address, and calls that staging keeps from the vendor."""
    assert "caution callback not known: set public_url" in told(asked({}, CALLBACK))[-1]
    assert told(asked({}, "staging = { dry_run = true }")) == [
        "caution not known: staging.dry_run keeps every call from the vendor"
    ]


def test_each_kind_of_account_is_asked_its_own_way(asked: Asked) -> None:
    """Customer contact by its list; a webhook cannot be tried."""
    table = '\n[accounts.{name}]\nchannel = "{channel}"\nbase_url = "{url}"\nsecret = {{ env = "HR_SECRET" }}\n{more}'

    with running(SimulatorSettings()) as url:
        more = "".join(
            table.format(name=name, channel=channel, url=url, more=keys)
            for name, channel, keys in (
                ("sales", "wecom_external", 'corpid = "ww9"\n'),
                ("alerts", "wecom_webhook", 'edition = "robot"\n'),
            )
        )
        found = asked({}, more)

    assert "ok customer contact can be called by this app" in told(found)
    [alerts] = [one for one in found if one.what == "online alerts"]
    assert alerts.level == Level.CAUTION
    assert alerts.text.startswith("not known: ")


def test_the_command_ends_with_1_where_something_is_wrong(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its lines stand among those of the offline part, the bad ones first; without --online there are none."""
    asked({})  # leaves the settings and tables behind, and no vendor
    statuses = []
    for words in (
        ["doctor", "--json"],
        ["doctor", "--online", "--account", "hr", "--json"],
        ["doctor", "--account", "hr"],
    ):
        monkeypatch.setattr(sys, "argv", ["worker", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        statuses.append(ended.value.code)
    offline, online = (
        [one for one in json.loads(line) if one["what"] != "clock"]  # it is measured, each time anew
        for line in capsys.readouterr().out.splitlines()
    )

    assert statuses == [0, 1, 2]
    assert offline == [one for one in online if not one["what"].startswith("online")]
    # The token is kept in the outbox since the first time; the vendor has gone.
    told = [one for one in online if one["what"].startswith("online")]
    assert [(one["what"], one["level"]) for one in told] == [("online hr", "problem"), ("online hr", "ok")]
    assert online[0] == told[0]
    assert told[0]["text"].startswith("no answer: ")
