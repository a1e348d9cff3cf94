"""The list of those to whom nothing is sent: who is on it is known by keyed hashes alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from worker.config.settings import Settings, load_settings
from worker.control.audit import audited
from worker.control.opening import opened_current
from worker.domain.errors import CheckFailed, Problem
from worker.outbox.engine.caller import Bind, on_callers_connection
from worker.outbox.engine.database import Database
from worker.outbox.jobs import suppressions as rows

MOST = 10_000


@dataclass(frozen=True, slots=True)
class SuppressionChange:
    """What became of the recipients of a command."""

    audit: str
    """Id of the row that says who gave it, and why; it names no recipient."""
    changed: int
    """How many were put on the list, or taken off it; the others were so already."""


def suppress(
    recipients: Iterable[str], *, person: str, why: str = "", settings: Settings | None = None
) -> SuppressionChange:
    """From now on nothing is sent to these recipients, on any account or channel; at most 10,000 at once.

    A recipient is what a job names: a userid, a chat, a customer, a mail address. Case and the width of characters do
    not count. Each of them that a job names is a failure of that job (`failures`, field `suppressed`); departments,
    tags and broadcasts are the vendor's to resolve, and reach also those who are on the list. A worker obeys within a
    second. Only keyed hashes are stored. `person` says who asks for it, `why` for which reason; both are kept.
    """
    with opened_current(settings or load_settings()) as database:
        return suppress_in(database, recipients, person, why)


def lift_suppression(
    recipients: Iterable[str], *, person: str, why: str = "", settings: Settings | None = None
) -> SuppressionChange:
    """Takes recipients off the list; what was not sent to them meanwhile stays so, and can be replayed."""
    with opened_current(settings or load_settings()) as database:
        return lift_in(database, recipients, person, why)


@on_callers_connection
def find_suppressed(connection: Connection, recipients: Iterable[str], *, bind: Bind | None = None) -> set[str]:
    """The recipients among these that are on the list, as they are written."""
    return rows.suppressed_among(connection, _checked(recipients))


def suppress_in(database: Database, recipients: Iterable[str], person: str, why: str) -> SuppressionChange:
    """The same in a database that is open."""
    names = _checked(recipients)
    with audited(database, "suppress", person=person, why=why, asked={"recipients": len(names)}) as running:
        changed = database.run(lambda connection: rows.suppress(connection, database.now, names, person, why))
        running.counts["suppressed"] = changed
    return SuppressionChange(running.id, changed)


def lift_in(database: Database, recipients: Iterable[str], person: str, why: str) -> SuppressionChange:
    """The same in a database that is open."""
    names = _checked(recipients)
    with audited(database, "lift", person=person, why=why, asked={"recipients": len(names)}) as running:
        running.counts["lifted"] = database.run(lambda connection: rows.lift(connection, names))
    return SuppressionChange(running.id, running.counts["lifted"])


def _checked(recipients: Iterable[str]) -> list[str]:
    if isinstance(recipients, str):
        raise CheckFailed([Problem("recipients", "are one text", "give a list of them")])
    names = list(recipients)
    problems: list[Problem] = []
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        problems.append(Problem("recipients", "say nothing", "give at least one, each a text"))
    if len(names) > MOST:
        problems.append(Problem("recipients", "are too many", "give them in pieces", MOST, "recipients", len(names)))
    if problems:
        raise CheckFailed(problems)
    for name in names:
        # What no database can store is a UnicodeEncodeError here.
        name.encode()
    return names
