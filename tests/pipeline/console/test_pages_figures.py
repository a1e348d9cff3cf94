"""What the console's pages say is what the reports and the command line say."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
from markupsafe import escape
from sqlalchemy import text

from tests.pipeline.console.console_site import FixedDoor
from tests.pipeline.console.full_outbox import FullOutbox, fill
from tests.pipeline.console.person import Person
from tests.support.browser import Browser
from tests.support.runtime import Site, an_account, planted, refused
from worker import Customers, JobFilter, To, external, find_jobs
from worker.config.settings import Settings
from worker.console import Site as ConsoleSite
from worker.console.app import guarded
from worker.console.pages.cache import cache_of, read
from worker.console.viewer import Viewer
from worker.control.audit import list_audit
from worker.domain.account import Account, Secret
from worker.domain.outcome import Confirmation
from worker.domain.state import PartState
from worker.drawing import Lang
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database
from worker.outbox.jobs import confirmations, inbound as inbound_rows
from worker.outbox.jobs.events import list_events
from worker.outbox.lanes.lanes import list_lane_events
from worker.outbox.tables.columns import metadata
from worker.outbox.upkeep import gauges
from worker.reporting.forecast import forecast
from worker.reporting.lane_list import lane_list
from worker.reporting.why import why

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    driven_clock.micros = time.time_ns() // 1000  # pages are bounded by ids, which hold the producer's time
    with planted(database, driven_clock) as planted_site:
        yield planted_site


@pytest.fixture
def found(site: Site) -> FullOutbox:
    return fill(site)


def shown_jobs(page: str) -> list[str]:
    """The jobs that a page links to by themselves, in its order."""
    links = [piece.split('"', 1)[0] for piece in page.split('href="/jobs/')[1:]]
    return list(dict.fromkeys(link for link in links if "/" not in link and "?" not in link))


@pytest.mark.parametrize("query", ["", "account=hr", "state=rejected", "kind=recall", "recipient=nobody", "tag=t"])
def test_a_search_finds_what_the_filter_finds(site: Site, found: FullOutbox, query: str) -> None:
    """In the same order, by the same words as `worker jobs`."""
    fields = dict(pair.split("=") for pair in query.split("&") if pair)
    state = fields.pop("state", None)

    page = Person(site).get(f"/jobs?{query}").text

    with site.database.reading() as connection:
        wanted = JobFilter.from_texts(fields, datetime.now(UTC), UTC)
        expected = find_jobs(connection, wanted, state=state).jobs
    assert [job.id for job in expected] == shown_jobs(page)
    assert expected


@pytest.mark.usefixtures("found")
def test_the_last_minutes_are_one_link_and_a_command_keeps_their_beginning(
    site: Site, driven_clock: DrivenClock
) -> None:
    """By the database's clock; a command is about the same instant however late it is given."""
    driven_clock.advance(1_800)
    page = Person(site).get("/jobs")

    links = [link for link in page.links if "created_from=-" in link]
    counts = [len(shown_jobs(Person(site).get(link).text)) for link in links]
    preview = Person(site).get("/commands/cancel?account=hr&created_from=-1h").text

    assert [link.partition("created_from=")[2] for link in links] == ["-15m", "-1h", "-24h"]
    assert [0, counts[2], counts[2]] == counts
    since = (instant(driven_clock.micros) - timedelta(hours=1)).replace(microsecond=0).isoformat()
    assert f"--created-from {since}" in preview


def test_a_list_goes_on_behind_its_last_job(site: Site) -> None:
    """Page by page, every job once."""
    sent = [site.send(f"{n}") for n in range(120)][::-1]
    person, path, shown = Person(site), "/jobs", list[str]()

    for _ in range(3):
        page = person.get(path)
        shown += shown_jobs(page.text)
        path = next((link for link in page.links if "page_after=" in link and "texts=" not in link), "")

    assert sent == shown
    assert path == ""


def test_a_list_begins_with_the_oldest_where_that_is_asked_for(site: Site) -> None:
    """By the link above the column; page by page, every job once, and the search goes with it."""
    sent = [site.send(f"{n}", tags=["lunch"]) for n in range(60)]
    site.send("other")
    person = Person(site)
    [path] = [link for link in person.get("/jobs?tag=lunch").links if "order=oldest" in link]

    first = person.get(path)
    [following] = [link for link in first.links if "page_after=" in link and "texts=" not in link]
    second = person.get(following)

    assert sent == shown_jobs(first.text) + shown_jobs(second.text)
    assert not [link for link in second.links if "page_after=" in link and "texts=" not in link]
    assert "/jobs?tag=lunch" in second.links, "and back again"


def test_a_list_tells_what_each_job_is(site: Site) -> None:
    """Type and kind in the reader's words, its first recipient, the errcode that matters, and that it was recalled."""
    site.vendor.says(refused(81013))
    site.send("to nobody", "nobody")
    many = site.send("many", To(["anna", "bob", "chen"]))
    site.run()
    site.recall(many)
    site.run()

    english, chinese = Person(site).get("/jobs"), Person(site, lang="zh").get("/jobs")

    for page, words in ((english, ("text", "recall", "recalled")), (chinese, ("文本", "撤回", "已撤回"))):
        cells = [*re.findall(r"<td>([^<]+)</td>", page.text), *re.findall(r'data-state="\w+">([^<]+)<', page.text)]
        assert set(words) <= set(cells)
        assert '<td>anna <span class="muted">+2</span></td>' in page.text
    assert re.search(r'<a href="/jobs\?errcode=81013" title="[^"]+">81013</a>', english.text)
    assert "3 recipients" in Person(site, role="reader").get("/jobs").text


def test_a_refusal_that_is_over_is_not_shown_as_one_of_today(site: Site) -> None:
    """Other credentials work by now, or nobody tries these any more: each says so, with its age."""
    now, hour = site.database.read_now(), 3_600_000_000
    row = {"account": "hr", "generation": 1, "refused": "40001", "probe_at": now - 5 * hour}
    good = {"account": "hr", "generation": 2, "fingerprint": "b", "sealed": "x", "fetched_at": now - hour}
    person = Person(site)
    with site.database.writing() as connection:
        insert_rows(connection, tables.tokens, [{**row, "fingerprint": "a"}])
    alone = person.get("/accounts/hr").text
    with site.database.writing() as connection:
        insert_rows(connection, tables.tokens, [{**good, "expires_at": now + hour}])
    replaced = person.get("/accounts/hr").text

    since = instant(now - 5 * hour).isoformat(timespec="milliseconds")
    assert ("tone-bad" in alone, f'not tried since <time datetime="{since}"' in alone) == (True, True)
    assert "were refused; other credentials are used now" in replaced
    assert "tone-bad" not in replaced


def test_accounts_are_listed_by_name_or_the_worst_first(
    site: Site, found: FullOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the links above the columns, each page going on behind the one before."""
    monkeypatch.setattr(import_module("worker.console.pages.accounts"), "ON_A_PAGE", 1)
    with site.database.writing() as connection:
        connection.exec_driver_sql("update worker_lanes set account = 'it', lane = 'it' where lane = 'hr'")
    person = Person(site)
    shown = dict[str, list[str]]()
    for path in [link for link in person.get("/accounts").links if link in ("/accounts", "/accounts?order=worst")][-2:]:
        first = person.get(path)
        [following] = [link for link in first.links if "page_after=" in link and "texts=" not in link]
        pages = first.text + person.get(following).text
        shown[path] = re.findall(r'<th scope="row"><a href="/accounts/(\w+)"', pages)

    assert shown == {"/accounts": ["hr", "it"], "/accounts?order=worst": ["it", "hr"]}


def test_what_stands_on_an_account_is_listed_with_its_age(site: Site, found: FullOutbox) -> None:
    """A red that is hours old says since when."""
    with site.database.reading() as connection:
        [since] = [one.since for one in lane_list(connection, site.database.now)[1] if one.lane == "hr"]
    assert since is not None

    row = Person(site).get("/accounts").text.partition('href="/accounts/hr"')[2].partition("</tr>")[0]

    assert f'datetime="{since.isoformat(timespec="milliseconds")}"' in row


@pytest.mark.parametrize(("lang", "words"), [("en", "next probe at"), ("zh", "下次试探")])
def test_a_parked_account_has_a_next_probe_and_no_end(site: Site, found: FullOutbox, lang: Lang, words: str) -> None:
    """On the pages of lanes, their events, the account and its job; a block that ends by itself has its end alone."""
    person, job = Person(site, lang=lang), site.send("late")

    lanes = person.get("/lanes").text
    [parked, parking] = re.findall(r'<tr>(?:(?!</tr>).)*title="hr"(?:(?!</tr>).)*</tr>', lanes)
    account, waiting = person.get("/accounts/hr").text, person.get(f"/jobs/{job}").text

    assert [row.count(f"{words} <time") for row in (parked, parking)] == [1, 1]
    assert lanes.count(f"{words} <time") == 2
    assert account.count(f"{words} <time") == 1
    assert f"{words} <time" in waiting


def test_a_name_leads_to_its_job(site: Site, found: FullOutbox) -> None:
    """The beginning of an id, a part, a dedupe key; and what means no job says so."""
    person, job = Person(site), found.accepted

    places = [person.get(f"/find?name={name}").location for name in (job, job[:20], f"{job}-0", "d")]

    assert [f"/jobs/{job}"] * 4 == places
    assert "No job matches" in person.get("/find?name=nothing").text


def test_a_job_is_told_of_as_worker_why_does(site: Site, found: FullOutbox) -> None:
    """Its counts, what it waits for, what one could do, and every event."""
    person = Person(site)

    for job in (found.accepted, found.refused, found.doubtful, found.waiting, found.held):
        page = person.get(f"/jobs/{job}").text
        with site.database.reading() as connection:
            told = why(connection, job)
        counts = told.job.counts
        assert f"total {counts.asked}: accepted {counts.accepted}, refused {counts.refused}" in page
        assert all(command in page for wait in told.waits for command in wait.commands if '"' not in command)
        assert len(told.timeline) == page.split('class="timeline')[1].count("<li>")


def test_parts_are_shown_page_by_page(site: Site) -> None:
    """A job may have thousands; its counts are those of all."""
    job = site.send("to many", To([f"u{n}" for n in range(52_500)]))
    person = Person(site)

    first, second = person.get(f"/jobs/{job}"), person.get(f"/jobs/{job}?first=50")

    parts = [f"/jobs/{job}/parts/{n}" for n in range(53)]
    assert set(parts[:50]) == {link for link in first.links if "/parts/" in link}
    assert set(parts[50:]) == {link for link in second.links if "/parts/" in link}
    assert all("total 52,500: accepted 0, refused 0, unknown 0, waiting 52,500, never sent 0" in page.text
               for page in (first, second))  # fmt: skip


def test_a_part_names_those_whom_it_was_refused_for(site: Site, found: FullOutbox) -> None:
    """With the vendor's code and what it means."""
    page = Person(site).get(f"/jobs/{found.refused}/parts/0").text

    assert "<td>nobody</td>" in page
    assert "81013" in page


def test_a_message_is_drawn_and_its_recipients_are_named(site: Site, found: FullOutbox) -> None:
    """As people see it, and as it is stored."""
    page = Person(site).get(f"/jobs/{found.accepted}/message").text

    assert 'class="message' in page
    assert page.count("lunch") >= 2
    assert "lisi" in page


def test_what_is_in_doubt_is_listed_for_a_decision(site: Site, found: FullOutbox) -> None:
    """Each with both answers that one can give. What settles by itself stands below, with none."""
    site.sql("update worker_parts set state = 6, not_before = 1 where job_id = :job", job=found.waiting)

    page = Person(site).get("/doubts")

    assert [found.doubtful, found.waiting] == shown_jobs(page.text)
    assert "Parts that wait for a person: 1" in page.text
    assert {f"/commands/resolve?ids={found.doubtful}&sent={said}" for said in ("yes", "no")} == {
        link for link in page.links if "/commands/resolve" in link and "account" not in link
    }


def test_what_is_in_doubt_is_counted_for_the_account_that_is_shown(site: Site, found: FullOutbox) -> None:
    """Above the list of its jobs, and above two buttons that decide about all of them."""
    person = Person(site)

    shown = {account: person.get(f"/doubts?account={account}").text for account in ("hr", "it")}

    assert "Parts that wait for a person: 1" in shown["hr"]
    assert (shown_jobs(shown["it"]), "Parts that wait for a person: 0" in shown["it"]) == ([], True)


def test_lanes_are_those_of_worker_lanes(site: Site, found: FullOutbox) -> None:
    """With their reasons and remedies; pauses too; and the steps that led there."""
    page = Person(site).get("/lanes").text

    with site.database.reading() as connection:
        pauses, lanes = lane_list(connection, site.database.now)
        steps = list_lane_events(connection, None, 50)
    assert f'<span class="count">{len(lanes)}</span>' in page
    assert f'<span class="count">{len(pauses)}</span>' in page
    for one in lanes:
        assert escape(one.reason or "") in page
    assert "it acts after a minute; then" in page
    assert steps


def test_an_account_shows_the_use_of_its_limits(site: Site) -> None:
    """In numbers, and as bars of when it was used and when it becomes free."""
    for n in range(3):
        site.send(f"{n}")
    site.run()

    page = Person(site).get("/accounts/hr?recipient=lisi").text

    assert "used 3, room 27" in page
    assert page.count("<rect") >= 2


def test_the_bars_of_a_limit_are_in_the_zone_of_the_page(site: Site) -> None:
    """Beside times of the installation's zone, one of another would be read as eight hours ago."""
    site.send("one")
    site.run()
    where = ConsoleSite(Settings(time_zone="Asia/Shanghai"), site.database, site.accounts)
    browser = Browser(guarded(where, FixedDoor(Viewer("ada", "admin"))))

    page = browser.get("/accounts/hr?recipient=lisi").text

    shown = re.findall(r"<title>\d+ [^<]*?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)</title>", page)
    here = instant(site.clock.micros).astimezone(ZoneInfo("Asia/Shanghai")).replace(tzinfo=None)
    assert shown
    assert {time for time in shown if abs(datetime.fromisoformat(time) - here) > timedelta(hours=4)} == set()


def test_no_page_shows_a_secret_or_a_token(database: Database, driven_clock: DrivenClock) -> None:
    """To an administrator either; only that there is one, and until when."""
    secret = replace(an_account(), secret=Secret(lambda: "hidden-7q"))
    with planted(database, driven_clock, accounts=[secret]) as site:
        token = refused(0, "ok", access_token="token-7q", expires_in=7200)
        site.vendor.says_for_tokens(token)
        site.send()
        site.run()

        pages = list(Person(site).crawl("/", "/accounts/hr"))

    assert "valid" in dict(pages)["/accounts/hr"].text
    assert [path for path, page in pages if "hidden-7q" in page.text or "token-7q" in page.text] == []


def test_the_backlog_is_counted_and_foretold_as_elsewhere(site: Site, found: FullOutbox) -> None:
    """The figures of the metrics and of `worker forecast`, with the instant of each."""
    site.send("later", due_at=timedelta(hours=8))
    where = ConsoleSite(Settings(), site.database, site.accounts)
    cache_of(site.database).forecast.latest(lambda: read(where, partial(forecast, accounts=where.accounts)), wait_s=60)

    page = Person(site).get("/backlog").text

    with site.database.reading() as connection:
        queue = gauges.queue(connection, site.database.now)
        expected = {one.account: one for one in forecast(connection, site.database.now, site.accounts)}
    for account, parts in queue.parts.items():
        row = page.split(f'<th scope="row"><a href="/accounts/{account}">')[1].split("</tr>")[0]
        assert f'<td class="number">{parts}</td>' in row
    for account, one in expected.items():
        assert f"due: {one.due} · later: {one.later}" in page.split(f'<strong><a href="/accounts/{account}">')[1]


def test_the_overview_counts_what_waits_for_a_person(site: Site, found: FullOutbox) -> None:
    """And leads to where it is decided."""
    page = Person(site).get("/").text

    shown = re.findall(r'<dt><a href="([^"]*)">([^<]*)</a></dt><dd>([^<]*)</dd>', page)
    counts = {f"{path} {word}": count for path, word, count in shown}
    assert counts["/doubts In doubt, to be decided"] == "1"
    assert counts["/events Parked hook events"] == "1"
    assert counts["/lanes Blocked lanes"] == "2"
    assert counts["/processes Worker processes lost in 24 hours"] == "1"


@pytest.mark.every_database
def test_callbacks_events_and_commands_go_on_page_by_page(site: Site, found: FullOutbox) -> None:
    """Every row once, without an offset."""
    heard = {"account": "hr", "event": "e", "person": "p", "payload": "{}", "happened_at": 1}
    rows = [
        {**heard, "id": f"{n:064x}", "received_at": site.clock.micros - n // 3, "stored_by": f"{n:032x}"}
        for n in range(120)
    ]
    with site.database.writing() as connection:
        insert_rows(connection, tables.inbound, rows)
    person, path, seen = Person(site), "/inbound", list[str]()

    while path:
        page = person.get(path)
        seen += [link for link in page.links if link.startswith("/inbound/")]
        path = next((link for link in page.links if "page_after=" in link and "texts=" not in link), "")

    assert 121 == len(seen) == len(set(seen))


@pytest.mark.every_database
def test_a_rare_callback_is_found_by_going_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page looks through so many only, and says so."""
    monkeypatch.setattr(inbound_rows, "MAX_SCANNED", 40)
    heard = {"account": "hr", "person": "p", "payload": "{}", "happened_at": 1}
    rows = [
        {
            **heard,
            "id": f"{n:064x}",
            "event": "rare" if n in (0, 99) else "e",
            "received_at": n,
            "stored_by": f"{n:032x}",
        }
        for n in range(100)
    ]
    with site.database.writing() as connection:
        insert_rows(connection, tables.inbound, rows)
    person, path, seen, notes = Person(site), "/inbound?event=rare", list[str](), 0

    while path:
        page = person.get(path)
        seen += [link for link in page.links if link.startswith("/inbound/")]
        notes += "looked at as many" in page.text
        path = next((link for link in page.links if "page_after=" in link and "texts=" not in link), "")

    assert [f"/inbound/{99:064x}", f"/inbound/{0:064x}"] == seen
    assert notes == 2


def test_the_audit_is_that_of_worker_audit(site: Site, found: FullOutbox) -> None:
    """Without the views of texts, unless they are asked for."""
    person = Person(site)
    person.get(f"/jobs/{found.accepted}/message")

    plain, whole = person.get("/audit"), person.get("/audit?views=yes")

    with site.database.reading() as connection:
        expected = [entry.id for entry in list_audit(connection, limit=50)]
    assert expected == [link.rpartition("/")[2] for link in whole.links if link.startswith("/audit/")]
    assert expected[1:] == [link.rpartition("/")[2] for link in plain.links if link.startswith("/audit/")]


def test_the_times_of_a_command_are_in_the_zone_of_the_page(site: Site) -> None:
    """Those of its filter and the new ones of its jobs, which the audit keeps in UTC or as they were typed."""
    site.send("one", tags=["lunch"], due_at=3600)
    where = ConsoleSite(Settings(time_zone="Asia/Shanghai"), site.database, site.accounts)
    browser = Browser(guarded(where, FixedDoor(Viewer("ada", "admin"))))
    times = {"created_from": "2020-01-01T00:00:00Z", "due_at": "2099-01-01T16:00:00Z"}
    preview = browser.get(f"/commands/reschedule?{urlencode({'tag': 'lunch', **times})}")

    done = browser.submit(preview, "/commands/reschedule", due_at=times["due_at"])
    pages = [browser.get(path).text for path in (done.location, "/audit")]

    for page in pages:
        assert "2020-01-01 08:00:00 +08:00" in page
        assert "2099-01-02 00:00:00 +08:00" in page


def test_a_cancel_tells_of_its_jobs_once_before_and_once_after(site: Site) -> None:
    """How many it was about, and how many it changed: two figures with a word each, in both languages."""
    job = site.send()
    Person(site).give(f"/commands/cancel?ids={job}", "a typo")
    [link] = [link for link in Person(site).get("/audit").links if link.startswith("/audit/")]

    english = re.findall("<dt>([^<]*)</dt>", Person(site).get(link).text)
    chinese = Person(site, lang="zh")

    assert len(set(english)) == len(english)
    assert {"Jobs it was about", "Jobs changed"} <= set(english)
    assert "<td>取消（控制台）</td>" in chinese.get("/audit").text
    assert "<dd>任务编号 " in chinese.get(link).text


def test_no_link_acts(site: Site, found: FullOutbox) -> None:
    """Whoever follows every link of every page has changed nothing, but for the rows of the views.

    And each page with an instant names its time zone; no other does.
    """

    def stored() -> dict[str, list[tuple[object, ...]]]:
        without = "action <> 'console.view'"
        with site.database.reading() as connection:
            return {
                table.name: sorted(
                    map(
                        repr,
                        connection.execute(table.select().where(text(without if "audit" in table.name else "1 = 1"))),
                    )
                )
                for table in metadata.sorted_tables
            }

    before = stored()

    pages = dict(Person(site).crawl("/", f"/jobs/{found.accepted}", f"/jobs/{found.doubtful}"))

    assert any("/commands/" in path for path in pages)
    assert before == stored()
    said = {
        ("<time" in shown.text or "data-time" in shown.text, "Time zone: " in shown.text) for shown in pages.values()
    }
    assert said == {(True, True), (False, False)}


def test_parked_events_are_shown_with_their_error(site: Site, found: FullOutbox) -> None:
    """And can be given to the hook again."""
    page = Person(site).get("/events")

    with site.database.reading() as connection:
        [row] = list_events(connection, state=3, limit=10)
    assert "ValueError" in page.text
    assert f"/commands/retry?event={row['id']}" in page.links


def test_a_search_with_a_mistake_says_what_to_change(site: Site) -> None:
    """Beside the form, with what was typed still in it."""
    page = Person(site).get("/jobs?errcode=many&created_from=some+day")

    assert page.status == 200
    assert "give a number such as 81013" in page.text
    assert "use one such as -30m, 14:00" in page.text
    assert 'value="some day"' in page.text


def test_an_account_that_is_searched_for_is_chosen_in_the_form(site: Site) -> None:
    """Also one that the settings no longer have, whose old jobs are still there."""
    person = Person(site)

    shown = [
        re.findall(r"<option selected>(\w+)<", person.get(f"/jobs?account={name}").text) for name in ("hr", "gone")
    ]

    assert shown == [["hr"], ["gone"]]


def test_a_job_that_is_not_there_is_not_found(site: Site) -> None:
    """Nor a part, a message, a callback, a command or an account."""
    paths = ["/jobs/nothing", "/jobs/nothing/message", "/inbound/x", "/audit/x", "/accounts/x", "/commands/x"]
    paths += [f"/jobs/{site.send()}/parts/{n}" for n in ("1", "x", "-0", "\u0660")]

    assert [404] * len(paths) == [Person(site).get(path).status for path in paths]


def test_a_group_send_says_how_far_its_members_are(database: Database, driven_clock: DrivenClock) -> None:
    """In numbers: which customers they are stands with the message."""
    crm = Account("crm", "wecom_external", "http://vendor", {"corpid": "ww1"}, Secret(lambda: "s"))
    with planted(database, driven_clock, accounts=[crm]) as site:
        job = site.ask(external.Campaign(text="offer"), Customers({"ann": ["wm1", "wm2", "wm3"]}), account="crm")
        site.sql(f"update worker_parts set state = {int(PartState.ACCEPTED)} where job_id = :job", job=job)
        read = [Confirmation("ann", "wm1", 1), Confirmation("ann", "wm2", 0), Confirmation("ann", "", 0)]
        with database.writing() as connection:
            confirmations.store_confirmations(connection, f"{job}-0", read, site.clock.micros)

        page = Person(site, "reader").get(f"/jobs/{job}").text

    assert "sent 1 waiting 2" in page
    assert "0 of 1 members have sent" in page
    assert "wm1" not in page


@pytest.mark.parametrize("before", ["x", "9" * 30, "\u0669", "-"])
def test_a_place_in_a_list_that_is_none_is_its_beginning(site: Site, before: str) -> None:
    """A page behind a place that no database can hold is no error."""
    fill(site)

    shown = {
        path: Person(site).get(f"/{path}?{urlencode({'before': before})}").status
        for path in ("jobs", "doubts", "inbound", "events", "lanes", "audit")
    }

    assert dict.fromkeys(shown, 200) == shown


@pytest.mark.every_database
@pytest.mark.parametrize(
    "path",
    [
        "/jobs?ids=a%00b",
        "/lanes?account=%00",
        "/inbound?event=a%00",
        "/audit?page_after=1-%00",
        "/audit/\0",
        "/jobs/\0/message",
    ],
)
def test_a_nul_character_is_no_word(site: Site, path: str) -> None:
    """It is refused as what it is, not as a database that is away."""
    assert Person(site).get(path).status == 400


def test_a_nul_character_in_a_form_is_no_word(site: Site) -> None:
    """The same."""
    assert [Person(site).post("/commands/pause_jobs", **form).status for form in ({"ids": "\0"}, {"why": "\0"})] == [
        400,
        400,
    ]
