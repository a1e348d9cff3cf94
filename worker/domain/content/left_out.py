"""Recipients whom a staging switch keeps from a part's call. Pure.

They are told as failures of theirs, and stay in the part's share.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from worker.domain.content.recipient import GROUPS, LISTS
from worker.domain.content.staging import STAGING, Named
from worker.domain.outcome import Accepted, Outcome, Partial, Progress, Refusal, Rejected, Unknown

ALL_LEFT_OUT = "staging: its recipients were left out when it was first called; replay it"


def named(spec: Mapping[str, Any]) -> list[Named]:
    """The recipients that a part's share names one by one."""
    return [(kind, str(one)) for kind, name in LISTS.items() if name not in GROUPS for one in spec.get(name) or ()]


def without(spec: Mapping[str, Any], left_out: Collection[Refusal]) -> dict[str, Any]:
    """The share without these recipients."""
    gone = {(one.kind, one.recipient) for one in left_out}
    lists = {
        name: [one for one in spec[name] if (kind, str(one)) not in gone]
        for kind, name in LISTS.items()
        if spec.get(name)
    }
    return {**spec, **lists}


def _with(spec: Mapping[str, Any], left_out: Collection[Refusal]) -> dict[str, Any]:
    """The share that a part goes on with, and again who was left out, which stays in its row."""
    lists: dict[str, list[str]] = {}
    for one in left_out:
        lists.setdefault(LISTS[one.kind], []).append(one.recipient)
    return {**spec, **{name: [*(spec.get(name) or ()), *more] for name, more in lists.items()}}


def is_empty(spec: Mapping[str, Any]) -> bool:
    """True when a share that named recipients has none any more."""
    return not named(spec) and not any(spec.get(name) for name in GROUPS)


def outcome_for_all(outcome: Outcome, left_out: tuple[Refusal, ...], instead: Collection[Named] = ()) -> Outcome:
    """What a call without some meant for the whole share; `instead`: those who were called in their place."""
    match outcome:
        case Accepted(receipt=receipt):
            return Partial(receipt, left_out)
        case Partial(receipt=receipt, refusals=refusals):
            return Partial(receipt, (*_of_share(refusals, instead), *left_out))
        case Unknown(reason=reason, refusals=refusals, held=held):
            return Unknown(reason, (*_of_share(refusals, instead), *left_out), held)
        case Rejected(refusals=refusals) if instead:
            return replace(outcome, refusals=tuple(_of_share(refusals, instead)))
        case Progress(spec=spec, reason=reason, delay=delay, confirmations=confirmations):
            share = without(spec, [Refusal(one, kind, STAGING) for kind, one in instead])
            return Progress(_with(share, left_out), reason, delay, confirmations)
    return outcome


def _of_share(refusals: Collection[Refusal], instead: Collection[Named]) -> list[Refusal]:
    """The refusals of recipients that the job names."""
    return [one for one in refusals if (one.kind, one.recipient) not in instead]
