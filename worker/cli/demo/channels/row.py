"""One row of the demo of all channels: a job for a channel, how it has to end, and the smallest files for it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine

from worker.config.accounts import AccountSource
from worker.domain.content.message import File, Message
from worker.domain.content.recipient import Recipients
from worker.domain.errors import CheckFailed
from worker.producer.enqueue import enqueue, upload
from worker.producer.group_send import remind, track
from worker.producer.insert import JobRef
from worker.producer.recall import recall
from worker.producer.update_card import update_card


class Producer:
    """Enqueues jobs, each in a transaction of its own; `jobs` maps the names of earlier rows to their jobs' ids."""

    def __init__(self, engine: Engine, accounts: AccountSource, control: Callable[[str, Any], Any]):
        self._engine, self._accounts = engine, accounts
        self.control = control
        """Sends a body to a control address of the fake vendor, or reads it (with None)."""
        self.jobs: dict[str, str] = {}

    def send(self, account: str, message: Message, to: Recipients | None = None, **options: Any) -> str:
        """Enqueues a message."""
        return self._ask(lambda c: enqueue(c, account, message, to, accounts=self._accounts, **options))

    def upload(self, account: str, file: File, upload_type: str) -> str:
        """Enqueues the upload of a file."""
        return self._ask(lambda c: upload(c, account, file, upload_type, accounts=self._accounts))

    def recall(self, name: str) -> str:
        """Enqueues the recall of a row's send."""
        return self._ask(lambda c: recall(c, self.jobs[name], accounts=self._accounts))

    def update(self, name: str, update: Message) -> str:
        """Enqueues the update of a row's card."""
        return self._ask(lambda c: update_card(c, self.jobs[name], update, accounts=self._accounts))

    def track(self, name: str, pace_s: float) -> str:
        """Enqueues the tracking of a row's group send."""
        return self._ask(lambda c: track(c, self.jobs[name], pace=pace_s, accounts=self._accounts))

    def remind(self, name: str) -> str:
        """Enqueues a reminder to the members that a row's group send waits for."""
        return self._ask(lambda c: remind(c, self.jobs[name], accounts=self._accounts))

    def _ask(self, act: Callable[[Connection], JobRef]) -> str:
        with self._engine.begin() as connection:
            return act(connection).id


@dataclass(frozen=True)
class Row:
    """One thing that a channel can do, or that it refuses with a reason."""

    channel: str
    what: str
    ask: Callable[[Producer], str] = field(repr=False)
    ends: str = "accepted"
    """The job's state at the end; `refused` when enqueue raises CheckFailed."""
    names: str = ""
    """The field that a refusal by enqueue names, or the vendor's errcode; empty: neither is looked at."""
    after: Sequence[str] = ()
    """Names of the rows that must have ended before this one is enqueued."""
    before: Callable[[Producer], None] | None = field(default=None, repr=False)
    """A step at the fake vendor before this row, such as a member who confirms; None: no step."""

    @property
    def name(self) -> str:
        """The name by which other rows refer to it."""
        return f"{self.channel} {self.what}"


def asked(row: Row, producer: Producer) -> CheckFailed | None:
    """Enqueues the row; returns the refusal if enqueue refuses it, otherwise None."""
    if row.before is not None:
        row.before(producer)
    try:
        producer.jobs[row.name] = row.ask(producer)
    except CheckFailed as refused:
        return refused
    return None


def sends(account: str, message: Message, to: Recipients | None = None) -> Callable[[Producer], str]:
    """A row that sends one message."""
    return lambda producer: producer.send(account, message, to)


def uploads(account: str, file: File, upload_type: str) -> Callable[[Producer], str]:
    """A row that uploads one file."""
    return lambda producer: producer.upload(account, file, upload_type)


def picture(name: str = "poster.png", side: int = 16) -> File:
    """A grey PNG."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + b"\x80" * side for _ in range(side)))
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name_ + data + struct.pack(">I", zlib.crc32(name_ + data))
        for name_, data in chunks
    )
    return File(b"\x89PNG\r\n\x1a\n" + body, name)


def voice() -> File:
    """A second of silence in AMR."""
    return File(b"#!AMR\n" + b"\x7c" * 50, "voice.amr")


def video() -> File:
    """The head of an MP4."""
    return File(b"\x00\x00\x00\x18ftypmp42" + bytes(64), "clip.mp4")


def report() -> File:
    """A text file."""
    return File("第三季度报告\n".encode(), "报告.txt")
