"""Splits a part some of whose recipients have no room: the others go now, and these later in a part of their own.

Room for the others is reserved before the part is split, so that no split is written for room that another call takes
meanwhile. Costs nothing while there is room.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from worker.delivery.sender.admission import Denied, Permit
from worker.delivery.sender.in_flight import InFlight
from worker.delivery.sender.prepare import Preparing
from worker.delivery.sender.runtime import Runtime
from worker.delivery.sender.set_aside import our_error
from worker.delivery.sender.writer import WriterClosed
from worker.domain import settle
from worker.domain.pacing.limit import Charge
from worker.outbox.commit.commands import Narrowing
from worker.outbox.lanes.lanes import used_up

TRIES = 3
"""How often another call may take the room of further recipients before the part waits whole."""

Specs = tuple[dict[str, Any], dict[str, Any]]


class RecipientSplitter:
    """Splits parts by their recipients, in the calling thread."""

    def __init__(self, runtime: Runtime, preparing: Preparing):
        self._runtime, self._preparing = runtime, preparing

    def narrow(self, flight: InFlight, denied: Denied) -> Permit | Denied:
        """Reserves for the recipients with room alone, and leaves the others to a later part.

        A permit: the flight is now for the recipients with room only. Denied: the part waits whole, for so long; also
        after an error of ours, which counts as an attempt.
        """
        try:
            return self._narrow(flight, denied)
        except (SQLAlchemyError, WriterClosed):
            raise
        except Exception as error:  # noqa: BLE001  one odd part must not hold up those that are admitted beside it
            permit, flight.permit = flight.permit, None
            if permit is not None:
                self._runtime.governor.give_back([permit])
            self._preparing.fail(flight.due, our_error(error))
            return denied

    def _narrow(self, flight: InFlight, denied: Denied) -> Permit | Denied:
        for _ in range(TRIES):
            specs = self._specs(flight, denied)
            if specs is None:
                break
            charges = flight.channel.limits(replace(flight.part, spec=specs[0]), flight.account)
            [answer] = self._runtime.governor.reserve([charges])
            if isinstance(answer, Permit):
                flight.permit = answer
                return self._take_apart(flight, specs, charges, answer, denied)
            denied = replace(answer, members={**denied.members, **answer.members}) if answer.members else answer
        return denied

    def _specs(self, flight: InFlight, denied: Denied) -> Specs | None:
        """The part's spec for the recipients with room, and for the others; None: the part cannot be split."""
        # In doubt, a part can only be repeated with the very recipients of the earlier call.
        if not denied.members or flight.due.doubts:
            return None
        return flight.channel.narrow(flight.due.spec, denied.members.keys(), flight.part.members or ())

    def _take_apart(
        self, flight: InFlight, specs: Specs, charges: Sequence[Charge], permit: Permit, denied: Denied
    ) -> Permit | Denied:
        due, (now, later) = flight.due, specs
        wish = Narrowing(
            due.id,
            due.claim,
            _dump(now),
            _dump(later),
            int(first_to_go_s(denied.members, flight.charges) * settle.SECOND),
            used_up(denied.limit),
            later.get("task_id"),
        )
        if not self._runtime.writer.narrow(wish):
            # The part was moved since it was read, or may not be split now.
            flight.permit = None
            self._runtime.governor.give_back([permit])
            return denied
        # The split counted the claim on: a sender that read the part with all recipients cannot mark it any more.
        due.spec, due.claim = now, due.claim + 1
        flight.part, flight.ready = replace(flight.part, spec=now), replace(flight.ready, spec=now)
        flight.charges = charges
        self._preparing.render(flight)
        return permit


def first_to_go_s(members: Mapping[str, float], charges: Sequence[Charge]) -> float:
    """Seconds until the first group of the recipients without room may go.

    The group are all whose room opens within one window, of the shortest of their limits, after the first of them.
    """
    # By group, or a thousand members would become a thousand calls.
    window_s = min(charge.limit.window_s for charge in charges if charge.recipient is not None)
    soon = min(members.values()) + window_s
    return max(wait for wait in members.values() if wait <= soon)


def _dump(spec: Mapping[str, Any]) -> str:
    return json.dumps(spec, ensure_ascii=False, separators=(",", ":"))
