"""The rows of limits' windows, one for each limit, window and subject. A row's id is a keyed hash of these.

Locks, reads and writes the rows in an order that cannot deadlock. Knows nothing about how much is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from worker.crypto.seal import keyed_hash
from worker.domain.pacing.limit import Limit
from worker.domain.pacing.window import Window
from worker.outbox.engine.bulk import ids_json, lock_rows, rows_by_id, update_rows
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import execute, read_now
from worker.outbox.tables import budgets

_MAX_REMEMBERED = 200_000
_PAGE_SIZE = 500
_COLUMNS = ("id", "buckets")


class Budgets:
    """One process's access to the budget rows. It remembers which rows exist, so that a used key costs no insert."""

    def __init__(self, database: Database):
        self._database = database
        self._remembered: set[str] = set()

    def lock(self, connection: Connection, ids: Sequence[str]) -> dict[str, str]:
        """Locks the rows, which it inserts if they are missing, and returns id -> buckets. `ids` must be sorted."""
        # `updated_at` is 0 because a row from which nothing was ever granted may be purged at any time.
        fresh = {key: {"id": key, "buckets": "[]", "updated_at": 0} for key in ids}
        rows, _ = lock_rows(connection, budgets, _COLUMNS, ids, fresh, existing=self._remembered)
        # Limits the memory. A forgotten key costs one insert that changes nothing.
        if len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered.update(ids)
        return dict(rows)

    def lock_existing(self, connection: Connection, ids: Sequence[str]) -> dict[str, str]:
        """Locks those of the rows that exist, in key order, and returns id -> buckets."""
        return dict(lock_rows(connection, budgets, _COLUMNS, ids, {})[0])

    def clock(self, connection: Connection) -> int:
        """Reads the database's clock in a statement of its own, because it has to be read after the rows are locked."""
        return read_now(connection, self._database.now)

    def save(self, connection: Connection, changed: Mapping[str, str], now: int) -> None:
        """Writes the buckets of locked rows, all in one statement."""
        rows = [{"id": key, "buckets": buckets, "updated_at": now} for key, buckets in changed.items()]
        update_rows(connection, budgets, ["id"], rows)


def read_buckets(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Returns id -> buckets without a lock. A limit that was never used has no row."""
    return dict(rows_by_id(connection, "id, buckets", budgets.name, ids))


def purge_page(database: Database, before: int, after: str) -> tuple[int, str | None]:
    """Deletes the rows of one page that have not changed since `before` and whose buckets have all lapsed.

    Returns how many, and the id after which the next page begins, or None if this was the last page.
    """
    query = f"select id, buckets, updated_at from {budgets.name} where id > :after order by id limit {_PAGE_SIZE}"
    with database.reading() as connection:
        page = execute(connection, query, {"after": after})
        now = read_now(connection, database.now)
    idle = [key for key, buckets, at in page if at < before and not len(Window.load(1, buckets, now))]
    deleted = _delete(database, idle, before) if idle else 0
    return deleted, page[-1][0] if len(page) == _PAGE_SIZE else None


def _delete(database: Database, ids: Sequence[str], before: int) -> int:
    # The age is compared again, so that a row that was used meanwhile stays.
    delete = f"{database.dialect.delete_by_ids(budgets.name)} and updated_at < :before"
    values = {"ids": ids_json(ids), "before": before}
    return database.run(lambda connection: execute(connection, delete, values).rowcount)


def budget_key(site_key: bytes, limit: Limit, subject: str) -> str:
    """Returns the id of a limit's row for one subject."""
    return keyed_hash(site_key, limit.name, str(limit.window_s), subject)
