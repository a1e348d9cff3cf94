"""Resolves the follow-ups of a group send: tracking its result, reminding of it, and the search for one in doubt.

A track job reads page after page, each with a call of its own, and in every round only what can still change. A look-up
searches the vendor's list for a task whose answer was lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from worker.channels.base import Channel
from worker.channels.registry import alike
from worker.config.accounts import AccountSource
from worker.delivery.resolver import Resolved
from worker.delivery.resolver.recall_and_update import NOT_SENT, FollowUps, Plan, Snapshot, WaitsFor, first_awaited
from worker.domain import settle
from worker.domain.account import Account
from worker.domain.job import TRACK_EVERY_S, TRACK_FOR_S, is_read, job_of
from worker.domain.outcome import Held, Rejected
from worker.domain.settle import SECOND, PartFacts
from worker.domain.state import ACCEPTED_STATES, PartState
from worker.outbox.commit.commands import Change, unless_changed
from worker.outbox.engine.database import Database
from worker.outbox.engine.site_keys import lane_key, lane_name
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs import confirmations
from worker.outbox.jobs.codes import stored_task_ids
from worker.outbox.jobs.loading import JobPart
from worker.outbox.jobs.target_job import TargetPart, is_recalled, other_unanswered_parts, reminders

SLOWEST_S = 6 * 3600
"""The longest pause between two rounds of a track, in seconds."""
REMINDERS, REMIND_WINDOW_S = 3, 86_400
"""The vendor accepts three reminders of a task in 24 h (page 97610)."""
TWIN_WINDOW_S = 3600
"""Seconds before the doubt began. The search does not reach the task of a part whose last call was earlier."""
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

    def track(self, part: JobPart) -> Resolved:
        """Resolves the next page of a track job. The job ends when nothing can change or the task is too old."""
        planned = self._follow_ups.planned_part(part, _track_plan, None)
        if not isinstance(planned, JobPart) or part.spec["step"] != "result" or part.spec.get("member"):
            return planned
        return self._next_member(part)

    def _next_member(self, part: JobPart) -> Resolved:
        """Resolves the page of the next member whose result can still change. If there is none, the round ends."""
        spec, target = part.spec, part.spec["target"]
        with self._database.reading() as connection:
            member = confirmations.next_to_read(connection, target, spec.get("after", ""))
            settled = member is None and confirmations.is_settled(connection, target)
            cancelled = member is None and is_recalled(connection, target)
        if member is not None:
            part.spec = {**spec, "member": member, "after": member, "cursor": ""}
            return part
        self._end_round(part, settled=settled, cancelled=cancelled)
        return None

    def _end_round(self, part: JobPart, *, settled: bool, cancelled: bool) -> None:
        """Ends the job, or puts its next round off by the interval of the track."""
        pace_s = part.message.get("pace_s") or TRACK_EVERY_S
        age_us = int((part.message.get("max_age_s") or TRACK_FOR_S) * SECOND)
        since = part.spec["since"]

        def end(row: PartFacts, now: int) -> None:
            if settled or now - since >= age_us or (cancelled and part.spec.get("last")):
                settle.finish(row)
            elif cancelled:
                # One last round: a member may have sent the message before it was cancelled.
                settle.wait_until(row, now, "was cancelled: its result is read once more")
            else:
                # The older the task, the less often it changes: the pause grows to a tenth of its age.
                pause_us = max(int(pace_s * SECOND), min((now - since) // 10, SLOWEST_S * SECOND))
                settle.wait_until(row, min(now + pause_us, since + age_us), "its result is read again")

        next_spec = {**part.spec, "step": "task", "member": None, "after": "", "cursor": "", "last": cancelled}
        self._change([replace(unless_changed(part, end), spec=json.dumps(next_spec, ensure_ascii=False))])

    def remind(self, part: JobPart) -> Resolved:
        """Resolves a reminder, one call per task. Refuses the fourth within 24 h, with the time of the next."""
        planned = self._follow_ups.planned_part(part, _remind_plan, None)
        if not isinstance(planned, JobPart):
            return planned
        with self._database.reading() as connection:
            now = read_now(connection, self._database.now)
            instants = reminders(connection, part.spec["target"], now - REMIND_WINDOW_S * SECOND)
        if len(instants) >= REMINDERS:
            opens = datetime.fromtimestamp((instants[-REMINDERS] + REMIND_WINDOW_S * SECOND) / SECOND, UTC)
            when = f"the next reminder is possible at {opens:%Y-%m-%d %H:%M:%S}Z"
            return Rejected(f"the vendor allows {REMINDERS} reminders of a task in 24 h; {when}")
        return part

    def look_up(self, part: JobPart, channel: Channel, account: Account) -> Resolved:
        """Resolves the search for a task: the time in which it may have been created, and the tasks of other parts.

        The part is held if another send of the same content is in doubt as well. It waits while such a send is in
        flight.
        """
        with self._database.reading() as connection:
            now = read_now(connection, self._database.now)
            # Accounts that share media_ids are of one corp, which has one list of tasks.
            names = alike(self._accounts, account, channel.media_scope)
            rivals = [rival for name in names for rival in self._rivals(connection, name, part, channel)]
            # Read after the rivals: one that is answered between the two statements is then among the tasks. In the
            # other order it could be missing from both.
            task_ids = [task_id for name in names for task_id in stored_task_ids(connection, name)]
        own = channel.body_hash(part, account)
        # Documents of a newer release cannot be read here, so they may be equal.
        twins = [one for one in rivals if not is_read(one.payload) or channel.body_hash(one, account) == own]
        if any(twin.in_doubt for twin in twins):
            return Held(
                "in doubt, and so is another send of the same content: it cannot be known which of them was accepted"
            )
        if twins:
            # The search could find the task of the call in flight.
            self._change([unless_changed(part, _wait_for_twin)])
            return None
        # The first mark may be after now, if the database's clock was set back.
        first = part.first_marked_at or now
        doubt = [min(first, now) // SECOND, max(first, now) // SECOND + 1]
        part.facts = {"doubt": doubt, "known": task_ids, "rivals": rivals}
        return part

    def _rivals(self, connection: Connection, name: str, part: JobPart, channel: Channel) -> list[JobPart]:
        """Returns unanswered parts of an account whose tasks are of the same time as this part's."""
        lane = lane_name(lane_key(connection), name, channel.lane(part.kind, part.message, part.spec))
        return [
            rival
            for rival in other_unanswered_parts(connection, name, part.kind, lane, part.id)
            if (rival.marked_at or 0) + TWIN_WINDOW_S * SECOND >= (part.first_marked_at or 0)
        ]


def _wait_for_twin(part: PartFacts, now: int) -> None:
    settle.wait_until(part, now + TWIN_S * SECOND, "an equal message is in flight: the search waits for its answer")


def _track_plan(part: JobPart, snapshot: Snapshot) -> Plan:
    return _per_task(snapshot, {"step": "task", "member": None, "after": "", "cursor": "", "since": snapshot.now})


def _remind_plan(part: JobPart, snapshot: Snapshot) -> Plan:
    return _per_task(snapshot, {})


def _per_task(snapshot: Snapshot, extra: Mapping[str, Any]) -> Plan:
    """Plans one part for each task that was created. Waits while one may still be created."""
    if (awaited := first_awaited(snapshot.parts)) is not None:
        return WaitsFor(job_of(awaited.id))
    specs = [
        _task_spec(part, extra)
        for part in snapshot.parts
        if part.state in ACCEPTED_STATES or part.state is PartState.UNKNOWN
    ]
    return specs or NOT_SENT


def _task_spec(part: TargetPart, extra: Mapping[str, Any]) -> dict[str, Any]:
    spec = {"target": part.id, "claim": part.claim}
    if part.msgid is None:
        return {**spec, "refuse": "the send is in doubt or has no msgid, so the vendor cannot be asked about it"}
    return {**spec, "msgid": part.msgid, **extra}
