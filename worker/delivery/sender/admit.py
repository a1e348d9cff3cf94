"""Admits calls: reserves their limits, and lets the parts wait for which a limit is used up.

A part of several recipients is split if that helps: the recipients whose limits allow it go now, the others later in a
part of their own. The limits are reserved before the split is written, because another call could use them up. If no
split helps, the part waits for limits of its own, and its lane or account for limits that it shares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic_core import to_json
from sqlalchemy.exc import SQLAlchemyError

from worker.delivery.sender.fault_reports import program_error
from worker.delivery.sender.in_flight import Flights, InFlight
from worker.delivery.sender.lane_blocks import block_of
from worker.delivery.sender.prepare import fail, render_again
from worker.delivery.sender.retry_hints import SEARCH_WINDOW
from worker.delivery.sender.runtime import Runtime
from worker.delivery.sender.writer import WriterClosed
from worker.domain import settle
from worker.domain.content.left_out import is_empty, without
from worker.domain.content.recipient import GROUPS
from worker.domain.job import Priority
from worker.domain.outcome import Scope
from worker.domain.pacing.limit import Charge, Denied, Permit
from worker.outbox.commit.commands import Change, Deferral, unless_changed
from worker.outbox.jobs.loading import JobPart
from worker.outbox.lanes.offering import parts_with_same_spec, wake_part_with_same_spec

WAKE_WINDOW = 1_000
"""How many parts of a lane that are due later are searched for one with the same recipients."""
MAX_SPLIT_TRIES = 3
"""How often a split is tried while other calls use up limits of its recipients; then the whole part waits."""

MAX_GROUP_WAIT_S = 600.0
"""The longest time in seconds that recipients of a split part wait for each other."""

Specs = tuple[dict[str, Any], dict[str, Any]]


def admit(runtime: Runtime, flights: Flights, unfinished: dict[str, None]) -> Flights:
    """Reserves the limits of all calls together, and returns the flights that got a permit.

    Removes the parts that wait for limits of their own from `unfinished`, the parts that may be offered again at once.
    """
    answers = runtime.governor.reserve([flight.charges for flight in flights])
    for flight, answer in zip(flights, answers, strict=True):
        flight.permit = None if isinstance(answer, Denied) else answer
    try:
        return _admitted(runtime, flights, answers, unfinished)
    except BaseException:
        # The database is away, or the process ends: no call follows, so the reservations are returned.
        runtime.governor.give_back([flight.permit for flight in flights if flight.permit is not None])
        raise


def return_permit(runtime: Runtime, flight: InFlight) -> None:
    """Returns the permit of a call of which certainly nothing was sent."""
    permit, flight.permit = flight.permit, None
    if permit is not None:
        runtime.governor.give_back([permit])


def return_permit_and_wake(runtime: Runtime, flight: InFlight) -> None:
    """Returns the permit of a call that is not made now, and wakes a part that waits for the same limits."""
    part, permit, database = flight.part, flight.permit, runtime.database
    return_permit(runtime, flight)
    if permit is None or not permit.uses or all(charge.recipient is None for charge in flight.charges):
        return

    # Usually an id came twice, and another process has sent the part: the limits are free again, and a part that was
    # denied meanwhile would wait until the window ends, which may be a day.
    def wake() -> None:
        database.run(
            lambda c: wake_part_with_same_spec(c, database.now, part.lane, part.priority, part.id, WAKE_WINDOW)
        )

    # Other parts of the same doorbell are marked already: a failure here is no reason to queue them again.
    runtime.fault_reports.run_step("waking a part that waited for its limits", wake)


def _admitted(
    runtime: Runtime, flights: Flights, answers: Sequence[Permit | Denied], unfinished: dict[str, None]
) -> Flights:
    admitted, waiting, full = [], [], []
    for flight, answer in zip(flights, answers, strict=True):
        permit = _split_off(runtime, flight, answer) if isinstance(answer, Denied) else answer
        if not isinstance(permit, Denied):
            admitted.append(flight)
            _prefetch(runtime, flight.part, permit.remaining)
        elif permit.scope is Scope.PART:
            waiting.append((flight, permit))
        else:
            full.append((flight, permit))
    # One block per scope, by the first part that was denied: the parts behind it wait for the same limits.
    first = {denied.scope: (flight, denied) for flight, denied in reversed(full)}
    for flight, denied in first.values():
        runtime.lane_blocks.apply(block_of(flight.part, denied, runtime.settings))
    if waiting:
        _wait_for_room(runtime, waiting)
        for flight, _ in waiting:
            unfinished.pop(flight.part.id, None)
    return admitted


def _prefetch(runtime: Runtime, part: JobPart, remaining: int) -> None:
    """Remembers up to `remaining` further parts for a member whose limits are about to be used up."""
    hints = runtime.retry_hints
    # Units come back one window after they were used, so the earlier the window is full the sooner all parts are sent.
    if not remaining or part.priority == Priority.URGENT or not hints.try_begin_search():
        return
    began = runtime.monotonic()
    try:
        with runtime.database.reading() as connection:
            ids = parts_with_same_spec(
                connection, runtime.database.now, part.lane, part.priority, part.id, SEARCH_WINDOW, remaining
            )
    finally:
        hints.end_search(began)
    for part_id in ids:
        hints.add(part.lane, part.priority, part_id, 0.0)


# -- waiting for limits -----------------------------------------------------------------------------------------------


def _wait_for_room(runtime: Runtime, waiting: Sequence[tuple[InFlight, Denied]]) -> None:
    """Puts off parts whose members' limits are used up, and remembers when to try them again."""
    delays = [(flight.part, denied, _retry_in_s(flight, denied)) for flight, denied in waiting]
    # Durable before it is remembered: the thread that takes it up again must find the part due at that time.
    runtime.writer.change([_wait(part, denied, delay_s) for part, denied, delay_s in delays])
    for part, denied, delay_s in delays:
        if not denied.impossible:
            runtime.retry_hints.add(part.lane, part.priority, part.id, delay_s)


def _retry_in_s(flight: InFlight, denied: Denied) -> float:
    """Returns the seconds until a part tries again. Urgent parts do not queue behind other waiting parts."""
    if denied.retry_in_s is not None and flight.part.priority != Priority.URGENT:
        return denied.retry_in_s
    return first_group_in_s(denied.members, flight.charges) if denied.members else denied.delay


def _wait(part: JobPart, denied: Denied, delay_s: float) -> Change:
    """Returns the change that puts the part off for `delay_s` seconds. Waiting for a limit is not an attempt."""
    delay_us = int(delay_s * settle.SECOND)
    return unless_changed(part, lambda row, now: settle.wait_for_limit(row, now + delay_us, denied.limit))


# -- splitting ---------------------------------------------------------------------------------------------------------


def _split_off(runtime: Runtime, flight: InFlight, denied: Denied) -> Permit | Denied:
    """Reserves only for the recipients whose limits allow it, and leaves the others to a later part.

    Returns a permit if the flight now has those recipients only. Returns a denial if the whole part waits, also after
    an error of ours, which counts as an attempt.
    """
    try:
        return _split(runtime, flight, denied)
    except (SQLAlchemyError, WriterClosed):
        raise
    except Exception as error:  # noqa: BLE001  one faulty part must not hold up the parts that are admitted with it
        return_permit(runtime, flight)
        fail(runtime, flight.part, program_error(error))
        return denied


def _split(runtime: Runtime, flight: InFlight, denied: Denied) -> Permit | Denied:
    for _ in range(MAX_SPLIT_TRIES):
        specs = _specs(flight, denied)
        if specs is None:
            break
        called = without(specs[0], flight.left_out) if flight.left_out else specs[0]
        charges = flight.channel.limits(replace(flight.part, spec=called), flight.account)
        [answer] = runtime.governor.reserve([charges])
        if isinstance(answer, Permit):
            flight.permit = answer
            return _store_split(runtime, flight, specs, charges, answer, denied)
        denied = replace(answer, members={**denied.members, **answer.members}) if answer.members else answer
    return denied


def _specs(flight: InFlight, denied: Denied) -> Specs | None:
    """Returns one spec for the recipients that go now and one for the others, or None if the part cannot be split."""
    # In doubt, a part can only be repeated with the very recipients of the earlier call.
    # And substitutes stand for recipients of the row, so a call with them cannot be split by recipient.
    if not denied.members or flight.part.in_doubt or flight.substitutes:
        return None
    spec, later = flight.row_spec, denied.members.keys()
    if flight.account.staging.chooses and spec.keys() & GROUPS:
        # Members of a group do not stand one by one in the list of recipients that staging lets through.
        return None
    specs = flight.channel.narrow(spec, later, flight.part.members or ())
    # A recipient that is left out has no charges, and so seems to be free to go.
    if specs is not None and flight.left_out and is_empty(without(specs[0], flight.left_out)):
        return None
    return specs


def _store_split(
    runtime: Runtime, flight: InFlight, specs: Specs, charges: Sequence[Charge], permit: Permit, denied: Denied
) -> Permit | Denied:
    part, (now, later) = flight.part, specs
    deferral = Deferral(
        part.id,
        part.claim,
        to_json(now).decode(),
        to_json(later).decode(),
        int(first_group_in_s(denied.members, flight.charges) * settle.SECOND),
        denied.limit,
        later.get("task_id"),
    )
    if not runtime.writer.defer(deferral):
        # The part was moved since it was read, or may not be split now.
        return_permit(runtime, flight)
        return denied
    # The split increased the claim, so a sender that read the part with all recipients can no longer mark it.
    flight.row_spec, part.claim, flight.charges = now, part.claim + 1, charges
    part.spec = without(now, flight.left_out) if flight.left_out else now
    render_again(runtime, flight)
    return permit


def first_group_in_s(members: Mapping[str, float], charges: Sequence[Charge]) -> float:
    """Returns the seconds until the first group of the waiting recipients may go.

    The group is everyone who may go within one window, of the shortest of their limits, after the first of them.
    """
    # In groups, or a thousand members would become a thousand calls.
    window_s = min(charge.limit.window_s for charge in charges if charge.recipient is not None)
    soon = min(members.values()) + min(window_s, MAX_GROUP_WAIT_S)
    return max(wait for wait in members.values() if wait <= soon)
