"""Card updates by a response_code that the application gives: one call, the same ledger, the same single use."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.runtime import UPDATE, Site, an_account, lost, planted, refused
from worker import (
    ButtonCard,
    CardUpdate,
    CheckFailed,
    Everyone,
    NotReplayable,
    Text,
    To,
    enqueue,
    replay,
    update_card,
    update_card_by_code,
)
from worker.accounts.current import configured
from worker.delivery.sender import attempt
from worker.delivery.sender.in_flight import InFlight
from worker.domain.job import part_id
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import load_parts

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000
HOUR = 3_600
FREEZE = CardUpdate(replace_name="done")
CARD = ButtonCard(main_title={"title": "t"}, button_list=[{"text": "ok", "key": "ok"}])


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def by_code(site: Site, code: Any = "RC-1", to: Any = None, update: Any = FREEZE, **options: Any) -> str:
    with site.database.writing() as connection:
        options = {"accounts": site.accounts, **options}
        return update_card_by_code(connection, "hr", code, update, to, **options).id


def now(site: Site) -> datetime:
    return datetime.fromtimestamp(site.clock.micros / SECOND, UTC)


def codes(site: Site) -> dict[str, tuple[str, str]]:
    rows = site.rows("select code, source, state from worker_response_codes")
    return {row.code: (row.source, row.state) for row in rows}


def problem_of(site: Site, *given: Any, **options: Any) -> str:
    with pytest.raises(CheckFailed) as caught:
        by_code(site, *given, **options)
    return str(caught.value)


def test_it_is_one_call_with_that_code(site: Site) -> None:
    """The vendor's body holds the code, the app and the people; the ledger holds that it was spent, and by whom."""
    job = by_code(site, "RC-1", To(users=["LiSi"], parties=[7]), issued_at=now(site) - timedelta(hours=1))

    site.run()

    body = {"button": {"replace_name": "done"}, "agentid": 7, "response_code": "RC-1"}
    assert [{**body, "userids": ["LiSi"], "partyids": [7]}] == site.bodies(UPDATE)
    [row] = site.rows("select * from worker_response_codes")
    assert (site.state(job), site.job(job).target_job_id) == ("accepted", None)
    assert ("given", "spent", part_id(job, 0)) == (row.source, row.state, row.leased_by)
    assert ((row.ends_at - site.clock.micros) // SECOND, row.person) == (71 * HOUR, None)


def test_the_process_knows_its_accounts(site: Site) -> None:
    """Where the caller gives none."""
    with configured(site.accounts):
        job = by_code(site, accounts=None)
    site.run()

    assert site.state(job) == "accepted"


@pytest.mark.parametrize("everyone", [None, Everyone()])
def test_without_people_it_is_for_everyone(site: Site, everyone: Any) -> None:
    """As an update by job."""
    by_code(site, to=everyone)

    site.run()

    assert [body["atall"] for body in site.bodies(UPDATE)] == [1]


@pytest.mark.parametrize("nobody", [To(), [], ""])
def test_it_is_refused_for_an_empty_list(site: Site, nobody: Any) -> None:
    """A list of people that came out empty means nobody, and the vendor's 82101, not everyone who has the card."""
    with site.database.writing() as connection:
        job = enqueue(connection, "hr", CARD, ["LiSi"], accounts=site.accounts)
        with pytest.raises(CheckFailed, match="82101"):
            update_card(connection, job.id, FREEZE, nobody, accounts=site.accounts)

    assert "82101" in problem_of(site, "RC-1", nobody)


def test_a_code_that_was_used_is_refused_at_once_and_the_transaction_stays_usable(site: Site) -> None:
    """With the job that used it and what to do instead; nothing is written."""
    first = by_code(site)
    site.run()

    with site.database.writing() as connection:
        with pytest.raises(CheckFailed) as caught:
            update_card_by_code(connection, "hr", "RC-1", FREEZE, accounts=site.accounts)
        others = update_card_by_code(connection, "hr", "RC-2", FREEZE, accounts=site.accounts)

    [problem] = caught.value.problems
    assert ("response_code", f"has been used by job {first}: each is good for one update") == (
        problem.field,
        problem.text,
    )
    assert problem.remedy == "take the code of a later press of the card, or send a new card"
    assert {first, others.id} == {row.id for row in site.rows("select id from worker_jobs")}


def test_of_two_that_were_asked_for_one_calls_and_the_other_says_why_not(site: Site) -> None:
    """When both were enqueued before either ran, the worker refuses the second."""
    jobs = [by_code(site), by_code(site)]

    site.run()

    assert len(site.calls(UPDATE)) == 1
    winner, loser = sorted(jobs, key=site.state)
    assert (site.state(winner), site.state(loser)) == ("accepted", "rejected")
    assert (
        f"its response_code has been used by job {winner}: each is good for one update;"
        " take the code of a later press of the card, or send a new card"
    ) == site.part(loser).reason


def prepared(site: Site, job: str) -> InFlight:
    with site.database.reading() as connection:
        [part] = load_parts(connection, site.database.now, [part_id(job, 0)])
    [flight] = attempt.prepare(site.runtime, [part], lambda: None)
    return flight


def test_two_that_race_make_one_call(site: Site) -> None:
    """Both have found the code fresh before either is marked."""
    jobs = [by_code(site), by_code(site)]
    flights = [prepared(site, job) for job in jobs]

    for flight in flights:
        site.carry_out([flight])
    site.settle()

    assert ([flight.pending_write is not None for flight in flights], len(site.calls(UPDATE))) == ([True, False], 1)
    assert [site.state(job) for job in jobs] == ["accepted", "queued"]


def test_it_waits_while_another_update_holds_the_code(site: Site) -> None:
    """Only the end of that call tells; a refusal that leaves the code unused leaves it for the next."""
    site.vendor.says(refused(82101))
    first, second = by_code(site), by_code(site)
    held = prepared(site, first)
    attempt.mark(site.runtime, [held])

    site.ring(second)
    waiting = (site.state(second), site.part(second).reason)
    site.sql("update worker_response_codes set state = 'fresh', leased_by = null")
    site.advance(1)
    site.ring(second)
    third = by_code(site)
    site.ring(third)

    assert waiting == ("queued", "its response_code is in use by another update")
    assert (site.state(second), site.state(third)) == ("rejected", "accepted")


def test_its_own_lease_does_not_stop_it(site: Site) -> None:
    """Left by a call of its own whose end did not free it."""
    job = by_code(site)
    prepared(site, job)
    site.sql("update worker_response_codes set state = 'leased', leased_by = :part", part=part_id(job, 0))

    site.ring(job)

    assert site.state(job) == "accepted"


def test_a_call_without_an_answer_is_held_for_a_person(site: Site) -> None:
    """No other code is known: burned, nothing is called again, and a further update by it is refused."""
    site.vendor.says(lost())
    job = by_code(site)
    site.ring(job)

    site.advance(26)
    site.recover()
    site.ring(job)

    assert (site.state(job), site.part(job).not_before, len(site.calls(UPDATE))) == ("unknown", None, 1)
    fate = f"may have been used by job {job}, whose call was not answered"
    assert f"its response_code {fate}" in site.part(job).reason
    assert codes(site) == {"RC-1": ("given", "burned")}
    assert fate in problem_of(site)


def test_a_code_whose_time_is_known_to_be_over_makes_no_call(site: Site) -> None:
    """72 h from when it was issued, less the deadline of a call; the reason says when that ended."""
    issued = now(site)
    in_time, late = by_code(site, "RC-1", issued_at=issued), by_code(site, "RC-2", issued_at=issued)
    site.advance(72 * HOUR - 21)
    site.ring(in_time)
    site.advance(1)
    site.ring(late)

    assert (site.state(in_time), site.state(late), len(site.calls(UPDATE))) == ("accepted", "rejected", 1)
    ended = issued + timedelta(hours=72)
    assert f"valid for 72 h only; that time ended at {ended:%Y-%m-%d %H:%M:%S}Z" in site.part(late).reason


def test_a_wrong_instant_spoils_no_good_code(site: Site) -> None:
    """What is too late by the caller's word is not filed: the next caller may know better."""
    wrong = by_code(site, issued_at=now(site) - timedelta(days=30))
    site.run()
    right = by_code(site, issued_at=now(site) - timedelta(hours=1))
    site.run()

    assert (site.state(wrong), site.state(right)) == ("rejected", "accepted")


def test_of_a_code_whose_age_nobody_knows_the_vendor_is_asked(site: Site) -> None:
    """It refuses the code with 60140, which uses it up."""
    site.vendor.says(refused(60140))
    job = by_code(site)

    site.run()

    assert (site.state(job), len(site.calls(UPDATE))) == ("rejected", 1)
    assert "60140" in site.part(job).reason
    assert codes(site) == {"RC-1": ("given", "spent")}


def test_the_same_code_of_another_app_is_another_code(site: Site) -> None:
    """The ledger counts by app."""
    by_code(site)
    site.run()
    with site.database.writing() as connection:
        job = update_card_by_code(connection, "it", "RC-1", FREEZE, accounts=site.accounts).id
    site.run()

    assert (site.state(job), [body["agentid"] for body in site.bodies(UPDATE)]) == ("accepted", [7, 8])


def test_a_code_is_spent_once_whichever_account_of_its_app_gives_it(
    database: Database, driven_clock: DrivenClock
) -> None:
    """Two accounts of one app, by name: to the vendor there is one code. It is spent in the ledger's own row.

    So an update of the job finds none left.
    """
    with planted(database, driven_clock, accounts=[an_account("hr"), an_account("alerts")]) as site:
        card = site.card(account="alerts")
        site.ring(card)
        by_code(site, "code1")
        site.run()

        told = problem_of(site, "code1")
        update = site.update(card)
        site.run()

        assert "has been used" in told
        assert codes(site) == {"code1": ("send", "spent")}
        assert "no response_code is left" in site.part(update).reason


def test_the_same_dedupe_key_is_the_same_job_also_when_it_has_used_the_code(site: Site) -> None:
    """A producer that asks again is not told that its own job was first."""
    job = by_code(site, dedupe_key="k")
    site.run()

    again = by_code(site, dedupe_key="k")

    assert job == again
    assert "has been used" in problem_of(site, dedupe_key="another")


def test_a_replay_spends_the_code_only_where_the_first_did_not(site: Site) -> None:
    """A refusal that left it unused may be replayed; a used one says what to do instead."""
    site.vendor.says(refused(82101))
    job = by_code(site, to="lisi")
    site.run()
    with site.database.writing() as connection:
        again = replay(connection, job, accepted=True, unknown=True, accounts=site.accounts).id
    site.run()

    assert [site.state(job), site.state(again)] == ["rejected", "accepted"]
    assert [body["userids"] for body in site.bodies(UPDATE)] == [["lisi"], ["lisi"]]
    with site.database.writing() as connection, pytest.raises(NotReplayable, match="later press of the card") as told:
        replay(connection, job, accepted=True, unknown=True, accounts=site.accounts)
    assert job == told.value.job


def test_what_is_no_code_is_refused(site: Site) -> None:
    """By the vendor's name, before anything is written."""
    for code in ("", " ", 7, "c" * 1_025, "a\x00b", "a\ud800"):
        with pytest.raises(CheckFailed) as caught:
            by_code(site, code)
        assert {problem.field for problem in caught.value.problems} == {"response_code"}

    assert site.rows("select id from worker_jobs") == []


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"update": Text(content="x")}, "update"),
        ({"update": CardUpdate()}, "template_card"),
        ({"issued_at": datetime(2026, 7, 1)}, "issued_at"),
        ({"to": To([f"u{n}" for n in range(1_001)])}, "userids"),
    ],
    ids=["no update", "an empty one", "a time without a zone", "too many"],
)
def test_what_else_is_wrong_is_refused_too(site: Site, given: dict[str, Any], field: str) -> None:
    """As for an update by job."""
    with pytest.raises(CheckFailed) as caught:
        by_code(site, **given)

    assert [field] == [problem.field for problem in caught.value.problems]
