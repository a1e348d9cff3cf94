"""Records every command that changes something in the audit, before its first change.

The counts are written after each transaction, so the entry of a command that was cut short shows how far it came.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from uuid_utils import uuid7

from worker.config.settings import Settings
from worker.control.opening import open_outbox
from worker.domain.errors import CheckFailed, Problem, WorkerError
from worker.domain.state import JobState
from worker.domain.stored import object_or_empty
from worker.language.visible import breaks_line
from worker.outbox.control import audit_and_sign_in as rows
from worker.outbox.control.withdrawals import follow_up_states
from worker.outbox.engine.caller import on_callers_connection
from worker.outbox.engine.clock import SECOND, instant, now_in
from worker.outbox.engine.counting import stored_counts
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now

MAX_WHY, MAX_NAME = 300, 128
ALIVE_S, LOST_S = 15.0, 60.0
"""Seconds after which the process of a running command gives a sign of life, and without one of which it is lost."""
_PREFIX: ContextVar[str] = ContextVar("action_prefix", default="")
T = TypeVar("T")


@contextmanager
def with_action_prefix(prefix: str) -> Iterator[None]:
    """Prefixes the actions that this thread audits, for example with `console.`, to show where they came from."""
    outer = _PREFIX.set(prefix)
    try:
        yield
    finally:
        _PREFIX.reset(outer)


@dataclass(frozen=True, slots=True)
class FollowUpCount:
    """What became of the recalls, or of the corrections, that a command enqueued."""

    kind: str
    """`recall`, or the kind of the corrections, such as `send`."""
    done: int
    """How many the vendor has carried out, or had nothing to take back."""
    under_way: int
    """How many wait, are in flight or are in doubt."""
    failed: int
    """How many have ended otherwise."""

    @property
    def total(self) -> int:
        """How many there are."""
        return self.done + self.under_way + self.failed


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A command of a person, as the audit has it."""

    id: str
    """32 hexadecimal digits, a UUIDv7."""
    action: str
    """The command, such as `resolve`; from the console, `console.resolve`."""
    person: str
    """The name of the person who gave the command: the system's user, unless another name was given."""
    why: str
    """The reason in the person's own words."""
    arguments: Mapping[str, Any]
    """The filter and the other arguments of the command."""
    counts: Mapping[str, int]
    """How many jobs, parts or other things had which result so far."""
    began_at: datetime
    """When it began, by the database's clock."""
    ended_at: datetime | None
    """When it ended, or None while it runs or if it was cut short."""
    is_interrupted: bool = False
    """Whether it was cut short: it has not ended, and its process has given no sign of life for a minute."""
    follow_ups: tuple[FollowUpCount, ...] = ()
    """What became of the recalls and corrections that it enqueued, as far as they are stored."""


@on_callers_connection
def list_audit(
    connection: Connection,
    *,
    limit: int = 20,
    page_after: str | None = None,
    without: str | None = None,
) -> list[AuditEntry]:
    """Lists the entries of the audit, newest first.

    `page_after` is the id of an entry: only older ones are listed. `without` is an action to leave out.
    """
    now = read_now(connection, now_in(connection))
    return [_entry(connection, row, now) for row in rows.list_audit(connection, limit, page_after, without)]


def _entry(connection: Connection, row: Mapping[str, Any], now: int) -> AuditEntry:
    arguments, counts = object_or_empty(row["asked"]), stored_counts(row["counts"])
    if not isinstance(arguments.get("filter", {}), dict):
        arguments["filter"] = {}
    has_ended = row["ended_at"] is not None
    return AuditEntry(
        row["id"],
        row["action"],
        row["person"],
        row["why"],
        arguments,
        counts,
        instant(row["began_at"]),
        instant(row["ended_at"]) if has_ended else None,
        not has_ended and now - row["seen_at"] > LOST_S * SECOND,
        _follow_ups(connection, row["id"], arguments, counts),
    )


def _follow_ups(
    connection: Connection, entry: str, arguments: Mapping[str, Any], counts: Mapping[str, int]
) -> tuple[FollowUpCount, ...]:
    if not (counts.get("recalls") or counts.get("corrections")):
        return ()
    by_kind: dict[str, Counter[str]] = {}
    for (kind, state), count in follow_up_states(connection, entry, arguments.get("accounts", ())).items():
        by_kind.setdefault(kind, Counter())[_RESULTS.get(state, "failed")] += count
    names = ("done", "under_way", "failed")
    return tuple(FollowUpCount(kind, *(by_kind[kind][name] for name in names)) for kind in sorted(by_kind))


_RESULTS = {
    JobState.ACCEPTED: "done",
    JobState.PARTIAL: "done",
    JobState.OPEN: "under_way",
    JobState.UNKNOWN: "under_way",
}


def find_audit(connection: Connection, entry: str) -> AuditEntry | None:
    """Returns the entry with this id, or None if there is none."""
    now = read_now(connection, now_in(connection))
    return next((_entry(connection, row, now) for row in rows.audit_rows(connection, [entry])), None)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command did. The function of each command lists the keys of `counts`."""

    audit: str
    """Id of the command's audit entry."""
    counts: Counter[str]
    """How many jobs, parts or other things had which result. A key that is missing counts as 0."""
    jobs: tuple[str, ...] = ()
    """Ids of the jobs or parts that the command enqueued or changed, if it reports them."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """By job or lane, a sentence about it, such as why the job was refused."""


@dataclass(slots=True)
class AuditedCommand:
    """A running command and its audit entry."""

    id: str
    database: Database
    settings: Settings
    counts: Counter[str] = field(default_factory=Counter)

    def batches(
        self, items: Sequence[T], size: int, progress: Callable[[int], object] = lambda done: None
    ) -> Iterator[Sequence[T]]:
        """Yields the items in batches. After each batch, writes the counts and reports progress.

        `progress` is called with the number of items done so far.
        """
        for start in range(0, len(items), size):
            yield items[start : start + size]
            self.write_counts()
            progress(min(start + size, len(items)))

    def write_counts(self, *, ended: bool = False) -> None:
        """Writes the counts so far to the audit entry."""
        database, counts = self.database, json.dumps(self.counts)
        database.run(lambda connection: rows.record_progress(connection, database.now, self.id, counts, ended=ended))


@contextmanager
def audited(
    action: str,
    *,
    person: str,
    why: str,
    arguments: Mapping[str, Any],
    database: Database | None = None,
    settings: Settings | None = None,
) -> Iterator[AuditedCommand]:
    """Writes the audit entry of a command before the block runs, and its end after the block.

    An error after the first change leaves the entry without an end. Without `database`, the database of the settings is
    opened for the block.
    """
    with open_outbox(database, settings) as (outbox, settings_in_use):
        require_person(person, why)
        row = _row(action, person, why, arguments)
        command = AuditedCommand(row["id"], outbox, settings_in_use)
        outbox.run(lambda connection: rows.begin_audit(connection, outbox.now, row))
        try:
            with _signs_of_life(outbox, row["id"]):
                yield command
        except BaseException as error:
            if isinstance(error, WorkerError) and not command.counts:
                # Refused before its first change, so it was not cut short.
                command.write_counts(ended=True)
            else:
                with suppress(SQLAlchemyError, WorkerError):
                    outbox.run(lambda connection: rows.record_life(connection, outbox.now, row["id"], interrupted=True))
            raise
        command.write_counts(ended=True)


@contextmanager
def _signs_of_life(database: Database, entry: str) -> Iterator[None]:
    """Writes that the process of a command is alive while the block runs, if that takes long."""
    ends = threading.Event()

    def write() -> None:
        while not ends.wait(ALIVE_S):
            # Without the database the command itself fails, or waits.
            with suppress(SQLAlchemyError, WorkerError):
                database.run(lambda connection: rows.record_life(connection, database.now, entry), tries=1)

    thread = threading.Thread(target=write, name="command-alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def write_entry(
    connection: Connection,
    now_sql: str,
    action: str,
    *,
    person: str,
    why: str,
    arguments: Mapping[str, Any],
    counts: Mapping[str, int],
) -> None:
    """Writes a complete audit entry for a change that is made in the same transaction."""
    row = _row(action, person, why, arguments) | {"counts": json.dumps(counts)}
    rows.write_audit(connection, now_sql, row)


def _row(action: str, person: str, why: str, arguments: Mapping[str, Any]) -> dict[str, str]:
    document = json.dumps(arguments, ensure_ascii=False)
    for text in (document, person, why):
        # A text that no database can store raises UnicodeEncodeError here, before anything is changed.
        text.encode()
    return {"id": uuid7().hex, "action": f"{_PREFIX.get()}{action}", "person": person, "why": why, "asked": document}


def require_person(person: str, why: str, *, empty_remedy: str | None = None) -> None:
    """Raises CheckFailed for a name or a reason that is empty, too long or cannot be stored.

    `empty_remedy` says what to do about an empty reason, or is None if the reason may be empty.
    """
    problems: list[Problem] = []
    for name, text, limit, remedy in (
        ("person", person, MAX_NAME, "give your name"),
        ("why", why, MAX_WHY, empty_remedy),
    ):
        if len(text) > limit:
            problems.append(Problem(name, "is too long", "make it shorter", limit, "characters", len(text)))
        if remedy is not None and not text.strip():
            problems.append(Problem(name, "has no content", remedy))
        if "\x00" in text:
            problems.append(Problem(name, "holds a NUL character", "take it out: PostgreSQL cannot store it"))
        elif breaks_line(text):
            # On a terminal it would pass for another entry of the audit.
            problems.append(Problem(name, "holds a line end or another control character", "write it as one line"))
    if problems:
        raise CheckFailed(problems)
