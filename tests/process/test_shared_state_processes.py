"""Real workers of two installations, each with an outbox of its own, on one state database; the vendor judges."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from rig import databases
from rig.stack import SHORT, Stack, Vendor, until
from rig.stacks import on_its_own
from rig.tcp_door import Door
from tests.process.test_pipeline_processes import enqueue_texts
from tests.process.test_services_away import door_to, through
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.upkeep.shared_state import upgrade_all

AWAY_S = 4.0
"""Longer than the shortened lease."""
SERVERS = {"postgres": databases.scratch_postgres, "mariadb": databases.scratch_mariadb}
WHY = "three databases at once; of each kind of server"
DOUBTS = "select outcome, reason, count(*) from worker_attempts where outcome = 'unknown' group by 1, 2"


@dataclass
class Both:
    """Two installations, what they share, and the vendor."""

    stacks: list[Stack]
    state: Database
    door: Door
    vendor: Vendor

    def start(self) -> list[object]:
        """Two workers of each."""
        return [stack.worker(threads=4) for stack in self.stacks for _ in range(2)]

    def until_settled(self) -> None:
        """Nothing is left to do in either."""
        for stack in self.stacks:
            stack.until_settled()


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in SERVERS])
def scratch(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Three databases without tables."""
    make = SERVERS[request.param]
    with ExitStack() as scope:
        yield [scope.enter_context(make(f"worker_{os.getpid()}_share_{name}")) for name in ("one", "two", "state")]


@pytest.fixture
def both(scratch: list[str], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Both]:
    """Two installations whose workers reach the state by way of a door."""
    broker = databases.need(databases.REDIS)
    *outboxes, state_url = scratch
    with ExitStack() as scope:
        door = scope.enter_context(closing(door_to(state_url)))
        vendor = scope.enter_context(closing(Vendor(tmp_path, {"latency_s": 0.02})))
        state = Database(make_engine(state_url))
        scope.callback(state.close)
        for url in outboxes:
            with closing(Database(make_engine(url), state=Database(make_engine(state_url)))) as outbox:
                upgrade_all(outbox)
        stacks = [
            Stack(
                tmp_path / str(n),
                url,
                broker,
                vendor,
                top=f'state_database = "{through(door, state_url)}"',
                account="limits = { app_day = 100 }\n" if "limit" in request.node.name else "",
                delivery=SHORT,
                fresh=False,
            )
            for n, url in enumerate(outboxes)
        ]
        for stack in stacks:
            scope.callback(stack.close)
        yield Both(stacks, state, door, vendor)


@on_its_own(why=WHY)
def test_one_token_and_one_limit_for_both(both: Both) -> None:
    """Of 160 messages exactly the hundred of the day are sent, with the token that one process fetched."""
    for n, stack in enumerate(both.stacks):
        enqueue_texts(stack, 80, first=80 * n)

    workers = both.start()
    until(lambda: both.vendor.sends() >= 100, "the limit is used")
    taken = [stack.number("select count(*) from worker_jobs where state = 2") for stack in both.stacks]
    until(
        lambda: sum(stack.number("select count(*) from worker_jobs where state = 2") for stack in both.stacks) == 100,
        "their answers are recorded",
        told=lambda: f"{taken}",
    )

    assert {None} == {worker.poll() for worker in workers}  # type: ignore[attr-defined]
    assert 100 == both.vendor.sends()
    assert 1 == len(both.vendor.calls("/cgi-bin/gettoken"))


@on_its_own(why=WHY)
def test_a_state_that_is_away_loses_nothing_and_ends_no_process(both: Both) -> None:
    """No call begins meanwhile, what is in the air is recorded, and afterwards everything is sent once."""
    for n, stack in enumerate(both.stacks):
        enqueue_texts(stack, 150, first=150 * n)
    workers = both.start()
    until(lambda: both.vendor.sends() > 40, "calls are out")

    both.door.shut()
    away_until = time.monotonic() + AWAY_S
    until(lambda: time.monotonic() > away_until, "it has been away")
    in_the_air = [stack.number("select count(*) from worker_parts where state = 1") for stack in both.stacks]
    held = both.vendor.sends()
    both.door.open()
    both.until_settled()

    assert [0, 0] == in_the_air
    assert held < 300
    assert {None} == {worker.poll() for worker in workers}  # type: ignore[attr-defined]
    assert {1} == {len(messages) for messages in both.vendor.inbox().values()}
    assert 300 == len(both.vendor.inbox())
    assert [[], []] == [stack.rows(DOUBTS) for stack in both.stacks]


@on_its_own(why=WHY)
def test_a_wrong_secret_of_one_parks_the_account_of_both(both: Both) -> None:
    """What the documentation warns of: lanes are shared by the account's name, whatever credentials were refused."""
    one, two = both.stacks
    (one.folder / "secret").write_text("wrong", encoding="utf-8")
    enqueue_texts(one, 1)
    first = one.worker(threads=4)
    blocked = "select count(*) from worker_lanes where parked = true and lane = 'hr'"

    def parked() -> bool:
        with both.state.reading() as connection:
            return bool(connection.exec_driver_sql(blocked).scalar())

    until(parked, "the account is parked", told=one.told)
    assert 0 == one.end(first)
    enqueue_texts(two, 1, first=1)
    two.worker(threads=4)
    # Its own secret is right, so the token's row of its own allows a fetch, and its first probe opens the account.
    two.until_settled()

    # The state is a database of its own: the lane opens there a moment after the job's end is in the outbox.
    until(lambda: not parked(), "the account is open", told=two.told)
    assert 1 == two.number("select count(*) from worker_jobs where state = 2")
