"""The fault explorer on PostgreSQL, where transactions of several hosts run side by side."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import partial

import pytest
from sqlalchemy import Connection

from bench.explore.database import Databases
from bench.explore.explorer import Explorer
from bench.explore.fibers import Home, Scheduler
from bench.explore.hooks import NOTES
from bench.explore.postgres import PostgresStore, stores
from bench.explore.process import explorable
from bench.explore.threads import WORLD
from rig.servers import own_postgres, own_server
from rig.stacks import on_its_own


@pytest.fixture(scope="module")
def store() -> Iterator[PostgresStore]:
    """On a server of its own."""
    own_server.need(own_postgres.PROGRAMS, found=own_postgres.found())
    with stores() as make:
        yield make()


@on_its_own(why="its processes are simulated, and its server is its own")
def test_no_universe_breaks_a_promise_and_a_seed_gives_the_same_again(store: PostgresStore) -> None:
    """`python -m bench explore --postgres --seeds 1000` tries a thousand.

    Where one commit lets several transactions go that then wait for each other, as when quiet hours end in seed 0,
    their order is the server's: such a seed may give another story.
    """
    explorer = Explorer(store)
    with explorer.ready():
        told = [explorer.explore(seed) for seed in (0, 1, 2, 1)]

    assert {one.seed: one.problems for one in told if one.problems} == {}
    assert told[1].story == told[-1].story


@on_its_own(why="its processes are simulated, and its server is its own")
@pytest.mark.parametrize(("second", "tries"), [((1, 2), 2), ((2, 1), 3)], ids=["waits", "deadlock"])
def test_transactions_of_two_hosts_wait_for_each_other(
    store: PostgresStore, second: tuple[int, int], tries: int
) -> None:
    """In virtual time; where each waits for the other, the server ends one, which is tried again."""
    scheduler, begun = Scheduler(random.Random(1), eagerness=0.0), list[str]()
    WORLD.begin(scheduler, random.Random(2))
    store.begin(lambda label: scheduler.point())
    databases = Databases(store)
    with databases.of(Home("outside")).writing() as connection:
        connection.exec_driver_sql(f"insert into {NOTES} (n, event) values (1, ''), (2, '')")

    def change_both(home: Home, rows: Sequence[int]) -> None:
        def work(connection: Connection) -> None:
            begun.append(home.name)
            for row in rows:
                connection.exec_driver_sql(f"update {NOTES} set event = event || 'x' where n = {row}")
                scheduler.sleep(1.0)

        databases.of(home).run(work)

    with explorable():
        for number, rows in enumerate(((1, 2), second)):
            home = Home(f"host{number}")
            scheduler.spawn(home, "writer", partial(change_both, home, rows))
        scheduler.run(60.0)
        scheduler.close()

    assert scheduler.failures == []
    assert tries == len(begun)
    assert [row["event"] for row in store.rows(f"select event from {NOTES}")] == ["xx", "xx"]
