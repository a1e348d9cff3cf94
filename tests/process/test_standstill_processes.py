"""Real workers that stand still in one way each: every place where a person looks says so, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from rig.stack import ACCOUNT, Stack, until
from rig.stacks import REDIS, Make, on_stacks
from tests.pipeline.console.person import Person
from tests.process.stuck_worker import RELAY_RAISES, SENDERS, SENDERS_RAISE
from tests.process.test_leaders import enqueue_urgent, without_broker
from worker.outbox.lanes.processes import alive_processes
from worker.reporting.standstill import Standstill, find_standstills
from worker.service.web.collector import OutboxCollector

Way = Callable[[Stack, Make], object]


def stuck(what: str) -> Way:
    """A worker in which one thing stops at once."""

    def start(stack: Stack, make: Make) -> None:
        (make.folder / "armed").touch()
        stack.process("tests.process.stuck_worker", str(make.folder), what, "4")

    return start


def without_secret(stack: Stack, make: Make) -> None:
    """A worker whose settings name another file for the account's secret."""
    config = make.folder / "other.toml"
    settings = stack.config.read_text(encoding="utf-8")
    config.write_text(settings.replace(f"{stack.folder}/secret", f"{stack.folder}/nowhere"), encoding="utf-8")
    stack.worker(threads=4, env={"WORKER_CONFIG": str(config)})


def without_heartbeat(stack: Stack, make: Make) -> None:
    """A worker that counts as dead, since the loop that tells of it hangs; before that it sends all it finds."""
    stuck("heartbeat")(stack, make)
    stopped = make.folder / "stopped"

    def is_dead() -> bool:
        with stack.database.reading() as connection:
            return stopped.exists() and not alive_processes(connection, stack.database.now)

    until(is_dead, "it counts as dead", told=stack.told)


WAYS: Mapping[str, tuple[Way, str]] = {
    "nobody": (lambda stack, make: None, "no worker process is alive"),
    "broker": (lambda stack, make: stack.worker(threads=4, env=without_broker(make)), "takes no messages"),
    "queue": (
        lambda stack, make: stack.worker(threads=4, options=("-X", f"{stack.prefix}worker.urgent")),
        "no worker process takes from the queue urgent",
    ),
    "account": (without_secret, "no worker process can use the account"),
    "relay raises": (stuck(RELAY_RAISES), "relay: each of its turns fails (KeyError"),
    "relay hangs": (stuck("relay"), "the background loop relay has been in one turn for"),
    "senders": (stuck(SENDERS), "it is not known why none sends them"),
    "senders raise": (stuck(SENDERS_RAISE), "it is not known why none sends them"),
    "heartbeat": (without_heartbeat, "no worker process is alive"),
}
"""How it stands still, and what is said of it."""
WHY = {"account": "1 of 1 worker processes cannot use its account"}
"""What `why` says where it has a sentence of its own."""
SOON = {"relay hangs": {"worker.service.health.STUCK_S": 8.0}}
"""The one cause that is known only after some time."""


def seen(stack: Stack) -> list[Standstill]:
    """What stands still, by the outbox."""
    with stack.database.reading() as connection:
        return find_standstills(connection, stack.database.now)


def said(stack: Stack, *command: str) -> tuple[int, str]:
    """A command's status, and what it printed."""
    log = stack.folder / f"process-{len(stack.processes)}.log"
    status = stack.process("worker.cli", *command).wait()
    return status, log.read_text(encoding="utf-8")


@on_stacks(REDIS, why="what stands still is the worker's own, whatever the stack", way=tuple(WAYS))
def test_what_stands_still_is_seen_everywhere(make: Make, way: str) -> None:
    """By `health`, `doctor` and `why`, in the metrics and on the console's first page, with the true cause."""
    stack = make(constants=SOON.get(way, {}))
    start, cause = WAYS[way]
    start(stack, make)
    job = enqueue_urgent(stack)
    # It has been due for two minutes.
    with stack.database.writing() as connection:
        for column in ("worker_jobs set created_at = created_at", "worker_parts set not_before = not_before"):
            connection.exec_driver_sql(f"update {column} - 120000000")

    until(lambda: any(cause in one.text for one in seen(stack)), f"{way}: its cause is seen", told=stack.told)

    assert said(stack, "health")[0] == 1
    status, findings = said(stack, "doctor")
    assert status == 1, findings
    assert cause in findings, findings
    _, why = said(stack, "why", job)
    assert WHY.get(way, cause) in why, why
    metrics = {tuple(one.labels.values()): one.value for one in _series(stack)}
    assert sum(value for (account, _), value in metrics.items() if account == ACCOUNT) == 1
    assert cause in Person(cast(Any, stack)).get("/").text


def _series(stack: Stack) -> list[Any]:
    found = OutboxCollector(stack.database, stack.accounts).collect()
    return [sample for metric in found if metric.name == "worker_standing_still" for sample in metric.samples]
