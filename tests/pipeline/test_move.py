"""Jobs are moved to another account of their people: each person gets the message once, and follow-ups find it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from tests.pipeline.console.person import Person
from tests.support.runtime import RECALL, UPDATE, Site, an_account, lost, planted, refused
from worker import recall, replay
from worker.control import move as moving
from worker.control.audit import CommandResult
from worker.control.cancel import cancel, find_open
from worker.control.move import MovableJobs, find_movable, move_jobs
from worker.control.pause import hold
from worker.control.recall import find_sent, recall_jobs
from worker.domain.errors import CheckFailed, ConfigurationError, NotReplayable
from worker.domain.job_filter import JobFilter
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SINCE = JobFilter(created_from=datetime(2020, 1, 1, tzinfo=UTC))
ROBOT = replace(an_account("robot"), channel="wecom_webhook", settings={"edition": "robot"})


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """Two apps of one corp."""
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def found(site: Site, wanted: JobFilter = SINCE, to: str | None = "it") -> MovableJobs:
    return find_movable(wanted, to_account=to, database=site.database, accounts=site.accounts)


def move(site: Site, wanted: JobFilter = SINCE) -> CommandResult:
    return move_jobs(found(site, wanted), person="li", database=site.database, accounts=site.accounts)


def addressed(site: Site) -> list[tuple[str, int]]:
    """To whom the sends were, and from which app."""
    return [(body["touser"], body["agentid"]) for body in site.bodies()]


@pytest.mark.every_database
def test_what_waits_and_what_failed_goes_through_the_other_account(site: Site) -> None:
    """To those whom no try reached; what was taken, is in doubt or was withdrawn stays. A second run moves nothing."""
    site.vendor.says(partial(site.vendor.takes, invaliduser="bob"), refused(85002), lost())
    for n, to in enumerate(("ann|bob", "carl", "dora", "eva")):
        site.ring(site.send(f"{n}", to, duplicate_check=False, on_unknown="hold"))
    waits = site.send("waits", "finn", due_at=timedelta(days=1), expires_at=timedelta(days=2), tags=["t"])
    soon = site.send("soon", "hugo", expires_at=timedelta(days=2))
    gone = site.send("gone", "gil", due_at=timedelta(days=1))
    cancel(find_open(JobFilter(ids=[gone]), database=site.database), person="li", database=site.database)

    selection = found(site)
    result = move_jobs(selection, person="li", database=site.database, accounts=site.accounts)
    moved = {site.job(id).replay_of: site.job(id) for id in result.jobs}
    site.run()
    first, made = addressed(site)[4:], len(site.bodies())
    site.advance(86_401)
    site.run()

    assert selection.breakdown == {"moved_waiting": 2, "busy": 1}
    assert result.counts == {"moved": 4, "cancelled": 2}
    assert {job.account for job in moved.values()} == {"it"}
    assert (site.state(waits), site.state(soon)) == ("cancelled", "cancelled")
    assert sorted(first) == [("bob", 8), ("carl", 8), ("hugo", 8)]
    assert addressed(site)[made:] == [("finn", 8)]
    for old in (waits, soon):
        assert moved[old].expires_at == site.job(old).expires_at
    assert (moved[waits].due_at, moved[waits].tags) == (site.job(waits).due_at, site.job(waits).tags)
    assert move(site).counts == {"refused": 1}, "whom a part of a job has reached, only a closer look shows"


def test_what_a_person_decides_meanwhile_holds(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the search and the move: cancelled, recalled, sent. Of what is refused nothing has changed."""
    jobs = {name: site.send(name, name, due_at=timedelta(days=1)) for name in ("gone", "back", "goes")}
    taken = site.send("taken", "taken")
    selection = found(site)
    cancel(find_open(JobFilter(ids=[jobs["gone"]]), database=site.database), person="li", database=site.database)
    with site.database.writing() as connection:
        recall(connection, jobs["back"], accounts=site.accounts)
    site.ring(taken)

    result = move_jobs(selection, person="li", database=site.database, accounts=site.accounts)

    assert result.counts == {"moved": 1, "cancelled": 1, "refused": 3}
    assert set(result.notes) == {jobs["gone"], jobs["back"], taken}
    assert site.job(jobs["back"]).cancelled_at is None
    with site.database.writing() as connection, pytest.raises(NotReplayable, match="cancelled by li"):
        replay(connection, jobs["goes"], accounts=site.accounts)


def test_what_is_busy_or_held_is_left_out_and_said(site: Site) -> None:
    """A try in doubt may be repeated; a person holds the other. One that comes into doubt meanwhile is refused."""
    site.vendor.says(lost())
    site.ring(in_doubt := site.send("doubt", "ann"))
    held = site.send("held", "bob")
    hold([held], person="li", database=site.database)
    later = site.send("later", "carl")
    ordered = site.send("ordered", "dora", order_key="k")

    selection = found(site)
    site.vendor.says(lost())
    site.ring(later)
    result = move_jobs(selection, person="li", database=site.database, accounts=site.accounts)

    assert selection.ids == tuple(sorted((later, ordered)))
    assert selection.breakdown == {"busy": 1, "held": 1, "moved_ordered": 1, "moved_waiting": 2}
    assert list(result.notes) == [later]
    assert all(site.job(id).cancelled_at is None for id in (in_doubt, held, later))


def test_a_run_that_is_cut_short_moves_a_job_wholly_or_not(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it cancels is cancelled only together with the job that takes its place."""
    waits = site.send("waits", "finn")

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(moving, "replay_row", dies)
        with pytest.raises(KeyboardInterrupt):
            move(site)
    assert (site.state(waits), site.job(waits).cancelled_at) == ("queued", None)

    assert move(site, JobFilter(created_from=SINCE.created_from, state="open")).counts == {"moved": 1, "cancelled": 1}
    site.run()
    assert addressed(site) == [("finn", 8)]


def test_an_account_that_cannot_send_them_is_refused_before_anything_changes(site: Site) -> None:
    """One of another channel, one of another corp, one that does not exist, and none."""
    waits = site.send("waits", "finn")
    site.accounts.replace(an_account(), an_account("far", settings={"corpid": "ww2"}), ROBOT)

    with pytest.raises(CheckFailed, match="is of channel wecom_webhook"):
        found(site, to="robot")
    with pytest.raises(CheckFailed, match="has other people and files than hr"):
        found(site, to="far")
    with pytest.raises(ConfigurationError, match="nowhere"):
        found(site, to="nowhere")
    with pytest.raises(CheckFailed, match="to_account: is missing"):
        move_jobs(found(site, to=None), person="li", database=site.database)
    assert site.job(waits).cancelled_at is None


def by_code(site: Site, old: str) -> str:
    """A recall of a job by an application; its id."""
    return site.recall(old)


def by_command(site: Site, old: str) -> str:
    """A recall of a job by a person, whose search finds what was moved; its id."""
    selection = find_sent(JobFilter(ids=[old]), database=site.database)
    result = recall_jobs(selection, person="li", database=site.database, accounts=site.accounts)
    return result.jobs[0]


@pytest.mark.parametrize("taken_back", [by_code, by_command])
def test_a_recall_of_a_moved_job_takes_back_what_the_other_account_sent(
    site: Site, taken_back: Callable[[Site, str], str]
) -> None:
    """Each message by the account that sent it; once, whatever else is recalled after it."""
    site.vendor.says(partial(site.vendor.takes, invaliduser="bob"))
    site.ring(half := site.send("half", "ann|bob"))
    move(site)
    site.run()

    taken_back(site, half)
    site.run()
    site.run()

    recalls = site.rows("select account, state from worker_jobs where kind = 'recall' order by account")
    assert [(one.account, one.state) for one in recalls] == [("hr", 2), ("it", 2)]
    assert [body["msgid"] for body in site.bodies(RECALL)] == ["m1", "m2"]
    assert not find_sent(SINCE, database=site.database).ids


def test_a_recall_that_was_enqueued_while_the_job_was_moved_says_where_it_went(site: Site) -> None:
    """It sees no replay when it is enqueued; nothing of its own job was sent, and it does not say that all is well."""
    waits = site.send("waits", "finn")
    with site.database.writing() as connection:
        recall(connection, waits, accounts=site.accounts)
    site.sql("update worker_jobs set target_job_id = :none where kind = 'recall'", none=waits[:-1] + "0")
    [moved] = move(site).jobs
    site.sql("update worker_jobs set target_job_id = :waits where kind = 'recall'", waits=waits)
    site.run()

    [back] = site.rows("select id from worker_jobs where kind = 'recall'")
    assert site.state(back.id) == "rejected"
    assert f"name job {moved}" in site.part(back.id).reason


def test_the_card_of_a_moved_job_is_updated_by_the_account_that_sent_it(site: Site) -> None:
    """By an update of its own; that of the first account had nothing to do."""
    card = site.card("finn")
    move(site)
    site.run()

    first = site.update(card)
    site.run()

    updates = site.rows("select account, state from worker_jobs where kind = 'update_card' order by account")
    assert [(one.account, one.state) for one in updates] == [("hr", 2), ("it", 2)]
    assert site.state(first) == "accepted"
    assert len(site.bodies(UPDATE)) == 1


def test_in_the_console_both_accounts_have_to_be_ones_own(site: Site) -> None:
    """The old one and the new one."""
    waits = site.send("waits", "finn")
    page = f"/commands/move?ids={waits}"

    assert Person(site, "operator", frozenset({"hr"})).give(page, to_account="it").status == 403
    assert Person(site, "operator", frozenset({"it"})).get(page).status == 403
    assert site.state(waits) == "queued"

    Person(site, "operator", frozenset({"hr", "it"})).give(page, to_account="it")
    site.run()
    assert addressed(site) == [("finn", 8)]
