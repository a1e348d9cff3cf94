"""A real receiver that may open few files, beside attackers and beside connections that are silent.

The attackers know the address and no secret. Each sends, as fast as it is answered, what costs a careless server most.
"""

from __future__ import annotations

import http.client
import multiprocessing
import os
import resource
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlencode

from rig.stack import until
from rig.stacks import on_its_own
from worker.crypto.envelope import Envelope
from worker.outbox.engine.database import make_engine
from worker.outbox.engine.migrate import upgrade

VENDOR_S = 5.0
"""Seconds for which the vendor waits (page 90930)."""
TRIES = 4
"""How often it sends a callback (page 90930)."""
ATTACKERS, IDLE, FILES = 20, 1_200, 1_024
CALLBACKS, SECONDS = 30, 3.0
TOKEN, KEY, CORP = "QDG6eK", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C", "ww1"
PLACE = "/callback/hr"
UNSIGNED = f"msg_signature={'0' * 40}&timestamp=1700000000&nonce=1"
SETTINGS = """database = "{database}"
[accounts.hr]
channel = "wecom_app"
corpid = "ww1"
agentid = 7
callback = {{ token = {{ env = "T" }}, aes_key = {{ env = "K" }} }}
[accounts.alerts]
channel = "wecom_webhook"
edition = "push"
callback = {{ token = {{ env = "T" }}, aes_key = {{ env = "K" }} }}
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What became of the right callbacks."""

    statuses: list[int]
    """0: no answer within the vendor's time."""
    log: str
    """All that the receiver has logged."""


@on_its_own(why="what comes before a signature is proved right reaches no database")
def test_right_callbacks_are_answered_beside_attackers() -> None:
    """Whatever twenty of them send that is wrong, each as fast as it is answered."""
    found = attacked()

    assert found.statuses == [200] * len(found.statuses)


@on_its_own(why="what sends nothing reaches no database")
def test_callbacks_and_probes_are_answered_beside_idle_connections() -> None:
    """More of them than the process may open files: those that waited longest give way, and no accept fails."""
    found = idling()

    assert found.statuses == [200] * len(found.statuses)
    assert "accept" not in found.log
    assert "connections_wait" not in found.log


def attacked() -> Found:
    """Right callbacks beside attackers."""
    spawn = multiprocessing.get_context("spawn")
    with receiver() as (port, log):
        busy = spawn.Process(target=_attack, args=(port, ATTACKERS), daemon=True)
        busy.start()
        _until_in(log, "callback_refused")
        try:
            statuses = _answers(port)
        finally:
            busy.terminate()
            busy.join()
        return Found(statuses, log.read_text(encoding="utf-8"))


def idling() -> Found:
    """Right callbacks beside connections on which nothing is sent; what is closed is opened again every second."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * IDLE)), hard))
    with receiver() as (port, log):
        over, opened = threading.Event(), threading.Event()
        silent = threading.Thread(target=_idle, args=(port, IDLE, opened, over), daemon=True)
        silent.start()
        opened.wait()
        try:
            statuses = _answers(port)
        finally:
            over.set()
            silent.join()
        return Found(statuses, log.read_text(encoding="utf-8"))


@contextmanager
def receiver() -> Iterator[tuple[int, Path]]:
    """A receiver in a process of its own, on SQLite: its port, and the file of its log."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))

    with ExitStack() as scope:
        folder = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="attackers-")))
        url = f"sqlite:///{folder}/outbox.db"
        engine = make_engine(url)
        upgrade(engine)
        engine.dispose()
        (folder / "worker.toml").write_text(SETTINGS.format(database=url), encoding="utf-8")
        log = folder / "log"
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.cli", "receiver", "--port", "0"],
            env={**os.environ, "WORKER_CONFIG": str(folder / "worker.toml"), "T": TOKEN, "K": KEY},
            stdout=scope.enter_context(log.open("wb")),
            stderr=subprocess.STDOUT,
            preexec_fn=limited,
        )
        scope.callback(process.wait)
        scope.callback(process.kill)
        yield int(_until_in(log, "receiver listening on").rsplit(":", 1)[1]), log


def _until_in(log: Path, words: str) -> str:
    """Waits for a line with these words; returns it."""

    def line() -> str | None:
        return next((line for line in log.read_text(encoding="utf-8").splitlines() if words in line), None)

    return str(until(line, f"the receiver writes {words!r}"))


def _answers(port: int) -> list[int]:
    """Statuses of as many callbacks, spread over the seconds, and of a probe for nine of them."""
    began = time.monotonic()

    def one(number: int) -> int:
        due_at, status = began + number * SECONDS / CALLBACKS, 0
        until(lambda: time.monotonic() >= due_at, "it is due")
        for _ in range(TRIES):
            if status != 200:
                status = _probed(port) if number % 10 == 9 else _called_back(port, number)
        return status

    with ThreadPoolExecutor(16) as threads:
        return list(threads.map(one, range(CALLBACKS + CALLBACKS // 9)))


def _called_back(port: int, number: int) -> int:
    timestamp, nonce = str(int(time.time())), secrets.token_hex(4)
    message = (
        f"<xml><FromUserName>lisi</FromUserName><CreateTime>{timestamp}</CreateTime><MsgType>text</MsgType>"
        f"<Content>hello</Content><MsgId>{number}</MsgId><AgentID>7</AgentID></xml>"
    )
    encrypted, signature = Envelope(TOKEN, KEY, CORP).seal(message.encode(), timestamp, nonce, secrets.token_bytes(16))
    query = urlencode({"msg_signature": signature, "timestamp": timestamp, "nonce": nonce})
    return _status(port, "POST", f"{PLACE}?{query}", f"<xml><Encrypt>{encrypted}</Encrypt></xml>")


def _probed(port: int) -> int:
    return _status(port, "GET", "/livez")


def _status(port: int, method: str, path: str, body: str | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=VENDOR_S)
    try:
        connection.request(method, path, body)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


# -- what attackers do ------------------------------------------------------------------------------------------------


def hostile_requests() -> list[bytes]:
    """What costs a careless server most: in the head, in the body, and in the account's name."""
    size, head = 256 * 1024, b"GET / HTTP/1.1\r\nhost: localhost\r\n"
    posts = [
        b"<xml>" + b"<a/>" * (size // 4) + b"</xml>",
        b"<xml>" + b"<a/>" * (60 * 1024 // 4) + b"</xml>",
        b"<xml " + b" ".join(b'a%d=""' % n for n in range(6_000)) + b"/>",
        b"<xml><Encrypt>" + b"A" * (60 * 1024) + b"</Encrypt></xml>",
    ]
    names = b"{" + b",".join(b'"a%d":1' % n for n in range(25_000)) + b"}"
    chunked = b"POST %s?%s HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" % (
        PLACE.encode(),
        UNSIGNED.encode(),
    )
    return [
        *(_post(PLACE, body) for body in posts),
        *(_post("/callback/alerts", body) for body in (names, names[: 60 * 1024] + b"}")),
        *(_post(f"/callback/{'h' * length}", b"") for length in (3, 30_000)),
        _post(PLACE, b"", "&a=" * 20_000),
        head + b"a:\r\n" * 15_000 + b"\r\n",
        (head + b"\r\n") * 5_000,
        chunked + b"1\r\na\r\n" * 40_000 + b"0\r\n\r\n",
    ]


def _post(path: str, body: bytes, more: str = "") -> bytes:
    return f"POST {path}?{UNSIGNED}{more} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def _attack(port: int, count: int) -> None:
    threads = [threading.Thread(target=_one_attacker, args=(port, number)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _one_attacker(port: int, number: int) -> None:
    requests = hostile_requests()
    for request in islice(cycle(requests), number % len(requests), None):
        # Whatever the server does with it, the next one comes.
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), VENDOR_S) as one:
            one.sendall(request)
            one.recv(4096)


def _idle(port: int, count: int, opened: threading.Event, over: threading.Event) -> None:
    with ExitStack() as scope:
        held: list[socket.socket] = []
        while not over.wait(1 if opened.is_set() else 0):
            held = [one for one in held if not _is_closed(one)]
            for _ in range(count - len(held)):
                with suppress(OSError):
                    one = scope.enter_context(socket.create_connection(("127.0.0.1", port), VENDOR_S))
                    one.setblocking(False)
                    held.append(one)
            opened.set()


def _is_closed(one: socket.socket) -> bool:
    try:
        gone = one.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        gone = True
    one.close()
    return gone
