"""The table of exceptions is whole and true, and the page in the docs is made of it."""

from __future__ import annotations

from pathlib import Path

from tests.conformance import table, test_promises, test_states
from tests.conformance.cases import CASES
from tests.conformance.exceptions import EXCEPTIONS
from worker.channels import registry
from worker.domain.state import PartState

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_every_channel_is_asked() -> None:
    """A channel that sends has a case, and no case is of a channel that does not."""
    assert {name for name in registry.names() if registry.channel(name).sends} == {case.channel for case in CASES}


def test_every_state_has_a_test() -> None:
    """One for each."""
    assert {f"test_{state.label}" for state in PartState} == set(table.tests_of(test_states))


def test_every_exception_names_a_test_and_a_reason() -> None:
    """No row of a test or channel that is not there, none twice, none without a reason."""
    known = {*table.tests_of(test_promises), *table.tests_of(test_states)}
    rows = [(row.channel, row.test) for row in EXCEPTIONS]

    assert {test for _, test in rows} <= known
    assert {channel for channel, _ in rows} <= {case.channel for case in CASES}
    assert len(rows) == len(set(rows))
    assert all(row.reason for row in EXCEPTIONS)


def test_the_page_is_made_of_the_suite() -> None:
    """Nobody has to remember to change it."""
    assert table.page() == PAGE.read_text(encoding="utf-8")
