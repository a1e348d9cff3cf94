"""A file twenty times as large costs no more memory, on neither side of the outbox."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.process.stack import ROOT, Stack, peak_kib
from tests.process.stacks import Make, on_every_stack

MB = 1024 * 1024
MORE_KIB = 8 * 1024
UPLOAD = "/cgi-bin/media/upload"


@dataclass(frozen=True)
class Peaks:
    """The most memory each side held, in KiB."""

    producer: int
    worker: int


@on_every_stack()
def test_a_20_mb_upload_needs_less_than_8_mb_more_memory_than_one_of_1_mb(make: Make) -> None:
    """A producer and a worker of their own for each size, started from nothing, over real HTTP."""
    stack = make(fresh=True)

    small, large = _uploaded(stack, 1 * MB), _uploaded(stack, 20 * MB)

    print(f"\n{make.name}: 1 MB {small}, 20 MB {large}")
    assert [1 * MB, 20 * MB] == [call["body"]["size"] for call in stack.vendor.calls(UPLOAD)]
    assert large.producer - small.producer < MORE_KIB
    assert large.worker - small.worker < MORE_KIB


def _uploaded(stack: Stack, size: int) -> Peaks:
    path = stack.folder / f"{size}.bin"
    path.write_bytes(random.Random(size).randbytes(size))
    producer = _produce(stack, path)
    worker = stack.worker(threads=2)
    stack.until_settled()
    peak = peak_kib(worker.pid)
    assert 0 == stack.end(worker)
    return Peaks(producer, peak)


def _produce(stack: Stack, path: Path) -> int:
    command = [sys.executable, "-W", "ignore", "-m", "tests.process.upload_producer", str(path)]
    env = {**os.environ, "WORKER_CONFIG": str(stack.config)}
    said = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
    return int(said.split()[1])
