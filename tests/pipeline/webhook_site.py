"""A runtime whose accounts are webhooks of the simulated vendor, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from tests.support.control import control
from tests.support.runtime import Site, planted
from worker.domain.account import Account, Secret
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.transport.http import SocketTransport

SEND = "/cgi-bin/webhook/send"
UPLOAD = "/cgi-bin/webhook/upload_media"
KEY = "633a31f6-0000-4bc4-97a0-0ec1eefaaaaa"
TOKEN, AES_KEY = "QDG6eK", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"


def a_webhook(url: str, name: str = "alerts", key: str = KEY, **fields: Any) -> Account:
    """A message push account; `settings` are merged over its edition."""
    settings = {"edition": "push", "deadline_s": 20.0, **fields.pop("settings", {})}
    return Account(name, "wecom_webhook", url, settings, Secret(lambda: key), **fields)


@contextmanager
def webhooks(database: Database, clock: DrivenClock, *accounts: Account, **options: Any) -> Iterator[Site]:
    """The runtime."""
    with (
        closing(SocketTransport()) as transport,
        planted(database, clock, accounts=accounts, transport=transport, **options) as site,
    ):
        yield site


def posted(url: str) -> dict[str, list[dict[str, Any]]]:
    """Every chat's messages."""
    found: dict[str, list[dict[str, Any]]] = control(url, "webhook")["chats"]
    return found


def made(url: str, path: str = SEND) -> list[dict[str, Any]]:
    """The calls of a path."""
    found: list[dict[str, Any]] = control(url, f"calls?path={path}")["calls"]
    return found
