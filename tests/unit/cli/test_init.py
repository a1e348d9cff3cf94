"""`worker init`: a first worker.toml and .env, and where each value is found; nothing is lost by saying it twice."""

from __future__ import annotations

import json
import re
import resource
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.english_left import english_left
from worker.accounts.sources import accounts_of
from worker.channels.first_steps import FIRST_ACCOUNTS
from worker.channels.registry import channel, unusable_accounts
from worker.cli import main
from worker.config.settings import load_settings
from worker.hooks.verifiers import make_verifier
from worker_simulator.settings import SimulatorSettings

ROOT = Path(__file__).parents[3]
Init = Callable[..., tuple[int, str]]


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Init:
    """`worker init ARGUMENTS` in an empty folder: the exit status, and what was printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKER_CONFIG", raising=False)

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["worker", "init", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out + printed.err

    return run


@pytest.mark.parametrize("name", FIRST_ACCOUNTS)
def test_what_is_written_only_waits_for_its_values(name: str, init: Init) -> None:
    """For each channel: it loads, the account is well formed, and each secret is a line of .env to be filled in."""
    status, printed = init("--channel", name)

    accounts = accounts_of(load_settings())
    account = accounts.get(FIRST_ACCOUNTS[name].name)
    assert status == 0
    assert unusable_accounts(accounts) == {}
    assert name == account.channel
    assert f"{FIRST_ACCOUNTS[name].name.upper()}_SECRET=\n" in Path(".env").read_text(encoding="utf-8")
    assert "worker doctor --online" in printed


@pytest.mark.parametrize("more", [(), ("--simulator",)])
@pytest.mark.parametrize("name", FIRST_ACCOUNTS)
def test_a_chinese_reader_gets_files_in_chinese(name: str, more: tuple[str, ...], init: Init) -> None:
    """Of what their comments say nothing is left in English."""
    status, _ = init("--channel", name, "--lang", "zh", *more)

    written = [Path(file).read_text(encoding="utf-8") for file in ("worker.toml", ".env")]
    comments = re.findall(r"# (.*)", "\n".join(written))
    assert status == 0
    assert [comment for comment in comments if english_left(comment)] == []


@pytest.mark.parametrize("name", FIRST_ACCOUNTS)
def test_for_the_simulator_everything_is_filled_in(name: str, init: Init) -> None:
    """Secrets too, and the simulator's settings hold the same ones."""
    status, _ = init("--channel", name, "--simulator")

    account = accounts_of(load_settings()).get(FIRST_ACCOUNTS[name].name)
    vendor = SimulatorSettings.model_validate_json(Path("simulator.json").read_text(encoding="utf-8"))
    assert status == 0
    assert account.base_url == "http://127.0.0.1:8081"
    assert account.secret is not None
    assert account.secret.read()
    assert [account.secret.read()] * len(vendor.apps) == [app.secret for app in vendor.apps]
    assert all(secret.read() for secret in channel(name).callback_secrets(account).values())


@pytest.mark.parametrize("time", range(5))
def test_the_made_up_key_is_one_that_can_be_used(time: int, init: Init) -> None:
    """An EncodingAESKey of letters and digits: Base64's other two are refused by the receiver, and by the vendor."""
    init("--simulator")

    account = accounts_of(load_settings()).get("hr")
    assert make_verifier(account, max_age_s=0.0)


def test_the_terminals_language_is_spoken(init: Init, monkeypatch: pytest.MonkeyPatch) -> None:
    """`WORKER_LANG` as with every other command; --lang wins. Commands to be typed stay as they are."""
    monkeypatch.setenv("WORKER_LANG", "zh")

    chinese, english = init("--simulator")[1], init("--simulator", "--overwrite", "--lang", "en")[1]

    assert chinese.startswith("已写入 worker.toml\n已写入 .env（权限 600）\n")
    assert "已全部填好：\n  worker db upgrade\n" in chinese
    assert "wrote worker.toml\nkept the existing .env and added nothing\n" in english


def test_secrets_are_read_by_their_owner_alone(init: Init) -> None:
    """Those files have mode 600."""
    init("--simulator")

    assert [stat.S_IMODE(Path(file).stat().st_mode) for file in (".env", "simulator.json")] == [0o600, 0o600]


def test_nothing_is_overwritten_without_being_told(init: Init) -> None:
    """The command names what is there, and changes nothing."""
    Path("worker.toml").write_text("# mine\n", encoding="utf-8")

    status, printed = init()

    assert status == 2
    assert printed == "worker: already in this folder: worker.toml; --overwrite writes anew\n"
    assert Path("worker.toml").read_text(encoding="utf-8") == "# mine\n"
    assert not Path(".env").exists()


def test_an_env_file_that_is_there_keeps_its_values(init: Init) -> None:
    """What is missing or empty is added; the simulator gets the secret that was there."""
    Path(".env").write_text("MINE=1\nHR_CALLBACK_TOKEN=\nHR_SECRET=kept", encoding="utf-8")
    Path(".env").chmod(0o644)

    status, printed = init("--simulator")

    lines = Path(".env").read_text(encoding="utf-8").splitlines()
    [app] = json.loads(Path("simulator.json").read_text(encoding="utf-8"))["apps"]
    assert status == 0
    assert lines[:2] == ["MINE=1", "HR_SECRET=kept"]
    kept = "kept the existing .env and added HR_CALLBACK_TOKEN, HR_CALLBACK_AES_KEY"
    assert f"{kept}; other users could read it, so its mode is now 600\n" in printed
    assert Path(".env").stat().st_mode & 0o777 == 0o600
    assert [f"HR_CALLBACK_TOKEN={app['callback_token']}"] == lines[2:3]
    assert app["secret"] == "kept"


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        (
            "HR_SECRET=kept\n".encode("utf-16"),
            "exists, but cannot be read as UTF-8 text; save it as UTF-8, or move it away",
        ),
        (None, "exists, but cannot be read (Is a directory); check its rights, or move it away"),
    ],
)
def test_an_env_file_that_cannot_be_read_is_left_as_it_is(
    init: Init, tmp_path: Path, written: bytes | None, wrong: str
) -> None:
    """One that an editor on Windows saved as UTF-16, or a folder: nothing is written beside it."""
    file = tmp_path / ".env"
    file.write_bytes(written) if written else file.mkdir()

    status, printed = init()

    assert status == 2
    assert printed == f"worker: {file}: {wrong}\n"
    assert [file] == list(tmp_path.iterdir())


def test_what_cannot_be_written_is_one_sentence(init: Init, tmp_path: Path) -> None:
    """A folder of the file's name; what the system says depends on it."""
    (tmp_path / "worker.toml").mkdir()

    status, printed = init("--overwrite")

    assert status == 2
    assert printed.startswith(f"worker: {tmp_path}/worker.toml: cannot be written (")
    assert printed.endswith("); take away what is there, or use another folder\n")


def test_an_env_that_cannot_be_written_is_one_sentence(init: Init, tmp_path: Path) -> None:
    """Such as a file that may only be read. Whoever runs the tests may write all files, so none may grow instead."""
    (tmp_path / ".env").write_text("A=1\n", encoding="utf-8")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))

    try:
        status, printed = init()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert status == 2
    assert printed.startswith(f"worker: {tmp_path}/.env: cannot be written (")
    assert printed.endswith("); take away what is there, or use another folder\n")


def test_a_second_start_with_real_values_is_asked_for(init: Init) -> None:
    """After a try with the simulator: the settings are written anew, and say so."""
    init("--simulator")
    secrets = Path(".env").read_text(encoding="utf-8")

    status, printed = init("--overwrite")

    assert status == 0
    assert Path(".env").read_text(encoding="utf-8") == secrets
    assert "8081" not in Path("worker.toml").read_text(encoding="utf-8")
    assert "kept the existing .env and added nothing\n" in printed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--channel", "wecom_suite"), "--channel wecom_suite: is not a channel that sends; use one of wecom_app"),
        (("--account", "h r"), "accounts: 'h r' is not an account name"),
    ],
)
def test_what_is_wrong_is_told(words: tuple[str, ...], told: str, init: Init, tmp_path: Path) -> None:
    """In one sentence, and nothing is written."""
    status, printed = init(*words)

    assert status == 2
    assert told in printed
    assert list(tmp_path.iterdir()) == []


def test_an_account_may_have_any_name(init: Init) -> None:
    """Its variables are made of it."""
    init("--account", "shop-2.eu", "--simulator")

    account = accounts_of(load_settings()).get("shop-2.eu")
    assert account.secret is not None
    assert f"SHOP_2_EU_SECRET={account.secret.read()}\n" in Path(".env").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FIRST_ACCOUNTS)
def test_the_page_that_says_where_the_values_are_is_named(name: str, init: Init) -> None:
    """In both languages, and the section is there."""
    english, chinese = init("--channel", name)[1], init("--channel", name, "--overwrite", "--lang", "zh")[1]

    for printed, folder, heading in ((english, "docs", "### Where the values are"), (chinese, "docs/zh", "### 各个值")):
        assert f" {folder}/{FIRST_ACCOUNTS[name].page}#where-the-values-are\n" in printed.replace("：", ": ")
        assert heading in (ROOT / folder / FIRST_ACCOUNTS[name].page).read_text(encoding="utf-8")
