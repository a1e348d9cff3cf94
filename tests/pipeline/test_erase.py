"""One person is erased from all tables, and every count stays."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, select

from tests.docs.test_security_pages import COLUMNS
from tests.support.housekeeping import keep_house
from tests.support.runtime import PNG, RECALL, Site, busy, lost, planted, refused
from worker import (
    ButtonCard,
    File,
    Image,
    NotReplayable,
    RecipientStatus,
    Text,
    To,
    get_job,
    recall_message,
    recipients,
)
from worker.config.settings import RetentionSettings
from worker.control.audit import CommandResult, list_audit
from worker.control.cancel import cancel, find_open
from worker.control.erase import erase, find_person
from worker.control.pause import pause
from worker.control.resolve import find_unknown, resolve
from worker.domain.callbacks.inbound import CardPress, Inbound
from worker.domain.content.erasure import of_person
from worker.domain.errors import CheckFailed
from worker.domain.job_filter import JobFilter
from worker.domain.outcome import Confirmation
from worker.outbox import tables
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs.chats import ChatNews
from worker.outbox.jobs.confirmations import store_confirmations
from worker.outbox.jobs.inbound import Delivery, store_delivery
from worker.outbox.upkeep.emptying import PAGE
from worker.outbox.upkeep.indexing import index_batch
from worker.producer import plan
from worker.producer.resend import skip

WHO = "Zhang.San"


pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process."""
    driven_clock.micros = time.time_ns() // 1000
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def erased(site: Site, who: str = WHO, why: str = "asked for it") -> CommandResult:
    return erase(find_person(who, database=site.database), person="ops", why=why, database=site.database)


def everything(site: Site) -> dict[str, str]:
    """Every text of every table, by table and column."""
    found: dict[str, str] = {}
    with site.database.reading() as connection:
        for table in tables.metadata.sorted_tables:
            for row in connection.execute(select(table)).mappings():
                for name, value in row.items():
                    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                    found[f"{table.name}.{name}"] = found.get(f"{table.name}.{name}", "") + "\n" + text
    return found


def where(site: Site, *words: str) -> list[str]:
    return [name for name, text in everything(site).items() if any(word in text.lower() for word in words)]


def counts(site: Site, job: str) -> Any:
    with site.database.reading() as connection:
        return get_job(connection, job).counts


@pytest.mark.every_database
def test_no_trace_is_left_in_any_table(site: Site) -> None:
    """Of what a person was sent alone and with others, refused, pressed, wrote, confirmed; of what was asked of it."""
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="zhang.san"))
    both = site.send(
        "Hello zhang.san，and lisi", To(["lisi", WHO, "li"]), tags=["for-zhang.san"], order_key="ｚhang.san"
    )
    site.run()
    site.vendor.says(refused(81013, "user zhang.san is out of range"))
    alone = site.send("your salary", WHO, dedupe_key="salary-Zhang.San")
    site.run()
    card = site.card(To(["lisi", WHO]), task_id="leave-zhang_san")
    site.run()
    pressed(site, card)
    update = site.update(card, WHO)
    picture = site.ask(Image(file=File(PNG + b"portrait", "Zhang.San.png")), WHO)
    for _ in range(3):
        site.run()
    with site.database.writing() as connection:
        store_confirmations(
            connection, f"{both}-0", [Confirmation("lisi", "zhang.san", 1), Confirmation("zhang.san", "", 2)], 1
        )
        store_delivery(connection, site.database.now, spoken())
    cancelled = site.send("later", WHO, due_at=3_600)
    stopped = find_open(JobFilter(recipient=WHO), database=site.database)
    cancel(stopped, person="ops", why="Zhang.San left", database=site.database)
    pause(JobFilter(tag="x"), person="ops", why="because of zhang.san", database=site.database)
    while index_batch(site.database):
        pass
    site.sql("update worker_events set state = 2, ended_at = 1, due_at = null")
    before = {job: counts(site, job) for job in (both, alone, card, update, picture, cancelled)}
    planted = where(site, "zhang.san", "ｚhang.san", "your salary", "portrait")
    assert len(planted) >= 15, "as many columns hold it"
    assert {*planted} - {f"{table}.{name}" for table, names in COLUMNS.items() for name in names} == set()

    done = erased(site)

    assert where(site, "zhang.san", "ｚhang.san", "your salary", "portrait") == []
    assert (done.counts["jobs"], done.counts["emptied"], done.counts["unchanged"]) == (6, 4, 0)
    assert before == {job: counts(site, job) for job in before}
    with site.database.reading() as connection:
        assert tuple(recipients(connection, both, RecipientStatus.ACCEPTED)) == ("lisi", "li")
        [mark] = recipients(connection, both, RecipientStatus.REFUSED)
        assert mark.startswith("#erased-")
        assert (list_audit(connection)[0].action, list_audit(connection)[0].arguments) == ("erase", {"jobs": 6})
    while index_batch(site.database):
        pass
    assert (erased(site).counts["jobs"], erased(site).counts["callbacks"]) == (0, 0), "nothing of it is found any more"


def pressed(site: Site, card: str) -> None:
    press = CardPress("leave-zhang_san", "ok", "button_interaction", "code-z", {})
    inbound = Inbound("template_card_event", "zhang.san", 1, ("key-1",), {}, card=press)
    given = Delivery("hr", "ww1/7", ["hr"], inbound, '{"FromUserName": "zhang.san"}', "e" * 32, 259_200, hooked=True)
    with site.database.writing() as connection:
        assert store_delivery(connection, site.database.now, given) is not None


def spoken() -> Delivery:
    news = ChatNews("zhang.san", "single", person="zhang.san")
    inbound = Inbound("message:text", "Zhang.San", 1, ("key-2",), {}, chat=news)
    lanes = ["hr:x"]
    return Delivery("hr", "ww1/7", ["hr"], inbound, '{"Content": "hi"}', "f" * 32, 259_200, hooked=False, lanes=lanes)


def test_open_jobs_are_left_and_told(site: Site) -> None:
    """They would be sent; what has ended goes all the same."""
    done, waits = site.send("a", WHO), site.send("b", WHO, due_at=3_600)
    site.ring(done)
    site.vendor.says(lost())
    doubt = site.send("c", WHO, duplicate_check=False)
    site.ring(doubt)
    result = erased(site)
    assert (result.counts["jobs"], result.counts["unchanged"]) == (1, 2)
    assert WHO in site.job(waits).recipients
    assert WHO not in site.job(done).recipients


def test_what_has_no_text_any_more_is_not_replayed(site: Site) -> None:
    """With that sentence; a job to others too goes to these alone."""
    alone, both = site.send("a", WHO), site.send("b", To([WHO, "lisi"]))
    site.run()
    erased(site)
    with pytest.raises(NotReplayable, match="is no longer kept; enqueue it anew"):
        site.replay(alone)
    again = site.replay(both)
    site.run()
    assert site.bodies()[-1]["touser"] == "lisi"
    assert site.state(again) == "accepted"


def test_a_job_to_marks_alone_is_not_replayed(site: Site) -> None:
    """Two were erased one after the other."""
    job = site.send("a", To([WHO, "lisi"]))
    site.run()
    erased(site)
    erased(site, "lisi")
    with pytest.raises(NotReplayable, match="no longer kept"):
        site.replay(job)


def test_others_are_not_touched(site: Site) -> None:
    """`li` is no part of `lisi`, and the bytes of theirs stay as they were."""
    job = site.send("lisi, li-li and Li", To(["li", "lisi", "Li.Si"]))
    other = site.send("for Li.Si", "Li.Si")
    site.run()
    before = site.job(other)
    erased(site, "li")
    row = site.job(job)
    assert '"lisi"' in row.recipients
    assert "Li.Si" in row.recipients
    assert before == site.job(other)


def test_the_reason_may_not_name_the_person(site: Site) -> None:
    """It is kept."""
    with pytest.raises(CheckFailed, match="why: names the person who is to be erased"):
        erased(site, why="zhang.san asked")
    with pytest.raises(CheckFailed, match="recipient: has no content"):
        erased(site, " ")


@pytest.mark.every_database
@pytest.mark.own_engine
def test_a_long_audit_is_gone_through_page_by_page(site: Site) -> None:
    """Other writers wait for one page at most, and no row is compared with any but itself."""
    row = {"action": "cancel", "person": "ops", "why": f"{WHO} left", "asked": "{}", "counts": "{}", "began_at": 0}
    row["seen_at"] = 0
    with site.database.writing() as connection:
        connection.execute(insert(tables.audit), [row | {"id": f"{n:032x}"} for n in range(PAGE + 1)])
    left: list[int] = []

    def look(connection: Connection) -> None:
        left.append(fetch(connection, "select count(*) from worker_audit where why = :why", {"why": row["why"]})[0][0])

    event.listen(site.database.engine, "commit", look)
    erased(site)

    assert sorted({*left}) == [0, 1, PAGE + 1]


def test_a_card_of_the_person_can_still_be_recalled(site: Site) -> None:
    """Msgids and receipts outlive the text."""
    job = site.ask(ButtonCard(main_title={"title": "x"}, button_list=[{"text": "ok", "key": "ok"}]), To([WHO]))
    text = site.ask(Text(content="x"), To([WHO]))
    site.run()
    erased(site)
    recalls = [site.recall(job), site.recall(text)]
    site.run()
    assert [site.state(one) for one in recalls] == ["accepted"] * 2


@pytest.mark.parametrize("duplicate_check", [True, False])
def test_what_was_repeated_can_still_be_recalled(site: Site, duplicate_check: bool) -> None:
    """Without the message, only the duplicate check shows that the first call brought no second message."""
    site.vendor.says(lost())
    job = site.send("secret", WHO, duplicate_check=duplicate_check, on_unknown="resend")
    site.run()
    site.advance(60)
    site.recover()
    site.run()
    assert (site.state(job), site.part(job).doubts) == ("accepted", 1)
    assert erased(site).counts["emptied"] == 1

    recall = site.recall(job)
    site.finish()

    assert ("accepted" if duplicate_check else "partial") == site.job(recall).state
    assert len(site.calls(RECALL)) == 1


@pytest.mark.every_database
def test_a_replay_of_what_was_emptied_is_stopped_by_a_recall(site: Site) -> None:
    """Which is of the first job, whose message is gone; the replay has its own."""
    site.vendor.says(refused(81013))
    job = site.send("secret", WHO)
    site.run()
    later = site.replay(job, due_at=timedelta(days=10))
    erased(site)
    assert (site.job(job).message, site.state(later)) == ("{}", "queued")

    recall = site.recall(job)
    site.finish()

    assert (site.state(recall), site.state(later)) == ("accepted", "cancelled")


@pytest.mark.every_database
def test_who_is_named_by_results_alone_is_found(site: Site) -> None:
    """A department's member who was refused, pressed, or confirmed."""
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="zhang.san"))
    refused_one = site.send("a", To(parties=["7"]))
    site.run()
    confirmed = site.send("b", To(parties=["7"]))
    site.run()
    with site.database.writing() as connection:
        store_confirmations(connection, f"{confirmed}-0", [Confirmation("Zhang.San", "", 2)], 1)
    site.sql("update worker_failures set part_id = :part", part=f"{refused_one}-0")
    erased(site)
    assert where(site, "zhang.san") == []


@pytest.mark.every_database
@pytest.mark.parametrize(("who", "stored"), [("ärger", "ÄRGER"), ("lisi", "ＬｉＳi"), ("ｌisi", "LISI")])
def test_results_name_a_person_in_any_case_and_width(site: Site, who: str, stored: str) -> None:
    """Not as the database's lower() has it, which on SQLite knows ASCII alone, and widths nowhere."""
    refused_one, confirmed, asked_for, pressed_one = (f"{site.send(name, 'other')}-0" for name in "abcd")
    failure = {"kind": "user", "recipient_key": stored.lower(), "field": "invaliduser", "errcode": 0, "failed_at": 1}
    code = {"id": "c", "source": "send", "code": "c", "state": "fresh", "issued_at": 1, "ends_at": 2}
    with site.database.writing() as connection:
        connection.execute(insert(tables.failures), failure | {"part_id": refused_one, "recipient": stored})
        store_confirmations(connection, confirmed, [Confirmation(stored, "", 2)], 1)
        store_confirmations(connection, asked_for, [Confirmation("other", stored, 1)], 1)
        connection.execute(insert(tables.response_codes), code | {"part_id": pressed_one, "person": stored.lower()})

    found = find_person(who, database=site.database)

    assert found.ids == tuple(sorted(part[:-2] for part in (refused_one, confirmed, asked_for, pressed_one)))


@pytest.mark.fewer_databases("the comparison is made in Python")
def test_a_chat_of_the_person_is_forgotten_in_any_width(site: Site) -> None:
    """Whoever a callback named with other characters."""
    with site.database.writing() as connection:
        news = ChatNews("ｚhang.san", "single", person="ｚhang.san")
        store_delivery(connection, site.database.now, replace(spoken(), inbound=replace(spoken().inbound, chat=news)))

    assert erased(site).counts["chats"] == 1


def test_what_is_alike_is_told_apart(site: Site) -> None:
    """A department, a mention, a type, a number of the vendor's with the same letters; keys that become equal."""
    keys = [site.send(f"{n}", "x", dedupe_key=f"{n}x"[1:] + key) for n, key in enumerate(("-X", "-x", "-ｘ"))]
    job = site.send("<@x.y> <@x> text x", To(["x", "y"], parties=["7"]))
    seven = site.send("text", To(["7"], parties=["7"]))
    site.run()
    assert erased(site, "x").counts["jobs"] == 4
    erased(site, "7")
    erased(site, "text")
    assert "<@x.y>" in site.job(job).message
    assert "<@x>" not in site.job(job).message
    assert '"parties":["7"]' in site.job(seven).recipients
    assert '"type":"text"' in site.job(job).message.replace(" ", "")
    assert len({site.job(one).dedupe_key for one in keys}) == 3


@pytest.mark.every_database
def test_what_is_followed_is_left_until_its_follower_has_ended(site: Site) -> None:
    """A follower that goes on would write the person again."""
    job = site.send("a", WHO)
    site.run()
    recall = site.recall(job, due_at=3_600)
    assert (erased(site).counts["jobs"], erased(site).counts["unchanged"]) == (0, 1)
    site.advance(3_601)
    site.run()
    assert site.state(recall) == "accepted"
    assert ((done := erased(site).counts)["jobs"], done["unchanged"]) == (1, 0)


@pytest.mark.every_database
def test_a_file_that_others_name_stays(site: Site) -> None:
    """Also an upload of its own; what is said of it stays without the id."""
    theirs = site.upload(PNG + b"shared")
    mine = site.ask(Image(file=File(PNG + b"shared", "Zhang.San.png")), WHO)
    for _ in range(3):
        site.run()
    erased(site)
    assert site.job(mine).message == "{}"
    assert "{}" != site.job(theirs).message
    assert len(site.rows("select id from worker_blobs")) == 1


def test_a_callback_whose_hook_has_yet_to_run_is_left(site: Site) -> None:
    """At least once is at least once."""
    with site.database.writing() as connection:
        store_delivery(connection, site.database.now, replace(spoken(), hooked=True))
    assert ((done := erased(site).counts)["callbacks"], done["unhandled"]) == (0, 1)
    site.sql("update worker_events set state = 2, ended_at = 1, due_at = null")
    assert erased(site).counts["callbacks"] == 1


# -- by age ------------------------------------------------------------------------------------------------------------


def empty(site: Site) -> int:
    return keep_house(site.database, RetentionSettings(content_days=5)).get("content", 0)


def indexed(site: Site) -> None:
    while index_batch(site.database):
        pass


@pytest.mark.every_database
def test_text_and_recipients_go_before_ids_and_receipts(site: Site) -> None:
    """Counts and msgids stay; each job is emptied once."""
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="lisi"))
    old = site.send("secret text", To(["lisi", "wangwu"]))
    site.run()
    picture = site.image(PNG + b"portrait", "wangwu")
    for _ in range(3):
        site.run()
    site.vendor.says(lost())
    doubt = site.send("secret doubt", "wangwu", duplicate_check=False)
    site.run()
    site.advance(60)
    site.recover()
    before = counts(site, old)
    site.advance(3 * 86_400)
    young = site.send("young text", "wangwu")
    site.run()
    indexed(site)
    site.advance(3 * 86_400)

    assert 2 <= empty(site) <= 3, "the send, the picture, and its upload"
    assert empty(site) == 0

    assert before == counts(site, old)
    assert where(site, "secret text", "lisi", "portrait") == []
    assert ("secret doubt" in site.job(doubt).message, "wangwu" in site.job(young).recipients) == (True, True)
    with pytest.raises(NotReplayable, match="is no longer kept; enqueue it anew"):
        site.replay(old)
    assert [row.msgid for row in site.of("receipts", old)] == ["m1"]
    assert site.job(picture).message == "{}"


def test_a_recall_by_its_msgid_is_not_replayed_without_it(site: Site) -> None:
    """The msgid of another program's message is all the content that the recall has."""
    site.vendor.says(refused(50009))
    with site.database.writing() as connection:
        job = recall_message(connection, "hr", "m-of-others", accounts=site.accounts).id
    site.run()
    indexed(site)
    site.advance(6 * 86_400)
    assert empty(site) == 1

    with pytest.raises(NotReplayable, match="is no longer kept; enqueue it anew"):
        site.replay(job)


def test_the_first_job_is_emptied_though_its_producers_clock_was_ahead(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended, by the database's clock, in an hour before the one in which its id was made."""
    site.clock.micros = site.clock.micros // 3_600_000_000 * 3_600_000_000
    ahead = uuid.UUID(int=((site.clock.micros // 1000) << 80) | 7 << 76)
    monkeypatch.setattr(plan.uuid_utils, "uuid7", lambda: ahead)
    site.clock.advance(-300)
    job = site.send("secret text", "wangwu")
    site.run()
    indexed(site)
    site.advance(6 * 86_400)

    assert empty(site) == 1
    assert site.job(job).message == "{}"


def test_no_hour_is_passed_before_it_is_indexed(site: Site) -> None:
    """A backlog of the index delays, and skips nothing."""
    job = site.send("secret text", "wangwu")
    site.run()
    site.advance(6 * 86_400)
    assert empty(site) == 0
    indexed(site)
    assert empty(site) == 1
    assert site.job(job).message == "{}"


def test_what_was_followed_in_its_hour_goes_with_its_follower(site: Site) -> None:
    """A recall that was due later, say."""
    job = site.send("secret text", "wangwu")
    site.run()
    site.recall(job, due_at=8 * 86_400)
    indexed(site)
    site.advance(6 * 86_400)
    assert empty(site) == 0
    site.advance(3 * 86_400)
    site.run()
    indexed(site)
    site.advance(6 * 86_400)
    assert 1 <= empty(site)
    assert site.job(job).message == "{}"


@pytest.mark.every_database
def test_what_held_its_order_is_emptied_once_the_order_goes_on(site: Site) -> None:
    """Its hour was done long ago; until then its text may be sent again in its place."""
    site.vendor.says(*[busy()] * 4)
    first, second = site.send("secret text", order_key="o"), site.send("behind it", order_key="o")
    for _ in range(5):
        site.run()
        site.advance(900)
    indexed(site)
    site.advance(6 * 86_400)
    before = site.state(first), site.state(second), empty(site), empty(site), "secret" in site.job(first).message
    skip(site.database, first)
    after = empty(site), empty(site)
    indexed(site)

    assert before == ("exhausted", "queued", 0, 0, True)
    assert (after, site.job(first).message) == ((1, 0), "{}")
    assert empty(site) == 0


@pytest.mark.parametrize("done_before", [True, False])
def test_what_a_person_decided_late_is_emptied_by_its_new_end(site: Site, done_before: bool) -> None:
    """Its first hour was done long ago, or is being done."""
    site.vendor.says(lost())
    doubt = site.send("secret doubt", "wangwu", duplicate_check=False)
    site.run()
    site.advance(60)
    site.recover()
    indexed(site)
    site.advance(9 * 86_400)
    if done_before:
        assert empty(site) == 0
    resolve(
        find_unknown(JobFilter(ids=[doubt]), database=site.database),
        sent=True,
        why="seen",
        person="zhang",
        database=site.database,
    )
    assert empty(site) == 0, "also not before it is indexed by its new end"
    indexed(site)
    site.advance(6 * 86_400)
    assert empty(site) == 1
    assert site.job(doubt).message == "{}"


@pytest.mark.fewer_databases("no database is asked")
@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("zhang3", "-"),
        ("ZHANG3.", "-."),
        ("你好zhang3请", "你好-请"),
        ("ｚｈａｎｇ３ (ＺＨＡＮＧ3)", "- (-)"),
        ("zhang33 azhang3 zhang3_x", "zhang33 azhang3 zhang3_x"),
        ('{"touser":"zhang3|lisi"}', '{"touser":"-|lisi"}'),
        ("zhang3@corp.com, order-zhang3-7", "-@corp.com, order---7"),
    ],
)
def test_an_id_is_found_wherever_it_stands_by_itself(text: str, left: str) -> None:
    """In any case and width."""
    assert left == of_person("Zhang3", "-").in_texts(text)
