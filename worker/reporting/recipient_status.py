"""Who of a job stands where: every recipient under exactly one thing that is true of it, at every moment.

Counted, and listed page by page, without loading all who were asked for; the counts always add up.

The parts of a send share its recipients out, so what is true of each stands with its part. Where recipients can stand
in several parts (pieces of a long text, card updates, customers of two members) the whole job is looked at.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from worker.channels import channel
from worker.domain.errors import CheckFailed, Problem
from worker.domain.recipient import LISTS, Recipients, everyone_of
from worker.domain.state import PartState
from worker.outbox.engine.caller import Bind, on_callers_connection
from worker.outbox.jobs import reading
from worker.outbox.jobs.reading import Rows
from worker.reporting.find_job import JobId, id_of, row_of, rows_of

PAGE = 1_000
"""Recipients that are looked at at a time."""
PARTS = 500


def counts_of(connection: Connection, job: Mapping[str, Any], parts: Sequence[str]) -> Counts:
    """How many recipients of a job stand where; exact at every moment."""
    tally = _tally(connection, job, parts)
    if tally is None:
        tally = Counter({share: len(ids) for share, ids in _whole(connection, job["id"]).items()})
    return Counts(asked=job["asked"], **{share.value: tally[share] for share in Share})


@on_callers_connection
def recipients(
    connection: Connection,
    job_id: JobId,
    share: Share | str,
    *,
    after: int = 0,
    limit: int | None = PAGE,
    bind: Bind | None = None,
) -> list[str]:
    """The recipients behind one of a job's counts, as the producer wrote them: `Share.REFUSED` or `"refused"`.

    At most `limit` of them, 1000 unless told otherwise, or all with None; for the next page give how many were read as
    `after`. While the job is open recipients can pass from one share to another between two pages. JobNotFound for no
    job, CheckFailed for no share.
    """
    if share not in {*Share}:
        raise CheckFailed(
            [Problem("share", "is none", f"use Share.REFUSED and its like, or one of {', '.join(Share)}")]
        )
    job = row_of(connection, id_of(job_id))
    parts = reading.part_ids(connection, job["id"])
    if _tally(connection, job, parts) is None:
        found = iter(_whole(connection, job["id"])[Share(share)])
    else:
        each = (of_part(part, json.loads(part["spec"]), refused) for part, refused in _each(connection, job, parts))
        found = (one for stands in each for its, (_, one) in stands if its == share)
    return list(islice(found, after, None if limit is None else after + limit))


def _tally(connection: Connection, job: Mapping[str, Any], parts: Sequence[str]) -> Counter[Share] | None:
    """The counts, where every recipient stands in one part and in no other; else None."""
    if job["kind"] not in channel(job["channel"]).sends:
        return None
    tally: Counter[Share] = Counter()
    for part, refused in _each(connection, job, parts):
        spec = json.loads(part["spec"])
        if OVERLAPPING & spec.keys():
            return None
        tally.update(share for share, _ in of_part(part, spec, refused))
    return tally if tally.total() == job["asked"] else None


def _each(
    connection: Connection, job: Mapping[str, Any], parts: Sequence[str]
) -> Iterator[tuple[Mapping[str, Any], set[Named]]]:
    """Each part with those whom the vendor refused for it; a page of some thousand recipients at a time."""
    size = max(1, min(PARTS, PAGE * len(parts) // max(1, job["asked"])))
    for start in range(0, len(parts), size):
        page, refused = reading.parts_and_refused(connection, parts[start : start + size])
        for part in page:
            yield part, refused


def _whole(connection: Connection, job_id: str) -> dict[Share, tuple[str, ...]]:
    rows = rows_of(connection, job_id)
    asked = Recipients.from_json(json.loads(rows.job["recipients"]))
    return shares(asked, bool(rows.job["n_open"]), rows.parts, rows.failures)


Recipient = tuple[str, str]
"""Kind (a key of `LISTS`) and id."""


Named = tuple[str, str, str]
"""Part, kind and id in lower case of one whom the vendor refused."""


OVERLAPPING = frozenset({"piece", "instead_of", "sender"})
"""Keys of the specs of parts whose recipients may stand in other parts too."""


BROADCAST = "everyone"
"""The kind of whoever is meant by everyone; an id of `Recipients.broadcasts`."""


class Share(StrEnum):
    """What is true of one recipient; every recipient asked for has exactly one of these at every moment."""

    ACCEPTED = "accepted"
    UNDETERMINED = "undetermined"
    NOT_YET = "not_yet"
    REFUSED = "refused"
    NOT_SENT = "not_sent"


# Where a recipient stands in several parts (a card update of several calls): the first of these that is true of one.
_STRONGEST = tuple(Share)


# Of a text that went out in pieces a recipient has nothing before he has all of it.
_WEAKEST = (Share.UNDETERMINED, Share.NOT_YET, Share.REFUSED, Share.NOT_SENT, Share.ACCEPTED)


# A department that was sent to member by member is through when all of them are; the refused among them are failures of
# their own, as those of a call to the department are.
_MEMBER_BY_MEMBER = (Share.UNDETERMINED, Share.NOT_YET, Share.NOT_SENT, Share.ACCEPTED, Share.REFUSED)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many recipients; asked = accepted + refused + undetermined + not_sent + not_yet."""

    asked: int
    accepted: int
    refused: int
    undetermined: int
    not_sent: int
    not_yet: int


def shares(asked: Recipients, is_open: bool, parts: Rows, refused: Rows) -> dict[Share, tuple[str, ...]]:
    """Every recipient asked for, as the producer wrote it, under the one thing that is true of it."""
    stands = standing(asked, is_open, parts, refused)
    return {share: tuple(one for _, one in ids) for share, ids in stands.items()}


def recipients_under(asked: Recipients, stands: Mapping[Share, Iterable[Recipient]], *wanted: Share) -> Recipients:
    """Those under the wanted shares, to be asked for again."""
    chosen = [one for share in wanted for one in stands[share]]
    broadcasts = {(BROADCAST, one) for one in asked.broadcasts()}.intersection(chosen)
    named = [one for one in chosen if one not in broadcasts]
    lists = {name: tuple(one for kind, one in named if kind == its) for its, name in LISTS.items()}
    return Recipients(everyone=bool(broadcasts), audience=asked.audience, by_sender=_senders_of(asked, chosen), **lists)


def _senders_of(asked: Recipients, wanted: Iterable[Recipient]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Of each sender those who were chosen; who was given everybody of his keeps that or is left out."""
    chosen = set(wanted)
    ids_of = {one for kind, one in chosen if kind != BROADCAST}
    kept = ((sender, ids, tuple(one for one in ids if one in ids_of)) for sender, ids in asked.by_sender)
    return tuple(
        (sender, left) for sender, ids, left in kept if left or (not ids and (BROADCAST, everyone_of(sender)) in chosen)
    )


def standing(asked: Recipients, is_open: bool, parts: Rows, refused: Rows) -> dict[Share, list[Recipient]]:
    """Every recipient asked for under the one thing that is true of it; a pure function of the rows."""
    named = {(row["part_id"], row["kind"], row["recipient_key"]) for row in refused}
    found: dict[Recipient, set[Share]] = {}
    order, apart = _STRONGEST, set[Recipient]()
    for part in parts:
        share, spec = _share_of(part), json.loads(part["spec"])
        order = _WEAKEST if "piece" in spec else order
        for its, (kind, one) in of_part(part, spec, named):
            found.setdefault((kind, one.lower()), set()).add(its)
        for kind, one in _ids(Recipients.from_json(spec.get("instead_of", {}))):
            found.setdefault((kind, one.lower()), set()).add(share)
            apart.add((kind, one.lower()))
    rest = {Share.NOT_YET if is_open else Share.NOT_SENT}
    out: dict[Share, list[Recipient]] = {share: [] for share in Share}
    for kind, one in _ids(asked):
        present = found.get((kind, one.lower()), rest)
        ranks = _MEMBER_BY_MEMBER if (kind, one.lower()) in apart else order
        out[next(share for share in ranks if share in present)].append((kind, one))
    return out


def of_part(
    part: Mapping[str, Any], spec: dict[str, Any], named: Container[Named]
) -> Iterator[tuple[Share, Recipient]]:
    """What one part says of each of its recipients, as the producer wrote them; `named` are those refused by name."""
    share = _share_of(part)
    settled = _is_settled(share, part)
    for kind, one in _ids(Recipients.from_json(spec), spec.get("sender")):
        yield Share.REFUSED if settled and (part["id"], kind, one.lower()) in named else share, (kind, one)


def _is_settled(share: Share, part: Mapping[str, Any]) -> bool:
    """Whether somebody the vendor named is refused for sure: no call is in doubt but the one whose answer named him."""
    named_by_it = PartState(part["state"]) is PartState.UNKNOWN and part["doubts"] == 1
    return share is not Share.UNDETERMINED or named_by_it


def _share_of(part: Mapping[str, Any]) -> Share:
    """What a part's state says of its recipients, unless one of them is named as refused."""
    match PartState(part["state"]):
        case PartState.QUEUED | PartState.SENDING:
            return Share.UNDETERMINED if part["doubts"] else Share.NOT_YET
        case PartState.ACCEPTED | PartState.PARTIAL:
            return Share.ACCEPTED
        case PartState.UNKNOWN:
            return Share.UNDETERMINED
        case PartState.REJECTED if part["first_marked_at"] is not None:
            return Share.REFUSED
        case PartState.REJECTED | PartState.EXHAUSTED | PartState.EXPIRED | PartState.CANCELLED:
            return Share.NOT_SENT


def _ids(recipients: Recipients, sender: str | None = None) -> Iterator[Recipient]:
    """Everybody named, and each broadcast; `sender` is that of a part, which has one at most."""
    for kind, name in LISTS.items():
        yield from ((kind, one) for one in getattr(recipients, name))
    of_sender = (everyone_of(sender),) if recipients.everyone and sender is not None else ()
    yield from ((BROADCAST, one) for one in of_sender or recipients.broadcasts())
