"""`worker health`: one line and a status, by the rows of this host's processes, and never against an outage."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.runtime import Ticks
from tests.unit.cli.conftest import Run
from worker.cli.health import PATIENCE_S, evaluate, host_health, own_host
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.lanes.processes import HEALTHY, Health, Process, end_processes, renew_heartbeat

HOST, PID, MISSING = own_host(), os.getpid(), 2**22 + 1
"""`MISSING` is beyond the numbers that a system gives."""
STUCK = Health(("the background loop relay has been in one turn for 40 s",))


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    """The database that the command reads."""
    with closing(Database(make_engine(sqlite_url))) as database:
        yield database


def beat(database: Database, told: Health = HEALTHY, *, name: str = "p1", pid: int = PID, lease_s: int = 500) -> None:
    """A heartbeat of a process of this host."""
    values = {"lease_us": lease_s * 1_000_000, "threads": 4, "host": HOST, "pid": pid, "lanes": "{}"}
    database.run(lambda connection: renew_heartbeat(connection, database.now, name, health=told, **values))  # type: ignore[arg-type]


def show(pid: int | None = None, ticks: Ticks | None = None) -> tuple[int, list[str]]:
    """The command's status and line, on a clock of the test's own."""
    ticks = ticks or Ticks()
    verdict = host_health(None, pid, pause=ticks.advance, monotonic=ticks)
    return int(not verdict.healthy), [verdict.text]


def test_a_healthy_process(run: Run, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 0, and which one it is."""
    beat(database)

    assert run("health") == 0
    assert f"healthy: worker {HOST} {PID}\n" == capsys.readouterr().out


def test_a_process_that_says_what_is_wrong(run: Run, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 1 and the reason; also as JSON."""
    beat(database, STUCK)

    assert run("health", "--pid", str(PID), "--json") == 1
    assert {"healthy": False, "text": f"unhealthy: worker {HOST} {PID}: {STUCK.problems[0]}"} == json.loads(
        capsys.readouterr().out
    )


def test_what_was_wrong_is_over_with_the_next_heartbeat(run: Run, database: Database) -> None:
    """Each one says all."""
    beat(database, STUCK)
    beat(database)

    assert (0, [f"healthy: worker {HOST} {PID}"]) == show()


def test_a_heartbeat_that_does_not_come_is_waited_for(run: Run, database: Database) -> None:
    """For four seconds; then it is said to stand still."""
    beat(database, lease_s=0)
    ticks = Ticks()
    began = ticks.now

    assert (1, [f"unhealthy: no fresh heartbeat: worker {HOST} {PID}"]) == show(ticks=ticks)
    assert began + PATIENCE_S <= ticks.now < began + PATIENCE_S + 1


def test_a_late_heartbeat_that_comes_is_taken(run: Run, database: Database) -> None:
    """As after an outage, under a new incarnation."""
    beat(database, lease_s=0)

    class Comes(Ticks):
        def advance(self, seconds: float) -> None:
            super().advance(seconds)
            beat(database, name="p2")

    assert (0, [f"healthy: worker {HOST} {PID}"]) == show(ticks=Comes())


def test_a_host_without_a_worker(run: Run, database: Database) -> None:
    """Also one whose worker ended."""
    beat(database, pid=MISSING)
    database.run(lambda connection: end_processes(connection, database.now, ["p1"]))

    assert (1, [f"unhealthy: no worker process on {HOST} has a heartbeat"]) == show()
    assert (1, [f"unhealthy: no worker process on {HOST} with the process id 7 has a heartbeat"]) == show(7)


def test_a_database_that_cannot_be_asked_is_no_fault_of_a_process(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 0: a restart would not bring it back."""
    config = Path(os.environ["WORKER_CONFIG"])
    config.write_text('database = "postgresql+psycopg://nobody@127.0.0.1:1/none"\n', encoding="utf-8")

    assert run("health") == 0
    assert capsys.readouterr().out == (
        "not known: the database cannot be read (the server cannot be reached; start it or correct host and port in the"
        " database URL), and a restart of the worker would not help\n"
    )


def test_a_database_that_takes_no_writes_is_no_fault_of_a_process(run: Run, database: Database) -> None:
    """It can be read, and no row can be written: here the disk is full."""
    beat(database, lease_s=0)
    with database.engine.begin() as connection:
        full = "select raise(fail, 'database or disk is full')"
        connection.exec_driver_sql(f"create trigger full before insert on worker_counts begin {full}; end")

    full_disk = "the database's disk is full; make room there"
    assert (
        0,
        [f"not known: the database takes no writes ({full_disk}), and a restart of the worker would not help"],
    ) == show()


def a_process(id_: str, pid: int = 1, *, fresh: bool = True, told: Health = HEALTHY, host: str = "h") -> Process:
    """A row."""
    return Process(id_, 0, 4, {}, fresh, host=host, pid=pid, health=told)


def test_of_two_incarnations_the_newer_one_counts() -> None:
    """A process that was cut off goes on under a new one, and so does a container whose worker has the same number."""
    told = evaluate([a_process("old", fresh=False), a_process("new")], "h", None, lambda pid: 100.0)

    assert told.text == "healthy: worker h 1"


def test_a_process_that_was_killed_is_none() -> None:
    """Its row ends when another one has noticed."""
    told = evaluate(
        [a_process("killed", 7, fresh=False), a_process("other", 8)], "h", None, lambda pid: 100.0 if pid == 8 else None
    )

    assert told.text == "healthy: worker h 8"


def test_all_processes_of_the_host_are_judged() -> None:
    """Each by its own row."""
    rows = [a_process("one", 1, told=STUCK), a_process("two", 2, fresh=False), a_process("three", 3)]

    told = evaluate(rows, "h", None, lambda pid: 100.0)

    assert told.text == f"unhealthy: worker h 1: {STUCK.problems[0]}; no fresh heartbeat: worker h 2"
    assert evaluate(rows, "h", 3, lambda pid: 100.0).text == "healthy: worker h 3"


def test_a_process_that_hangs_is_told_also_when_the_others_took_it_for_dead(run: Run, database: Database) -> None:
    """Its row has ended, and it is still there; a process beside it is well."""
    beat(database)
    beat(database, name="p2", pid=os.getppid())
    database.run(lambda connection: end_processes(connection, database.now, ["p1"]))

    assert (1, [f"unhealthy: no fresh heartbeat: worker {HOST} {PID}"]) == show()


def test_the_row_of_a_process_before_says_nothing_of_its_successor() -> None:
    """A container that was started again has the same host and the same number."""
    before = replace(a_process("before", told=STUCK), age_s=60.0)

    told = evaluate([before], "h", None, lambda pid: 2.0)

    assert told.text == "unhealthy: no worker process on h has a heartbeat"


def test_a_process_of_another_host_is_judged_by_its_row(run: Run, database: Database) -> None:
    """Of which it cannot be seen whether it is there."""
    beat(database)
    ticks = Ticks()

    verdict = host_health("other", None, pause=ticks.advance, monotonic=ticks)

    assert (verdict.healthy, verdict.text) == (False, "unhealthy: no worker process on other has a heartbeat")
