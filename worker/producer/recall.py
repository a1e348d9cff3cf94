"""Jobs that take messages back.

As in `enqueue.py`, all is inserted in the caller's own transaction; a worker finds out what there is to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Unpack

from sqlalchemy import Connection

from worker.accounts.current import current_accounts
from worker.domain.errors import CheckFailed, Problem, aware_problems
from worker.domain.job import JobId, Kind
from worker.producer.insert import JobRef, follow_up, insert_one
from worker.producer.options import JobOptions, enqueues
from worker.producer.plan import JobRequest

if TYPE_CHECKING:
    from worker.config.accounts import AccountSource

MSGID_BYTES = 512
"""Most bytes of a msgid; all that were seen have about 100, so a longer text is no msgid."""


@enqueues(JobOptions)
def recall(
    connection: Connection, job_id: JobId, *, accounts: AccountSource | None = None, **options: Unpack[JobOptions]
) -> JobRef:
    """Enqueues the recall of all messages of a job, sent or not; a worker finds out which have been sent.

    Parts that were not sent are cancelled, calls in flight are waited for, and parts in doubt are not repeated any
    more. Messages of the job's replays and resends are recalled with it; a recall of a replay is about that one alone.
    The vendor recalls a message within 24 h. A recall goes before sends.
    """
    return follow_up(connection, Kind.RECALL, job_id, {}, _urgent(options), accounts)


@enqueues(JobOptions)
def recall_message(
    connection: Connection,
    account: str,
    msgid: str,
    *,
    sent_at: datetime | None = None,
    accounts: AccountSource | None = None,
    **options: Unpack[JobOptions],
) -> JobRef:
    """Enqueues the recall of one message that another program sent, by its msgid, through the app that sent it.

    The vendor recalls a message within 24 h (page 94867, 撤回应用消息); later the job ends `rejected`. With `sent_at`
    (an aware datetime) that needs no call; without it the call is made and the vendor refuses it (42052).
    """
    problems = [*msgid_problems(msgid), *aware_problems("sent_at", sent_at)]
    found = (accounts or current_accounts()).get(account)
    if problems:
        raise CheckFailed(problems, channel=found.channel)
    document = {"type": "recall", "msgid": msgid}
    if sent_at is not None:
        document["sent_at"] = sent_at.astimezone(UTC).isoformat()
    return insert_one(connection, JobRequest(Kind.RECALL, found, document, options=_urgent(options)))


def _urgent(options: JobOptions) -> JobOptions:
    """The options of a recall, which goes first unless it is said otherwise."""
    return {**options, "priority": options.get("priority") or "urgent"}


def msgid_problems(msgid: object) -> Iterator[Problem]:
    """What is wrong with a msgid that a caller gives."""
    if not isinstance(msgid, str) or not msgid.strip():
        yield Problem("msgid", "is not a text with something in it", "give the vendor's msgid")
    elif (size := len(msgid.encode("utf-8", "surrogatepass"))) > MSGID_BYTES:
        yield Problem("msgid", "is too long", "give the vendor's msgid", MSGID_BYTES, "bytes", size)
    elif "\x00" in msgid:
        yield Problem("msgid", "holds a NUL character", "give the vendor's msgid")
