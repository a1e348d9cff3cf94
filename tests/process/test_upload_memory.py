"""A file twenty times as large costs no more memory: on neither side of the outbox, wherever it comes from."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rig.serving import serving
from rig.stack import ROOT, SHORT, Process, Stack, peak_kib
from rig.stacks import EMBEDDED, MARIADB, REDIS, Make, on_stacks

MB = 1024 * 1024
SIZES = (*(MB + n for n in range(12)), 20 * MB)
MORE_KIB = 8 * 1024
STEADY_MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
UPLOAD = "/cgi-bin/media/upload"


@dataclass(frozen=True)
class Peaks:
    """The most memory each side held, in KiB."""

    producer: int
    worker: int


@on_stacks(REDIS, EMBEDDED, why="no file goes by way of a broker, and the test below has MariaDB")
def test_a_20_mb_upload_needs_less_than_8_mb_more_memory_than_one_of_1_mb(make: Make) -> None:
    """The producer reads the file, and stores its chunks; the worker reads these, and sends them."""
    _upload(make, "path")


@on_stacks(MARIADB, why="a worker stores chunks as a producer does, and MariaDB takes them twice as long")
def test_a_20_mb_file_behind_a_url_needs_no_more(make: Make) -> None:
    """The worker fetches the file, stores its chunks, reads these, and sends them."""
    _upload(make, "url")


def _upload(make: Make, source: str) -> None:
    """By a producer and a worker that were started from nothing, over real HTTP: small files, until every thread has
    had its first and every connection's cache of pages is full, then a large one. glibc gives the worker one arena and
    returns what is large at once: by default a file counts again in each thread it comes to, and as free room that
    nothing else fits in.
    """
    stack = make(fresh=True, env=STEADY_MALLOC, delivery={**SHORT, "fetch_allow": ["127.0.0.1"]})
    worker = stack.worker(threads=2)

    with _serving(stack.folder) as url, _producing(stack) as producer:
        start = url if source == "url" else str(stack.folder)
        *_, small, large = (_uploaded(stack, worker, producer, start, size) for size in SIZES)

    print(f"\n{make.name}, {source}: 1 MB {small}, 20 MB {large}")
    assert list(SIZES) == [call["body"]["size"] for call in stack.vendor.calls(UPLOAD)]
    assert large.producer - small.producer < MORE_KIB
    assert large.worker - small.worker < MORE_KIB
    assert stack.end(worker) == 0


def _uploaded(stack: Stack, worker: Process, producer: subprocess.Popen[str], start: str, size: int) -> Peaks:
    """What both sides have held when a file of this size has gone all its way."""
    (stack.folder / f"{size}.bin").write_bytes(random.Random(size).randbytes(size))
    assert producer.stdin
    assert producer.stdout
    producer.stdin.write(f"{start}/{size}.bin\n")
    producer.stdin.flush()
    peak = int(producer.stdout.readline())
    stack.until_settled()
    return Peaks(peak, peak_kib(worker.pid))


@contextmanager
def _producing(stack: Stack) -> Iterator[subprocess.Popen[str]]:
    """A producer that reads what to upload."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.process.upload_producer"]
    env, pipe = {**os.environ, "WORKER_CONFIG": str(stack.config)}, subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=pipe, stdout=pipe, text=True) as producer:
        yield producer
    assert producer.returncode == 0


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


def _serving(folder: Path) -> AbstractContextManager[str]:
    """The folder's files behind a URL of this machine."""
    return serving(ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))))
