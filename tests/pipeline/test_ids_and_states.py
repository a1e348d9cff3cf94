"""What names a job or a state: a text or a UUID, a JobState or its word; anything else is refused before any SQL."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Connection, text

import worker
from tests.support.runtime import Site, planted
from worker import CardUpdate, CheckFailed, ConfigurationError, JobState, on_job_done
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        worker.configure(planted_site.accounts)
        yield planted_site
        worker.configure(None)


NAMING: dict[str, Callable[[Connection, Any], Any]] = {
    "get_job": worker.get_job,
    "receipts": worker.receipts,
    "failures": worker.failures,
    "timeline": worker.timeline,
    "recall": worker.recall,
    "update_card": lambda connection, job: worker.update_card(connection, job, CardUpdate(replace_name="x")),
    "replay": lambda connection, job: _replay(connection, job),
    "find_jobs": lambda connection, job: worker.find_jobs(connection, page_after=job),
}
OTHERS: dict[str, Callable[[Connection, Any], Any]] = {
    "resend_failed": worker.resend_failed,
    "campaign": worker.campaign,
    "track": worker.track,
    "remind": worker.remind,
}


def _replay(connection: Connection, job: Any) -> None:
    """Once; then the first replay is under way."""
    with suppress(worker.NotReplayable):
        worker.replay(connection, job, accepted=True)


@pytest.mark.parametrize("name", NAMING)
def test_a_job_is_named_by_a_text_or_a_uuid(site: Site, name: str) -> None:
    """A column of type UUID in the application's own table gives back a UUID."""
    job = site.card()
    site.ring(job)

    with site.database.writing() as connection:
        for one in (job, uuid.UUID(job), str(uuid.UUID(job))):
            NAMING[name](connection, one)

        assert job == worker.get_job(connection, uuid.UUID(job)).id


@pytest.mark.every_database
@pytest.mark.parametrize("name", NAMING | OTHERS)
@pytest.mark.parametrize("wrong", [7, b"7", ("7",)], ids=["int", "bytes", "tuple"])
def test_what_names_no_job_is_refused_and_the_transaction_goes_on(site: Site, name: str, wrong: Any) -> None:
    """One of our errors says what to give; the caller's own work in this transaction is not lost."""
    with site.database.writing() as connection:
        with pytest.raises(CheckFailed, match="job_id: is a") as refused:
            (NAMING | OTHERS)[name](connection, wrong)

        assert connection.execute(text("select 1")).scalar() == 1
    assert [problem.field for problem in refused.value.problems] == ["job_id"]


def test_a_state_is_named_by_itself_or_by_its_word(site: Site) -> None:
    """One or several, where jobs are listed and where their end is awaited."""
    job = site.send()
    with site.database.reading() as connection:
        for one in ("open", JobState.OPEN, ["open"], ("accepted", JobState.OPEN), iter(["open"])):
            assert [job] == [found.id for found in worker.find_jobs(connection, state=one).jobs]
        assert worker.find_jobs(connection, state="accepted").jobs == ()

    assert job == worker.wait_until_ended(site.database, uuid.UUID(job), 0, states="open").id


@pytest.mark.parametrize("wrong", ["opened", "OPEN", 3, ["open", "done"], b"open"], ids=range(5))
def test_what_is_no_state_is_refused_and_the_words_are_named(site: Site, wrong: Any) -> None:
    """Before any SQL, as a wrong field; a hook that names one is a wrong configuration."""
    with site.database.reading() as connection:
        with pytest.raises(CheckFailed, match="one of open, accepted") as refused:
            worker.find_jobs(connection, state=wrong)
        with pytest.raises(CheckFailed, match="states: is not a state"):
            worker.wait_until_ended(site.database, "0" * 32, 0, states=wrong)
    with pytest.raises(ConfigurationError, match="on_job_done: states"):
        on_job_done(states=wrong)

    assert [problem.field for problem in refused.value.problems] == ["state"]
