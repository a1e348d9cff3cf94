"""`.env` where the process was started: every variable that the environment does not have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.accounts.sources import accounts_of
from worker.config.settings import load_settings
from worker.config.variables import variable, variables
from worker.domain.errors import ConfigurationError

ACCOUNT = '[accounts.hr]\nchannel = "wecom_app"\ncorpid = "ww1"\nagentid = 1\nsecret = { env = "HR_SECRET" }\n'


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder, and no settings but the test's own."""
    monkeypatch.chdir(tmp_path)
    for name in ("WORKER_CONFIG", "WORKER_DATABASE", "HR_SECRET"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def secret() -> str:
    """The secret of the account, as a worker reads it."""
    found = accounts_of(load_settings()).get("hr").secret
    assert found is not None
    return found.read()


def test_secrets_and_settings_come_out_of_the_file() -> None:
    """A dollar, a number sign and quotes are as they are written; the environment itself is left alone."""
    Path("other.toml").write_text(ACCOUNT, encoding="utf-8")
    Path(".env").write_text(
        "WORKER_CONFIG=other.toml\n"
        "# a note\n"
        "export WORKER_DATABASE=sqlite:///of-env.db\n"
        "WORKER_DELIVERY__THREADS=3\n"
        "HR_SECRET='a$HOME#\"b'\n",
        encoding="utf-8",
    )

    settings = load_settings()

    assert settings.database_url() == "sqlite:///of-env.db"
    assert settings.delivery.threads == 3
    assert secret() == 'a$HOME#"b'
    assert os.environ.keys().isdisjoint({"WORKER_CONFIG", "WORKER_DATABASE", "HR_SECRET"})


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of secrets and of settings; an empty variable is none."""
    Path("worker.toml").write_text(ACCOUNT, encoding="utf-8")
    Path(".env").write_text("WORKER_DATABASE=sqlite:///a.db\nHR_SECRET=of-file\nEMPTY=of-file\n", encoding="utf-8")
    monkeypatch.setenv("WORKER_DATABASE", "sqlite:///b.db")
    monkeypatch.setenv("HR_SECRET", "of-environment")
    monkeypatch.setenv("EMPTY", "")

    assert load_settings().database_url() == "sqlite:///b.db"
    assert secret() == "of-environment"
    assert variable("EMPTY") == "of-file"


def test_a_variable_that_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python reads such a byte as a half character, which no call can carry."""
    Path("worker.toml").write_text(ACCOUNT, encoding="utf-8")
    monkeypatch.setenv("HR_SECRET", os.fsdecode(b"\xff"))

    with pytest.raises(ConfigurationError) as caught:
        secret()

    refusal = "accounts.hr.secret names environment variable HR_SECRET, which is not UTF-8 text; set it in UTF-8"
    assert refusal == str(caught.value)


def test_a_file_that_changes_is_read_again() -> None:
    """By the process that read it before, as a secret's own file is."""
    Path("worker.toml").write_text(ACCOUNT, encoding="utf-8")
    found = []

    for value in ("first", "the second"):
        Path(".env").write_text(f"HR_SECRET={value}\n", encoding="utf-8")
        found.append(secret())

    assert found == ["first", "the second"]


def test_files_that_an_editor_on_windows_wrote_are_read() -> None:
    """With its mark before the text, and its line ends: settings, variables, and a secret's own file."""
    windows = "\ufeff{}".format
    Path("worker.toml").write_bytes(windows(ACCOUNT.replace("\n", "\r\n")).encode())
    Path(".env").write_bytes(windows("HR_SECRET=of-file\r\n").encode())
    of_env = secret()
    Path("secret").write_bytes(windows("of-its-own\r\n").encode())
    own = ACCOUNT.replace('{ env = "HR_SECRET" }', '{ file = "secret" }')
    Path("worker.toml").write_bytes(windows(own.replace("\n", "\r\n")).encode())

    assert of_env == "of-file"
    assert secret() == "of-its-own"


UNREAD = " (it exists, but cannot be read as UTF-8 text)"
FOLDER = " (it exists, but cannot be read: Is a directory)"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (None, ""),
        (b"", ""),
        (b"HR_SECRET=\n", ""),
        (b"A=1\n\nHR_SECRET secret\nB='x\n", " (line 3, 4 cannot be parsed as NAME=value)"),
        (b"HR_SECRET=\xff\n", UNREAD),
        ("HR_SECRET=of-file\n".encode("utf-16"), UNREAD),
        (None, FOLDER),
    ],
)
def test_what_is_missing_names_the_variable_and_the_file(written: bytes | None, told: str, folder: Path) -> None:
    """Also where the file is no text, or the system does not let it be read, which it then says."""
    Path("worker.toml").write_text(ACCOUNT, encoding="utf-8")
    if told == FOLDER:
        Path(".env").mkdir()
    elif written is not None:
        Path(".env").write_bytes(written)

    with pytest.raises(ConfigurationError) as caught:
        secret()

    assert (
        "accounts.hr.secret names environment variable HR_SECRET, which is empty or not there;"
        f" set it, or write it into {folder}/.env{told}" == str(caught.value)
    )


def test_a_line_that_cannot_be_parsed_is_named_with_its_file(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And left out, without what stands in it; the lines around it are read."""
    Path(".env").write_text("A=1\n\nHR_SECRET secret\nB=2\n", encoding="utf-8")

    found = [variable(name) for name in ("A", "HR_SECRET", "B")]

    told = f"{folder}/.env: line 3 cannot be parsed as NAME=value, so it is ignored; correct it"
    assert found == ["1", "", "2"]
    assert caplog.messages == [told]


def test_a_wrong_value_names_the_variable_that_may_hold_it() -> None:
    """Beside the file, whose key it overrides."""
    Path("worker.toml").write_text("[delivery]\nthreads = 2\n", encoding="utf-8")
    Path(".env").write_text("WORKER_DELIVERY__THREADS=none\n", encoding="utf-8")

    with pytest.raises(ConfigurationError) as caught:
        load_settings()

    assert str(caught.value).startswith("worker.toml or WORKER_DELIVERY__THREADS: delivery.threads: ")
    assert "none" not in str(caught.value)


def test_an_unknown_account_says_where_it_was_looked_for(folder: Path) -> None:
    """The file that was read; or where there is none, and what an application needs of it."""
    Path("worker.toml").write_text(ACCOUNT, encoding="utf-8")
    with pytest.raises(ConfigurationError) as read:
        accounts_of(load_settings()).get("it")
    Path("worker.toml").unlink()
    with pytest.raises(ConfigurationError) as missing:
        accounts_of(load_settings()).get("it")

    assert f"add [accounts.it] to {folder}/worker.toml (an application that enqueues reads the table" in str(read.value)
    assert f"add [accounts.it] to worker.toml (there is none in {folder}; WORKER_CONFIG" in str(missing.value)


def test_all_variables_are_those_of_both() -> None:
    """The file's, and the environment's over them."""
    Path(".env").write_text("HR_SECRET=x\nPATH=none\n", encoding="utf-8")

    found = variables()

    assert ("x", os.environ["PATH"]) == (found["HR_SECRET"], found["PATH"])
