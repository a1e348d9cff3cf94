"""Resolves what follows a group send: tracking its outcome, reminding of it, and the search for one in doubt.

A track job reads page after page, each page a call of its own, and in every round what can still change. A look-up is
the search of the vendor's list for a task whose answer was lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from worker.channels.base import Channel
from worker.channels.registry import alike
from worker.config.accounts import AccountSource
from worker.delivery.resolver import Resolved
from worker.delivery.resolver.follow_ups import NOT_SENT, FollowUps, Plan, Snapshot, Waits, first_awaited
from worker.domain import settle
from worker.domain.account import Account
from worker.domain.job import TRACK_EVERY_S, TRACK_FOR_S, is_read, job_of
from worker.domain.outcome import Held, Rejected
from worker.domain.settle import SECOND, PartFacts
from worker.domain.state import PartState
from worker.outbox.commit.commands import Change
from worker.outbox.engine.database import Database
from worker.outbox.engine.site_keys import lane_key, lane_name
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs import confirmations
from worker.outbox.jobs.codes import named_ids
from worker.outbox.jobs.follow_ups import TargetPart, is_recalled, others_unanswered, reminders
from worker.outbox.jobs.loading import JobPart

SLOWEST_S = 6 * 3600
"""The longest pause between two rounds of a track, in seconds."""
REMINDERS, REMIND_WINDOW_S = 3, 86_400
"""The vendor takes three reminders of a task in 24 h (page 97610)."""
APART_S = 3600
"""Seconds: the task of a part whose last call was so long before the doubt began is outside the time searched."""
TWIN_S = 2
"""Seconds until a search checks again whether an equal message was answered."""


class GroupSends:
    """Finds what the next call of a track, a reminder or a look-up needs."""

    def __init__(
        self,
        database: Database,
        accounts: AccountSource,
        follow_ups: FollowUps,
        change: Callable[[Sequence[Change]], None],
    ):
        self._database, self._accounts, self._follow_ups, self._change = database, accounts, follow_ups, change

    def track(self, due: JobPart) -> Resolved:
        """Resolves the next page of a track job, which ends when nothing can change or the task is too old."""
        planned = self._follow_ups.planned(due, _track_plan, None)
        if not isinstance(planned, JobPart) or due.spec["step"] != "result" or due.spec.get("member"):
            return planned
        return self._next_member(due)

    def _next_member(self, due: JobPart) -> Resolved:
        """Resolves the page of the next member whose result can still change; without one the round ends."""
        spec, target = due.spec, due.spec["target"]
        with self._database.reading() as connection:
            member = confirmations.next_to_read(connection, target, spec.get("after", ""))
            settled = member is None and confirmations.is_settled(connection, target)
            cancelled = member is None and is_recalled(connection, target)
        if member is not None:
            due.spec = {**spec, "member": member, "after": member, "cursor": ""}
            return due
        self._end_round(due, settled=settled, cancelled=cancelled)
        return None

    def _end_round(self, due: JobPart, *, settled: bool, cancelled: bool) -> None:
        """Ends the job, or puts its next round off by the pace of the track."""
        pace_s = due.message.get("pace_s") or TRACK_EVERY_S
        age_us = int((due.message.get("max_age_s") or TRACK_FOR_S) * SECOND)
        since = due.spec["since"]

        def end(part: PartFacts, now: int) -> None:
            if part.state is not PartState.QUEUED or part.claim != due.claim:
                return
            if settled or now - since >= age_us or (cancelled and due.spec.get("last")):
                settle.finish(part)
            elif cancelled:
                # Once more from the beginning: a member may have sent the message before it was cancelled.
                settle.wait_until(part, now, "was cancelled: reads once more what became of it")
            else:
                # The older the task, the less often it changes: the pause grows to a tenth of its age.
                pause_us = max(int(pace_s * SECOND), min((now - since) // 10, SLOWEST_S * SECOND))
                settle.wait_until(part, min(now + pause_us, since + age_us), "reads again what became of it")

        again = {**due.spec, "step": "task", "member": None, "after": "", "cursor": "", "last": cancelled}
        self._change([Change(due.id, end, spec=json.dumps(again, ensure_ascii=False))])

    def remind(self, due: JobPart) -> Resolved:
        """Resolves a reminder, one call per task; the fourth within 24 h is refused with the time of the next."""
        planned = self._follow_ups.planned(due, _remind_plan, None)
        if not isinstance(planned, JobPart):
            return planned
        with self._database.reading() as connection:
            now = read_now(connection, self._database.now)
            instants = reminders(connection, due.spec["target"], now - REMIND_WINDOW_S * SECOND)
        if len(instants) >= REMINDERS:
            opens = datetime.fromtimestamp((instants[-REMINDERS] + REMIND_WINDOW_S * SECOND) / SECOND, UTC)
            when = f"the next is taken at {opens:%Y-%m-%d %H:%M:%S}Z"
            return Rejected(f"the vendor takes {REMINDERS} reminders of a task in 24 h; {when}")
        return due

    def look_up(self, due: JobPart, channel: Channel, account: Account) -> Resolved:
        """Resolves the search: the time in which the task may have been made, and the tasks of other parts.

        Held when another send of the same content is in doubt as well. Waits while one is in flight.
        """
        with self._database.reading() as connection:
            now = read_now(connection, self._database.now)
            # Accounts that share media_ids are of one corp, which has one list of tasks.
            names = alike(self._accounts, account, channel.media_scope)
            twins = [twin for name in names for twin in self._twins(connection, name, due, channel, account)]
            # After the twins: a twin that is answered between the two statements is among the known tasks then, and
            # in the other order it would be in neither.
            task_ids = [task_id for name in names for task_id in named_ids(connection, name)]
        if any(twin.in_doubt for twin in twins):
            return Held("in doubt, and so is another send of the same content: nobody can tell which one was taken")
        if twins:
            # The task that the search would find may be the one of the call in flight.
            self._change([Change(due.id, _wait_for_twin)])
            return None
        # May be after now, where the database's clock was set back.
        first = due.first_marked_at or now
        doubt = [min(first, now) // SECOND, max(first, now) // SECOND + 1]
        due.facts = {"doubt": doubt, "known": task_ids}
        return due

    def _twins(
        self, connection: Connection, name: str, due: JobPart, channel: Channel, account: Account
    ) -> list[JobPart]:
        """Unanswered parts of an account whose tasks could not be told from this one's, by content and time."""
        lane = lane_name(lane_key(connection), name, channel.lane(due.kind, due.message, due.spec))
        own = channel.body_hash(due, account)
        return [
            other
            for other in others_unanswered(connection, name, due.kind, lane, due.id)
            if (other.marked_at or 0) + APART_S * SECOND >= (due.first_marked_at or 0)
            # What a newer release wrote may be equal.
            and (not is_read(other.payload) or channel.body_hash(other, account) == own)
        ]


def _wait_for_twin(part: PartFacts, now: int) -> None:
    if part.state is PartState.QUEUED:
        settle.wait_until(
            part, now + TWIN_S * SECOND, "an equal message is in the air: its search waits for the answer"
        )


def _track_plan(due: JobPart, snapshot: Snapshot) -> Plan:
    return _per_task(snapshot, {"step": "task", "member": None, "after": "", "cursor": "", "since": snapshot.now})


def _remind_plan(due: JobPart, snapshot: Snapshot) -> Plan:
    return _per_task(snapshot, {})


def _per_task(snapshot: Snapshot, more: Mapping[str, Any]) -> Plan:
    """Plans one part for each task that was made; waits while one may still be made."""
    if (awaited := first_awaited(snapshot.parts)) is not None:
        return Waits(job_of(awaited.id))
    specs = [
        _task_spec(part, more) for part in snapshot.parts if part.state in TAKEN or part.state is PartState.UNKNOWN
    ]
    return specs or NOT_SENT


TAKEN = (PartState.ACCEPTED, PartState.PARTIAL)


def _task_spec(part: TargetPart, more: Mapping[str, Any]) -> dict[str, Any]:
    where = {"target": part.id, "claim": part.claim}
    if part.msgid is None:
        return {**where, "refuse": "the send is in doubt or brought no msgid: nothing can be asked about it"}
    return {**where, "msgid": part.msgid, **more}
