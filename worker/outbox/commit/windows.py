"""Windows of the vendor's duplicate check: who opened one for a body, until when, and who else used it.

Where a vendor takes one of equal bodies at a time, the same rows say whose turn it is.

The check must make our own repeats safe without swallowing an honest second message of another job, so a window has one
owner and remembers the first send of the same body by another part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from worker.outbox import tables
from worker.outbox.engine.bulk import chosen, ids_json, in_order, insert_new, update_rows
from worker.outbox.engine.sql import fetch


@dataclass(slots=True)
class Window:
    """One body's window, locked by this transaction."""

    id: str
    owner: str
    until: int
    others_since: int | None
    changed: bool = False

    def is_open_for_another(self, part_id: str, now: int) -> bool:
        """True when a different part opened it and it has not ended."""
        return self.until >= now and self.owner != part_id

    def use(self, part_id: str, now: int, length_us: int) -> None:
        """A part is about to send this body: an ended window becomes its own, a stranger's is noted as shared."""
        before = (self.owner, self.until, self.others_since)
        if self.until < now:
            self.owner, self.others_since = part_id, None
        elif self.owner != part_id and self.others_since is None:
            self.others_since = now
        self.until = max(self.until, now + length_us)
        self.changed = self.changed or before != (self.owner, self.until, self.others_since)

    def take(self, part_id: str, until: int) -> None:
        """Where only one may be in the air: it is this part's now, whoever had it before."""
        self.owner, self.until, self.changed = part_id, max(self.until, until), True

    def covers_only(self, part_id: str) -> bool:
        """True while nobody but this part sent the body: only then may the vendor's check be relied on."""
        return self.owner == part_id and self.others_since is None


def enter(connection: Connection, wishes: Mapping[str, tuple[str, int]], now: int) -> dict[str, Window]:
    """Locks the windows (id -> part that wants it, microseconds it lasts); one nobody used yet is that part's own."""
    if not wishes:
        return {}
    opened = [Window(id, part, now + length, None) for id, (part, length) in sorted(wishes.items())]
    rows = [{"id": window.id, "owner": window.owner, "until": window.until} for window in opened]
    mine = insert_new(connection, tables.duplicates, rows)
    found = {window.id: window for window in opened if window.id in mine}
    found |= _lock(connection, sorted(wishes.keys() - found.keys()))
    lost = wishes.keys() - found.keys()  # over, and taken out between the two statements
    return found | enter(connection, {id: wishes[id] for id in lost}, now) if lost else found


def save(connection: Connection, windows: Iterable[Window]) -> None:
    """Writes back the windows that changed."""
    rows = [
        {"id": window.id, "owner": window.owner, "until": window.until, "others_since": window.others_since}
        for window in windows
        if window.changed
    ]
    update_rows(connection, tables.duplicates, ("id",), rows)


def _lock(connection: Connection, ids: Sequence[str]) -> dict[str, Window]:
    if not ids:
        return {}
    dialect = connection.dialect.name
    rows = fetch(
        connection,
        (f"select id, owner, until, others_since from {chosen(dialect, 'worker_duplicates')}{in_order(dialect)}"),
        {"ids": ids_json(ids)},
    )
    return {row[0]: Window(*row) for row in rows}
