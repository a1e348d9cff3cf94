"""A backup is restored while the vendor kept counting: behind a fence nobody gets a message twice."""

from __future__ import annotations

import signal
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select

from rig.stack import ACCOUNT, Stack, until
from rig.stacks import EMBEDDED, RABBITMQ, Make, on_stacks
from worker import JobFilter, NewJob, Text, To, enqueue_many, fence, find_jobs, find_restored, find_unknown, resolve
from worker.domain.errors import WorkerError
from worker.outbox import tables
from worker.outbox.engine.database import Database, make_engine

COUNT = 300
LATER = 20
SAYS = {"person": "zhang", "why": "restored the backup of noon"}

Rows = dict[str, list[dict[str, Any]]]


@on_stacks(RABBITMQ, EMBEDDED, why="its SQL is tried on each database in process")
def test_behind_a_fence_nobody_gets_a_message_twice(make: Make) -> None:
    """A third was sent when the backup was made, two thirds when the machine died. What was not known then is held
    until a person has looked into the inboxes; what is enqueued afterwards goes at once."""
    stack = make({"latency_s": 0.02})
    enqueue(stack, "early", COUNT)
    worker = stack.worker(threads=4)
    until(lambda: stack.vendor.sends() >= COUNT // 3, "a third is gone", progress=stack.vendor.sends)
    backup = copied(stack)
    since = now(stack)
    until(lambda: stack.vendor.sends() >= COUNT * 2 // 3, "two thirds are gone", progress=stack.vendor.sends)
    worker.send_signal(signal.SIGKILL)
    worker.wait(30)
    restore(stack, backup)
    # The fence takes a second more.
    until(lambda: now(stack) > since + timedelta(seconds=1), "what comes now is later")
    enqueue(stack, "later", LATER)

    until(lambda: is_fenced(stack, since), "the killed process counts as dead, and the rest is held")
    held = find_unknown(JobFilter(account=ACCOUNT), settings=stack.settings).ids
    for _ in range(make.workers(2)):
        stack.worker(threads=4)
    until(lambda: len(got(stack, "later")) == LATER, "what came later goes", progress=stack.told)
    stack.until_settled()
    twice = [who for who, messages in stack.vendor.inbox().items() if len(messages) > 1]

    assert twice == []
    assert 0 < len(held) == sum(part["state"] in (0, 1) for part in backup["worker_parts"]), "what was open in it"
    seen = got(stack, "early")
    assert len(seen) >= COUNT * 2 // 3
    decide(stack, seen)
    states = dict(stack.rows("select state, count(*) from worker_jobs group by state"))
    of_states = Counter({2: len(seen) + LATER, 4: COUNT - len(seen)})
    assert of_states == Counter(states), "accepted as the inboxes say, the others not sent"


def now(stack: Stack) -> datetime:
    """By the database's clock."""
    return datetime.fromtimestamp(stack.database.read_now() / 1_000_000, UTC)


def is_fenced(stack: Stack, since: datetime) -> bool:
    try:
        found = find_restored(since, settings=stack.settings)
    except WorkerError:
        return False
    assert len(found.ids) == fence(found, settings=stack.settings, **SAYS).counts["parts"]
    return True


def decide(stack: Stack, seen: set[str]) -> None:
    """Says of each person's message whether it is in the inbox."""
    with stack.database.reading() as connection:
        sent = {job.id for who in seen for job in find_jobs(connection, JobFilter(recipient=who)).jobs}
    unknown = find_unknown(JobFilter(account=ACCOUNT), settings=stack.settings)
    jobs = {part.partition("-")[0] for part in unknown.ids}
    for ids, is_sent in ((jobs & sent, True), (jobs - sent, False)):
        if ids:
            resolve(find_unknown(JobFilter(ids=sorted(ids)), settings=stack.settings), sent=is_sent,
                    settings=stack.settings, **SAYS)  # fmt: skip


def got(stack: Stack, content: str) -> set[str]:
    """Who has a message of this text."""
    return {who for who in stack.vendor.inbox() if who.startswith(content)}


def enqueue(stack: Stack, content: str, count: int) -> None:
    # Without the vendor's duplicate check, which would swallow what is sent twice.
    text = Text(content=content, duplicate_check=False)
    jobs = [NewJob(ACCOUNT, text, To(users=[f"{content}-{n}"])) for n in range(count)]
    with stack.database.writing() as connection:
        enqueue_many(connection, jobs, accounts=stack.accounts)


def copied(stack: Stack) -> Rows:
    """All rows of all tables, as they were at one instant."""
    if stack.database.dialect.name == "sqlite":
        file = str(stack.database.engine.url.database)
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(f"{file}.copy")) as target:
            source.backup(target)
        with closing(Database(make_engine(f"sqlite:///{file}.copy"))) as copy, copy.reading() as connection:
            return rows(connection)
    engine = stack.database.engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.begin() as connection:
        return rows(connection)


def rows(connection: Connection) -> Rows:
    return {
        table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
        for table in tables.metadata.sorted_tables
    }


def restore(stack: Stack, backup: Rows) -> None:
    with stack.database.writing() as connection:
        for table in tables.metadata.sorted_tables:
            connection.execute(table.delete())
            if backup[table.name]:
                connection.execute(insert(table), backup[table.name])
