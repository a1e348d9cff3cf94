"""One part's way: prepare (resolve, token, render), admit, connect, mark, call, read, record.

`deliver` is the table of contents from the connection on. Before the mark an error leaves the part queued. From the
mark on every path queues an end: certainly not sent, answered, or in doubt; the part never stays in the air.
"""

from __future__ import annotations

from dataclasses import replace

import structlog
from sqlalchemy.exc import SQLAlchemyError

from worker.delivery.accounts import alike
from worker.delivery.admission import Denied
from worker.delivery.blocking import Blocking
from worker.delivery.errand import Delivered, Errand
from worker.delivery.narrowing import Narrower
from worker.delivery.plant import Plant
from worker.delivery.preparing import Preparing, backoff_s, fault_delay_s
from worker.delivery.set_aside import our_error
from worker.delivery.transport import Connection
from worker.delivery.writer import Ticket, WriterClosed
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
from worker.outbox.answers import outcome_name
from worker.outbox.codes import SPENT_BY_VENDOR
from worker.outbox.items import End, Mark, Marked, MarkReply
from worker.outbox.lanes import account_of

log = structlog.get_logger()

FAULTLESS = frozenset({"dropped", "deadline"})
"""Ways of never leaving that are nobody's fault and cost no attempt: the server had closed the kept connection; this
process was stopped between mark and first byte."""
CLOSED_AT_ONCE = "closed_at_once"
"""The server took the connection and closed it: whatever stands behind it is away."""
AFTER_OUR_ERROR_S = 5.0
"""How long a part waits that an error of ours took back between mark and call for the first time."""


class Attempt:
    """Carries parts through all steps, in the calling thread."""

    def __init__(self, plant: Plant):
        self._plant = plant
        self.blocking = Blocking(plant)
        self._preparing = Preparing(plant, self.blocking)
        self.prepare = self._preparing.prepare
        self.narrow = Narrower(plant, self._preparing).narrow

    def deliver(self, errand: Errand) -> Delivered | None:
        """Connect, mark, call, read, record. None: nothing was marked, the part is queued as before."""
        connection = self._connect(errand)
        if connection is None:
            self.give_back(errand)
            return None
        try:
            reply = self._mark(errand)
            if reply.marked is not Marked.YES:
                self.give_back(errand)
                return None
            return self._carry_out(errand, connection, reply)
        finally:
            connection.release()

    def _carry_out(self, errand: Errand, connection: Connection, reply: MarkReply) -> Delivered:
        """From the mark on: whatever goes wrong, an end is queued."""
        marked_at, left = self._plant.monotonic(), False
        try:
            obstacle = self._obstacle(errand)
            if obstacle is not None:
                return self._take_back(errand, reply, Verdict(Wait(Scope.PART, 0.0, obstacle)))
            left = True
            result = self._call(errand, connection, reply, marked_at)
            return self._record(errand, reply, result, self._read(errand, result))
        except Exception as error:
            reason = our_error(error)
            if left:
                self._end(errand, reply, Verdict(Unknown(reason)))
            else:
                delay_s = fault_delay_s(self._plant, errand.work.tries, AFTER_OUR_ERROR_S)
                self._take_back(errand, reply, Verdict(Retry(reason)), delay_s)
            raise

    # -- connect, mark ------------------------------------------------------------------------------------------------

    def reach(self, errand: Errand) -> bool:
        """Makes the connection before limits are reserved, and keeps it for the calls that follow."""
        connection = self._connect(errand)
        if connection is not None:
            connection.release()
        return connection is not None

    def _connect(self, errand: Errand) -> Connection | None:
        """Before the mark: a host that cannot be reached costs no attempt and no doubt."""
        assert errand.request is not None
        connection = self._plant.transport.connect(errand.request)
        if isinstance(connection, NeverLeft):
            delay = self.blocking.unreachable(errand.work, f"no connection: {connection.reason}")
            self._log(errand, 0, Verdict(Retry(connection.reason)), delay, connection.duration_s)
            return None
        return connection

    def _mark(self, errand: Errand) -> MarkReply:
        """The claim, durable before the first byte."""
        if not self._plant.life.may_act(errand.incarnation) or self._plant.draining.is_set():
            return MarkReply(Marked.LOST)
        self._plant.probe("before_mark")
        try:
            reply = self._plant.writer.mark(self._wish(errand))
        except WriterClosed:
            self.give_back(errand)
            raise
        if reply.marked is Marked.YES:
            self._plant.probe("after_mark")
        return reply

    def _wish(self, errand: Errand) -> Mark:
        assert errand.request is not None
        body = errand.request.body
        keeps = errand.rule in (RepeatRule.DUPLICATE_CHECK, RepeatRule.TASK_ID) and isinstance(body, bytes)
        return Mark(
            errand.work.id,
            errand.work.claim,
            errand.incarnation,
            int(errand.request.deadline_s * settle.SECOND),
            window_id=errand.window_id,
            window_us=self._window_s(errand) * settle.SECOND,
            repeat_us=errand.rule_window_s * settle.SECOND,
            body=body.decode() if keeps and isinstance(body, bytes) else None,
            rule_needs_clean_doubt=keeps,
            may_resend=self._resends(errand),
            code_id=errand.ready.code_id,
            searches=errand.rule is RepeatRule.LOOK_UP and errand.part.in_doubt,
            alone=errand.alone,
            spending=errand.spending,
        )

    def _window_s(self, errand: Errand) -> int:
        """A later equal body may ask the vendor to look back further than this one did: it is kept in mind as long."""
        settings = self._plant.settings
        return int(settings.duplicate_window_s) if errand.window_id else errand.rule_window_s

    def _resends(self, errand: Errand) -> bool:
        """The caller, or the account, said that twice beats never."""
        wish = errand.work.on_unknown
        return "resend" in ((wish,) if wish != "default" else (errand.account.on_unknown,))

    def _obstacle(self, errand: Errand) -> str | None:
        """Why the call may not start although the part is marked; None: it may."""
        if not self._plant.life.may_act(errand.incarnation):
            return "the process lost its lease"
        if errand.permit is not None and not self._renew_permit(errand):
            return "the limit's room was gone"
        return None

    def _renew_permit(self, errand: Errand) -> bool:
        """A permit that grew too old while the mark was written is asked for again."""
        assert errand.permit is not None
        if self._plant.governor.is_fresh(errand.permit):
            return True
        try:
            again = self._plant.governor.renew(errand.permit, errand.charges)
        except SQLAlchemyError:
            return False  # marked already: the part must be taken back, whatever the database says
        if isinstance(again, Denied):
            errand.permit = None
            return False
        errand.permit = again
        return True

    def give_back(self, errand: Errand) -> None:
        """The call certainly never left: its room is free again."""
        permit, errand.permit = errand.permit, None
        if permit is not None:
            self._plant.governor.give_back([permit])

    def _take_back(self, errand: Errand, reply: MarkReply, verdict: Verdict, delay_s: float = 0.0) -> Delivered:
        """Marked, and certainly never left: queued again, counted only where it failed by an error of ours."""
        ticket = self._end(errand, reply, verdict, never_left=True, delay_s=delay_s)
        # The end first: giving room back asks the database, and a database away must not keep the part marked.
        self.give_back(errand)
        return Delivered(ticket, called=False)

    def _end(
        self, errand: Errand, reply: MarkReply, verdict: Verdict, *, never_left: bool = False, delay_s: float = 0.0
    ) -> Ticket:
        return self._plant.writer.end(
            End(
                errand.work.id,
                reply.claim,
                errand.incarnation,
                verdict,
                None,
                flagged=reply.flagged,
                never_left=never_left,
                delay_s=delay_s,
                code_id=errand.ready.code_id,
                spending=errand.spending,
            )
        )

    # -- call, read, record -------------------------------------------------------------------------------------------

    def _call(self, errand: Errand, connection: Connection, reply: MarkReply, marked_at: float) -> CallResult:
        """The deadline counts from the mark: a process that was stopped in between sends nothing when it wakes."""
        assert errand.request is not None
        request = errand.request
        if errand.rule is RepeatRule.DUPLICATE_CHECK and not reply.flagged:
            request = self._preparing.request(errand, flagged=False)
        left_s = request.deadline_s - (self._plant.monotonic() - marked_at)
        if left_s <= 0:
            return NeverLeft("deadline", 0.0)
        with self._plant.gates.call(errand.work.lane, left_s):
            result = connection.call(replace(request, deadline_s=left_s))
        self._plant.gates.took(errand.work.lane, result.duration_s)
        if isinstance(result, Answered):
            self._plant.gates.reached(errand.account.name)
        return result

    def _read(self, errand: Errand, result: CallResult) -> Verdict:
        match result:
            case Answered(reply=reply):
                return errand.channel.outcome(errand.part, errand.account, reply, errand.access)
            case NeverLeft(reason=reason) if reason == CLOSED_AT_ONCE:
                return Verdict(self.blocking.shut_out(errand.work, f"no connection: {reason}"))
            case NeverLeft(reason=reason):
                # The server had closed the kept connection: nobody's fault, so it costs no attempt.
                return Verdict(Wait(Scope.PART, 0.0, reason) if reason in FAULTLESS else Retry(reason))
            case NoAnswer(reason=reason):
                return Verdict(Unknown(reason))

    def _record(self, errand: Errand, reply: MarkReply, result: CallResult, verdict: Verdict) -> Delivered:
        """The result is on its way before anything else is done with it."""
        plant, work = self._plant, errand.work
        verdict, spoiled = self._heal(errand, verdict)
        delay = backoff_s(plant, work.tries) if isinstance(verdict.outcome, Retry) else 0.0
        block = self.blocking.consequence(work, verdict)
        plant.probe("before_record")
        ticket = plant.writer.end(
            End(
                work.id,
                reply.claim,
                errand.incarnation,
                verdict,
                int(result.duration_s * 1000),
                flagged=reply.flagged,
                delay_s=delay,
                block=block,
                eases=() if block is not None and block.failed else self._eases(work.lane, result, verdict),
                in_a_row=plant.gates.in_a_row(work.lane),
                never_left=isinstance(result, NeverLeft),
                code_id=errand.ready.code_id,
                is_card=errand.rule is RepeatRule.TASK_ID,
                recalled=errand.ready.recalled,
                vault_valid_s=int(plant.settings.media_valid_s) if work.kind == Kind.UPLOAD else None,
                spoiled=spoiled,
                account=errand.account.name,
                app=errand.channel.app_scope(errand.account),
                accounts=self._accounts_of_app(errand, verdict),
                confirms=str(errand.ready.spec.get("target", "")) if work.kind == Kind.TRACK else "",
                named=errand.rule is RepeatRule.LOOK_UP,
                code_ttl_s=int(plant.settings.response_code_ttl_s),
                spending=errand.spending,
            )
        )
        self._log(errand, reply.claim, verdict, delay, result.duration_s)
        if isinstance(result, NeverLeft):
            self.give_back(errand)
        if isinstance(verdict.outcome, StaleToken) and errand.token is not None:
            plant.tokens.refused(errand.account, errand.token)
        elif isinstance(verdict.outcome, Accepted | Partial | Progress) and errand.token is not None:
            plant.tokens.worked(errand.account, errand.token)
        return Delivered(ticket, called=True, heard=_heard(work.lane, result, verdict))

    def _eases(self, lane: str, result: CallResult, verdict: Verdict) -> tuple[str, ...]:
        """Where this answer means something: nowhere, as a rule."""
        if not isinstance(result, Answered):
            return ()
        self._plant.gates.well(lane)
        if isinstance(verdict.outcome, (Accepted, Partial, Progress)):
            self._plant.gates.succeeded(lane)
        return self._plant.gates.uneasy(lane)

    def _heal(self, errand: Errand, verdict: Verdict) -> tuple[Verdict, tuple[tuple[str, str], ...]]:
        """40007: the media_id is gone, the file is here. Upload once more, unless an earlier call is in doubt.

        60140: the code is gone (how long codes last has changed before), and another is here.
        """
        outcome = verdict.outcome
        if isinstance(outcome, Rejected) and verdict.errcode == SPENT_BY_VENDOR and errand.ready.another_code:
            return replace(verdict, outcome=Retry(outcome.reason)), ()
        if not isinstance(outcome, Rejected) or outcome.heal != "media" or errand.work.doubts:
            return verdict, ()
        if not errand.work.message.get("files"):
            return verdict, ()
        found = errand.ready.facts.get("media", {})
        used = self._plant.media.used(errand.work, errand.channel, errand.account, found)
        return replace(verdict, outcome=Retry(outcome.reason)), used

    def _accounts_of_app(self, errand: Errand, verdict: Verdict) -> tuple[str, ...]:
        """Whose parts may have used the task_id that is all that proves this call; of no interest, as a rule."""
        outcome = verdict.outcome
        if not isinstance(outcome, Accepted) or outcome.taken.task_id is None:
            return ()
        return tuple(alike(self._plant.accounts, errand.account, errand.channel.app_scope))

    def _log(self, errand: Errand, attempt: int, verdict: Verdict, delay: float, duration_s: float) -> None:
        """One line an attempt, always the same fields."""
        log.info(
            "attempt",
            job=errand.work.job_id,
            part=errand.work.id,
            channel=errand.channel.name,
            account=errand.account.name,
            kind=errand.work.kind,
            attempt=attempt,
            outcome=outcome_name(verdict.outcome),
            errcode=verdict.errcode,
            delay=round(delay, 3),
            duration=round(duration_s, 4),
        )


def _heard(lane: str, result: CallResult, verdict: Verdict) -> tuple[str, ...]:
    """What stands open by this answer of the vendor's: the account unless it, or its token, was the reason to refuse;
    and the lane where the call itself was judged.
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
            return () if verdict.errcode is None else (account,)  # without a code it was a proxy that spoke
        case Wait() | Parked() | StaleToken() | Unknown():
            return ()
