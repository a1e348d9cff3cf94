"""What the pages of the console are read from while they are measured: ended jobs, and some of all that is rare."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from uuid_utils import uuid7

from bench.scale.contents import SPEC, add_ended_jobs, add_future, one_of
from rig.stack import ACCOUNT
from worker import NewJob, Text, To, enqueue, enqueue_many
from worker.config.accounts import AccountSource
from worker.domain.job_terms import term
from worker.domain.state import JobState
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.database import Database
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.upkeep.indexing import index_batch

PEOPLE = 10_000
IN_DOUBT, CALLBACKS, EVENTS, COMMANDS = 500, 20_000, 1_000, 2_000
LARGE, PARTS = 100_000, 2_000
"""Recipients of one job, and parts of another one."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Ids of what pages are about."""

    doubtful: str
    large: str
    many: str
    callback: str
    command: str

    def pages(self) -> Mapping[str, str]:
        """Every page by what it shows."""
        one = f"/jobs/{self.doubtful}"
        return {
            "overview": "/",
            "jobs": "/jobs",
            "jobs of an account": f"/jobs?account={ACCOUNT}",
            "jobs in a state": "/jobs?state=unknown",
            "jobs to a person": "/jobs?recipient=rare",
            "jobs, refused": "/jobs?state=rejected&kind=send",
            "a name": f"/find?name={self.doubtful[:12]}",
            "a job": one,
            "100 parts": f"/jobs/{self.large}",
            "2,000 parts": f"/jobs/{self.many}",
            "a part": f"{one}/parts/0",
            "a message": f"{one}/message",
            "mailings": "/mailings",
            "failures": "/failures?created_from=-24h",
            "failures of an account": f"/failures?account={ACCOUNT}&created_from=-1h",
            "a file of a job": f"/export/csv?ids={self.doubtful}",
            "in doubt": "/doubts",
            "backlog": "/backlog",
            "lanes": "/lanes",
            "accounts": "/accounts",
            "an account": f"/accounts/{ACCOUNT}",
            "inbound": "/inbound",
            "inbound of an event": "/inbound?event=none",
            "a callback": f"/inbound/{self.callback}",
            "events": "/events",
            "processes": "/processes",
            "audit": "/audit",
            "a command": f"/audit/{self.command}",
            "a preview": f"/commands/cancel?ids={self.doubtful}",
            "a preview of a move": f"/commands/move?ids={self.doubtful}",
        }


def fill(database: Database, accounts: AccountSource, jobs: int) -> Contents:
    """So many ended jobs, and the rest."""
    doubtful = _in_doubt(database, accounts)
    large = _large(database, accounts, LARGE)
    many = _large(database, accounts, 1)
    _give_parts(database, many)
    _end(database, (large, many))
    with database.reading() as connection:
        account = term(lane_key(connection), "account", ACCOUNT)
    add_ended_jobs(database, jobs, [f"'{account}'", one_of(database, PEOPLE), one_of(database, 2**47)])
    add_future(database, 20, 50)
    callback, command = _rare(database, doubtful)
    while index_batch(database):
        pass
    return Contents(doubtful[-1], large, many, callback, command)


def _in_doubt(database: Database, accounts: AccountSource) -> list[str]:
    """Jobs whose call got no answer."""
    new = [NewJob(ACCOUNT, Text(content=f"rare {n}"), To("rare")) for n in range(IN_DOUBT)]
    now, unknown = database.read_now(), int(JobState.UNKNOWN)
    with database.writing() as connection:
        made = [ref.id for ref in enqueue_many(connection, new, accounts=accounts)]
        for sql in (
            f"update worker_parts set state = {unknown}, not_before = null, claim = 1, marked_at = {now}, doubts = 1",
            f"update worker_jobs set state = {unknown}, n_open = 0, n_unknown = 1, finished_at = {now}",
            "insert into worker_attempts (part_id, claim, incarnation, outcome, doubtful, reason, flagged, started_at,"
            f" ended_at) select id, 1, 'p', 'unknown', true, 'read_timeout', false, {now}, {now} from worker_parts",
            "insert into worker_unindexed (job_id, note) select id, '1' from worker_jobs",
        ):
            connection.exec_driver_sql(sql)
    return made


def _large(database: Database, accounts: AccountSource, people: int) -> str:
    with database.writing() as connection:
        people_of_it = To([f"user{n}" for n in range(people)])
        return enqueue(connection, ACCOUNT, Text(content="to many"), people_of_it, accounts=accounts).id


def _give_parts(database: Database, job: str) -> None:
    """A job of many parts, as a chain of calls to many chats has them."""
    with database.reading() as connection:
        lane = connection.exec_driver_sql(f"select lane from worker_parts where job_id = '{job}'").scalar_one()
    rows = [
        {"id": f"{job}-{n}", "job_id": job, "n": n, "lane": lane, "priority": 1, "spec": SPEC, "not_before": 1}
        for n in range(1, PARTS)
    ]
    with database.writing() as connection:
        insert_rows(connection, tables.parts, rows)


def _end(database: Database, jobs: tuple[str, ...]) -> None:
    """The vendor took all of their parts."""
    now, named = database.read_now(), ", ".join(f"'{job}'" for job in jobs)
    with database.writing() as connection:
        for sql in (
            f"update worker_parts set state = 2, not_before = null, claim = 1, marked_at = {now},"
            f" first_marked_at = {now} where job_id in ({named})",
            "update worker_jobs set state = 2, n_open = 0, n_accepted = (select count(*) from worker_parts p where"
            f" p.job_id = worker_jobs.id), finished_at = {now} where id in ({named})",
            f"update worker_jobs set asked = {2 * PARTS - 1} where id = '{jobs[-1]}'",
            "insert into worker_attempts (part_id, claim, incarnation, outcome, doubtful, errcode, flagged, started_at,"
            f" ended_at) select id, 1, 'p', 'accepted', false, 0, true, {now}, {now} from worker_parts"
            f" where job_id in ({named})",
            "insert into worker_receipts (part_id, claim, msgid, accepted_at, from_repeat, not_sent)"
            f" select id, 1, 'm', {now}, false, false from worker_parts where job_id in ({named})",
        ):
            connection.exec_driver_sql(sql)


def _rare(database: Database, jobs: Sequence[str]) -> tuple[str, str]:
    """Callbacks, parked events and commands; the ids of a callback and of a command."""
    now = database.read_now()
    payload = json.dumps({"message": {"Content": "can it be Friday?"}})
    heard = {"account": ACCOUNT, "event": "message:text", "person": "lisi", "payload": payload}
    callbacks = [f"{n:064x}" for n in range(CALLBACKS)]
    inbound = [
        {**heard, "id": id, "happened_at": now - n, "received_at": now - n, "stored_by": uuid7().hex}
        for n, id in enumerate(callbacks)
    ]
    parked = {"kind": "job_done", "state": 3, "created_at": now, "ended_at": now, "error": "ValueError"}
    events = [{**parked, "id": uuid7().hex, "job_id": jobs[n % len(jobs)]} for n in range(EVENTS)]
    asked = json.dumps({"filter": {"ids": jobs[:1]}, "jobs": 1})
    given = {"action": "cancel", "person": "zhang", "why": "a typo", "asked": asked, "counts": '{"jobs": 1}'}
    commands = [uuid7().hex for _ in range(COMMANDS)]
    audit = [{**given, "id": id, "began_at": now, "ended_at": now, "seen_at": now} for id in commands]
    with database.writing() as connection:
        insert_rows(connection, tables.inbound, inbound)
        insert_rows(connection, tables.events, events)
        insert_rows(connection, tables.audit, audit)
    return callbacks[0], commands[0]
