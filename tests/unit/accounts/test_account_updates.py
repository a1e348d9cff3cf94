"""What a worker process says of its accounts, and keeps from its senders."""

from __future__ import annotations

from functools import partial

from structlog.testing import capture_logs

from tests.support.runtime import ChangingAccounts, Ticks, an_account
from tests.unit.accounts.test_live import GOOD, Scripted
from worker.accounts.live import POLL_S, LiveAccounts
from worker.config.accounts import account_of
from worker.config.settings import Settings
from worker.delivery.sender.lane_states import LaneStates
from worker.service.account_updates import EVERY_S, AccountUpdates

WRONG = an_account(settings={"agentid": "x"})


def test_a_wrong_account_is_kept_from_the_senders_until_it_is_mended() -> None:
    """Before any job of it comes, for as long as it is wrong, and not a moment longer."""
    ticks, accounts = Ticks(), ChangingAccounts([WRONG, an_account("it")])
    states = LaneStates(ticks)
    changed: list[str] = []
    told = AccountUpdates(accounts, states, changed.extend)
    with capture_logs() as lines:
        for _ in range(20):
            ticks.advance(told.turn())
            assert states.is_left_to_peers("hr:1")
            assert not states.is_left_to_peers("it:1")
            [(name, problem)] = states.unusable().items()
            assert name == "hr"
            assert "accounts.hr.agentid: is missing or not an integer" in problem
        accounts.replace(an_account(), an_account("it"))
        for _ in range(5):
            told.turn()

    assert not states.is_left_to_peers("hr:1")
    assert states.unusable() == {}
    assert changed == ["hr", "it"] * 3
    assert [line["event"] for line in lines] == ["accounts_changed"]


def test_an_account_that_was_removed_is_not_told_of_for_ever() -> None:
    """A job that still waits for it makes it known again."""
    ticks = Ticks()
    states = LaneStates(ticks)
    states.mark_unusable("gone", 5, "account 'gone' does not exist")
    ticks.advance(14)
    assert list(states.unusable()) == ["gone"]
    ticks.advance(2)
    assert states.unusable() == {}


def test_a_source_that_cannot_be_read_is_told_once() -> None:
    """And again when it fails once more later."""
    ticks, source = Ticks(), Scripted({"hr": GOOD})
    accounts = LiveAccounts([source], partial(account_of, settings=Settings()), monotonic=ticks)
    told = AccountUpdates(accounts, LaneStates(ticks), lambda changed: None)
    with capture_logs() as lines:
        for failure in (None, "accounts: gone", "accounts: gone", None, "accounts: gone"):
            source.failure = failure
            told.turn()
            ticks.advance(max(POLL_S, EVERY_S))
    assert [line["text"] for line in lines if line["event"] == "accounts_unreadable"] == ["accounts: gone"] * 2
