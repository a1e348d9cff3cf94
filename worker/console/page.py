"""What a page is made of: a request as its function sees it, what it returns, and the row that announces it.

A function gets an `Ask` and returns a `View`, `Moved` or a `StoredFile`; it raises `NotFound` or `Forbidden`. It runs
in a thread, never in the loop. Knows no HTTP beyond paths and fields.
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
from worker.console.words import say
from worker.control.audit import audited
from worker.outbox.engine.database import Database

T = TypeVar("T")


THROUGH = "console."
"""What the audit writes before the actions of those who act through the console."""


STATEMENT_S = 10.0
"""Seconds after which the database ends a statement of a page, which is then an error's page."""


class NotFound(Exception):
    """There is no such page, or no such thing on it."""


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
        """A connection for the reads of one page."""
        with self.database.reading_for(STATEMENT_S) as connection:
            yield connection


@dataclass(frozen=True, slots=True)
class Ask:
    """A request of a signed-in viewer."""

    viewer: Viewer
    site: Site
    path: Mapping[str, str]
    """The parameters of the route, such as `job`."""
    query: QueryParams
    form: QueryParams | None = None
    """The fields of a POST; None for a GET."""
    root: str = ""
    """The path under which the console is mounted; empty: none."""

    def say(self, key: str, **values: object) -> str:
        """A word of `words.toml` in the viewer's language."""
        return say(self.viewer.lang, key, **values)

    def address(self, path: str) -> str:
        """A path of the console as a browser asks for it, where it is no link of a template."""
        return f"{self.root}{quote(path)}"

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection for the reads of this page."""
        return self.site.reading()

    def may_act(self, account: str | None) -> bool:
        """Whether the viewer may act on an account; None: on more than single accounts."""
        return may_act(self.viewer, account)

    def require_act(self, account: str | None) -> None:
        """Raises Forbidden unless the viewer may act on the account; None: on more than single accounts."""
        if not self.may_act(account):
            raise Forbidden

    def text(self, account: str, what: str, read: Callable[[], T]) -> T | None:
        """What `read` returns, a text or what holds one, after a row in the audit says who looks at `what`.

        None where the viewer may not read texts of this account; then nothing is read. `what`: the id of the job or
        the callback, never its content. Every text of a page comes through here.
        """
        if not may_read_texts(self.viewer, account):
            return None
        asked, site, person = {"account": account, "of": what}, self.site, self.viewer.name
        with audited("look", person=person, why="", asked=asked, database=site.database, settings=site.settings):
            return read()


@dataclass(frozen=True, slots=True)
class View:
    """A template of `templates/`, and what it shows."""

    template: str
    """The file's name, such as `home.html`."""
    title: str
    """In the viewer's language; stands in the browser's tab and as the page's heading."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The template's variables. A text that the viewer may not read is not in it."""
    status: int = 200

    @classmethod
    def of(cls, template: str, title: str, **data: Any) -> View:
        """A page of a template with these variables."""
        return cls(template, title, data)


@dataclass(frozen=True, slots=True)
class Moved:
    """Another page of the console, which is asked for with a GET."""

    path: str
    """Of the console's own, such as `/jobs/0198...`."""
    query: Mapping[str, str | Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a message, whatever it holds; its first piece is read already."""

    name: str
    size: int
    """In bytes."""
    kind: str | None
    """The type under which a browser may show it in its place; None: it is saved."""
    pieces: Iterator[bytes]
    """Each read when the one before was taken."""


@dataclass(frozen=True, slots=True)
class PageRoute:
    """A page by its path."""

    path: str
    """As Starlette writes it, such as `/jobs/{job}`."""
    function: Callable[[Ask], View | Moved | StoredFile]
    method: Literal["GET", "POST"] = "GET"
    right: Right = "see"
    nav: str | None = None
    """The word of the navigation's link to it; None: it is not in the navigation."""
