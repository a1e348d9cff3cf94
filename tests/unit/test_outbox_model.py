"""The model of marks, leases, recovery and response_codes: its promises hold, and none of its guards is idle."""

from __future__ import annotations

import pytest

from bench.model.guards import Guard
from bench.model.program import SMALL, Size, without
from bench.model.search import search

SLOW = pytest.mark.slow("thirty thousand states, ten times as many as the others have")
LARGEST = "two updates of a card with one response_code"
IN_THE_LARGEST = {Guard.CODE_IS_OWN, Guard.CODE_LEASED}
"""What no smaller one misses."""


@pytest.mark.parametrize(
    "size", [pytest.param(size, marks=SLOW if name == LARGEST else (), id=name) for name, size in SMALL.items()]
)
def test_no_state_breaks_a_promise(size: Size) -> None:
    """`python -m bench model` searches larger ones."""
    finding = search(size())

    assert (finding.problem, finding.trace) == ("", ())


@pytest.mark.parametrize(
    "guard", [pytest.param(guard, marks=SLOW if guard in IN_THE_LARGEST else (), id=guard.name) for guard in Guard]
)
def test_a_missing_guard_is_noticed(guard: Guard) -> None:
    """A model that holds whatever is taken out of it would prove nothing."""
    finding = without(guard)

    assert finding.problem
    assert finding.trace
