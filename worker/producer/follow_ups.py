"""Jobs about an earlier job: recalls, card updates, and the tracks and reminders of a group send.

As in `enqueue.py`, all is inserted in the caller's own transaction; a worker finds out what there is to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Unpack

from sqlalchemy import Connection

from worker.channels.registry import channel
from worker.domain.account import Account
from worker.domain.content.message import Message
from worker.domain.content.recipient import Everyone, Recipients
from worker.domain.errors import CheckFailed, NotReplayable, Problem, aware_problems
from worker.domain.job import TRACK_EVERY_S, TRACK_FOR_S, JobId, JobKind, id_of
from worker.outbox.engine.clock import now_in
from worker.outbox.jobs import jobs as outbox
from worker.outbox.jobs.codes import INSTEAD, SOON_US, CodeState, code_id, end_soon, read_code
from worker.outbox.jobs.target_job import jobs_reached
from worker.producer.insert import JobRef, follow_up, insert_one
from worker.producer.options import JobOptions, enqueues
from worker.producer.plan import JobRequest, Recipient, document_of, find_account, parse_recipients

if TYPE_CHECKING:
    from worker.config.accounts import AccountSource

MAX_MSGID_BYTES = 512
"""Most bytes of a msgid. All known msgids have about 100, so a longer text is none."""
MAX_PACE_S = 86_400.0
USE_UPDATE = "use CardUpdate(...), or the whole card that takes its place"
MAX_TRACK_AGE_S = 180 * 86_400.0


# -- recalls -----------------------------------------------------------------------------------------------------------


@enqueues(JobOptions)
def recall(
    connection: Connection, job_id: JobId, *, accounts: AccountSource | None = None, **options: Unpack[JobOptions]
) -> JobRef:
    """Enqueues the recall of all messages of a job, sent or not; a worker finds out which have been sent.

    A worker carries it out in its turn, which comes before sends: it cancels parts that were not sent by then, waits
    for calls in flight, and stops the repeats of parts in doubt. Until then what waits may still be sent, and is
    recalled after that; `cancel` and `recall_jobs`, which commit by themselves, stop it at once. Messages of the job's
    replays and resends are recalled with it; a recall of a replay is about that one alone. The vendor recalls a message
    within 24 h.
    """
    return follow_up(connection, JobKind.RECALL, job_id, {}, _urgent(options), accounts)


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
    account_settings = find_account(account, accounts)
    if problems:
        raise CheckFailed(problems, channel=account_settings.channel)
    document = {"type": "recall", "msgid": msgid}
    if sent_at is not None:
        document["sent_at"] = sent_at.astimezone(UTC).isoformat()
    return insert_one(connection, JobRequest(JobKind.RECALL, account_settings, document, options=_urgent(options)))


def _urgent(options: JobOptions) -> JobOptions:
    """Returns the options of a recall, which is urgent unless the caller says otherwise."""
    return {**options, "priority": options.get("priority") or "urgent"}


def msgid_problems(msgid: object) -> Iterator[Problem]:
    """Yields what is wrong with a msgid that a caller gives."""
    if not isinstance(msgid, str) or not msgid.strip():
        yield Problem("msgid", "is not a text with something in it", "give the vendor's msgid")
    elif (size := len(msgid.encode("utf-8", "surrogatepass"))) > MAX_MSGID_BYTES:
        yield Problem("msgid", "is too long", "give the vendor's msgid", MAX_MSGID_BYTES, "bytes", size)
    elif "\x00" in msgid:
        yield Problem("msgid", "holds a NUL character", "give the vendor's msgid")


# -- card updates ------------------------------------------------------------------------------------------------------


@enqueues(JobOptions)
def update_card_by_code(
    connection: Connection,
    account: str,
    response_code: str | None,
    update: Message,
    to: Recipient | None = None,
    *,
    issued_at: datetime | None = None,
    accounts: AccountSource | None = None,
    **options: Unpack[JobOptions],
) -> JobRef:
    """Enqueues the update of one card, for some or (without `to`) for all who have it, by this response_code alone.

    For a card that another program sent, or a code from a callback that the application received itself; `account` is
    the app that sent the card. The update is one call and spends the code. The vendor takes a code within 72 h of
    `issued_at` (an aware datetime); without that a late call is made and the vendor refuses it. A code that was used
    before, or may have been, is refused: CheckFailed when that is known already, otherwise the job ends `rejected`.
    With None the code is that of the update, as `message_from_json` reads it out of a whole body.
    """
    account_settings = find_account(account, accounts)
    document, targets = document_of(update, use=USE_UPDATE), _targets(to)
    problems = [*_update_problems(document), *aware_problems("issued_at", issued_at)]
    if problems:
        raise CheckFailed(problems, channel=account_settings.channel)
    response_code = document.get("response_code") if response_code is None else response_code
    document["response_code"] = response_code
    if issued_at is not None:
        document["issued_at"] = issued_at.astimezone(UTC).isoformat()
    _require_unused(connection, account_settings, response_code, options.get("dedupe_key"))
    request = JobRequest(JobKind.UPDATE_CARD, account_settings, document, targets, options=options)
    return insert_one(connection, request)


def _targets(to: Recipient | None) -> Recipients:
    """Returns the people whose cards are updated. Without names it is everyone of the original."""
    if to is None or to == Everyone():
        return Recipients()
    targets = parse_recipients(to)
    if not targets:
        remedy = "name some, or leave it out for everyone who has the card"
        raise CheckFailed([Problem("to", "there is no target (vendor code 82101)", remedy)])
    return targets


def _update_problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    if document.get("type") != "card_update":
        yield Problem("update", "is not a card update", "use CardUpdate(...)")


def _code_problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    if document.get("response_code") is not None:
        remedy = "leave it out, or use update_card_by_code (worker update-card --account)"
        yield Problem("response_code", "is of one card, and the update of a job takes the job's own", remedy)


def require_replayable(
    connection: Connection, old: Mapping[str, Any], document: Mapping[str, Any], account: Account
) -> None:
    """Raises NotReplayable if the job's own response_code is known to be used: a replay would spend it again."""
    response_code = document.get("response_code")
    held = _read_code_state(connection, account, response_code) if response_code else None
    if held is not None and held.used:
        job_id = str(old["id"])
        raise NotReplayable(f"the response_code of job {job_id} {held.fate}; {INSTEAD}", job=job_id)


def _require_unused(connection: Connection, account: Account, response_code: object, dedupe_key: str | None) -> None:
    if not isinstance(response_code, str):
        return  # the channel's check names the problem
    held = _read_code_state(connection, account, response_code)
    if held is None or not held.used:
        return
    if dedupe_key is not None and outbox.owners(connection, [(account.name, dedupe_key)]):
        return  # this dedupe key has a job: perhaps the one that used the code
    raise CheckFailed([Problem("response_code", held.fate, INSTEAD)], channel=account.channel)


def _read_code_state(connection: Connection, account: Account, response_code: str) -> CodeState | None:
    return read_code(connection, code_id(channel(account.channel).app_scope(account), response_code))


@enqueues(JobOptions)
def update_card(
    connection: Connection,
    job_id: JobId,
    update: Message,
    to: Recipient | None = None,
    *,
    reserve_last: bool = False,
    accounts: AccountSource | None = None,
    **options: Unpack[JobOptions],
) -> JobRef:
    """Enqueues the update of the card that a job sent, for some or (without `to`) for everyone who has it.

    Each call spends a response_code: first from presses of the people named, then from other presses, last the send's
    own. `reserve_last=True` keeps the send's own: without a press the update is refused. The update is urgent, whatever
    `priority` says, when the last code of a card ends within an hour. The cards of the job's replays and resends are
    updated too; an update of a replay is about that one alone.
    """
    document, targets = document_of(update, use=USE_UPDATE), _targets(to)
    problems = [*_update_problems(document), *_code_problems(document)]
    if problems:
        raise CheckFailed(problems)
    now = now_in(connection)
    if any(end_soon(connection, job, now, SOON_US) for job in jobs_reached(connection, id_of(job_id))):
        options["priority"] = "urgent"
    spec = {"reserve_last": True} if reserve_last else {}
    return follow_up(connection, JobKind.UPDATE_CARD, job_id, document, options, accounts, targets, spec)


# -- group sends -------------------------------------------------------------------------------------------------------


@enqueues(JobOptions)
def track(
    connection: Connection,
    job_id: JobId,
    *,
    pace: timedelta | float = TRACK_EVERY_S,
    max_age: timedelta | float = TRACK_FOR_S,
    accounts: AccountSource | None = None,
    **options: Unpack[JobOptions],
) -> JobRef:
    """Enqueues the tracking of a group-send: which members have sent it, and its status at every customer.

    Rounds are `pace` apart at least (seconds or a timedelta; 300 s by default) and farther with age, six hours at most,
    until nothing can change any more or the task is `max_age` old (30 days by default). `campaign(job)` shows what was
    read so far.
    """
    document: dict[str, object] = {"type": "track"}
    problems: list[Problem] = []
    for name, given, most in (("pace", pace, MAX_PACE_S), ("max_age", max_age, MAX_TRACK_AGE_S)):
        seconds = given.total_seconds() if isinstance(given, timedelta) else given
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= most:
            problems.append(Problem(name, "is not a valid time", f"use a timedelta or seconds, up to {most:.0f}"))
        document[f"{name}_s"] = seconds
    if problems:
        raise CheckFailed(problems)
    if options.get("priority") is None:
        options["priority"] = "bulk"
    return follow_up(connection, JobKind.TRACK, job_id, document, options, accounts)


@enqueues(JobOptions)
def remind(
    connection: Connection, job_id: JobId, *, accounts: AccountSource | None = None, **options: Unpack[JobOptions]
) -> JobRef:
    """Enqueues a reminder to the members who have not confirmed a group-send yet.

    The vendor takes three reminders of a task in 24 h (page 97610); a fourth ends `rejected` with the time when the
    next one is taken.
    """
    return follow_up(connection, JobKind.REMIND, job_id, {"type": "remind"}, options, accounts)
