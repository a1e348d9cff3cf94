"""Accounts as their sources have them now: a change acts without a restart, and a wrong account stops only itself.

Each source is looked at again when an account is asked for, every few seconds at most. What cannot be read at a look
changes nothing: the accounts stay as they were read last. Whatever a source or a table raises ends here, as a
ConfigurationError for who asked.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from worker.config.accounts import not_known
from worker.config.application import places_of
from worker.domain.account import Account
from worker.domain.errors import AccountsUnread, ConfigurationError

LOOK_S = 2.0
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
        place: str = "",
    ):
        self._judge, self._place = judge, place
        self._places = [_Place(source, monotonic) for source in sources]
        self._made: dict[str, _Made] = {}
        self._names: tuple[tuple[object, ...], tuple[str, ...]] = ((), ())

    def get(self, name: str) -> Account:
        """The account of this name; ConfigurationError with what is wrong with it, or when no source has it."""
        unread = None
        for place in self._places:
            seen = place.seen()
            if name in seen.tables:
                return self._account(name, seen)
            unread = unread or place.unread
        self._made.pop(name, None)
        if unread is not None:
            raise AccountsUnread(unread)
        raise not_known(name, self.names(), self._place)

    def names(self) -> tuple[str, ...]:
        """The names of all accounts, sorted; the same object until an account changes."""
        seen = tuple(place.seen() for place in self._places)
        before, names = self._names
        if seen == before:
            return names
        names = tuple(sorted({name for one in seen for name in one.tables}))
        self._names = (seen, names)
        for name in self._made.keys() - set(names):
            self._made.pop(name, None)
        return names

    def unread(self) -> tuple[str, ...]:
        """Why sources could not be read at the last look, a sentence for each of them."""
        return tuple(place.unread for place in self._places if place.unread is not None)

    def _account(self, name: str, seen: _Seen) -> Account:
        made = self._made.get(name)
        if made is None or made.seen is not seen.mark:
            table = seen.tables[name]
            # An equal table is the same account: tokens and rooms in limits are kept for the object.
            if made is None or made.table != table:
                made = _Made(seen.mark, table, *self._judged(name, table))
            else:
                made = _Made(seen.mark, table, made.account, made.wrong)
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
        except Exception as error:  # noqa: BLE001  one odd table must not stop the other accounts
            return None, f"accounts.{name}: cannot be understood ({type(error).__name__}); correct its table"


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What a source had at a look; `mark` stands for it where the tables themselves need not be kept."""

    tables: Mapping[str, Table]
    mark: object


@dataclass(frozen=True, slots=True)
class _Made:
    """What became of a table: an account, or the sentence that says what is wrong with it."""

    seen: object
    table: Table
    account: Account | None
    wrong: str


class _Place:
    """A source, and what it had at the last look that succeeded."""

    def __init__(self, source: TableSource, monotonic: Callable[[], float]):
        self._source, self._monotonic = source, monotonic
        self._looking, self._process, self._looker = threading.Lock(), os.getpid(), 0
        self._seen: _Seen | None = None
        self._look_at = 0.0
        self.unread: str | None = None
        """Why the last look failed; None: it did not."""

    def seen(self) -> _Seen:
        """What the source has, looked at again when the last look is too long ago; the first look is waited for."""
        seen = self._seen
        if seen is not None and self._monotonic() < self._look_at:
            return seen
        if self._process != os.getpid():
            # Forked while another thread was looking: that thread is not here, and would never let go.
            self._looking, self._process = threading.Lock(), os.getpid()
        if self._looker == threading.get_ident():
            # The source itself asks for an account.
            return seen or _Seen({}, self)
        if self._looking.acquire(blocking=seen is None):
            try:
                if self._seen is None or self._monotonic() >= self._look_at:
                    self._looker = threading.get_ident()
                    self._look()
            finally:
                self._looker = 0
                self._looking.release()
        assert self._seen is not None
        return self._seen

    def _look(self) -> None:
        try:
            found = self._source.look()
        except ConfigurationError as error:
            self.unread = str(error)
        except Exception as error:  # noqa: BLE001  whatever it raises, the accounts stay; its text may hold secrets
            self.unread = f"accounts: a source of them failed: {places_of(error)}"
        else:
            if self._seen is None or found is not self._seen.tables:
                self._seen = _Seen(found, object())
            self.unread = None
        self._seen = self._seen or _Seen({}, object())
        self._look_at = self._monotonic() + LOOK_S
