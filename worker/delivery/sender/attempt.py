"""One attempt at a part: prepare (resolve, token, render), connect, admit, mark, call, read, record.

`deliver` is the table of contents from the connection on. Before the mark an error leaves the part queued. From the
mark on every path queues an end: certainly not sent, answered, or in doubt. The part never stays `sending`.
"""

from __future__ import annotations

from dataclasses import replace

import structlog
from sqlalchemy.exc import SQLAlchemyError

from worker.channels.usable import alike
from worker.delivery.sender.admission import Denied
from worker.delivery.sender.in_flight import Delivered, InFlight
from worker.delivery.sender.lane_blocks import LaneBlocks
from worker.delivery.sender.prepare import Preparing, backoff_s, fault_delay_s
from worker.delivery.sender.runtime import Runtime
from worker.delivery.sender.set_aside import our_error
from worker.delivery.sender.split_recipients import RecipientSplitter
from worker.delivery.sender.writer import Ticket, WriterClosed
from worker.domain import settle
from worker.domain.call import Answered, CallResult, NeverLeft, NoAnswer
from worker.domain.job import Kind, RepeatRule
from worker.domain.outcome import (
    Accepted,
    Held,
    Parked,
    Partial,
    Progress,
    Rejected,
    Retry,
    Scope,
    StaleToken,
    Unknown,
    Verdict,
    Wait,
)
from worker.domain.pacing.lane import account_of
from worker.outbox.commit.commands import Effects, End, Feedback, Mark, Marked, MarkReply, Repeat
from worker.outbox.commit.record_answer import outcome_name
from worker.outbox.jobs.codes import SPENT_BY_VENDOR
from worker.transport.http import Connection

log = structlog.get_logger()

FAULTLESS = frozenset({"dropped", "deadline"})
"""Reasons for which nothing left and no attempt is counted.

`dropped`: the server had closed the kept connection. `deadline`: this process was stopped between mark and first byte.
"""
CLOSED_AT_ONCE = "closed_at_once"
"""The server accepted the connection and closed it: the service behind it is down."""
AFTER_OUR_ERROR_S = 5.0
"""Seconds a part waits after an error of ours between mark and call; doubled with every further try."""


class Attempt:
    """Carries parts through all steps, in the calling thread."""

    def __init__(self, runtime: Runtime):
        self._runtime = runtime
        self.lane_blocks = LaneBlocks(runtime)
        self._preparing = Preparing(runtime, self.lane_blocks)
        self.prepare = self._preparing.prepare
        self.narrow = RecipientSplitter(runtime, self._preparing).narrow

    def deliver(self, flight: InFlight) -> Delivered | None:
        """Connect, mark, call, read, record. None: nothing was marked, the part is queued as before."""
        connection = self._connect(flight)
        if connection is None:
            self.give_back(flight)
            return None
        try:
            # The mark is committed before the first byte. After a crash a marked part is in doubt; without the mark it
            # would be offered again and sent twice.
            reply = self._mark(flight)
            if reply.marked is not Marked.YES:
                self.give_back(flight)
                return None
            return self._carry_out(flight, connection, reply)
        finally:
            connection.release()

    def _carry_out(self, flight: InFlight, connection: Connection, reply: MarkReply) -> Delivered:
        """Call, read and record a marked part; every path queues an end, also an exception."""
        marked_at, left = self._runtime.monotonic(), False
        try:
            # Again, because the commit of the mark may have taken longer than the lease or the permit lasts.
            obstacle = self._obstacle(flight)
            if obstacle is not None:
                return self._take_back(flight, reply, Verdict(Wait(Scope.PART, 0.0, obstacle)))
            # From here on an exception means doubt: bytes may have left, so the part must not simply be queued again.
            left = True
            result = self._call(flight, connection, reply, marked_at)
            return self._record(flight, reply, result, self._read(flight, result))
        except Exception as error:
            reason = our_error(error)
            if left:
                self._end(flight, reply, Verdict(Unknown(reason)))
            else:
                delay_s = fault_delay_s(self._runtime, flight.due.tries, AFTER_OUR_ERROR_S)
                self._take_back(flight, reply, Verdict(Retry(reason)), delay_s)
            raise

    # -- connect, mark ------------------------------------------------------------------------------------------------

    def reach(self, flight: InFlight) -> bool:
        """Makes the connection before limits are reserved; False: the host cannot be reached."""
        connection = self._connect(flight)
        if connection is not None:
            # Back to the kept connections, where `deliver` takes it from a moment later.
            connection.release()
        return connection is not None

    def _connect(self, flight: InFlight) -> Connection | None:
        """The connection for the call; None: the host cannot be reached, which costs no attempt."""
        assert flight.request is not None
        connection = self._runtime.transport.connect(flight.request)
        if isinstance(connection, NeverLeft):
            # The account waits, not the part: an attempt of every queued part for one broken host would exhaust them.
            delay = self.lane_blocks.unreachable(flight.due, f"no connection: {connection.reason}")
            self._log(flight, 0, Verdict(Retry(connection.reason)), delay, connection.duration_s)
            return None
        return connection

    def _mark(self, flight: InFlight) -> MarkReply:
        """Writes the mark and returns when it is durable; with any reply but `Marked.YES` no call may follow."""
        if not self._runtime.lease.may_act(flight.incarnation) or self._runtime.draining.is_set():
            return MarkReply(Marked.LOST)
        self._runtime.probe("before_mark")
        try:
            reply = self._runtime.writer.mark(self._wish(flight))
        except WriterClosed:
            # Not confirmed, so no call follows and the reservation is free for others.
            self.give_back(flight)
            raise
        if reply.marked is Marked.YES:
            self._runtime.probe("after_mark")
        return reply

    def _wish(self, flight: InFlight) -> Mark:
        """The mark that this call needs."""
        assert flight.request is not None
        flight.effects = self._effects(flight)
        body = flight.request.body
        # A repeat is safe only with the very bytes of the call in doubt, so they are stored with the mark.
        keeps = flight.rule in (RepeatRule.DUPLICATE_CHECK, RepeatRule.TASK_ID) and isinstance(body, bytes)
        return Mark(
            flight.due.id,
            flight.due.claim,
            flight.incarnation,
            int(flight.request.deadline_s * settle.SECOND),
            Repeat(
                window_id=flight.window_id,
                window_us=self._window_s(flight) * settle.SECOND,
                covered_us=flight.rule_window_s * settle.SECOND,
                body=body.decode() if keeps and isinstance(body, bytes) else None,
                needs_clean_doubt=keeps,
                may_resend=self._resends(flight),
            ),
            flight.effects,
            searches=flight.rule is RepeatRule.LOOK_UP and flight.part.in_doubt,
            alone=flight.alone,
        )

    def _effects(self, flight: InFlight) -> Effects:
        """What this call does beside ending its part."""
        account, settings = flight.account, self._runtime.settings
        return Effects(
            flight.ready.code_id,
            flight.spending,
            account.name,
            flight.channel.app_scope(account),
            code_ttl_s=int(settings.response_code_ttl_s) if flight.rule is RepeatRule.TASK_ID else None,
            media_valid_s=int(settings.media_valid_s) if flight.due.kind == Kind.UPLOAD else None,
            named=flight.rule is RepeatRule.LOOK_UP,
            recalled=flight.ready.recalled,
            confirms=str(flight.ready.spec.get("target", "")) if flight.due.kind == Kind.TRACK else "",
        )

    def _window_s(self, flight: InFlight) -> int:
        """Seconds for which an equal body may be swallowed, or, without the duplicate check, a repeat is covered."""
        settings = self._runtime.settings
        # With the duplicate check the longest window, not this call's: a later equal body may ask for a longer one.
        return int(settings.duplicate_window_s) if flight.window_id else flight.rule_window_s

    def _resends(self, flight: InFlight) -> bool:
        """True when the job, or else its account, asks to send again after an unknown outcome."""
        wish = flight.due.on_unknown
        return "resend" in ((wish,) if wish != "default" else (flight.account.on_unknown,))

    def _obstacle(self, flight: InFlight) -> str | None:
        """Why the call of a marked part may not start; None: it may."""
        if not self._runtime.lease.may_act(flight.incarnation):
            return "the process lost its lease"
        if flight.permit is not None and not self._renew_permit(flight):
            return "the limit's room was gone"
        return None

    def _renew_permit(self, flight: InFlight) -> bool:
        """Asks again for a permit that became too old while the mark was written; False: the call has none now."""
        assert flight.permit is not None
        if self._runtime.governor.is_fresh(flight.permit):
            return True
        try:
            again = self._runtime.governor.renew(flight.permit, flight.charges)
        except SQLAlchemyError:
            # The part is marked already, so the error must not leave it `sending`: it is taken back.
            return False
        if isinstance(again, Denied):
            flight.permit = None
            return False
        flight.permit = again
        return True

    def give_back(self, flight: InFlight) -> None:
        """Returns the reservation of a call of which certainly nothing left."""
        permit, flight.permit = flight.permit, None
        if permit is not None:
            self._runtime.governor.give_back([permit])

    def _take_back(self, flight: InFlight, reply: MarkReply, verdict: Verdict, delay_s: float = 0.0) -> Delivered:
        """Queues a marked part again of which certainly nothing left; an attempt only after an error of ours."""
        ticket = self._end(flight, reply, verdict, never_left=True, delay_s=delay_s)
        # The end first: giving room back asks the database, and a database away must not keep the part marked.
        self.give_back(flight)
        return Delivered(ticket, called=False)

    def _end(
        self, flight: InFlight, reply: MarkReply, verdict: Verdict, *, never_left: bool = False, delay_s: float = 0.0
    ) -> Ticket:
        return self._runtime.writer.end(
            End(
                flight.due.id,
                reply.claim,
                flight.incarnation,
                verdict,
                None,
                flagged=reply.flagged,
                never_left=never_left,
                delay_s=delay_s,
                effects=flight.effects,
            )
        )

    # -- call, read, record -------------------------------------------------------------------------------------------

    def _call(self, flight: InFlight, connection: Connection, reply: MarkReply, marked_at: float) -> CallResult:
        """Makes the call with what is left of its deadline."""
        assert flight.request is not None
        request = flight.request
        if flight.rule is RepeatRule.DUPLICATE_CHECK and not reply.flagged:
            # The check does not cover this call: sent with its two fields, it could be swallowed in silence.
            request = self._preparing.request(flight, flagged=False)
        # The deadline counts from the mark: after it another process may repeat the call, so a process that was stopped
        # in between must send nothing when it goes on.
        left_s = request.deadline_s - (self._runtime.monotonic() - marked_at)
        if left_s <= 0:
            return NeverLeft("deadline", 0.0)
        with self._runtime.lane_states.call(flight.due.lane, left_s):
            result = connection.call(replace(request, deadline_s=left_s))
        self._runtime.lane_states.took(flight.due.lane, result.duration_s)
        if isinstance(result, Answered):
            self._runtime.lane_states.reached(flight.account.name)
        return result

    def _read(self, flight: InFlight, result: CallResult) -> Verdict:
        """What the result means; no readable answer to bytes that may have left is `Unknown`."""
        match result:
            case Answered(reply=reply):
                return flight.channel.outcome(flight.part, flight.account, reply, flight.access)
            case NeverLeft(reason=reason) if reason == CLOSED_AT_ONCE:
                return Verdict(self.lane_blocks.shut_out(flight.due, f"no connection: {reason}"))
            case NeverLeft(reason=reason):
                return Verdict(Wait(Scope.PART, 0.0, reason) if reason in FAULTLESS else Retry(reason))
            case NoAnswer(reason=reason):
                return Verdict(Unknown(reason))

    def _record(self, flight: InFlight, reply: MarkReply, result: CallResult, verdict: Verdict) -> Delivered:
        """Queues the end of a call, and draws the consequences for lane, limits and token."""
        runtime, due = self._runtime, flight.due
        verdict, invalidated = self._heal(flight, verdict)
        delay = backoff_s(runtime, due.tries) if isinstance(verdict.outcome, Retry) else 0.0
        is_taken = isinstance(verdict.outcome, Accepted | Partial | Progress)
        block = None if is_taken else self.lane_blocks.consequence(due, verdict)
        runtime.probe("before_record")
        effects, accounts = flight.effects, self._accounts_of_app(flight, verdict)
        if invalidated or accounts:
            effects = replace(effects, invalidated=invalidated, accounts=accounts)
        successes = () if block is not None and block.failed else self._eases(due.lane, result, verdict)
        # The end is queued before anything below can fail: an exception after it cannot lose the answer.
        ticket = runtime.writer.end(
            End(
                due.id,
                reply.claim,
                flight.incarnation,
                verdict,
                int(result.duration_s * 1000),
                flagged=reply.flagged,
                delay_s=delay,
                never_left=isinstance(result, NeverLeft),
                effects=effects,
                feedback=Feedback(block, successes, runtime.lane_states.in_a_row(due.lane)),
            )
        )
        self._log(flight, reply.claim, verdict, delay, result.duration_s)
        if isinstance(result, NeverLeft):
            self.give_back(flight)
        if isinstance(verdict.outcome, StaleToken) and flight.token is not None:
            runtime.tokens.refused(flight.account, flight.token)
        elif is_taken and flight.token is not None:
            runtime.tokens.worked(flight.account, flight.token)
        return Delivered(ticket, called=True, heard=_heard(due.lane, result, verdict))

    def _eases(self, lane: str, result: CallResult, verdict: Verdict) -> tuple[str, ...]:
        """Lanes and accounts whose row this answer must update; usually none."""
        if not isinstance(result, Answered):
            return ()
        self._runtime.lane_states.well(lane)
        if isinstance(verdict.outcome, (Accepted, Partial, Progress)):
            self._runtime.lane_states.succeeded(lane)
        return self._runtime.lane_states.needs_feedback(lane)

    def _heal(self, flight: InFlight, verdict: Verdict) -> tuple[Verdict, tuple[tuple[str, str], ...]]:
        """Turns a refusal that a fresh media_id or response_code can mend into a retry.

        40007: the media_id is gone, and its file is uploaded once more. 60140: the response_code is gone, and the card
        has another one. The second value: cache rows, each with the media_id that is no longer valid.
        """
        outcome = verdict.outcome
        # How long codes last has changed before, so the vendor may refuse one that our rows call fresh.
        if isinstance(outcome, Rejected) and verdict.errcode == SPENT_BY_VENDOR and flight.ready.another_code:
            return replace(verdict, outcome=Retry(outcome.reason)), ()
        # With an earlier call in doubt another media_id means another body, which could be a second message.
        if not isinstance(outcome, Rejected) or outcome.heal != "media" or flight.due.doubts:
            return verdict, ()
        if not flight.due.message.get("files"):
            return verdict, ()
        found = flight.ready.facts.get("media", {})
        used = self._runtime.media.used(flight.due, flight.channel, flight.account, found)
        return replace(verdict, outcome=Retry(outcome.reason)), used

    def _accounts_of_app(self, flight: InFlight, verdict: Verdict) -> tuple[str, ...]:
        """All accounts of the app, where a task_id alone proves this call: their parts may have used it too.

        Empty where something else proves the call, as is usual.
        """
        outcome = verdict.outcome
        if not isinstance(outcome, Accepted) or outcome.taken.task_id is None:
            return ()
        return tuple(alike(self._runtime.accounts, flight.account, flight.channel.app_scope))

    def _log(self, flight: InFlight, attempt: int, verdict: Verdict, delay: float, duration_s: float) -> None:
        """Logs the attempt in one line, always with the same fields."""
        log.info(
            "attempt",
            job=flight.due.job_id,
            part=flight.due.id,
            channel=flight.channel.name,
            account=flight.account.name,
            kind=flight.due.kind,
            attempt=attempt,
            outcome=outcome_name(verdict.outcome),
            errcode=verdict.errcode,
            delay=round(delay, 3),
            duration=round(duration_s, 4),
        )


def _heard(lane: str, result: CallResult, verdict: Verdict) -> tuple[str, ...]:
    """The account and the lane that this answer of the vendor proves to be open.

    The account, unless it or its token was the reason to refuse; the lane, where the vendor judged the call itself.
    """
    if not isinstance(result, Answered):
        return ()
    account = account_of(lane)
    match verdict.outcome:
        case Accepted() | Partial() | Rejected() | Retry() | Held() | Unknown(held=True):
            return lane, account
        case Progress():
            return (lane, account) if verdict.errcode == 0 else (account,)
        case Wait(scope=Scope.PART | Scope.LANE) | Parked(scope=Scope.PART | Scope.LANE):
            # Without an errcode the answer came from a proxy and proves nothing about the vendor.
            return () if verdict.errcode is None else (account,)
        case Wait() | Parked() | StaleToken() | Unknown():
            return ()
