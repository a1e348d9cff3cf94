"""`worker console` at its start and end, through real HTTP: what is wrong is one sentence with a status."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from rig.stack import until
from tests.unit.cli.conftest import Run
from worker.cli.db import check_releases
from worker.config.console import ConsoleSettings
from worker.config.settings import load_settings
from worker.console.sign_in.passwords import Passwords, needs_extra
from worker.domain.errors import ConfigurationError
from worker.service.web.console import require_safe

WORKER = [sys.executable, "-m", "worker.cli"]
WITH_A_WORKER = pytest.param(("up", "--console"), marks=pytest.mark.slow("starts a worker beside the console"))
PASSWORD = "correct horse battery"


@pytest.fixture
def configured(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A worker.toml with a database and nothing else."""
    config = tmp_path / "worker.toml"
    config.write_text(f'database = "{sqlite_url}"\n[console]\nlisten = "127.0.0.1:0"\n', encoding="utf-8")
    monkeypatch.setenv("WORKER_CONFIG", str(config))
    return config


@contextmanager
def running(*command: str) -> Iterator[tuple[str, str]]:
    """The console's address, and the line after it; SIGTERM is a clean end."""
    with subprocess.Popen([*WORKER, *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        listening = next(line for line in process.stdout if line.startswith("console listening on "))
        try:
            yield listening.removeprefix("console listening on ").strip(), process.stdout.readline()
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    assert process.returncode == 0


@contextmanager
def browsing() -> Iterator[requests.Session]:
    """Real requests with cookies."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.mark.parametrize("command", [("console", "--as", "ada"), WITH_A_WORKER])
@pytest.mark.slow("starts a process of its own")
def test_a_printed_link_is_all_that_ones_own_machine_needs(configured: Path, command: tuple[str, ...]) -> None:
    """Without a user it signs in, once; probes answer beside it; nothing tells what serves."""
    with running(*command) as (url, told), browsing() as browser:
        link = told.rpartition(" ")[2].strip()
        page = browser.get(link, timeout=30)
        again = requests.get(link, timeout=30)
        probes = [browser.get(f"{url}{path}", timeout=30).status_code for path in ("/livez", "/readyz")]
        if "up" in command:  # the worker beside the console takes over the signals before it has a heartbeat
            until(lambda: check_releases().processes, "the worker has a heartbeat")

    assert link.startswith(f"{url}/sign-in/link?token=")
    assert page.status_code == 200
    assert again.status_code == 403
    assert "概览" in page.text
    assert probes == [200, 200]
    assert "server" not in page.headers


def test_a_hash_that_is_printed_signs_in(run: Run, configured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The password comes in by stdin; with a user there is no link."""
    assert run("console", "--hash", types=PASSWORD) == 0
    printed = capsys.readouterr().out
    user = f"[console.users.ada]\nrole = \"admin\"\npassword = '{printed.strip()}'\n"
    configured.write_text(configured.read_text(encoding="utf-8") + user, encoding="utf-8")

    passwords = Passwords(load_settings().console.passwords)

    assert passwords.is_right("ada", PASSWORD)
    assert not passwords.is_right("ada", f"{PASSWORD}!")
    assert PASSWORD not in printed


@pytest.mark.parametrize("password", ["", "short", "x" * 513])
def test_a_password_that_is_no_good_is_one_sentence(
    run: Run, password: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the password."""
    assert run("console", "--hash", types=password) == 2
    assert f"a password has 12 to 512 characters; this one has {len(password)}\n" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "console.local"])
def test_it_listens_to_other_machines_only_behind_a_proxy(host: str) -> None:
    """Else passwords and pages would cross the network in the clear."""
    with pytest.raises(ConfigurationError, match="without TLS"):
        require_safe(ConsoleSettings(users={"ada": {"role": "admin"}}), host, f"{host}:8091")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", "localhost"])
def test_it_listens_on_its_own_machine(host: str) -> None:
    """As it is."""
    require_safe(ConsoleSettings(), host, f"{host}:8091")


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_behind_a_proxy_people_have_to_be_able_to_sign_in(host: str) -> None:
    """By a password, a header or a provider; a user without any of them cannot."""
    proxied: dict[str, Any] = {"proxies": ("10.0.0.1",), "hosts": ("console.example.com",)}

    with pytest.raises(ConfigurationError, match="nobody could sign in"):
        require_safe(ConsoleSettings(**proxied, users={"ada": {"role": "admin"}}), host, f"{host}:8091")
    require_safe(ConsoleSettings(**proxied, user_header="X-User"), host, f"{host}:8091")


def test_a_missing_library_is_one_sentence() -> None:
    """With the command that installs it."""
    assert "run `pip install 'PATH[console]'`" in str(needs_extra("passwords"))
