"""Two transactions that meet: the first has written and is not committed when the second one reads.

`meet(database, first, second)` holds the first one open before its commit until the second one waits for it, or has
ended without waiting. `unlocked(database, function, table)` takes one lock away, to see what it is for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from threading import Event
from types import FrameType
from typing import Any

from sqlalchemy import Connection, event

from tests.support.waiting import until_waiting
from worker.outbox.engine.database import Database

Side = Callable[[Database], object]
PATIENCE_S = 60
"""Far more than either side ever needs."""
LOCKS = (" for update", " for share", " lock in share mode")
"""What a statement that locks rows ends with, but for `skip locked`."""


def meet(database: Database, first: Side, second: Side, *, after: tuple[str, str] | None = None) -> None:
    """Runs both, so that the second meets the first one's open transaction. Raises what either raises.

    The first is held before its commit; with `after`, a function and a table, as soon as it has read there, when it
    has not written yet.
    """
    is_open, may_go_on = Event(), Event()

    def hold() -> None:
        is_open.set()
        assert may_go_on.wait(PATIENCE_S), "nobody let it go"

    with ThreadPoolExecutor(2) as pool, _holding(database, after, hold):
        opener = pool.submit(first, _in_plain_transactions(database, hold if after is None else lambda: None))
        opener.add_done_callback(lambda _: is_open.set())
        try:
            assert is_open.wait(PATIENCE_S), "the first has not written"
            follower = pool.submit(second, _in_plain_transactions(database))
            until_waiting(database, or_else=follower.done)
        finally:
            may_go_on.set()
        opener.result(PATIENCE_S)
        follower.result(PATIENCE_S)


@contextmanager
def _holding(database: Database, where: tuple[str, str] | None, hold: Callable[[], object]) -> Iterator[None]:
    """Holds the first transaction that reads this table in this function."""
    held = list[str]()

    def after(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if where is None or held or not statement.startswith("select"):
            return
        function, table = where
        if table in statement and _is_below(function):
            held.append(statement)
            hold()

    event.listen(database.engine, "after_cursor_execute", after)
    try:
        yield
    finally:
        event.remove(database.engine, "after_cursor_execute", after)


def _in_plain_transactions(database: Database, before_commit: Callable[[], object] = lambda: None) -> Database:
    """Returns the database with transactions whose statements listeners hear, and which are tried once."""
    plain = copy(database)

    def run(work: Callable[[Connection], Any], **_: Any) -> Any:
        with database.engine.begin() as connection:
            result = work(connection)
            before_commit()
            return result

    plain.run = run  # type: ignore[method-assign]
    return plain


@contextmanager
def unlocked(database: Database, function: str, table: str) -> Iterator[list[str]]:
    """Takes the lock from what this function (by its qualified name), or one that it calls, reads of this table.

    Yields the statements from which it was taken.
    """
    taken: list[str] = []

    def unlock(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        if table not in statement or not any(lock in statement for lock in LOCKS) or not _is_below(function):
            return statement, parameters
        taken.append(statement)
        for lock in LOCKS:
            statement = statement.replace(lock, "")
        return statement.replace(" skip locked", ""), parameters

    event.listen(database.engine, "before_cursor_execute", unlock, retval=True)
    try:
        yield taken
    finally:
        event.remove(database.engine, "before_cursor_execute", unlock)


def _is_below(function: str) -> bool:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_qualname}".endswith(f".{function}"):
            return True
        frame = frame.f_back
    return False
