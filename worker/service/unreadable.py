"""What other programs have put into the broker: a message that cannot be read is dropped, counted and never shown.

Celery and kombu end the process for some of them, and write the content of others into the log. Ids that were lost with
a message are offered again.
"""

from __future__ import annotations

import logging
import re
from functools import cache
from typing import Any

import celery.worker.consumer.control
from celery.worker import pidbox
from celery.worker.control import Panel

UNREADABLE = (ValueError, TypeError, LookupError, RecursionError)
"""Errors of a message that has not the form that kombu gives it. A lost connection raises others."""


_ID = re.compile(r"[0-9a-f]{32}")


def is_like_ours(message: Any) -> bool:
    """Returns whether a message has the form of those that the worker sends. Raises an error for an odd body.

    Celery writes a task's id into the log, keeps a task that is to run later in memory, and publishes what a task asks
    to be called after it.
    """
    headers = message.headers or {}
    if not (isinstance(headers.get("id"), str) and _ID.fullmatch(headers["id"])) or headers.get("eta"):
        return False
    _, keywords, embedded = message.payload
    return not keywords and not any(embedded.values()) and not headers.get("expires")


class Drops:
    """Counts dropped messages, from the thread that reads the broker."""

    def __init__(self) -> None:
        self.count = 0
        self.error = ""
        """The class name of the last error."""

    def add(self, error: BaseException) -> None:
        """Counts a message."""
        self.count += 1
        self.error = type(error).__name__


drops = Drops()
"""Of this process. kombu makes its channels without a place for anything of ours."""


class _Dropping:
    """A channel of Redis that goes on after a message that cannot be read. Redis has forgotten it by then."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # of the channel it is mixed into
        except UNREADABLE as error:
            drops.add(error)
            return True

    def _receive(self) -> Any:
        try:
            return super()._receive()  # type: ignore[misc]  # as above
        except UNREADABLE as error:
            drops.add(error)
            return True


class _Checked:
    """A message of Redis. kombu stumbles over another form in a way that it also does over a lost connection."""

    def __init__(self, *arguments: Any, **options: Any):
        try:
            super().__init__(*arguments, **options)
        except AttributeError:
            raise ValueError from None


def _is_not_of_a_drop(line: logging.LogRecord) -> bool:
    """Counts a command that is no JSON, instead of the line of kombu that would show it. Other lines are logged."""
    if line.funcName != "_receive_one":
        return True
    drops.add(ValueError())
    return False


@cache
def dropping(transport: Any) -> Any:
    """Returns a transport of Redis whose channels drop what they cannot read."""
    logging.getLogger("kombu.transport.redis").addFilter(_is_not_of_a_drop)
    message = type("Message", (_Checked, transport.Channel.Message), {})
    channel = type("Channel", (_Dropping, transport.Channel), {"Message": message})
    return type("Transport", (transport,), {"Channel": channel})


def _revoke(state: Any, task_id: Any, **_: Any) -> Any:
    """Revokes jobs, and terminates nothing."""
    if not all(isinstance(job, str) for job in (task_id if isinstance(task_id, list) else [task_id])):
        drops.add(TypeError())
        return None
    return Panel.data["revoke"](state, task_id)


def _hello(state: Any, from_node: Any, **_: Any) -> Any:
    """Answers a worker that starts, and takes nothing from it."""
    return Panel.data["hello"](state, from_node)


READ_BY_FLOWER = ("active", "active_queues", "conf", "ping", "query_task", "registered", "reserved", "revoked", "stats")
COMMANDS = {
    **{name: Panel.data[name] for name in (*READ_BY_FLOWER, "scheduled", "clock", "enable_events")},
    "revoke": _revoke,
    "hello": _hello,
}
"""All of Celery's remote control that a worker obeys. With the rest (`shutdown`, `cancel_consumer`, `rate_limit`, ...),
a message in the broker could stop delivery for good.
"""


class OwnPidbox(pidbox.Pidbox):  # type: ignore[misc]  # Celery has no types
    """The mailbox of remote control, which knows only some commands."""

    def __init__(self, consumer: Any):
        super().__init__(consumer)
        self.node.handlers = COMMANDS

    def on_message(self, body: Any, message: Any) -> None:
        """Obeys a command, or drops it."""
        if not isinstance(body, dict) or body.get("method") not in COMMANDS:
            drops.add(LookupError())
            return
        super().on_message(body, message)


class OwnControl(celery.worker.consumer.control.Control):  # type: ignore[misc]  # as above
    """Celery's step, with our mailbox."""

    name = "Control"

    def __init__(self, consumer: Any, **options: Any):
        super().__init__(consumer, **options)
        self.box = OwnPidbox(consumer)
        self.start, self.stop, self.shutdown = self.box.start, self.box.stop, self.box.shutdown
