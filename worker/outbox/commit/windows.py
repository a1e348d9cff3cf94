"""Windows of the vendor's duplicate check: the part that opened one for a body, its end, and its use by other parts.

The check must make our own repeats safe without dropping an equal message of another job. So a window has one owner and
remembers the first send of the same body by another part. Where a vendor takes only one of several equal bodies at a
time, the same rows name the part that sent it last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from worker.outbox import tables
from worker.outbox.engine.bulk import ids_json, insert_new, update_rows
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch


@dataclass(slots=True)
class DuplicateWindow:
    """The window of one body, locked by this transaction; instants in microseconds."""

    id: str
    owner: str
    until: int
    others_since: int | None
    changed: bool = False

    def is_open_for_another(self, part_id: str, now: int) -> bool:
        """True when a different part opened it and it has not ended."""
        return self.until >= now and self.owner != part_id

    def use(self, part_id: str, now: int, length_us: int) -> None:
        """Notes that a part is about to send this body: it owns an ended window, and shares an open one of another."""
        before = (self.owner, self.until, self.others_since)
        if self.until < now:
            self.owner, self.others_since = part_id, None
        elif self.owner != part_id and self.others_since is None:
            self.others_since = now
        self.until = max(self.until, now + length_us)
        self.changed = self.changed or before != (self.owner, self.until, self.others_since)

    def take(self, part_id: str, until: int) -> None:
        """Makes this part the owner, where only one part with the body may be in the air."""
        self.owner, self.until, self.changed = part_id, max(self.until, until), True

    def covers_only(self, part_id: str) -> bool:
        """True while no other part has sent the body: only then is a repeat safe with the vendor's check."""
        return self.owner == part_id and self.others_since is None


def enter(connection: Connection, wishes: Mapping[str, tuple[str, int]], now: int) -> dict[str, DuplicateWindow]:
    """Locks the windows (id -> part that wants it, microseconds it lasts); a part owns those that did not exist."""
    if not wishes:
        return {}
    # Sorted, so that all transactions wait for the same rows in one order.
    opened = [DuplicateWindow(id, part, now + length, None) for id, (part, length) in sorted(wishes.items())]
    rows = [{"id": window.id, "owner": window.owner, "until": window.until} for window in opened]
    # Inserted first, the others read after: between a read and an insert another transaction could insert the row.
    mine = insert_new(connection, tables.duplicates, rows)
    found = {window.id: window for window in opened if window.id in mine}
    found |= _lock(connection, sorted(wishes.keys() - found.keys()))
    # Windows that had ended, and that housekeeping deleted between the two statements.
    lost = wishes.keys() - found.keys()
    return found | enter(connection, {id: wishes[id] for id in lost}, now) if lost else found


def save(connection: Connection, windows: Iterable[DuplicateWindow]) -> None:
    """Writes back the windows that changed."""
    rows = [
        {"id": window.id, "owner": window.owner, "until": window.until, "others_since": window.others_since}
        for window in windows
        if window.changed
    ]
    update_rows(connection, tables.duplicates, ("id",), rows)


def _lock(connection: Connection, ids: Sequence[str]) -> dict[str, DuplicateWindow]:
    if not ids:
        return {}
    dialect = dialect_of(connection)
    rows = fetch(
        connection,
        (f"select id, owner, until, others_since from {dialect.chosen('worker_duplicates')}{dialect.in_order()}"),
        {"ids": ids_json(ids)},
    )
    return {row[0]: DuplicateWindow(*row) for row in rows}
