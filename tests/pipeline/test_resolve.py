"""A person's word about parts in doubt: it counts as the answer that never came."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.reads import rows_read
from tests.support.runtime import RECALL, UPDATE, Site, an_account, lost, planted
from worker import CardUpdate, NewJob, Text, To, enqueue_many, find_jobs, update_card_by_code
from worker.config.places import UrlFrom
from worker.config.settings import Settings
from worker.control import resolve as resolving
from worker.control.audit import CommandResult, list_audit
from worker.control.resolve import UnchangedReason, UnknownParts, find_unknown, resolve
from worker.domain.call import CallResult
from worker.domain.errors import CheckFailed, ConfigurationError
from worker.domain.job import part_id
from worker.domain.job_filter import JobFilter
from worker.domain.outcome import Accepted, CallReceipt, Verdict
from worker.domain.settle import Policy
from worker.domain.state import JobState
from worker.outbox.commit.commands import CallEnd, Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.control.unknowns import doubtful_calls, unknown_parts
from worker.outbox.engine.clock import DrivenClock, micros_of
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.upkeep import gauges

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

HOOKS = Settings(hooks="shop.hooks")
"""Of the process that is no worker: it does not load the module."""


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock, accounts=[an_account(), an_account("it")]) as planted_site:
        yield planted_site


def say(site: Site, *ids: str, sent: bool, msgid: str | None = None, **options: Any) -> CommandResult:
    """The word about ids, or about what a filter has."""
    wanted = options.pop("wanted", None) or JobFilter(ids=ids)
    why, person = options.pop("why", "the vendor's log says so"), options.pop("person", "zhang")
    return resolve(
        find_unknown(wanted, force=True, database=site.database),
        sent=sent,
        msgid=msgid,
        why=why,
        person=person,
        **options,
        database=site.database,
    )


def update_by_code(site: Site, code: str) -> str:
    with site.database.writing() as connection:
        update = CardUpdate(replace_name="done")
        return update_card_by_code(connection, "hr", code, update, accounts=site.accounts).id


def receipts(site: Site, job: str) -> list[tuple[int, str | None]]:
    return [(row.claim, row.msgid) for row in site.of("receipts", job)]


def in_doubt(site: Site, count: int = 1, **options: Any) -> list[str]:
    """Sends whose call got no answer."""
    site.vendor.says(*[lost()] * count)
    jobs = [site.send(f"doubt {n}", f"d{n}", on_unknown="hold", **options) for n in range(count)]
    for job in jobs:
        site.ring(job)
    return jobs


def repeated_since_found(site: Site, *answers: CallResult) -> tuple[str, UnknownParts]:
    """A send, and what was found while its first call was in doubt; it was repeated after that."""
    site.vendor.says(*answers)
    job = site.send()
    site.ring(job)
    found = find_unknown(JobFilter(account="hr"), force=True, database=site.database)
    site.advance(60)
    site.recover()
    site.run()
    return job, found


def test_sent_ends_it_accepted_and_its_msgid_can_be_recalled(site: Site) -> None:
    """The receipt says whose word it is."""
    [job] = in_doubt(site)

    decided = say(site, job, sent=True, msgid="m-17")
    recall = site.recall(job)
    site.run()

    assert decided.counts == {"decided": 1}
    assert "accepted" == site.job(job).state == site.state(recall)
    [receipt] = site.of("receipts", job)
    assert ("m-17", f"sent, confirmed by a person (audit {decided.audit})") == (receipt.msgid, receipt.warning)
    assert site.bodies(RECALL) == [{"msgid": "m-17"}]


def test_not_sent_ends_it_rejected_and_it_can_be_replayed(site: Site) -> None:
    """Both calls of a repeated part: the person speaks of the message."""
    site.vendor.says(lost(), lost())
    job = site.send()
    site.ring(job)
    site.advance(60)
    site.recover()
    site.ring(job)
    doubts = site.part(job).doubts

    decided = say(site, job, sent=False)
    again = site.replay(job)
    site.run()

    assert (doubts, decided.counts["decided"]) == (2, 1)
    assert (site.job(job).state, site.part(job).doubts) == ("rejected", 0)
    assert f"not sent, confirmed by a person (audit {decided.audit})" == site.part(job).reason
    assert site.job(again).state == "accepted"


def test_followers_of_an_order_go_on(site: Site) -> None:
    """Woken by the transaction that writes the word."""
    [job] = in_doubt(site, order_key="k")
    behind = site.send("behind", order_key="k")
    site.run()
    before = site.state(behind)

    say(site, job, sent=True)
    site.run()

    assert (before, site.state(behind)) == ("queued", "accepted")


@pytest.mark.parametrize(("sent", "ends"), [(True, ("accepted", "rejected")), (False, ("rejected", "accepted"))])
def test_a_follow_up_that_waits_goes_on(site: Site, sent: bool, ends: tuple[str, str]) -> None:
    """Without the card's lost response_code it cannot be updated; of a card that was not sent nothing is to update."""
    site.vendor.says(lost())
    card = site.card()
    site.ring(card)
    update = site.update(card)
    site.run()
    before = (site.state(card), site.part(update).waits_on)

    say(site, card, sent=sent)
    site.run()

    assert ("unknown", card) == before
    assert ends == (site.state(card), site.state(update))
    assert not sent or "brought no response_code" in site.part(update).reason


def test_a_lost_recall_was_carried_out(site: Site) -> None:
    """The message that it takes back counts as recalled."""
    job = site.send()
    site.run()
    recall = site.recall(job)
    site.vendor.says(lost())
    site.run()

    say(site, recall, sent=True)

    assert site.state(recall) == "accepted"
    assert site.of("receipts", job)[0].recalled_at is not None


@pytest.mark.every_database
def test_hooks_hear_of_it(site: Site) -> None:
    """As of an answer; before the first worker process, if the settings name hooks."""
    first, second = in_doubt(site, 2)
    site.sql("delete from worker_processes")

    say(site, first, sent=True)
    say(site, second, sent=True, settings=HOOKS)

    assert [second] == [row.job_id for row in site.rows("select job_id from worker_events")]


@pytest.mark.every_database
@pytest.mark.parametrize("given", [False, True], ids=["of the card", "by code"])
@pytest.mark.parametrize(("sent", "left"), [(True, "spent"), (False, "fresh")])
def test_the_code_of_an_update_in_doubt_is_settled(site: Site, sent: bool, left: str, given: bool) -> None:
    """Spent with an update that was made; good for another one where it was not."""
    card = site.card()
    site.run()
    site.vendor.says(lost())
    update = update_by_code(site, "code-1") if given else site.update(card)
    site.run()
    before = {row.state for row in site.rows("select state from worker_response_codes where leased_by is not null")}

    say(site, update, sent=sent)
    after = {row.state for row in site.rows("select * from worker_response_codes") if given == (row.source == "given")}

    assert ({"burned"}, {left}) == (before, after)
    if not sent:
        again = site.replay(update)
        site.run()
        assert (site.state(again), len(site.calls(UPDATE))) == ("accepted", 2)


def test_the_answer_that_comes_after_all_is_kept(site: Site) -> None:
    """A process that was cut off brings it: the receipt gets its msgid, and what was said not to be sent has one too.

    The attempt had stayed as it was, with what the vendor had said.
    """
    said, denied = in_doubt(site, 2, duplicate_check=False)
    attempts = [site.of("attempts", job) for job in (said, denied)]
    say(site, said, sent=True, msgid="a wrong one")
    say(site, denied, sent=False)
    unchanged = [site.of("attempts", job) for job in (said, denied)]

    for job, msgid in ((said, "m-1"), (denied, "m-2")):
        incarnation = site.of("attempts", job)[0].incarnation
        verdict = Verdict(Accepted(CallReceipt(msgid=msgid)), errcode=0)
        late = CallEnd(part_id(job, 0), 1, incarnation, verdict, 5, http_status=200)
        commit(site.database, [late, late], Policy())

    assert attempts == unchanged
    assert (receipts(site, said), receipts(site, denied)) == ([(1, "m-1")], [(1, "m-2")])
    assert (site.state(said), site.state(denied)) == ("accepted", "rejected")
    for job in (said, denied):
        site.recall(job)
    site.run()
    assert sorted(site.bodies(RECALL), key=str) == [{"msgid": "m-1"}, {"msgid": "m-2"}]
    assert [bool(site.of("attempts", job)[0].doubtful) for job in (said, denied)] == [False, False]


def test_what_ended_since_it_was_found_is_left(site: Site) -> None:
    """Its repeat was accepted while the person read the list: nothing of it changes, and none is added to the list."""
    job, found = repeated_since_found(site, lost())
    [later] = in_doubt(site)
    kept = (site.part(job), receipts(site, job))

    done = resolve(found, sent=False, why="why", person="zhang", database=site.database)

    assert done.counts == {UnchangedReason.NOT_IN_DOUBT: 1}
    assert kept == (site.part(job), receipts(site, job))
    assert (site.state(job), site.state(later)) == ("accepted", "unknown")


@pytest.mark.parametrize("sent", [True, False])
def test_a_repeat_in_flight_decides_for_itself(site: Site, sent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was marked between the reading and the lock: what it brings counts, and of the word nothing is left."""
    site.vendor.says(lost())
    job = site.send()
    site.ring(job)

    def marked_meanwhile(*given: Any) -> Any:
        calls = doubtful_calls(*given)
        site.advance(60)
        site.recover()
        commit(site.database, [Mark(part_id(job, 0), 1, "other", 20_000_000)], Policy())
        return calls

    monkeypatch.setattr(resolving, "doubtful_calls", marked_meanwhile)
    decided = say(site, job, sent=sent)

    assert decided.counts == {UnchangedReason.NOT_IN_DOUBT: 1}
    assert (site.state(job), site.part(job).doubts, receipts(site, job)) == ("sending", 1, [])


def test_a_repeat_that_was_lost_since_is_left(site: Site) -> None:
    """The person knew nothing of it, and it may have arrived: it is in doubt anew, for another look."""
    job, found = repeated_since_found(site, lost(), lost())
    before = site.part(job)

    done = resolve(found, sent=False, why="why", person="zhang", database=site.database)

    assert done.counts == {UnchangedReason.NOT_IN_DOUBT: 1}
    assert ("unknown", 2, before) == (before.state, before.doubts, site.part(job))
    assert say(site, job, sent=False).counts["decided"] == 1


def test_two_people_say_it(site: Site) -> None:
    """The first counts, and the audit of the second says that it did nothing."""
    jobs = in_doubt(site, 3)
    found = find_unknown(JobFilter(ids=jobs), force=True, database=site.database)

    first = resolve(found, sent=True, why="why", person="zhang", database=site.database)
    second = resolve(found, sent=False, why="why", person="li", database=site.database)

    assert (first.counts, second.counts) == ({"decided": 3}, {UnchangedReason.NOT_IN_DOUBT: 3})
    assert {site.state(job) for job in jobs} == {"accepted"}


@pytest.mark.every_database
def test_only_what_the_filter_has_is_found(site: Site) -> None:
    """By account, tag, kind, channel, time of the call, and ids; all that is given has to hold."""
    early, tagged = in_doubt(site, tags=["a,", "b"])[0], in_doubt(site, tags=[",", "lunch"])[0]
    site.advance(3_600)
    other = in_doubt(site, account="it", tags=["lunch"], order_key="k")[0]
    site.send("fine", tags=["lunch"])
    site.run()
    at = datetime.fromtimestamp(site.part(other).marked_at / 1_000_000, UTC)
    assert site.part(other).marked_at == micros_of(at)

    def of(**wanted: Any) -> set[str]:
        found = find_unknown(JobFilter(**wanted), force=True, database=site.database)
        assert len(found.ids) == sum(found.counts.values())
        return {part[:-2] for part in found.ids}

    assert {early, tagged, other} == of(kind="send") == of(channel="wecom_app")
    assert set() == of(kind="recall") == of(channel="youdu") == of(account="x") == of(tag="breakfast")
    assert {tagged} == of(tag=",") == of(tag="lunch", account="hr")
    assert {other} == of(called_from=at) == of(tag="lunch", called_from=at)
    assert {early, tagged} == of(called_before=at)
    assert {early} == of(ids=[early]) == of(ids=[part_id(early, 0)]) == of(ids=[early, "0" * 32], account="hr")
    assert {tagged} == of(ids=[early, tagged], tag="lunch") == of(ids=[tagged, other], called_before=at)
    found = find_unknown(JobFilter(kind="send"), force=True, database=site.database)
    assert (found.counts, found.breakdown) == ({("hr", "send"): 2, ("it", "send"): 1}, {"ordered": 1, "forced": 3})


@pytest.mark.every_database
def test_what_settles_by_itself_is_no_task(site: Site) -> None:
    """One is to be repeated, one is held; whoever decides about the first gives its repeat up, and has to say so."""
    [held, settling] = in_doubt(site, 2)
    site.sql("update worker_parts set not_before = null where id = :id", id=part_id(held, 0))

    found = find_unknown(JobFilter(account="hr"), database=site.database)
    with site.database.reading() as connection:
        lists = [[job.id for job in find_jobs(connection, held=held).jobs] for held in (True, False, None)]
        named = find_jobs(connection, JobFilter(ids=[settling]), held=True).jobs
        counted = gauges.called_parts(connection)
    decided = say(site, settling, sent=True)
    site.advance(60)
    site.recover()
    site.run()

    assert ((part_id(held, 0),), {"settling": 1}) == (found.ids, found.breakdown)
    assert [[held], [settling], [settling, held]] == lists
    assert named == ()
    assert counted == {("hr", "held"): 1, ("hr", "settling"): 1}
    assert (decided.counts, site.state(settling), len(site.calls())) == ({"decided": 1}, "accepted", 2)


def test_what_cannot_be_decided_is_told(site: Site) -> None:
    """An upload is nothing without its media_id; a part may have no lost call; what does not exist is not counted."""
    site.vendor.says(lost())
    upload = site.upload()
    site.ring(upload)
    [odd, fine] = in_doubt(site, 2)
    site.sql("delete from worker_attempts where part_id = :id", id=part_id(odd, 0))
    accepted = site.send()
    site.ring(accepted)

    decided = say(site, upload, odd, part_id(fine, 0), accepted, "0" * 32, sent=True)
    not_sent = say(site, upload, sent=False)

    assert decided.counts == {"decided": 1, UnchangedReason.NO_MEDIA_ID: 1, UnchangedReason.NOT_IN_DOUBT: 1}
    assert not_sent.counts == {"decided": 1}
    assert [site.state(job) for job in (upload, odd, fine)] == ["rejected", "unknown", "accepted"]


def test_a_group_send_needs_its_msgid(site: Site) -> None:
    """With it no search for another send takes this one's task for its own."""
    [job] = in_doubt(site)
    site.sql("update worker_jobs set channel = 'wecom_external' where id = :id", id=job)

    without, given = say(site, job, sent=True), say(site, job, sent=True, msgid="m-5")

    assert (without.counts, given.counts) == ({UnchangedReason.NO_MSGID: 1}, {"decided": 1})
    assert [("hr", "m-5", part_id(job, 0))] == [
        (row.account, row.task_id, row.part_id) for row in site.rows("select * from worker_task_ids")
    ]


def test_documents_that_cannot_be_read_stop_no_other(site: Site) -> None:
    """Whether it needs a msgid is not known, so it does; that it was not sent needs nothing."""
    odd, fine = in_doubt(site, 2)
    site.sql("update worker_parts set spec = '[' where id = :id", id=part_id(odd, 0))

    sent, not_sent = say(site, odd, fine, sent=True), say(site, odd, sent=False)

    assert (sent.counts, not_sent.counts) == ({"decided": 1, UnchangedReason.NO_MSGID: 1}, {"decided": 1})


def test_some_were_refused_and_the_others_got_it(site: Site) -> None:
    """The vendor's answer named some, and left the others open: with the word the job is partial."""
    [job] = in_doubt(site)
    site.sql(
        "insert into worker_failures (part_id, kind, recipient_key, recipient, field, errcode, failed_at)"
        " values (:part, 'user', 'd0', 'd0', 'invaliduser', 0, 1)",
        part=part_id(job, 0),
    )

    say(site, job, sent=True)

    assert site.job(job).state == "partial"


def test_it_goes_on_in_lots(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a transaction; the counts of the audit follow it, and an error leaves it without an end."""
    monkeypatch.setattr(resolving, "BATCH_SIZE", 2)
    jobs = in_doubt(site, 5)
    seen: list[Any] = []

    def stop(done: int) -> None:
        with site.database.reading() as connection:
            [entry] = list_audit(connection)
        seen.append((done, entry.counts, entry.ended_at))
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        say(site, *jobs, sent=True, progress=stop)
    cut = [site.state(job) for job in sorted(jobs)]
    again = say(site, *jobs, sent=True)

    assert seen == [(2, {"decided": 2}, None), (4, {"decided": 4}, None)]
    assert cut == [*["accepted"] * 4, "unknown"]
    assert again.counts == {"decided": 1}


def test_the_audit_says_who_and_why(site: Site) -> None:
    """And what was asked for, and how much of it was done; also where nothing was."""
    [job] = in_doubt(site)
    say(site, job, sent=True, msgid="m")
    say(site, wanted=JobFilter(tag="lunch", called_from=datetime(2026, 1, 1, tzinfo=UTC)), sent=False)
    with site.database.reading() as connection:
        newest, oldest = list_audit(connection)

    assert (oldest.action, oldest.person, oldest.why) == ("resolve", "zhang", "the vendor's log says so")
    assert {"filter": {"ids": [job]}, "sent": True, "msgid": "m"} == oldest.arguments
    assert oldest.counts == {"decided": 1}
    assert newest.arguments == {"filter": {"tag": "lunch", "called_from": "2026-01-01T00:00:00+00:00"}, "sent": False}
    assert newest.counts == {}
    assert newest.ended_at is not None
    assert timedelta(0) <= newest.ended_at - newest.began_at < timedelta(seconds=1)


@pytest.mark.every_database
def test_a_database_of_its_own_is_opened_and_closed(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the settings, whose hooks hear of it; tables of another release are refused."""
    opened, closed = list[Database](), list[Database]()
    close = Database.close
    monkeypatch.setattr(Database, "close", lambda database: (closed.append(database), close(database)))
    settings = Settings(database=UrlFrom(url=database_url), hooks="app.hooks")
    ends = {"hr": frozenset({JobState.REJECTED})}
    with closing(Database(make_engine(database_url))) as own, planted(own, DrivenClock(), hooked_ends=ends) as site:
        [job] = in_doubt(site)
        monkeypatch.setattr(
            "worker.control.opening.Database", lambda engine: opened.append(Database(engine)) or opened[-1]
        )
        found = find_unknown(JobFilter(account="hr"), force=True, settings=settings)
        done = resolve(found, sent=False, why="why", person="zhang", settings=settings)
        (tmp_path / "e.db").touch()
        with pytest.raises(ConfigurationError, match="run `worker db upgrade`"):
            find_unknown(
                JobFilter(account="hr"),
                force=True,
                settings=Settings(database=UrlFrom(url=f"sqlite:///{tmp_path}/e.db")),
            )

        assert (done.counts["decided"], site.state(job)) == (1, "rejected")
        assert [job] == [row.job_id for row in site.rows("select job_id from worker_events")]
    assert len(opened) == 3
    assert set(opened) <= set(closed)


@pytest.mark.every_database
def test_parts_in_doubt_are_found_without_a_look_at_the_others(site: Site) -> None:
    """Three of 603: the cost does not grow with what has ended."""
    jobs = in_doubt(site, 3)
    with site.database.writing() as connection:
        new = [NewJob("hr", Text(content=f"{n}"), To(users=[f"u{n}"])) for n in range(600)]
        enqueue_many(connection, new, accounts=site.accounts)
    site.sql("update worker_parts set state = 2 where state = 0")
    random.shuffle(jobs)
    filters = [JobFilter(account="hr"), JobFilter(ids=jobs), JobFilter(called_from=datetime(2020, 1, 1, tzinfo=UTC))]

    read = [rows_read(site.database, lambda c, w=wanted: unknown_parts(c, w, 100)) for wanted in filters]  # type: ignore[misc]
    read.append(rows_read(site.database, lambda c: doubtful_calls(c, [part_id(job, 0) for job in jobs])))

    assert max(read) < 60, read


@pytest.mark.fewer_databases("checks of arguments")
def test_wrong_words_are_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written."""
    first, second = in_doubt(site, 2)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"sent": True, "msgid": "m"}, "msgid: is of one part .*limit 1 parts in doubt, found 2"),
        ({"sent": True, "msgid": " "}, "msgid: is not a text with something in it"),
        ({"sent": True, "msgid": "a\x00"}, "msgid: holds a NUL"),
        ({"sent": False, "msgid": "m"}, "msgid: is of a message that was not sent"),
        ({"sent": True, "why": " "}, "why: has no content"),
        ({"sent": True, "why": "x" * 301}, "why: is too long .*limit 300"),
        ({"sent": True, "person": "x" * 129}, "person: is too long"),
        ({"sent": True, "person": ""}, "person: has no content"),
        ({"sent": True, "why": "a\x00"}, "why: holds a NUL"),
    ]
    for options, text in cases:
        with pytest.raises(CheckFailed, match=text):
            say(site, first, second, **options)
    filters: list[tuple[dict[str, Any], str]] = [
        ({}, "filter: has no content"),
        ({"ids": []}, "filter: has no content"),
        ({"ids": [], "account": "hr"}, "ids: are empty"),
        ({"ids": [f"a{n}" for n in range(1_001)]}, "ids: are too many"),
        ({"ids": [7]}, "job_id: is a int"),
        ({"called_from": datetime(2026, 1, 1)}, "called_from: is not an aware datetime"),
        ({"account": ""}, "account: has no content"),
        ({"kind": " ", "tag": "lunch"}, "kind: has no content"),
    ]
    for given, text in filters:
        with pytest.raises(CheckFailed, match=text):
            JobFilter(**given)
    monkeypatch.setattr(resolving, "MAX_UNKNOWN", 1)
    for account in ("hr", "it"):
        with pytest.raises(CheckFailed, match="filter: would look through too many parts in doubt"):
            find_unknown(JobFilter(account=account), force=True, database=site.database)
    assert len(find_unknown(JobFilter(ids=[first, second]), force=True, database=site.database).ids) == 2

    assert site.rows("select id from worker_audit") == []
    assert (site.state(first), site.state(second)) == ("unknown", "unknown")
