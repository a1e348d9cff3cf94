"""Recipients that a staging switch leaves out of a part's call.

They are stored as failures, and stay in the part's spec.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from worker.domain.content.recipient import LISTS
from worker.domain.content.staging import STAGING, Named
from worker.domain.outcome import Accepted, Outcome, Partial, Progress, Refusal, Rejected, Unknown

ALL_LEFT_OUT = "staging: its recipients were left out when it was first called; replay it"


def without(spec: Mapping[str, Any], left_out: Collection[Refusal]) -> dict[str, Any]:
    """Returns the spec without these recipients."""
    removed = {(refusal.kind, refusal.recipient) for refusal in left_out}
    lists = {
        name: [recipient for recipient in spec[name] if (kind, str(recipient)) not in removed]
        for kind, name in LISTS.items()
        if spec.get(name)
    }
    return {**spec, **lists}


def _with_omitted(spec: Mapping[str, Any], left_out: Collection[Refusal]) -> dict[str, Any]:
    """Returns the spec with the recipients that were left out, as the part's row holds it."""
    lists: dict[str, list[str]] = {}
    for refusal in left_out:
        lists.setdefault(LISTS[refusal.kind], []).append(refusal.recipient)
    return {**spec, **{name: [*(spec.get(name) or ()), *added] for name, added in lists.items()}}


def is_empty(spec: Mapping[str, Any]) -> bool:
    """Returns True if no recipients remain in a spec."""
    return not any(spec.get(name) for name in (*LISTS.values(), "everyone"))


def outcome_for_all(outcome: Outcome, left_out: tuple[Refusal, ...], substitutes: Collection[Named] = ()) -> Outcome:
    """Turns the outcome of a call without some recipients into the outcome of the whole part.

    `substitutes` are the recipients that were called in their place.
    """
    match outcome:
        case Accepted(receipt=receipt):
            return Partial(receipt, left_out)
        case Partial(receipt=receipt, refusals=refusals):
            return Partial(receipt, (*_of_job(refusals, substitutes), *left_out))
        case Unknown(reason=reason, refusals=refusals, held=held):
            return Unknown(reason, (*_of_job(refusals, substitutes), *left_out), held)
        case Rejected(refusals=refusals) if substitutes:
            return replace(outcome, refusals=tuple(_of_job(refusals, substitutes)))
        case Progress(spec=spec, refusals=refusals):
            called_spec = without(spec, [Refusal(recipient, kind, STAGING) for kind, recipient in substitutes])
            spec, of_job = _with_omitted(called_spec, left_out), tuple(_of_job(refusals, substitutes))
            return replace(outcome, spec=spec, refusals=of_job)
    return outcome


def _of_job(refusals: Collection[Refusal], substitutes: Collection[Named]) -> list[Refusal]:
    """Returns the refusals of recipients that the job names."""
    return [refusal for refusal in refusals if (refusal.kind, refusal.recipient) not in substitutes]
