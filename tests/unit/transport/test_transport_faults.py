"""The fault table of the docs, row by row, against real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.unit.transport.fault_table import SCENES, TOKEN, Row, Stage, rows, shown
from worker.channels.registry import channel
from worker.domain.account import Account
from worker.domain.call import Access, NoAnswer, NotSent, Reply, Unsent
from worker.domain.job import Part
from worker.domain.outcome import Unknown

ROWS = rows()


@pytest.fixture(params=["alone", "in company"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Servers and transports that are closed after the test; calls alone, and beside one that hangs."""
    with ExitStack() as stack:
        yield Stage(stack, in_company=request.param == "in company")


def test_every_row_has_a_scene() -> None:
    """Nothing is promised in the docs that is not tried out, and nothing tried out is missing there."""
    assert {row.fault for row in ROWS} == set(SCENES)
    assert len(ROWS) == len(SCENES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.fault)
def test_fault_has_the_documented_result(row: Row, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """The result written in the docs is what a real server's fault gives, and the token shows up nowhere.

    Never left means that no byte was handed over, in every row; anything else that one was.
    """
    caplog.set_level("DEBUG")

    result = SCENES[row.fault](stage)

    assert row.result == shown(result)
    assert TOKEN not in caplog.text + repr(result)
    assert isinstance(result, NotSent) == ("first_byte" not in stage.reached)
    match result:
        case NotSent():
            assert_people_are_told_what_to_change(row, result)
        case Reply():
            assert_channel_makes_of_it_what_the_table_says(row, result)
        case _:
            assert isinstance(result, NoAnswer)


def assert_people_are_told_what_to_change(row: Row, result: NotSent) -> None:
    """Of each connection that could not be made, in few words and without a secret; and its cause is the reason's."""
    closed = Unsent.CLOSED_AT_ONCE if "its account waits as without" in row.channel else None
    assert (Unsent(result.reason) if result.reason in set(Unsent) else closed) == result.cause
    unmade = result.reason not in {"closed_at_once", "dropped", "deadline", "file"}
    assert unmade == (result.remedy is not None)
    assert TOKEN not in str(result.remedy)
    assert len(str(result.remedy)) <= 300


def assert_channel_makes_of_it_what_the_table_says(row: Row, result: Reply) -> None:
    """The last column is the channel's own reading of the very answer that the fault produced."""
    outcome = channel("wecom_app").outcome(PART, ACCOUNT, result, Access("t")).outcome

    named = row.channel.partition(":")[0]
    if named.startswith("by errcode"):
        assert not isinstance(outcome, Unknown)
    else:
        assert named == type(outcome).__name__


PART = Part(
    "0" * 32 + "-0", "0" * 32, 0, "send", {"type": "text", "body": {"text": {"content": "x"}}}, {"users": ["a"]}
)
ACCOUNT = Account("hr", "wecom_app", "https://vendor.example", {"corpid": "ww1", "agentid": 1})
