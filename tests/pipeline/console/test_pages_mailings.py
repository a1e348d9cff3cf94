"""The pages of mailings say what `worker mailing` says, to those who may read it, and lead to each command."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest

from tests.pipeline.console.person import Person
from tests.support.runtime import Site, busy, planted, refused
from worker import JobFilter, mailing
from worker.console.pages.mailings import bar_of
from worker.console.viewer import Role
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.reporting import mailing as reporting

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

DAY = 86_400
LUNCH = "/mailings/tag?tag=lunch"
ROW = re.compile(r'<th scope="row">(?:<span[^>]*>)?([^<]+)(?:</span>)?</th>((?:<td class="number">.*?</td>)+)')


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """A mailing of two accounts, half of which is sent, and a job of another tag."""
    driven_clock.micros = time.time_ns() // 1000  # pages are bounded by ids, which hold the producer's time
    with planted(database, driven_clock) as planted_site:
        planted_site.send("a", "ann", tags=["lunch", "request_id:7"])
        planted_site.send("a", "bea", tags=["lunch"], account="it")
        planted_site.run()
        planted_site.send("a", "carl", tags=["lunch"], priority="bulk")
        planted_site.send("b", "dora", tags=["dinner & more/less"])
        yield planted_site


def counts(page: str) -> dict[str, list[str]]:
    """The rows of the table of stages that have anything."""
    rows = {name: re.findall(r">([\d,]+)<", cells) for name, cells in ROW.findall(page)}
    return {name: found for name, found in rows.items() if set(found) != {"0"}}


@pytest.mark.every_database
def test_the_page_of_a_tag_has_the_counts_of_the_report(site: Site) -> None:
    """Of all accounts, or of the one that is named; each at its own place in the bar."""
    person = Person(site)
    page, of_one = person.get(LUNCH).text, person.get(f"{LUNCH}&account=it").text
    with site.database.reading() as connection:
        report = mailing(connection, JobFilter(tag="lunch"))

    assert counts(page) == {"waiting": ["1"] * 3, "sent": ["2"] * 3, "total": ["3"] * 3}
    assert counts(of_one) == {"sent": ["1"] * 3, "total": ["1"] * 3}
    assert [("waiting", 0.0, 1000 / 3), ("sent", 1000 / 3, 2000 / 3)] == bar_of(report)
    assert page.count("<rect ") == 2


@pytest.mark.every_database
def test_the_list_of_tags_has_a_bar_of_states(site: Site) -> None:
    """Of all jobs with the tag: two that were accepted and one that is open."""
    page = Person(site).get("/mailings").text

    bars = dict(re.findall(r'<span class="muted">([^<]+)</span>(<svg.*?</svg>)', page))
    bar = bars["open 1 · accepted 2"]
    assert re.findall(r' width="([\d.]+)"', bar) == ["333.33", "666.67"]


def test_jobs_that_were_given_up_are_listed_from_the_stage_that_counts_them(site: Site) -> None:
    """They count as refused, and are found by a state of their own."""
    given_up, person = site.send("c", "emil", tags=["lunch"]), Person(site)
    site.vendor.says(*[busy()] * 9)
    for _ in range(9):
        site.recover()
        site.ring(given_up)
        site.advance(600)

    links = [link for link in person.get(LUNCH).links if "state=" in link and "open" not in link]
    listed = [job for link in links for job in person.get(link).links if job == f"/jobs/{given_up}"]

    assert site.state(given_up) == "exhausted"
    assert [link.rpartition("=")[2] for link in links] == ["rejected", "exhausted"]
    assert [f"/jobs/{given_up}"] == listed


def test_a_person_whom_only_a_replay_reached_counts_in_both_jobs(site: Site) -> None:
    """As refused in the one and as sent in the other, which the page says; its file tells the two apart."""
    site.run()
    site.vendor.says(refused(81013, "all users are wrong", invaliduser="finn"))
    job = site.send("d", "finn", tags=["party"])
    site.run()
    replay = site.replay(job)
    site.run()
    person = Person(site)

    page = person.get("/mailings/tag?tag=party").text
    rows = json.loads(person.get("/export/json?tag=party").text)["rows"]

    assert counts(page) == {"sent": ["1"] * 3, "refused": ["1"] * 3, "total": ["2"] * 3}
    assert "counts as refused or never sent, and as sent too" in page
    assert [(row["job"], row["replay_of"], row["status"]) for row in rows] == [
        (replay, job, "accepted"),
        (job, None, "refused"),
    ]


def test_tags_lead_to_their_pages(site: Site) -> None:
    """From the list of the newest, from the list of jobs and from a job; ids of requests are no mailings."""
    person = Person(site)
    tags, jobs = person.get("/mailings").text, person.get("/jobs").text

    assert re.findall(r'/mailings/tag\?tag=[^"]*">([^<]+)</a>', tags) == ["dinner &amp; more/less", "lunch"]
    for page in (tags, jobs):
        assert 'href="/mailings/tag?tag=dinner+%26+more%2Fless"' in page
    assert "dinner &amp; more/less" in person.get("/mailings/tag?tag=dinner+%26+more%2Fless").text
    assert person.get("/mailings/tag").location == "/mailings"


def test_a_viewer_sees_the_mailings_of_their_accounts(site: Site) -> None:
    """By account; a reader sees none, for a tag is a word of the producer's."""
    otto, rita = Person(site, "operator", frozenset({"it"})), Person(site, "reader")

    assert "dinner" not in otto.get("/mailings").text
    assert 'href="/mailings/tag?tag=lunch&amp;account=it"' in otto.get("/mailings").text
    assert counts(otto.get(f"{LUNCH}&account=it").text) == {"sent": ["1"] * 3, "total": ["1"] * 3}
    assert "/commands/pause" in otto.get(f"{LUNCH}&account=it").text
    for page in (otto.get(LUNCH), otto.get(f"{LUNCH}&account=hr"), rita.get(LUNCH), rita.get("/mailings")):
        assert not counts(page.text)
        assert "/commands/" not in page.text
        assert ">lunch<" not in page.text


@pytest.mark.parametrize("role", ["observer", "support"])
def test_who_only_sees_does_not_act(site: Site, role: Role) -> None:
    """It has the counts, and no command."""
    page = Person(site, role).get(LUNCH).text

    assert counts(page)
    assert "/commands/" not in page


def test_it_is_paused_and_goes_on_from_its_page(site: Site) -> None:
    """With the preview of every command, and back to the page."""
    person = Person(site)
    person.give("/commands/pause?tag=lunch", why="wrong date")
    paused = person.get(LUNCH).text
    preview = person.get("/commands/resume?tag=lunch").text
    person.give("/commands/resume?tag=lunch")

    assert "wrong date" in paused
    assert ("/commands/resume?tag=lunch" in paused, "/commands/pause" in paused) == (True, False)
    assert 'href="/mailings/tag?tag=lunch"' in preview


def test_a_pause_of_another_account_leaves_the_button_that_pauses(site: Site) -> None:
    """The page of an account offers to pause it, not to end the other's pause; that of all accounts offers both."""
    person = Person(site)
    person.give("/commands/pause?tag=lunch&account=it")

    offered = {
        account: re.findall(r'href="/commands/(pause|resume)\?', person.get(f"{LUNCH}{account}").text)
        for account in ("&account=hr", "&account=it", "")
    }

    assert offered == {"&account=hr": ["pause"], "&account=it": ["resume"], "": ["resume", "pause"]}


@pytest.mark.parametrize(
    ("command", "fields", "expected"),
    [
        ("cancel", {}, {"never sent": ["1"] * 3, "sent": ["2"] * 3, "total": ["3"] * 3}),
        ("recall", {}, {"never sent": ["1"] * 3, "sent": ["2"] * 3, "total": ["3"] * 3}),
        ("correct", {"text": "right"}, {"waiting": ["3"] * 3, "corrected": ["3"] * 3, "total": ["6"] * 3}),
        ("reschedule", {"priority": "urgent"}, {"waiting": ["1"] * 3, "sent": ["2"] * 3, "total": ["3"] * 3}),
    ],
)
def test_each_command_is_about_the_whole_mailing(
    site: Site, command: str, fields: dict[str, str], expected: dict[str, list[str]]
) -> None:
    """However long ago its jobs were enqueued: the link says since when."""
    site.advance(2 * DAY)
    person, found = Person(site), re.compile(rf'href="(/commands/{command}\?[^"]+)"')
    link = found.search(person.get(LUNCH).text)
    assert link is not None
    done = person.give(link[1].replace("&amp;", "&"), **fields)

    assert done.status == 200, done.text
    assert expected == counts_now(site)


def counts_now(site: Site) -> dict[str, list[str]]:
    """The counts as they are, past what pages keep for a moment."""
    with site.database.reading() as connection:
        report = mailing(connection, JobFilter(tag="lunch"))
    rows = {**{stage.replace("_", " "): one for stage, one in report.stages.items()}, "total": report.total}
    return {name: [str(one.jobs), str(one.parts), str(one.recipients)] for name, one in rows.items() if one.parts}


def test_what_was_not_counted_is_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that shows a part of a mailing says so."""
    monkeypatch.setattr(reporting, "MAX_JOBS", 1)

    assert "Only the newest" in Person(site).get(LUNCH).text
