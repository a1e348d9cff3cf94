"""Where credentials are: URLs whole or their passwords alone, out of variables and files; read late, never shown."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from worker.accounts.sources import accounts_of
from worker.config.settings import Settings, account_settings, load_settings
from worker.domain.account import DIRECT, Secret
from worker.domain.errors import ConfigurationError


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder, and no settings but the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKER_CONFIG", raising=False)
    return tmp_path


def loaded(text: str) -> Settings:
    """Settings of a file."""
    Path("worker.toml").write_text(text, encoding="utf-8")
    return load_settings()


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ('database = { file = "url" }', "postgresql+psycopg://app:hunter2@db/app"),
        ('database = { env = "DB_URL" }', "mysql+pymysql://app:hunter2@db/app"),
        (
            'database = { url = "postgresql+psycopg://app@db/app?sslmode=require", password = { file = "password" } }',
            "postgresql+psycopg://app:p%40ss%2Fw%3A%3Frd@db/app?sslmode=require",
        ),
        ('database = "postgresql://app@db"', "postgresql://app@db"),
        (
            'database = { url = "postgresql://app@/app?host=a:1&host=b:2", password = { file = "password" } }',
            "postgresql://app:p%40ss%2Fw%3A%3Frd@/app?host=a:1&host=b:2",
        ),
    ],
)
def test_a_database_is_named_whole_or_its_password_alone(line: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or a variable holds the URL, or its password as it is, which is then escaped."""
    monkeypatch.setenv("DB_URL", "mysql+pymysql://app:hunter2@db/app")
    Path("url").write_text("postgresql+psycopg://app:hunter2@db/app\n", encoding="utf-8")
    Path("password").write_text("p@ss/w:?rd\n", encoding="utf-8")

    assert url == loaded(line).database_url()


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("redis://redis:6379/0", "redis://:hunter2@redis:6379/0"),
        ("amqp://app@rabbit/vhost", "amqp://app:hunter2@rabbit/vhost"),
        ("rediss://redis?ssl_cert_reqs=none", "rediss://:hunter2@redis?ssl_cert_reqs=none"),
        ("amqp://app@a:1/v;amqp://app@b:2/v", "amqp://app:hunter2@a:1/v;amqp://app:hunter2@b:2/v"),
    ],
)
def test_a_brokers_password_stands_apart(url: str, whole: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there is no user, as Redis has it, and for each node of a cluster."""
    monkeypatch.setenv("BROKER_PASSWORD", "hunter2")

    assert whole == loaded(f'broker = {{ url = "{url}", password = {{ env = "BROKER_PASSWORD" }} }}').broker_url()


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"WORKER_DATABASE": "mysql://app@db/app"}, "mysql://app@db/app"),
        ({"WORKER_DATABASE__FILE": "url"}, "postgresql://app:hunter2@db/app"),
        ({"WORKER_DATABASE": '{"file": "url"}'}, "postgresql://app:hunter2@db/app"),
        (
            {"WORKER_DATABASE": "mysql://app@db/app", "WORKER_DATABASE__PASSWORD__FILE": "password"},
            "mysql://app:hunter2@db/app",
        ),
        (
            {"WORKER_DATABASE__URL": "mysql://app@db/app", "WORKER_DATABASE__PASSWORD__ENV": "PASSWORD"},
            "mysql://app:hunter3@db/app",
        ),
    ],
)
def test_variables_say_it_as_well(variables: dict[str, str], url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`WORKER_DATABASE` is the URL, `__FILE` names its file, `__PASSWORD__FILE` its password's."""
    Path("url").write_text("postgresql://app:hunter2@db/app", encoding="utf-8")
    Path("password").write_text("hunter2", encoding="utf-8")
    for name, value in {"PASSWORD": "hunter3", **variables}.items():
        monkeypatch.setenv(name, value)

    assert url == load_settings().database_url()


def test_a_variable_adds_the_password_to_the_files_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is shared by all; where its password is, each process says."""
    monkeypatch.setenv("WORKER_BROKER__PASSWORD__ENV", "PASSWORD")
    monkeypatch.setenv("PASSWORD", "hunter2")

    assert loaded('broker = "amqp://app@rabbit"').broker_url() == "amqp://app:hunter2@rabbit"


@pytest.mark.parametrize(
    "line",
    [
        'database = "sqlite:///first.db"',
        'database = { file = "first" }',
        'database = { url = "postgresql://app@db", password = { env = "FIRST" } }',
    ],
)
@pytest.mark.parametrize("variable", ["WORKER_DATABASE", "WORKER_DATABASE__FILE"])
def test_a_variable_replaces_the_files_place_whole(line: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment wins, however the file says it."""
    Path("url").write_text("sqlite:///other.db", encoding="utf-8")
    monkeypatch.setenv(variable, "url" if variable.endswith("FILE") else "sqlite:///other.db")

    assert loaded(line).database_url() == "sqlite:///other.db"


def test_a_variable_replaces_the_passwords_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL stays the file's."""
    Path("password").write_text("hunter2", encoding="utf-8")
    monkeypatch.setenv("WORKER_BROKER__PASSWORD__FILE", "password")

    settings = loaded('broker = { url = "redis://h", password = { env = "FIRST" } }')

    assert settings.broker_url() == "redis://:hunter2@h"


def test_a_variable_replaces_the_place_of_each_credential_of_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the units of systemd name files of their own, whatever the file for all processes names; so does a console."""
    places = {"ACCOUNTS__ENV__SECRET": "a", "ACCOUNTS__ENV__CALLBACK__TOKEN": "b", "CONSOLE__OIDC__CLIENT_SECRET": "c"}
    Path("d").write_text("of d", encoding="utf-8")
    for name, value in places.items():
        Path(value).write_text(f"of {value}", encoding="utf-8")
        monkeypatch.setenv(f"WORKER_{name}__FILE", value)

    settings = loaded(NAMED)

    account, provider = accounts_of(settings).get("env"), settings.console.oidc
    assert list(settings.accounts) == ["env"]
    assert account.secret
    assert provider
    assert provider.client_secret
    assert account.secret.read() == "of a"
    assert provider.client_secret.read("c") == "of c"
    assert tuple(secret.read() for secret in account.settings["callback"].values()) == ("of b", "of d")


NAMED = """
[accounts.env]
channel = "wecom_app"
secret = { env = "FIRST" }
callback = { token = { env = "FIRST" }, aes_key = { file = "d" } }

[console.oidc]
issuer = "https://login.example.com"
client_id = "console"
client_secret = { env = "FIRST" }
"""

PROXIED = """
[accounts.hr]
channel = "wecom_app"
proxy = {proxy}
"""


@pytest.mark.parametrize(
    "proxy", ['{ file = "proxy" }', '{ url = "http://me@egress:3128", password = { file = "password" } }']
)
def test_a_proxys_password_is_read_when_it_is_needed(proxy: str) -> None:
    """A new password is a new file, without a restart."""
    account = accounts_of(loaded(PROXIED.replace("{proxy}", proxy))).get("hr")
    assert isinstance(account.egress.proxy, Secret)
    Path("proxy").write_text("http://me:hunter2@egress:3128", encoding="utf-8")
    Path("password").write_text("hunter2", encoding="utf-8")

    assert account.egress.proxy.read() == "http://me:hunter2@egress:3128"


EGRESS = """
[accounts.hr]
channel = "wecom_app"
proxy = { url = "socks5h://me@egress", password = { file = "password" } }
ca = "system"
client_certificate = { certificate = "hr.pem", key = "hr.key", password = { env = "HR_KEY_PASSWORD" } }
connect_timeout_s = 2.5

[accounts.plain]
channel = "wecom_app"
"""


def test_an_accounts_own_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files and secrets are read when a connection needs them; without a word it goes straight, as all others."""
    accounts = accounts_of(loaded(EGRESS))
    egress = accounts.get("hr").egress
    certificate = egress.client_certificate
    assert certificate is not None
    assert isinstance(certificate.password, Secret)
    assert isinstance(egress.proxy, Secret)
    Path("password").write_text("hunter2", encoding="utf-8")
    monkeypatch.setenv("HR_KEY_PASSWORD", "hunter3")

    assert egress.proxy.read() == "socks5h://me:hunter2@egress"
    assert certificate.password.read() == "hunter3"
    assert egress.ca == "system"
    assert certificate.certificate == "hr.pem"
    assert certificate.key == "hr.key"
    assert egress.connect_timeout_s == 2.5
    assert accounts.get("plain").egress == DIRECT
    assert "hunter" not in repr([accounts.get("hr"), egress])


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (None, "database names file url, which cannot be read; check the path and its rights"),
        ("", "database names file url, which is empty or not there; fill it"),
        ("hunter2", "database names a place whose value is not a database URL; use postgresql+psycopg://"),
    ],
)
def test_a_wrong_place_is_one_sentence_without_the_value(written: str | None, said: str) -> None:
    """Told by whom needs it; loading the settings, as producers do, reads nothing."""
    settings = loaded('database = { file = "url" }')
    if written is not None:
        Path("url").write_text(written, encoding="utf-8")

    with pytest.raises(ConfigurationError) as caught:
        settings.database_url()

    assert str(caught.value).startswith(said)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_nothing_of_it_shows() -> None:
    """Settings and accounts show places, and URLs without their passwords."""
    proxy = '"http://me:hunter2@egress"'
    settings = loaded(
        'database = "postgresql://me:hunter2@db/app?password=hunter2"\nbroker = { env = "URL" }'
        + PROXIED.replace("{proxy}", proxy)
    )

    shown = repr([settings, account_settings("hr", settings.accounts["hr"]), accounts_of(settings).get("hr")])

    assert "hunter2" not in shown
    assert "UrlFrom(url='postgresql://me:***@db/app?***')" in shown
    assert "UrlFrom(env='URL')" in shown
    assert "UrlFrom(url='http://me:***@egress')" in shown


def test_a_variable_that_is_no_json_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table in one variable is JSON; what is there instead is not shown."""
    monkeypatch.setenv("WORKER_DATABASE", "{hunter2")

    with pytest.raises(ConfigurationError, match=r"environment: .* is not JSON") as caught:
        load_settings()

    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
