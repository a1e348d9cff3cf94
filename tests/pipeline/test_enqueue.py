"""Enqueue: what a producer asks is a row of its own transaction, checked before and split into parts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import worker
from tests.support.producing import ACCOUNTS, ANN, HELLO, count, row
from worker import (
    Account,
    CardUpdate,
    CheckFailed,
    ConfigurationError,
    Customers,
    FixedAccounts,
    JobNotFound,
    JobState,
    NewJob,
    NotReplayable,
    Raw,
    Recipients,
    Text,
    To,
    Upload,
    external,
)
from worker.channels.registry import require_usable, unusable_accounts
from worker.domain.job import Priority
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database, make_engine

BEFORE_SQL = pytest.mark.fewer_databases("it is refused before any SQL")

BUTTON_CARD = Raw(
    msgtype="template_card",
    body={
        "template_card": {
            "card_type": "button_interaction",
            "main_title": {"title": "报销"},
            "task_id": "claim-1",
            "button_list": [{"text": "同意", "style": 1, "key": "yes"}],
        }
    },
)


@pytest.fixture(autouse=True)
def _accounts() -> Any:
    """This process's accounts are the tests' own."""
    worker.configure(ACCOUNTS)
    yield
    worker.configure(None)


def end(database: Database, job_id: str, state: int = 2) -> None:
    """Ends a job as the writer would."""
    with database.writing() as connection:
        connection.execute(
            text("update worker_jobs set n_open = 0, state = :s, finished_at = created_at where id = :id"),
            {"s": state, "id": job_id},
        )
        connection.execute(text("update worker_parts set state = :s where job_id = :id"), {"s": state, "id": job_id})


@pytest.mark.fewer_databases("only MariaDB limits a statement to some megabytes")
def test_a_long_text_to_many_is_stored_in_several_statements(mariadb_database: Database) -> None:
    """Each piece names its recipients: together more than `max_allowed_packet`, at which the server hangs up."""
    many = To(users=[f"member-{n:013}" for n in range(8_000)])
    with mariadb_database.writing() as connection:
        ref = worker.enqueue(connection, "hr", Text(content="long text " * 18_000), many, overflow="split")
        stored, open_parts = count(connection, "worker_parts"), row(connection, "worker_jobs", id=ref.id)["n_open"]

    assert open_parts > 8 * 80
    assert stored == open_parts


def test_a_job_is_two_rows_of_the_callers_transaction(database: Database, driven_clock: DrivenClock) -> None:
    """One text to one person: a job and its part, due at the database's now, in a lane without readable names."""
    with database.writing() as connection:
        ref = worker.enqueue(connection, "hr", HELLO, ANN, tags=["a", "b"])
        job = row(connection, "worker_jobs", id=ref.id)
        part = row(connection, "worker_parts", job_id=ref.id)

    assert (ref.state, ref.created, ref.warnings) == (JobState.OPEN, True, ())
    assert len(ref.id) == 32
    assert driven_clock.micros == job["created_at"] == job["due_at"] == part["not_before"]
    assert tuple(job[name] for name in ("kind", "channel", "account", "asked", "priority", "n_open")) == (
        "send",
        "wecom_app",
        "hr",
        1,
        1,
        1,
    )
    assert (
        json.loads(job["message"])["type"],
        json.loads(job["message"])["body"]["text"]["content"],
    ) == ("text", "你好")
    assert "你好" in job["message"]
    assert {"users": ["ann"]} == json.loads(job["recipients"]) == json.loads(part["spec"])
    assert json.loads(job["tags"]) == ["a", "b"]
    assert (f"{ref.id}-0", 0, 0, 0) == (part["id"], part["n"], part["state"], part["claim"])
    name, _, hashed = part["lane"].partition(":")
    assert (name, len(hashed), set(hashed) <= set("0123456789abcdef")) == ("hr", 16, True)
    assert job["expires_at"] is job["dedupe_key"] is job["content_hash"] is part["expires_at"] is None


def test_lanes_are_the_same_for_the_same_type_and_differ_between_accounts(database: Database) -> None:
    """A lane is account, kind and message type: what is blocked together."""
    with database.writing() as connection:
        refs = [
            worker.enqueue(connection, account, message, ANN)
            for account, message in (("hr", HELLO), ("hr", Text(content="other")), ("ops", HELLO), ("hr", BUTTON_CARD))
        ]
        one, same, other_account, other_type = (row(connection, "worker_parts", job_id=ref.id)["lane"] for ref in refs)

    assert one == same
    assert len({one, other_account, other_type}) == 3


def test_more_recipients_than_a_call_takes_become_several_parts(database: Database) -> None:
    """1,500 people are two calls of one job."""
    with database.writing() as connection:
        ref = worker.enqueue(connection, "hr", HELLO, To(users=[f"u{n}" for n in range(1500)]))
        specs = connection.execute(text("select id, spec from worker_parts order by n")).all()
        job = row(connection, "worker_jobs", id=ref.id)

    assert [f"{ref.id}-0", f"{ref.id}-1"] == [one.id for one in specs]
    assert [len(json.loads(one.spec)["users"]) for one in specs] == [1000, 500]
    assert (job["asked"], job["n_open"]) == (1500, 2)


def test_a_rolled_back_transaction_leaves_nothing(database: Database) -> None:
    """Rollback means never."""
    with Session(database.engine) as session:
        worker.enqueue(session, "hr", HELLO, ANN)
        session.rollback()

    with database.reading() as connection:
        assert (count(connection), count(connection, "worker_parts")) == (0, 0)


def test_a_rolled_back_savepoint_leaves_nothing_of_itself(database: Database) -> None:
    """What was enqueued inside it is gone, what was before and after it stays."""
    with Session(database.engine) as session:
        before = worker.enqueue(session, "hr", HELLO, ANN)
        savepoint = session.begin_nested()
        worker.enqueue(session, "hr", Text(content="never"), ANN)
        worker.upload(session, "hr", worker.File(b"123456", "a.txt"))
        savepoint.rollback()
        after = worker.enqueue(session, "hr", HELLO, ANN)
        session.commit()

    with database.reading() as connection:
        ids = {one.id for one in connection.execute(text("select id from worker_jobs"))}
        assert {before.id, after.id} == ids
        assert (count(connection, "worker_parts"), count(connection, "worker_blob_chunks")) == (2, 0)


def test_nothing_is_flushed_or_committed_for_the_caller(database: Database) -> None:
    """The session's own pending objects stay pending."""
    with Session(database.engine) as session:
        session.autoflush = True
        worker.enqueue(session, "hr", HELLO, ANN)
        assert session.in_transaction()
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
            assert count(other) == 0


def test_instants(database: Database, driven_clock: DrivenClock) -> None:
    """Delays count from the database's now; datetimes are kept to the microsecond; the past is due now."""
    at = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    past = datetime(2001, 1, 1, tzinfo=UTC)
    with database.writing() as connection:
        refs = [
            worker.enqueue(connection, "hr", HELLO, ANN, due_at=due, expires_at=end)
            for due, end in ((90, 100.5), (timedelta(minutes=1), at), (at, at + timedelta(days=1)), (past, None))
        ]
        jobs = [row(connection, "worker_jobs", id=ref.id) for ref in refs]
        parts = [row(connection, "worker_parts", job_id=ref.id) for ref in refs]

    now, instant = driven_clock.micros, int(at.timestamp()) * 1_000_000 + 678901
    assert [now + 90_000_000, now + 60_000_000, instant, 978307200000000] == [job["due_at"] for job in jobs]
    assert [now + 90_000_000, now + 60_000_000, instant, now] == [part["not_before"] for part in parts]
    assert [now + 100_500_000, instant, instant + 86_400_000_000, None] == [part["expires_at"] for part in parts]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"priority": "highest"}, "priority"),
        ({"priority": ["x"]}, "priority"),
        ({"priority": 1}, "priority"),
        ({"on_unknown": ["hold"]}, "on_unknown"),
        ({"tags": iter(["a"])}, "tags"),
        ({"due_at": -1}, "due_at"),
        ({"due_at": timedelta(seconds=-1)}, "due_at"),
        ({"due_at": float("nan")}, "due_at"),
        ({"due_at": "tomorrow"}, "due_at"),
        ({"due_at": True}, "due_at"),
        ({"due_at": datetime(2030, 1, 1)}, "due_at"),
        ({"due_at": 10, "expires_at": 10}, "expires_at"),
        ({"expires_at": 0}, "expires_at"),
        ({"due_at": datetime(2030, 1, 2, tzinfo=UTC), "expires_at": datetime(2030, 1, 1, tzinfo=UTC)}, "expires_at"),
        ({"dedupe_key": ""}, "dedupe_key"),
        ({"dedupe_key": 7}, "dedupe_key"),
        ({"dedupe_key": "k" * 201}, "dedupe_key"),
        ({"dedupe_key": "a\x00b"}, "dedupe_key"),
        ({"dedupe_key": "a\ud800b"}, "dedupe_key"),
        ({"order_key": "k" * 201}, "order_key"),
        ({"tags": "payroll"}, "tags"),
        ({"tags": [1]}, "tags"),
        ({"tags": [" "]}, "tags"),
        ({"tags": ["t" * 101]}, "tags"),
        ({"tags": ["t"] * 51}, "tags"),
        ({"tags": ["a\x00b"]}, "tags"),
        ({"on_unknown": "again"}, "on_unknown"),
    ],
)
@BEFORE_SQL
def test_wrong_options_are_refused_by_name(database: Database, options: dict[str, Any], field: str) -> None:
    """Every wrong argument is named before anything is inserted, and the transaction stays usable."""
    with database.writing() as connection:
        with pytest.raises(CheckFailed) as caught:
            worker.enqueue(connection, "hr", HELLO, ANN, **options)
        assert count(connection) == 0

    assert [field] == [problem.field for problem in caught.value.problems]
    assert "payroll" not in str(caught.value).replace("tags=", "") or field == "tags"


@BEFORE_SQL
def test_what_the_channel_refuses_is_refused_before_the_insert(database: Database) -> None:
    """The channel's problems come through, all of them, without the text."""
    with database.writing() as connection, pytest.raises(CheckFailed) as caught:
        worker.enqueue(connection, "hr", Text(content="机密" * 2000), To(users=["not a userid"]))

    assert {problem.field for problem in caught.value.problems} == {"text.content", "touser"}
    assert caught.value.channel == "wecom_app"
    assert "机密" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "to"),
    [("hello", ANN), (HELLO, 7), (CardUpdate(replace_name="x"), ANN)],
    ids=["text instead of a message", "number instead of recipients", "card update without its job"],
)
@BEFORE_SQL
def test_wrong_arguments_have_clear_errors(database: Database, message: Any, to: Any) -> None:
    """What is no message, no recipient or the wrong door is said."""
    with database.writing() as connection, pytest.raises(CheckFailed, match=r"use \w"):
        worker.enqueue(connection, "hr", message, to)


def test_recipients_may_be_users_alone(database: Database) -> None:
    """A list or the vendor's `"a | b"` is taken as users."""
    with database.writing() as connection:
        refs = [worker.enqueue(connection, "hr", HELLO, to) for to in ("ann | bob", ["ann", "bob"], ("ann", "ANN"))]
        found = [json.loads(row(connection, "worker_jobs", id=ref.id)["recipients"]) for ref in refs]

    assert found == [{"users": ["ann", "bob"]}, {"users": ["ann", "bob"]}, {"users": ["ann"]}]


@BEFORE_SQL
def test_an_unknown_account_names_the_known_ones(database: Database) -> None:
    """A typing error in the account is one clear sentence."""
    with database.writing() as connection, pytest.raises(ConfigurationError, match="hr, ops"):
        worker.enqueue(connection, "hrr", HELLO, ANN)


@BEFORE_SQL
def test_enqueue_many_names_the_place_of_every_problem(database: Database) -> None:
    """All or none: problems of all jobs at once, nothing inserted. No jobs are no problem."""
    jobs = [NewJob("hr", HELLO, ANN), NewJob("hr", Text(content=""), ANN), NewJob("hr", HELLO, ANN, priority="x")]
    with database.writing() as connection:
        with pytest.raises(CheckFailed) as caught:
            worker.enqueue_many(connection, jobs)
        assert (worker.enqueue_many(connection, []), count(connection)) == ([], 0)

    assert [problem.field for problem in caught.value.problems] == ["jobs[1].text.content", "jobs[2].priority"]


def test_warnings_are_said_and_kept(database: Database) -> None:
    """What the channel warns of is in the reference and in the job."""
    to = Recipients(users=tuple(f"u{n}" for n in range(1001)), parties=("1",))
    with database.writing() as connection:
        ref = worker.enqueue(connection, "hr", HELLO, to)
        kept = json.loads(row(connection, "worker_jobs", id=ref.id)["warnings"])

    assert len(ref.warnings) == 1
    assert list(ref.warnings) == kept


def test_recall_and_update_name_their_job(database: Database) -> None:
    """A follow-up is one part on the target's account; a target of the same transaction will do."""
    with database.writing() as connection:
        target = worker.enqueue(connection, "ops", BUTTON_CARD, ANN)
        recall = worker.recall(connection, target.id, priority="urgent")
        update = worker.update_card(connection, target.id, CardUpdate(replace_name="已批准"), ["ann"])
        jobs = [row(connection, "worker_jobs", id=ref.id) for ref in (recall, update)]
        specs = [json.loads(row(connection, "worker_parts", job_id=ref.id)["spec"]) for ref in (recall, update)]

    assert [("recall", "ops", target.id, 0, 0), ("update_card", "ops", target.id, 1, 1)] == [
        (job["kind"], job["account"], job["target_job_id"], job["asked"], job["priority"]) for job in jobs
    ]
    assert specs == [{}, {"users": ["ann"]}]
    assert jobs[0]["message"] == "{}"


def test_a_track_without_a_priority_is_bulk(database: Database) -> None:
    """None is as good as leaving the keyword out."""
    accounts = FixedAccounts([Account("sales", "wecom_external", "http://127.0.0.1:8081", {"corpid": "ww1"})])
    with database.writing() as connection:
        sent = worker.enqueue(
            connection, "sales", external.Campaign(text="hello"), Customers({"ann": ["wm1"]}), accounts=accounts
        )
        tracks = [worker.track(connection, sent.id, priority=given, accounts=accounts) for given in (None, "urgent")]
        priorities = [row(connection, "worker_jobs", id=ref.id)["priority"] for ref in tracks]

    assert priorities == [Priority.BULK, Priority.URGENT]


def test_follow_ups_of_the_wrong_thing(database: Database) -> None:
    """No such job, a job that is no send, an update that is no update: each said clearly."""
    with database.writing() as connection:
        target = worker.enqueue(connection, "hr", HELLO, ANN)
        recall = worker.recall(connection, target.id)
        with pytest.raises(JobNotFound, match="no job"):
            worker.recall(connection, "0" * 32)
        with pytest.raises(CheckFailed, match="is not a send but recall"):
            worker.recall(connection, recall.id)
        with pytest.raises(CheckFailed, match="use CardUpdate"):
            worker.update_card(connection, target.id, HELLO)


def test_replay_is_a_new_job_linked_to_the_original(database: Database) -> None:
    """The whole job again: same content and options, no dedupe key, a task_id of its own, also replayed twice."""
    to = To(users=["ann", "bob"])
    with database.writing() as connection:
        first = worker.enqueue(
            connection, "hr", BUTTON_CARD, to, dedupe_key="k", tags=["t"], order_key="o", on_unknown="hold"
        )
    end(database, first.id)
    with database.writing() as connection:
        second = worker.replay(connection, first.id, accepted=True, unknown=True)
    end(database, second.id)
    with database.writing() as connection:
        third = worker.replay(connection, second.id, accepted=True, unknown=True, priority="bulk")
        jobs = [row(connection, "worker_jobs", id=ref.id) for ref in (first, second, third)]
        specs = [json.loads(row(connection, "worker_parts", job_id=ref.id)["spec"]) for ref in (first, second, third)]

    assert [None, first.id, first.id] == [job["replay_of"] for job in jobs]
    for name in ("kind", "message", "recipients", "tags", "order_key", "on_unknown", "asked"):
        assert len({job[name] for job in jobs}) == 1, name
    assert [job["dedupe_key"] for job in jobs] == ["k", None, None]
    assert [job["priority"] for job in jobs] == [1, 1, 2]
    assert jobs[1]["due_at"] == jobs[1]["created_at"]
    assert len({spec["task_id"] for spec in specs}) == 3


def test_replay_of_what_cannot_be_replayed(database: Database) -> None:
    """Open, purged or without its file: NotReplayable; no such job: JobNotFound."""
    with database.writing() as connection:
        open_job = worker.enqueue(connection, "hr", HELLO, ANN)
        with pytest.raises(NotReplayable, match="still open"):
            worker.replay(connection, open_job.id, accepted=True, unknown=True)
        with pytest.raises(JobNotFound, match="no job"):
            worker.replay(connection, "0" * 32)
        upload = worker.upload(connection, "hr", worker.File(b"0123456789", "a.txt"))
    for ref in (open_job, upload):
        end(database, ref.id)
    with database.writing() as connection:
        again = worker.replay(connection, upload.id, accepted=True, unknown=True)
        assert (
            row(connection, "worker_jobs", id=upload.id)["message"]
            == row(connection, "worker_jobs", id=again.id)["message"]
        )
    end(database, again.id)
    with database.writing() as connection:
        connection.execute(text("delete from worker_blobs"))
        connection.execute(text("update worker_jobs set message = '{}' where id = :id"), {"id": open_job.id})
        with pytest.raises(NotReplayable, match="no longer kept"):
            worker.replay(connection, upload.id, accepted=True, unknown=True)
        with pytest.raises(NotReplayable, match="no longer kept"):
            worker.replay(connection, open_job.id, accepted=True, unknown=True)


def test_a_recall_can_be_replayed(database: Database) -> None:
    """Its message is empty by nature, not purged; the new one is about the same target."""
    with database.writing() as connection:
        target = worker.enqueue(connection, "hr", HELLO, ANN)
        recall = worker.recall(connection, target.id)
    end(database, recall.id)
    with database.writing() as connection:
        again = worker.replay(connection, recall.id, accepted=True, unknown=True)
        assert target.id == row(connection, "worker_jobs", id=again.id)["target_job_id"]


def test_an_upload_is_a_message_too(database: Database) -> None:
    """`enqueue(Upload(...))` and `upload(...)` ask for the same."""
    file = worker.File(b"0123456789", "a.txt")
    with database.writing() as connection:
        refs = [
            worker.enqueue(connection, "hr", Upload(file=file), dedupe_key="one"),
            worker.upload(connection, "hr", file, dedupe_key="two"),
        ]
        jobs = [row(connection, "worker_jobs", id=ref.id) for ref in refs]

    assert [job["kind"] for job in jobs] == ["upload", "upload"]
    assert jobs[0]["message"] == jobs[1]["message"]
    assert jobs[0]["content_hash"] == jobs[1]["content_hash"]


def test_the_hash_of_a_content_is_that_of_earlier_releases(database: Database) -> None:
    """Else a dedupe key would be refused whose job an application's own second try finds."""
    with database.writing() as connection:
        ref = worker.enqueue(connection, "hr", Text(content="hi"), "lisi", dedupe_key="k")
        job = row(connection, "worker_jobs", id=ref.id)

    assert job["content_hash"] == "46cb2f22c32a89b72261bf56543f95764a50f8690ad4c98c05fcc1dfb2493de6"


def test_every_kind_of_session(database: Database) -> None:
    """Connection, Session, scoped_session and a bound one; anything else is told what to give."""
    registry = scoped_session(sessionmaker(database.engine))
    worker.enqueue(registry, "hr", HELLO, ANN)
    registry.commit()
    registry.remove()
    with Session() as session:
        worker.enqueue(session.connection(bind_arguments={"bind": database.engine}), "hr", HELLO, ANN)
        with pytest.raises(ConfigurationError, match="which database is meant"):
            worker.enqueue(session, "hr", HELLO, ANN)
        session.commit()
    with pytest.raises(ConfigurationError, match="Session, Connection"):
        worker.enqueue("session", "hr", HELLO, ANN)  # type: ignore[call-overload]

    with database.reading() as connection:
        assert count(connection) == 2


def test_a_database_without_tables_says_what_to_run(tmp_path: Any) -> None:
    """Not upgraded, or without its key: one clear sentence."""
    engine = make_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    with engine.begin() as connection, pytest.raises(ConfigurationError, match="worker db upgrade"):
        worker.enqueue(connection, "hr", HELLO, ANN)
    with engine.begin() as connection:
        connection.execute(text("create table worker_site (name text, value text)"))
        with pytest.raises(ConfigurationError, match="worker db upgrade"):
            worker.enqueue(connection, "hr", HELLO, ANN)
    engine.dispose()


@pytest.mark.parametrize(
    "body",
    [{"x": {"a": "b\x00"}}, {"x": {"a": "\ud800"}}, {"x": {"a": object()}}, {"x": {"a": float("nan")}}],
    ids=["NUL", "half a surrogate pair", "no JSON", "NaN"],
)
@BEFORE_SQL
def test_what_no_database_can_hold_is_refused(database: Database, body: dict[str, Any]) -> None:
    """A raw body is looked through before it can break a bulk insert."""
    with database.writing() as connection, pytest.raises(CheckFailed):
        worker.enqueue(connection, "hr", Raw(msgtype="x", body=body), ANN)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"agentid": 1}, "corpid"),
        ({"corpid": "ww1"}, "agentid"),
        ({"corpid": "ww1", "agentid": "hr"}, "agentid"),
        ({"corpid": "ww1", "agentid": 1, "account_cap": "100"}, "account_cap"),
    ],
)
@BEFORE_SQL
def test_a_wrong_account_is_found_before_anything_is_stored(
    database: Database, settings: dict[str, Any], key: str
) -> None:
    """A key missing in the settings is no trace out of a sender, hours later."""
    accounts = worker.FixedAccounts([worker.Account("hr", "wecom_app", "http://vendor", settings)])

    with database.writing() as connection:
        with pytest.raises(ConfigurationError, match=rf"accounts\.hr\.{key}: is "):
            worker.enqueue(connection, "hr", HELLO, ANN, accounts=accounts)
        assert count(connection) == 0


@pytest.mark.parametrize("deadline_s", ["20", True, 0, -1, float("nan"), float("inf")])
def test_a_deadline_that_is_no_time_is_refused(deadline_s: object) -> None:
    """No call could be rendered with it, and each part would find that out by itself."""
    settings = {"corpid": "ww1", "agentid": 1, "deadline_s": deadline_s}
    accounts = worker.FixedAccounts([worker.Account("hr", "wecom_app", "http://vendor", settings)])

    with pytest.raises(
        ConfigurationError, match=r"^accounts\.hr\.deadline_s: is not a valid time limit of a call; give seconds"
    ):
        require_usable(accounts.get("hr"))


@pytest.mark.parametrize(
    ("channel", "settings", "key", "remedy"),
    [
        ("wecom_app", {"corpid": "ww1", "agentid": 1}, "callbak", "did you mean callback?"),
        ("wecom_app", {"corpid": "ww1", "agentid": 1}, "proxi", "did you mean proxy?"),
        ("wecom_app", {"corpid": "ww1", "agentid": 1}, "deadlines_s", "did you mean deadline_s?"),
        ("wecom_external", {"corpid": "ww1", "agentid": 1}, "is_customised_app", "did you mean is_customized_app?"),
        ("wecom_webhook", {"edition": "robot"}, "chatid_fro", "did you mean chatid_for?"),
        ("youdu", {"buin": 1, "appid": "a"}, "zzz", "use one of allow_everyone, api_path, appid, base_url, buin"),
    ],
)
def test_a_key_that_no_channel_reads_is_named_with_the_nearest(
    channel: str, settings: dict[str, Any], key: str, remedy: str
) -> None:
    """What is misspelt would be as if it were not there; what else is read stays quiet."""
    right, wrong = settings, {**settings, key: True}

    require_usable(worker.Account("a", channel, "http://vendor", right))
    with pytest.raises(ConfigurationError) as caught:
        require_usable(worker.Account("a", channel, "http://vendor", wrong))

    assert f"accounts.a.{key}: is not a setting of {channel}; {remedy}" in str(caught.value)


def test_every_wrong_key_of_every_account_is_named() -> None:
    """What a worker process tells of them; a channel nobody knows is one of them."""
    accounts = worker.FixedAccounts(
        [
            worker.Account("a", "wecom_app", "http://vendor", {"agentid": True}),
            worker.Account("b", "carrier_pigeon", "http://vendor"),
            worker.Account("c", "wecom_app", "http://vendor", {"corpid": "ww1", "agentid": "7"}),
        ]
    )

    told = "; ".join(unusable_accounts(accounts).values())

    named = [f"accounts.{path}:" in told for path in ("a.corpid", "a.agentid", "b.channel", "c.agentid")]
    assert named == [True, True, True, False]
