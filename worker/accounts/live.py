"""Accounts as their sources have them now: a change acts without a restart, and a wrong account stops only itself.

Each source is looked at again when an account is asked for, every few seconds at most. What cannot be read at a look
changes nothing: the accounts stay as they were read last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from worker.config.accounts import not_known
from worker.domain.account import Account
from worker.domain.errors import ConfigurationError

LOOK_S = 3.0
"""Seconds between two looks at a source."""

Table = Mapping[str, Any]


class TableSource(Protocol):
    """A place of account tables."""

    def look(self) -> Mapping[str, Table]:
        """The tables by the account's name as they are now; the same object as before when nothing has changed.

        Raises ConfigurationError when they cannot be read.
        """


class LiveAccounts:
    """The accounts of several sources; the first that has a name wins. Thread-safe.

    A source that is not needed is not looked at: the second only for a name that the first does not have, and for the
    names of all.
    """

    def __init__(
        self,
        sources: Sequence[TableSource],
        judge: Callable[[str, Table], Account],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ):
        self._judge = judge
        self._places = [_Place(source, monotonic) for source in sources]
        self._made: dict[str, _Made] = {}
        self._names: tuple[list[Mapping[str, Table]], tuple[str, ...]] = ([], ())

    def get(self, name: str) -> Account:
        """The account of this name; ConfigurationError with what is wrong with it, or when no source has it."""
        unread = None
        for place in self._places:
            tables = place.tables()
            if name in tables:
                return self._account(name, tables)
            unread = unread or place.unread
        self._made.pop(name, None)
        if unread is not None:
            raise unread
        raise not_known(name, self.names())

    def names(self) -> tuple[str, ...]:
        """The names of all accounts, sorted; the same object until an account changes."""
        tables = [place.tables() for place in self._places]
        seen, names = self._names
        if len(seen) == len(tables) and all(one is other for one, other in zip(seen, tables, strict=True)):
            return names
        names = tuple(sorted({name for one in tables for name in one}))
        self._names = (tables, names)
        return names

    def unread(self) -> tuple[str, ...]:
        """Why sources could not be read at the last look, a sentence for each of them."""
        return tuple(str(place.unread) for place in self._places if place.unread is not None)

    def _account(self, name: str, tables: Mapping[str, Table]) -> Account:
        made = self._made.get(name)
        if made is None or made.tables is not tables:
            table = tables[name]
            # An equal table is the same account: tokens and rooms in limits are kept for the object.
            if made is None or made.table != table:
                made = _Made(tables, table, *self._judged(name, table))
            else:
                made = _Made(tables, table, made.account, made.wrong)
            self._made[name] = made
        if made.account is None:
            # A new one for each caller: a raised error collects the frames that it passes.
            raise ConfigurationError(made.wrong)
        return made.account

    def _judged(self, name: str, table: Table) -> tuple[Account | None, str]:
        try:
            return self._judge(name, table), ""
        except ConfigurationError as error:
            return None, str(error)


@dataclass(frozen=True, slots=True)
class _Made:
    """What became of a table: an account, or the sentence that says what is wrong with it."""

    tables: Mapping[str, Table]
    table: Table
    account: Account | None
    wrong: str


class _Place:
    """A source, and what it had at the last look that succeeded."""

    def __init__(self, source: TableSource, monotonic: Callable[[], float]):
        self._source, self._monotonic = source, monotonic
        self._looking = threading.Lock()
        self._tables: Mapping[str, Table] | None = None
        self._look_at = 0.0
        self.unread: ConfigurationError | None = None
        """Why the last look failed; None: it did not."""

    def tables(self) -> Mapping[str, Table]:
        """The tables, looked at again when the last look is too long ago; the first look is waited for."""
        if self._tables is not None and self._monotonic() < self._look_at:
            return self._tables
        if self._looking.acquire(blocking=self._tables is None):
            try:
                if self._tables is None or self._monotonic() >= self._look_at:
                    self._look()
            finally:
                self._looking.release()
        assert self._tables is not None
        return self._tables

    def _look(self) -> None:
        try:
            found = self._source.look()
        except ConfigurationError as error:
            self._tables, self.unread = self._tables or {}, error
        else:
            self._tables, self.unread = found, None
        self._look_at = self._monotonic() + LOOK_S
