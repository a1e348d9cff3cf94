"""A worker that writes down what its steps cost: `python -m bench.profile.worker THREADS FILE`; for `profile` only.

Twice a second it adds a line to the file. The steps are the worker's own functions, found by their names; the readings
at both ends of a step cost some microseconds, most of them charged to the step around it.
"""

from __future__ import annotations

import json
import sys
import threading

from bench.profile.counters import Meter
from rig.names import own_name
from worker.config.settings import load_settings
from worker.delivery.scheduler.relay import Relay
from worker.delivery.sender import attempt, batch, record
from worker.delivery.sender.admission import Governor
from worker.delivery.sender.batch import BatchSender
from worker.delivery.sender.writer import Writer
from worker.service.celery_app import make_app, start_worker

EVERY_S = 0.5
"""Seconds between two lines."""


def mark_steps(meter: Meter) -> None:
    """Puts a counted function in the place of each step."""
    for name in ("resolve", "authorise", "render", "connect", "admit", "mark", "call", "read", "record"):
        setattr(attempt, name, meter.timed(name, getattr(attempt, name)))
    for place, name, step in (
        (Governor, "reserve", "reserve"),
        (record, "log_attempt", "log"),
        (batch, "load", "load"),
        (batch, "leave", "leave"),
        (BatchSender, "_learn", "learn"),
        (BatchSender, "answer", "doorbell"),
        (Writer, "_gather", "gather"),
        (Writer, "_write", "commit"),
        (Relay, "turn", "turn"),
    ):
        setattr(place, name, meter.timed(step, getattr(place, name)))


def write_down(meter: Meter, path: str, ended: threading.Event) -> None:
    """A line every half second, until the end."""
    with open(path, "a", encoding="utf-8") as file:
        while not ended.wait(EVERY_S):
            file.write(json.dumps(meter.table()) + "\n")
            file.flush()


def main(threads: int, path: str) -> int:
    """Runs the worker until it is told to end."""
    meter, ended = Meter(), threading.Event()
    mark_steps(meter)
    clerk = threading.Thread(target=write_down, args=(meter, path, ended), name="profile")
    clerk.start()
    app = make_app(load_settings())
    try:
        return start_worker(app, threads=threads, hostname=own_name(), without_mingle=True, without_gossip=True)
    finally:
        ended.set()
        clerk.join()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
