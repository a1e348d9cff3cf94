"""The status of a job's recipients. Each recipient has exactly one at every moment, so the counts always add up.

Recipients are counted, and listed page by page, without loading all of a job.

The parts of a send divide its recipients, so a recipient has the status of its part. Where a recipient can be in
several parts (pieces of a long text, card updates, customers of two members) the whole job is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from worker.channels.registry import channel_if_there
from worker.domain.content.recipient import (
    INSTEAD_OF,
    LISTS,
    Recipients,
    everyone_of,
    stored_recipients,
    stored_spec,
)
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job import JobId, id_of
from worker.domain.state import PartState
from worker.outbox.control.listing import errcodes_of_parts
from worker.outbox.engine.caller import on_callers_connection
from worker.outbox.jobs import reading
from worker.outbox.jobs.reading import RecipientRows, Rows
from worker.reporting.find_job import recipients_of, row_of

PAGE_SIZE = 1_000
"""Most recipients of one answer, by default."""
RECIPIENTS_PER_READ = 20_000
"""Recipients that are read at a time. With a statement for each thousand a job to 100,000 would take too long."""
PARTS_PER_READ = 500


def counts_of(connection: Connection, job: Mapping[str, Any], parts: Sequence[str]) -> tuple[RecipientCounts, int]:
    """Returns how many recipients of a job have each status, exact at every moment, and how many cannot be listed.

    Those who stand in rows that cannot be read are counted with the status of the parts that cannot be read.
    """
    tally, unlisted = _tally(connection, job, parts), 0
    if tally is None:
        rows = recipients_of(connection, job["id"])
        tally = Counter({status: len(ids) for status, ids in _by_status(rows).items()})
        unlisted = max(0, int(job["asked"]) - tally.total())
        tally[_status_of_unread(rows.parts, is_open=bool(rows.job["n_open"]))] += unlisted
    return RecipientCounts(asked=job["asked"], **{status.value: tally[status] for status in RecipientStatus}), unlisted


@on_callers_connection
def recipients(
    connection: Connection,
    job_id: JobId,
    status: RecipientStatus | str,
    *,
    after: int = 0,
    limit: int | None = PAGE_SIZE,
) -> list[str]:
    """Lists the recipients behind one of a job's counts, as the producer wrote them; the status may be `"refused"`.

    Returns at most `limit` of them (1000 by default), or all with None; for the next page give how many were read as
    `after`. While the job is open, recipients can move from one status to another between two pages. Raises JobNotFound
    for no job, and CheckFailed for a status that does not exist or a number below 0.
    """
    if status not in {*RecipientStatus}:
        remedy = (
            f"use a member of RecipientStatus, such as RecipientStatus.REFUSED, or one of {', '.join(RecipientStatus)}"
        )
        raise CheckFailed([Problem("status", "is not a valid value", remedy)])
    for name, value in (("after", after), ("limit", limit)):
        if value is not None and (not isinstance(value, int) or value < 0):
            raise CheckFailed([Problem(name, "is not a count", "use a whole number from 0")])
    job = row_of(connection, id_of(job_id))
    parts = reading.part_ids(connection, job["id"])
    if _tally(connection, job, parts) is None:
        matching = iter(_by_status(recipients_of(connection, job["id"]))[RecipientStatus(status)])
    else:
        each = (
            statuses_of_part(part, stored_spec(part["spec"]) or {}, refused)
            for part, refused in _parts_with_refusals(connection, job, parts)
        )
        matching = (one for pairs in each for part_status, (_, one) in pairs if part_status == status)
    return list(islice(matching, after, None if limit is None else after + limit))


def _tally(connection: Connection, job: Mapping[str, Any], parts: Sequence[str]) -> Counter[RecipientStatus] | None:
    """Returns the counts if every recipient is in exactly one part, else None."""
    vendor = channel_if_there(job["channel"])
    if vendor is None or job["kind"] not in vendor.sends:
        return None
    tally: Counter[RecipientStatus] = Counter()
    for part, refused in _parts_with_refusals(connection, job, parts):
        spec = stored_spec(part["spec"])
        if spec is None or OVERLAPPING & spec.keys():
            return None
        if refused:
            tally.update(status for status, _ in statuses_of_part(part, spec, refused))
        else:
            # None of the part's many recipients is looked at.
            tally[status_of(part)] += recipient_count(spec)
    return tally if tally.total() == job["asked"] else None


def _parts_with_refusals(
    connection: Connection, job: Mapping[str, Any], parts: Sequence[str]
) -> Iterator[tuple[Mapping[str, Any], set[RefusedKey]]]:
    """Yields each part with its recipients that were refused by name, reading some ten thousand at a time."""
    size = max(1, min(PARTS_PER_READ, RECIPIENTS_PER_READ * len(parts) // max(1, job["asked"])))
    for start in range(0, len(parts), size):
        page, refused = reading.parts_and_refused(connection, parts[start : start + size])
        by_part: dict[str, set[RefusedKey]] = {}
        for key in refused:
            by_part.setdefault(key[0], set()).add(key)
        yield from ((part, by_part.get(part["id"], set())) for part in page)


def _by_status(rows: RecipientRows) -> dict[RecipientStatus, tuple[str, ...]]:
    return {status: tuple(one for _, one in ids) for status, ids in _group_rows(rows).items()}


def _group_rows(rows: RecipientRows) -> dict[RecipientStatus, list[Recipient]]:
    """Returns the recipients of a whole job, or those of the parts that can be read if the job's own cannot."""
    asked = stored_recipients(rows.job["recipients"]) or _recipients_of_parts(rows.parts)
    return group_by_status(asked, bool(rows.job["n_open"]), rows.parts, rows.failures)


def recipients_of_jobs(connection: Connection, ids: Iterable[str]) -> dict[str, Iterator[tuple[str, Result]]]:
    """Returns job -> its recipients as the filter takes them, with what became of each, for jobs that exist.

    The same statements read all jobs. A job's recipients are put together when they are taken out.
    """
    rows = reading.recipient_rows(connection, ids, reading.RECIPIENT_COLUMNS)
    parts = [part for job in rows.values() for part in job.parts]
    codes = errcodes_of_parts(connection, [part["id"] for part in parts if part["state"] != PartState.ACCEPTED])
    return {id: _results(job, codes) for id, job in rows.items()}


def _results(rows: RecipientRows, part_codes: Mapping[str, int]) -> Iterator[tuple[str, Result]]:
    codes: dict[Recipient, int] = {}
    for part in rows.parts:
        if code := part_codes.get(part["id"]):
            named = statuses_of_part(part, stored_spec(part["spec"]) or {}, ())
            codes.update(((kind, one.lower()), code) for _, (kind, one) in named)
    codes |= {(row["kind"], row["recipient_key"]): row["errcode"] for row in rows.failures if row["errcode"]}
    for status, recipients in _group_rows(rows).items():
        for kind, one in recipients:
            code = None if status is RecipientStatus.ACCEPTED else codes.get((kind, one.lower()))
            yield f"{kind}:{one}" if kind in ("party", "tag") else one, (status, code)


def _recipients_of_parts(parts: Rows) -> Recipients:
    ids: dict[str, dict[str, str]] = {name: {} for name in LISTS.values()}
    for part in parts:
        spec = stored_spec(part["spec"]) or {}
        for name, seen in ids.items():
            seen.update((one.lower(), one) for one in spec.get(name, ()))
    return Recipients.from_json({name: list(seen.values()) for name, seen in ids.items()})


def _status_of_unread(parts: Rows, *, is_open: bool) -> RecipientStatus:
    """Returns the status of recipients that are in no part that can be read: that of the parts that cannot be read."""
    unread = {status_of(part) for part in parts if stored_spec(part["spec"]) is None}
    default = RecipientStatus.WAITING if is_open else RecipientStatus.NEVER_SENT
    return next((status for status in _WEAKEST if status in unread), default)


Recipient = tuple[str, str]
"""Kind (a key of `LISTS`) and id."""


Result = tuple["RecipientStatus", int | None]
"""A recipient's status, and the errcode of the answer that named it, or else the newest of its part, if it has one."""
RefusedKey = tuple[str, str, str]
"""Part id, kind, and recipient id in lower case, of a recipient that the vendor refused."""


OVERLAPPING = frozenset({"piece", INSTEAD_OF, "sender"})
"""Keys in the specs of parts whose recipients may be in other parts too."""


BROADCAST = "everyone"
"""The kind of a broadcast. Its id is one of `Recipients.broadcasts`."""


class RecipientStatus(StrEnum):
    """The status of one recipient. Every recipient of a job has exactly one at every moment."""

    ACCEPTED = "accepted"
    """The vendor took the call for them; of a text that was split, every call."""
    UNKNOWN = "unknown"
    """A call for them is in doubt: it may have been carried out."""
    WAITING = "waiting"
    """A call for them is still to come, or in flight."""
    REFUSED = "refused"
    """The vendor refused them for good."""
    NEVER_SENT = "never_sent"
    """Nothing was sent to them, and nothing will be."""


# A recipient in several parts (a card update of several calls) has the first of these statuses that one of its parts
# has.
_STRONGEST = tuple(RecipientStatus)


# For a text in pieces: `accepted` is last, because a recipient counts as accepted only with all pieces.
_WEAKEST = (
    RecipientStatus.UNKNOWN,
    RecipientStatus.WAITING,
    RecipientStatus.REFUSED,
    RecipientStatus.NEVER_SENT,
    RecipientStatus.ACCEPTED,
)


# For a department that is replaced by its members' userids: `refused` is last, because a refused member is a failure of
# its own and does not make the department refused.
_MEMBER_BY_MEMBER = (
    RecipientStatus.UNKNOWN,
    RecipientStatus.WAITING,
    RecipientStatus.NEVER_SENT,
    RecipientStatus.ACCEPTED,
    RecipientStatus.REFUSED,
)


@dataclass(frozen=True, slots=True)
class RecipientCounts:
    """Numbers of recipients; asked = accepted + refused + unknown + never_sent + waiting."""

    asked: int
    """How many recipients the job names; everyone, or everyone of a sender, counts as one."""
    accepted: int
    """The vendor took the call for them; of a text that was split, every call."""
    refused: int
    """The vendor refused them for good."""
    unknown: int
    """A call for them is in doubt: it may have been carried out."""
    never_sent: int
    """Nothing was sent to them, and nothing will be."""
    waiting: int
    """A call for them is still to come, or in flight."""


def recipients_by_status(
    asked: Recipients, is_open: bool, parts: Rows, refused: Rows
) -> dict[RecipientStatus, tuple[str, ...]]:
    """Returns the recipients of a job, as the producer wrote them, by their status."""
    by_status = group_by_status(asked, is_open, parts, refused)
    return {status: tuple(one for _, one in ids) for status, ids in by_status.items()}


def select_by_status(
    asked: Recipients, by_status: Mapping[RecipientStatus, Iterable[Recipient]], *statuses: RecipientStatus
) -> Recipients:
    """Returns the recipients with one of these statuses, for a new job."""
    chosen = [one for status in statuses for one in by_status[status]]
    broadcasts = {(BROADCAST, one) for one in asked.broadcasts()}.intersection(chosen)
    named = [one for one in chosen if one not in broadcasts]
    lists: dict[str, Any] = {
        name: tuple(one for kind, one in named if kind == list_kind) for list_kind, name in LISTS.items()
    }
    return Recipients(
        everyone=bool(broadcasts), audience=asked.audience, by_sender=_chosen_by_sender(asked, chosen), **lists
    )


def _chosen_by_sender(asked: Recipients, selected: Iterable[Recipient]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Returns each sender with its chosen recipients. A sender with a broadcast stays if the broadcast was chosen."""
    chosen = set(selected)
    ids_of = {one for kind, one in chosen if kind != BROADCAST}
    chosen_ids = ((sender, ids, tuple(one for one in ids if one in ids_of)) for sender, ids in asked.by_sender)
    return tuple(
        (sender, remaining)
        for sender, ids, remaining in chosen_ids
        if remaining or (not ids and (BROADCAST, everyone_of(sender)) in chosen)
    )


def group_by_status(
    asked: Recipients, is_open: bool, parts: Rows, refused: Rows
) -> dict[RecipientStatus, list[Recipient]]:
    """Returns the recipients of a job by their status, as a pure function of the rows."""
    statuses = statuses_by_recipient(asked, is_open, parts, refused)
    specs = [stored_spec(part["spec"]) or {} for part in parts]
    order = _WEAKEST if any("piece" in spec for spec in specs) else _STRONGEST
    departments = {(kind, one.lower()) for spec in specs for kind, one in _instead_of(spec)}
    by_status: dict[RecipientStatus, list[Recipient]] = {status: [] for status in RecipientStatus}
    for kind, one in each_recipient(asked):
        ranks = _MEMBER_BY_MEMBER if (kind, one.lower()) in departments else order
        by_status[next(status for status in ranks if status in statuses[kind, one.lower()])].append((kind, one))
    return by_status


def statuses_by_recipient(
    asked: Recipients, is_open: bool, parts: Rows, refused: Rows
) -> dict[Recipient, set[RecipientStatus]]:
    """Returns each recipient of a job (ids in lower case) with the statuses of its parts."""
    named = {(row["part_id"], row["kind"], row["recipient_key"]) for row in refused}
    statuses: dict[Recipient, set[RecipientStatus]] = {}
    for part in parts:
        status, spec = status_of(part), stored_spec(part["spec"]) or {}
        for recipient_status, (kind, one) in statuses_of_part(part, spec, named):
            statuses.setdefault((kind, one.lower()), set()).add(recipient_status)
        for kind, one in _instead_of(spec):
            statuses.setdefault((kind, one.lower()), set()).add(status)
    default = _status_of_unread(parts, is_open=is_open)
    return {(kind, one.lower()): {default} for kind, one in each_recipient(asked)} | statuses


def _instead_of(spec: Mapping[str, Any]) -> Iterator[Recipient]:
    """Yields the departments that a part replaces by their members."""
    return each_recipient(Recipients.from_json(spec.get(INSTEAD_OF, {})))


def statuses_of_part(
    part: Mapping[str, Any], spec: dict[str, Any], named: Container[RefusedKey]
) -> Iterator[tuple[RecipientStatus, Recipient]]:
    """Yields the status and recipient pairs of one part, as the producer wrote them.

    `named` are the recipients that were refused by name.
    """
    status = status_of(part)
    # A recipient refused by name is certainly refused if no call is in doubt, or only the call that named it.
    only_doubt = PartState(part["state"]) is PartState.UNKNOWN and part["doubts"] == 1
    settled = status is not RecipientStatus.UNKNOWN or only_doubt
    for kind, one in each_recipient(Recipients.from_json(spec), spec.get("sender")):
        yield RecipientStatus.REFUSED if settled and (part["id"], kind, one.lower()) in named else status, (kind, one)


def status_of(part: Mapping[str, Any]) -> RecipientStatus:
    """Returns the status of a part's recipients by its state. Recipients refused by name are handled elsewhere."""
    match PartState(part["state"]):
        case PartState.QUEUED | PartState.SENDING:
            return RecipientStatus.UNKNOWN if part["doubts"] else RecipientStatus.WAITING
        case PartState.ACCEPTED | PartState.PARTIAL:
            return RecipientStatus.ACCEPTED
        case PartState.UNKNOWN:
            return RecipientStatus.UNKNOWN
        case PartState.REJECTED if part["first_marked_at"] is not None:
            return RecipientStatus.REFUSED
        case PartState.REJECTED | PartState.EXHAUSTED | PartState.EXPIRED | PartState.CANCELLED:
            return RecipientStatus.NEVER_SENT


def recipient_count(spec: dict[str, Any]) -> int:
    """Returns how many recipients a part without a sender has, without listing them if possible."""
    if spec.get("everyone"):
        return sum(1 for _ in each_recipient(Recipients.from_json(spec)))
    return sum(len(ids) for name in LISTS.values() if isinstance(ids := spec.get(name), list))


def each_recipient(recipients: Recipients, sender: str | None = None) -> Iterator[Recipient]:
    """Yields all recipients and broadcasts, as the producer wrote them. `sender` is a part's sender, if it has one."""
    for kind, name in LISTS.items():
        yield from ((kind, one) for one in getattr(recipients, name))
    of_sender = (everyone_of(sender),) if recipients.everyone and sender is not None else ()
    yield from ((BROADCAST, one) for one in of_sender or recipients.broadcasts())
