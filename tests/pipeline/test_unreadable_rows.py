"""A row that cannot be read hides no other, wherever rows are read: pages, commands, acts, upkeep and sending."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from sqlalchemy.exc import DataError, OperationalError

from tests.pipeline.console.full_outbox import fill
from tests.pipeline.console.person import Person
from tests.support.runtime import Site, planted
from worker.cli import main
from worker.config.settings import RetentionSettings
from worker.delivery.maintenance.housekeeping import Housekeeping
from worker.domain.job import part_id
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.counting import count
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs import loading
from worker.outbox.tables.columns import metadata
from worker.outbox.upkeep.alerts import AlertRow
from worker.outbox.upkeep.indexing import index_batch
from worker.outbox.upkeep.totals import Totals
from worker.reporting.problems import find_problems, read_outbox
from worker.reporting.why import why
from worker.service.notify.notices import AlertNotice
from worker.service.notify.text import text_of

pytestmark = pytest.mark.fewer_databases("what Python makes of a text; other tests carry out the SQL on each")

Run = Callable[..., int]
UNREADABLE = {
    "cut": "{",
    "list": "[]",
    "number": "5",
    "null": "null",
    "nested": "[" * 100_000,
    "other types": '{"users": [1, {}], "files": 3, "press": 4, "message": 5, "filter": "6", "body": 7, "stages": 8}',
}
every_text = pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=name, marks=[] if name == "cut" else pytest.mark.slow("reads every page, once a text"))
        for name, text in UNREADABLE.items()
    ],
)
JSON = [
    (table, column.name) for table in metadata.sorted_tables for column in table.columns if "JSON" in (column.doc or "")
]
"""Every column that holds JSON."""


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def spoil(site: Site, text: str) -> None:
    """Every document of every row."""
    with site.database.writing() as connection:
        for table, column in JSON:
            connection.execute(table.update().where(table.c[column].is_not(None)).values({column: text}))


def test_every_document_is_spoiled() -> None:
    """The columns are found by what their table says of them."""
    assert {("worker_jobs", "message"), ("worker_parts", "spec"), ("worker_audit", "asked")} <= {
        (table.name, column) for table, column in JSON
    }


@every_text
def test_every_page_comes(site: Site, text: str) -> None:
    """Of the console, from the first one on, with all that is listed there."""
    filled = fill(site)
    spoil(site, text)

    pages = dict(Person(site).crawl("/", f"/jobs/{filled.accepted}", f"/jobs/{filled.card}"))

    assert [path for path, shown in pages.items() if shown.status >= 500] == []
    assert filled.accepted in pages["/jobs"].text


def lose_channel(site: Site) -> None:
    """As if the package of the jobs' channel were not installed any more."""
    with site.database.writing() as connection:
        connection.exec_driver_sql("update worker_jobs set channel = 'acme'")


def test_every_page_comes_without_the_channel_of_its_jobs(site: Site) -> None:
    """The meaning of their codes is what is missing."""
    filled = fill(site)
    lose_channel(site)

    pages = dict(Person(site).crawl("/", *(f"/jobs/{job}" for job in (filled.accepted, filled.card, filled.refused))))

    assert [path for path, shown in pages.items() if shown.status >= 500] == []
    assert filled.refused in pages["/jobs"].text


@pytest.fixture
def commands(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Site, Run]]:
    """A site, and `worker ARGUMENTS` on its outbox, which returns the exit status."""
    config = tmp_path / "worker.toml"
    accounts = '[accounts.hr]\nchannel = "wecom_app"\ncorpid = "ww1"\nagentid = 7\nsecret = { env = "HR_SECRET" }\n'
    config.write_text(f'database = "{sqlite_url}"\n{accounts}', encoding="utf-8")
    monkeypatch.setenv("HR_SECRET", "s")
    monkeypatch.setenv("WORKER_CONFIG", str(config))

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["worker", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    with closing(Database(make_engine(sqlite_url))) as own, planted(own, DrivenClock()) as site:
        yield site, run


READS = [
    *(["show", "{job}"], ["why", "{job}"], ["jobs"], ["jobs", "--json"], ["jobs", "--counts"]),
    *(
        ["audit"],
        ["inbound"],
        ["inbound", "--json"],
        ["hooks"],
        ["hooks", "--json"],
        ["lanes"],
        ["lanes", "--history"],
    ),
    *(["limits"], ["forecast"], ["mailing", "--tag", "t"], ["mailing", "--tag", "t", "--json"], ["accounts", "show"]),
    *(["show", "{job}", "--json"], ["recipients", "{job}", "--status", "accepted"], ["failures", "{job}"], ["health"]),
]


def test_every_command_that_reads_answers_without_the_channel(
    commands: tuple[Site, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    """Only what follows up a job needs its channel."""
    site, run = commands
    filled = fill(site)
    lose_channel(site)

    for arguments in READS:
        for job in (filled.accepted, filled.card, filled.refused) if "{job}" in arguments else ("",):
            run(*(argument.replace("{job}", job) for argument in arguments))
    assert run("why", filled.refused) == 0


@every_text
def test_every_command_that_reads_answers(
    commands: tuple[Site, Run], capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """No traceback; what can be read is shown."""
    site, run = commands
    filled = fill(site)
    spoil(site, text)

    for arguments in READS:
        for job in (filled.accepted, filled.card, filled.refused) if "{job}" in arguments else ("",):
            run(*(argument.replace("{job}", job) for argument in arguments))

    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert filled.accepted in printed.out


ACTS = [
    *(["resolve", "{doubtful}", "--not-sent"], ["replay", "{refused}"], ["replay", "--account", "hr", "--accepted"]),
    *(["reschedule", "{held}", "--due-at", "1h"], ["correct", "{card}", "--text", "better"], ["recall", "{accepted}"]),
    *(["skip", "{accepted}"], ["pause", "{waiting}"]),
    *(["resume", "{waiting}"], ["hooks", "--retry", "{event}"], ["cancel", "{waiting}", "{held}"], ["erase", "lisi"]),
]


@every_text
def test_every_act_is_done_or_refused_in_words(
    commands: tuple[Site, Run], capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """Nothing goes to anybody by a guess; what needs no document, such as a cancel, is done."""
    site, run = commands
    filled = fill(site)
    spoil(site, text)
    before = len(site.rows("select id from worker_jobs where kind = 'send'"))

    for command, *arguments in ACTS:
        words = [argument.format_map(asdict(filled)) for argument in arguments]
        yes = ["--yes"] if command not in ("skip", "hooks", "resume") else []
        reason = ["--why", "why"] if command in ("resolve", "correct", "erase") else []
        run(command, *words, *yes, *reason)
        print(command, "was run")

    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert "No such option" not in printed.err
    assert "cancelled" == site.state(filled.waiting) == site.state(filled.held)
    assert before == len(site.rows("select id from worker_jobs where kind = 'send'"))


@every_text
def test_upkeep_goes_on(site: Site, text: str) -> None:
    """Sums, the index, recovery, and what deletes old rows: a fault would be reported as an event."""
    fill(site)
    with site.database.writing() as connection:
        count(connection, "doorbells")
    spoil(site, text)
    before = site.rows("select id from worker_lane_events")

    assert Totals(site.database).turn() >= 0
    while index_batch(site.database):
        pass
    site.advance(400 * 86_400)
    site.recover()
    housekeeping = Housekeeping(site.database, RetentionSettings(jobs_days=30, content_days=4), site.ticks)
    for _ in range(30):
        site.advance(60)
        housekeeping.turn()

    told = site.rows("select label, reason from worker_lane_events")[len(before) :]
    assert [row for row in told if row.label != "send in doubt"] == []
    while index_batch(site.database):
        pass
    assert site.rows("select job_id from worker_unindexed") == []


@pytest.mark.every_database
@pytest.mark.parametrize("column", ["spec", "message"])
@pytest.mark.parametrize("text", [text for name, text in UNREADABLE.items() if name != "other types"])
def test_the_others_of_a_doorbell_are_sent_and_the_part_says_why(site: Site, column: str, text: str) -> None:
    """In `why`, in the list of problems, which names part and job, and in the notice."""
    jobs = [site.send(f"text {n}", f"u{n}") for n in range(5)]
    of_part, of_job = (
        "worker_parts set spec = :text where job_id = :job",
        "worker_jobs set message = :text where id = :job",
    )
    site.sql(f"update {of_part if column == 'spec' else of_job}", text=text, job=jobs[2])

    site.ring(*jobs)

    assert [site.state(job) for job in jobs] == ["accepted", "accepted", "queued", "accepted", "accepted"]
    names_it_all(site, jobs[2], "error in this program: the stored content cannot be read: ")


class Damaged:
    """A connection whose statements fail that touch one row of parts, as where the server cannot read its page."""

    def __init__(self, site: Site, part: str, monkeypatch: pytest.MonkeyPatch, *, documents_only: bool):
        self.statements = list[str]()

        def fails(connection: Any, query: str, values: Mapping[str, Any] = MappingProxyType({})) -> Any:
            if part in str(values.get("ids")) and (not documents_only or "spec" in query):
                self.statements.append(query)
                raise DataError("select", {}, UnicodeError("no such character"))
            return fetch(connection, query, values)

        monkeypatch.setattr(loading, "fetch", fails)


@pytest.mark.parametrize("documents_only", [True, False], ids=["its documents", "all of it"])
def test_what_the_database_cannot_read_is_found_by_halving(
    site: Site, monkeypatch: pytest.MonkeyPatch, documents_only: bool
) -> None:
    """A damaged page, or a character that the connection's encoding has not: the others are sent all the same."""
    jobs = [site.send(f"text {n}", f"u{n}") for n in range(9)]
    damaged = Damaged(site, part_id(jobs[4], 0), monkeypatch, documents_only=documents_only)

    site.ring(*jobs)

    assert [site.state(job) for job in jobs] == ["accepted"] * 4 + ["queued"] + ["accepted"] * 4
    assert len(damaged.statements) <= 6
    names_it_all(site, jobs[4], "error in this program: the ")
    assert site.part(jobs[4]).not_before > site.clock.micros


def test_an_outage_is_no_row_that_cannot_be_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts wait for the database, and nothing is said of them."""
    jobs = [site.send(f"text {n}", f"u{n}") for n in range(3)]

    def fails(*_: Any) -> Any:
        raise OperationalError("select", {}, Exception("server closed the connection"))

    monkeypatch.setattr(loading, "fetch", fails)
    with pytest.raises(OperationalError):
        site.ring(*jobs)

    assert site.rows("select id from worker_lane_events") == []
    assert {site.part(job).reason for job in jobs} == {None}


def names_it_all(site: Site, job: str, reason: str) -> None:
    """Wherever a person looks."""
    with site.database.reading() as connection:
        waits = why(connection, job).waits
        problems = [
            one
            for one in find_problems(read_outbox(connection, site.database.now), site.accounts)
            if one.name == "SetAside"
        ]
    place = f"seen at part {part_id(job, 0)} of job {job} first"
    [problem] = problems
    notice = AlertNotice(problem.kind, [AlertRow("n", "SetAside", "hr", 1)], False, 1, texts={"hr": problem.text})
    assert any(reason in wait.text for wait in waits)
    assert place in problem.text
    assert place in Person(site).get("/").text
    assert place in text_of(notice)


def test_a_text_of_sqlite_that_is_no_utf_8_is_readable_and_no_document(commands: tuple[Site, Run]) -> None:
    """The driver would fail for all rows that are read together, as if the file were away."""
    site, _ = commands
    jobs = [site.send(f"text {n}", f"u{n}") for n in range(3)]
    with site.database.writing() as connection:
        connection.exec_driver_sql(
            "update worker_jobs set message = cast(x'7b2274797065223a22ff227d' as text) where id = ?", (jobs[1],)
        )

    site.ring(*jobs)

    assert [site.state(job) for job in jobs] == ["accepted", "queued", "accepted"]
    assert "cannot be read" in site.part(jobs[1]).reason
