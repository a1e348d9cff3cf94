"""The types that the function of a page gets and returns, and its route.

The function gets a `ConsoleRequest` and returns a `View`, `Redirect` or `StoredFile`, or raises `NotFound` or
`Forbidden`. It runs in a thread, never in the event loop. Knows no HTTP beyond paths and fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection
from starlette.datastructures import QueryParams

from worker.config.accounts import AccountSource
from worker.config.settings import Settings
from worker.console.viewer import Right, Viewer, may_act, may_read_texts
from worker.console.words import term
from worker.control.audit import audited, with_action_prefix
from worker.outbox.engine.database import Database

T = TypeVar("T")


AUDIT_PREFIX = "console."
"""The prefix in the audit of actions that were given through the console."""


STATEMENT_S = 10.0
"""Seconds after which the database ends a statement of a page; the page then shows an error."""


class NotFound(Exception):
    """There is no such page, or the thing that it should show does not exist."""


class Forbidden(Exception):
    """The viewer may not do this."""


@dataclass(frozen=True, slots=True)
class Site:
    """One installation: its outbox, its settings, its accounts."""

    settings: Settings
    database: Database
    accounts: AccountSource

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Gives a connection on which one page reads."""
        with self.database.reading_for(STATEMENT_S) as connection:
            yield connection


@dataclass(frozen=True, slots=True)
class ConsoleRequest:
    """A request of a signed-in viewer, with everything that the function of its page needs."""

    viewer: Viewer
    site: Site
    path: Mapping[str, str]
    """The parameters of the route, such as `job`."""
    query: QueryParams
    form: QueryParams | None = None
    """The fields of a POST; None for a GET."""
    root: str = ""
    """The path under which the console is mounted; empty if it is mounted at the root."""

    def term(self, key: str, **values: object) -> str:
        """Returns a text of `words.toml` in the viewer's language."""
        return term(self.viewer.lang, key, **values)

    def address(self, path: str) -> str:
        """Returns a path of the console as a browser has to request it, for links outside a template."""
        return f"{self.root}{quote(path)}"

    def reading(self) -> AbstractContextManager[Connection]:
        """Gives a connection on which this page reads."""
        return self.site.reading()

    def may_act(self, account: str | None) -> bool:
        """Returns whether the viewer may act on an account; None stands for more than one account."""
        return may_act(self.viewer, account)

    def require_act(self, account: str | None) -> None:
        """Raises Forbidden unless the viewer may act on the account; None stands for more than one account."""
        if not self.may_act(account):
            raise Forbidden

    def text(self, account: str, what: str | Sequence[str], read: Callable[[], T]) -> T | None:
        """Reads a text for the viewer, after the audit has recorded that they view `what`; returns what `read` returns.

        Returns None, without reading, if the viewer may not read texts of this account. `what` is the id of the job or
        the callback, or the ids of jobs, never a content. Every text on a page is read through this method.
        """
        if not may_read_texts(self.viewer, account):
            return None
        with self.viewing(account=account, of=what):
            return read()

    @contextmanager
    def viewing(self, **arguments: object) -> Iterator[None]:
        """Records in the audit that the viewer views what the arguments name, before the block reads it."""
        person, database, settings = self.viewer.name, self.site.database, self.site.settings
        view = audited("view", person=person, why="", arguments=arguments, database=database, settings=settings)
        # The prefix again, because the pieces of a file are read in other threads.
        with with_action_prefix(AUDIT_PREFIX), view:
            yield


@dataclass(frozen=True, slots=True)
class View:
    """A template of `templates/` and its variables."""

    template: str
    """The file's name, such as `home.html`."""
    title: str
    """The title of the browser's tab and the page's heading, in the viewer's language."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The template's variables. They hold no text that the viewer may not read."""
    status: int = 200

    @classmethod
    def of(cls, template: str, title: str, **data: Any) -> View:
        """Makes a page from a template with these variables."""
        return cls(template, title, data)


@dataclass(frozen=True, slots=True)
class Redirect:
    """Sends the browser to another page of the console, which it requests with a GET."""

    path: str
    """A path of the console, such as `/jobs/0198...`."""
    query: Mapping[str, str | Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a message, or one that is made while it is sent. Its first piece has been read already."""

    name: str
    size: int | None
    """In bytes; None for a file that is made while it is sent."""
    kind: str | None
    """The media type under which a browser may show it; None if the browser should save it instead."""
    pieces: Iterator[bytes]
    """The file's pieces. Each is read from the database after the one before has been sent; it may be empty."""
    broken_end: bytes = b""
    """The file's last piece if one of its others cannot be read."""


@dataclass(frozen=True, slots=True)
class PageRoute:
    """The route of a page: its path, its function and the right that it needs."""

    path: str
    """As Starlette writes it, such as `/jobs/{job}`."""
    function: Callable[[ConsoleRequest], View | Redirect | StoredFile]
    method: Literal["GET", "POST"] = "GET"
    right: Right = "see"
    nav: str | None = None
    """The key of the link's text in the navigation; None if the page is not in it."""
