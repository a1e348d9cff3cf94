"""Admits calls: reserves their limits, and settles what becomes of the parts without room.

A part of several recipients is split, if that helps: those with room go now, and the others later in a part of their
own. Room is reserved before the part is split, so that no split is written for room that another call takes meanwhile.
Else a part waits by itself for limits of its own, and its lane or account for limits of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic_core import to_json
from sqlalchemy.exc import SQLAlchemyError

from worker.delivery.sender.in_flight import Flights, InFlight
from worker.delivery.sender.lane_blocks import block_of
from worker.delivery.sender.prepare import fail, render_again, unless_moved
from worker.delivery.sender.retry_hints import SEEN
from worker.delivery.sender.runtime import Runtime
from worker.delivery.sender.set_aside import our_error
from worker.delivery.sender.writer import WriterClosed
from worker.domain import settle
from worker.domain.content.left_out import is_empty, without
from worker.domain.content.recipient import GROUPS
from worker.domain.job import Priority
from worker.domain.outcome import Scope
from worker.domain.pacing.limit import Charge, Denied, Permit
from worker.outbox.commit.commands import Change, Deferral
from worker.outbox.jobs.loading import JobPart
from worker.outbox.lanes.offering import like, wake_like

WAITING = 1_000
"""Parts of a lane that are due later among which one for the same recipients is looked for."""
TRIES = 3
"""How often another call may take the room of further recipients before the part waits whole."""

ASK_AGAIN_S = 600.0
"""The longest that recipients wait for others."""

Specs = tuple[dict[str, Any], dict[str, Any]]


def admit(runtime: Runtime, flights: Flights, left: dict[str, None]) -> Flights:
    """Reserves for all calls together, and returns those with room.

    Takes the parts that wait by themselves out of `left`, which may be offered again at once.
    """
    answers = runtime.governor.reserve([flight.charges for flight in flights])
    for flight, answer in zip(flights, answers, strict=True):
        flight.permit = None if isinstance(answer, Denied) else answer
    try:
        return _with_room(runtime, flights, answers, left)
    except BaseException:
        # The database is away, or the process ends: no call follows, so the reservations are returned.
        runtime.governor.give_back([flight.permit for flight in flights if flight.permit is not None])
        raise


def give_back(runtime: Runtime, flight: InFlight) -> None:
    """Returns the reservation of a call of which certainly nothing left."""
    permit, flight.permit = flight.permit, None
    if permit is not None:
        runtime.governor.give_back([permit])


def give_back_for_others(runtime: Runtime, flight: InFlight) -> None:
    """Returns the reservation of a call that is not made now, and has a part ask again that waits for such room."""
    due, permit, database = flight.due, flight.permit, runtime.database
    give_back(runtime, flight)
    if permit is None or not permit.uses or all(charge.recipient is None for charge in flight.charges):
        return

    # Usually an id came twice, and another process has sent the part: the room is free, and a part that was refused
    # meanwhile has been told to wait until the window ends, which may be a day.
    def wake() -> None:
        database.run(lambda c: wake_like(c, database.now, due.lane, due.priority, due.id, WAITING))

    # Beside it are parts that are marked: it is no reason to take these back.
    runtime.set_aside.carry_out("waking a part without room", wake)


def _with_room(
    runtime: Runtime, flights: Flights, answers: Sequence[Permit | Denied], left: dict[str, None]
) -> Flights:
    admitted, alone, full = [], [], []
    for flight, answer in zip(flights, answers, strict=True):
        permit = _narrow(runtime, flight, answer) if isinstance(answer, Denied) else answer
        if not isinstance(permit, Denied):
            admitted.append(flight)
            _prefetch(runtime, flight.due, permit.room)
        elif permit.scope is Scope.PART:
            alone.append((flight, permit))
        else:
            full.append((flight, permit))
    # One block per scope, by the first part that was denied: the parts behind it wait for the same limits.
    first = {denied.scope: (flight, denied) for flight, denied in reversed(full)}
    for flight, denied in first.values():
        runtime.lane_blocks.apply(block_of(flight.due, denied, runtime.settings))
    if alone:
        _wait_for_room(runtime, alone)
        for flight, _ in alone:
            left.pop(flight.due.id, None)
    return admitted


def _prefetch(runtime: Runtime, due: JobPart, room: int) -> None:
    """Notes up to `room` further parts for a member whose limits are about to be used up."""
    hints = runtime.retry_hints
    # The window gives room again one window after it was filled, so the earlier it is full the sooner all are sent.
    if not room or due.priority == Priority.URGENT or not hints.may_seek():
        return
    began = runtime.monotonic()
    try:
        with runtime.database.reading() as connection:
            parts = like(connection, runtime.database.now, due.lane, due.priority, due.id, SEEN, room)
    finally:
        hints.sought(began)
    for part in parts:
        hints.note(due.lane, due.priority, part, 0.0)


# -- waiting for room -------------------------------------------------------------------------------------------------


def _wait_for_room(runtime: Runtime, alone: Sequence[tuple[InFlight, Denied]]) -> None:
    """Puts off parts whose members have no room, and notes when to take them up again."""
    delays = [(flight.due, denied, _room_in_s(flight, denied)) for flight, denied in alone]
    # Durable before it is noted: the thread that follows the note must find the part due at that time.
    runtime.writer.change([_wait(due, denied, delay_s) for due, denied, delay_s in delays])
    for due, denied, delay_s in delays:
        if not denied.impossible:
            runtime.retry_hints.note(due.lane, due.priority, due.id, delay_s)


def _room_in_s(flight: InFlight, denied: Denied) -> float:
    """Seconds until a part whose members have no room asks again; urgent parts do not queue behind others."""
    if denied.retry_in_s is not None and flight.due.priority != Priority.URGENT:
        return denied.retry_in_s
    return first_to_go_s(denied.members, flight.charges) if denied.members else denied.delay


def _wait(due: JobPart, denied: Denied, delay_s: float) -> Change:
    """Puts the part off for so many seconds; waiting for room is not an attempt."""
    delay_us = int(delay_s * settle.SECOND)
    return unless_moved(due, lambda part, now: settle.wait_for_limit(part, now + delay_us, denied.limit))


# -- splitting ---------------------------------------------------------------------------------------------------------


def _narrow(runtime: Runtime, flight: InFlight, denied: Denied) -> Permit | Denied:
    """Reserves for the recipients with room alone, and leaves the others to a later part.

    A permit: the flight is now for the recipients with room only. Denied: the part waits whole, for so long; also
    after an error of ours, which counts as an attempt.
    """
    try:
        return _split(runtime, flight, denied)
    except (SQLAlchemyError, WriterClosed):
        raise
    except Exception as error:  # noqa: BLE001  one odd part must not hold up those that are admitted beside it
        give_back(runtime, flight)
        fail(runtime, flight.due, our_error(error))
        return denied


def _split(runtime: Runtime, flight: InFlight, denied: Denied) -> Permit | Denied:
    for _ in range(TRIES):
        specs = _specs(flight, denied)
        if specs is None:
            break
        called = without(specs[0], flight.left_out) if flight.left_out else specs[0]
        charges = flight.channel.limits(replace(flight.due, spec=called), flight.account)
        [answer] = runtime.governor.reserve([charges])
        if isinstance(answer, Permit):
            flight.permit = answer
            return _take_apart(runtime, flight, specs, charges, answer, denied)
        denied = replace(answer, members={**denied.members, **answer.members}) if answer.members else answer
    return denied


def _specs(flight: InFlight, denied: Denied) -> Specs | None:
    """The part's spec for the recipients with room, and for the others; None: the part cannot be split."""
    # In doubt, a part can only be repeated with the very recipients of the earlier call.
    # And those who are called in place of others have no share of their own.
    if not denied.members or flight.due.in_doubt or flight.instead:
        return None
    spec, later = flight.share, denied.members.keys()
    if flight.account.staging.chooses and spec.keys() & GROUPS:
        # One by one the members of a group are in no list of who is let through.
        return None
    specs = flight.channel.narrow(spec, later, flight.due.members or ())
    # Who is left out has no charges, and so seems to have room.
    if specs is not None and flight.left_out and is_empty(without(specs[0], flight.left_out)):
        return None
    return specs


def _take_apart(
    runtime: Runtime, flight: InFlight, specs: Specs, charges: Sequence[Charge], permit: Permit, denied: Denied
) -> Permit | Denied:
    due, (now, later) = flight.due, specs
    wish = Deferral(
        due.id,
        due.claim,
        to_json(now).decode(),
        to_json(later).decode(),
        int(first_to_go_s(denied.members, flight.charges) * settle.SECOND),
        denied.limit,
        later.get("task_id"),
    )
    if not runtime.writer.narrow(wish):
        # The part was moved since it was read, or may not be split now.
        give_back(runtime, flight)
        return denied
    # The split counted the claim on: a sender that read the part with all recipients cannot mark it any more.
    flight.share, due.claim, flight.charges = now, due.claim + 1, charges
    due.spec = without(now, flight.left_out) if flight.left_out else now
    render_again(runtime, flight)
    return permit


def first_to_go_s(members: Mapping[str, float], charges: Sequence[Charge]) -> float:
    """Seconds until the first group of the recipients without room may go.

    The group are all whose room opens within one window, of the shortest of their limits, after the first of them.
    """
    # By group, or a thousand members would become a thousand calls.
    window_s = min(charge.limit.window_s for charge in charges if charge.recipient is not None)
    soon = min(members.values()) + min(window_s, ASK_AGAIN_S)
    return max(wait for wait in members.values() if wait <= soon)
