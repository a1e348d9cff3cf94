"""Jobs are found by what one knows of them: while they are open, a moment after they ended, and by the index."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Connection, event

from tests.support.reads import rows_read
from tests.support.runtime import Site, an_account, lost, planted, refused
from worker import Everyone, JobFilter, To, find_jobs, text_hash, webhook
from worker.control.recall import find_sent
from worker.control.replay import find_replayable
from worker.control.resolve import find_unknown, resolve
from worker.domain.account import Account, Secret
from worker.domain.content.recipient import Chats
from worker.domain.errors import CheckFailed
from worker.domain.job_terms import MAX_HOURS, hours_between
from worker.outbox.control import candidates, listing
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database
from worker.outbox.upkeep import indexing
from worker.outbox.upkeep.indexing import IDLE_S, Indexing, index_batch
from worker.outbox.upkeep.purge import purge_jobs
from worker.reporting.job_list import ListedJob, with_contents

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

HOUR = timedelta(hours=1)


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process, with an application, a second one and a webhook."""
    driven_clock.micros = time.time_ns() // 1000  # pages are bounded by ids, which hold the producer's time
    hook = Account("alerts", "wecom_webhook", "http://vendor", {"edition": "robot"}, Secret(lambda: "k"))
    application = an_account(allow_everyone=True)
    with planted(database, driven_clock, accounts=[application, hook]) as planted_site:
        yield planted_site


def index(site: Site) -> None:
    """Everything that ended has its terms."""
    while index_batch(site.database):
        pass


def found(site: Site, *, state: Any = None, limit: int = 50, page_after: str | None = None, **fields: Any) -> list[str]:
    wanted = JobFilter(**fields) if fields else None
    with site.database.reading() as connection:
        page = find_jobs(connection, wanted, state=state, limit=limit, page_after=page_after)
        return [job.id for job in page.jobs]


def says(site: Site, job: str) -> str:
    with site.database.reading() as connection:
        return text_hash(connection, job)


def at(site: Site) -> datetime:
    return instant(site.clock.micros)


def msgid(site: Site, job: str) -> str:
    return str(site.of("receipts", job)[0].msgid)


STAGES: dict[str, Callable[[Site], None]] = {"noted": lambda site: None, "indexed": index}


@pytest.mark.every_database
@pytest.mark.parametrize("stage", STAGES)
def test_an_ended_job_is_found_by_each_field(site: Site, stage: str) -> None:
    """And none that differs in it."""
    site.vendor.says(refused(81013))
    began = at(site)
    options = {"tags": ["lunch", "lunch%"], "order_key": "o1", "dedupe_key": "d1", "expires_at": at(site) + HOUR}
    refused_one = site.send("wrong", To(["ZhangSan", "lisi"]), **options)
    site.run()
    site.advance(3_600)
    later = at(site)
    other = site.send("right", "wangwu", tags=["Lunch"], order_key="o2")
    site.run()
    replay = site.replay(refused_one)
    site.run()
    STAGES[stage](site)

    both = [replay, refused_one]
    assert both == found(site, recipient="zhangsan") == found(site, recipient="ＺHANGSAN") == found(site, tag="lunch")
    assert both == found(site, text_hash=says(site, refused_one)) == found(site, order_key="o1")
    assert (
        [refused_one] == found(site, errcode=81013) == found(site, state="rejected") == found(site, ended_before=later)
    )
    assert [refused_one] == found(site, dedupe_key="d1", account="hr")
    assert [refused_one] == found(site, ended_from=began, ended_before=later)
    assert [replay, other] == found(site, ended_from=later)
    assert [replay] == found(site, replay_of=refused_one) == found(site, msgid=msgid(site, replay))
    assert [other] == found(site, recipient="wangwu", account="hr", state="accepted")
    assert [replay, other, refused_one] == found(site, account="hr") == found(site, kind="send") == found(site)
    assert [] == found(site, recipient="zhang") == found(site, recipient="wangwu", state="rejected")
    assert [] == found(site, account="nobody") == found(site, msgid="m%") == found(site, state=[])


def test_the_hours_of_a_search_reach_from_its_first_to_its_last() -> None:
    """In UTC; one that ends a quarter past an hour has jobs of that hour too."""
    begin, end = datetime(2026, 1, 1, 6, 45, tzinfo=timezone(-4 * HOUR)), datetime(2026, 1, 1, 12, 15, tzinfo=UTC)

    assert hours_between(begin, end) == ["2026-01-01T10", "2026-01-01T11", "2026-01-01T12"]


def test_what_is_open_is_found_too(site: Site) -> None:
    """Also what is due in a week, and next to what has ended."""
    ended = site.send("hello", "lisi")
    site.run()
    index(site)
    waits = site.send("hello", "LISI", due_at=at(site) + timedelta(days=7), tags=["weekly"])
    site.send("other", "wangwu")

    assert [waits, ended] == found(site, recipient="lisi") == found(site, text_hash=says(site, ended))
    assert [waits] == found(site, tag="weekly") == found(site, recipient="lisi", state="open")
    assert [ended] == found(site, recipient="lisi", state="accepted")


def test_whom_a_webhook_mentions_is_found(site: Site) -> None:
    """As a recipient, in a list and in the text: who erases a person has to find that too."""
    with_contents = site.ask(webhook.Text(content="look", mentioned_list=["ZhaoLiu"]), Chats(), account="alerts")
    inside = site.ask(webhook.Markdown(content="look <@zhaoliu> here"), Chats(), account="alerts")
    site.run()
    assert [inside, with_contents] == found(site, recipient="zhaoliu")
    index(site)
    assert [inside, with_contents] == found(site, recipient="zhaoliu")


def test_a_job_that_ends_once_more_is_found_by_what_it_is_now(site: Site) -> None:
    """A part in doubt that was answered late: no longer `unknown`, and by its msgid."""
    site.vendor.says(refused(40058))
    job = site.send()
    site.run()
    index(site)
    before = {row.term for row in site.rows("select term from worker_terms")}

    site.sql("update worker_jobs set state = 2")
    site.sql("insert into worker_unindexed (job_id, note) values (:job, '1')", job=job)
    index(site)

    assert found(site, state="rejected") == []
    assert len(before - {row.term for row in site.rows("select term from worker_terms")}) == 1, "the state's"
    assert [job] == found(site, state="accepted")


@pytest.mark.parametrize("stage", STAGES)
def test_pages_go_on_where_the_one_before_ended(site: Site, stage: str) -> None:
    """Newest first, each once, also while part of them is open, noted or indexed."""
    jobs = [site.send(str(n), tags=["many"]) for n in range(7)]
    site.run()
    STAGES[stage](site)
    jobs += [site.send(str(n), tags=["many"]) for n in range(7, 10)]

    pages, last = list[list[str]](), None
    while page := found(site, tag="many", limit=3, page_after=last):
        pages.append(page)
        last = page[-1]

    assert list(reversed(jobs)) == [job for page in pages for job in page]
    assert [len(page) for page in pages] == [3, 3, 3, 1]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    "fields", [{}, {"tag": "many"}, {"account": "hr"}, {"kind": "send"}, {"recipient": "lisi"}], ids=str
)
def test_pages_go_on_oldest_first_too(site: Site, stage: str, fields: dict[str, Any]) -> None:
    """Each job once, also while part of them is open, noted or indexed."""
    jobs = [site.send(str(n), tags=["many"]) for n in range(7)]
    site.run()
    STAGES[stage](site)
    jobs += [site.send(str(n), tags=["many"], due_at=at(site) + HOUR) for n in range(7, 10)]

    pages, last = list[list[str]](), None
    with site.database.reading() as connection:
        while True:
            wanted = JobFilter(**fields) if fields else None
            page = find_jobs(connection, wanted, limit=3, page_after=last, oldest_first=True)
            pages.append([job.id for job in page.jobs])
            if (last := page.page_after) is None:
                break

    assert jobs == [job for page in pages for job in page]


@pytest.mark.every_database
def test_a_page_that_would_read_too_much_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says where to go on; nothing is passed over."""
    old = site.ask(webhook.Text(content="old"), Chats(), account="alerts")
    for n in range(6):
        site.send(str(n))
    site.run()
    index(site)
    monkeypatch.setattr(listing, "MAX_WALKED", 3)
    monkeypatch.setattr(listing, "MAX_CANDIDATES", 2)
    monkeypatch.setattr(listing, "_LOT", 2)

    with site.database.reading() as connection:
        page = find_jobs(connection, JobFilter(channel="wecom_webhook"), limit=1)
        assert (page.jobs, page.is_cut_short) == ((), True)
        looks = 0
        while not page.jobs:
            page = find_jobs(connection, JobFilter(channel="wecom_webhook"), limit=1, page_after=page.page_after)
            looks += 1
        assert ([job.id for job in page.jobs], looks) == ([old], 1)
        assert [old] == [job.id for job in find_jobs(connection, JobFilter(account="alerts"), limit=1).jobs], (
            "that has an index"
        )


def test_what_is_not_looked_at_is_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list says that it may lack some; a recall or a replay, which would miss them, is refused."""
    monkeypatch.setattr(candidates, "MAX_UNINDEXED", 2)
    monkeypatch.setattr(candidates, "MAX_OPEN", 4)
    for n in range(2):
        site.send(str(n), "lisi")
    site.run()

    def is_whole() -> bool:
        with site.database.reading() as connection:
            return not find_jobs(connection, JobFilter(recipient="lisi")).leaves_fresh_out

    assert not is_whole()
    with pytest.raises(CheckFailed, match="too many jobs that are not indexed yet; give only ids"):
        find_sent(JobFilter(recipient="lisi"), database=site.database)
    index(site)
    assert is_whole()
    for n in range(2):
        site.send(str(n), To([f"u{m}" for m in range(1_001)]))
    assert not is_whole(), "two jobs, and four open parts"
    with pytest.raises(CheckFailed, match="too many jobs that are not indexed yet"):
        find_sent(JobFilter(recipient="lisi"), database=site.database)


def test_a_list_of_no_jobs_is_refused(site: Site) -> None:
    """A limit of 0 is a mistake."""
    with site.database.reading() as connection, pytest.raises(CheckFailed, match="limit: is not a valid value"):
        find_jobs(connection, limit=0)


@pytest.mark.every_database
def test_a_department_is_no_member_of_the_same_number(site: Site) -> None:
    """A recall to one person must not take what all of a department got."""
    of_member, of_party = site.send("a", To(["1"])), site.send("b", To(parties=["1"], tags=["2"]))
    site.run()
    assert [of_member] == found(site, recipient="1")
    assert [of_party] == found(site, recipient="party:1") == found(site, recipient="tag:2")
    index(site)
    assert [of_member] == found(site, recipient="1")
    assert [of_party] == found(site, recipient="party:1") == found(site, recipient="tag:2")


def test_the_field_that_fewest_share_is_looked_up(site: Site) -> None:
    """Whichever was named first."""
    many = site.send("news", "lisi", tags=["news"])
    site.run()
    copies(site, many, 1_200)
    rare = site.send("news", "rare", tags=["news"])
    site.run()
    index(site)
    tidy(site)

    def ask(connection: Any) -> None:
        page = find_jobs(connection, JobFilter(tag="news", recipient="rare"))
        assert [rare] == [job.id for job in page.jobs]

    assert rows_read(site.database, ask) < 2 * 1_000 + MOST_READ, "what it counts to choose: MariaDB does it twice"


@pytest.mark.every_database
def test_a_job_that_is_noted_again_meanwhile_is_indexed_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit does not wait for the indexing, and its note is not taken for the one that was read."""
    site.vendor.says(lost())
    job = site.send(duplicate_check=False)
    site.run()
    before = indexing._differences

    def answered_meanwhile(connection: Any, ids: Any) -> Any:
        read = before(connection, ids)
        monkeypatch.setattr(indexing, "_differences", before)
        found = find_unknown(JobFilter(ids=[job]), database=site.database)
        resolve(found, sent=True, msgid="late", why="seen", person="zhang", database=site.database)
        return read

    site.advance(60)
    site.recover()
    monkeypatch.setattr(indexing, "_differences", answered_meanwhile)
    assert index_batch(site.database) == 1
    assert [job] == found(site, msgid="late"), "by its note"
    assert index_batch(site.database) == 1
    assert [job] == found(site, msgid="late")
    assert found(site, state="unknown") == []


@pytest.mark.every_database
def test_a_job_that_is_open_again_is_not_missed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at what is open and the look at what is noted it was queued again, and indexed."""
    site.vendor.says(lost())
    job = site.send(on_unknown="resend", duplicate_check=False)
    site.run()
    looked = candidates.fetch

    def meanwhile(connection: Any, sql: str, given: Any = None) -> Any:
        if "worker_unindexed" in sql:
            monkeypatch.setattr(candidates, "fetch", looked)
            site.advance(60)
            site.recover()
            index(site)
        return looked(connection, sql, given or {})

    monkeypatch.setattr(candidates, "fetch", meanwhile)
    assert [job] == found(site, recipient="lisi")
    assert site.state(job) == "queued"


def test_what_a_filter_may_not_say(site: Site) -> None:
    """Each refusal names what to change."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"dedupe_key": "d"}, "dedupe_key: is unique for one account only; give the account too"),
        ({"errcode": 0}, "errcode: 0 is what every success has; use state"),
        ({"recipient": " "}, "recipient: has no content"),
        ({"tag": "a\0"}, "tag: holds a NUL character"),
        ({"ended_from": datetime(2026, 1, 1)}, "ended_from"),
        ({"ended_from": datetime.min.replace(tzinfo=timezone(HOUR))}, "ended_from: is before the year 1"),
        ({"ended_before": datetime.max.replace(tzinfo=timezone(-HOUR))}, "ended_before: is .* after 9999"),
        ({"ended_from": at(site) - (MAX_HOURS + 1) * HOUR}, r"ended_from: is too long ago .*; give ended_before too"),
        ({"called_from": at(site)}, "filter: is about calls, and a list is about jobs"),
        ({"ids": ["0" * 32 + "-0"]}, "ids: name single parts"),
    ]
    for fields, told in wrong:
        with pytest.raises(CheckFailed, match=told):
            found(site, **fields)


@pytest.mark.every_database
@pytest.mark.parametrize("stage", STAGES)
def test_recalls_and_replays_find_by_the_same_fields(site: Site, stage: str) -> None:
    """Without a time, where the field names few; a tag may be that of years."""
    site.vendor.says(refused(81013))
    failed = site.send("wrong", To(["lisi"]), tags=["lunch"])
    site.run()
    sent = site.send("wrong", To(["lisi", "wangwu"]))
    site.run()
    STAGES[stage](site)

    assert (sent,) == find_sent(JobFilter(recipient="LiSi"), database=site.database).ids
    assert (sent,) == find_sent(JobFilter(msgid=msgid(site, sent)), database=site.database).ids
    assert (failed,) == find_replayable(JobFilter(text_hash=says(site, failed)), database=site.database).ids
    assert (failed,) == find_replayable(JobFilter(ended_from=at(site) - HOUR), database=site.database).ids
    waits = site.send("wrong", To(["lisi"]), due_at=at(site) + HOUR)
    assert (sent, waits) == find_sent(JobFilter(recipient="lisi"), database=site.database).ids
    with pytest.raises(CheckFailed, match="filter: would look through all jobs; give created_from"):
        find_replayable(JobFilter(errcode=81013), database=site.database)


def test_what_is_purged_leaves_no_terms(site: Site) -> None:
    """Terms are many, so none may stay behind; and those of others stay."""
    old = site.send(to=To(["lisi", "wangwu"]))
    site.run()
    index(site)
    noted = site.send("b")
    site.run()
    with site.database.writing() as connection:
        indexing.delete_terms(connection, [noted])
    assert site.rows("select job_id from worker_unindexed") == []
    site.advance(11 * 86_400)
    new = site.send("c")
    site.run()
    index(site)
    terms = len(site.rows("select term from worker_terms where job_id = :job", job=old))
    assert terms >= 5

    purge_jobs(site.database, site.clock.micros - 10 * 86_400_000_000, "")

    assert {new} == {row.job_id for row in site.rows("select distinct job_id from worker_terms")}


@pytest.mark.every_database
def test_what_is_purged_while_it_is_indexed_gets_no_terms(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing would ever delete them."""
    job = site.send()
    site.run()
    before = indexing._differences

    def purged_meanwhile(connection: Any, ids: Any) -> Any:
        read = before(connection, ids)
        site.advance(11 * 86_400)
        assert purge_jobs(site.database, site.clock.micros - 10 * 86_400_000_000, "").deleted == 1
        return read

    monkeypatch.setattr(indexing, "_differences", purged_meanwhile)
    index_batch(site.database)
    assert site.rows("select job_id from worker_terms") == []
    assert found(site, ids=[job]) == []


def test_many_terms_are_written_in_pieces(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """No statement and no transaction has more than so many; a lot ends with the job that brings it there."""
    monkeypatch.setattr(indexing, "TERMS", 10)
    jobs = [site.send(str(n), To([f"u{m}" for m in range(25)])) for n in range(2)]
    site.run()
    assert [index_batch(site.database) for _ in range(3)] == [1, 1, 0]
    assert list(reversed(jobs)) == found(site, recipient="u24")


def test_a_lot_ends_with_the_bytes_that_it_may_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages may have megabytes."""
    for n in range(3):
        site.send(str(n) * 1_000)
    site.run()
    monkeypatch.setattr(indexing, "BYTES", 1_500)
    assert [index_batch(site.database) for _ in range(4)] == [1, 1, 1, 0]
    assert len(found(site, recipient="lisi")) == 3


def test_it_works_a_tenth_of_the_time(site: Site) -> None:
    """The sending comes first."""
    site.send()
    site.run()
    turns = iter([0.0, 0.02, 5.0])
    indexer = Indexing(site.database, lambda: next(turns))
    assert pytest.approx(0.18) == indexer.turn()
    assert indexer.turn() == IDLE_S


def test_an_odd_row_keeps_no_other_from_being_found(site: Site) -> None:
    """A message that no release of ours wrote is found by the rest."""
    odd, good = site.send("a", "lisi"), site.send("b", "lisi")
    site.run()
    third = site.send("c", "lisi")
    site.run()
    odd_row = "update worker_jobs set tags = '{', recipients = :who, message = '\"mentioned_list' where id = :id"
    site.sql(odd_row, id=odd, who='["')
    site.sql(odd_row, id=third, who='{"users": [1, "lisi"], "by_sender": [1, [2], ["Boss", ["wm1"]]]}')
    for _ in range(2):
        assert [third, good] == found(site, recipient="lisi")
        assert [third] == found(site, recipient="boss"), "who sends to customers is a person too"
        assert [third, good, odd] == found(site, account="hr")
        assert found(site, tag="{") == []
        index(site)


FIELDS: dict[str, Callable[[Site, str], dict[str, Any]]] = {
    "recipient": lambda site, job: {"recipient": "rare"},
    "text_hash": lambda site, job: {"text_hash": says(site, job)},
    "tag": lambda site, job: {"tag": "rare"},
    "order_key": lambda site, job: {"order_key": "rare"},
    "dedupe_key": lambda site, job: {"dedupe_key": "rare", "account": "hr"},
    "msgid": lambda site, job: {"msgid": msgid(site, job)},
    "errcode": lambda site, job: {"errcode": 81013},
    "state": lambda site, job: {"state": "partial"},
    "states": lambda site, job: {"state": ["partial", "rejected", "open"]},
    "ended": lambda site, job: {"ended_from": at(site) - HOUR},
    "replay_of": lambda site, job: {"replay_of": job},
    "ids": lambda site, job: {"ids": [job]},
    "newest": lambda site, job: {"limit": 3},
}
MOST_READ = 150


@pytest.mark.every_database
def test_what_is_asked_for_is_all_that_is_read(site: Site) -> None:
    """By each field, however many others there are: here 500 that ended long ago."""
    many = [site.send(str(n), f"u{n}") for n in range(3)]
    site.vendor.says(*[lambda request: site.vendor.takes(request)] * 3)
    site.run()
    copies(site, many[0], 500)
    site.advance(2 * 86_400)
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="ghost"))
    job = site.send("rare", To(["rare", "ghost"]), tags=["rare"], order_key="rare", dedupe_key="rare")
    site.run()
    index(site)
    site.sql("update worker_attempts set errcode = 81013 where part_id = :part", part=f"{job}-0")
    site.sql("insert into worker_unindexed (job_id, note) values (:job, '1')", job=job)
    index(site)
    tidy(site)

    orders = {"newest first": False, "oldest first": True}
    read = {
        (name, order): _rows_read(site, oldest_first=oldest_first, **fields(site, job))
        for order, oldest_first in orders.items()
        for name, fields in FIELDS.items()
    }

    assert {name: rows for name, rows in read.items() if rows >= MOST_READ} == {}


def _rows_read(site: Site, *, state: Any = None, limit: int = 50, oldest_first: bool = False, **fields: Any) -> int:
    jobs = JobFilter(**fields) if fields else None

    def ask(connection: Connection) -> None:
        with_contents(connection, find_jobs(connection, jobs, state=state, limit=limit, oldest_first=oldest_first).jobs)

    return rows_read(site.database, ask)


LISTED: list[tuple[str, dict[str, Any], tuple[str | None, str | None, int]]] = [
    ("a member", {"to": To(["ZhangSan", "lisi"])}, ("text", "ZhangSan", 1)),
    ("a department", {"to": To(parties=[7], tags=[8])}, ("text", "party:7", 1)),
    ("everyone", {"to": Everyone()}, ("text", "@all", 0)),
    ("very many", {"to": To([f"user{n}" for n in range(3_000)])}, ("text", "user0", 2_999)),
]


@pytest.mark.every_database
def test_a_list_tells_what_a_job_is_and_whom_it_goes_to(site: Site) -> None:
    """The type of its message and its first recipient, as the filter takes it, however many there are."""
    jobs = [site.send("hello", options["to"]) for _, options, _ in LISTED]
    hook = site.ask(webhook.Markdown(content="look"), Chats(), account="alerts")
    site.run()
    recall, erased = site.recall(jobs[0]), site.send("odd")
    documents = "update worker_jobs set recipients = :recipients, message = '{}' where id = :id"
    site.sql(documents, recipients='{"users": ["a\\"b\\\\"], "parties": ["7"]}', id=erased)

    rows = {row.id: row for row in shown(site)}

    told = [(rows[job].type, rows[job].recipient, rows[job].others) for job in jobs]
    assert [expected for _, _, expected in LISTED] == told
    assert (
        (rows[hook].type, rows[hook].recipient),
        (rows[recall].type, rows[recall].recipient),
    ) == (("markdown", None), (None, None))
    assert (rows[erased].type, rows[erased].recipient) == (None, 'a"b\\')
    assert (rows[jobs[0]].localized("en"), rows[jobs[0]].localized("zh")) == ("text", "文本")
    assert (rows[recall].localized("en"), rows[recall].localized("zh")) == ("recall", "撤回")


@pytest.mark.every_database
def test_a_list_tells_the_errcode_that_matters(site: Site) -> None:
    """Of the newest answered call of the first part that was not accepted, as `worker why` does; none of what went."""
    site.vendor.says(refused(45009), refused(81013))
    again = site.send("again")
    site.run()
    site.advance(120)
    site.run()
    site.vendor.says(lambda request: site.vendor.takes(request), refused(40003))
    second = site.send("second", To([f"u{n}" for n in range(1_001)]))
    site.run()
    went, waits = site.send("went"), site.send("waits", due_at=at(site) + HOUR)
    site.run()

    rows = {row.id: row.errcode for row in shown(site)}

    assert {again: 81013, second: 40003, went: None, waits: None} == rows


def shown(site: Site) -> list[ListedJob]:
    with site.database.reading() as connection:
        return with_contents(connection, find_jobs(connection).jobs)


def test_a_page_takes_the_same_statements_however_many_jobs_it_has(site: Site) -> None:
    """No statement for a row."""
    asked = list[int]()
    for _ in range(3):
        for n in range(7):
            site.send(str(n), due_at=at(site) + HOUR)
        with site.database.engine.connect() as connection:
            sent = list[str]()
            event.listen(connection, "before_cursor_execute", lambda *given, sent=sent: sent.append(given[2]))
            with_contents(connection, find_jobs(connection).jobs)
        asked.append(len(sent))

    # The first one may read what a process keeps, too.
    assert len(set(asked[1:])) == 1
    assert asked[0] <= 8


def tidy(site: Site) -> None:
    """What was deleted is gone, as a while later: until then an index scan passes it."""
    with site.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if site.database.dialect.name == "mysql":
            for table in ("jobs", "parts", "attempts", "receipts", "terms", "unindexed"):
                connection.exec_driver_sql(f"analyze table worker_{table}").fetchall()
        else:
            connection.exec_driver_sql("vacuum" if site.database.dialect.name == "sqlite" else "vacuum analyze")


def copies(site: Site, job: str, count: int) -> None:
    """The same job many times, a little earlier, as it would stand there with its terms."""
    columns = {
        table: list(vars(site.rows(f"select * from worker_{table} limit 1")[0]))
        for table in ("jobs", "parts", "receipts", "attempts")
    }
    with site.database.writing() as connection:
        for n in range(count):
            new = f"{int(job[:12], 16) - 1 - n:012x}{job[12:]}"
            for table, names in columns.items():
                picked = ", ".join(
                    f"replace({name}, '{job}', '{new}')" if name in ("id", "job_id", "part_id") else name
                    for name in names
                )
                key = {"jobs": "id", "parts": "job_id"}.get(table, "part_id")
                value = job if key != "part_id" else f"{job}-0"
                connection.exec_driver_sql(
                    f"insert into worker_{table} ({', '.join(names)}) select {picked} from worker_{table}"
                    f" where {key} = '{value}'"
                )
            connection.exec_driver_sql(f"insert into worker_unindexed (job_id, note) values ('{new}', '1')")
