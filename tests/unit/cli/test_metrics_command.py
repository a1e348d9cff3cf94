"""`worker metrics` at its start and end, through real HTTP: what is wrong is one sentence with a status."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from worker.domain.errors import ConfigurationError
from worker.service.web.metrics import address

COMMAND = [sys.executable, "-m", "worker.cli", "metrics", "--listen"]


@pytest.fixture
def configured(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A worker.toml with an account whose secret nobody needs to count."""
    config = tmp_path / "worker.toml"
    account = '[accounts.hr]\nchannel = "wecom_app"\ncorpid = "ww1"\nagentid = 7\n'
    config.write_text(f'database = "{sqlite_url}"\n{account}', encoding="utf-8")
    monkeypatch.setenv("WORKER_CONFIG", str(config))
    return config


@pytest.mark.parametrize(
    ("listen", "place"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("metrics.local:65535", ("metrics.local", 65535)),
        ("[::1]:9464", ("::1", 9464)),
    ],
)
def test_an_address_is_host_and_port(listen: str, place: tuple[str, int]) -> None:
    """One with colons stands in brackets."""
    assert place == address(listen)


@pytest.mark.parametrize(
    "listen", ["", "9464", ":9464", "127.0.0.1", "127.0.0.1:", "h:x", "h:-1", "h:65536", "::1:9464", "[h]:1", "h:²"]
)
def test_a_wrong_address_is_one_sentence(listen: str) -> None:
    """That says what one looks like."""
    with pytest.raises(ConfigurationError) as wrong:
        address(listen)

    assert f"--listen {listen}: must be HOST:PORT, such as 127.0.0.1:9464 or [::1]:9464" == str(wrong.value)


@pytest.mark.slow("starts a process of its own")
def test_it_serves_metrics_and_ends_with_0(configured: Path) -> None:
    """In the text format that was asked for; it says where; nothing tells what serves; SIGTERM is a clean end."""
    with subprocess.Popen(
        [*COMMAND, "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("metrics listening on ").strip()
        with requests.Session() as session:
            session.trust_env = False
            plain = session.get(f"{url}/metrics", timeout=30)
            wants = {"Accept": "application/openmetrics-text; version=1.0.0"}
            newer = session.get(f"{url}/metrics", headers=wants, timeout=30)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)

    assert plain.status_code == 200
    assert newer.status_code == 200
    assert process.returncode == 0
    assert "text/plain" in plain.headers["content-type"]
    assert "openmetrics" in newer.headers["content-type"]
    assert "server" not in plain.headers
    assert newer.text.endswith("# EOF\n")
    for text in (plain.text, newer.text):
        assert "worker_database_up 1.0" in text
        assert 'worker_backlog_parts{account="hr",priority="normal"} 0.0' in text
