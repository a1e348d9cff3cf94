"""docs/forecast.md shows what `worker forecast` prints: each example is made here, with that very backlog.

With WRITE_PAGES=1 in the environment the page's examples are written anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from uuid_utils import UUID

from tests.docs.page import ROOT
from tests.support.runtime import Site, an_account, planted
from worker import Chats, NewJob, Text, To, enqueue_many, webhook
from worker.cli.lists.forecast import job_lines, lines
from worker.domain.account import Account, Secret
from worker.domain.errors import CheckFailed
from worker.domain.pacing.lane import LaneBlock
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import block_lanes
from worker.reporting.forecast import forecast, forecast_job

PAGE = ROOT / "docs" / "forecast.md"
SIX_IN_THE_EVENING = datetime(2026, 11, 21, 18, tzinfo=UTC)
JOB = "01a20530e6f07c4f9d3c1a7be2f5a610"


def robot(site: Site, count: int, **options: Any) -> list[str]:
    with site.database.writing() as connection:
        jobs = [NewJob("robot", webhook.Text(content=str(n)), Chats(), **options) for n in range(count)]
        return [ref.id for ref in enqueue_many(connection, jobs, accounts=site.accounts, clock=site.clock)]


def accounts(site: Site) -> list[str]:
    with site.database.reading() as connection:
        return [line for one in forecast(connection, site.database.now, site.accounts) for line in lines(one)]


def of_job(site: Site, job: str) -> list[str]:
    with site.database.reading() as connection:
        told = forecast_job(connection, site.database.now, job, site.accounts)
    return [line.replace(job, JOB) for line in job_lines(told)]


def backlog(site: Site) -> list[str]:
    """A thousand messages of a robot, and six thousand to twenty members of an app."""
    robot(site, 1_000)
    with site.database.writing() as connection:
        jobs = [NewJob("hr", Text(content=str(n)), To([f"u{n % 20}"])) for n in range(6_000)]
        enqueue_many(connection, jobs, accounts=site.accounts, clock=site.clock)
    return accounts(site)


def parked(site: Site) -> list[str]:
    robot(site, 5)
    with site.database.writing() as connection:
        block = LaneBlock("robot", "robot", "robot", 600.0, "93000 webhook url is invalid", parked=True)
        block_lanes(connection, site.database.now, [block])
    return accounts(site)


def job(site: Site) -> list[str]:
    jobs = robot(site, 500, expires_at=timedelta(minutes=20))
    return of_job(site, jobs[-1])


def refused(site: Site) -> list[str]:
    robot(site, 500)
    with pytest.raises(CheckFailed) as error:
        robot(site, 1, expires_at=timedelta(minutes=20), if_late="refuse")
    return [f"worker.CheckFailed: {error.value}"]


EXAMPLES: dict[str, Callable[[Site], list[str]]] = {
    "backlog": backlog,
    "job": job,
    "parked": parked,
    "refused": refused,
}


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """An application and a group robot, at six in the evening."""
    driven_clock.micros = int(SIX_IN_THE_EVENING.timestamp()) * 1_000_000
    hook = Account("robot", "wecom_webhook", "http://vendor", {"edition": "robot"}, Secret(lambda: "k"))
    with planted(database, driven_clock, accounts=[an_account(), hook]) as planted_site:
        yield planted_site


@pytest.mark.fewer_databases("the page shows what is printed, whichever database it is read from")
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_page_shows_what_is_printed(site: Site, example: str) -> None:
    """Line for line."""
    printed = "\n".join(EXAMPLES[example](site))

    page = PAGE.read_text(encoding="utf-8")
    block = re.compile(rf"(<!-- {example} -->\n```text\n)(.*?)(\n```)", re.S)
    if os.environ.get("WRITE_PAGES"):
        page = block.sub(lambda found: found[1] + printed + found[3], page)
        PAGE.write_text(page, encoding="utf-8")
    found = block.search(page)
    assert found is not None
    assert printed == found[2]


def test_the_job_of_the_page_has_a_jobs_id() -> None:
    """A UUIDv7."""
    assert 7 == UUID(JOB).version
