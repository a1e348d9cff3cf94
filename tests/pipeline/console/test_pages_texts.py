"""What a viewer may not read is in no byte of any page; and what a page shows is text, whatever it holds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.pipeline.console.full_outbox import FullOutbox, fill, put_everywhere
from tests.pipeline.console.person import Person
from tests.support.runtime import Site, planted
from worker import CardUpdate, update_card
from worker.console.pages import PAGES
from worker.console.viewer import Role
from worker.drawing import Lang
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

CANARY, NAME = "canary7q", "name7q"
MARKUP = f"{CANARY}\"'><script>x</script>"
"""What would end an attribute, and a tag that would be one."""
ONLY_SOME = "may be searched only by people who may see it"
APPROVED = {
    "card_type": "text_notice",
    "main_title": {"title": "approved"},
    "card_action": {"type": 1, "url": "https://example.com"},
}


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    driven_clock.micros = time.time_ns() // 1000  # pages are bounded by ids, which hold the producer's time
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def starts(found: FullOutbox) -> list[str]:
    """Pages that lead to all others, and those that only a person who types them asks for."""
    return [
        *(page.path for page in PAGES if "{" not in page.path and page.path != "/find"),
        f"/find?name={found.accepted}",
        f"/find?name={found.accepted[:10]}",
        *(f"/jobs/{job}" for job in (found.accepted, found.refused, found.doubtful, found.waiting, found.held)),
        *(f"/jobs/{job}/message" for job in (found.accepted, found.refused)),
        f"/inbound/{found.callback}",
        f"/audit/{found.audit}",
        "/audit?views=yes",
        "/events?state=all",
        "/accounts/hr?recipient=lisi",
        "/jobs?recipient=lisi&account=hr",
        f"/jobs?ids={found.accepted}",
        "/mailings/tag?tag=t",
        "/mailings/tag?tag=t&account=hr",
    ]


def pages_of(person: Person, found: FullOutbox) -> dict[str, str]:
    """Every page that a person reaches, with its headers; each is answered."""
    pages = {}
    for path, answered in person.crawl(*starts(found)):
        assert answered.status in (200, 303, 403), (path, answered.text)
        pages[path] = "\n".join((answered.text, *answered.headers.values()))
    return pages


def holding(pages: Mapping[str, str], *texts: str) -> set[str]:
    """The pages in which one of the texts is."""
    return {path for path, page in pages.items() if any(text in page for text in texts)}


def test_a_reader_gets_no_text_in_any_byte(site: Site) -> None:
    """With one in every column of every table that may hold one."""
    found = fill(site)
    put_everywhere(site, CANARY)

    assert holding(pages_of(Person(site, "reader"), found), CANARY) == set()


def test_an_observer_gets_names_and_no_text(site: Site) -> None:
    """Recipients, tags and keys are on the pages that show them; messages, replies, reasons and errmsgs in no byte."""
    found = fill(site)
    put_everywhere(site, CANARY, NAME)

    pages = pages_of(Person(site, "observer"), found)

    job = f"/jobs/{found.refused}"
    assert holding(pages, CANARY) == set()
    assert {"/jobs", "/mailings", job, f"{job}/parts/0"} <= holding(pages, NAME)
    assert {path for path in pages if path.startswith("/commands/")} == set()


@pytest.mark.parametrize("role", ["observer", "support", "operator"])
def test_those_of_one_account_get_the_texts_of_no_other(site: Site, role: Role) -> None:
    """Who may read the texts of `it` gets none of `hr`, nor of what belongs to no single account; nor names."""
    found = fill(site)
    put_everywhere(site, CANARY)
    # So that of this account only the message of its job holds a text.
    site.sql("update worker_pauses set ended_at = began_at")
    site.sql("update worker_jobs set recipients = :own where account = 'it'", own='{"users": ["own"]}')

    pages = holding(pages_of(Person(site, role, frozenset({"it"})), found), CANARY)

    of_its_own = tuple(f"/commands/correct?{field}" for field in ("account=it", f"ids={found.waiting}"))
    samples = {page for page in pages if page.startswith(of_its_own)}
    with_texts = {page for page in pages if page.endswith("texts=yes")}
    assert (set() if role == "observer" else {f"/jobs/{found.waiting}/message"}) == pages - samples - with_texts
    assert bool(with_texts) == (role != "observer")
    assert bool(samples) == (role == "operator"), "who may correct its messages sees what they say"


@pytest.mark.every_database
@pytest.mark.parametrize(
    "lang", ["en", pytest.param("zh", marks=pytest.mark.slow("goes through four hundred pages once more"))]
)
def test_whatever_is_stored_is_shown_as_text(site: Site, lang: Lang) -> None:
    """Texts, names of recipients, errmsgs, callbacks, tags, reasons: none ends an attribute or becomes a tag.

    And who may read them gets them, so that a page which shows nothing does not pass for one that withholds.
    """
    found = fill(site)
    changed = put_everywhere(site, MARKUP)

    # A file is saved, and no browser makes a page of it.
    answers = pages_of(Person(site, "admin", lang=lang), found)
    pages = {path: page for path, page in answers.items() if not path.startswith("/export/")}

    job = f"/jobs/{found.refused}"
    shown = {f"{job}/message", f"{job}/parts/0", "/lanes", "/accounts/hr", "/audit", "/inbound", "/events"}
    assert holding(pages, f'{CANARY}"', f"{CANARY}'", "<script>x") == set()
    assert shown <= holding(pages, CANARY)
    assert "&lt;script&gt;x&lt;/script&gt;" in pages[f"{job}/message"]
    assert {"jobs.message", "attempts.errmsg", "failures.recipient", "parts.reason", "inbound.payload"} <= changed


@pytest.mark.parametrize(
    ("update", "drawn"),
    [
        (CardUpdate(replace_name="approved by Ann"), '<span class="button is-grey">approved by Ann</span>'),
        (
            CardUpdate(template_card=APPROVED),
            ">approved</bdi>",
        ),
    ],
)
def test_an_update_shows_the_card_as_it_becomes(site: Site, update: CardUpdate, drawn: str) -> None:
    """Drawn upon the card of the job that it is about, and by itself where the outbox has that no more."""
    card = site.card()
    with site.database.writing() as connection:
        job = update_card(connection, card, update, ["lisi"], accounts=site.accounts).id

    page = Person(site, "admin").get(f"/jobs/{job}/message").text

    assert drawn in page
    assert ">leave</bdi>" in page
    site.sql("update worker_jobs set target_job_id = null where id = :id", id=job)
    alone = Person(site, "admin").get(f"/jobs/{job}/message").text
    assert drawn in alone
    assert ">leave</bdi>" not in alone


def test_a_view_of_a_text_is_audited(site: Site) -> None:
    """Who viewed which job; never what it says."""
    found = fill(site)
    before = site.rows("select id from worker_audit where action = 'console.view'")

    Person(site, "admin", name="wang").get(f"/jobs/{found.accepted}/message")
    Person(site, "reader").get(f"/jobs/{found.accepted}/message")

    [row] = site.rows("select person, asked from worker_audit where action = 'console.view'")
    assert before == []
    assert row.person == "wang"
    assert found.accepted in row.asked
    assert "lunch" not in row.asked


def test_a_list_shows_the_beginnings_of_texts_to_those_who_may_and_ask(site: Site) -> None:
    """Forty characters; the audit names the jobs of the page by account, in an entry for each, and no text."""
    long = site.send(f"{'a' * 39}bcd")
    other, short = site.send("short", account="it"), site.send("lunch")
    support = Person(site, "support", frozenset({"hr"}))

    asked, shown = support.get("/jobs"), support.get("/jobs?texts=yes").text
    observer = Person(site, "observer")

    [row] = site.rows("select asked from worker_audit")
    assert ("lunch" in asked.text, "/jobs?texts=yes" in asked.links) == (False, True)
    assert [f"<td>{text}</td>" in shown for text in (f"{'a' * 39}…", "lunch", "short")] == [True, True, False]
    assert json.loads(row.asked) == {"account": "hr", "of": [short, long]}
    assert "/jobs?texts=yes" not in observer.get("/jobs").links
    assert "lunch" not in observer.get("/jobs?texts=yes").text
    Person(site).get("/jobs?texts=yes")
    by_account = [json.loads(row.asked) for row in site.rows("select asked from worker_audit order by id")][1:]
    assert by_account == [{"account": "hr", "of": [short, long]}, {"account": "it", "of": [other]}]


def test_the_next_page_shows_texts_too(site: Site) -> None:
    """In either order, and the link that shows them stays on the page."""
    for n in range(51):
        site.send(str(n))
    person = Person(site)

    first = person.get("/jobs?texts=yes&order=oldest")
    [onward] = [link for link in first.links if link.startswith("/jobs?") and "page_after=" in link]
    second = person.get(onward)

    assert "<td>50</td>" in second.text
    plain = onward.replace("&texts=yes", "")
    assert {*parse_qsl(urlsplit(onward).query)} in [
        {*parse_qsl(urlsplit(link).query)} for link in person.get(plain).links if "texts=yes" in link
    ]


def test_a_reader_tries_no_guess_of_a_text(site: Site) -> None:
    """A search by a recipient or a text's hash would say whether the guess was right."""
    fill(site)
    person = Person(site, "reader")

    refused = [person.get(f"/jobs?{field}=lisi").text for field in ("recipient", "text_hash", "tag", "order_key")]

    assert all(ONLY_SOME in page for page in refused)
    assert "lisi" not in person.get("/jobs?account=hr").text


def test_an_observer_searches_by_names_of_its_accounts_and_by_no_text(site: Site) -> None:
    """By a recipient, a tag or a key; a text's hash would say whether a guess of the text was right."""
    job = fill(site).accepted
    person = Person(site, "observer", frozenset({"hr"}))

    searches = ("recipient=lisi", "tag=t", "order_key=o", "dedupe_key=d")
    assert all(f"/jobs/{job}" in person.get(f"/jobs?account=hr&{search}").links for search in searches)
    for refused in ("account=hr&text_hash=0", "account=it&recipient=lisi", "recipient=lisi"):
        assert ONLY_SOME in person.get(f"/jobs?{refused}").text


@pytest.mark.every_database
def test_a_key_is_guessed_by_those_alone_who_may_read_it(site: Site) -> None:
    """Each leads whom it is no secret to the job, and all others nowhere: by its id all of them find it."""
    job = fill(site).accepted
    readers = [Person(site, "reader"), Person(site, "support", frozenset({"it"}))]
    own = [Person(site, role, frozenset({"hr"})) for role in ("observer", "support")]

    assert [f"/jobs/{job}"] * 2 == [person.get("/find?name=d").location for person in own]
    assert [person.get("/find?name=d").status for person in readers] == [200, 200]
    assert [f"/jobs/{job}"] * 2 == [person.get(f"/find?name={job}").location for person in readers]
