"""The model of marks, leases, recovery and response_codes: its promises hold, and none of its guards is idle."""

from __future__ import annotations

import pytest

from bench.model.guards import Guard
from bench.model.program import SMALL, Size, without
from bench.model.search import search


@pytest.mark.parametrize("size", SMALL.values(), ids=SMALL)
def test_no_state_breaks_a_promise(size: Size) -> None:
    """`python -m bench model` searches larger ones."""
    finding = search(size())

    assert ("", ()) == (finding.problem, finding.trace)


@pytest.mark.parametrize("guard", Guard, ids=lambda guard: guard.name)
def test_a_missing_guard_is_noticed(guard: Guard) -> None:
    """A model that holds whatever is taken out of it would prove nothing."""
    finding = without(guard)

    assert finding.problem
    assert finding.trace
