"""One row of the demo of all channels: a job for a channel, and how it must end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from worker.config.accounts import AccountSource
from worker.domain.content.message import File, Message
from worker.domain.content.recipient import Recipients
from worker.producer.enqueue import enqueue, upload
from worker.producer.insert import JobRef


class Producer:
    """Enqueues jobs, each in a transaction of its own. `jobs` maps the names of earlier rows to their jobs' ids."""

    def __init__(self, engine: Engine, accounts: AccountSource, control: Callable[[str, Any], Any]):
        self._engine, self._accounts = engine, accounts
        self.control = control
        """Sends a body to a control address of the fake vendor, or reads it (with None)."""
        self.jobs: dict[str, str] = {}

    def enqueue(self, enqueues: Callable[..., JobRef], *arguments: Any, **options: Any) -> str:
        """Calls one of the functions that enqueue a job. Returns the job's id."""
        with self._engine.begin() as connection:
            return enqueues(connection, *arguments, accounts=self._accounts, **options).id


@dataclass(frozen=True)
class Row:
    """One thing that a channel can do, or that it refuses with a reason."""

    channel: str
    what: str
    enqueue: Callable[[Producer], str] = field(repr=False)
    ends: str = "accepted"
    """The job's state at the end; `refused` if enqueue raises CheckFailed, `parked` if it waits for a person."""
    names: str = ""
    """The field that enqueue refuses, or the vendor's errcode. Empty: not checked."""
    after: Sequence[str] = ()
    """Names of the rows that must have ended before this one is enqueued."""
    before: Callable[[Producer], None] | None = field(default=None, repr=False)
    """What to do at the fake vendor before this row, such as a member who confirms. None: nothing."""

    @property
    def name(self) -> str:
        """The name by which other rows refer to it."""
        return f"{self.channel} {self.what}"


def sends(account: str, message: Message, to: Recipients | None = None) -> Callable[[Producer], str]:
    """Returns a function that sends a message."""
    return lambda producer: producer.enqueue(enqueue, account, message, to)


def uploads(account: str, file: File, upload_type: str) -> Callable[[Producer], str]:
    """Returns a function that uploads a file."""
    return lambda producer: producer.enqueue(upload, account, file, upload_type)


def follows(enqueues: Callable[..., JobRef], name: str, *arguments: Any, **options: Any) -> Callable[[Producer], str]:
    """Returns a function that enqueues a job about the job of another row, such as its recall."""
    return lambda producer: producer.enqueue(enqueues, producer.jobs[name], *arguments, **options)
