"""Recipients to whom nothing is sent: taken out of a part's call, and told as failures of theirs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from worker.domain.content.recipient import GROUPS, LISTS
from worker.domain.outcome import Accepted, Outcome, Partial, Progress, Refusal, Unknown

SUPPRESSED = "suppressed"
"""The field of their failures, in place of a list of the vendor's."""
ALL_SUPPRESSED = "every recipient is suppressed"

Named = tuple[str, str]
"""Kind (a key of `LISTS`) and id of a recipient."""


def named(spec: Mapping[str, Any]) -> list[Named]:
    """The recipients that a part's share names one by one."""
    return [(kind, str(one)) for kind, name in LISTS.items() if name not in GROUPS for one in spec.get(name) or ()]


def without(spec: dict[str, Any], suppressed: Collection[Refusal]) -> dict[str, Any]:
    """The share without these recipients."""
    gone = {(one.kind, one.recipient) for one in suppressed}
    lists = {
        name: [one for one in spec[name] if (kind, str(one)) not in gone]
        for kind, name in LISTS.items()
        if name in spec and name not in GROUPS
    }
    return {**spec, **lists}


def _with(spec: Mapping[str, Any], suppressed: Collection[Refusal]) -> dict[str, Any]:
    """The share that a part goes on with, and the suppressed again, which stay in its row."""
    lists: dict[str, list[str]] = {}
    for one in suppressed:
        lists.setdefault(LISTS[one.kind], []).append(one.recipient)
    return {**spec, **{name: [*(spec.get(name) or ()), *more] for name, more in lists.items()}}


def is_empty(spec: Mapping[str, Any]) -> bool:
    """True when a share that named recipients has none any more."""
    return not named(spec) and not any(spec.get(name) for name in GROUPS)


def outcome_for_all(outcome: Outcome, suppressed: tuple[Refusal, ...]) -> Outcome:
    """What a call without the suppressed meant for the whole share."""
    match outcome:
        case Accepted(taken=taken):
            return Partial(taken, suppressed)
        case Partial(taken=taken, refusals=refusals):
            return Partial(taken, (*refusals, *suppressed))
        case Unknown(reason=reason, refusals=refusals, held=held):
            return Unknown(reason, (*refusals, *suppressed), held)
        case Progress(spec=spec, reason=reason, delay=delay, found=found, apart=apart):
            return Progress(_with(spec, suppressed), reason, delay, found, apart)
    return outcome
