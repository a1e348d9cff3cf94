"""A file twenty times as large costs no more memory: on neither side of the outbox, wherever it comes from."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from tests.process.stack import ROOT, SHORT, Stack, peak_kib
from tests.process.stacks import EMBEDDED, MARIADB, REDIS, Make, on_every_stack

MB = 1024 * 1024
MORE_KIB = 8 * 1024
UPLOAD = "/cgi-bin/media/upload"


@dataclass(frozen=True)
class Peaks:
    """The most memory each side held, in KiB."""

    producer: int
    worker: int


@on_every_stack(REDIS, MARIADB, EMBEDDED, source=("path", "url"))  # the broker holds ids only
def test_a_20_mb_upload_needs_less_than_8_mb_more_memory_than_one_of_1_mb(make: Make, source: str) -> None:
    """A producer and a worker of their own for each size, started from nothing, over real HTTP."""
    stack = make(fresh=True, delivery={**SHORT, "fetch_allow": ["127.0.0.1"]})

    with _serving(stack.folder) as url:
        start = url if source == "url" else str(stack.folder)
        small, large = _uploaded(stack, start, 1 * MB), _uploaded(stack, start, 20 * MB)

    print(f"\n{make.name}, {source}: 1 MB {small}, 20 MB {large}")
    assert [1 * MB, 20 * MB] == [call["body"]["size"] for call in stack.vendor.calls(UPLOAD)]
    assert large.producer - small.producer < MORE_KIB
    assert large.worker - small.worker < MORE_KIB


def _uploaded(stack: Stack, start: str, size: int) -> Peaks:
    (stack.folder / f"{size}.bin").write_bytes(random.Random(size).randbytes(size))
    producer = _produce(stack, f"{start}/{size}.bin")
    worker = stack.worker(threads=2)
    stack.until_settled()
    peak = peak_kib(worker.pid)
    assert 0 == stack.end(worker)
    return Peaks(producer, peak)


def _produce(stack: Stack, source: str) -> int:
    command = [sys.executable, "-W", "ignore", "-m", "tests.process.upload_producer", source]
    env = {**os.environ, "WORKER_CONFIG": str(stack.config)}
    said = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
    return int(said.split()[1])


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    """The folder's files behind a URL of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
