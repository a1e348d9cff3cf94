"""The simulator as a process, and the bare one."""

import gc
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests
import trustme

from worker_simulator.__main__ import main, parser, read_settings
from worker_simulator.server import running


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A simulator process and its address."""
    command = [sys.executable, "-m", "worker_simulator", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("simulator listening on http")
        try:
            yield process, line.split()[-1]
        finally:
            process.kill()


@pytest.mark.slow("starts two interpreters")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_ends_cleanly(number: signal.Signals) -> None:
    """It says where it listens, takes settings, and ends with 0 on SIGTERM and SIGINT, connections open or not."""
    with started("--settings", '{"open": false}') as (process, url), requests.Session() as session:
        reply = session.get(f"{url}/cgi-bin/gettoken?corpid=x&corpsecret=y", timeout=60)
        process.send_signal(number)

        assert reply.json()["errcode"] == 40013
        assert process.wait(120) == 0


@pytest.mark.slow("starts an interpreter")
def test_tls(tmp_path: Path) -> None:
    """With a certificate it speaks TLS, also when a fault cuts a request."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))

    with started("--certfile", str(tmp_path / "server.pem")) as (_, url), requests.Session() as session:
        session.trust_env = False
        session.verify = str(tmp_path / "ca.pem")
        session.post(f"{url}/_control/faults", json={"times": 1, "action": {"cut_request_after": 5}}, timeout=60)
        assert url.startswith("https://")
        with pytest.raises(requests.ConnectionError):
            session.get(f"{url}/cgi-bin/gettoken", timeout=60)
        assert session.get(f"{url}/cgi-bin/gettoken?corpid=x&corpsecret=y", timeout=60).json()["errcode"] == 0
        assert url in session.get(f"{url}/", timeout=60).text


def test_settings_from_a_file(tmp_path: Path) -> None:
    """Settings come as JSON or from a file of JSON."""
    file = tmp_path / "settings.json"
    file.write_text('{"latency_s": 0.5}', encoding="utf-8")

    assert read_settings(str(file)).latency_s == 0.5
    assert read_settings(parser().parse_args([]).settings).latency_s == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--settings", '{"x": 1}'], "--settings: x: Extra inputs are not permitted"),
        (["--settings", "{"], "--settings: JSON: "),
        (["--settings", "/nowhere.json"], "--settings: /nowhere.json cannot be read: No such file or directory"),
        (["--port", "99999"], "--port: 99999 is no port"),
        (["--certfile", "/nowhere.pem"], "--certfile: /nowhere.pem cannot be used: No such file or directory"),
        (["--certfile", __file__, "--keyfile", __file__], f"--certfile: {__file__} and {__file__} cannot be used: "),
        (["--keyfile", "/nowhere.pem"], "--keyfile: name its certificate, too, with --certfile"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1:0: "),
    ],
)
def test_a_wrong_option_is_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2 and what to change; no traceback."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert sentence in said.splitlines()[-1]


@pytest.mark.parametrize("latency_s", [0.0, 0.001])
def test_bare(latency_s: float) -> None:
    """The bare simulator answers every call with valid JSON, a fresh msgid each, and counts."""
    with running(bare=True, latency_s=latency_s) as url, requests.Session() as session:
        sends = [session.post(f"{url}/cgi-bin/message/send?access_token=x", data="{}", timeout=60) for _ in range(2)]
        others = ("gettoken", "message/recall", "message/update_template_card", "media/upload")
        replies = [session.post(f"{url}/cgi-bin/{path}", data="x", timeout=60).json() for path in others]

        assert [reply["errcode"] for reply in (*replies, *(send.json() for send in sends))] == [0] * 6
        assert sends[0].json()["msgid"] != sends[1].json()["msgid"]
        assert session.get(f"{url}/nonsense", timeout=60).status_code == 404
        assert session.get(f"{url}/", timeout=60).status_code == 404
        assert session.get(f"{url}/_control/counts", timeout=60).json()["counts"]["/cgi-bin/message/send"] == 2
        assert session.post(f"{url}/_control/reset", timeout=60).json() == {"counts": {}}
        assert session.get(f"{url}/_control/calls", timeout=60).status_code == 404


def test_bare_closes_on_nonsense() -> None:
    """What is no HTTP ends the connection."""
    with running(bare=True) as url:
        host, _, port = url.rpartition("/")[2].partition(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(b"nonsense\r\n\r\n")
            assert connection.recv(10) == b""


def test_latency_of_the_full_simulator() -> None:
    """A latency given at the start is the setting."""
    with running(latency_s=0.25) as url, requests.Session() as session:
        assert session.get(f"{url}/_control/settings", timeout=60).json()["latency_s"] == 0.25


def test_it_ends_while_clients_connect() -> None:
    """None of their sockets is left to the garbage collector."""
    with ExitStack() as clients:
        for _ in range(20):
            with running() as url:
                address = ("127.0.0.1", int(url.rpartition(":")[2]))
                for _ in range(20):
                    clients.enter_context(socket.create_connection(address))
    gc.collect()
