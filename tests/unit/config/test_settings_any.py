"""Any settings at all are read, or refused with one sentence that quotes no secret."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from tests.channels.callback_samples import AES_KEY
from tests.support.odd import altered
from worker.accounts.sources import accounts_of
from worker.channels.registry import channel, names, require_usable, unusable_accounts
from worker.config.accounts import account_of
from worker.config.settings import Settings, load_settings
from worker.domain.account import Account
from worker.domain.errors import ConfigurationError
from worker.hooks.verifiers import make_verifier

SECRET = "hunter2-typed-in-the-wrong-place"
IN_ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
TABLES = {
    name: sorted(field.annotation.model_fields)
    for name, field in Settings.model_fields.items()
    if hasattr(field.annotation, "model_fields")
}
KEYS = st.sampled_from(
    [
        *("channel", "corpid", "agentid", "secret", "base_url", "callback", "proxy", "limits", "on_unknown", "token"),
        *(
            "aes_key",
            "env",
            "file",
            "path",
            "suite",
            "role",
            "buin",
            "appid",
            "customer_cap",
            "ca",
            "quiet",
            "disabled",
        ),
    ]
)
VALUES = st.recursive(
    st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([SECRET, f"postgresql+psycopg://me:{SECRET}@db/app", f"https://me:{SECRET}@proxy:1/", *names()])
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=9), inner, max_size=4),
)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """A table of the settings with some of its own keys, and with values of any kind."""
    name = draw(st.sampled_from(sorted(Settings.model_fields)))
    keys = st.sampled_from(TABLES[name]) if TABLES.get(name) else KEYS
    return {name: draw(VALUES | st.dictionaries(keys, VALUES, max_size=3))}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKER_CONFIG", raising=False)


def refusal(read: Callable[[], object]) -> str:
    """All that a traceback shows of the refusal, or an empty text if there was none."""
    try:
        read()
    except ConfigurationError as refused:
        return "".join(traceback.format_exception(refused))
    return ""


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "{" + ", ".join(f"{toml(str(name))} = {toml(entry)}" for name, entry in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case str():
            return '"' + "".join(f"\\U{ord(sign):08x}" for sign in value) + '"'
        case _:
            return repr(value)


@IN_ONE_FOLDER
@given(given=tables())
def test_any_table_is_read_or_refused(given: dict[str, Any]) -> None:
    """Keys of the table with values of any kind."""
    file = Path("worker.toml")
    file.write_text("".join(f"{toml(name)} = {toml(value)}\n" for name, value in given.items()), encoding="utf-8")

    assert SECRET not in refusal(lambda: unusable_accounts(accounts_of(load_settings(file))))


@IN_ONE_FOLDER
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(content=b"a = " + b"[" * 100_000)
@example(content=b"a = " + b"9" * 5_000)
@example(content=f'[accounts.hr]\nsecret = "{SECRET}'.encode())
@example(content=f'database = "{SECRET}"\nbroker = {{ password = "{SECRET}" }}'.encode())
def test_any_file_is_read_or_refused(content: bytes) -> None:
    """Whether it is TOML or not."""
    Path("worker.toml").write_bytes(content)

    assert SECRET not in refusal(lambda: load_settings("worker.toml"))


@pytest.mark.parametrize("levels", [40, 600, 2_000])
def test_an_account_of_many_levels_is_refused(levels: int) -> None:
    """It stops itself, and nothing else: each place that goes down its levels would end in a RecursionError."""
    Path("worker.toml").write_text(f"[accounts.hr{'.x' * levels}]\n", encoding="utf-8")

    wrong = unusable_accounts(accounts_of(load_settings("worker.toml")))

    assert wrong == {"hr": "accounts.hr.x: is nested too deep; flatten it"}


VARIABLES = ["null", "true", "NaN", "9" * 5_000, "\udcff", "[null]", "{", "[" * 100_000, '{"a":' * 100_000]


@pytest.mark.parametrize("name", [*Settings.model_fields, "accounts__hr", "accounts__hr__secret", "console__oidc"])
def test_any_variable_is_read_or_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in another encoding, or as JSON of too many levels; the refusal can be printed."""
    for value in VARIABLES:
        monkeypatch.setenv(f"WORKER_{name}".upper(), value)

        assert refusal(load_settings).encode() is not None


OWN = {"base_url": "https://vendor", "secret": {"env": "KEY"}}
ADDRESS = {"token": {"env": "KEY"}, "aes_key": {"env": "KEY"}}
ACCOUNTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "wecom_app": (
        {"corpid": "ww", "agentid": 7},
        {
            "account_cap": 3,
            "estimates": {"party": 5},
            "windows_s": {"recall": 5},
            "recalled_code": 1,
            "textcard_unit": "bytes",
            "callback": ADDRESS,
            "wechat_plugin_home": True,
            "ip": "203.0.113.7",
            "suite": "oursuite",
            "limits": {"member_minute": 5},
            "limit_share": {"member_minute": 0.5},
            "on_unknown": "hold",
            "allow_everyone": True,
            "disabled": False,
            "weight": 2.0,
            "quiet_hours": "22:00-07:00 Asia/Shanghai",
            "staging": {"only": ["a"]},
            "proxy": "http://u:p@proxy:1",
            "ca": "/ca.pem",
            "token_provider": {"url": "https://tokens/", "bearer": {"env": "KEY"}},
            "previous_credentials": {"secret": {"env": "KEY"}},
        },
    ),
    "wecom_external": ({"corpid": "ww"}, {"agentid": 7, "callback": ADDRESS, "customer_cap": 3}),
    "wecom_webhook": ({"edition": "push"}, {"subscribed": True, "chatid_for": ["file"], "callback": ADDRESS}),
    "youdu": (
        {"buin": 5, "appid": "yd1"},
        {
            "invalid_users": "strict",
            "upload_max_bytes": 5,
            "legacy_token": True,
            "api_path": "/cgi",
            "sso_hosts": ["oa.example.com"],
            "callback": {"token": {"env": "KEY"}},
        },
    ),
    "wecom_suite": ({"suite_id": "ws", "callback": ADDRESS}, {}),
}


@pytest.mark.parametrize("name", names())
def test_an_account_with_one_odd_value_is_valid_or_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a file, a function of the application or the outbox gives it: the refusal names the key."""
    monkeypatch.setenv("KEY", AES_KEY)
    needed, more = ACCOUNTS[name]
    base = {"channel": name, **OWN, **needed}
    common = load_settings()
    refusals = {
        (key, refusal(lambda table={**base, key: value}: use(account_of("hr", table, common))))  # type: ignore[misc]
        for key, sample in (base | more).items()
        for value in altered(sample)
    }

    assert refusal(lambda: use(account_of("hr", base, common))) == ""
    assert [text for key, text in refusals if text and key not in text.splitlines()[-1]] == []


def use(account: Account) -> None:
    """What reads an account's settings before the first call."""
    require_usable(account)
    its_channel = channel(account.channel)
    its_channel.app_scope(account)
    assert list(its_channel.cautions(account)) is not None
    assert list(its_channel.counted(account, "a")) is not None
    its_channel.token_steps(account)
    make_verifier(account, max_age_s=0.0)
