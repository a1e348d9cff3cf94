"""Who of a job stands where: counted, and listed page by page, without loading all who were asked for.

The parts of a send share its recipients out, so what is true of each stands with its part. Where recipients can stand
in several parts (pieces of a long text, card updates, customers of two members) the whole job is looked at.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from worker.channels import channel
from worker.delivery.counting import OVERLAPPING, Counts, Named, Share, of_part, shares
from worker.delivery.finding import JobId, id_of, row_of, rows_of
from worker.domain.errors import CheckFailed, Problem
from worker.domain.recipient import Recipients
from worker.outbox import reading
from worker.outbox.caller import Bind, on_callers_connection

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
