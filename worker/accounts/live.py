"""Keeps accounts up to date with their sources: a change needs no restart, and a wrong account stops only itself.

Each source is read again when an account is needed, every few seconds at most. If it cannot be read, the accounts stay
as they were read last. Whatever a source or a table raises is turned into a ConfigurationError for the caller.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from worker.config.accounts import unknown_account
from worker.config.application import traceback_summary
from worker.domain.account import Account
from worker.domain.errors import AccountsUnread, ConfigurationError

POLL_S = 2.0
"""Seconds between two reads of a source."""

Table = Mapping[str, Any]


class TableSource(Protocol):
    """Where account settings come from: `worker.toml`, a function of the application, or the outbox."""

    def refresh(self) -> Mapping[str, Table]:
        """Returns the current tables by account name, or the same object as before if nothing has changed.

        Raises ConfigurationError if they cannot be read.
        """


class LiveAccounts:
    """The accounts of several sources. The first source that has a name wins. Thread-safe.

    A source is only read if it is needed: the second for a name that the first does not have, or for the names of all.
    """

    def __init__(
        self,
        sources: Sequence[TableSource],
        parse: Callable[[str, Table], Account],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        settings_path: str = "",
    ):
        self._parse, self._settings_path = parse, settings_path
        self._sources = [_CachedSource(source, monotonic) for source in sources]
        self._parsed: dict[str, _Parsed] = {}
        self._names: tuple[tuple[object, ...], tuple[str, ...]] = ((), ())

    def get(self, name: str) -> Account:
        """Returns the account of this name. Raises ConfigurationError if it is wrong, or if no source has it."""
        unread = None
        for source in self._sources:
            snapshot = source.snapshot()
            if name in snapshot.tables:
                return self._account(name, snapshot)
            unread = unread or source.read_error
        self._parsed.pop(name, None)
        if unread is not None:
            raise AccountsUnread(unread)
        raise unknown_account(name, self.names(), self._settings_path)

    def names(self) -> tuple[str, ...]:
        """Returns the names of all accounts, sorted. It is the same object until an account changes."""
        snapshots = tuple(source.snapshot() for source in self._sources)
        before, names = self._names
        if snapshots == before:
            return names
        names = tuple(sorted({name for snapshot in snapshots for name in snapshot.tables}))
        self._names = (snapshots, names)
        for name in self._parsed.keys() - set(names):
            self._parsed.pop(name, None)
        return names

    def read_errors(self) -> tuple[str, ...]:
        """Returns a sentence for each source that could not be read last time."""
        return tuple(source.read_error for source in self._sources if source.read_error is not None)

    def _account(self, name: str, snapshot: _Snapshot) -> Account:
        parsed = self._parsed.get(name)
        if parsed is None or parsed.snapshot is not snapshot.version:
            table = snapshot.tables[name]
            # An equal table keeps the same account object, because tokens and free limits are cached for the object.
            if parsed is None or parsed.table != table:
                parsed = _Parsed(snapshot.version, table, *self._parse_safely(name, table))
            else:
                parsed = _Parsed(snapshot.version, table, parsed.account, parsed.problem)
            self._parsed[name] = parsed
        if parsed.account is None:
            # A new error for each caller: a raised error collects the frames that it passes.
            raise ConfigurationError(parsed.problem)
        return parsed.account

    def _parse_safely(self, name: str, table: Table) -> tuple[Account | None, str]:
        try:
            return self._parse(name, table), ""
        except ConfigurationError as error:
            return None, str(error)
        except Exception as error:  # noqa: BLE001  one odd table must not stop the other accounts
            return None, f"accounts.{name}: cannot be understood ({type(error).__name__}); correct its table"


@dataclass(frozen=True, slots=True, eq=False)
class _Snapshot:
    """What a source had when it was last read. `version` identifies it without keeping the tables."""

    tables: Mapping[str, Table]
    version: object


@dataclass(frozen=True, slots=True)
class _Parsed:
    """The result of parsing a table: an account, or a sentence that says what is wrong."""

    snapshot: object
    table: Table
    account: Account | None
    problem: str


class _CachedSource:
    """A source, and what it had when it was last read successfully."""

    def __init__(self, source: TableSource, monotonic: Callable[[], float]):
        self._source, self._monotonic = source, monotonic
        self._refresh_lock, self._process, self._refreshing_thread = threading.Lock(), os.getpid(), 0
        self._snapshot: _Snapshot | None = None
        self._refresh_at = 0.0
        self.read_error: str | None = None
        """Why the last read failed, or None if it succeeded."""

    def snapshot(self) -> _Snapshot:
        """Returns the tables, after reading them again if the last read is too long ago. Waits only for the first."""
        snapshot = self._snapshot
        if snapshot is not None and self._monotonic() < self._refresh_at:
            return snapshot
        if self._process != os.getpid():
            # Forked while another thread was reading. That thread does not exist here, and would never release the
            # lock. A new thread may have its number.
            self._refresh_lock, self._process, self._refreshing_thread = threading.Lock(), os.getpid(), 0
        if self._refreshing_thread == threading.get_ident():
            # The source itself uses an account.
            return snapshot or _Snapshot({}, self)
        if self._refresh_lock.acquire(blocking=snapshot is None):
            try:
                if self._snapshot is None or self._monotonic() >= self._refresh_at:
                    self._refreshing_thread = threading.get_ident()
                    self._refresh()
            finally:
                self._refreshing_thread = 0
                self._refresh_lock.release()
        assert self._snapshot is not None
        return self._snapshot

    def _refresh(self) -> None:
        try:
            tables = self._source.refresh()
        except ConfigurationError as error:
            self.read_error = str(error)
        except Exception as error:  # noqa: BLE001  whatever it raises, the accounts stay; its text may hold secrets
            self.read_error = f"accounts: a source of accounts failed: {traceback_summary(error)}"
        else:
            if self._snapshot is None or tables is not self._snapshot.tables:
                self._snapshot = _Snapshot(tables, object())
            self.read_error = None
        self._snapshot = self._snapshot or _Snapshot({}, object())
        self._refresh_at = self._monotonic() + POLL_S
