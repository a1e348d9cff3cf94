"""Database roles: each does what it may and is refused the rest, by the servers themselves."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from inspect import signature
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from rig import databases, roles
from rig.roles import Role, RoleUsers, as_role
from tests.channels.callback_samples import NOW
from tests.pipeline import test_callbacks
from tests.pipeline.console import person, test_export, test_pages_commands
from tests.support.producing import ACCOUNTS, ANN, HELLO
from tests.support.runtime import PNG, Site, planted, refused
from worker import (
    ButtonCard,
    CardPressed,
    CardUpdate,
    DedupeConflict,
    File,
    Image,
    JobFilter,
    NewJob,
    Text,
    To,
    enqueue,
    enqueue_many,
    find_jobs,
    get_job,
    recall,
    replay,
    resend_failed,
    update_card,
    update_card_by_code,
    why,
)
from worker.config.settings import Settings
from worker.console import Site as ConsoleSite
from worker.control.cancel import cancel
from worker.control.erase import erase, find_person
from worker.domain.callbacks.inbound import CardPress, ChatChange, ChatNews, Grant, GrantKind, Inbound
from worker.domain.job import part_id
from worker.hooks.callbacks import CallbackStore
from worker.hooks.runs import hook_event_of
from worker.outbox import tables
from worker.outbox.engine import migrate
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.engine.error_text import is_forbidden
from worker.outbox.engine.sql import execute
from worker.outbox.jobs.events import claim_event
from worker.outbox.lanes.processes import RECEIVER, lapsed_lease
from worker.outbox.tables import VERSION_TABLE, metadata
from worker.outbox.upkeep.totals import Totals
from worker.reporting.job_list import with_contents
from worker.service.web.receiver import Heartbeat

PERMISSION = {"postgresql": {"42501"}, "mariadb": {1044, 1142, 1143, 1227}}
SERVERS = [
    pytest.param("postgresql", marks=pytest.mark.postgres),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
]


@pytest.fixture(scope="module", params=SERVERS)
def users(request: pytest.FixtureRequest) -> Iterator[RoleUsers]:
    """An outbox that the migrator made from nothing."""
    with roles.role_users(request.param, f"worker_roles_{os.getpid()}") as users:
        yield users


@contextmanager
def producer_beside_worker(users: RoleUsers) -> Iterator[tuple[Database, Site]]:
    """A producer's own connections, and a worker that delivers under its role."""
    clock = DrivenClock()
    with closing(Database(make_engine(users.admin))) as admin:
        databases.empty(admin)
    with (
        as_role(users, "producer", clock) as producer,
        as_role(users, "worker", clock) as database,
        planted(database, clock) as site,
    ):
        yield producer, site


REFUSED: list[tuple[Role, str]] = [
    ("producer", "select sealed from worker_tokens"),
    ("producer", "select sealed from worker_accounts"),
    ("producer", "select sealed from worker_grants"),
    ("producer", "select body from worker_bodies"),
    ("producer", "select data from worker_blob_chunks"),
    ("producer", "select code from worker_response_codes"),
    ("producer", "drop table worker_jobs"),
    ("reader", "select message from worker_jobs"),
    ("reader", "select recipients from worker_jobs"),
    ("reader", "select spec from worker_parts"),
    ("reader", "select body from worker_bodies"),
    ("reader", "select sealed from worker_tokens"),
    ("reader", "select settings from worker_accounts"),
    ("reader", "select sealed from worker_accounts"),
    ("reader", "select payload from worker_inbound"),
    ("reader", "select recipient from worker_failures"),
    ("reader", "drop table worker_jobs"),
    ("worker", "drop table worker_jobs"),
    ("worker", "alter table worker_jobs add column more integer"),
    ("worker", "create index mine on worker_jobs (kind)"),
    ("worker", "create table worker_more (id integer)"),
    ("migrator", "create role another"),
]


@pytest.mark.parametrize(("role", "statement"), REFUSED)
def test_a_role_is_refused_what_it_may_not(users: RoleUsers, role: Role, statement: str) -> None:
    """With the database's own error for missing rights, and no other."""
    with (
        as_role(users, role) as database,
        pytest.raises(DBAPIError) as error,
        database.engine.begin() as connection,
    ):
        connection.execute(text(statement))

    cause = error.value.orig
    code = getattr(cause, "sqlstate", None) if users.server == "postgresql" else cause and cause.args[0]
    assert code in PERMISSION[users.server], (statement, code)


def test_a_producer_enqueues_in_its_own_transaction_and_a_worker_delivers(users: RoleUsers) -> None:
    """What was rolled back never goes; what was committed is accepted, and the producer reads why."""
    with producer_beside_worker(users) as (producer, site):
        options = {"accounts": site.accounts}
        with producer.engine.connect() as connection:
            gone = enqueue(connection, "hr", HELLO, ANN, **options).id
            connection.rollback()
        with producer.writing() as connection:
            sent = enqueue(connection, "hr", HELLO, ANN, order_key="o", tags=["a"], **options).id

        site.run()

        with producer.reading() as connection:
            assert get_job(connection, sent).state.label == "accepted"
            assert why(connection, sent).waits == ()
        assert site.rows("select id from worker_jobs where id = :id", id=gone) == []


def test_a_producer_asks_for_all_that_follows_a_message(users: RoleUsers) -> None:
    """Files, cards, their recall and update, a resend to those refused, and a replay: each is accepted."""
    with producer_beside_worker(users) as (producer, site):
        options = {"accounts": site.accounts}
        card = ButtonCard(main_title={"title": "leave"}, button_list=[{"text": "ok", "key": "ok"}], task_id="mine")
        site.vendor.says(refused(0, "ok", invaliduser="bob", msgid="m"))
        with producer.writing() as connection:
            refusing = enqueue(connection, "hr", HELLO, To(users=["ann", "bob"]), **options).id
        site.run()
        with producer.writing() as connection:
            first = [
                enqueue(connection, "hr", Image(file=File(PNG, "a.png")), ANN, **options).id,
                enqueue(connection, "hr", card, ANN, **options).id,
            ]
        site.run()

        with producer.writing() as connection:
            then = [
                update_card(connection, first[1], CardUpdate(replace_name="done"), **options).id,
                update_card_by_code(connection, "hr", "a-code", CardUpdate(replace_name="done"), **options).id,
                resend_failed(connection, refusing, **options).id,
                replay(connection, first[0], accepted=True, **options).id,
            ]
        site.run()
        with producer.writing() as connection:
            then.append(recall(connection, refusing, **options).id)
        site.run()

        assert [site.state(job) for job in first + then] == ["accepted"] * 7


def test_a_taken_dedupe_key_is_told_without_a_right_to_delete(users: RoleUsers) -> None:
    """The same content is the first job; other content is a conflict that leaves the transaction usable."""
    with as_role(users, "producer") as producer:
        with producer.writing() as connection:
            first = enqueue(connection, "hr", HELLO, ANN, dedupe_key="taken", accounts=ACCOUNTS)

        with producer.writing() as connection:
            again = enqueue_many(connection, [NewJob("hr", HELLO, ANN, dedupe_key="taken")], accounts=ACCOUNTS)
            with pytest.raises(DedupeConflict):
                enqueue(connection, "hr", Text(content="other"), ANN, dedupe_key="taken", accounts=ACCOUNTS)
            after = enqueue(connection, "hr", HELLO, ANN, accounts=ACCOUNTS)
        with producer.reading() as connection:
            assert after.id == get_job(connection, after.id).id

    assert [(first.id, False)] == [(one.id, one.created) for one in again]


def columns(table: str, names: str) -> set[str]:
    """The columns, as `table.column`; all of a table's for `*`."""
    found = (
        names.split(", ") if names != "*" else [column.name for column in metadata.tables[f"worker_{table}"].columns]
    )
    return {f"{table}.{name}" for name in found}


COUNTERS = "n_open, n_accepted, n_partial, n_rejected, n_exhausted, n_unknown, n_expired, n_cancelled"
ENDS = f"state, finished_at, awaited, {COUNTERS}"
PROGRESS = (
    "state, not_before, offered_until, claim, incarnation, marked_at, first_marked_at, deadline_at, tries, busy,"
    " repeats, doubts, unheard, flagged, waits_on, reason, limit_name"
)
INSERTS: Mapping[Role, str] = {
    "producer": "blob_chunks, blob_uses, blobs, jobs, order_queue, parts, task_ids",
    "reader": "",
    "receiver": (
        "attempts, chats, counts, events, grants, inbound, lane_events, lanes, leases, orders, rates, receipts,"
        " response_codes, totals, unindexed"
    ),
    "console": (
        "attempts, audit, blob_uses, counts, events, failures, jobs, lane_events, lanes,"
        " order_queue, orders, parts, pauses, receipts, sessions, sign_ins, task_ids, unindexed, waits"
    ),
}
"""Role -> the tables into which it may insert."""
DELETES: Mapping[Role, str] = {
    "producer": "",
    "reader": "",
    "receiver": "counts, lanes, order_queue, orders, rates, totals",
    "console": "lanes, order_queue, orders, sessions, sign_ins",
}
UPDATES: Mapping[Role, Mapping[str, str]] = {
    "producer": {},
    "reader": {},
    "receiver": {
        **dict.fromkeys(("attempts", "chats", "counts", "lanes", "leases", "orders", "rates"), "*"),
        **dict.fromkeys(("totals", "unindexed"), "*"),
        "grants": "sealed, issued_at, ends_at, stored_at",
        "jobs": ENDS,
        "order_queue": "place_at",
        "parts": PROGRESS,
    },
    "console": {
        **dict.fromkeys(("attempts", "events", "lanes", "order_queue", "orders", "receipts", "sessions"), "*"),
        **dict.fromkeys(("unindexed", "waits"), "*"),
        "audit": "counts, ended_at, seen_at",
        "chats": "allowance",
        "jobs": f"priority, due_at, expires_at, cancelled_at, {ENDS}",
        "parts": f"priority, expires_at, {PROGRESS}",
        "pauses": "ended_at",
        "response_codes": "state, leased_by",
        "tokens": "probe_at",
    },
}
"""Role -> table -> the columns that it may update."""
DEMANDED: Mapping[str, Mapping[Role, Mapping[str, str]]] = {
    "postgresql": {"producer": {"blobs": "created_at"}, "console": {"blobs": "created_at"}},
    "mariadb": {
        "receiver": dict.fromkeys(("grants", "inbound", "receipts", "response_codes"), "*"),
        "console": dict.fromkeys(("counts", "failures"), "*"),
    },
}
"""What one server demands further: PostgreSQL a column of a table whose rows are locked, MariaDB all columns of a table
for an insert that leaves a row that is there as it is."""
UNREAD: Mapping[Role, Mapping[str, str]] = {
    "receiver": {
        **dict.fromkeys(
            ("alerts", "audit", "blob_chunks", "blob_uses", "blobs", "bodies", "budgets", "confirmations"), "*"
        ),
        **dict.fromkeys(("duplicates", "ended_tags", "events", "failures", "lane_events", "media"), "*"),
        **dict.fromkeys(("sessions", "sign_ins", "terms", "tokens", "waits"), "*"),
        "grants": "sealed, ends_at, stored_at, lease_until",
        "inbound": "account, event, person, payload, happened_at, received_at, part_id",
        "jobs": (
            "message, recipients, tags, dedupe_key, content_hash, order_key, expires_at, on_unknown, target_job_id,"
            " replay_of, warnings, on_gap, quiet_hours, payload, tenant, trace"
        ),
        "parts": "spec",
        "pauses": "id, account, channel, kind, tag, job_id, parked_until, person, why, began_at",
        "processes": "threads, host, pid, lanes, queues, unusable, version, revision, health, hindered",
        "receipts": "msgid, media_id, accepted_at, recalled_at, from_repeat, not_sent, warning, extra",
        "response_codes": "part_id, source, code, state, leased_by, issued_at, ends_at, person",
    },
    "console": {
        **dict.fromkeys(("bodies", "duplicates", "ended_tags", "grants", "media"), "*"),
        "response_codes": "code",
        "tokens": "sealed, lease_holder, lease_until",
    },
}
"""Role -> table -> the columns that it may not read."""
INSERT = {"postgresql": "insert into {} default values", "mariadb": "insert into {} () values ()"}


@pytest.mark.parametrize("role", INSERTS)
def test_every_write_of_a_role_is_tried(users: RoleUsers, role: Role) -> None:
    """An insert, an update of each column and a delete, in every table; nothing is committed."""
    writes = dict[str, str]()
    for table in metadata.sorted_tables:
        writes[f"insert {table.name}"] = INSERT[users.server].format(table.name)
        writes[f"delete {table.name}"] = f"delete from {table.name} where 1 = 0"
        for column in table.columns:
            update = f"update {table.name} set {column.name} = default where 1 = 0"
            writes[f"{table.name}.{column.name}"] = update

    with as_role(users, role) as database:
        allowed = {write.replace("worker_", "") for write in writes if may(database, writes[write])}

    expected = {f"insert {name}" for name in INSERTS[role].split(", ") if name}
    expected |= {f"delete {name}" for name in DELETES[role].split(", ") if name}
    for updates in (UPDATES[role], DEMANDED[users.server].get(role, {})):
        expected = expected.union(*(columns(table, names) for table, names in updates.items()))
    assert expected == allowed


@pytest.mark.parametrize("role", UNREAD)
def test_every_read_of_a_role_is_tried(users: RoleUsers, role: Role) -> None:
    """Each column of every table: a receiver reads no text, no recipient and no token; a console no secret."""
    everything = {f"{table.name}.{column.name}" for table in metadata.sorted_tables for column in table.columns}

    with as_role(users, role) as database:
        refused = {
            name.removeprefix("worker_")
            for name in everything
            if not may(database, f"select {name} from {name.partition('.')[0]} where 1 = 0")
        }

    assert set[str]().union(*(columns(table, names) for table, names in UNREAD[role].items())) == refused


def may(database: Database, statement: str) -> bool:
    """Whether the server refuses it for nothing but what would be in the row."""
    with database.engine.connect() as connection:
        try:
            connection.exec_driver_sql(statement)
        except DBAPIError as error:
            return not is_forbidden(error)
        finally:
            connection.rollback()
    return True


def borrowed(module: ModuleType, *parameters: str) -> list[Callable[..., None]]:
    """The tests of a module that take just these."""
    tests = [test for name, test in vars(module).items() if name.startswith("test_")]
    return [test for test in tests if [*signature(test).parameters] == [*parameters]]


@pytest.mark.parametrize("test", borrowed(test_callbacks, "receiver", "site"), ids=lambda test: test.__name__)
def test_a_receiver_keeps_its_promises(
    users: RoleUsers, test: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a receiver does in tests of its own, it does under its role, too, and its counts are added up."""
    with producer_beside_worker(users) as (_, site), as_role(users, "receiver", site.clock) as own:
        site.clock.micros = int(NOW) * 1_000_000
        monkeypatch.setattr(test_callbacks, "CallbackStore", lambda _, *rest: CallbackStore(own, *rest))

        test(test_callbacks.made(site), site)

        Totals(own).turn()


def test_a_receiver_shows_that_it_runs(users: RoleUsers) -> None:
    """It takes its lease, renews it and gives it back; a dashboard sees one that was lost."""
    with producer_beside_worker(users) as (_, site), as_role(users, "receiver", site.clock) as own:
        heartbeat = Heartbeat(own)
        heartbeat.turn()
        heartbeat.turn()
        site.advance(60)
        with as_role(users, "reader", site.clock) as reader, reader.reading() as connection:
            lost = lapsed_lease(connection, reader.now, RECEIVER)
        heartbeat.end()

        assert lost is not None
        assert lost[0].endswith(f" {os.getpid()}")
        assert [row.held_until for row in site.rows("select * from worker_leases where name = 'receiver'")] == [0]


def test_a_receiver_stores_chats_and_credentials(users: RoleUsers) -> None:
    """A chat that is left and comes back, whose lane parks and opens; a ticket, and a new one in its place."""
    with producer_beside_worker(users) as (_, site), as_role(users, "receiver", site.clock) as own:
        store = CallbackStore(own, Settings(), site.accounts)
        facts: dict[str, Any] = {"event": "e", "person": "", "payload": {}}
        for n, change in enumerate((ChatChange.SEEN, ChatChange.GONE, ChatChange.ADDED)):
            chat = ChatNews("c", "single", change, "ann", 3, ("chat/c",))
            ticket = Grant(GrantKind.TICKET, f"secret {n}", lasts_s=60)
            assert store.store("hr", Inbound(**facts, happened_at=n, identity=(f"{n}",), chat=chat, grant=ticket))
            assert not store.store("hr", Inbound(**facts, happened_at=n, identity=(f"{n}",), chat=chat, grant=ticket))

        assert [row.what for row in site.rows("select what from worker_lane_events order by id")] == [
            "parked",
            "resumed",
        ]
        assert [row.issued_at for row in site.rows("select issued_at from worker_grants")] == [2_000_000]


def test_a_receiver_stores_a_press_without_the_message_that_names_the_card(users: RoleUsers) -> None:
    """The application's own id of the card stands in the message; the worker finds it, which runs the hook."""
    with producer_beside_worker(users) as (_, site), as_role(users, "receiver", site.clock) as own:
        job = site.send("leave-7")
        card = CardPress(f"w{part_id(job, 0)}", "ok", "attachment", None, {}, own_id_at=("body", "text", "content"))
        inbound = Inbound("e", "ann", 0, ("1",), {}, card=card)

        assert CallbackStore(own, Settings(hooks="shop.hooks"), site.accounts).store("hr", inbound)

        [event] = site.rows("select id from worker_events")
        with site.database.writing() as connection:
            claimed = claim_event(connection, site.database.now, event.id, "holder")
        assert claimed is not None
        pressed = hook_event_of(claimed)
        assert isinstance(pressed, CardPressed)
        assert ("leave-7", job) == (pressed.task_id, pressed.job_id), claimed.message


CONSOLE_TESTS = [*borrowed(test_pages_commands, "site"), *borrowed(test_export, "site")]


@pytest.mark.parametrize("test", CONSOLE_TESTS, ids=lambda test: test.__name__)
def test_a_console_gives_every_command_and_file(
    users: RoleUsers, test: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a person does at the console in tests of its own, its role allows."""
    with producer_beside_worker(users) as (_, site), as_role(users, "console", site.clock) as own:
        site.clock.micros = time.time_ns() // 1000
        monkeypatch.setattr(person, "ConsoleSite", lambda settings, _, *rest: ConsoleSite(settings, own, *rest))

        test(site)


def test_only_a_migrator_changes_or_deletes_what_the_audit_has(users: RoleUsers) -> None:
    """A worker begins and ends a row of its own, and deletes what is kept for a time: who read or signed in."""
    names = "id, action, person, why, asked, counts, began_at, seen_at"
    row = f"insert into worker_audit ({names}) values (:id, :action, 'a', 'b', '{{}}', '{{}}', 1, 1)"
    end = "update worker_audit set ended_at = 2, counts = '{}' where id = :id"
    columns = [column.name for column in tables.audit.columns]
    changes = [end, *(f"update worker_audit set {name} = {name} where id = :id" for name in columns)]
    changes.append("delete from worker_audit where id = :id")
    with as_role(users, "worker") as worker:
        with worker.writing() as connection:
            for entry, action in (("kept", "cancel"), ("seen", "console.view")):
                execute(connection, row, {"id": entry, "action": action})
                execute(connection, end, {"id": entry})
            execute(connection, "delete from worker_audit where id = 'seen'")
        for change in changes:
            with pytest.raises(DBAPIError) as refused, worker.writing() as connection:
                execute(connection, change, {"id": "kept"})
            assert is_forbidden(refused.value), change

    with as_role(users, "migrator") as migrator, migrator.writing() as connection:
        for change in changes:
            execute(connection, change, {"id": "kept"})
        assert execute(connection, "select count(*) from worker_audit where id in ('kept', 'seen')").scalar() == 0


def test_a_migrator_erases_a_person_from_the_audit_too(users: RoleUsers) -> None:
    """A worker's user is refused the row of the audit that names the person; the migrator's does all of it."""
    with producer_beside_worker(users) as (_, site), as_role(users, "migrator", site.clock) as migrator:
        job = site.send(to=To(users=["wangwu"]))
        site.run()
        cancel(
            find_person("wangwu", database=site.database), person="zhang", why="wangwu asked", database=site.database
        )
        with pytest.raises(DBAPIError) as refused:
            erase(find_person("wangwu", database=site.database), person="zhang", why="", database=site.database)

        done = erase(find_person("wangwu", database=migrator), person="zhang", why="", database=migrator)

        assert is_forbidden(refused.value)
        assert done.counts["unchanged"] == 0
        assert "wangwu" not in str(site.rows("select * from worker_audit") + site.rows("select * from worker_jobs"))
        assert site.state(job) == "accepted"


def test_a_migrator_takes_the_tables_back_and_makes_them_again(users: RoleUsers) -> None:
    """Down to nothing and up; and what it leaves is whole, for the worker too."""
    with as_role(users, "migrator") as database:
        migrate.downgrade(database.engine, "base")
        assert migrate.head() == migrate.upgrade(database.engine)
    roles.run_script(users)

    with as_role(users, "worker") as database, database.reading() as connection:
        assert migrate.is_current(connection)
        for table in metadata.sorted_tables:
            connection.execute(text(f"select count(*) from {table.name}"))


def test_running_a_script_again_changes_nothing(users: RoleUsers) -> None:
    """So that it may be run with every release."""
    before = _rights(users)

    roles.run_script(users)

    assert before == _rights(users)
    assert {table.name for table in metadata.sorted_tables} | {VERSION_TABLE} == {table for _, table, _ in before}


def _rights(users: RoleUsers) -> set[tuple[str, str, str]]:
    """The role, the table and the right of each grant of a whole table."""
    schema = "current_schema()" if users.server == "postgresql" else "database()"
    query = (
        "select grantee, table_name, privilege_type from information_schema.table_privileges"
        f" where table_schema = {schema} and grantee like '%delivery_%'"
    )
    engine = make_engine(users.admin)
    with engine.connect() as connection:
        found = {(str(a), str(b), str(c)) for a, b, c in connection.execute(text(query))}
    engine.dispose()
    return found


def test_a_reader_finds_jobs_without_their_content(users: RoleUsers) -> None:
    """By account, and not by a person, which would need the messages."""
    with as_role(users, "producer") as producer, producer.writing() as connection:
        job = enqueue(connection, "hr", HELLO, ANN, tags=["found"], accounts=ACCOUNTS).id

    with as_role(users, "reader") as reader:
        with reader.reading() as connection:
            found = find_jobs(connection, JobFilter(account="hr", tag="found"))
        with pytest.raises(DBAPIError), reader.reading() as connection:
            find_jobs(connection, JobFilter(recipient="ann"))
        with pytest.raises(DBAPIError) as refused, reader.reading() as connection:
            with_contents(connection, found.jobs)
        with reader.reading() as connection:
            [row] = with_contents(connection, found.jobs, texts=False)

    assert is_forbidden(refused.value), "so that `worker jobs` asks for the rest alone"
    assert (job, None, None, None) == (row.id, row.type, row.recipient, row.errcode)
    assert [job] == [one.id for one in found.jobs]
