"""docs/why.md shows what `worker why` prints: each example is made here, by a job that waits for that very thing.

With WRITE_PAGES=1 in the environment the page's examples are written anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.docs.page import ROOT
from tests.support.runtime import Site, an_account, planted, refused
from worker import To, WaitFor, why
from worker.cli.reading import why_lines
from worker.control import pause as pausing
from worker.domain.job_filter import JobFilter
from worker.domain.outcome import Penalty
from worker.domain.pacing.lane import LaneBlock
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import block_lanes

PAGE = ROOT / "docs" / "why.md"
MARK = "<!-- examples -->\n"
SIX_IN_THE_EVENING = datetime(2026, 11, 21, 18, tzinfo=UTC)
HOUR = timedelta(hours=1)


def limit(site: Site) -> str:
    """A person has had as many messages as the vendor lets through in a minute; it would drop the next in silence."""
    site.ring(*[site.send(f"{n}") for n in range(30)])
    job = site.send("one more")
    site.ring(job)
    return job


def block(site: Site) -> str:
    """The vendor says that the app calls too often; all of the lane waits."""
    job = site.send()
    site.vendor.says(refused(45009, "api freq out of limit"))
    site.ring(job)
    return job


def parked(site: Site) -> str:
    """The vendor refuses the account until a person acts."""
    job = site.send()
    site.vendor.says(refused(60020, "not allow to access from your ip, from ip: 203.0.113.7"))
    site.ring(job)
    return job


def pause(site: Site) -> str:
    """A person stopped a mailing."""
    job = site.send(tags=["autumn-mailing"])
    pausing.pause(JobFilter(tag="autumn-mailing"), person="zhang", why="wrong text", database=site.database)
    return job


def order(site: Site) -> str:
    """Another job of its `order_key` is before it."""
    site.send("first", order_key="ticket-7", due_at=HOUR)
    return site.send("second", order_key="ticket-7", due_at=2 * HOUR)


def quiet_hours(site: Site) -> str:
    """It is night where its readers are."""
    job = site.send(quiet_hours="22:00-07:00 Asia/Shanghai")
    site.run()
    return job


def over(site: Site) -> str:
    """It waits for nothing any more; what it waited for is kept, and what happened to its lane meanwhile."""
    job = site.send(to=To(["lisi", "ghost"]))
    lane = site.part(job).lane
    struck = LaneBlock(lane, "hr", "send text", 60.0, "45009 api freq out of limit", penalty=Penalty.FREQUENCY)
    site.database.run(lambda connection: block_lanes(connection, site.database.now, [struck]))
    site.advance(61)
    pausing.pause(JobFilter(account="hr"), person="zhang", why="look first", database=site.database)
    site.ring(job)
    site.advance(60)
    site.sql("update worker_pauses set ended_at = :now", now=site.clock.micros)
    site.recover()
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="ghost"))
    site.run()
    return job


EXAMPLES: dict[Callable[[Site], str], WaitFor | None] = {
    limit: WaitFor.LIMIT,
    block: WaitFor.BLOCK,
    parked: WaitFor.PARKED,
    pause: WaitFor.PAUSE,
    order: WaitFor.ORDER,
    quiet_hours: WaitFor.QUIET_HOURS,
    over: None,
}
"""Each example, and the nearest thing that its job waits for."""


@pytest.fixture
def site(sqlite_database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    driven_clock.micros = int(SIX_IN_THE_EVENING.timestamp()) * 1_000_000
    with planted(sqlite_database, driven_clock, accounts=[an_account()]) as planted_site:
        yield planted_site


def printed(site: Site, job: str, expected: WaitFor | None) -> str:
    """What the command prints of a job, its ids replaced by those of the page."""
    with site.database.reading() as connection:
        told = why(connection, job, accounts=["hr"], clock=site.clock)
    assert expected == next((wait.what for wait in told.waits), None)
    text = "\n".join(why_lines(told))
    ids = {
        id: f"01a2053{n}e6f07c4f9d3c1a7be2f5a610"
        for n, id in enumerate(dict.fromkeys(re.findall(r"[0-9a-f]{32}", text)))
    }
    for id, shown in ids.items():
        text = text.replace(id, shown)
    return text


@pytest.mark.fewer_databases("it is about the page")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.__name__)
def test_the_page_shows_what_is_printed(site: Site, example: Callable[[Site], str]) -> None:
    """A changed sentence is seen here, and the page is written anew."""
    job, title = example(site), _title(example)
    section = f"## {title}\n\n{example.__doc__}\n\n```text\n{printed(site, job, EXAMPLES[example])}\n```\n"
    head, mark, shown = PAGE.read_text(encoding="utf-8").partition(MARK)
    found = {part.partition("\n")[0]: f"## {part}" for part in shown.split("## ")[1:]}
    if os.environ.get("WRITE_PAGES") == "1":
        found[title] = section
        whole = "\n".join(found[one].strip("\n") + "\n" for one in map(_title, EXAMPLES) if one in found)
        PAGE.write_text(f"{head}{mark}\n{whole}", encoding="utf-8")
        return
    assert section.strip() == found.get(title, "").strip(), "write the page anew with WRITE_PAGES=1"


def _title(example: Callable[[Site], str]) -> str:
    return example.__name__.replace("_", " ").capitalize()
