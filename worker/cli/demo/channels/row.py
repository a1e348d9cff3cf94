"""One line of the demo of all channels: what is asked of a channel, and how it has to end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine

from worker.config.accounts import AccountSource
from worker.domain.errors import CheckFailed
from worker.domain.message import File, Message
from worker.domain.recipient import Recipients
from worker.producer.enqueue import enqueue, upload
from worker.producer.group_send import remind, track
from worker.producer.insert import JobRef
from worker.producer.recall import recall
from worker.producer.update_card import update_card


class Producer:
    """Asks for jobs, each in a transaction of its own; knows the jobs of earlier rows by what they are called."""

    def __init__(self, engine: Engine, accounts: AccountSource, control: Callable[[str, Any], Any]):
        self._engine, self._accounts = engine, accounts
        self.control = control
        """Tells the fake vendor something, or asks it (with None)."""
        self.jobs: dict[str, str] = {}

    def send(self, account: str, message: Message, to: Recipients | None = None, **options: Any) -> str:
        """A message."""
        return self._ask(lambda c: enqueue(c, account, message, to, accounts=self._accounts, **options))

    def upload(self, account: str, file: File, upload_type: str) -> str:
        """A file by itself."""
        return self._ask(lambda c: upload(c, account, file, upload_type, accounts=self._accounts))

    def recall(self, name: str) -> str:
        """Takes back what a row sent."""
        return self._ask(lambda c: recall(c, self.jobs[name], accounts=self._accounts))

    def update(self, name: str, update: Message) -> str:
        """Replaces the card a row sent."""
        return self._ask(lambda c: update_card(c, self.jobs[name], update, accounts=self._accounts))

    def track(self, name: str, pace_s: float) -> str:
        """Follows what became of a row's send."""
        return self._ask(lambda c: track(c, self.jobs[name], pace=pace_s, accounts=self._accounts))

    def remind(self, name: str) -> str:
        """Reminds those a row's send waits for."""
        return self._ask(lambda c: remind(c, self.jobs[name], accounts=self._accounts))

    def _ask(self, act: Callable[[Connection], JobRef]) -> str:
        with self._engine.begin() as connection:
            return act(connection).id


@dataclass(frozen=True)
class Row:
    """One thing a channel can do, or says why it cannot."""

    channel: str
    what: str
    ask: Callable[[Producer], str] = field(repr=False)
    ends: str = "accepted"
    """The job's state at the end; `refused` when asking itself is refused."""
    because: str = ""
    """Words that have to stand in the reason of a refusal."""
    after: Sequence[str] = ()
    """Rows that have to have ended before this one is asked."""
    before: Callable[[Producer], None] | None = field(default=None, repr=False)
    """What somebody at the vendor does first."""

    @property
    def name(self) -> str:
        """What other rows call it."""
        return f"{self.channel} {self.what}"


def asked(row: Row, producer: Producer) -> str | None:
    """Asks; the refusal's text where asking is refused, which is kept for the table."""
    if row.before is not None:
        row.before(producer)
    try:
        producer.jobs[row.name] = row.ask(producer)
    except CheckFailed as refused:
        return str(refused)
    return None


def sends(account: str, message: Message, to: Recipients | None = None) -> Callable[[Producer], str]:
    """A row that sends one message."""
    return lambda producer: producer.send(account, message, to)


def uploads(account: str, file: File, upload_type: str) -> Callable[[Producer], str]:
    """A row that uploads one file."""
    return lambda producer: producer.upload(account, file, upload_type)
