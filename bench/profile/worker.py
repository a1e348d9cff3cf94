"""A worker that writes down what its steps cost, for `profile` only.

`python -m bench.profile.worker METER THREADS FILE`: twice a second it adds a line to the file. METER is `kernel` or
`statements`. The steps are the worker's own functions, found by their names; the readings at both ends of a step cost
some microseconds, most of them charged to the step around it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from bench.profile.clerk import written_down
from bench.profile.counters import Meter
from bench.profile.statements import StatementMeter
from rig.names import own_name
from worker.config.settings import load_settings
from worker.delivery.scheduler.relay import Relay
from worker.delivery.sender import attempt, doorbell_sender, record
from worker.delivery.sender.admission import Governor
from worker.delivery.sender.doorbell_sender import DoorbellSender
from worker.delivery.sender.writer import Writer
from worker.service.celery_app import make_app, start_worker

METERS: Mapping[str, type[Meter] | type[StatementMeter]] = {"kernel": Meter, "statements": StatementMeter}


def mark_steps(meter: Meter | StatementMeter) -> None:
    """Puts a counted function in the place of each step."""
    for name in ("resolve", "authorise", "render", "connect", "admit", "mark", "call", "read", "record"):
        setattr(attempt, name, meter.timed(name, getattr(attempt, name)))
    for place, name, step in (
        (Governor, "reserve", "reserve"),
        (record, "log_attempt", "log"),
        (doorbell_sender, "load_parts", "load"),
        (doorbell_sender, "release_parts", "release"),
        (DoorbellSender, "_read_states", "learn"),
        (DoorbellSender, "answer", "doorbell"),
        (Writer, "_next_batch", "gather"),
        (Writer, "_write", "commit"),
        (Relay, "turn", "turn"),
    ):
        setattr(place, name, meter.timed(step, getattr(place, name)))


def main(kind: str, threads: int, path: str) -> int:
    """Runs the worker until it is told to end."""
    meter = METERS[kind]()
    mark_steps(meter)
    with written_down(meter, path):
        app = make_app(load_settings())
        return start_worker(app, threads=threads, hostname=own_name(), without_mingle=True, without_gossip=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
