"""An application's file, with public names as the documents use them; its last functions have what must be refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import assert_type

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from worker import (
    Account,
    AppChat,
    Button,
    ButtonCard,
    CardPressed,
    CardUpdate,
    CheckFailed,
    Customers,
    Everyone,
    File,
    Image,
    JobDone,
    JobFilter,
    JobRef,
    JobReport,
    JobState,
    JobSummary,
    MainTitle,
    Message,
    NewJob,
    Problem,
    Receipt,
    Text,
    To,
    cancel,
    configure,
    enqueue,
    enqueue_many,
    external,
    failures,
    find_jobs,
    find_open,
    get_job,
    on_card_action,
    on_job_done,
    recall,
    receipts,
    sqlite_engine,
    update_card,
    upload,
    wait_until_ended,
    webhook,
    why,
    youdu,
)

configure(Path("worker.toml"))
engine = sqlite_engine("sqlite:///outbox.db")
assert_type(engine, Engine)


def order(session: Session) -> str:
    job = enqueue(session, "hr", Text("Your order is ready."), To(users=["zhangsan"]), due_at=timedelta(hours=1))
    assert_type(job, JobRef)
    enqueue(session, "hr", Text(content="hello"), "zhangsan", priority="urgent", tags=["orders"], dedupe_key="1")
    enqueue(session, "hr", Text(content="hello"), ["zhangsan"], expires_at=datetime.now(UTC))
    enqueue(session, "hr", Text(content="hello"), Everyone())
    enqueue(session, "hr", Text(content="hello"), AppChat("chat"))
    enqueue(session, "hr", Image(file=File.at("plan.png")), ["lisi"])
    enqueue(session, "robot", webhook.Text("hello"))
    enqueue(session, "im", youdu.Text("hello"), ["lisi"])
    enqueue(session, "sales", external.Campaign(text="hello"), Customers({"lisi": ["c"]}))
    card = ButtonCard(
        main_title=MainTitle(title="Leave", desc="2 days"),
        button_list=[Button(text="Approve", key="ok"), Button(text="Refuse", key="no", style=3)],
    )
    asked = enqueue(session, "hr", card, ["lisi"])
    assert_type(recall(session, asked.id), JobRef)
    assert_type(update_card(session, asked.id, CardUpdate(replace_name="done"), ["lisi"]), JobRef)
    assert_type(upload(session, "hr", File(b"a file", "a.txt")), JobRef)
    more = enqueue_many(session, [NewJob("hr", Text("a"), ["a"]), NewJob("hr", Text("b"), ["b"])])
    assert_type(more, list[JobRef])
    return job.id


async def order_async(session: AsyncSession) -> JobRef:
    return await enqueue(session, "hr", Text("hello"), ["lisi"])


def look(session: Session, job_id: str) -> list[str]:
    report = get_job(session, job_id)
    assert_type(report, JobReport)
    if report.state is JobState.PARTIAL:
        return [failure.recipient for failure in failures(session, job_id)]
    assert_type(find_jobs(session, state="open", limit=10).jobs, tuple[JobSummary, ...])
    assert_type(receipts(session, job_id), list[Receipt])
    waits = why(session, job_id).waits
    ended = wait_until_ended(engine, job_id, timeout_s=5.0)
    return [wait.text for wait in waits] + list(ended.tags)


def refused(session: Session) -> list[Problem]:
    try:
        enqueue(session, "hr", Text("x" * 3000), ["lisi"])
    except CheckFailed as error:
        return list(error.problems)
    return []


@on_card_action
def pressed(action: CardPressed, session: Session) -> None:
    update_card(session, action.job_id, CardUpdate(replace_name="approved"), [action.person])


@on_job_done
def done(event: JobDone, session: Session) -> None:
    assert_type(event.job_id, str)


def any_message(message: Message) -> Message:
    return message


def operate() -> int:
    found = find_open(JobFilter(account="hr"))
    return cancel(found, person="anna", why="a test").counts["jobs"]


def wrong(session: Session) -> None:
    enqueue(session, "hr", "hello", ["lisi"])  # type: ignore[call-overload]  # pyright: ignore
    enqueue(session, "hr", Text("hello"), ["lisi"], priority="high")  # type: ignore[call-overload]  # pyright: ignore
    enqueue(session, "hr", Text("hello"), ["lisi"], prio="bulk")  # type: ignore[call-overload]  # pyright: ignore
    Text(contents="hello")  # type: ignore[call-arg]  # pyright: ignore
    Account(name="hr")  # type: ignore[call-arg]  # pyright: ignore
    recall(session)  # type: ignore[call-overload]  # pyright: ignore


async def forgotten(session: AsyncSession, connection: AsyncConnection) -> None:
    enqueue(session, "hr", Text("hello"), ["lisi"])  # type: ignore[unused-coroutine]  # pyright: ignore
    enqueue_many(connection, [])  # type: ignore[unused-coroutine]  # pyright: ignore
    recall(session, "1")  # type: ignore[unused-coroutine]  # pyright: ignore
    get_job(session, "1")  # type: ignore[unused-coroutine]  # pyright: ignore
