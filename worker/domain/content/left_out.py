"""Recipients who are left out of a part's call: the suppressed, and those whom a staging switch keeps from it. Pure.

They are told as failures of theirs, and stay in the part's share.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from worker.domain.content.recipient import GROUPS, INSTEAD_OF, LISTS
from worker.domain.outcome import Accepted, Outcome, Partial, Progress, Refusal, Rejected, Unknown

SUPPRESSED, STAGING = "suppressed", "staging"
"""The fields of their failures, in place of a list of the vendor's."""
ALL_SUPPRESSED = "every recipient is suppressed"
ALL_LEFT_OUT = "staging: its recipients were left out when it was first called; replay it"

Named = tuple[str, str]
"""Kind (a key of `LISTS`) and id of a recipient."""


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


def apart(spec: Mapping[str, Any], later: Collection[str]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The share without some recipients, and those alone, for channels that do not divide a share themselves.

    None where one of both would be empty, where a group stands beside, or where more than recipients tell its calls
    apart.
    """
    if spec.keys() & {*GROUPS, INSTEAD_OF, "chats", "customers", "task_id", "piece", "after"}:
        return None
    of_later = [Refusal(one, kind, "") for kind, one in named(spec) if one in later]
    of_now = [Refusal(one, kind, "") for kind, one in named(spec) if one not in later]
    return (without(spec, of_later), without(spec, of_now)) if of_later and of_now else None


def is_empty(spec: Mapping[str, Any]) -> bool:
    """True when a share that named recipients has none any more."""
    return not named(spec) and not any(spec.get(name) for name in GROUPS)


def outcome_for_all(outcome: Outcome, left_out: tuple[Refusal, ...], instead: Collection[Named] = ()) -> Outcome:
    """What a call without some meant for the whole share; `instead`: those who were called in their place."""
    match outcome:
        case Accepted(taken=taken):
            return Partial(taken, left_out)
        case Partial(taken=taken, refusals=refusals):
            return Partial(taken, (*_of_share(refusals, instead), *left_out))
        case Unknown(reason=reason, refusals=refusals, held=held):
            return Unknown(reason, (*_of_share(refusals, instead), *left_out), held)
        case Rejected(refusals=refusals) if instead:
            return replace(outcome, refusals=tuple(_of_share(refusals, instead)))
        case Progress(spec=spec, reason=reason, delay=delay, found=found, apart=apart):
            share = without(spec, [Refusal(one, kind, STAGING) for kind, one in instead])
            return Progress(_with(share, left_out), reason, delay, found, apart)
    return outcome


def _of_share(refusals: Collection[Refusal], instead: Collection[Named]) -> list[Refusal]:
    """The refusals of recipients that the job names."""
    return [one for one in refusals if (one.kind, one.recipient) not in instead]
