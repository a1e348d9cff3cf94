"""An application's transaction is open, with whatever it asked for: which rows it holds, and that no worker waits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection

import worker
from tests.support.housekeeping import keep_house
from tests.support.runtime import PNG, Site, an_account, lost, planted, refused
from tests.support.waiting import until_waiting
from worker import ButtonCard, CardUpdate, DedupeConflict, File, Text, To
from worker.config.settings import RetentionSettings
from worker.control.erase import erase, find_person
from worker.domain.job import part_id
from worker.domain.outcome import Accepted, CallReceipt, Verdict
from worker.domain.settle import Policy
from worker.outbox.commit.commands import CallEnd
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs.blobs import blob_chunks, delete_blobs
from worker.outbox.tables import metadata

pytestmark = pytest.mark.fewer_databases("on SQLite a transaction that has written keeps everybody waiting")
DAY = 86_400
ANN = To(users=["ann"])
LEVELS = pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ"])


@pytest.fixture
def site(server_database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    driven_clock.micros = time.time_ns() // 1000  # housekeeping's looks are bounded by ids, which hold the real time
    accounts = [an_account(), an_account("it", settings={"corpid": "ww2"})]
    with planted(server_database, driven_clock, accounts=accounts) as planted_site:
        worker.configure(planted_site.accounts)
        yield planted_site
        worker.configure(None)


@contextmanager
def held_open(site: Site, level: str = "READ COMMITTED") -> Iterator[Connection]:
    """An application's transaction that is rolled back in the end."""
    with site.database.engine.connect().execution_options(isolation_level=level) as connection:
        yield connection
        connection.rollback()


@dataclass
class Past:
    """What was asked for before, and became of it."""

    open: str
    """Some of its people were refused, the others wait."""
    accepted: str
    doubtful: str
    """Held in doubt; a job of its order waits behind it."""
    file: str
    card: str


@pytest.fixture
def past(site: Site) -> Past:
    """Jobs in all the states that a producer may ask about."""
    site.vendor.says(refused(85002))
    open_ = site.send(to=To(users=[f"u{n}" for n in range(1_001)]))
    site.bell.answer(site.part(open_).lane, [part_id(open_, 0)])
    accepted = site.send("accepted", dedupe_key="d")
    site.ring(accepted)
    site.vendor.says(lost())
    doubtful = site.send("doubtful", order_key="k", duplicate_check=False)
    site.send("behind it", order_key="k")
    site.ring(doubtful)
    site.advance(26)
    site.recover()
    file, card = site.image(), site.card(task_id="leave")
    site.run()
    site.send("the other part of the open one", account="it")
    return Past(open_, accepted, doubtful, file, card)


Asks = Callable[[Site, Past, Connection], object]


def _dedupe_conflict(site: Site, past: Past, connection: Connection) -> None:
    with pytest.raises(DedupeConflict):
        worker.enqueue(connection, "hr", Text(content="other"), ANN, dedupe_key="d")


ASKS: dict[str, tuple[Asks, set[str]]] = {
    "enqueue": (lambda s, p, c: worker.enqueue(c, "hr", Text(content="x"), ANN, order_key="k"), set()),
    "a dedupe key that is taken": (
        lambda s, p, c: worker.enqueue(c, "hr", Text(content="accepted"), To("lisi"), dedupe_key="d"),
        set(),
    ),
    "a dedupe key of other content": (_dedupe_conflict, set()),
    "a card with a task_id": (
        lambda s, p, c: worker.enqueue(
            c,
            "hr",
            ButtonCard(main_title={"title": "leave"}, button_list=[{"text": "ok", "key": "ok"}], task_id="leave"),
            ANN,
        ),
        set(),
    ),
    "a file that is stored": (
        lambda s, p, c: worker.enqueue(c, "hr", worker.Image(file=File(PNG, "a.png")), ANN),
        {"worker_blobs"},
    ),
    "upload": (lambda s, p, c: worker.upload(c, "hr", File(b"0123456789", "a.txt")), set()),
    "recall": (lambda s, p, c: worker.recall(c, p.open), set()),
    "recall_message": (
        lambda s, p, c: worker.recall_message(c, "hr", "m1", sent_at=datetime.now(UTC)),
        set(),
    ),
    "update_card": (lambda s, p, c: worker.update_card(c, p.card, CardUpdate(replace_name="done")), set()),
    "update_card_by_code": (
        lambda s, p, c: worker.update_card_by_code(c, "hr", _code(s), CardUpdate(replace_name="done"), ANN),
        set(),
    ),
    "resend_failed": (lambda s, p, c: worker.resend_failed(c, p.open), set()),
    "replay": (lambda s, p, c: worker.replay(c, p.accepted, accepted=True, unknown=True), set()),
    "replay of a card with a task_id": (lambda s, p, c: worker.replay(c, p.card, accepted=True, unknown=True), set()),
    "replay of a file": (lambda s, p, c: worker.replay(c, p.file, accepted=True, unknown=True), {"worker_blobs"}),
    "replay for which others wait": (
        lambda s, p, c: worker.replay(c, p.doubtful, accepted=True, unknown=True),
        {"worker_order_queue"},
    ),
}
"""What an application may ask for, and the tables in which it then holds rows that were there before."""


def _code(site: Site) -> str:
    return str(site.rows("select code from worker_response_codes")[0].code)


@LEVELS
def test_what_a_producer_holds(site: Site, past: Past, level: str) -> None:
    """Of all rows there were, in all tables: none, but for files, which housekeeping and erasures pass by, and places
    in an order that a replay takes, which workers pass by."""
    before = {table.name: _keys(site, table.name) for table in metadata.sorted_tables}
    held: dict[str, set[str]] = {}

    for asks, (ask, _) in ASKS.items():
        with held_open(site, level) as connection:
            ask(site, past, connection)
            held[asks] = {name for name, keys in before.items() if keys - _free(site, name, keys)}

    assert {asks: holds for asks, (_, holds) in ASKS.items()} == held


def _key_columns(name: str) -> str:
    return ", ".join(column.name for column in metadata.tables[name].primary_key)


def _keys(site: Site, name: str) -> set[tuple[object, ...]]:
    with site.database.reading() as connection:
        return {tuple(row) for row in connection.exec_driver_sql(f"select {_key_columns(name)} from {name}")}


def _free(site: Site, name: str, keys: set[tuple[object, ...]]) -> set[tuple[object, ...]]:
    """Those that another transaction can lock at once."""
    query = f"select {_key_columns(name)} from {name} for update skip locked"
    with site.database.writing() as connection:
        return {tuple(row) for row in connection.exec_driver_sql(query)} if keys else set()


def test_a_resend_of_an_open_job_stops_no_account(site: Site, past: Past) -> None:
    """Its transaction stays open: the rest of that very job is recorded, and another account's job is called."""
    [other] = [row.id for row in site.rows("select id from worker_jobs where account = 'it'")]

    with ThreadPoolExecutor(1) as pool, held_open(site) as connection:
        worker.resend_failed(connection, past.open)
        pool.submit(site.ring, past.open).result(120)
        pool.submit(site.ring, other).result(120)
        states = (site.state(past.open, 1), site.state(other))

    assert states == ("accepted", "accepted")


@pytest.mark.parametrize("commits", [True, False], ids=["committed", "rolled back"])
def test_the_late_answer_of_what_is_being_replayed_is_recorded(site: Site, past: Past, commits: bool) -> None:
    """The replay takes its place in an order and is not committed yet: the writer passes its row by. What waits behind
    goes on all the same, after the replay or, when there is none, without it."""
    held = part_id(past.doubtful, 0)
    [behind] = [
        row.id for row in site.rows("select id from worker_jobs where order_key = 'k'") if row.id != past.doubtful
    ]
    claim = site.part_row(held).claim

    with ThreadPoolExecutor(1) as pool, site.database.engine.connect() as connection:
        again = worker.replay(connection, past.doubtful, accepted=True, unknown=True)
        pool.submit(_answer_late, site, held, claim).result(120)
        during = (site.part_row(held).state, site.state(behind))
        connection.commit() if commits else connection.rollback()
    site.recover()
    site.advance(5)
    site.recover()
    site.run()

    assert during == ("accepted", "queued")
    assert site.state(behind) == "accepted"
    assert (1 if commits else 0) == len(site.of("receipts", again.id))
    assert site.rows("select * from worker_order_queue") == []


def _answer_late(site: Site, part: str, claim: int) -> None:
    verdict = Verdict(Accepted(CallReceipt("late")), 0)
    commit(site.database, [CallEnd(part, claim, site.part_row(part).incarnation, verdict, 5, delay_s=30.0)], Policy())


def test_the_file_of_what_is_being_replayed_stays(site: Site, past: Past) -> None:
    """Housekeeping comes by while the replay is not committed: it takes the other jobs and waits for nobody."""
    site.advance(100 * DAY)
    settings = RetentionSettings(attempts_days=4, jobs_days=4)

    with ThreadPoolExecutor(1) as pool, site.database.engine.connect() as connection:
        again = worker.replay(connection, past.file, accepted=True, unknown=True)
        gone = pool.submit(keep_house, site.database, settings).result(120)
        connection.commit()
    site.run()

    assert gone["jobs"] > 0
    assert past.file in {row.id for row in site.rows("select id from worker_jobs")}
    assert site.state(again.id) == "accepted"


@LEVELS
def test_the_file_that_an_enqueue_has_found_is_not_erased(site: Site, past: Past, level: str) -> None:
    """Its only other message is erased before the enqueue is committed: the new one still has its file."""
    with ThreadPoolExecutor(1) as pool, held_open(site, level) as connection:
        again = worker.enqueue(connection, "hr", worker.Image(file=File(PNG, "a.png")), ANN)
        erased = pool.submit(_erase, site, past).result(120)
        connection.commit()
    [file] = json.loads(site.job(again.id).message)["files"].values()

    assert {name: erased[name] for name in ("jobs", "emptied")} == {"jobs": 1, "emptied": 1}
    assert list(blob_chunks(site.database, file["blob"])) == [PNG]


def test_an_erased_file_goes_with_its_job_where_the_enqueue_that_found_it_is_rolled_back(
    site: Site, past: Past
) -> None:
    """Nothing else would ever delete it."""
    with ThreadPoolExecutor(1) as pool, held_open(site) as connection:
        worker.enqueue(connection, "hr", worker.Image(file=File(PNG, "a.png")), ANN)
        pool.submit(_erase, site, past).result(120)
    left = site.rows("select id from worker_blobs")
    site.advance(100 * DAY)
    keep_house(site.database, RetentionSettings(attempts_days=4, jobs_days=4))

    assert (len(left), site.rows("select id from worker_blobs")) == (1, [])


def test_a_file_that_is_being_erased_is_stored_anew(site: Site, past: Past) -> None:
    """The enqueue finds it, waits for the erasure and then stores a copy of its own."""
    [old] = site.rows("select id from worker_blobs")

    with ThreadPoolExecutor(1) as pool:
        with site.database.writing() as connection:
            delete_blobs(connection, [old.id])
            asking = pool.submit(site.image, to="ann")
            until_waiting(site.database)
        again = asking.result(120)
    [file] = json.loads(site.job(again).message)["files"].values()

    assert old.id != file["blob"]
    assert list(blob_chunks(site.database, file["blob"])) == [PNG]


def _erase(site: Site, past: Past) -> dict[str, int]:
    found = replace(find_person("lisi", database=site.database), ids=(past.file,))
    return dict(erase(found, person="zhang", database=site.database).counts)
