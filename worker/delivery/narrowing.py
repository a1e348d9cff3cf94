"""A part some of whose recipients have no room: the others go now, those later in a part of their own.

Room for the others is reserved first and the part taken apart then, so nothing is planned anew for room that somebody
else takes meanwhile. Costs nothing while there is room.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from worker.delivery.admission import Denied, Permit
from worker.delivery.errand import Errand
from worker.delivery.plant import Plant
from worker.delivery.preparing import Preparing
from worker.delivery.set_aside import our_error
from worker.delivery.writer import WriterClosed
from worker.domain import settle
from worker.domain.limit import Charge
from worker.outbox.items import Narrowing
from worker.outbox.lanes import used_up

TRIES = 3
"""So often somebody else may take the room of a few more before the part waits whole."""

Specs = tuple[dict[str, Any], dict[str, Any]]


class Narrower:
    """Takes parts apart, in the calling thread."""

    def __init__(self, plant: Plant, preparing: Preparing):
        self._plant, self._preparing = plant, preparing

    def narrow(self, errand: Errand, denied: Denied) -> Permit | Denied:
        """A permit: the errand is now for those with room alone. Denied: the part waits whole, so long; also when an
        error of ours is in the way, which is a try.
        """
        try:
            return self._narrow(errand, denied)
        except (SQLAlchemyError, WriterClosed):
            raise
        except Exception as error:  # noqa: BLE001  one odd part must not hold up those that are admitted beside it
            permit, errand.permit = errand.permit, None
            if permit is not None:
                self._plant.governor.give_back([permit])
            self._preparing.fail(errand.work, our_error(error))
            return denied

    def _narrow(self, errand: Errand, denied: Denied) -> Permit | Denied:
        for _ in range(TRIES):
            specs = self._specs(errand, denied)
            if specs is None:
                break
            charges = errand.channel.limits(replace(errand.part, spec=specs[0]), errand.account)
            [answer] = self._plant.governor.reserve([charges])
            if isinstance(answer, Permit):
                errand.permit = answer
                return self._take_apart(errand, specs, charges, answer, denied)
            denied = replace(answer, members={**denied.members, **answer.members}) if answer.members else answer
        return denied

    def _specs(self, errand: Errand, denied: Denied) -> Specs | None:
        """The part's spec for those with room, and for those without; None: it cannot be taken apart."""
        if not denied.members or errand.work.doubts:
            return None
        return errand.channel.narrow(errand.work.spec, denied.members.keys(), errand.part.members or ())

    def _take_apart(
        self, errand: Errand, specs: Specs, charges: Sequence[Charge], permit: Permit, denied: Denied
    ) -> Permit | Denied:
        work, (now, later) = errand.work, specs
        wish = Narrowing(
            work.id,
            work.claim,
            _dump(now),
            _dump(later),
            int(first_to_go_s(denied.members, errand.charges) * settle.SECOND),
            used_up(denied.limit),
            later.get("task_id"),
        )
        if not self._plant.writer.narrow(wish):
            errand.permit = None
            self._plant.governor.give_back([permit])
            return denied
        work.spec, work.claim = now, work.claim + 1
        errand.part, errand.ready = replace(errand.part, spec=now), replace(errand.ready, spec=now)
        errand.charges = charges
        self._preparing.render(errand)
        return permit


def first_to_go_s(members: Mapping[str, float], charges: Sequence[Charge]) -> float:
    """Seconds until the first of those without room have some: all whose room opens within one window of the shortest
    of their limits go together, so that a thousand members never become a thousand calls.
    """
    window_s = min(charge.limit.window_s for charge in charges if charge.recipient is not None)
    soon = min(members.values()) + window_s
    return max(wait for wait in members.values() if wait <= soon)


def _dump(spec: Mapping[str, Any]) -> str:
    return json.dumps(spec, ensure_ascii=False, separators=(",", ":"))
