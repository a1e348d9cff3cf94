"""One row of the demo of all channels: a job for a channel, and how it has to end."""

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
    """Enqueues jobs, each in a transaction of its own; `jobs` maps the names of earlier rows to their jobs' ids."""

    def __init__(self, engine: Engine, accounts: AccountSource, control: Callable[[str, Any], Any]):
        self._engine, self._accounts = engine, accounts
        self.control = control
        """Sends a body to a control address of the fake vendor, or reads it (with None)."""
        self.jobs: dict[str, str] = {}

    def ask(self, enqueues: Callable[..., JobRef], *arguments: Any, **options: Any) -> str:
        """Calls one of the functions that enqueue a job; returns the job's id."""
        with self._engine.begin() as connection:
            return enqueues(connection, *arguments, accounts=self._accounts, **options).id


@dataclass(frozen=True)
class Row:
    """One thing that a channel can do, or that it refuses with a reason."""

    channel: str
    what: str
    ask: Callable[[Producer], str] = field(repr=False)
    ends: str = "accepted"
    """The job's state at the end; `refused` when enqueue raises CheckFailed, `parked` when it waits for a person."""
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


def sends(account: str, message: Message, to: Recipients | None = None) -> Callable[[Producer], str]:
    """A row that sends one message."""
    return lambda producer: producer.ask(enqueue, account, message, to)


def uploads(account: str, file: File, upload_type: str) -> Callable[[Producer], str]:
    """A row that uploads one file."""
    return lambda producer: producer.ask(upload, account, file, upload_type)


def follows(enqueues: Callable[..., JobRef], name: str, *arguments: Any, **options: Any) -> Callable[[Producer], str]:
    """A row about the job of another row, such as its recall."""
    return lambda producer: producer.ask(enqueues, producer.jobs[name], *arguments, **options)
