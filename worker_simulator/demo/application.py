"""The demo's application: enqueues messages in its own transactions; hooks answer pressed buttons and written texts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, func, insert, select, update
from sqlalchemy.orm import Session

from worker.channels.wecom.cards import MainTitle
from worker.channels.wecom_app import ButtonCard, CardUpdate, Image, Text
from worker.channels.wecom_app.cards import Button
from worker.config.accounts import AccountSource
from worker.domain.callbacks.hook import CardPressed, MessageReceived
from worker.domain.content.recipient import To
from worker.domain.job_filter import JobFilter
from worker.hooks.registry import on_card_action, on_message
from worker.producer.enqueue import enqueue
from worker.producer.follow_ups import recall, update_card
from worker.reporting.job_list import find_jobs
from worker_simulator.demo.files import picture
from worker_simulator.demo.stage import reading

ACCOUNT = "demo"
PEOPLE = [f"person{number:04d}" for number in range(1, 1_498)]
MISSING = ["ghost-anna", "ghost-bela", "ghost-chen"]
"""Userids that the fake WeCom refuses: it has no member whose userid begins with ghost."""
APPROVERS = ["person0001", "person0002"]
TEXT = "The canteen closes at 14:00 today."
ROLLED_BACK = "This must never be sent: its transaction was rolled back."
LATER = "Two seconds later, as asked."
DELAY_S = 2.0

notices = Table("notices", MetaData(), Column("id", Integer, primary_key=True), Column("subject", String(80)))


class Application:
    """Writes its own rows and enqueues in the same transaction. `jobs` maps a short name to the job's id."""

    def __init__(self, engine: Engine, accounts: AccountSource):
        self._engine, self._accounts = engine, accounts
        self.jobs: dict[str, str] = {}
        self.due_at: datetime | None = None
        notices.create(engine, checkfirst=True)

    def send_messages(self) -> None:
        """Enqueues three messages, one in a transaction that is rolled back, and one for later."""
        everyone, approvers = To(users=[*PEOPLE, *MISSING]), To(users=APPROVERS)
        with self._engine.begin() as connection:
            self.jobs["text"] = self._enqueue(connection, "canteen", Text(content=TEXT), everyone)
        with self._engine.begin() as connection:
            self.jobs["image"] = self._enqueue(connection, "poster", Image(file=picture()), approvers)
        with self._engine.begin() as connection:
            self.jobs["card"] = self._enqueue(connection, "leave", _card(), approvers)
        with self._engine.connect() as connection, connection.begin() as transaction:
            self._enqueue(connection, "never", Text(content=ROLLED_BACK), approvers)
            transaction.rollback()
        with self._engine.begin() as connection:
            self.due_at = datetime.now(UTC) + timedelta(seconds=DELAY_S)
            self.jobs["later"] = self._enqueue(
                connection, "reminder", Text(content=LATER), approvers, due_at=self.due_at
            )

    def recall_text(self) -> None:
        """Recalls the text."""
        with self._engine.begin() as connection:
            connection.execute(insert(notices).values(subject="follow-up"))
            self.jobs["recall"] = recall(connection, self.jobs["text"], accounts=self._accounts).id

    def send_second_card(self) -> None:
        """Sends the approvers another card. It is recalled once one of them writes that it should be."""
        with self._engine.begin() as connection:
            job_id = enqueue(connection, ACCOUNT, _card(), To(users=APPROVERS), accounts=self._accounts).id
            connection.execute(insert(notices).values(subject=f"{OPEN}{job_id}"))

    def hook_has_answered(self) -> bool:
        """True once the hook in the worker's process has enqueued the card's update."""
        with reading(self._engine) as connection:
            jobs = find_jobs(connection, JobFilter(kind="update_card")).jobs
        if jobs:
            self.jobs["update"] = jobs[0].id
        return bool(jobs)

    def rows(self) -> int:
        """Returns how many rows of its own the application has committed."""
        with self._engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(notices)).scalar_one())

    def _enqueue(self, connection: Connection, subject: str, message: Any, to: Any, **options: Any) -> str:
        """Writes a row of the application, and enqueues in the same transaction."""
        connection.execute(insert(notices).values(subject=subject))
        return enqueue(connection, ACCOUNT, message, to, accounts=self._accounts, **options).id


def _card() -> ButtonCard:
    return ButtonCard(
        main_title=MainTitle(title="Leave request"),
        sub_title_text="Li Lei asks for three days off.",
        button_list=[Button(text="Approve", key="approve"), Button(text="Refuse", key="refuse")],
    )


OPEN = "open request "
WITHDRAW = "withdraw"
"""What an approver writes to have the card recalled."""
DECISIONS = {"approve": "approved", "refuse": "refused"}


@on_card_action
def store_decision(action: CardPressed, session: Session) -> None:
    """The hook for a pressed button: stores the decision and updates both approvers' cards, in one transaction."""
    session.execute(insert(notices).values(subject="decision"))
    update_card(session, action.job_id, CardUpdate(replace_name=DECISIONS[action.button]), APPROVERS)


@on_message
def answer_text(message: MessageReceived, session: Session) -> None:
    """The hook for a text: recalls the open request if the text says so, and answers anything else."""
    request = session.execute(select(notices).where(notices.c.subject.startswith(OPEN))).first()
    if request is None or (message.text or "").strip().lower() != WITHDRAW:
        answer = (
            f"There is no open request for {WITHDRAW}." if request is None else f"Write {WITHDRAW} to take it back."
        )
        enqueue(session, ACCOUNT, Text(content=answer), To(users=[message.person]))
        return
    session.execute(update(notices).where(notices.c.id == request.id).values(subject="withdrawn"))
    recall(session, request.subject.removeprefix(OPEN))
