"""The broker between the simulated hosts: it holds ids, and loses, doubles, delays and reorders them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

from bench.explore.fibers import FOREVER, Fiber, Home, Scheduler
from worker.service.queues import NAMES


class MessageFate(StrEnum):
    """What becomes of a message that is published while the broker is ill."""

    LOST = "lost"
    DOUBLED = "doubled"
    LATE = "late"


MESSAGE_PAIRS = tuple(("publish", fate) for fate in MessageFate)


@dataclass(eq=False)
class Message:
    """One message of a queue."""

    queue: str
    task: str
    arguments: list[Any]
    from_s: float
    """When it can be taken."""


@dataclass
class Broker:
    """All queues, and who reaches them."""

    scheduler: Scheduler
    chance: random.Random
    faulty: float = 0.0
    """The part of the messages that are lost, doubled or late."""
    unreached: set[str] = field(default_factory=set)
    """The hosts that do not reach it."""
    messages: list[Message] = field(default_factory=list)
    fates: Counter[tuple[str, MessageFate]] = field(default_factory=Counter)
    """(Step, what became of a message) -> how often."""
    _waiting: list[Fiber] = field(default_factory=list)

    def fall_ill(self) -> None:
        """Chooses how many messages go wrong from now on."""
        self.faulty = self.chance.choice([0.0, 0.2, 0.6])

    def publish(self, queue: str, task: str, arguments: list[Any]) -> None:
        """Takes a message, and may lose it."""
        now, chance = self.scheduler.now, self.chance
        fate = chance.choice(list(MessageFate)) if chance.random() < self.faulty else None
        if fate is not None:
            self.fates["publish", fate] += 1
        if fate is MessageFate.LOST:
            return
        message = Message(queue, task, arguments, now + (chance.uniform(0.1, 4.0) if fate is MessageFate.LATE else 0.0))
        self.messages.append(message)
        if fate is MessageFate.DOUBLED:
            self.messages.append(replace(message, from_s=now + chance.uniform(0.0, 1.0)))
        self._tell()

    def take(self, home: Home, queues: Collection[str]) -> Message:
        """Waits for the next message of these queues, in their order."""
        while True:
            now = self.scheduler.now
            mine = [one for one in self.messages if one.queue in queues]
            there = [] if home.name in self.unreached else [one for one in mine if one.from_s <= now]
            if there:
                message = min(there, key=lambda one: NAMES.index(one.queue))
                self.messages.remove(message)
                return message
            fiber = self.scheduler.current
            assert fiber is not None
            self._waiting.append(fiber)
            try:
                soonest = min((one.from_s for one in mine if one.from_s > now), default=FOREVER)
                self.scheduler.wait(soonest)
            finally:
                self._waiting.remove(fiber)

    def return_unread(self, message: Message) -> None:
        """A message that was not acknowledged comes again, unless it is lost."""
        if self.chance.random() < 0.7:
            message.from_s = self.scheduler.now + self.chance.uniform(0.0, 2.0)
            self.messages.append(message)
            self._tell()

    def flush(self) -> None:
        """Loses everything."""
        self.messages.clear()

    def heal(self) -> None:
        """From now on it is reached by all, and loses nothing more."""
        self.faulty = 0.0
        self.unreached.clear()
        self._tell()

    def _tell(self) -> None:
        for fiber in self._waiting:
            self.scheduler.wake(fiber)


class App:
    """What the worker needs of a Celery app: it makes messages, and names the queues."""

    def __init__(self, broker: Broker, home: Home, queues: Collection[str]):
        self.broker, self.home = broker, home
        self.conf = SimpleNamespace(task_queues=())
        self.amqp = SimpleNamespace(queues=SimpleNamespace(consume_from=queues), as_task_v2=_message)


def _message(task_id: str, task: str, arguments: list[Any], *_: Any, **__: Any) -> Any:
    return SimpleNamespace(body=(task, arguments), headers={}, properties={})


class Connection:
    """A process's connection to the broker, which publishes; in place of kombu's."""

    def __init__(self, app: App, purpose: str, *, confirms: bool = False):
        self._broker, self._home = app.broker, app.home
        self.away, self.why = False, ""

    def open(self) -> bool:
        """True where the broker is reached."""
        self.away = self._home.name in self._broker.unreached
        self.why = "OperationalError" if self.away else ""
        return not self.away

    def declare(self, entities: Iterable[Any]) -> str | None:
        """The queues are there."""
        return None

    def publish(self, body: Any, *, routing_key: str, **_: Any) -> bool:
        """Publishes one message; False when the broker is away."""
        if not self.open():
            return False
        task, arguments = body
        self._broker.publish(routing_key, task, list(arguments))
        return True

    def settle(self) -> bool:
        """Nothing is left to be confirmed."""
        return True

    def close(self) -> None:
        """There is nothing to close."""
