"""A variable that begins like ours and is no setting is named, with the right one where it is mistyped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.cli.setup.doctor import findings
from worker.cli.setup.finding import Level
from worker.config.settings import Settings, load_settings
from worker.domain.errors import ConfigurationError

ROOT = Path(__file__).parents[3]
MISTYPED = {
    "WORKER_DATABSE": "WORKER_DATABASE",
    "WORKER_DATABASES": "WORKER_DATABASE",
    "worker_databse": "WORKER_DATABASE",
    "WORKER_DATABASE_URL": "WORKER_DATABASE__URL",
    "WORKER_BROKR": "WORKER_BROKER",
    "WORKER_HOOK": "WORKER_HOOKS",
    "WORKER_QUEUEPREFIX": "WORKER_QUEUE_PREFIX",
    "WORKER_CONFG": "WORKER_CONFIG",
    "WORKER_DELIVERY_LEASE_S": "WORKER_DELIVERY__LEASE_S",
    "WORKER_DELIVERRY__LEASE_S": "WORKER_DELIVERY__LEASE_S",
    "WORKER_ACCOUNT__HR__SECRET__FILE": "WORKER_ACCOUNTS__HR__SECRET__FILE",
    "WORKER_BROKER_PASSWORD": "WORKER_BROKER__PASSWORD",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Without settings of another's."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", MISTYPED)
def test_a_mistyped_variable_is_refused_with_the_right_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a mistyped key of the file is; `worker doctor` says the same."""
    monkeypatch.setenv(name, "x")

    with pytest.raises(ConfigurationError) as refused:
        load_settings()

    assert f"{name}: is not a setting; did you mean {MISTYPED[name]}?" == str(refused.value)
    assert [(Level.PROBLEM, str(refused.value))] == [(one.level, one.text) for one in findings()]


def test_one_in_the_env_file_is_refused_too(folder: Path) -> None:
    """It is read like the environment."""
    (folder / ".env").write_text("WORKER_DATABSE=sqlite:///x.db\n")

    with pytest.raises(ConfigurationError, match="WORKER_DATABSE: is not a setting; did you mean WORKER_DATABASE"):
        load_settings()


def test_another_programs_variable_is_a_caution(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be right where it is: the process starts, and says that it reads none of it."""
    monkeypatch.setenv("WORKER_COLOUR", "red")

    found = [one for one in findings() if "WORKER_COLOUR" in one.text]

    assert load_settings().unknown_variables == ("WORKER_COLOUR",)
    assert [one.level for one in found] == [Level.CAUTION]


def test_the_place_of_a_secret_may_have_any_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the file, or in a variable."""
    (folder / "worker.toml").write_text(
        'database = { env = "WORKER_DATABASE_URL" }\n[accounts.hr]\nsecret = { env = "WORKER_ACCOUNT" }\n'
    )
    monkeypatch.setenv("WORKER_DATABASE_URL", "sqlite:///x.db")
    monkeypatch.setenv("WORKER_ACCOUNT", "a secret")
    monkeypatch.setenv("WORKER_BROKER__ENV", "WORKER_BROKERS")
    monkeypatch.setenv("WORKER_BROKERS", "embedded")

    assert load_settings().unknown_variables == ()


@pytest.mark.parametrize(
    "name", ["PORT", "SERVICE_HOST", "SERVICE_PORT_HTTP", "CONSOLE_PORT_8080_TCP_ADDR", "HOOKS_PORT"]
)
def test_what_kubernetes_adds_for_services_is_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a Service whose name begins with `worker`."""
    monkeypatch.setenv(f"WORKER_{name}", "10.0.0.1")

    assert load_settings().unknown_variables == ()


def documented() -> Iterator[str]:
    """Every variable that pages and files of deployments name."""
    for folder in ("docs", "deploy", "docker", "README.md"):
        for file in [ROOT / folder] if (ROOT / folder).is_file() else sorted((ROOT / folder).rglob("*")):
            if file.is_file() and file.suffix not in (".png", ".svg", ".gz"):
                yield from re.findall(
                    r"\bWORKER_[A-Z][A-Z_]*[A-Z]\b", file.read_text(encoding="utf-8", errors="ignore")
                )


def test_every_variable_of_the_documents_is_one() -> None:
    """None that we tell people to set is refused, or called unknown."""
    from worker.config.settings import _unknown

    names = {*documented()} - {"WORKER_DATABSE"}  # the sample of a mistyped one
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr("worker.config.settings.variables", lambda name=name: {name: "x"})
            assert list(_unknown({})) == [], name
    assert len(names) > 50
    assert Settings.model_fields.keys()
