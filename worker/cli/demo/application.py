"""The demo's producer: a small application with a table of its own that enqueues messages in its own transactions."""

from __future__ import annotations

import struct
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, func, insert, select

from worker.channels.wecom.cards import MainTitle
from worker.channels.wecom_app import ButtonCard, Image, Text
from worker.channels.wecom_app.messages.cards import Button
from worker.config.accounts import AccountSource
from worker.domain.content.message import File
from worker.domain.content.recipient import To
from worker.producer.enqueue import enqueue
from worker.producer.recall import recall
from worker.reporting.report import list_jobs

ACCOUNT = "demo"
PEOPLE = [f"person{number:04d}" for number in range(1, 1_498)]
MISSING = ["ghost-anna", "ghost-bela", "ghost-chen"]
"""Userids that the fake WeCom refuses: it knows no member whose userid begins with ghost."""
APPROVERS = ["person0001", "person0002"]
TEXT = "The canteen closes at 14:00 today."
NEVER = "This must never be sent: its transaction was rolled back."
LATER = "Two seconds later, as asked."
DELAY_S = 2.0

notices = Table("notices", MetaData(), Column("id", Integer, primary_key=True), Column("subject", String(80)))


class Application:
    """Writes its own rows and enqueues beside them; `jobs` maps a short name to the job's id."""

    def __init__(self, engine: Engine, accounts: AccountSource, folder: Path):
        self._engine, self._accounts, self._folder = engine, accounts, folder
        self.jobs: dict[str, str] = {}
        self.due_at: datetime | None = None
        notices.create(engine)

    def sends(self) -> None:
        """Enqueues three messages, one in a transaction that is rolled back, and one for later."""
        everyone = To(users=[*PEOPLE, *MISSING])
        with self._engine.begin() as connection:
            self._write(connection, "canteen")
            self.jobs["text"] = self._ask(connection, Text(content=TEXT), everyone)
        with self._engine.begin() as connection:
            self._write(connection, "poster")
            self.jobs["image"] = self._ask(connection, Image(file=File.at(self._poster())), To(users=APPROVERS))
        with self._engine.begin() as connection:
            self._write(connection, "leave")
            self.jobs["card"] = self._ask(connection, _card(), To(users=APPROVERS))
        self._changes_its_mind()
        with self._engine.begin() as connection:
            self._write(connection, "reminder")
            self.due_at = datetime.now(UTC) + timedelta(seconds=DELAY_S)
            self.jobs["later"] = self._ask(connection, Text(content=LATER), To(users=APPROVERS), due_at=self.due_at)

    def follows_up(self) -> None:
        """Recalls the text."""
        with self._engine.begin() as connection:
            self._write(connection, "follow-up")
            self.jobs["recall"] = recall(connection, self.jobs["text"], accounts=self._accounts).id

    def has_answered(self) -> bool:
        """Whether the hook, which runs in the worker's process, has enqueued the card's update."""
        with self._engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            found = list_jobs(connection, kind="update_card")
        if found:
            self.jobs["update"] = found[0].id
        return bool(found)

    def rows(self) -> int:
        """How many rows of its own the application has committed."""
        with self._engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(notices)).scalar_one())

    def _changes_its_mind(self) -> None:
        with self._engine.connect() as connection, connection.begin() as transaction:
            self._write(connection, "never")
            self._ask(connection, Text(content=NEVER), To(users=APPROVERS))
            transaction.rollback()

    def _ask(self, connection: Connection, message: Any, to: Any, **options: Any) -> str:
        return enqueue(connection, ACCOUNT, message, to, accounts=self._accounts, **options).id

    def _write(self, connection: Connection, subject: str) -> None:
        connection.execute(insert(notices).values(subject=subject))

    def _poster(self) -> Path:
        path = self._folder / "poster.png"
        path.write_bytes(_png(16, 16))
        return path


def _card() -> ButtonCard:
    return ButtonCard(
        main_title=MainTitle(title="Leave request"),
        sub_title_text="Li Lei asks for three days off.",
        button_list=[Button(text="Approve", key="approve"), Button(text="Refuse", key="refuse")],
    )


def _png(width: int, height: int) -> bytes:
    """A small grey picture."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + b"\x80" * width for _ in range(height)))
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
