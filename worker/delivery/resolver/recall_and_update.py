"""Resolves recalls and card updates: finds msgid and response_code in earlier receipts, or waits, or refuses.

One transaction locks the target job's row, then reads it, then plans the follow-up or lets it wait. So no wake-up is
lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection

from worker.channels.base import Channel
from worker.delivery.resolver import Resolved
from worker.delivery.resolver.stopping import STOPPABLE, stop
from worker.domain import settle
from worker.domain.account import Account
from worker.domain.job import Priority, RepeatRule, job_of
from worker.domain.outcome import Accepted, CallReceipt, Rejected
from worker.domain.pacing.lane import account_of
from worker.domain.settle import FOREVER, PartFacts
from worker.domain.state import ACCEPTED_STATES, OPEN_STATES, PartState
from worker.outbox.commit.commands import Change, unless_changed
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.codes import (
    INSTEAD,
    SOON_US,
    CodeState,
    code_id,
    code_states,
    fresh_codes,
    pressed_by,
    read_code,
    store_code,
)
from worker.outbox.jobs.confirmations import members_of
from worker.outbox.jobs.loading import JobPart
from worker.outbox.jobs.target_job import (
    TargetPart,
    jobs_reached,
    kind_and_message,
    later_replays,
    lock_job_row,
    lock_part,
    make_urgent,
    plan_parts,
    refused_users,
    target_parts,
    wait_for_target,
)

NOT_SENT_STATES = (PartState.REJECTED, PartState.EXHAUSTED, PartState.EXPIRED, PartState.CANCELLED)
PLANNED = {"target", "refuse"}
"""A follow-up's part with one of these keys in its spec is planned already."""
NOT_SENT = Accepted(CallReceipt(not_sent=True))
"""The earlier message was never sent, so a follow-up is accepted without a call."""
DUPLICATED = (
    "an earlier call of the send is in doubt and brought no msgid: if its message was"
    " delivered, too, it cannot be recalled"
)


@dataclass(frozen=True, slots=True)
class WaitsFor:
    """A plan that the follow-up waits until a part of this job changes its state."""

    job: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rows from which a plan is made, read under the target's lock."""

    parts: list[TargetPart]
    """Parts of the target and, if the follow-up includes them, of its replays."""
    kind: str
    """Kind of the target job."""
    message: Mapping[str, Any] = field(repr=False)
    now: int
    pressed: Mapping[str, set[str]]
    """Userid in lower case -> parts whose card this member pressed, for members that the follow-up names."""
    refused: Mapping[str, set[str]] = field(repr=False)
    """Part -> members that the vendor refused in it, for a job with replays."""


Plan = list[dict[str, Any]] | Rejected | Accepted | WaitsFor


class FollowUps:
    """Finds what recalls and card updates need from their target job."""

    def __init__(
        self,
        database: Database,
        change: Callable[[Sequence[Change]], None],
        *,
        lane_of: Callable[[str, str, str | None], str],
        call_deadline_s: float,
        code_ttl_s: float,
    ):
        """`lane_of` returns the name of a lane, given its account, its label and its tenant."""
        self._database, self._change, self._lane_of = database, change, lane_of
        self._code_ttl_s = int(code_ttl_s)
        self._deadline_us = int(call_deadline_s * settle.SECOND)

    def recall(self, part: JobPart, channel: Channel, account: Account) -> Resolved:
        """Resolves a recall: one call per msgid. Cancels unsent parts, and waits for parts in flight."""
        window = self._window_us(channel, account)
        if part.target_job_id is None:
            return self._recall_foreign(part, window)
        if not part.spec.keys() & PLANNED:
            self._stop_target(part.target_job_id, channel)
        plan = partial(self._recall_plan, window, channel)
        resolved = self.planned_part(part, plan, window, with_replays=channel)
        if isinstance(resolved, JobPart):
            part.facts, part.recalled = (
                self._read_progress(part.spec["target"]),
                (part.spec["target"], part.spec["claim"]),
            )
        return resolved

    def _read_progress(self, target: str) -> dict[str, Any]:
        """Returns how many members there are and how many had sent the message when last read; empty if unknown."""
        with self._database.reading() as connection:
            members, done = members_of(connection, target)
        return {"members": members, "done": done} if members else {}

    def _window_us(self, channel: Channel, account: Account) -> int | None:
        """Returns for how many microseconds after its acceptance a send can be recalled, or None without an end."""
        window_s = channel.recall_window_s
        return None if window_s is None else account.relied_on_s("recall", window_s) * settle.SECOND

    def _recall_foreign(self, part: JobPart, window: int | None) -> Resolved:
        """Resolves the recall of a message that another program sent, by its msgid."""
        part.spec = {"msgid": part.message["msgid"]}
        # Without the time of the send only the vendor knows whether it can still be recalled.
        if "sent_at" not in part.message:
            return part
        sent_at = int(datetime.fromisoformat(part.message["sent_at"]).timestamp()) * settle.SECOND
        too_late = self._too_late(sent_at, self._database.read_now(), window)
        return Rejected(too_late) if too_late else part

    def update_card(self, part: JobPart, channel: Channel, account: Account) -> Resolved:
        """Resolves a card update: one call per card that was sent, each with a fresh response_code of its own."""
        if part.target_job_id is None:
            return self._use_own_code(part, channel.app_scope(account))
        window = self._window_us(channel, account)
        resolved = self.planned_part(part, _update_plan, window, with_replays=channel)
        return self._pick_code(part) if isinstance(resolved, JobPart) else resolved

    def _use_own_code(self, part: JobPart, app: str) -> Resolved:
        """Resolves an update with the application's own response_code. No other code of that card is known."""
        response_code = part.message["response_code"]
        code_state, now = self._database.run(
            lambda connection: self._register_code(connection, part, app, response_code)
        )
        if code_state.used:
            return Rejected(f"its response_code {code_state.fate}; {INSTEAD}")
        # A lease of this part does not stop it: a repeat of the part has the lease already.
        if code_state.state == "leased" and code_state.holder != part.id:
            self._change([unless_changed(part, _wait_for_code)])
            return None
        if code_state.ends_at <= now + self._deadline_us:
            hours = f"{self._code_ttl_s / 3600:g}"
            ended = f"that time ended at {_as_text(code_state.ends_at)}"
            return Rejected(f"a response_code is valid for {hours} h only; {ended}; {INSTEAD}")
        self._make_urgent_if_soon(part, code_state.ends_at - now)
        part.facts, part.code_id = {"response_code": response_code}, code_state.id
        return part

    def _register_code(
        self, connection: Connection, part: JobPart, app: str, response_code: str
    ) -> tuple[CodeState, int]:
        """Returns the stored state of the application's code, and the time now. Stores a new code."""
        now = read_now(connection, self._database.now)
        key = code_id(app, response_code)
        code_state = read_code(connection, key)
        if code_state is None:
            issued_at = part.message.get("issued_at")
            # Without `issued_at` only the vendor knows whether the code is still good, so the call is made.
            issued = min(now, int(datetime.fromisoformat(issued_at).timestamp() * settle.SECOND)) if issued_at else now
            ends_at = issued + self._code_ttl_s * settle.SECOND
            if ends_at <= now + self._deadline_us:
                # Too late by an `issued_at` that may be wrong. Not stored, so that a corrected `issued_at` still works.
                return CodeState(key, "fresh", None, ends_at), now
            # Stored before its first call, so that two updates with the same code do not both use it.
            store_code(connection, app, part.id, response_code, issued, self._code_ttl_s, given=True)
            code_state = read_code(connection, key)
        assert code_state is not None
        return code_state, now

    def _make_urgent_if_soon(self, part: JobPart, remaining_us: int) -> None:
        """Makes the part urgent if its code expires soon, so that it goes before other parts of its lane."""
        if remaining_us <= SOON_US and part.priority != Priority.URGENT:
            self._database.run(lambda connection: make_urgent(connection, part.id))

    def _pick_code(self, part: JobPart) -> Resolved:
        """Picks a fresh response_code of the card. Waits while another update uses one, and refuses if none remains."""
        with self._database.reading() as connection:
            until, people = f"{self._database.now} + {self._deadline_us}", part.spec.get("users") or ()
            codes = fresh_codes(connection, part.spec["target"], until, people)
            usable = [code for code in codes if not (part.spec.get("reserve_last") and code.source == "send")]
            states = set() if usable else code_states(connection, part.spec["target"])
        if usable:
            self._make_urgent_if_soon(part, max(code.left_us for code in usable))
            part.facts, part.code_id = {"response_code": usable[0].code}, usable[0].id
            part.another_code = len(usable) > 1
            return part
        if "leased" in states:
            # Another update is in flight with it. Only the end of that call shows whether the code is used up.
            self._change([unless_changed(part, _wait_for_code)])
            return None
        if codes:
            return Rejected(
                "only the response_code of the send itself is left, and reserve_last keeps it; wait until"
                " somebody presses the card"
            )
        if states:
            return Rejected("no response_code is left: each is valid for one update within 72 h; send a new card")
        return Rejected("the card brought no response_code, or its answer was lost; a press brings the next one")

    def _stop_target(self, job_id: str, channel: Channel) -> None:
        """Stops the unsent parts of a recalled job, and further repeats of its parts in doubt.

        The search for a part in doubt goes on, because a message that it finds can be recalled.
        """
        with self._database.reading() as connection:
            jobs = jobs_reached(connection, job_id)
            parts = [part for job in jobs for part in target_parts(connection, job)]
            stoppable = [part for part in _distinct(parts) if part.state in STOPPABLE]
            is_searched = bool(stoppable) and channel.is_looked_up(*_kind_and_message(connection, jobs))
        self._change([stop("recalled", part.id, is_searched=is_searched) for part in stoppable])

    def planned_part(
        self,
        part: JobPart,
        plan: Callable[[JobPart, Snapshot], Plan],
        window: int | None,
        *,
        with_replays: Channel | None = None,
    ) -> Resolved:
        """Returns the part with its plan, or the refusal that was planned. Plans the follow-up if it has no plan.

        `with_replays`: the channel, if the follow-up includes the replays of its target, each by the account that sent.
        """
        if not part.spec.keys() & PLANNED:
            result = self._plan(part, plan, window, with_replays=with_replays)
            if not isinstance(result, dict):
                return result
            part.spec = result
        return Rejected(part.spec["refuse"]) if "refuse" in part.spec else part

    def _plan(
        self,
        part: JobPart,
        plan: Callable[[JobPart, Snapshot], Plan],
        window: int | None,
        *,
        with_replays: Channel | None,
    ) -> dict[str, Any] | Rejected | Accepted | None:
        """Plans a follow-up as parts and returns the part's own spec, or lets it wait and returns None."""
        target = part.target_job_id or ""

        def resolve(connection: Connection) -> dict[str, Any] | Rejected | Accepted | None:
            chain = jobs_reached(connection, target) if with_replays else [target]
            # Sorted, so that two follow-ups of the same jobs lock them in the same order. Locked before reading: a part
            # that changes afterwards wakes this follow-up, so no wake-up is lost.
            jobs = [job for job in sorted(chain) if lock_job_row(connection, job)]
            if target not in jobs:
                return Rejected("the job that it follows does not exist any more")
            own = lock_part(connection, part.id, part.claim)
            if own is None:
                return None
            facts, spec = own
            if spec.keys() & PLANNED:
                # Another sender has planned it meanwhile.
                return spec
            snapshot = _read_snapshot(connection, self._database.now, part, [job for job in chain if job in jobs])
            specs = plan(part, snapshot)
            if isinstance(specs, Accepted) and with_replays:
                return _refer_to_replays(connection, target) or specs
            if not isinstance(specs, list):
                return self._settle_without(connection, facts, snapshot, specs, window)
            lanes = {target.id: self._lane(part, with_replays, target) for target in snapshot.parts}
            # Its own account first, so that its part has to change its lane only if nothing is left for that.
            specs.sort(key=lambda spec: lanes[spec["target"]] != part.lane)
            plan_parts(connection, facts, specs, [lanes[spec["target"]] for spec in specs])
            return specs[0] if lanes[specs[0]["target"]] == part.lane else None

        return self._database.run(resolve)

    def _lane(self, part: JobPart, channel: Channel | None, target: TargetPart) -> str:
        """Returns the lane of the call about one part of the target: inside the account that sent that."""
        account = account_of(target.lane)
        if channel is None or account == part.account:
            return part.lane
        return self._lane_of(account, channel.lane(part.kind, part.message, part.spec), part.tenant)

    def _settle_without(
        self,
        connection: Connection,
        facts: PartFacts,
        snapshot: Snapshot,
        result: Rejected | Accepted | WaitsFor,
        window: int | None,
    ) -> Rejected | Accepted | None:
        """Settles a follow-up that has nothing to call now."""
        if not isinstance(result, WaitsFor):
            return result
        until = self._recheck_at(snapshot.parts, snapshot.now, window)
        wait_for_target(connection, facts, result.job, snapshot.now, until, "waits for the job that it follows")
        return None

    def _recheck_at(self, parts: list[TargetPart], now: int, window: int | None) -> int:
        """Returns when a waiting follow-up reads its job again, in microseconds, or `FOREVER`: only when it is woken.

        The follow-up is woken when the job changes. The returned time is for jobs that never do.
        """
        # A part in doubt may become held without a wake-up, so the job is read again after recovery has acted on it.
        acts = [part.not_before for part in parts if part.state is PartState.UNKNOWN and part.not_before is not None]
        if acts:
            return max(*acts, now) + settle.SECOND
        marks = [part.first_marked_at for part in parts if part.first_marked_at is not None]
        if not marks or window is None:
            return FOREVER
        # One call's deadline before the vendor's time for a recall ends, so that the recall can still be made.
        return max(min(marks) + window - self._deadline_us, now + self._deadline_us)

    def _recall_plan(self, window: int | None, channel: Channel, part: JobPart, snapshot: Snapshot) -> Plan:
        targets, now = snapshot.parts, snapshot.now
        soon = [target for target in targets if target.state is PartState.UNKNOWN and target.not_before is not None]
        searched = soon if soon and channel.is_looked_up(snapshot.kind, snapshot.message) else []
        awaited = next((target for target in targets if target.state in OPEN_STATES or target in searched), None)
        if awaited is not None:
            return WaitsFor(job_of(awaited.id))
        specs = [spec for target in targets if (spec := self._recall_spec(target, now, window)) is not None]
        duplicates = [target for target in _distinct(targets) if _may_be_duplicated(target, snapshot, channel)]
        specs += [{"target": target.id, "claim": target.claim, "refuse": DUPLICATED} for target in duplicates]
        return specs or NOT_SENT

    def _recall_spec(self, part: TargetPart, now: int, window: int | None) -> dict[str, Any] | None:
        # A part that a person declared not sent has a msgid if the vendor's answer came after all.
        if part.state in NOT_SENT_STATES and part.msgid is None:
            return None
        spec_base = {"target": part.id, "claim": part.claim}
        if part.state is PartState.UNKNOWN:
            return {**spec_base, "refuse": "the send is in doubt and has no msgid, so it cannot be recalled"}
        if part.msgid is None:
            return {**spec_base, "refuse": "the vendor gave no msgid for this send, so it cannot be recalled"}
        too_late = self._too_late(part.accepted_at or 0, now, window)
        return {**spec_base, "refuse": too_late} if too_late else {**spec_base, "msgid": part.msgid}

    def _too_late(self, sent_at: int, now: int, window: int | None) -> str | None:
        """Returns why a message of that time can no longer be recalled, or None if it can."""
        # One deadline before the vendor's time ends, because the call must end within it.
        if window is None or now <= sent_at + window - self._deadline_us:
            return None
        ended = _as_text(sent_at + window)
        hours = f"{window / settle.SECOND / 3600:g}"
        return f"the vendor recalls a message only within {hours} h of sending; that time ended at {ended}"


def _as_text(micros: int) -> str:
    return f"{datetime.fromtimestamp(micros / settle.SECOND, UTC):%Y-%m-%d %H:%M:%S}Z"


def _refer_to_replays(connection: Connection, job_id: str) -> Rejected | None:
    """Returns the refusal for a replay of which nothing was sent, if later replays exist, else None."""
    # Messages of the later replays may have been shown. Which of them the caller means is not guessed.
    replays = later_replays(connection, job_id)
    if replays.first is None:
        return None
    newest = replays.ids[-1]
    return Rejected(
        f"nothing of this replay was sent, but later replays were: name job {newest}, or"
        f" {replays.first} for all of them"
    )


def _read_snapshot(connection: Connection, now: str, part: JobPart, jobs: Sequence[str]) -> Snapshot:
    people = part.spec.get("users") or ()
    kind, message = _kind_and_message(connection, jobs)
    pressed: dict[str, set[str]] = {}
    for job in jobs:
        for person, parts in pressed_by(connection, job, people).items():
            pressed.setdefault(person, set()).update(parts)
    chain = jobs if people and len(jobs) > 1 else ()
    return Snapshot(
        [target for job in jobs for target in target_parts(connection, job)],
        kind,
        message,
        read_now(connection, now),
        pressed,
        {target: users for job in chain for target, users in refused_users(connection, job).items()},
    )


def _kind_and_message(connection: Connection, jobs: Sequence[str]) -> tuple[str, Mapping[str, Any]]:
    """Returns the kind and the message of a job and its replays; the message is empty if all of them have lost it."""
    kind, message = kind_and_message(connection, jobs[0])
    for replay in jobs[1:]:
        # The job may have been emptied, or a person erased from it, while a replay is still to be sent.
        message = message or kind_and_message(connection, replay)[1]
    return kind, message


def _update_plan(part: JobPart, snapshot: Snapshot) -> Plan:
    targets = _distinct(snapshot.parts)
    specs = [
        (target, own_spec)
        for target in targets
        if (own_spec := _own_spec(part.spec, target, snapshot, targets)) is not None
    ]
    if not specs:
        return Rejected("none of the named recipients has received that card")
    if (awaited := first_awaited(target for target, _ in specs)) is not None:
        return WaitsFor(job_of(awaited.id))
    sent = [{**own_spec, "target": target.id} for target, own_spec in specs if target.state not in NOT_SENT_STATES]
    return sent or NOT_SENT


def first_awaited(parts: Iterable[TargetPart]) -> TargetPart | None:
    """Returns the first part that is open, or in doubt while recovery has still to act on it, or None."""
    acts = (part for part in parts if part.state is not PartState.UNKNOWN or part.not_before is not None)
    return next((part for part in acts if part.state in (*OPEN_STATES, PartState.UNKNOWN)), None)


def _may_be_duplicated(part: TargetPart, snapshot: Snapshot, channel: Channel) -> bool:
    """Returns True if a repeat was accepted while the earlier call in doubt may have been shown as a second message."""
    if not part.doubts or part.state not in ACCEPTED_STATES:
        return False
    if not snapshot.message:
        # What made its repeat safe is forgotten with the message, but for the duplicate check.
        return not part.flagged
    rule, window_s = channel.repeat_rule(snapshot.kind, snapshot.message)
    match rule:
        case RepeatRule.HOLD:
            return True
        case RepeatRule.DUPLICATE_CHECK:
            return not part.flagged
        case RepeatRule.TASK_ID:
            return (part.marked_at or 0) > (part.first_marked_at or 0) + window_s * settle.SECOND
        case _:
            return False


def _wait_for_code(part: PartFacts, now: int) -> None:
    settle.wait_until(part, now + settle.SECOND, "its response_code is in use by another update")


def _distinct(parts: list[TargetPart]) -> list[TargetPart]:
    return list({part.id: part for part in parts}.values())


def _own_spec(
    spec: Mapping[str, Any], part: TargetPart, snapshot: Snapshot, parts: Sequence[TargetPart]
) -> dict[str, Any] | None:
    """Returns the update's spec with the members that belong to one part's card, or None if none do.

    A member belongs to the part that was sent to them by name, or whose card they pressed.
    """
    users = spec.get("users") or []
    if not users or spec.get("parties") or spec.get("tags"):
        return dict(spec)
    pressed = snapshot.pressed
    named = _lower(part.spec.get("users") or []) - snapshot.refused.get(part.id, set())
    own = [user for user in users if user.lower() in named or part.id in pressed.get(user.lower(), ())]
    if part.spec.get("parties") or part.spec.get("tags") or part.spec.get("everyone"):
        # A member that no part names may be in one of these departments or tags. Only the vendor knows, so the update
        # goes to this part's card as well.
        names = {name for other in parts for name in _lower(other.spec.get("users") or [])} | pressed.keys()
        own += [user for user in users if user.lower() not in names]
    return {**spec, "users": own} if own else None


def _lower(users: Sequence[str]) -> set[str]:
    return {user.lower() for user in users}
