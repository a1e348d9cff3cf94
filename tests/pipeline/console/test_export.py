"""The file of a search: a row for each job and recipient, of what the viewer may read, safe in a spreadsheet."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.pipeline.console.person import Person
from tests.support.reads import statements
from tests.support.runtime import Site, planted, refused
from worker import AppChat, To
from worker.console.pages import exports
from worker.console.viewer import Role
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    driven_clock.micros = time.time_ns() // 1000  # pages are bounded by ids, which hold the producer's time
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def rows_of(person: Person, query: str) -> list[dict[str, Any]]:
    """The rows of a JSON file, which is whole."""
    document = json.loads(person.get(f"/export/json?{query}").text)
    assert (document["is_whole"], document["note"]) == (True, None)
    return list(document["rows"])


def cells_of(person: Person, query: str = "") -> list[list[str]]:
    """The lines of a CSV file, without the mark that it begins with."""
    text = person.get(f"/export/csv?{query}").body.decode()
    assert text.startswith("\ufeff")
    return list(csv.reader(StringIO(text[1:], newline=""), strict=True))


def mailing(site: Site) -> tuple[str, str]:
    """Two jobs of a tag: one with an accepted and a refused recipient, and a newer one that waits."""
    site.vendor.says(refused(0, "ok", invaliduser="bob", msgid="m"))
    first = site.send("first", To(["ann", "bob"], parties=["7"]), tags=["lunch"], dedupe_key="k1")
    site.run()
    return first, site.send("second", "carl", tags=["lunch"], account="it")


@pytest.mark.every_database
def test_a_mailing_has_a_row_for_each_job_and_recipient(site: Site) -> None:
    """The newest job first; a department as the search takes it."""
    first, second = mailing(site)

    rows = rows_of(Person(site), "tag=lunch")

    assert [(row["job"], row["recipient"], row["status"], row["recipients"]) for row in rows] == [
        (second, "carl", "waiting", 1),
        (first, "ann", "accepted", 1),
        (first, "party:7", "accepted", 1),
        (first, "bob", "refused", 1),
    ]
    assert {**rows[-1]} | {
        "account": "hr",
        "kind": "send",
        "type": "text",
        "state": "partial",
        "tags": ["lunch"],
        "dedupe_key": "k1",
        "errcode": None,
    } == rows[-1]
    assert "message" not in rows[0]


@pytest.mark.every_database
def test_a_refusal_has_its_errcode_and_what_that_means(site: Site) -> None:
    """That of the recipient's own part, in the viewer's language; an accepted recipient beside it has none."""
    site.vendor.says(refused(81013, "all users are wrong", invaliduser="nobody"))
    site.send("to nobody", "nobody")
    site.run()

    [english], [chinese] = rows_of(Person(site), ""), rows_of(Person(site, lang="zh"), "")

    assert (english["status"], english["errcode"]) == ("refused", 81013)
    assert english["meaning"].isascii()
    assert not chinese["meaning"].isascii()


def test_each_recipient_has_the_errcode_of_its_own_part(site: Site) -> None:
    """Where a job makes a call for each, one was refused for one reason and the next for another."""
    site.vendor.says(refused(86003, "no such chat"), refused(40058, "wrong"))
    job = site.send("hi", AppChat("one", "two", "three"), duplicate_check=False)
    site.run()

    codes = {row["recipient"]: (row["status"], row["errcode"]) for row in rows_of(Person(site), f"ids={job}")}

    assert codes == {"one": ("refused", 86003), "two": ("refused", 40058), "three": ("accepted", None)}


def test_a_csv_speaks_the_viewers_language_and_json_does_not(site: Site) -> None:
    """The head, states and statuses for a spreadsheet; the outbox's own words for a program."""
    mailing(site)

    head, waiting, *_ = cells_of(Person(site, lang="zh"), "tag=lunch")

    assert head[:2] == ["任务", "账号"]
    assert {"进行中", "待发送", "carl"} <= set(waiting)
    assert rows_of(Person(site, lang="zh"), "tag=lunch")[0]["state"] == "open"


@pytest.mark.parametrize("text", ['=HYPERLINK("http://x")', "+1", "-1", "@a", "\t=1", "\r=1", "\n=1"])
def test_no_cell_is_a_formula(site: Site, text: str) -> None:
    """A producer's tag and a text that begin as one get an apostrophe; quotes and line ends stay in their cell."""
    site.send(f'{text} "a", b\r\nc', tags=["-1+cmd"])

    cells = cells_of(Person(site), "texts=yes")[1]

    assert f'\'{text} "a", b\r\nc' == cells[-1]
    assert "'-1+cmd" in cells


def test_times_have_the_offset_of_the_settings_zone(site: Site) -> None:
    """As ISO 8601, without fractions."""
    site.send("x")
    [row] = rows_of(Person(site), "")

    assert row["created_at"] == row["due_at"]
    assert time.strptime(row["created_at"], "%Y-%m-%dT%H:%M:%S%z")
    assert row["finished_at"] is None


@pytest.mark.parametrize("role", ["reader", "observer"])
def test_names_are_of_the_viewers_accounts_alone(site: Site, role: Role) -> None:
    """Of other jobs a row counts the recipients of each status; the page says that columns are empty."""
    first, _ = mailing(site)
    person = Person(site, role, frozenset({"it"}))

    rows, page = rows_of(person, ""), person.get("/jobs").text

    hidden = [row for row in rows if row["job"] == first]
    assert [(row["recipient"], row["recipients"], row["status"]) for row in hidden] == [
        (None, 2, "accepted"),
        (None, 1, "refused"),
    ]
    assert [(row["tags"], row["dedupe_key"]) for row in hidden] == [([], None)] * 2
    assert [row["recipient"] for row in rows if row["account"] == "it"] == ["carl" if role == "observer" else None]
    assert "are left empty in the file" in page


def test_who_may_not_search_by_a_name_gets_no_file_of_it(site: Site) -> None:
    """The answer is the page that says so."""
    mailing(site)

    shown = Person(site, "reader").get("/export/csv?tag=lunch")

    assert "may be searched only by people who may see it" in shown.text
    assert "content-disposition" not in shown.headers


def test_texts_are_for_those_who_may_read_them_and_ask(site: Site) -> None:
    """The audit names their jobs by account, never what they say; each file has an entry, with no name searched by."""
    first, second = mailing(site)
    support = Person(site, "support", frozenset({"hr"}))

    rows = rows_of(support, "texts=yes")
    withheld = rows_of(Person(site, "observer"), "texts=yes&account=hr&recipient=ann")

    views = [json.loads(row.asked) for row in site.rows("select asked from worker_audit order by id")]
    actions = {row.action for row in site.rows("select action from worker_audit")}
    assert {row["job"]: row["message"] for row in rows} == {first: "first", second: None}
    assert {row["message"] for row in withheld} == {None}
    assert views == [
        {"of": "jobs.json", "filter": {}},
        {"account": "hr", "of": [first]},
        {"of": "jobs.json", "filter": {"account": "hr"}},
    ]
    assert actions == {"console.view"}


def test_many_jobs_come_in_pieces(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, all are there once, and the file is as well-formed as one of a single piece."""
    monkeypatch.setattr(exports, "PAGE", 3)
    monkeypatch.setattr(exports, "LOT", 2)
    monkeypatch.setattr(exports, "PIECE", 10)
    jobs = [site.send(str(n), f"user{n}") for n in range(5)]

    rows, cells = rows_of(Person(site), "texts=yes"), cells_of(Person(site))

    assert jobs[::-1] == [row["job"] for row in rows] == [line[0] for line in cells[1:]]
    assert [row["message"] for row in rows] == ["4", "3", "2", "1", "0"]


def test_jobs_and_recipients_are_read_many_at_a_time(site: Site) -> None:
    """A file of thirty jobs takes as many statements as one of two, with their texts and refusals."""
    counts = []
    for many in (2, 30):
        site.vendor.says(*[refused(81013, "all users are wrong", invaliduser="ann")] * many)
        for n in range(many):
            site.send(str(n), "ann", tags=[f"of{many}"])
        site.run()
        with statements(site.database) as sent:
            assert len(rows_of(Person(site), f"tag=of{many}&texts=yes")) == many
        counts.append(len(sent))

    assert counts[0] == counts[1]


def test_a_file_that_is_cut_says_so_at_its_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many jobs as a mailing counts at most, the newest."""
    monkeypatch.setattr(exports, "MAX_JOBS", 1)
    mailing(site)

    document = json.loads(Person(site).get("/export/json").text)

    assert (len(document["rows"]), document["is_whole"]) == (1, False)
    assert "the newest 1 jobs" in document["note"]
    assert "the newest 1 jobs" in cells_of(Person(site))[-1][0]


def test_a_file_that_breaks_says_so_at_its_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that goes away in the middle of it leaves no file that looks whole."""
    monkeypatch.setattr(exports, "PAGE", 1)
    mailing(site)
    reads = iter([exports.find_jobs])

    def once(*args: Any, **options: Any) -> Any:
        for read in reads:
            return read(*args, **options)
        raise OperationalError("select", {}, Exception("gone"))

    monkeypatch.setattr(exports, "find_jobs", once)

    document = json.loads(Person(site).get("/export/json").text)

    assert (len(document["rows"]), document["is_whole"]) == (1, False)
    assert "could not be read" in document["note"]


def test_a_job_without_recipients_has_a_row(site: Site) -> None:
    """A recall counts nobody."""
    first, _ = mailing(site)
    recall = site.recall(first)

    [row] = rows_of(Person(site), f"ids={recall}")

    assert (row["kind"], row["recipient"], row["recipients"], row["status"]) == ("recall", None, 0, None)


def test_its_name_is_a_name(site: Site) -> None:
    """A tag makes no other header and no path; the browser saves the file."""
    site.send("x", tags=['../a"\r\nb/c'])

    headers = Person(site).get("/export/csv?tag=..%2Fa%22%0D%0Ab%2Fc").headers

    assert headers["content-disposition"] == "attachment; filename*=UTF-8''_a%22b_c.csv"
    assert headers["cache-control"] == "no-store"
    assert Person(site).get("/export/xlsx").status == 404


def test_the_pages_lead_to_their_files(site: Site) -> None:
    """With their search; to texts only for who may read them."""
    mailing(site)
    files = [f"/export/{form}?tag=lunch" for form in ("csv", "json")]
    with_texts = [f"{file}&texts=yes" for file in files]

    for page in ("/jobs?tag=lunch", "/mailings/tag?tag=lunch"):
        admin, observer = (Person(site, role).get(page).links for role in ("admin", "observer"))
        assert {*files, *with_texts} <= {*admin}
        assert [link for link in observer if link.startswith("/export")] == files
