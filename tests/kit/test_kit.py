"""The kit as an application's tests use it: one process, no socket, no thread, and a clock that only the test moves."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from tests.kit.application import Unwell
from worker import (
    AppChat,
    Button,
    ButtonCard,
    Chats,
    ConfigurationError,
    CreateChat,
    Customers,
    File,
    Image,
    JobFilter,
    JobNotFound,
    MainTitle,
    Text,
    To,
    enqueue,
    external,
    find_waiting,
    recall,
    reschedule,
    sqlite_engine,
    webhook,
    youdu,
)
from worker.outbox.engine.database import Database
from worker_simulator.settings.youdu import key_of
from worker_simulator.testing.clock import KitClock
from worker_simulator.testing.database import STILL_OPEN
from worker_simulator.testing.faults import NAMED
from worker_simulator.testing.outbox import KitOutbox, open_outbox

UPLOAD = "/cgi-bin/media/upload"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
SETTINGS = """
hooks = "tests.kit.application"
[accounts.hr]
channel = "wecom_app"
corpid = "ww1"
agentid = 7
secret = { env = "HR_SECRET" }
callback = { token = { env = "HR_TOKEN" }, aes_key = { env = "HR_AES_KEY" } }
[accounts.alerts]
channel = "wecom_webhook"
edition = "push"
secret = { env = "ALERTS_KEY" }
callback = { token = { env = "ALERTS_TOKEN" }, aes_key = { env = "ALERTS_AES_KEY" } }
[accounts.sales]
channel = "wecom_external"
corpid = "ww1"
secret = { env = "SALES_SECRET" }
[accounts.desk]
channel = "youdu"
base_url = "http://youdu.example.com:7080"
buin = 7
appid = "yd00112233445566778899AABBCCDDEEFF"
secret = { env = "DESK_KEY" }
"""
"""Of an application with an account of each channel; none of the variables is set."""


@pytest.fixture(scope="session")
def worker_settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "worker.toml"
    path.write_text(SETTINGS, encoding="utf-8")
    return path


@pytest.fixture
def outbox(outbox: KitOutbox, socket_disabled: None) -> Iterator[KitOutbox]:
    """The kit's, with no socket to be opened, and no thread left."""
    before = set(threading.enumerate())
    yield outbox
    assert set(threading.enumerate()) <= before


def send(outbox: KitOutbox, content: str = "hello", to: Any = "lisi", **options: Any) -> str:
    """Enqueues a text; the job's id."""
    with outbox.session() as session:
        return enqueue(session, "hr", Text(content=content), to, **options).id


def card(outbox: KitOutbox) -> str:
    """Enqueues a card with a button."""
    asked = ButtonCard(main_title=MainTitle(title="leave"), button_list=[Button(text="Approve", key="approve")])
    with outbox.session() as session:
        return enqueue(session, "hr", asked, "lisi").id


def texts(outbox: KitOutbox, whose: str = "lisi") -> list[str]:
    """What a person reads."""
    return [one.text for one in outbox.inbox(whose)]


# -- in an outbox of the kit's own ------------------------------------------------------------------------------------


def test_what_was_committed_is_seen_after_a_delivery(outbox: KitOutbox) -> None:
    """The message arrives when the worker has run, and the job says so."""
    job = send(outbox)
    before = texts(outbox)
    outbox.deliver()

    assert before == []
    assert texts(outbox) == ["hello"]
    assert outbox.job(job).state == "accepted"


def test_what_was_rolled_back_is_never_seen(outbox: KitOutbox) -> None:
    """Neither job nor message."""
    with Session(outbox.engine) as session:
        enqueue(session, "hr", Text(content="hello"), "lisi")
        session.rollback()
    outbox.deliver()

    assert outbox.jobs == []
    assert texts(outbox) == []


def test_an_open_transaction_is_named_and_not_waited_for(outbox: KitOutbox) -> None:
    """The test that forgot its commit hears so at once."""
    with Session(outbox.engine) as session:
        enqueue(session, "hr", Text(content="hello"), "lisi")
        with pytest.raises(AssertionError) as told:
            outbox.deliver()

    assert str(told.value) == STILL_OPEN


def test_a_recall_takes_the_message_back(outbox: KitOutbox) -> None:
    """It stays in the inbox, marked as recalled."""
    job = send(outbox)
    outbox.deliver()
    with outbox.session() as session:
        recall(session, job)
    outbox.deliver()

    assert [one.recalled for one in outbox.inbox("lisi")] == [True]


def test_a_press_runs_the_applications_hook(outbox: KitOutbox) -> None:
    """With its card update delivered when the press returns."""
    card(outbox)
    outbox.deliver()
    outbox.press("lisi", "approve")

    [shown] = outbox.inbox("lisi")
    assert shown.update == {"replace_name": "done: approve"}


def test_a_press_that_is_not_possible_says_why(outbox: KitOutbox) -> None:
    """No such button, as the simulator tells it."""
    card(outbox)
    outbox.deliver()

    with pytest.raises(ValueError, match="no key 'refuse'"):
        outbox.press("lisi", "refuse")


def test_what_a_person_writes_is_answered_by_the_hook(outbox: KitOutbox) -> None:
    """Over the account's callback address, signed and encrypted."""
    outbox.write("lisi", "hi", account="hr")

    assert texts(outbox) == ["you said hi"]


def test_the_end_of_a_tag_runs_its_hook(outbox: KitOutbox) -> None:
    """When the last job with it has ended, and once."""
    with outbox.session() as session:
        for person in ("ann", "bea"):
            enqueue(session, "hr", Text(content="hi"), [person], tags=["mailing-7"])
        enqueue(session, "hr", Text(content="hi"), ["carl"], tags=["mailing-7"], due_at=timedelta(hours=1))
    outbox.deliver()
    before = texts(outbox, "boss")
    outbox.clock.advance(hours=1)
    outbox.deliver()
    outbox.deliver()

    assert before == []
    assert texts(outbox, "boss") == ["mailing-7: sent to 3"]


def test_the_error_of_a_hook_reaches_the_test(outbox: KitOutbox) -> None:
    """As it was raised."""
    with pytest.raises(Unwell):
        outbox.write("lisi", "fail", account="hr")


def test_refused_recipients_end_a_job_as_partial(outbox: KitOutbox) -> None:
    """And the hook for it runs in the same delivery."""
    outbox.fault("refused recipients", "wangwu")
    job = send(outbox, to=["lisi", "wangwu"])
    outbox.deliver()

    assert outbox.job(job).state == "partial"
    assert texts(outbox, "boss") == ["some did not get it"]


@pytest.mark.parametrize("path", [None, UPLOAD])
@pytest.mark.parametrize("fault", [*NAMED, "unreachable", "502", "429", 45009])
def test_after_one_fault_a_delivery_comes_to_an_end(outbox: KitOutbox, fault: str | int, path: str | None) -> None:
    """Each by its name, on a send and on the upload before it: nothing is left to do within ten minutes."""
    outbox.fault(fault, path=path)
    with outbox.session() as session:
        job = enqueue(session, "hr", Image(file=File(PNG, "a.png")), "lisi").id
    outbox.deliver()
    calls = len(outbox.calls())
    outbox.deliver(within=0)

    assert calls == len(outbox.calls())
    assert outbox.job(job).state in ("accepted", "rejected", "unknown", "open")


def test_a_502_on_an_upload_is_repeated_until_the_picture_is_seen(outbox: KitOutbox) -> None:
    """The clock passes over the worker's own wait, and only that."""
    began_at = outbox.clock.now()
    outbox.fault("502", path=UPLOAD)
    with outbox.session() as session:
        enqueue(session, "hr", Image(file=File(PNG, "a.png")), "lisi")
    outbox.deliver()

    assert len(outbox.calls(UPLOAD)) == 2
    assert len(outbox.inbox("lisi")) == 1
    assert timedelta() < outbox.clock.now() - began_at < timedelta(seconds=120)


def test_a_timeout_without_an_answer_is_sent_again_by_the_duplicate_check(outbox: KitOutbox) -> None:
    """The answer was lost, the repeat is suppressed by the vendor: it is seen once."""
    outbox.fault("answer lost")
    job = send(outbox)
    outbox.deliver()

    assert outbox.job(job).state == "accepted"
    assert texts(outbox) == ["hello"]


def test_an_unknown_fault_names_those_that_there_are(outbox: KitOutbox) -> None:
    """A typo does not pass in silence."""
    with pytest.raises(ValueError, match=r"'timeout', .* 'unreachable'"):
        outbox.fault("time out")


def test_a_job_that_is_rescheduled_waits_until_the_test_moves_the_clock(outbox: KitOutbox, clock: KitClock) -> None:
    """As one that was enqueued for then, though `deliver` moves the clock over waits of the worker's own."""
    job, database = send(outbox), Database(outbox.engine)
    found = find_waiting(JobFilter(ids=[job]), database=database)
    reschedule(found, due_at=60, person="zhang", database=database)
    outbox.deliver()
    before = texts(outbox)
    clock.advance(minutes=1)
    outbox.deliver()

    assert before == []
    assert texts(outbox) == ["hello"]


def test_a_job_for_later_waits_until_the_test_moves_the_clock(outbox: KitOutbox, clock: KitClock) -> None:
    """`deliver` never passes over a time that the application asked for."""
    send(outbox, due_at=60)
    outbox.deliver()
    before = texts(outbox)
    clock.advance(minutes=1)
    outbox.deliver()

    assert before == []
    assert texts(outbox) == ["hello"]


@pytest.mark.parametrize("seconds", [0.5, 3.5, 8.0, 9.5, 10.5, 3_600.0, 86_400.0 * 40])
def test_the_worker_goes_on_after_any_move_of_the_clock(outbox: KitOutbox, clock: KitClock, seconds: float) -> None:
    """Whichever of its leases have run out by then, and which have not."""
    send(outbox, "before")
    outbox.deliver()
    clock.advance(seconds)
    send(outbox, "after")
    outbox.deliver(within=0)

    assert texts(outbox) == ["before", "after"]


def test_the_clock_stands_still_and_never_goes_back(outbox: KitOutbox, clock: KitClock) -> None:
    """It begins with the real time, for the application reads that."""
    began_at = clock.now()

    assert abs(datetime.now(UTC) - began_at) < timedelta(minutes=10)
    with pytest.raises(ValueError, match="does not go back"):
        clock.move_to(began_at - timedelta(seconds=1))


def test_every_channel_of_the_settings_is_played(outbox: KitOutbox) -> None:
    """Under the application's own account names, though no secret is set."""
    with outbox.session() as session:
        enqueue(session, "alerts", webhook.Text(content="disk full"), Chats("wr1"))
        enqueue(session, "sales", external.Campaign(text="new shoes"), Customers({"zhangsan": ["wm1"]}))
        enqueue(session, "desk", youdu.Text(content="lunch"), To(["lisi"]))
        enqueue(session, "desk", youdu.PopWindow(url="https://example.com"), To(["lisi"]))
    outbox.deliver()

    assert [job.state if job.account != "sales" else "accepted" for job in outbox.jobs] == ["accepted"] * 4
    assert texts(outbox, "wr1") == ["disk full"]
    assert {one.type for one in outbox.inbox("lisi")} == {"text", "pop_window"}
    [task] = outbox.control("GET", "groupmsg_tasks")["tasks"]
    assert task["text"]["content"] == "new shoes"


def test_the_chat_of_an_application_is_read_by_its_chatid(outbox: KitOutbox) -> None:
    """As a webhook's chat is, and as its members read it."""
    with outbox.session() as session:
        enqueue(session, "hr", CreateChat(chatid="duty", name="Duty", userlist=["lisi", "zhangsan"]))
    outbox.deliver()
    with outbox.session() as session:
        enqueue(session, "hr", Text(content="night shift"), AppChat("duty"))
    outbox.deliver()

    assert [texts(outbox, "duty"), texts(outbox, "lisi")] == [["night shift"]] * 2


@pytest.mark.parametrize("body", [{}, {"settings": {"latency_s": 0.0}}])
def test_a_reset_leaves_the_clock_the_accounts_and_their_callbacks(
    outbox: KitOutbox, clock: KitClock, body: dict[str, Any]
) -> None:
    """The vendor has forgotten what was sent, and goes on in the test's own time and process."""
    send(outbox)
    outbox.deliver()
    clock.advance(days=3)
    outbox.control("POST", "reset", body)
    after = texts(outbox)
    outbox.write("lisi", "hi", account="hr")

    assert after == []
    assert texts(outbox) == ["you said hi"]
    assert {"now": clock.now().timestamp(), "frozen": True} == outbox.control("GET", "clock")
    assert 7 in [app.agentid for app in outbox.vendor.apps]


def test_a_webhooks_button_is_pressed_in_its_chat(outbox: KitOutbox) -> None:
    """The click is stored like any callback."""
    button = webhook.Action(name="ack", text="Got it", value="1", replace_text="Thanks")
    message = webhook.Markdown(
        content="disk full", attachments=[webhook.Attachment(callback_id="disk", actions=[button])]
    )
    with outbox.session() as session:
        enqueue(session, "alerts", message, Chats("wr1"))
    outbox.deliver()
    outbox.press("lisi", "ack", chat="wr1")

    with Session(outbox.engine) as session:
        assert list(session.scalars(text("select person from worker_inbound"))) == ["lisi"]


@pytest.mark.fewer_databases("a chat is the same on each")
def test_a_button_is_pressed_though_another_webhook_spoke_since(sqlite_database: Database, tmp_path: Path) -> None:
    """The newest of that name in the chat, of whichever webhook it is."""
    own = {"channel": "wecom_webhook", "edition": "push", "callback": {"token": {"env": "T"}, "aes_key": {"env": "K"}}}
    button = webhook.Action(name="ack", text="Got it", value="1", replace_text="Thanks")
    asking = webhook.Markdown(content="disk full", attachments=[webhook.Attachment(callback_id="d", actions=[button])])
    with open_outbox(lambda _: tmp_path, sqlite_database.engine, {"accounts": {"alerts": own, "news": own}}) as outbox:
        for account, message in (("alerts", asking), ("news", webhook.Text(content="lunch"))):
            with Session(sqlite_database.engine) as session, session.begin():
                enqueue(session, account, message, Chats("wr1"))
            outbox.deliver()
        outbox.press("lisi", "ack", chat="wr1")

        with Session(sqlite_database.engine) as session:
            assert list(session.scalars(text("select account from worker_inbound"))) == ["alerts"]


def test_files_by_url_come_from_the_tests_pages(outbox: KitOutbox) -> None:
    """Nothing is fetched from the network."""
    outbox.pages["https://files.example.com/a.png"] = PNG
    with outbox.session() as session:
        enqueue(session, "hr", Image(file=File.from_url("https://files.example.com/a.png")), "lisi")
    outbox.deliver()

    assert [one.type for one in outbox.inbox("lisi")] == ["image"]


# -- in the application's own transaction -----------------------------------------------------------------------------


@pytest.fixture
def engine(database: Database) -> Engine:
    """An application's engine, whose database has the outbox's tables."""
    return database.engine


def test_a_test_that_is_rolled_back_leaves_nothing(engine: Engine, tmp_path: Path, worker_settings: Path) -> None:
    """Delivered in the session's own transaction, hook and all; on every database."""
    with engine.connect() as connection, connection.begin() as whole:
        session = Session(connection, join_transaction_mode="create_savepoint")
        with open_outbox(lambda _: tmp_path, session, worker_settings) as outbox:
            enqueue(session, "hr", Text(content="hello"), ["lisi", "ghost"])
            session.commit()
            outbox.deliver()
            enqueue(session, "hr", Text(content="taken back"), "lisi")
            session.rollback()
            outbox.deliver()
            seen, states = texts(outbox), [job.state for job in outbox.jobs]
        session.close()
        whole.rollback()

    assert seen == ["hello"]
    assert states == ["partial", "accepted"]
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from worker_jobs")).scalar() == 0


def test_the_error_of_a_hook_leaves_the_tests_transaction_alone(
    sqlite_database: Database, tmp_path: Path, worker_settings: Path
) -> None:
    """What the hook did is rolled back to its savepoint, and the rest stays."""
    with (
        sqlite_database.engine.connect() as connection,
        connection.begin(),
        open_outbox(lambda _: tmp_path, connection, worker_settings) as outbox,
    ):
        enqueue(connection, "hr", Text(content="hello"), "lisi")
        with pytest.raises(Unwell):
            outbox.write("lisi", "fail", account="hr")

        assert len(outbox.jobs) == 1


@pytest.mark.fewer_databases("accounts are the same on each")
def test_a_person_writes_to_the_account_that_the_test_names(sqlite_database: Database, tmp_path: Path) -> None:
    """Also where the application has named no accounts, and has used another one before."""
    engine = sqlite_database.engine
    with open_outbox(lambda _: tmp_path, engine, {"hooks": "tests.kit.application"}) as outbox:
        for account in ("hr", "it"):
            outbox.write("lisi", "hi", account=account)

        assert [job.account for job in outbox.jobs] == ["hr", "it"]


@pytest.mark.fewer_databases("an engine that commits is the same as the worker's own")
def test_an_engine_is_used_as_it_is(database: Database, tmp_path: Path) -> None:
    """With sessions of the application's own that commit."""
    with open_outbox(lambda _: tmp_path, database.engine, {}) as outbox:
        with Session(database.engine) as session:
            enqueue(session, "anything", Text(content="hello"), "lisi")
            session.commit()
        outbox.deliver()

        assert texts(outbox) == ["hello"]


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_tables_are_made_where_they_are_missing(in_memory: bool, tmp_path: Path) -> None:
    """In a database in memory, of one connection, and in a file."""
    own = sqlite_engine("sqlite://", poolclass=StaticPool) if in_memory else create_engine(f"sqlite:///{tmp_path}/a.db")
    with open_outbox(lambda _: tmp_path, own, {}) as outbox:
        with Session(own) as session:
            enqueue(session, "hr", Text(content="hello"), "lisi")
            session.commit()
        outbox.deliver()

        assert texts(outbox) == ["hello"]
    own.dispose()


def test_an_asynchronous_session_is_awaited(sqlite_database: Database, tmp_path: Path, worker_settings: Path) -> None:
    """In its own transaction, which is rolled back at the end; the calls return awaitables."""

    async def story() -> tuple[list[str], int]:
        own = create_async_engine(str(sqlite_database.engine.url).replace("sqlite:", "sqlite+aiosqlite:"))
        async with own.connect() as connection, AsyncSession(connection) as session:
            await connection.begin()
            with open_outbox(lambda _: tmp_path, session, worker_settings) as outbox:
                await enqueue(session, "hr", Text(content="hello"), "lisi")
                await outbox.assert_enqueued("hr", containing="hello")
                await outbox.deliver()
                seen, jobs = texts(outbox), len(await outbox.jobs)
            await connection.rollback()
        await own.dispose()
        return seen, jobs

    assert asyncio.run(story()) == (["hello"], 1)


async def heard_in_a_savepoint(own: AsyncEngine, folder: Path, settings: Path, *faults: str) -> list[str]:
    """What an application's asynchronous session sends by the kit; all of it is rolled back."""
    async with own.connect() as connection, connection.begin() as transaction:
        session = AsyncSession(connection, join_transaction_mode="create_savepoint")
        with open_outbox(lambda _: folder, session, settings) as outbox:
            for fault in faults:
                outbox.fault(fault)
            await enqueue(session, "hr", Text(content="hello"), "lisi")
            await session.commit()
            await outbox.deliver()
            seen = texts(outbox)
        await transaction.rollback()
    await own.dispose()
    return seen


def test_an_asynchronous_session_finds_the_tables_made(tmp_path: Path, worker_settings: Path) -> None:
    """Where they are missing from its database, in a file or in memory, before the application enqueues."""
    for place in ("", f"/{tmp_path}/own.db"):
        own = create_async_engine(f"sqlite+aiosqlite://{place}")
        assert asyncio.run(heard_in_a_savepoint(own, tmp_path, worker_settings)) == ["hello"]


@pytest.mark.postgres
@pytest.mark.fewer_databases("asyncpg has PostgreSQL guess the type of each value")
def test_the_worker_runs_on_a_session_of_asyncpg(
    postgres_database: Database, tmp_path: Path, worker_settings: Path
) -> None:
    """With a token fetched, and its leases renewed over a wait."""
    own = create_async_engine(postgres_database.engine.url.set(drivername="postgresql+asyncpg", query={}))

    assert asyncio.run(heard_in_a_savepoint(own, tmp_path, worker_settings, "502")) == ["hello"]


# -- the plugin -------------------------------------------------------------------------------------------------------


def test_a_failed_assertion_shows_what_was_enqueued_instead(pytester: pytest.Pytester) -> None:
    """Each difference with both values, in the test of an application without any settings."""
    pytester.makepyfile("""
        from worker import Text, To, enqueue

        def test_order(outbox, assert_enqueued):
            with outbox.session() as session:
                enqueue(session, "shop", Text(content="Your order is late."), To(["lisi"]), tags=["order"])
                enqueue(session, "shop", Text(content="Something else."), To(["wangwu"]))
            assert_enqueued("shop", Text(content="Your order is ready."), To(["zhangsan"]))
    """)

    result = pytester.runpytest_inprocess("-p", "no:im-delivery-worker", "-p", "worker_simulator.testing.plugin")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E * no such job was enqueued; wanted: on shop to users zhangsan with Your order is ready.",
            "E * enqueued were instead:",
            "E *   1. send on shop to users lisi: text Your order is late.",
            "E *        message.text.content",
            "E *          wanted   Your order is ready.",
            "E *          enqueued Your order is late.",
            "E *        to",
            "E *          wanted   users zhangsan",
            "E *          enqueued users lisi",
            "E *   2. send on shop to users wangwu: text Something else.",
        ]
    )


def test_with_worker_lang_a_failure_is_told_in_chinese_below(
    outbox: KitOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The values stay as they are, also where a text of a message is one that the program says."""
    monkeypatch.setenv("WORKER_LANG", "zh")
    send(outbox, "no jobs")

    with pytest.raises(AssertionError, match="no such job was enqueued; wanted: on any account") as failed:
        outbox.assert_enqueued(message=Text(content="nothing was changed"))
    with pytest.raises(ValueError, match="'late' is no fault") as refused:
        outbox.fault("late")

    assert (
        "没有提交过这样的任务；期望：账号 不限 内容 nothing was changed\n"
        "已提交的是：\n"
        "  1. 账号 hr 的 send，发给 users lisi：text no jobs\n"
        "       message.text.content\n"
        "         期望 nothing was changed\n"
        "         实际 no jobs"
    ) == failed.value.__notes__[0]
    assert refused.value.__notes__[0].startswith("没有 'late' 这种故障；可用 'timeout', ")


def test_an_empty_outbox_says_what_may_be_the_reason(outbox: KitOutbox) -> None:
    """Nothing was enqueued, or it is not committed."""
    with pytest.raises(AssertionError, match="the outbox is empty: nothing was enqueued, or its transaction"):
        outbox.assert_enqueued("hr")


def test_jobs_are_found_by_class_text_times_and_options(outbox: KitOutbox) -> None:
    """The newest of those that fit is returned; how many there are can be asserted, also none."""
    first, second = send(outbox, "one", tags=["a"]), send(outbox, "two", priority="bulk")
    card(outbox)

    assert second == outbox.assert_enqueued(message=Text, times=2).id
    assert first == outbox.assert_enqueued(containing="one", tags=["a"], state="open").id
    assert outbox.assert_enqueued("hr", ButtonCard).type == "button_interaction"
    outbox.assert_enqueued("other", times=0)
    with pytest.raises(AssertionError, match="2 such jobs were enqueued; wanted 1: on any account with a Text"):
        outbox.assert_enqueued(message=Text, times=1)
    with pytest.raises(TypeError, match="'colour'"):
        outbox.assert_enqueued(colour="red")


def test_what_a_test_mistypes_is_named(outbox: KitOutbox, clock: KitClock, tmp_path: Path) -> None:
    """An id of no job, an instant without its time zone, a key of the settings."""
    with pytest.raises(JobNotFound, match="no job 'nope'"):
        outbox.job("nope")
    with pytest.raises(ValueError, match="no time zone"):
        clock.move_to(datetime(2040, 1, 1))
    with pytest.raises(ConfigurationError, match="hoks: is not a setting; did you mean hooks"):
        KitOutbox(lambda _: tmp_path, None, {"hoks": "shop"})


def test_the_plugin_loads_nothing_before_a_test_asks() -> None:
    """Every pytest run of an application pays for its import."""
    imports = "import sys, worker_simulator.testing.plugin"
    program = f"{imports}; print(*(n for n in ('sqlalchemy', 'pydantic') if n in sys.modules))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""


def test_the_youdu_app_of_the_simulator_gets_the_tests_key(outbox: KitOutbox) -> None:
    """The key that the simulator publishes is replaced for the account's app alone."""
    outbox.accounts.get("desk")

    keys = {app.appid: app.aes_key for app in outbox.vendor.youdu.apps}
    assert key_of(0) != keys["yd00112233445566778899AABBCCDDEEFF"]
    assert key_of(1) == keys["sysMsgAssistant"]


@pytest.mark.fewer_databases("accounts are the same on each")
def test_the_apps_of_a_provider_send_without_their_suite(database: Database, tmp_path: Path) -> None:
    """Messages and group sends: neither the suite's ticket nor an authorisation is needed in a test."""
    own = {"corpid": "ww1", "suite": "ours", "is_customized_app": True}
    accounts = {
        "app": {"channel": "wecom_app", "agentid": 7, **own},
        "sales": {"channel": "wecom_external", **own},
        "ours": {"channel": "wecom_suite", "suite_id": "wwsuite", "callback": {"token": {"env": "T"}}},
    }
    with open_outbox(lambda _: tmp_path, database.engine, {"accounts": accounts}) as outbox:
        with Session(database.engine) as session:
            enqueue(session, "app", Text(content="hello"), "lisi")
            enqueue(session, "sales", external.Campaign(text="hello"), Customers({"ann": ["wm1"]}))
            session.commit()
        outbox.deliver()

        assert [job.state for job in outbox.jobs] == ["accepted"] * 2
