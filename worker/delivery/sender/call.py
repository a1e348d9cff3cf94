"""Connects, marks and calls: from here on a part may reach the vendor, so its mark is durable before the first byte."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.exc import SQLAlchemyError

from worker.delivery.sender.admit import give_back, give_back_for_others
from worker.delivery.sender.in_flight import Flights, InFlight
from worker.delivery.sender.prepare import request
from worker.delivery.sender.record import log_attempt, take_back
from worker.delivery.sender.runtime import Runtime
from worker.delivery.sender.writer import WriterClosed
from worker.domain import settle
from worker.domain.call import NeverLeft, Unsent
from worker.domain.job import Kind, RepeatRule
from worker.domain.outcome import Retry, Scope, Verdict, Wait
from worker.domain.pacing.limit import Charge, Denied, Unit
from worker.domain.state import JobState
from worker.outbox.commit.commands import Effects, Happened, Mark, Marked, Repeat
from worker.outbox.jobs import chats
from worker.transport.http import Connection
from worker.transport.pending_call import EndedCall, PendingCall

# -- connect ----------------------------------------------------------------------------------------------------------


def reach(runtime: Runtime, flight: InFlight) -> bool:
    """Makes the connection before limits are reserved; False: the host cannot be reached."""
    connected = connect(runtime, [flight])
    for one in connected:
        # Back to the kept connections, where `connect` takes it from a moment later.
        if one.connection is not None:
            one.connection.release()
            one.connection = None
    return bool(connected)


def connect(runtime: Runtime, flights: Flights) -> Flights:
    """Makes the connections for the calls; where a host cannot be reached the account waits, and no attempt counts."""
    connections = runtime.transport.connect_all([flight.request for flight in flights])
    connected = []
    for flight, connection in zip(flights, connections, strict=True):
        if _is_connected(runtime, flight, connection):
            connected.append(flight)
    return connected


def _is_connected(runtime: Runtime, flight: InFlight, connection: Connection | NeverLeft) -> bool:
    if not isinstance(connection, NeverLeft):
        flight.connection = connection
        return True
    # The account waits, not the part: an attempt of every queued part for one broken host would exhaust them.
    delay = runtime.lane_blocks.unreachable(flight.due, f"no connection: {connection.reason}", connection.remedy)
    log_attempt(flight, 0, Verdict(Retry(connection.reason)), delay, connection.duration_s)
    give_back(runtime, flight)
    return False


# -- mark -------------------------------------------------------------------------------------------------------------


def may_start(runtime: Runtime, flight: InFlight, beside: int) -> bool:
    """False when the lane was stopped since the part was admitted, by the part before it or by another thread.

    `beside`: other calls of the lane that are about to begin.
    """
    states, lane = runtime.lane_states, flight.due.lane
    # `stopped`, not `closed`: a lane whose limit is used up still makes the calls that have a permit.
    return not (states.stopped(lane) or states.full(lane, beside) or runtime.draining.is_set())


def mark(runtime: Runtime, flights: Flights) -> Flights:
    """Returns when the marks are durable or refused; a refused one returns its reservation, and no call may follow."""
    wanted = [flight for flight in flights if _may_mark(runtime, flight)]
    if not wanted:
        return []
    runtime.probe("before_mark")
    # Before the marks: their deadlines in SQL then never end earlier than the calls'.
    marked_at = runtime.monotonic()
    try:
        replies = runtime.writer.mark([_wish(runtime, flight) for flight in wanted])
    except WriterClosed:
        # Not confirmed, so no call follows and the reservations are free for others.
        for flight in wanted:
            give_back(runtime, flight)
        raise
    # All of them before anything that may fail, so that each mark has its end.
    for flight, reply in zip(wanted, replies, strict=True):
        if reply.marked is Marked.YES:
            flight.mark, flight.marked_at = reply, marked_at
    begun = [flight for flight in wanted if flight.mark.marked is Marked.YES]
    for flight in wanted:
        if flight.mark.marked is not Marked.YES:
            give_back_for_others(runtime, flight)
    runtime.tell([_happened(flight) for flight in begun])
    runtime.probe("after_mark")
    return begun


def _happened(flight: InFlight) -> Happened:
    """What is reported when a call begins."""
    due, account = flight.due, flight.account
    is_first = due.n == 0 and due.first_marked_at is None
    return Happened(due.job_id, due.kind, account.channel, due.account, JobState.OPEN, is_first=is_first)


def _may_mark(runtime: Runtime, flight: InFlight) -> bool:
    if runtime.lease.may_act(flight.incarnation) and not runtime.draining.is_set():
        return True
    give_back(runtime, flight)
    return False


def _wish(runtime: Runtime, flight: InFlight) -> Mark:
    """The mark that this call needs."""
    due, rule = flight.due, flight.rule
    flight.effects, alone = _effects(runtime, flight), _charge(flight, Unit.IN_THE_AIR)
    return Mark(
        due.id,
        due.claim,
        flight.incarnation,
        int(flight.request.deadline_s * settle.SECOND),
        _repeat(runtime, flight),
        flight.effects,
        searches=rule is RepeatRule.LOOK_UP and flight.part.in_doubt,
        quiet=flight.quiet,
        left_out=flight.left_out,
        alone=None if alone is None else alone.subject,
    )


def _repeat(runtime: Runtime, flight: InFlight) -> Repeat:
    """What a repeat of this call needs."""
    due, body = flight.due, flight.request.body
    # A repeat is safe only with the very bytes of the call in doubt, so they are stored with the mark.
    keeps = flight.rule in (RepeatRule.DUPLICATE_CHECK, RepeatRule.TASK_ID) and isinstance(body, bytes)
    # With the duplicate check the longest window, not this call's: a later equal body may ask for a longer one.
    window_s = int(runtime.settings.duplicate_window_s) if flight.window_id else flight.rule_window_s
    on_unknown = due.on_unknown if due.on_unknown != "default" else flight.account.on_unknown
    return Repeat(
        flight.window_id,
        window_s * settle.SECOND,
        flight.rule_window_s * settle.SECOND,
        body.decode() if keeps and isinstance(body, bytes) else None,
        needs_clean_doubt=keeps,
        may_resend=on_unknown == "resend",
        is_checked=flight.rule is RepeatRule.DUPLICATE_CHECK,
    )


def _effects(runtime: Runtime, flight: InFlight) -> Effects:
    """What this call does beside ending its part."""
    due, account, ready, settings = flight.due, flight.account, flight.ready, runtime.settings
    return Effects(
        ready.code_id,
        _spending(flight),
        account.name,
        flight.channel.app_scope(account),
        code_ttl_s=int(settings.response_code_ttl_s) if flight.rule is RepeatRule.TASK_ID else None,
        media_valid_s=int(settings.media_valid_s) if due.kind == Kind.UPLOAD else None,
        named=flight.rule is RepeatRule.LOOK_UP,
        recalled=ready.recalled,
        confirms=str(ready.spec.get("target", "")) if due.kind == Kind.TRACK else "",
    )


def _spending(flight: InFlight) -> chats.Spending | None:
    """The message that the call takes out of a single chat's allowance; None where none is counted."""
    if (charge := _charge(flight, Unit.ALLOWANCE)) is None:
        return None
    account, lane = flight.account.name, flight.due.lane
    return chats.Spending(account, charge.subject, chats.waiting(lane, account), charge.recipient is not None)


def _charge(flight: InFlight, unit: Unit) -> Charge | None:
    """The call's charge in this unit; None: it has none."""
    return next((charge for charge in flight.charges if charge.limit.unit is unit), None)


# -- call -------------------------------------------------------------------------------------------------------------


def call(runtime: Runtime, flights: Flights) -> Flights:
    """Begins the calls; a part that may not be called any more is queued again."""
    begun, errors = Flights(), list[Exception]()
    for flight in flights:
        try:
            if _call(runtime, flight):
                begun.append(flight)
        except Exception as error:  # noqa: BLE001  the others are marked, too, and are called first
            errors.append(error)
    if errors:
        raise errors[0]
    return begun


def _call(runtime: Runtime, flight: InFlight) -> bool:
    # Again, because the commit of the mark may have taken longer than the lease or the permit lasts.
    obstacle = _obstacle(runtime, flight)
    if obstacle is not None:
        take_back(runtime, flight, Verdict(Wait(Scope.PART, 0.0, obstacle)))
        return False
    # From here on an exception means doubt: bytes may have left, so the part must not simply be queued again.
    flight.is_called, flight.called_at = True, runtime.monotonic()
    flight.pending = _begin(runtime, flight)
    return True


def _obstacle(runtime: Runtime, flight: InFlight) -> str | None:
    """Why the call of a marked part may not start; None: it may."""
    if not runtime.lease.may_act(flight.incarnation):
        return "the process lost its lease"
    if flight.permit is not None and not _renew_permit(runtime, flight):
        return "the limit's room was gone"
    return None


def _renew_permit(runtime: Runtime, flight: InFlight) -> bool:
    """Asks again for a permit that became too old while the mark was written; False: the call has none now."""
    assert flight.permit is not None
    if runtime.governor.is_fresh(flight.permit):
        return True
    try:
        again = runtime.governor.renew(flight.permit, flight.charges)
    except SQLAlchemyError:
        # The part is marked already, so the error must not leave it `sending`: it is taken back.
        return False
    flight.permit = None if isinstance(again, Denied) else again
    return flight.permit is not None


def _begin(runtime: Runtime, flight: InFlight) -> PendingCall:
    """Begins the call with what is left of its deadline."""
    assert flight.connection is not None
    lane, asked = flight.due.lane, flight.request
    if flight.rule is RepeatRule.DUPLICATE_CHECK and not flight.mark.flagged:
        # The check does not cover this call: sent with its two fields, it could be swallowed in silence.
        asked = request(flight, flagged=False)
    # The deadline counts from the mark: after it another process may repeat the call, so a process that was stopped
    # in between must send nothing when it goes on.
    left_s = asked.deadline_s - (runtime.monotonic() - flight.marked_at)
    runtime.lane_states.begin_call(lane, max(0.0, left_s))
    try:
        if left_s <= 0:
            return EndedCall(NeverLeft(Unsent.DEADLINE.value, 0.0, Unsent.DEADLINE))
        return flight.connection.begin(replace(asked, deadline_s=left_s))
    except BaseException:
        runtime.lane_states.end_call(lane)
        raise
