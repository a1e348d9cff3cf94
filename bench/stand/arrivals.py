"""When calls arrived: a bare simulator that writes down when and for whom; and the arithmetic of windows over it.

`python -m bench.stand.arrivals` serves it; `GET /_control/arrivals` tells `[[seconds, touser], ...]`.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import requests

from rig.stack import ROOT
from worker_simulator.wire.bare import SEND_PATH, Bare, BareConnection, ready


class Recording(Bare):
    """Keeps every send's instant and addressee."""

    def __init__(self, latency_s: float) -> None:
        super().__init__(latency_s)
        self.sends: list[tuple[float, bytes]] = []

    def connection(self) -> BareConnection:
        """See `Bare.connection`."""
        return RecordingConnection(self)

    def control(self, path: bytes) -> bytes:
        """See `Bare.control`."""
        if path != b"/_control/arrivals":
            return super().control(path)
        return ready(json.dumps([(at, json.loads(body).get("touser", "")) for at, body in self.sends]).encode())


class RecordingConnection(BareConnection):
    """One client."""

    def __init__(self, recording: Recording) -> None:
        super().__init__(recording)
        self._recording, self._body = recording, b""

    def on_body(self, body: bytes) -> None:
        """httptools: the body, or a piece of it."""
        self._body += body

    def on_message_complete(self) -> None:
        """httptools: a request is whole."""
        if self._url.startswith(SEND_PATH):
            self._recording.sends.append((time.monotonic(), self._body))
        self._body = b""
        super().on_message_complete()


def most(times: Iterable[float], window_s: float) -> int:
    """The most calls in any sliding window; times in order."""
    return _most(list(times), window_s)


def _most(times: Sequence[float], window_s: float) -> int:
    found = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - window_s:
            first += 1
        found = max(found, last - first + 1)
    return found


def most_aligned(times: Iterable[float], window_s: float) -> int:
    """The most calls in any window of the calendar."""
    counted: dict[int, int] = {}
    for at in times:
        counted[int(at // window_s)] = counted.get(int(at // window_s), 0) + 1
    return max(counted.values(), default=0)


def used(times: Sequence[float], amount: int, window_s: float) -> float:
    """How much of a limit was used under backlog; 0 when there were not enough calls.

    It is the window through the median time from a call to the call `amount` later.
    """
    spans = [later - earlier for earlier, later in zip(times, times[amount:], strict=False)]
    return window_s / statistics.median(spans) if spans else 0.0


class Arrivals:
    """That simulator as a process."""

    def __init__(self, folder: Path, latency_ms: int):
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "bench.stand.arrivals", str(latency_ms)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1]

    def all(self) -> list[tuple[float, str]]:
        """Instant and addressee of every send so far."""
        with requests.Session() as session:
            session.trust_env = False
            return [(at, to) for at, to in session.get(f"{self.url}/_control/arrivals", timeout=60).json()]

    def close(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.communicate()


async def _serve(latency_s: float) -> None:
    recording = Recording(latency_s)
    server = await asyncio.get_running_loop().create_server(recording.connection, "127.0.0.1", 0)
    sys.stdout.write(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]) / 1000))
