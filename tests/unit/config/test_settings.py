"""Settings: what may be said, and one clear sentence when it is said wrong. No secret in any of them."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from worker.accounts import current
from worker.accounts.sources import accounts_of
from worker.channels.registry import usable
from worker.config.accounts import FixedAccounts
from worker.config.logging import mask
from worker.config.places import without_password
from worker.config.settings import Settings, load_settings
from worker.domain.account import Account
from worker.domain.errors import ConfigurationError

SAMPLE = """
database = "postgresql+psycopg://me:hunter2@db/app"
broker = "redis://:hunter2@127.0.0.1:6379/0"

[accounts.hr]
channel = "wecom_app"
corpid = "ww0000000000000000"
agentid = 1000002
secret = { env = "HR_SECRET" }
callback = { token = { env = "HR_TOKEN" }, aes_key = { file = "aes.txt" }, path = "/hr" }
proxy = "http://proxy:8080"
limits = { member_minute = 20 }
on_unknown = "resend"
allow_everyone = true

[accounts.ops]
channel = "wecom_app"
base_url = "http://127.0.0.1:8081/"

[delivery]
lease_s = 2
heartbeat_s = 0.5
attempts = 3
"""


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKER_CONFIG", raising=False)


def write(text: str, name: str = "given.toml") -> Path:
    """A settings file."""
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def _read_all(file: Path) -> None:
    accounts = accounts_of(load_settings(file))
    for name in accounts.names():
        usable(accounts, name)


def refused(text: str) -> str:
    """The sentence a wrong file is refused with."""
    with pytest.raises(ConfigurationError) as caught:
        _read_all(write(text))
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def test_defaults_without_a_file() -> None:
    """The embedded default, with the design's times."""
    settings = load_settings()

    assert settings.database_url() == "sqlite:///worker.db"
    assert settings.broker_url() == "embedded"
    assert settings.accounts == {}
    delivery = settings.delivery
    assert delivery.lease_s == 10
    assert delivery.heartbeat_s == 3
    assert delivery.call_deadline_s == 20
    assert delivery.attempts == 8
    assert delivery.repeats == 5


def test_a_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key of the sample arrives; a channel's own keys are left to the channel."""
    monkeypatch.setenv("HR_SECRET", " s3cret\n")
    monkeypatch.setenv("HR_TOKEN", "t0ken")
    write("aes-key\n", "aes.txt")
    settings = load_settings(write(SAMPLE))
    accounts = accounts_of(settings)
    hr, ops = accounts.get("hr"), accounts.get("ops")

    assert accounts.names() == ("hr", "ops")
    assert (settings.delivery.lease_s, settings.delivery.heartbeat_s, settings.delivery.attempts) == (2, 0.5, 3)
    assert hr.base_url == "https://qyapi.weixin.qq.com"
    assert ops.base_url == "http://127.0.0.1:8081"
    assert hr.egress.proxy == "http://proxy:8080"
    assert hr.limits == {"member_minute": 20}
    assert hr.on_unknown == "resend"
    assert hr.allow_everyone
    assert set(hr.settings) == {"corpid", "agentid", "callback", "deadline_s"}
    assert hr.secret is not None
    assert hr.secret.read() == "s3cret"
    callback = hr.settings["callback"]
    assert callback["token"].read() == "t0ken"
    assert callback["aes_key"].read() == "aes-key"
    assert callback["path"] == "/hr"
    assert ops.secret is None


PROVIDED = """
[accounts.hr]
channel = "wecom_app"
token_provider = {given}
"""


def test_a_provider_of_tokens_is_a_url_with_a_bearer_or_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bearer is read late, and no repr shows it."""
    monkeypatch.setenv("HR_BEARER", "b3arer")
    url = '{ url = "https://tokens.corp/hr?app=7", bearer = { env = "HR_BEARER" } }'
    files = {"url.toml": url, "function.toml": '"shop.tokens:token_of"'}
    given = [load_settings(write(PROVIDED.replace("{given}", one), name)) for name, one in files.items()]
    by_url, function = (accounts_of(settings).get("hr").token_provider for settings in given)

    assert by_url is not None
    assert by_url.bearer is not None
    assert by_url.place == "https://tokens.corp/hr?app=7"
    assert by_url.bearer.read() == "b3arer"
    assert function is not None
    assert (function.place, function.bearer) == ("shop.tokens:token_of", None)
    assert "b3arer" not in repr(given) + repr(by_url)


@pytest.mark.parametrize(
    "given",
    [
        '"shop.tokens"',
        "5",
        "{ function = 'no function' }",
        '{ url = "https://tokens.corp" }',
        '{ url = "https://tokens.corp", bearer = "hunter2" }',
        '{ url = "https://hr:hunter2@tokens.corp/", bearer = { env = "HR_BEARER" } }',
        '{ url = "ftp://tokens.corp/", bearer = { env = "HR_BEARER" } }',
        '{ url = "https://tokens.corp/#x", bearer = { env = "HR_BEARER" } }',
        '{ url = "https://tokens.corp:x/", bearer = { env = "HR_BEARER" } }',
        '{ url = "https://tokens.corp/", bearer = { env = "HR_BEARER" }, proxy = "http://p" }',
        '{ url = "https://tokens.corp/", bearer = { env = "HR_BEARER" }, function = "a:b" }',
    ],
)
def test_a_wrong_provider_of_tokens_is_one_sentence(given: str) -> None:
    """That names the account, and quotes no credential."""
    said = refused(PROVIDED.replace("{given}", given))

    assert "accounts.hr.token_provider" in said


def test_secrets_are_read_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing secret stops nobody who does not need it, and says where it was looked for."""
    monkeypatch.delenv("HR_SECRET", raising=False)
    account = accounts_of(load_settings(write(SAMPLE))).get("hr")
    assert account.secret is not None

    with pytest.raises(ConfigurationError, match=r"accounts\.hr\.secret names .* HR_SECRET, which is empty"):
        account.secret.read()
    with pytest.raises(ConfigurationError, match=r"accounts\.hr\.callback\.aes_key names file aes\.txt, which cannot"):
        account.settings["callback"]["aes_key"].read()
    write("", "aes.txt")
    with pytest.raises(ConfigurationError, match=r"file aes\.txt, which is empty"):
        account.settings["callback"]["aes_key"].read()


def test_the_redaction_leaves_our_own_sentences_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing secret is told in the log with the variable's name: no word of it looks like a credential."""
    monkeypatch.delenv("HR_SECRET", raising=False)
    account = accounts_of(load_settings(write(SAMPLE))).get("hr")
    assert account.secret is not None

    for read in (account.secret.read, account.settings["callback"]["aes_key"].read):
        with pytest.raises(ConfigurationError) as caught:
            read()
        assert str(caught.value) == mask(str(caught.value))


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """`WORKER_...` over the file, also inside a table; empty variables say nothing."""
    monkeypatch.setenv("WORKER_DATABASE", "sqlite:///other.db")
    monkeypatch.setenv("WORKER_DELIVERY__LEASE_S", "7")
    monkeypatch.setenv("WORKER_ACCOUNTS__OPS__BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WORKER_BROKER", "")
    settings = load_settings(write(SAMPLE))

    assert settings.database_url() == "sqlite:///other.db"
    assert settings.broker_url().startswith("redis://")
    assert (settings.delivery.lease_s, settings.delivery.heartbeat_s) == (7, 0.5)
    assert accounts_of(settings).get("ops").base_url == "http://127.0.0.1:9"
    assert accounts_of(settings).get("ops").channel == "wecom_app"


def test_where_the_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given, else WORKER_CONFIG, else ./worker.toml; a named file that is missing is an error."""
    write('broker = "amqp://a"', "worker.toml")
    assert load_settings().broker_url() == "amqp://a"
    write('broker = "amqp://b"', "other.toml")
    monkeypatch.setenv("WORKER_CONFIG", "other.toml")
    assert load_settings().broker_url() == "amqp://b"
    assert load_settings("worker.toml").broker_url() == "amqp://a"
    monkeypatch.setenv("WORKER_CONFIG", "missing.toml")

    with pytest.raises(ConfigurationError, match=r"missing\.toml: cannot be read .* WORKER_CONFIG"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[accounts.hr]\nchannel = "x"\nproxy = "ftp://me:hunter2@p"', "accounts.hr.proxy: not a proxy's address;"),
        (
            '[accounts.hr]\nchannel = "wecom_app"\nsecret = "hunter2"',
            "accounts.hr.secret: settings only name the place",
        ),
        (
            '[accounts.hr]\nchannel = "wecom_app"\ncallback = { token = "hunter2" }',
            "callback.token holds a credential; settings only",
        ),
        ('[accounts.hr]\nchannel = "wecom_app"\nsecret = { env = "A", file = "b" }', "exactly one of"),
        ('[accounts.hr]\nchannel = "wecom_app"\nsecret = {}', "exactly one of"),
        (
            '[accounts.hr]\nchannel = "wecom_app"\nsecret = { evn = "A" }',
            "secret.evn: is not a setting; did you mean env?",
        ),
        ('[accounts.hr]\ncorpid = "x"', "accounts.hr.channel: is missing; add it"),
        ('[accounts.hr]\nchannel = "youdu"', "accounts.hr.base_url: is missing"),
        ('[accounts.hr]\nchannel = "nope"', "accounts.hr.channel: channel 'nope' does not exist; use one of "),
        ("database = 5", "database: is neither a URL nor the place of one; write { env"),
        ("[accounts]\nhr = 5", "accounts.hr: is not a table; write keys and values below it"),
        ('[accounts.hr]\nchannel = "wecom_app"\nbase_url = "ftp://hunter2"', "not a web address"),
        *(
            (f'[accounts.hr]\nchannel = "wecom_app"\nbase_url = "{url}"', "accounts.hr.base_url: not a web address;")
            for url in ("http://h:80x", "http://h:99999", "http://h:0", "http://h:8081 ", "http://h :8081", "http://[h")
        ),
        (
            '[accounts.hr]\nchannel = "wecom_app"\nbase_url = "https://h/cgi-bin/"',
            "base_url: ends in a path that the worker",
        ),
        (
            '[accounts.hr]\nchannel = "youdu"\nbase_url = "http://h:7080/cgi"',
            "adds by itself (/cgi); write only the part before",
        ),
        (
            '[accounts.hr]\nchannel = "wecom_webhook"\nbase_url = "https://h/cgi-bin/webhook/send?key=hunter2"',
            "accounts.hr.base_url: is the whole address of a webhook; write only https://host",
        ),
        ('[accounts.hr]\nchannel = "wecom_app"\non_unknown = "x"', "accounts.hr.on_unknown: has no such value"),
        ('[accounts.hr]\nchannel = "wecom_app"\nlimits = { a = -1 }', "accounts.hr.limits.a: input should be"),
        ('[accounts."h:r"]\nchannel = "wecom_app"', "is not an account name"),
        ('databse = "x"', "databse: is not a setting; did you mean database?"),
        ("zzz = 1", "zzz: is not a setting; use one of database, broker, queue_prefix"),
        ("[delivery]\nleas_s = 1", "delivery.leas_s: is not a setting; did you mean lease_s?"),
        ("[delivery]\nlease_s = 0", "delivery.lease_s: input should be greater than 0"),
        ("[delivery]\nlease_s = 301", "delivery.lease_s: input should be less than or equal to 300"),
        *(
            (f"[{table}]\n{key} = inf", f"{table}.{key}: input should be less than or equal to {most}")
            for table, key, most in (
                ("delivery", "park_probe_s", 3_153_600_000),
                ("delivery", "max_age_s", 3_153_600_000),
                ("delivery", "call_deadline_s", 86_400),
                ("console", "session_s", 3_153_600_000),
                ("console", "idle_s", 3_153_600_000),
            )
        ),
        ("[delivery]\nattempts = 1025", "delivery.attempts: input should be less than or equal to 1000"),
        ("[delivery]\nlease_s = 5.9", "delivery: heartbeat_s is longer than half of lease_s"),
        ("[delivery]\nheartbeat_s = 5.1", "one late heartbeat would end the lease; make it shorter"),
        ('[delivery]\nfetch_allow = ["a", "http://hunter2"]', "delivery.fetch_allow: entry 2 is neither a host nor a"),
        ('database = "hunter2"', "database: not a database URL"),
        ('broker = "kafka://hunter2"', 'broker: not a broker; use "embedded"'),
        (
            'database = "postgresql+asyncpg://me:hunter2@h/app"',
            "database: a URL of driver asyncpg, which the worker does",
        ),
        ('database = "postgresql+psycopg_async://me:hunter2@h/app"', "not use; write postgresql+psycopg://"),
        ('database = "postgresql+psycopg2://me:hunter2@h/app"', "write postgresql+psycopg://"),
        ('database = "mysql+aiomysql://me:hunter2@h/app"', "write mysql+pymysql://"),
        ('database = "sqlite+aiosqlite:///hunter2.db"', "write sqlite+pysqlite://"),
        (
            'database = "postgresql+psycopg://me:hunter2@x@h/app"',
            "database: not a URL whose password can be read; write",
        ),
        (
            'database = "postgresql+psycopg://me:hunter2/x@h/app"',
            "database: not a URL whose password can be read; write",
        ),
        ('database = "mysql+pymysql://me:hunter2?x@h/app"', "database: not a URL whose password can be read; write"),
        ('broker = "redis://h:6379/0?socket_timeout=5"', "broker: a URL with the option socket_timeout, which the"),
        ('broker = "redis://h:12?hunter2@h/0"', "broker: a URL with the option ..., which the broker"),
        (
            'broker = "rediss://h/0?ssl_cert_reqs=nome"',
            "broker: a URL whose ssl_cert_reqs is not required or none; cor",
        ),
        ('broker = "rediss://h/0?ssl_check_hostname=0"', "broker: a URL whose ssl_check_hostname is not true or false"),
        ('broker = "redis://h/0?ssl_cert_reqs=none"', "broker: a URL with ssl_cert_reqs and without TLS; write rediss"),
        ('broker = "amqps://h//?ssl_ca=ca.pem"', "broker: a URL with the option ssl_ca, which the broker's client"),
        (
            'broker = "amqps://a//;amqps://b//?ssl_cert_reqs=none"',
            "broker: a URL whose nodes differ in TLS; give all of",
        ),
        ('broker = "redis://:hunter2/x@h:6379/0"', "broker: not a URL whose port can be read; write @, :, /"),
        ('broker = "amqp://a;amqp://me:hunter2/x@b"', "of user and password as %40, %3A, %2F"),
        ('broker = "amqp://[hunter2"', "broker: not a URL whose port can be read"),
        ('[accounts.hr]\nchannel = "x"\nproxy = "http://me:hunter2/x@p"', "accounts.hr.proxy: not a proxy's address;"),
        *(
            (f'[accounts.hr]\nchannel = "wecom_app"\n{line}', f"accounts.hr.{said}")
            for line, said in (
                (
                    'proxy = "hunter2:3128"',
                    "proxy: not a proxy's address; write it as http://[user:password@]host:port",
                ),
                ('proxy = "socks4://hunter2"', "proxy: not a proxy's address;"),
                ('proxy = "socks5://me:hunter2@"', "proxy: not a proxy's address;"),
                ('proxy = "socks5h://p:0"', "proxy: not a proxy's address;"),
                ('proxy = "https://p?hunter2"', "proxy: not a proxy's address;"),
                ('proxy = "https://a b"', "proxy: not a proxy's address;"),
                (
                    f'proxy = "socks5://me:{"hunter2" * 40}@p"',
                    "proxy: a proxy's address whose user or password is longer",
                ),
                (
                    'proxy = { url = "https://me:hunter2@p", password = { env = "A" } }',
                    "proxy: password goes with a url",
                ),
                ('ca = ""', "ca: is empty; name the path of a PEM file"),
                ('ca = "-----BEGIN hunter2"', "ca: holds what belongs in a file; name the path"),
                (f'ca = "{"hunter2/" * 100}"', "ca: holds what belongs in a file; name the path"),
                ("ca = true", "ca: input should be a valid string"),
                ('client_certificate = "hunter2"', "client_certificate: not a table; write it as {"),
                ('client_certificate = { key = "k" }', "client_certificate.certificate: is missing; add it"),
                (
                    'client_certificate = { certificate = "c", kee = "k" }',
                    "client_certificate.kee: is not a setting; did",
                ),
                (
                    'client_certificate = { certificate = "c", key = "-----BEGIN PRIVATE KEY hunter2" }',
                    "client_certificate.key: holds what belongs in a file",
                ),
                (
                    'client_certificate = { certificate = "c", password = "hunter2" }',
                    "client_certificate.password: settings only name the place of a credential",
                ),
                ("connect_timeout_s = 0", "connect_timeout_s: input should be greater than 0"),
                ("limit_share = 0", "limit_share: input should be greater than 0"),
                (
                    "limit_share = { member_minute = 2 }",
                    "limit_share.member_minute: input should be less than or equal to 1",
                ),
                ("connect_timeout_s = 11", "connect_timeout_s: input should be less than or equal to 10"),
            )
        ),
        ('database = { fiel = "hunter2" }', "database.fiel: is not a setting; did you mean file?"),
        ('database = { url = "x://h", file = "hunter2" }', "database: give exactly one of the URL, { env"),
        ('database = { url = "pg://a:hunter2@h", password = { env = "A" } }', "database: password goes with a url"),
        ('database = { url = "sqlite:///a", password = { env = "A" } }', "database: password goes with a url"),
        ('broker = { url = "amqp://a;amqp://b:x@c", password = { env = "A" } }', "broker: password goes with a url"),
        ('broker = { url = "amqp://h", password = "hunter2" }', "broker.password: settings only name the place"),
        ("[notify]\nto = [{}]", "notify.to.0: give exactly one of account"),
        ('[notify]\nto = [{ account = "ops", url = { env = "A" } }]', "notify.to.0: give exactly one of account"),
        ('[notify]\nto = [{ url = "https://hunter2" }]', "notify.to.0.url: settings only name the place"),
        ('[notify]\nto = [{ url = { env = "A" }, recipients = ["hunter2"] }]', "notify.to.0: recipients go with an"),
        ('[notify]\nto = [{ acount = "ops" }]', "notify.to.0.acount: is not a setting; did you mean account?"),
        ('[notify]\nto = [{ account = "a" }, { account = "a" }]', "notify: to names the account 'a' twice; put its"),
        ('broker = "kafka://x"\ndatabase = "x"', "(1 more wrong after that)"),
        ('secret = "hunter2\nx = 1"', "not valid TOML (at line 1"),
        (r'database = "sqlite:///C:\work\hunter2.db"', "(at line 1, column 27); write a text with a backslash in"),
        (r"database = 'sqlite:///C:\work\hunter2.db'", "database: a path of Windows, and here it would be"),
    ],
)
def test_one_clear_sentence(text: str, said: str) -> None:
    """A wrong file names the key and the remedy, and shows no value."""
    sentence = refused(text)

    assert said in sentence
    assert sentence.startswith(("given.toml: ", "accounts"))
    assert "\n" not in sentence


def test_a_file_that_is_no_text_says_what_to_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in another encoding, such as editors on Windows save; and a folder, which is not taken for no file at all."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKER_CONFIG", raising=False)
    told = []
    for encoding in ("utf-16", "gbk"):
        Path("given.toml").write_text("# 设置\n", encoding=encoding)
        with pytest.raises(ConfigurationError) as wrong:
            load_settings("given.toml")
        told.append(str(wrong.value))
    Path("worker.toml").mkdir()

    with pytest.raises(ConfigurationError, match=r"^worker.toml: cannot be read \(Is a directory\)"):
        load_settings()
    assert told == ["given.toml: is not UTF-8 text; save it as UTF-8"] * 2


def test_nothing_secret_in_a_repr() -> None:
    """Passwords of broker and database, proxies and secrets are not shown."""
    settings = load_settings(write(SAMPLE.replace("http://proxy", "http://u:hunter2@proxy")))
    shown = repr(settings) + str(settings) + repr(accounts_of(settings).get("hr"))

    assert "hunter2" not in shown
    assert "postgresql+psycopg://me:***@db/app" in shown
    assert "redis://:***@127.0.0.1:6379/0" in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("embedded", "embedded"),
        ("sqlite:///worker.db", "sqlite:///worker.db"),
        ("amqp://host/v?password=x", "amqp://host/v?***"),
        ("postgresql://u:p@w:1@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:p?w@host/db", "postgresql://***"),
        ("amqp://u:p@a/v;amqp://u:p@b/v", "amqp://u:***@a/v;amqp://u:***@b/v"),
    ],
)
def test_urls_without_password(url: str, shown: str) -> None:
    """What a person may see of a URL."""
    assert shown == without_password(url)


def test_an_unknown_account_names_the_known_ones() -> None:
    """A wrong account name is one sentence with the right ones, also when there is none yet."""
    with pytest.raises(ConfigurationError, match="use one of: none yet"):
        FixedAccounts([]).get("hr")
    with pytest.raises(ConfigurationError, match="use one of: a, b"):
        FixedAccounts([Account("b", "x", "u"), Account("a", "x", "u")]).get("hr")


def test_configure() -> None:
    """Settings, a path or a source of one's own; forgotten again, and then loaded when first asked for."""
    write(SAMPLE, "worker.toml")
    own = FixedAccounts([])
    try:
        current.configure(own)
        assert own is current.current_accounts()
        current.configure(Settings())
        assert current.current_accounts().names() == ()
        current.configure("worker.toml")
        assert current.current_accounts().names() == ("hr", "ops")
        current.configure(None)
        assert current.current_accounts().names() == ("hr", "ops")
    finally:
        current.configure(None)


STAGED = """
[accounts.hr]
channel = "wecom_app"

[accounts.test]
channel = "wecom_app"
staging = {}

[accounts.mine]
channel = "wecom_app"
staging = { redirect_to = ["tester"] }

[staging]
only = ["lisi", "party:7"]
"""


def test_staging_is_of_all_accounts_but_those_that_say_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the file, or in the environment of one process."""
    found = accounts_of(load_settings(write(STAGED)))
    assert found.get("hr").staging.only == ("lisi", "party:7")
    assert "lisi" not in repr(found.get("hr")) + repr(load_settings(write(STAGED)))
    assert "tester" not in repr(load_settings(write(STAGED))) + repr(found.get("mine"))
    assert found.get("test").staging.active() == ""
    assert found.get("mine").staging.active() == "redirect_to"
    monkeypatch.setenv("WORKER_STAGING__DRY_RUN", "true")
    plain = '[accounts.hr]\nchannel = "wecom_app"\n'
    assert accounts_of(load_settings(write(plain))).get("hr").staging.dry_run
    assert "staging: has several switches on; leave one" in refused(STAGED)
    monkeypatch.delenv("WORKER_STAGING__DRY_RUN")
    assert "accounts.hr.staging.dryrun: is not a setting; did you mean dry_run?" in refused(
        plain + "staging = { dryrun = true }"
    )


def test_a_robots_whole_address_as_its_secret_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor would be asked with the address in place of the key, and only say that the webhook is not valid."""
    monkeypatch.setenv("KEY", "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=hunter2")
    robot = '[accounts.ops]\nchannel = "wecom_webhook"\nedition = "robot"\nsecret = { env = "KEY" }\n'
    secret = accounts_of(load_settings(write(robot))).get("ops").secret
    assert secret is not None

    with pytest.raises(ConfigurationError) as refused_it:
        secret.read()

    assert "accounts.ops.secret names a place that holds a web address; of a robot's address give only" in str(
        refused_it.value
    )
    assert "hunter2" not in str(refused_it.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://h/app",
        "postgresql+psycopg://me@h:5432,h2:5433/app?options=a@b",
        "postgresql+psycopg://me:x%40y@/app?host=/run/a@b",
        "postgresql+psycopg:///app?host=/run/a@b",
        "mysql+pymysql://me:a:b@h:3306?charset=a@b",
        "sqlite:////srv/a@b/worker.db",
    ],
)
def test_a_database_url_without_such_faults_is_taken(url: str) -> None:
    """Also with an @ where it belongs."""
    assert url == load_settings(write(f'database = "{url}"')).database_url()
