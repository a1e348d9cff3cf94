"""The table of exceptions is whole and true."""

from __future__ import annotations

import inspect
from types import ModuleType

from tests.conformance import test_promises, test_states
from tests.conformance.cases import CASES
from tests.conformance.exceptions import EXCEPTIONS
from worker.channels import registry
from worker.domain.state import PartState


def names_of_tests(module: ModuleType) -> set[str]:
    """The names of a file's tests."""
    return {name for name, one in vars(module).items() if name.startswith("test_") and inspect.isfunction(one)}


def test_every_channel_is_asked() -> None:
    """A channel that sends has a case, and no case is of a channel that does not."""
    assert {name for name in registry.names() if registry.channel(name).sends} == {case.channel for case in CASES}


def test_every_state_has_a_test() -> None:
    """One for each."""
    assert {f"test_{state.label}" for state in PartState} == names_of_tests(test_states)


def test_every_exception_names_a_test_and_a_reason() -> None:
    """No row of a test or channel that is not there, none twice, none without a reason."""
    known = names_of_tests(test_promises) | names_of_tests(test_states)
    rows = [(row.channel, row.test) for row in EXCEPTIONS]

    assert {test for _, test in rows} <= known
    assert {channel for channel, _ in rows} <= {case.channel for case in CASES}
    assert len(rows) == len(set(rows))
    assert all(row.reason for row in EXCEPTIONS)
