"""Jobs that take messages back.

As in `enqueue.py`, all is inserted in the caller's own transaction; a worker finds out what there is to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Unpack

from sqlalchemy import Connection

from worker.accounts.current import current_accounts
from worker.domain.content.recipient import Recipients
from worker.domain.errors import CheckFailed, Problem, aware_problems
from worker.domain.job import JobId, Kind
from worker.producer.insert import JobRef, ask, follow_up
from worker.producer.options import CLOCK, JobOptions, Options, enqueues
from worker.producer.plan import Asked

MSGID_BYTES = 512
"""Most bytes of a msgid; all that were seen have about 100, so a longer text is no msgid."""


@enqueues
def recall(connection: Connection, job_id: JobId, **keywords: Unpack[JobOptions]) -> JobRef:
    """Enqueues the recall of all messages of a job, sent or not; a worker finds out which have been sent.

    Parts that were not sent are cancelled, calls in flight are waited for, and parts in doubt are not repeated any
    more. Messages of the job's replays and resends are recalled with it; a recall of a replay is about that one alone.
    The vendor recalls a message within 24 h. A recall goes before sends.
    """
    options = Options(priority="urgent").given(keywords)
    return follow_up(connection, Kind.RECALL, job_id, {}, Recipients(), options, keywords)


@enqueues
def recall_message(
    connection: Connection,
    account: str,
    msgid: str,
    *,
    sent_at: datetime | None = None,
    **keywords: Unpack[JobOptions],
) -> JobRef:
    """Enqueues the recall of one message that another program sent, by its msgid, through the app that sent it.

    The vendor recalls a message within 24 h (page 94867, 撤回应用消息); later the job ends `rejected`. With `sent_at`
    (an aware datetime) that needs no call; without it the call is made and the vendor refuses it (42052).
    """
    problems = [*msgid_problems(msgid), *aware_problems("sent_at", sent_at)]
    found = (keywords.get("accounts") or current_accounts()).get(account)
    if problems:
        raise CheckFailed(problems, channel=found.channel)
    options = Options(priority="urgent").given(keywords)
    document = {"type": "recall", "msgid": msgid}
    if sent_at is not None:
        document["sent_at"] = sent_at.astimezone(UTC).isoformat()
    return ask(connection, Asked(Kind.RECALL, found, document, {}, Recipients(), options), keywords.get("clock", CLOCK))


def msgid_problems(msgid: object) -> Iterator[Problem]:
    """What is wrong with a msgid that a caller gives."""
    if not isinstance(msgid, str) or not msgid.strip():
        yield Problem("msgid", "is not a text with something in it", "give the vendor's msgid")
    elif (size := len(msgid.encode("utf-8", "surrogatepass"))) > MSGID_BYTES:
        yield Problem("msgid", "is too long", "give the vendor's msgid", MSGID_BYTES, "bytes", size)
    elif "\x00" in msgid:
        yield Problem("msgid", "holds a NUL character", "give the vendor's msgid")
