"""`worker health` beside real workers: what stops in one is told, and no outage is held against any."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing

import pytest
import requests

from rig.stack import Process, Stack, until
from rig.stacks import MARIADB, RABBITMQ, REDIS, Make, on_stacks
from tests.process.office import Office
from tests.process.stuck_worker import SENDERS, WRITER
from tests.process.test_pipeline_processes import assert_each_once, enqueue_texts
from tests.process.test_services_away import DOUBTS, door_to, through

MOST_S = 12.0
"""For how long a loop may be in one turn, or parts may be due, where a service is away."""
AWAY_S = float(os.environ.get("TEST_AWAY_S", "14"))
"""Longer than that."""
COUNT = 300
PROBE_WAITS_S = 5.0
"""`timeoutSeconds` of docs/monitoring.md."""
PROBES_WHILE = 7
"""How often a worker is asked while a service is away, and as often as that until everything has been sent."""
PROBES_AFTER = 2
"""How often it is asked then."""
TELLS = {
    "recovery": "the background loop recovery has been in one turn for",
    "hooks": "the background loop hooks has been in one turn for",
    WRITER: "the writer thread has been in one commit for",
    SENDERS: "parts are due and their lanes are open, but none was sent for",
    "heartbeat": "heartbeat",
}
"""What stops, and what is said of it."""
SOON = {"worker.service.health.STUCK_S": 8.0, "worker.service.health.STALLED_S": 8.0}
"""How long it may last, which tests/unit/service/test_health.py tries by a clock that is moved; longer than a heartbeat
may be late.
"""


def ask(stack: Stack, worker: Process) -> tuple[int, str]:
    """`worker health` for this worker: its status and its line."""
    log = stack.folder / f"process-{len(stack.processes)}.log"
    status = stack.process("worker.cli", "health", "--pid", str(worker.pid)).wait()
    return status, log.read_text(encoding="utf-8")


def until_healthy(stack: Stack, worker: Process) -> None:
    """Waits until the worker has its first heartbeat."""
    until(lambda: stack.number("select count(*) from worker_processes"), "it has a heartbeat", told=stack.told)
    assert (lambda said: (said[0], said[1].split(":")[0]))(ask(stack, worker)) == (0, "healthy")


def is_seen(stack: Stack) -> bool:
    """True once the worker's row says that something is wrong, or its heartbeat has lapsed."""
    fresh = f"ended_at is null and alive_until > {stack.database.now}"
    return not stack.number(f"select count(*) from worker_processes where {fresh} and health is null")


@on_stacks(REDIS, why="what stops is the worker's own, whatever the stack", stops=tuple(TELLS))
def test_what_stops_in_a_worker_is_told(make: Make, stops: str) -> None:
    """Soon after its stop the exit status is 1, and the line says what it is; the worker itself lives."""
    stack = make(
        {"latency_s": 0.02},
        top='hooks = "tests.process.callback_hooks"',
        env={"HOOK_LOG": str(make.folder / "hooks.log")},
        constants=SOON,
    )
    worker = stack.process("tests.process.stuck_worker", str(make.folder), stops, "4")
    until_healthy(stack, worker)

    (make.folder / "armed").touch()
    enqueue_texts(stack, 20)
    until((make.folder / "stopped").exists, f"{stops} stops")
    until(lambda: is_seen(stack), f"it is seen that {stops} has stopped", told=stack.told)
    status, line = ask(stack, worker)

    assert status == 1, line
    assert TELLS[stops] in line, line
    assert worker.poll() is None


@on_stacks(REDIS, why="it is HTTP alone")
def test_a_receiver_that_stopped_answers_no_probe(make: Make) -> None:
    """Within the time that a probe waits; and does so again once it goes on."""
    here = Office(make)
    assert [_probed(here, path) for path in ("livez", "readyz")] == ["live\n", "ready\n"]

    os.kill(here.receiver.pid, signal.SIGSTOP)
    with pytest.raises(requests.Timeout):
        _probed(here, "livez", PROBE_WAITS_S)
    os.kill(here.receiver.pid, signal.SIGCONT)

    assert _probed(here, "livez") == "live\n"


def _probed(here: Office, path: str, timeout_s: float = 60) -> str:
    return requests.get(f"{here.url}/{path}", timeout=timeout_s).text


@on_stacks(RABBITMQ, MARIADB, why="what is away is a broker of the one and the database of the other")
def test_a_service_that_is_away_is_held_against_no_worker(make: Make) -> None:
    """The database or the broker away in the middle of the work: status 0 all along, and afterwards."""
    service = "broker" if make.name == RABBITMQ else "database"
    url = make.database_url if service == "database" else make.broker
    with closing(door_to(url)) as door:
        soon = dict.fromkeys(SOON, MOST_S)
        stack = make({"latency_s": 0.05}, constants=soon, **{f"worker_{service}": through(door, url)})
        worker = stack.worker(threads=4)
        until_healthy(stack, worker)
        enqueue_texts(stack, COUNT)
        until(lambda: stack.vendor.sends() > 30, "calls are out")
        said: list[tuple[int, str]] = []

        def probed() -> None:
            if time.monotonic() >= began + len(said) * AWAY_S / PROBES_WHILE:
                said.append(ask(stack, worker))

        door.shut()
        began = time.monotonic()
        until(lambda: probed() or time.monotonic() > began + AWAY_S, "it has been away")
        door.open()
        until(
            lambda: probed() or not stack.unsettled(), "everything settled", progress=stack.unsettled, told=stack.told
        )
        said += [ask(stack, worker) for _ in range(PROBES_AFTER)]

    assert [one for one in said if one[0] != 0] == []
    assert said[-1][1].partition(":")[0] == "healthy"
    assert worker.poll() is None
    assert_each_once(stack, COUNT)
    assert stack.rows(DOUBTS) == []
