"""The audit: a row for every command that changes something, written before its first change.

Its counts follow after each transaction of the command, so a command that was cut short shows how far it came.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection
from uuid_utils import uuid7

from worker.config.settings import Settings
from worker.control.opening import at_hand
from worker.domain.errors import CheckFailed, Problem, WorkerError
from worker.outbox.control import people as rows
from worker.outbox.engine.caller import on_callers_connection
from worker.outbox.engine.clock import instant
from worker.outbox.engine.database import Database

LONGEST_WHY, LONGEST_NAME = 300, 128
_THROUGH: ContextVar[str] = ContextVar("through", default="")
T = TypeVar("T")


@contextmanager
def acting_through(prefix: str) -> Iterator[None]:
    """Puts a prefix, such as `console.`, before the actions of what this thread does: it says where they came from."""
    before = _THROUGH.set(prefix)
    try:
        yield
    finally:
        _THROUGH.reset(before)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One command of a person."""

    id: str
    """32 hexadecimal digits, a UUIDv7."""
    action: str
    """The command, such as `resolve`; given in the console, `console.resolve`."""
    person: str
    """The name of the person who gave it: the system's user, or another that was given."""
    why: str
    """The reason in the person's own words."""
    asked: Mapping[str, Any]
    """The filter, and what was to be done."""
    counts: Mapping[str, int]
    """What became of how many parts so far."""
    began_at: datetime
    """When it began, by the database's clock."""
    ended_at: datetime | None
    """None: it goes on, or was cut short."""


@on_callers_connection
def list_audit(
    connection: Connection,
    *,
    limit: int = 20,
    before: str | None = None,
    without: str | None = None,
) -> list[AuditEntry]:
    """The newest commands that changed something, newest first; for the next page the last one's id as `before`.

    `without`: leaves one action out.
    """
    return [_entry(row) for row in rows.list_audit(connection, limit, before, without)]


def _entry(row: Mapping[str, Any]) -> AuditEntry:
    return AuditEntry(
        row["id"],
        row["action"],
        row["person"],
        row["why"],
        json.loads(row["asked"]),
        json.loads(row["counts"]),
        instant(row["began_at"]),
        None if row["ended_at"] is None else instant(row["ended_at"]),
    )


def find_audit(connection: Connection, entry: str) -> AuditEntry | None:
    """One command, by the id of its row; None: there is none."""
    return next((_entry(row) for row in rows.audit_rows(connection, [entry])), None)


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a command; each command says which words it counts by."""

    audit: str
    """Id of the audit's row, which says who gave the command, and why."""
    counts: Counter[str]
    """Word -> how many; 0 for a word that is not among them."""
    jobs: tuple[str, ...] = ()
    """Ids of the jobs, or parts, that it made or changed, where it tells of them."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Job or lane -> a sentence about it, such as why it was refused."""


@dataclass(slots=True)
class Running:
    """A command that is being carried out."""

    id: str
    database: Database
    settings: Settings
    counts: Counter[str] = field(default_factory=Counter)

    def lots(
        self, items: Sequence[T], size: int, progress: Callable[[int], object] = lambda done: None
    ) -> Iterator[Sequence[T]]:
        """What it is about in lots; after each the counts are written, and `progress` gets the number gone through."""
        for at in range(0, len(items), size):
            yield items[at : at + size]
            self.note()
            progress(min(at + size, len(items)))

    def note(self, *, ended: bool = False) -> None:
        """Writes the counts so far."""
        database, counts = self.database, json.dumps(self.counts)
        database.run(lambda connection: rows.note_audit(connection, database.now, self.id, counts, ended=ended))


@contextmanager
def audited(
    action: str,
    *,
    person: str,
    why: str,
    asked: Mapping[str, Any],
    database: Database | None = None,
    settings: Settings | None = None,
) -> Iterator[Running]:
    """Keeps the row of a command, from before its first change to after its last.

    An error in between leaves a row without an end. Without a `database` the one of the settings is open for as long.
    """
    with at_hand(database, settings) as (outbox, in_force):
        require_fits(person, why)
        row = _row(action, person, why, asked)
        running = Running(row["id"], outbox, in_force)
        outbox.run(lambda connection: rows.begin_audit(connection, outbox.now, row))
        try:
            yield running
        except WorkerError:
            # Refused before its first change: it was not cut short.
            if not running.counts:
                running.note(ended=True)
            raise
        running.note(ended=True)


def write_entry(
    connection: Connection,
    now_sql: str,
    action: str,
    *,
    person: str,
    why: str,
    asked: Mapping[str, Any],
    counts: Mapping[str, int],
) -> None:
    """The row of something that is done in this very transaction."""
    row = _row(action, person, why, asked) | {"counts": json.dumps(counts)}
    rows.write_audit(connection, now_sql, row)


def _row(action: str, person: str, why: str, asked: Mapping[str, Any]) -> dict[str, str]:
    document = json.dumps(asked, ensure_ascii=False)
    for text in (document, person, why):
        # What no database can store is a UnicodeEncodeError here, before anything is changed.
        text.encode()
    return {"id": uuid7().hex, "action": f"{_THROUGH.get()}{action}", "person": person, "why": why, "asked": document}


def require_fits(person: str, why: str, *, needed: str | None = None) -> None:
    """CheckFailed for a name or a reason that cannot be stored, or says nothing.

    `needed`: what an empty reason has to say; None: it may be empty.
    """
    problems: list[Problem] = []
    for name, text, most, remedy in (
        ("person", person, LONGEST_NAME, "say who you are"),
        ("why", why, LONGEST_WHY, needed),
    ):
        if len(text) > most:
            problems.append(Problem(name, "is too long", "say it shorter", most, "characters", len(text)))
        if remedy is not None and not text.strip():
            problems.append(Problem(name, "says nothing", remedy))
        if "\x00" in text:
            problems.append(Problem(name, "holds a NUL character", "take it out: PostgreSQL cannot store it"))
    if problems:
        raise CheckFailed(problems)
