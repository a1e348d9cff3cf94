"""What the page of a job says of each command is what the command's own search finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.reads import statements
from tests.support.runtime import Site, lost, planted, refused
from worker.control import correct
from worker.control.cancel import cancel, find_open
from worker.control.command import TargetKind
from worker.control.commands import COMMANDS
from worker.control.job_status import JobStatus, read_job_status
from worker.control.pause import pause_jobs
from worker.domain.job_filter import JobFilter
from worker.domain.state import JobState
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.reporting.report import get_job

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SEARCHES = {name: command for name, command in COMMANDS.items() if command.target is TargetKind.JOBS}
WIDEST = {"cancelled": True}
"""The options with which a command finds the most."""


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def in_every_state(site: Site) -> dict[str, str]:
    """Jobs in every state that a command distinguishes, by what was done to each."""
    by = {"person": "wang", "database": site.database}
    jobs = {name: site.send(name) for name in ("accepted", "recalled", "being recalled", "corrected", "replayed")}
    jobs["card"] = site.card()
    jobs["upload"] = site.upload()
    jobs["expired"] = site.send("expired", due_at=60, expires_at=70)
    site.run()
    site.vendor.says(refused(81013, "all users are wrong"))
    jobs["refused"] = site.send("refused", "nobody")
    site.run()
    site.advance(80)
    site.run()
    jobs["recall"] = site.recall(jobs["recalled"])
    site.run()
    site.recall(jobs["being recalled"])
    jobs["replay"] = site.replay(jobs["replayed"], accepted=True)
    for name, options in (("held in doubt", {"on_unknown": "hold"}), ("settles", {})):
        site.vendor.says(lost())
        jobs[name] = site.send(name, "x", **options)
        site.ring(jobs[name])
    site.sql("update worker_parts set not_before = null where job_id = :job", job=jobs["held in doubt"])
    for name in ("waits", "held", "cancelled", "withdrawn"):
        jobs[name] = site.send(name, due_at=3600)
    pause_jobs([jobs["held"]], **by)
    cancel(find_open(JobFilter(ids=[jobs["cancelled"]]), database=site.database), **by)
    site.sql("update worker_jobs set cancelled_at = created_at where id = :job", job=jobs["withdrawn"])
    found: Any = correct.find_correctable(
        JobFilter(ids=[jobs["corrected"]]), "right", database=site.database, accounts=site.accounts
    )
    [jobs["correction"]] = correct.correct_jobs(found, accounts=site.accounts, **by).jobs
    return jobs


def status_of(site: Site, job: str) -> JobStatus:
    with site.database.reading() as connection:
        return read_job_status(connection, get_job(connection, job))


@pytest.mark.parametrize("name", SEARCHES)
def test_a_command_has_something_to_do_where_its_search_finds_the_job(site: Site, name: str) -> None:
    """And nowhere else, though no search is carried out."""
    command, jobs = SEARCHES[name], in_every_state(site)
    options = {word: value for word, value in WIDEST.items() if word in command.keywords}

    assert command.might_apply is not None
    assert command.find is not None
    might = {label for label, job in jobs.items() if command.might_apply(status_of(site, job))}

    found = {
        label
        for label, job in jobs.items()
        if command.find(JobFilter(ids=[job]), database=site.database, **options).ids
    }
    # A replay finds an open job that is named, too, and refuses it.
    found -= {label for label in jobs if name == "replay" and status_of(site, jobs[label]).state is JobState.OPEN}
    assert might == found
    assert found not in (set(), set(jobs))


@pytest.mark.parametrize(
    ("name", "expected"), [("pause_jobs", {"waits", "settles"}), ("resume_jobs", {"held"}), ("skip", set())]
)
def test_a_job_is_paused_or_resumed_or_skipped(site: Site, name: str, expected: set[str]) -> None:
    """What is held is released; what has ended is neither; and what stands in no order holds up nobody."""
    command, jobs = COMMANDS[name], in_every_state(site)

    assert command.might_apply is not None
    labels = ("accepted", "waits", "settles", "held")
    might = {label for label in labels if command.might_apply(status_of(site, jobs[label]))}

    assert might == expected


def test_the_first_of_an_order_can_be_skipped(site: Site) -> None:
    """While it is under way."""
    first, _ = (site.send(f"{n}", order_key="o") for n in range(2))
    skip = COMMANDS["skip"].might_apply

    assert skip is not None
    assert skip(status_of(site, first))


def test_the_status_of_a_job_is_few_reads(site: Site) -> None:
    """Each search has as many for itself."""
    job = site.send()
    site.run()
    with site.database.reading() as connection:
        report = get_job(connection, job)

        with statements(site.database) as sent:
            read_job_status(connection, report)

    assert len(sent) <= 8
