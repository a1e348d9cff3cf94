"""One part's way: resolve, render, token, admit, mark, call, read, record. Reads like a table of contents.

A step hands the part on, or says why it stops here; outcomes are values, matched once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from worker.channels.base import Channel
from worker.delivery.admission import Denied, Permit
from worker.delivery.followups import NothingSent, Parked, Ready, Refuse, Resolved
from worker.delivery.plant import Plant
from worker.delivery.transport import Connection
from worker.delivery.writer import Ticket
from worker.domain import settle
from worker.domain.account import Account
from worker.domain.call import Answered, CallResult, NeverLeft, NoAnswer, Request
from worker.domain.job import Kind, Part, RepeatRule
from worker.domain.outcome import Accepted, Outcome, Partial, Rejected, Retry, Scope, StaleToken, Unknown, Verdict, Wait
from worker.domain.outcome import Parked as ParkedOutcome
from worker.domain.state import PartState
from worker.domain.token import Token, TokenParked, TokenWait
from worker.outbox.answers import outcome_name
from worker.outbox.items import Change, End, Mark, Marked, MarkReply
from worker.outbox.lanes import Block, account_of, block_lanes, free_lane
from worker.outbox.loading import Loaded

log = structlog.get_logger()

BRIEF_S = 1.0
"""Shorter waits stay in this process."""
TOKEN_RECHECK_S = 15.0
"""How often an account whose secret was refused is looked at again (the vendor itself is asked far less often)."""


@dataclass(slots=True)
class Errand:
    """One part on its way, with what the steps found."""

    work: Loaded
    channel: Channel
    account: Account
    ready: Ready
    part: Part
    incarnation: str
    rule: RepeatRule = RepeatRule.HOLD
    rule_window_s: int = 0
    token: Token | None = None
    request: Request | None = None
    window_id: str | None = None
    permit: Permit | None = None


class Attempt:
    """Carries parts through all steps, in the calling thread."""

    def __init__(self, plant: Plant):
        self._plant = plant

    def prepare(self, work: Loaded) -> Errand | None:
        """Everything before the limits: resolve, token, render. None: the part waits, or has ended."""
        channel, account = self._plant.channel(_channel_of(self._plant, work)), self._plant.accounts.get(work.account)
        ready = self._resolve(work, channel, account)
        if ready is None:
            return None
        errand = Errand(work, channel, account, ready, _part(work, ready), self._plant.life.incarnation)
        if not self._take_token(errand):
            return None
        self._render(errand)
        return errand

    def unpark(self, work: Loaded) -> None:
        """A probe got through: its lane and its account are open again."""
        for lane in (work.lane, account_of(work.lane)):
            self._plant.gates.open(lane)
            self._plant.database.run(lambda connection, lane=lane: free_lane(connection, lane))  # type: ignore[misc]

    def carry_out(self, errand: Errand) -> Ticket | None:
        """Everything from the connection on; a ticket when a call was made: its result is on the way into SQL."""
        connection = self._connect(errand)
        if connection is None:
            self.give_back(errand)
            return None
        try:
            reply = self._mark(errand)
            if reply is None:
                self.give_back(errand)
                return None
            return self._send(errand, connection, reply)
        finally:
            connection.release()

    # -- resolve ------------------------------------------------------------------------------------------------------

    def _resolve(self, work: Loaded, channel: Channel, account: Account) -> Ready | None:
        if self._plant.revoked(work.job_id):
            self._change(work, lambda part, now: settle.cancel(part, "revoked"))
            return None
        resolved = self._look(work, channel, account)
        match resolved:
            case Ready():
                return resolved
            case Refuse(reason=reason):
                self._change(work, lambda part, now: settle.refuse(part, reason))
            case NothingSent():
                self._change(work, lambda part, now: settle.take_unsent(part), receipt_not_sent=True)
            case Parked():
                pass
        return None

    def _look(self, work: Loaded, channel: Channel, account: Account) -> Resolved:
        match work.kind:
            case Kind.RECALL:
                return self._plant.followups.recall(work)
            case Kind.UPDATE_CARD:
                return self._plant.followups.update_card(work)
            case Kind.UPLOAD:
                return self._plant.media.upload(work)
            case _ if work.message.get("files") and work.frozen is None:
                return self._plant.media.attached(work, channel, account)
            case _:
                return Ready(work.spec)

    def _change(self, work: Loaded, apply: Any, *, receipt_not_sent: bool = False) -> None:
        """Moves the part if nobody moved it since it was loaded."""

        def unmoved(part: settle.PartFacts, now: int) -> None:
            if part.state is PartState.QUEUED and part.claim == work.claim:
                apply(part, now)

        self._plant.writer.change([Change(work.id, unmoved, receipt_not_sent=receipt_not_sent)])

    # -- token, render ------------------------------------------------------------------------------------------------

    def _take_token(self, errand: Errand) -> bool:
        if not errand.channel.uses_token:
            return True
        got = self._plant.tokens.get(errand.account, errand.channel)
        match got:
            case Token():
                errand.token = got
                return True
            case TokenWait(delay=delay, reason=reason):
                self.block(errand.work, Scope.ACCOUNT, delay, reason)
            case TokenParked(reason=reason, remedy=remedy, probe_in_s=probe_in_s):
                # Asking again costs no knock at the vendor, and finds a new secret soon.
                self.block(errand.work, Scope.ACCOUNT, min(probe_in_s, TOKEN_RECHECK_S), reason, remedy)
        return False

    def _render(self, errand: Errand) -> None:
        channel = errand.channel
        errand.rule, window_s = channel.repeat_rule(errand.part)
        errand.rule_window_s = min(window_s, int(self._plant.settings.duplicate_window_s))
        if errand.rule is RepeatRule.DUPLICATE_CHECK and not self._plant.settings.duplicate_check:
            errand.rule = RepeatRule.HOLD
        flagged = errand.rule is RepeatRule.DUPLICATE_CHECK
        if flagged:
            # A repeat looks into the window of its first call, whatever this release would render.
            errand.window_id = errand.work.frozen_window or channel.body_hash(errand.part, errand.account)
        errand.request = self._frozen(errand, self._request(errand, flagged=flagged))

    def _request(self, errand: Errand, *, flagged: bool) -> Request:
        token = errand.token.value if errand.token else None
        return errand.channel.request(errand.part, errand.account, token, flagged=flagged)

    def _frozen(self, errand: Errand, request: Request) -> Request:
        """A repeat sends the bytes of the first call, whatever this release would render."""
        if errand.work.frozen is None:
            return request
        return Request(
            request.method,
            request.base_url,
            request.path,
            request.query,
            errand.work.frozen.encode(),
            request.content_type,
            request.deadline_s,
        )

    # -- connect, admit, mark -----------------------------------------------------------------------------------------

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
            delay = self._plant.gates.failed(errand.account.name, self._plant.rng)
            self.block(errand.work, Scope.ACCOUNT, delay, f"no connection: {connection.reason}")
            self._log(errand, 0, Verdict(Retry(connection.reason)), delay, connection.duration_s)
            return None
        self._plant.gates.reached(errand.account.name)
        return connection

    def _mark(self, errand: Errand) -> MarkReply | None:
        """The claim, durable before the first byte; None: it is not ours, or not any more."""
        plant = self._plant
        if not plant.life.may_act(errand.incarnation) or plant.draining.is_set():
            return None
        plant.probe("before_mark")
        reply = plant.writer.mark(self._wish(errand))
        if reply.marked is not Marked.YES:
            return None
        plant.probe("after_mark")
        if not plant.life.may_act(errand.incarnation):
            self._take_back(errand, reply, "the process lost its lease")
            return None
        if errand.permit is not None and not self._renew_permit(errand):
            self._take_back(errand, reply, "the limit's room was gone")
            return None
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
            window_us=errand.rule_window_s * settle.SECOND,
            body=body.decode() if keeps and isinstance(body, bytes) else None,
            rule_needs_clean_doubt=keeps,
            may_resend=self._resends(errand),
            code_id=errand.ready.code_id,
        )

    def _resends(self, errand: Errand) -> bool:
        """The caller, or the account, said that twice beats never."""
        wish = errand.work.on_unknown
        return "resend" in ((wish,) if wish != "default" else (errand.account.on_unknown,))

    def _renew_permit(self, errand: Errand) -> bool:
        """A permit that grew too old while the mark was written is asked for again."""
        assert errand.permit is not None
        if self._plant.governor.is_fresh(errand.permit):
            return True
        try:
            again = self._plant.governor.renew(errand.permit, errand.channel.limits(errand.part, errand.account))
        except SQLAlchemyError:
            return False  # marked already: the part must be taken back, whatever the database says
        if isinstance(again, Denied):
            errand.permit = None
            return False
        errand.permit = again
        return True

    def give_back(self, errand: Errand) -> None:
        """The call certainly never left: its room is free again."""
        if errand.permit is not None:
            self._plant.governor.give_back([errand.permit])
            errand.permit = None

    def _take_back(self, errand: Errand, reply: MarkReply, reason: str) -> None:
        """Marked, and certainly never left: queued again, uncounted."""
        verdict = Verdict(Wait(Scope.PART, 0.0, reason))
        # The end first: giving room back asks the database, and a database away must not keep the part marked.
        self._plant.writer.end(
            End(
                errand.work.id,
                reply.claim,
                errand.incarnation,
                verdict,
                0,
                code_id=errand.ready.code_id,
                never_left=True,
            )
        )
        self.give_back(errand)

    # -- call, read, record -------------------------------------------------------------------------------------------

    def _send(self, errand: Errand, connection: Connection, reply: MarkReply) -> Ticket:
        """Call, read, record. Whatever goes wrong on our side, a marked part does not stay in the air."""
        try:
            result = self._call(errand, connection, reply)
            return self._record(errand, reply, result, self._read(errand, result))
        except Exception as error:
            verdict = Verdict(Unknown(f"our own error: {type(error).__name__}"))
            self._plant.writer.end(
                End(errand.work.id, reply.claim, errand.incarnation, verdict, None, code_id=errand.ready.code_id)
            )
            raise

    def _call(self, errand: Errand, connection: Connection, reply: MarkReply) -> CallResult:
        assert errand.request is not None
        request = errand.request
        if errand.rule is RepeatRule.DUPLICATE_CHECK and not reply.flagged:
            request = self._request(errand, flagged=False)
        with self._plant.gates.call(errand.work.lane, request.deadline_s):
            result = connection.call(request)
        self._plant.gates.took(errand.work.lane, result.duration_s)
        return result

    def _read(self, errand: Errand, result: CallResult) -> Verdict:
        match result:
            case Answered(reply=reply):
                return errand.channel.outcome(errand.part, errand.account, reply)
            case NeverLeft(reason=reason):
                # The server had closed the kept connection: nobody's fault, so it costs no attempt.
                return Verdict(Wait(Scope.PART, 0.0, reason) if reason == "dropped" else Retry(reason))
            case NoAnswer(reason=reason):
                return Verdict(Unknown(reason))

    def _record(self, errand: Errand, reply: MarkReply, result: CallResult, verdict: Verdict) -> Ticket:
        """The result is on its way before anything else is done with it."""
        plant, work = self._plant, errand.work
        verdict, spoiled = self._heal(errand, verdict)
        delay = self._backoff(work.tries) if isinstance(verdict.outcome, Retry) else 0.0
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
                block=self._consequence(errand, verdict.outcome),
                never_left=isinstance(result, NeverLeft),
                code_id=errand.ready.code_id,
                is_card=errand.rule is RepeatRule.TASK_ID,
                recalled=errand.ready.recalled,
                vault_valid_s=int(plant.settings.media_valid_s) if work.kind == Kind.UPLOAD else None,
                spoiled=spoiled,
                account=errand.account.name,
                code_ttl_s=int(plant.settings.response_code_ttl_s),
            )
        )
        if isinstance(result, NeverLeft):
            self.give_back(errand)
        if isinstance(verdict.outcome, StaleToken) and errand.token is not None:
            plant.tokens.refused(errand.account, errand.token)
        self._log(errand, reply.claim, verdict, delay, result.duration_s)
        return ticket

    def _heal(self, errand: Errand, verdict: Verdict) -> tuple[Verdict, tuple[tuple[str, str], ...]]:
        """40007: the media_id is gone, the file is here. Upload once more, unless an earlier call is in doubt."""
        outcome = verdict.outcome
        if not isinstance(outcome, Rejected) or outcome.heal != "media" or errand.work.doubts:
            return verdict, ()
        if not errand.work.message.get("files"):
            return verdict, ()
        found = errand.ready.facts.get("media", {})
        used = self._plant.media.used(errand.work, errand.channel, errand.account, found)
        return replace(verdict, outcome=Retry(outcome.reason)), used

    def _backoff(self, tries: int) -> float:
        """Full jitter: anything up to base x 2^n, at most five minutes."""
        settings = self._plant.settings
        return self._plant.rng.uniform(0, min(settings.backoff_max_s, settings.backoff_base_s * 2**tries))

    def _consequence(self, errand: Errand, outcome: Outcome) -> Block | None:
        """What an outcome means for the others of the lane or the account."""
        match outcome:
            case Wait(scope=scope, delay=delay, reason=reason) if scope is not Scope.PART:
                return self._block(errand.work, scope, delay, reason)
            case ParkedOutcome(scope=scope, reason=reason, remedy=remedy):
                return self._block(errand.work, scope, self._plant.settings.park_probe_s, reason, remedy, parked=True)
            case Accepted() | Partial() | Retry() | Rejected() | Unknown() | Wait() | StaleToken():
                return None

    def block(self, work: Loaded, scope: Scope, delay: float, reason: str, remedy: str | None = None) -> None:
        """Blocks the part's lane or account, now and in SQL."""
        block = self._block(work, scope, delay, reason, remedy)
        if delay < BRIEF_S:
            return  # another sender of this process is about to end it; nobody else needs to know
        database = self._plant.database
        database.run(lambda connection: block_lanes(connection, database.now, [block]))

    def _block(
        self,
        work: Loaded,
        scope: Scope,
        delay: float,
        reason: str,
        remedy: str | None = None,
        *,
        parked: bool = False,
    ) -> Block:
        account = account_of(work.lane)
        lane = account if scope is Scope.ACCOUNT else work.lane
        self._plant.gates.close(lane, delay)
        label = work.account if scope is Scope.ACCOUNT else f"{work.kind} {work.message.get('type', '')}".strip()
        return Block(lane, account, label, delay, reason, remedy, parked)

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


def _channel_of(plant: Plant, work: Loaded) -> str:
    return plant.accounts.get(work.account).channel


def _part(work: Loaded, ready: Ready) -> Part:
    return Part(work.id, work.job_id, work.n, work.kind, work.message, ready.spec, bool(work.doubts), ready.facts)
