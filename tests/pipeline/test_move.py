"""Jobs are moved to another account of their channel: each person gets the message once, whatever cuts it short."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from tests.pipeline.console.person import Person
from tests.support.runtime import Site, an_account, lost, planted, refused
from worker.control import move as moving
from worker.control.audit import CommandResult
from worker.control.cancel import cancel, find_open
from worker.control.move import MovableJobs, find_movable, move_jobs
from worker.domain.errors import CheckFailed, ConfigurationError
from worker.domain.job_filter import JobFilter
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SINCE = JobFilter(created_from=datetime(2020, 1, 1, tzinfo=UTC))
ROBOT = replace(an_account("robot"), channel="wecom_webhook")


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """Two accounts of one channel, and one of another."""
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def found(site: Site, wanted: JobFilter = SINCE, to: str | None = "it") -> MovableJobs:
    return find_movable(wanted, to_account=to, database=site.database, accounts=site.accounts)


def move(site: Site, wanted: JobFilter = SINCE) -> CommandResult:
    return move_jobs(found(site, wanted), person="li", database=site.database, accounts=site.accounts)


@pytest.mark.every_database
def test_what_waits_and_what_failed_goes_through_the_other_account(site: Site) -> None:
    """To those whom no try reached; what was taken, is in doubt or was cancelled on purpose stays."""
    site.vendor.says(partial(site.vendor.takes, invaliduser="bob"), refused(85002), lost())
    for n, to in enumerate(("ann|bob", "carl", "dora", "eva")):
        site.ring(site.send(f"{n}", to, duplicate_check=False, on_unknown="hold"))
    waits = site.send("waits", "finn", due_at=timedelta(days=1))
    gone = site.send("gone", "gil", due_at=timedelta(days=1))
    cancel(find_open(JobFilter(ids=[gone]), database=site.database), person="li", database=site.database)

    result = move(site)
    moved = [site.job(id) for id in result.jobs]
    site.advance(86_401)
    site.run()

    assert result.counts == {"moved": 3, "cancelled": 1}
    assert {job.account for job in moved} == {"it"}
    assert site.state(waits) == "cancelled"
    assert {(body["touser"], body["agentid"]) for body in site.bodies()[4:]} == {("bob", 8), ("carl", 8), ("finn", 8)}
    assert move(site).counts == {"refused": 1}
    site.run()
    assert len(site.bodies()) == 7


def test_a_run_that_was_cut_short_loses_nobody(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the cancel and the new job: given again, the command enqueues what it had cancelled, once."""
    waits = site.send("waits", "finn")

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(moving, "replay_row", dies)
        with pytest.raises(KeyboardInterrupt):
            move(site)
    assert site.state(waits) == "cancelled"

    assert move(site).counts == {"moved": 1}
    site.run()
    assert [body["touser"] for body in site.bodies()] == ["finn"]


def test_an_account_that_cannot_send_them_is_refused_before_anything_changes(site: Site) -> None:
    """One of another channel, one that does not exist, and none."""
    waits = site.send("waits", "finn")
    site.accounts.replace(an_account(), an_account("it"), ROBOT)

    with pytest.raises(CheckFailed, match="is of channel wecom_webhook"):
        found(site, to="robot")
    with pytest.raises(ConfigurationError, match="nowhere"):
        found(site, to="nowhere")
    with pytest.raises(CheckFailed, match="to_account: is missing"):
        move_jobs(found(site, to=None), person="li", database=site.database)
    assert site.state(waits) == "queued"


def test_in_the_console_both_accounts_have_to_be_ones_own(site: Site) -> None:
    """The old one and the new one."""
    waits = site.send("waits", "finn")
    page = f"/commands/move?ids={waits}"

    assert Person(site, "operator", frozenset({"hr"})).give(page, to_account="it").status == 403
    assert Person(site, "operator", frozenset({"it"})).get(page).status == 403
    assert site.state(waits) == "queued"

    Person(site, "operator", frozenset({"hr", "it"})).give(page, to_account="it")
    site.run()
    assert [body["agentid"] for body in site.bodies()] == [8]
