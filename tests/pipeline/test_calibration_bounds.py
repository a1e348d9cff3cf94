"""What a calibration must not do: reach other people, exceed a limit, call where jobs may not; and how it is cut."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.pipeline.calibrated_tenant import PERSON, group, tenant
from worker.control.audit import list_audit
from worker.control.calibration.asker import MOST_CALLS
from worker.control.pause import pause
from worker.control.suppress import suppress_in
from worker.domain.content.staging import Staging
from worker.domain.errors import WorkerError
from worker.domain.job_filter import JobFilter
from worker.domain.pacing.lane import LaneBlock
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import block_lanes

pytestmark = pytest.mark.fewer_databases("what the vendor answers is the same on each")
SEND = "/cgi-bin/message/send"
OTHERS = ["@all", "all|them", "zhangsan,lisi", "party:1", "tag:4", "", "a b", "@", "zhang\nsan"]


def cut(text: str) -> int:
    """A person who ends the run."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("to", OTHERS)
def test_more_than_one_person_is_refused(database: Database, driven_clock: DrivenClock, to: str) -> None:
    """No call is made for @all, a list, a department or a tag."""
    with tenant(database, driven_clock, {}) as vendor:
        with pytest.raises(WorkerError, match="--to names one person"):
            vendor.run(to=to)

        assert (0, {}) == (vendor.calls(), vendor.inboxes())


def test_a_person_who_gets_nothing_ends_it(database: Database, driven_clock: DrivenClock) -> None:
    """One call and one for the token: what would suppressed mean to somebody who never sees a message?"""
    with tenant(database, driven_clock, {}) as vendor:
        with pytest.raises(WorkerError, match="the person of --to gets no message"):
            vendor.run(to="ghost1")

        assert 2 == vendor.calls()


def test_what_holds_for_jobs_holds_for_it(database: Database, driven_clock: DrivenClock) -> None:
    """Staging, the list of the suppressed, and a pause: no call is made."""
    with tenant(database, driven_clock, {}) as vendor:
        own = vendor.account
        for staging, said in (
            (Staging(dry_run=True), "staging: dry_run is on"),
            (Staging(redirect_to=("lisi",)), "staging: redirect_to is on"),
            (Staging(only=("lisi",)), "not among those who are let through"),
        ):
            vendor.account = replace(own, staging=staging)
            with pytest.raises(WorkerError, match=said):
                vendor.run()
        vendor.account = own
        parked = LaneBlock("hr", "hr", "hr", 0, "no quota", parked=True)
        database.run(lambda connection: block_lanes(connection, database.now, [parked]))
        with pytest.raises(WorkerError, match="account hr is blocked or parked"):
            vendor.run()
        suppress_in(database, [PERSON], "ops", "")
        with pytest.raises(WorkerError, match="nothing is sent to the person"):
            vendor.run()
        pause(JobFilter(account="hr"), person="ops", why="", database=database)
        with pytest.raises(WorkerError, match="account hr is paused"):
            vendor.run(to="lisi")

        assert 0 == vendor.calls()


def test_calls_wait_for_room_in_the_accounts_limits(database: Database, driven_clock: DrivenClock) -> None:
    """With five messages a minute to a member, the vendor that counts so too has nothing to say."""
    settings = {"limits": {"member_per_minute": 5}}
    with tenant(database, driven_clock, settings, limits={"member_minute": 5}) as vendor:
        vendor.pause = vendor.advance
        found = vendor.run()

        assert ([], []) == (vendor.ask("violations")["limits"], vendor.ask("violations")["drops"])
        assert "suppressed" == found.found["an equal body again"]


def test_a_limit_that_stays_used_up_ends_the_run(database: Database, driven_clock: DrivenClock) -> None:
    """An hour is not waited for."""
    with tenant(database, driven_clock, {}, limits={"member_hour": 3}) as vendor:
        vendor.pause = vendor.advance
        with pytest.raises(WorkerError, match="limit member_hour is used up"):
            vendor.run()

        assert 4 == vendor.calls()


def test_a_lost_answer_leaves_its_facts_open(database: Database, driven_clock: DrivenClock) -> None:
    """Others are found, and the run ends."""
    with tenant(database, driven_clock, {}) as vendor:
        vendor.ask("faults", match={"path": SEND, "nth": 1}, action={"cut_response_after": 10})
        found = vendor.run()

        assert found.found["an equal body again"].startswith("no readable answer")
        assert "taken" == found.found["a second recall"]


def test_a_frequency_limit_of_the_vendor_ends_the_run(database: Database, driven_clock: DrivenClock) -> None:
    """Nothing is asked after 45009; the audit's row has no end."""
    with tenant(database, driven_clock, {}) as vendor:
        vendor.ask("faults", match={"path": SEND, "nth": 4}, action={"answer": {"errcode": 45009}})
        with pytest.raises(WorkerError, match="45009"):
            vendor.run()

        with database.reading() as connection:
            [entry] = list_audit(connection)
        assert (5, "calibrate", None, 5) == (vendor.calls(), entry.action, entry.ended_at, entry.counts["calls"])


def test_a_token_that_is_refused_is_fetched_anew(database: Database, driven_clock: DrivenClock) -> None:
    """As for a job: one more fetch, one more call, and the facts are found."""
    with tenant(database, driven_clock, {}) as vendor:
        vendor.ask("faults", match={"path": SEND, "nth": 3}, action={"answer": {"errcode": 40014}})
        found = vendor.run()

        assert "compared" == found.found["flags in the duplicate check"]
        assert vendor.calls() == found.calls


def test_a_run_that_is_cut_is_said_again(database: Database, driven_clock: DrivenClock) -> None:
    """Nothing of it is kept but its row without an end, and `--continue` needs a run that ended."""
    with tenant(database, driven_clock, {}) as vendor:
        vendor.ask("settings", duplicate={"answers": "new_msgid"})
        vendor.eyes = cut
        with pytest.raises(KeyboardInterrupt):
            vendor.run()
        with pytest.raises(WorkerError, match="was not calibrated yet"):
            vendor.run(to=None)
        vendor.eyes = None
        found = vendor.run()

        assert "a new msgid" == found.found["the answer to a suppressed repeat"]
        with database.reading() as connection:
            ends = [(one.action, one.ended_at is None) for one in list_audit(connection)]
        assert [("calibrated", False), ("calibrate", False), ("calibrate", True)] == ends


def test_a_run_that_goes_on_asks_nothing_twice(database: Database, driven_clock: DrivenClock) -> None:
    """What is not old enough waits, and what was asked about is not asked about again."""
    with tenant(database, driven_clock, {}) as vendor:
        vendor.run()
        before = vendor.calls()
        early = vendor.run(to=None)
        vendor.advance(1_600)
        vendor.run(to=None)
        after = vendor.calls()
        again = vendor.run(to=None)

        assert before + 2 == after
        assert after == vendor.calls() == again.calls
        assert 6 == len(early.later)
        assert 4 == len(again.later)


def test_what_was_asked_about_in_a_run_that_was_cut_is_not_asked_about_again(
    database: Database, driven_clock: DrivenClock
) -> None:
    """The vendor remembers the call of the cut run now, so another one would find too long a window."""
    with tenant(database, driven_clock, group("duplicate", answers="new_msgid", longest_s=1_000)) as vendor:
        vendor.run()
        vendor.advance(1_600)
        vendor.eyes = cut
        with pytest.raises(KeyboardInterrupt):
            vendor.run(to=None)
        vendor.eyes = None
        vendor.advance(100)
        found = vendor.run(to=None)

        assert "duplicate window" not in found.found
        assert [13_800] == [one.age_s for one in found.later if one.fact == "duplicate window"]


def test_no_more_calls_are_made_than_are_left(database: Database, driven_clock: DrivenClock) -> None:
    """When all are used up, what was left behind is left alone."""
    with tenant(database, driven_clock, {}) as vendor:
        vendor.run()
        before = vendor.calls()
        vendor.advance(100_000)
        with database.writing() as connection:
            query = "select asked from worker_audit where action = 'calibrated'"
            asked = json.loads(connection.execute(text(query)).scalar_one())
            used = json.dumps({**asked, "calls": MOST_CALLS})
            connection.execute(
                text("update worker_audit set asked = :asked where action = 'calibrated'"), {"asked": used}
            )
        found = vendor.run(to=None)

        assert (before, MOST_CALLS, []) == (vendor.calls(), found.calls, list(found.later))
