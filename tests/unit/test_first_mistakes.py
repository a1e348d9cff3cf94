"""What a producer's first day gets wrong: each mistake is told in words of ours, with what to write instead."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import worker
from tests.support.producing import ACCOUNTS, ANN, HELLO
from tools.reference.taken import classes
from worker import CheckFailed, File, FileMessage, NewJob, Text, on_card_action, on_job_done, webhook
from worker.outbox.engine.database import Database
from worker.producer.enqueue import build_request
from worker.producer.plan import plan

anything: Any = worker
"""The same names, for what a type checker would refuse."""


class Uploaded:
    """A web framework's upload, which is read asynchronously."""

    async def read(self) -> bytes:
        return b""


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: anything.Text(5), "text.content: is not a string; use the vendor's type"),
    (
        lambda: anything.Text(contnt="x"),
        "text.content: is missing; give it a value; text.contnt: Text has no such field;",
    ),
    (
        lambda: anything.Text(contnt="x"),
        "did you mean content? Its fields are content, mentioned_list, safe, enable_id_tr",
    ),
    (
        lambda: anything.Voice(media_id="m", safe=1),
        "voice.safe: Voice has no such field; use one of media_id, file, dupl",
    ),
    (
        lambda: anything.FileMessage(file="a.pdf"),
        'file.file: is no File; use File.at("a.pdf"), File(b"...", "a.pdf") or',
    ),
    (lambda: anything.Upload(file="a.pdf"), "file: is no File; use File.at("),
    (lambda: anything.Raw(msgtype="x", body={}, files={"a": ("image", "x")}), "files.a[1]: is no File; use File.at("),
    (lambda: anything.Raw(msgtype="x", body="x"), "body: is not an object"),
    (lambda: anything.News(articles="x"), "news.articles: is not a list"),
    (
        lambda: anything.News(articles=[webhook.Article(title="t", url="u")]),
        "news.articles[0]: is no NewsArticle; use News",
    ),
    (lambda: anything.TextCard(title="t", description="d", url=None), "textcard.url: is not a string"),
    (lambda: anything.Text("x", safe="yes"), "safe: is not an integer"),
    (lambda: anything.webhook.Text("x", visible_to_user=5), "visible_to_user: is not a list"),
    (
        lambda: anything.external.Campaign(attachments=[5]),
        "attachments[0]: is no Attachment; use one of external's Image",
    ),
    (
        lambda: anything.CardUpdate(template_card="x"),
        "template_card: is no AppCard; use a card, such as ButtonCard(...)",
    ),
    (
        lambda: anything.youdu.SysMsg(title="t", msg=[{"txt": 1}]),
        "sysMsg.msg[0].txt: SysItem has no such field; did you",
    ),
    (lambda: anything.File("a.pdf"), 'file: is a text; use File.at("a.pdf") for a path, File.from_url("https://...")'),
    (lambda: anything.File("a.pdf", "a.pdf"), "file: is a text; use File.at("),
    (lambda: anything.File(io.StringIO("x"), "a.txt"), 'file: holds a text; use File(text.encode(), "a.txt")'),
    (lambda: anything.File(io.TextIOWrapper(io.BytesIO()), "a.txt"), 'file: is open as text; open it with "rb"'),
    (lambda: anything.File(bytearray(b"x"), "a.txt"), "file: can still be changed; use File(bytes(...), name)"),
    (lambda: anything.File(Uploaded(), "a.txt"), "file: is read asynchronously; use File(await ....read(), name)"),
    (lambda: anything.File(closed(), "a.txt"), "file: is closed; enqueue it while it is open, or use File.at(path)"),
    (lambda: anything.File(None, "a.txt"), "file: is a NoneType; use File.at("),
    (lambda: anything.File.at(5), "file: is a int; use File.at("),
    (
        lambda: anything.NewJob("hr", HELLO, ordr_key="a", prio=1),
        "ordr_key: is no keyword of NewJob(); did you mean order",
    ),
    (
        lambda: anything.NewJob("hr", HELLO, ordr_key="a", prio=1),
        "prio: is no keyword of NewJob(); did you mean priority?",
    ),
    (lambda: anything.NewJob("hr", HELLO, countdown=5), "countdown: is no keyword of NewJob(); did you mean due_at?"),
    (lambda: anything.NewJob("hr", HELLO, eta=None), "eta: is no keyword of NewJob(); did you mean due_at?"),
    *(
        (lambda find=find: find("payroll"), "filter: is a str; use JobFilter(ids=[...]) or JobFilter(tag=")
        for find in (
            anything.find_open,
            anything.find_sent,
            anything.find_replayable,
            anything.find_correctable,
            anything.find_waiting,
            anything.find_unknown,
        )
    ),
]


def closed() -> io.BytesIO:
    """A file that was closed too early."""
    file = io.BytesIO(b"x")
    file.close()
    return file


@pytest.mark.parametrize(("make", "said"), WRONG)
def test_a_wrong_value_is_told_in_our_words(make: Callable[[], Any], said: str) -> None:
    """By its path, and never in those of the library below, which name no remedy."""
    with pytest.raises(CheckFailed) as refused:
        make()

    assert said in str(refused.value)
    assert "Input should be" not in str(refused.value)


@pytest.mark.parametrize("value", [5, "x", b"x", None, [], {}, [5], ["x"], [None], 1.5, True, object()])
def test_no_class_tells_a_wrong_value_otherwise(value: Any) -> None:
    """Whatever stands in whichever field of whichever class."""
    told = [
        problem for _, _, made in classes() for name in made.model_fields for problem in problems(made, name, value)
    ]

    assert [problem for problem in told if "nput should" in problem.text or not problem.remedy] == []


def problems(made: Any, name: str, value: Any) -> Sequence[worker.Problem]:
    """What is wrong with a message of which one field is given."""
    try:
        made(**{name: value})
    except CheckFailed as error:
        return error.problems
    return ()


def test_an_open_file_has_a_name(tmp_path: Path) -> None:
    """That of the path that it was opened with, as a path has."""
    path = tmp_path / "menu.pdf"
    path.write_bytes(b"0123456789")

    with path.open("rb") as opened:
        assert [File(opened).name, File(path).name, File.at(str(path)).name] == ["menu.pdf"] * 3


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (
            lambda session: anything.enqueue(session, "hr", Text(""), "@all", dedup_key="a", due_at="now"),
            (
                "dedup_key: is no keyword of enqueue(); did you mean dedupe_key?",
                "due_at: is not a time",
                "text.content: is missing or empty",
                "touser: has malformed entries",
            ),
        ),
        (lambda session: anything.enqueue_many(session, [("hr", HELLO, ANN)]), ("jobs[0]: is a tuple; use NewJob(",)),
        (lambda session: anything.enqueue_many(session, NewJob("hr", HELLO, ANN)), ("jobs: is a NewJob; give a list",)),
        (lambda session: anything.enqueue_many(session, 5), ("jobs: is a int; give a list",)),
        (lambda session: anything.enqueue(session, ["hr"], HELLO, ANN), ("account: is a list; give the name of",)),
        (lambda session: anything.enqueue(session, None, HELLO, ANN), ("account: is a NoneType; give the name of",)),
        (lambda session: anything.enqueue(session, "hr", Text, ANN), ("message: is the class Text; write Text(...)",)),
        (lambda session: anything.upload(session, "hr", "a.pdf"), ("file: is a str; use File.at(",)),
        (lambda session: anything.upload(session, "hr", None), ("file: is a NoneType; use File.at(",)),
        (
            lambda session: anything.update_card(session, "1", {"replace_name": "done"}),
            ("message: is a dict; use CardUpdate(...)",),
        ),
        (
            lambda session: anything.update_card_by_code(session, "hr", "c", "done"),
            ("message: is a str; use CardUpdate(...)",),
        ),
        (lambda session: anything.mailing(session, "payroll"), ("filter: is a str; use JobFilter(",)),
        (lambda session: anything.find_jobs(session, "payroll"), ("filter: is a str; use JobFilter(",)),
        (lambda session: anything.count_jobs(session, None), ("filter: is a NoneType; use JobFilter(",)),
        (
            lambda session: worker.enqueue(session, "hr", FileMessage(file=File.at("/nowhere/a.pdf")), ANN),
            ("file.media_id: /nowhere/a.pdf cannot be read (FileNotFoundError)",),
        ),
        (
            lambda session: worker.enqueue(session, "hr", FileMessage(file=File(b"0123456789")), ANN),
            ("file.media_id.filename: is empty; give the file a name",),
        ),
    ],
)
def test_a_wrong_call_is_told_whole(
    sqlite_database: Database, work: Callable[[Any], Any], said: tuple[str, ...]
) -> None:
    """A wrong keyword hides nothing of what is wrong beside it."""
    worker.configure(ACCOUNTS)
    with sqlite_database.engine.begin() as connection, pytest.raises(CheckFailed) as refused:
        work(connection)
    worker.configure(None)

    assert [one for one in said if one not in str(refused.value)] == []


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: anything.configure(5), "accounts: is a int; give FixedAccounts([...])"),
        (lambda: anything.configure({"hr": {}}), "accounts: is a dict; give FixedAccounts([...])"),
        (lambda: anything.enqueue(_unused(), "hr", HELLO, ANN, accounts="hr"), "accounts: is a str; give FixedAcc"),
        (lambda: anything.FixedAccounts([{"name": "hr"}]), "accounts: holds a dict; give Account(...) values"),
        (
            lambda: anything.wait_until_ended(None, "1"),
            "wait_until_ended takes an Engine or a session factory first, not NoneType",
        ),
        (
            lambda: anything.wait_until_ended("sqlite://", "1"),
            "wait_until_ended takes an Engine or a session factory first, not str",
        ),
        (
            lambda: anything.wait_until_ended(Session(), "1"),
            "wait_until_ended takes an Engine or a session factory first, not Session",
        ),
        (lambda: anything.sqlite_engine("outbox.db"), "sqlite_engine takes a URL; write sqlite:///outbox.db"),
        (lambda: anything.sqlite_engine(Path("outbox.db")), "sqlite_engine takes a URL; write sqlite:///outbox.db"),
        (lambda: anything.sqlite_engine(None), "sqlite_engine takes a URL; write sqlite:///outbox.db"),
        (
            lambda: anything.sqlite_engine("postgresql://h/db"),
            "sqlite_engine takes a URL of SQLite, not of postgresql; use create_engine for others",
        ),
        (lambda: anything.sqlite_engine("sqlite+aiosqlite:///a.db"), "not of sqlite+aiosqlite; use create_engine for"),
    ],
)
def test_a_value_of_another_kind_is_refused_where_it_is_given(work: Callable[[], Any], said: str) -> None:
    """And not where it is first used, by an error that names an attribute of it."""
    with pytest.raises(worker.ConfigurationError) as refused:
        work()

    assert said in str(refused.value)


def _unused() -> Any:
    """A session on a database without tables, which nothing asks."""
    return Session(worker.sqlite_engine("sqlite://"))


def test_an_unknown_keyword_is_a_type_error_too(sqlite_database: Database) -> None:
    """As Python's own, for a caller that looks for one."""
    with sqlite_database.engine.begin() as connection, pytest.raises(TypeError, match="did you mean priority"):
        anything.recall(connection, "1", prioritty="bulk")


@pytest.mark.parametrize(
    ("decorate", "said"),
    [
        (
            lambda: anything.on_job_done(account=["hr"]),
            "on_job_done: account is no keyword of it; did you mean accounts?",
        ),
        (lambda: anything.on_card_action(str, "hr"), "on_card_action: is for one function; give accounts by name"),
        (lambda: anything.on_tag_done(tag="a"), "on_tag_done: tag is no keyword of it; did you mean tags?"),
    ],
)
def test_a_decorator_says_what_it_takes(decorate: Callable[[], Any], said: str) -> None:
    """A TypeError in the module of hooks would be told by its frames alone."""
    with pytest.raises(worker.ConfigurationError) as refused:
        decorate()

    assert said == str(refused.value)


def test_a_decorator_takes_what_it_says() -> None:
    """With and without keywords."""

    @on_card_action
    def pressed(action: Any, session: Any) -> None: ...

    @on_job_done(accounts=["hr"])
    def done(event: Any, session: Any) -> None: ...

    assert [pressed.__name__, done.__name__] == ["pressed", "done"]


def test_celery_finds_the_application() -> None:
    """`celery -A worker` looks for it under this name."""
    import celery.app.utils

    sys.modules.pop("worker.service.celery_app", None)
    assert celery.app.utils.find_app("worker").main == "worker"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"due_at": datetime.now(UTC) - timedelta(days=3, hours=1)}, ("due_at: was 3 days ago; it is due at once",)),
        ({"due_at": datetime.now(UTC) - timedelta(hours=3)}, ()),
        ({"due_at": datetime.now(UTC) + timedelta(days=3)}, ()),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, ("expires_at: is over; it is not sent, and expires",)),
        ({"expires_at": 60}, ()),
    ],
)
def test_an_instant_that_is_over_is_warned_about(options: Any, said: tuple[str, ...]) -> None:
    """A job that is a little late is not."""
    assert said == plan(build_request("hr", HELLO, ANN, options, ACCOUNTS), b"0" * 16).warnings


@pytest.mark.parametrize("most", [160, 4096, 4097, 200_000])
def test_a_text_far_beyond_its_suggested_length_is_refused(most: int) -> None:
    """What is a little longer is a matter of taste, and warned about."""
    card = worker.TextNoticeCard(
        main_title=worker.MainTitle(title="t", desc="x" * most), card_action=worker.CardAction(type=1, url="https://a")
    )
    try:
        warnings = plan(build_request("hr", card, ANN, {}, ACCOUNTS), b"0" * 16).warnings
    except CheckFailed as error:
        warnings = (str(error),)

    assert ("is far beyond the length" in warnings[0]) == (most > 4096)


class Base(DeclarativeBase):
    """Of an application's own table, which is missing."""


class Order(Base):
    """Its row."""

    __tablename__ = "missing_orders"

    id: Mapped[int] = mapped_column(primary_key=True)


def test_a_session_after_a_failed_flush_says_so(sqlite_database: Database) -> None:
    """In place of the statement that failed, with its values."""
    with Session(sqlite_database.engine) as session:
        session.add(Order(id=1))
        with pytest.raises(OperationalError):
            session.flush()
        with pytest.raises(worker.WorkerError, match=r"^an earlier statement of this transaction failed") as refused:
            worker.enqueue(session, "hr", HELLO, ANN, accounts=ACCOUNTS)

    assert refused.value.__cause__ is None
