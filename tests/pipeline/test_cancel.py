"""A cancelled job: nothing of it is sent any more, whoever forgets that it was cancelled."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.reads import rows_read
from tests.support.runtime import RECALL, UPLOAD, Site, an_account, busy, lost, planted, refused
from worker import (
    Chats,
    Customers,
    Everyone,
    NewJob,
    Text,
    To,
    enqueue_many,
    external,
    find_jobs,
    get_job,
    webhook,
    youdu,
)
from worker.channels.registry import channel
from worker.config.places import UrlFrom
from worker.config.settings import Settings
from worker.control import recall as recalling
from worker.control.audit import AuditEntry, CommandResult, FollowUpCount, list_audit
from worker.control.cancel import ApplyChanges, Revocations, cancel, find_open, mark_jobs
from worker.control.correct import correct_jobs, find_correctable
from worker.control.recall import recall_jobs
from worker.domain.account import Account, Secret
from worker.domain.call import CallResult, Request
from worker.domain.callbacks.hook import ALL_ENDS
from worker.domain.content.message import Message
from worker.domain.content.recipient import Recipients
from worker.domain.errors import CheckFailed, ConfigurationError
from worker.domain.job import part_id
from worker.domain.job_filter import JobFilter
from worker.domain.outcome import Accepted, CallReceipt, Retry, Verdict
from worker.domain.settle import Policy
from worker.domain.state import JobState
from worker.outbox.commit.commands import CallEnd, Deferral, Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.control.cancels import open_parts
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.jobs.loading import JobPart, load_parts

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

DAY = timedelta(days=1)
NOT_SENT = "cancelled before it was sent"


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process."""
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def stop(site: Site, *ids: str, **options: Any) -> CommandResult:
    """Jobs by their ids, or what a filter has, as from another process."""
    wanted = options.pop("wanted", None) or JobFilter(ids=ids)
    return cancel(
        find_open(wanted, database=site.database), person="zhang", why="wrong text", **options, database=site.database
    )


def test_a_job_of_tomorrow_is_cancelled_today(site: Site) -> None:
    """In its rows: no process has to know of it."""
    job = site.send(due_at=DAY)

    done = stop(site, job)
    before = site.state(job)
    site.advance(DAY.total_seconds())
    site.run()

    assert (before, site.part(job).reason, site.calls()) == ("cancelled", NOT_SENT, [])
    assert (site.job(job).state, done.counts, done.jobs) == ("cancelled", {"jobs": 1, "cancelled": 1}, ())


@pytest.mark.parametrize("answer", ["for now", "never left", "accepted"])
def test_the_answer_of_a_call_in_flight_counts(site: Site, answer: str) -> None:
    """Refused for now, or never left: cancelled with the answer, in the same transaction. Accepted is accepted."""
    job = site.send()

    def cancelled_meanwhile(request: Request) -> CallResult:
        nonlocal done
        done = stop(site, job)
        return busy() if answer == "for now" else site.vendor.takes(request)

    done: CommandResult | None = None
    if answer == "never left":
        stop_when_marked(site, job)
    else:
        site.vendor.says(cancelled_meanwhile)
    site.ring(job)

    assert ("accepted" if answer == "accepted" else "cancelled") == site.state(job) == site.job(job).state
    assert done is None or done.counts == {"jobs": 1, "sending": 1}


def stop_when_marked(site: Site, job: str) -> None:
    """The job is cancelled behind the mark of its call, and the process may not make the call any more."""
    site.runtime.checkpoint = lambda label: label == "after_mark" and (stop(site, job), site.runtime.lease.end())


@pytest.mark.every_database
def test_what_waits_in_a_hand_is_not_marked(site: Site) -> None:
    """Loaded by a doorbell that sends another part first, while a command is behind its first transaction."""
    first, second = site.send("first"), site.send("second")

    def cancelled_meanwhile(request: Request) -> CallResult:
        mark_jobs(site.database, [second])
        return site.vendor.takes(request)

    site.vendor.says(cancelled_meanwhile)
    site.ring(first, second)
    site.run()

    assert ([site.state(first), site.state(second)], len(site.calls())) == (["accepted", "cancelled"], 1)


def test_what_is_in_doubt_is_not_repeated(site: Site) -> None:
    """It may have been sent, so it is held as unknown for a person."""
    job = site.send()
    site.vendor.says(lost())
    site.ring(job)

    done = stop(site, job)
    site.advance(60)
    site.recover()
    site.run()

    assert done.counts == {"jobs": 1, "unknown": 1}
    assert (site.state(job), site.part(job).not_before, len(site.calls())) == ("unknown", None, 1)


def test_a_part_that_was_not_seen_is_not_sent(site: Site) -> None:
    """Added since, or the process that cancelled died behind its first transaction: its sender sees the job's mark."""
    fresh, doubtful = site.send("one"), site.send("two")
    site.vendor.says(lost())
    site.ring(doubtful)

    assert {fresh, doubtful} == mark_jobs(site.database, [fresh, doubtful])
    site.run()
    site.advance(60)
    site.recover()
    site.run()

    assert ([site.state(fresh), site.state(doubtful)], len(site.calls())) == (["cancelled", "unknown"], 1)
    assert site.part(doubtful).reason == "read_timeout; held: its job was cancelled"
    assert not mark_jobs(site.database, [fresh, doubtful]), "once"


def test_nothing_is_left_for_later(site: Site) -> None:
    """A part that is taken apart before its call, while its job is being cancelled."""
    job = site.send("text", To(["anna", "bob"]))
    mark_jobs(site.database, [job])

    narrowing = Deferral(part_id(job, 0), 0, '{"users": ["anna"]}', '{"users": ["bob"]}', 1_000_000, "member")
    commit(site.database, [narrowing], Policy())

    assert site.state(job) == "cancelled"
    assert (site.job(job).n_open, site.job(job).n_cancelled) == (0, 1)


PARTS = "select * from worker_parts where job_id = :job order by n"


@pytest.mark.every_database
def test_a_follow_up_that_is_planned_meanwhile_adds_nothing(site: Site) -> None:
    """Its sender has read it before the mark; a recall of two messages would become two parts."""
    job = site.send(to=To([f"u{n}" for n in range(1_001)]))
    site.run()
    recall = site.recall(job)
    found = load_part(site, recall)

    mark_jobs(site.database, [recall])
    site.runtime.follow_ups.recall(found, channel("wecom_app"), an_account())
    stopped = stop(site, recall)

    assert (stopped.counts, len(site.rows(PARTS, job=recall))) == ({"jobs": 1, "cancelled": 1}, 1)


def load_part(site: Site, job: str) -> JobPart:
    with site.database.reading() as connection:
        [found] = load_parts(connection, site.database.now, [part_id(job, 0)])
    return found


def test_a_repeat_is_not_left_behind_a_parked_account(site: Site) -> None:
    """No sender comes to see the mark: recovery holds what it would repeat."""
    job = site.send()
    site.vendor.says(lost())
    mark_when_called(site, job)
    site.ring(job)
    site.advance(60)
    site.recover()

    assert (site.state(job), site.part(job).not_before) == ("unknown", None)


def mark_when_called(site: Site, job: str) -> None:
    """The job is cancelled while its call is in flight, by a command that dies behind its first transaction."""
    site.runtime.checkpoint = lambda label: label == "after_mark" and mark_jobs(site.database, [job])


def test_a_late_answer_sends_nothing_again(site: Site) -> None:
    """Held in doubt when it was cancelled; then the answer comes: the vendor was too busy."""
    job = site.send(on_unknown="hold")
    site.vendor.says(lost())
    site.ring(job)
    site.advance(60)
    site.recover()
    held = site.part(job)

    done = stop(site, job)
    late = CallEnd(held.id, 1, held.incarnation, Verdict(Retry("system busy", busy=True)), 5)
    commit(site.database, [late], Policy())

    assert ((held.state, held.not_before), done.counts) == (("unknown", None), {"jobs": 1, "unknown": 1})
    assert (site.state(job), site.part(job).doubts) == ("cancelled", 0)


def test_an_upload_that_is_cancelled_is_made_again_for_those_who_wait(site: Site) -> None:
    """It belongs to the send that needed it first; a filter leaves it alone."""
    waiting = site.image()
    site.run(1)
    [upload] = site.rows("select id from worker_jobs where kind = 'upload'")
    recall = site.recall(site.send(due_at=DAY), due_at=DAY)

    assert {upload.id, recall}.isdisjoint(find_open(JobFilter(account="hr"), database=site.database).ids)
    assert (upload.id,) == find_open(JobFilter(kind="upload"), database=site.database).ids
    stop(site, upload.id)
    site.run()

    assert (site.job(upload.id).state, site.state(waiting)) == ("cancelled", "accepted")
    assert len(site.calls(UPLOAD)) == 1


def test_an_upload_in_doubt_that_is_cancelled_is_made_again(site: Site) -> None:
    """It is held, and the send that waits for it loses nothing: another upload does no harm."""
    site.vendor.says(lost())
    waiting = site.image()
    site.run(3)
    [upload] = site.rows("select id from worker_jobs where kind = 'upload'")
    before = site.state(upload.id)

    stop(site, upload.id)
    site.run()

    assert (before, site.state(upload.id), site.state(waiting)) == ("unknown", "unknown", "accepted")
    assert len(site.calls(UPLOAD)) == 2


def test_a_repeat_that_comes_back_is_held(site: Site) -> None:
    """Cancelled while its repeat is in flight, which a stale token sends back: no sender may come by again."""
    job = site.send()
    site.vendor.says(lost())
    site.ring(job)
    site.advance(60)
    site.recover()

    def cancelled_meanwhile(request: Request) -> CallResult:
        stop(site, job)
        return refused(42001, "access_token expired")

    site.vendor.says(cancelled_meanwhile)
    site.ring(job)

    assert (site.state(job), site.part(job).not_before, len(site.calls())) == ("unknown", None, 2)


def test_an_answer_in_between_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accepted after the parts were read: it is counted, and named for a recall."""
    job = site.send(to=To([f"u{n}" for n in range(1_001)]))
    commit(site.database, [Mark(part_id(job, 0), 0, "p", 1_000_000)], Policy())
    answer = CallEnd(part_id(job, 0), 1, "p", Verdict(Accepted(CallReceipt(msgid="m1"))), 5)

    def with_answer(*_: object) -> ApplyChanges:
        return lambda changes: commit(site.database, [answer, *changes], Policy())

    monkeypatch.setattr("worker.control.cancel.make_committer", with_answer)
    done = stop(site, job)

    assert ({"jobs": 1, "accepted": 1, "cancelled": 1}, (job,)) == (done.counts, done.jobs)


def test_what_cannot_be_read_is_held(site: Site) -> None:
    """An odd document keeps no other part from being ended."""
    odd, fine = site.send("one"), site.send("two", due_at=DAY)
    site.vendor.says(lost())
    site.ring(odd)
    site.sql("update worker_jobs set message = '{' where id = :id", id=odd)

    done = stop(site, odd, fine)

    assert (done.counts, site.part(odd).not_before) == ({"jobs": 2, "unknown": 1, "cancelled": 1}, None)


def test_those_behind_it_go_on(site: Site) -> None:
    """Its followers in an order, an update that waits for it, and hooks that listen."""
    first = site.send("first", order_key="k", due_at=timedelta(hours=1))
    behind = site.send("behind", order_key="k", due_at=timedelta(hours=1))
    card = site.card(due_at=DAY)
    update = site.update(card)
    site.run()
    waiting = site.state(update)

    site.sql("update worker_processes set hooks = :hooks", hooks=json.dumps({"ends": {"hr": [JobState.CANCELLED]}}))
    stop(site, first, card, settings=Settings(hooks="app.hooks"))
    site.advance(3_600)
    site.run()

    assert (waiting, site.state(update)) == ("queued", "accepted")
    assert (site.state(behind), len(site.calls())) == ("accepted", 1)
    assert {first, card} == {row.job_id for row in site.rows("select job_id from worker_events")}


def test_a_recall_can_be_cancelled_too(site: Site) -> None:
    """Any kind: the message that it was about stays."""
    job = site.send()
    site.run()
    recall = site.recall(job, due_at=DAY)

    done = stop(site, recall)
    site.advance(DAY.total_seconds())
    site.run()

    assert (site.state(recall), len(site.calls())) == ("cancelled", 1)
    assert (done.counts["jobs"], done.jobs) == (1, ())


def test_what_was_sent_is_told_and_how_it_is_taken_back(site: Site) -> None:
    """Two parts, one of which has gone: the counts add up, and the job is named for a recall."""
    job = site.send(to=To([f"u{n}" for n in range(1_001)]))
    site.bell.answer(site.part(job).lane, [part_id(job, 0)])
    site.settle()

    done = stop(site, job)
    site.run()

    assert (site.state(job, 0), site.state(job, 1), len(site.calls())) == ("accepted", "cancelled", 1)
    assert ({"jobs": 1, "accepted": 1, "cancelled": 1}, (job,)) == (done.counts, done.jobs)
    assert site.job(job).state == "partial"
    assert find_open(JobFilter(ids=[job]), database=site.database).ids == ()


HELLO = Text(content="hello")
ON_EACH_CHANNEL: list[tuple[str, Message, Recipients]] = [
    ("hr", HELLO, To(["anna"])),
    ("hr", HELLO, Everyone()),
    ("bot", webhook.Text(content="hello"), Chats("wrkA")),
    ("news", external.Campaign(text="hello"), Customers({"ann": ["wm1"]})),
    ("desk", youdu.Text(content="hello"), To(["anna"])),
]


@pytest.mark.parametrize(("account", "message", "to"), ON_EACH_CHANNEL, ids=lambda one: str(one)[:12])
def test_every_channel_obeys(
    database: Database, driven_clock: DrivenClock, account: str, message: Message, to: Recipients
) -> None:
    """Before the first byte, whether its parts are ended at once or found by a sender."""
    key = "633a31f6-0000-4bc4-97a0-0ec1eefaaaaa"
    aes = "RkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkY="
    accounts = [
        an_account(allow_everyone=True),
        Account("bot", "wecom_webhook", "http://vendor", {"edition": "push", "deadline_s": 20.0}, Secret(lambda: key)),
        Account("news", "wecom_external", "http://vendor", {"corpid": "ww1"}, Secret(lambda: "s")),
        Account("desk", "youdu", "http://vendor", {"buin": 1, "appid": "a"}, Secret(lambda: aes)),
    ]
    with planted(database, driven_clock, accounts=accounts) as site:
        ended, found = (site.ask(message, to, account=account) for _ in range(2))
        stop(site, ended)
        mark_jobs(site.database, [found])
        site.run()

        assert [site.state(ended), site.state(found)] == ["cancelled", "cancelled"]
        assert site.transport.calls == []


@pytest.mark.every_database
def test_only_what_the_filter_has_is_found(site: Site) -> None:
    """By tag, account, kind, channel and ids; of jobs that have ended nothing is left to be cancelled."""
    lunch = site.send("a", tags=["lunch", 'half "lunch'], due_at=DAY)
    odd = site.send("b", tags=['a"lunch', "%_!", "LUNCH"], due_at=DAY)
    other = site.send("c", account="it", due_at=DAY)
    ended = site.send("d", tags=["lunch"])
    site.run()

    def of(**wanted: Any) -> set[str]:
        return set(find_open(JobFilter(**wanted), database=site.database).ids)

    assert {lunch} == of(tag="lunch") == of(tag="lunch", account="hr") == of(ids=[lunch, ended, "0" * 32])
    assert {odd} == of(tag="%_!") == of(tag='a"lunch') == of(tag="LUNCH")
    assert set() == of(tag="_") == of(tag="lunch", account="it") == of(kind="recall") == of(channel="youdu")
    assert {lunch, odd, other} == of(kind="send") == of(channel="wecom_app")
    assert {other} == of(account="it") == of(ids=[lunch, other], account="it")
    found = find_open(JobFilter(kind="send"), database=site.database)
    assert (found.counts, found.breakdown) == ({("hr", "send"): 2, ("it", "send"): 1}, {"queued": 3})


def test_it_goes_on_in_lots(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut short in the middle: all are marked, so none is sent; given again it ends the rest."""
    monkeypatch.setattr("worker.control.cancel.JOB_BATCH", 2)
    monkeypatch.setattr("worker.control.cancel.MARK_BATCH", 3)
    monkeypatch.setattr("worker.control.cancel.CHANGE_BATCH", 1)
    jobs = [site.send(f"{n}", tags=["lunch"], due_at=DAY) for n in range(5)]
    seen: list[int] = []

    def dies(done: int) -> None:
        seen.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop(site, wanted=JobFilter(tag="lunch"), progress=dies)
    cut = sorted(site.state(job) for job in jobs)
    seen.clear()
    done = stop(site, wanted=JobFilter(tag="lunch"), progress=seen.append)
    with site.database.reading() as connection:
        again, first = list_audit(connection)

    assert cut == [*["cancelled"] * 2, *["queued"] * 3]
    assert (done.counts, seen) == ({"jobs": 3, "cancelled": 3}, [2, 3])
    assert first.counts == {"jobs": 5, "cancelled": 2}
    assert first.ended_at is None
    assert again.counts == {"cancelled": 3}
    assert (again.action, again.person, again.why) == ("cancel", "zhang", "wrong text")
    assert again.arguments == {"filter": {"tag": "lunch"}, "jobs": 3}
    assert again.ended_at is not None


@pytest.mark.every_database
def test_with_a_time_what_has_ended_is_told_too(site: Site) -> None:
    """All of a mailing since then is accounted for: what had gone, what was cancelled, and what a recall takes back."""
    old = site.send("old", tags=["lunch"])
    site.run()
    site.advance(3_600)
    gone = [site.send(f"{n}", tags=["lunch"]) for n in range(2)]
    site.run()
    waiting = site.send("late", tags=["lunch"], due_at=DAY)
    since = datetime.fromtimestamp(site.job(gone[0]).created_at / 1_000_000, UTC)

    found = find_open(JobFilter(tag="lunch", created_from=since), database=site.database)
    done = stop(site, wanted=JobFilter(tag="lunch", created_from=since))
    later = find_open(JobFilter(tag="lunch", created_from=since), database=site.database)

    assert (sorted([*gone, waiting]), {"ended": 2, "queued": 1}) == (sorted(found.ids), found.breakdown)
    assert done.counts == {"jobs": 1, "accepted": 2, "cancelled": 1}
    assert (set(gone), ()) == (set(done.jobs), later.ids)
    assert old not in found.ids


@pytest.mark.every_database
def test_a_time_brings_nothing_that_is_outside_of_the_filter(site: Site) -> None:
    """Neither what was not called then, nor what was enqueued since the parts were read."""
    called, waiting = site.send("called"), site.send("waiting", due_at=DAY)
    gone = site.send("gone")
    site.ring(gone)
    site.vendor.says(busy())
    site.ring(called)
    since = datetime(2020, 1, 1, tzinfo=UTC)

    found = find_open(JobFilter(account="hr", created_from=since, called_from=since), database=site.database)

    assert ((called,), 0) == (found.ids, found.breakdown.get("ended", 0))
    found = find_open(JobFilter(account="hr", created_from=since), database=site.database)
    assert (sorted([called, waiting, gone]), 1) == (sorted(found.ids), found.breakdown["ended"])


def test_ids_of_no_job_are_named(site: Site) -> None:
    """A mistyped id is no job that has ended."""
    job = site.send()

    found = find_open(JobFilter(ids=[job, job[:8], "0" * 32]), database=site.database)
    sent = recalling.find_sent(JobFilter(ids=[job, "0" * 32]), database=site.database)

    assert ((job,), (job[:8], "0" * 32), ("0" * 32,)) == (found.ids, found.missing, sent.missing)


# -- recalls of many ---------------------------------------------------------------------------------------------------


def take_back(site: Site, wanted: JobFilter) -> CommandResult:
    return recall_jobs(
        recalling.find_sent(wanted, database=site.database),
        person="zhang",
        why="wrong text",
        accounts=site.accounts,
        database=site.database,
    )


@pytest.mark.every_database
def test_a_mailing_is_taken_back(site: Site) -> None:
    """By its tag and the time. The command itself cancels what waits; its entry follows the recalls to their end."""
    mailing = [site.send(f"{n}", f"u{n}", tags=["lunch"]) for n in range(3)]
    other, elsewhere = site.send("other"), site.send("it", account="it", tags=["lunch"])
    site.run()
    waiting = site.send("late", tags=["lunch"], due_at=DAY)
    since = JobFilter(tag="lunch", account="hr", created_from=datetime(2020, 1, 1, tzinfo=UTC))

    found = recalling.find_sent(since, database=site.database)
    done = take_back(site, since)
    at_once, again = [site.job(waiting).state, last_entry(site).follow_ups[0].under_way], take_back(site, since)
    site.vendor.says(refused(42052, "too late"))
    site.run()

    assert (found.breakdown, at_once) == ({"waiting": 1, "sent": 3}, ["cancelled", 3])
    assert (done.counts, done.notes, again.counts) == ({"cancelled": 1, "recalls": 3}, {}, {})
    assert sorted(site.job(job).state for job in done.jobs) == ["accepted", "accepted", "rejected"]
    assert len(site.bodies(RECALL)) == 3
    assert [site.job(job).state for job in (waiting, other, elsewhere)] == ["cancelled", "accepted", "accepted"]
    assert sum(site.of("receipts", job)[0].recalled_at is not None for job in mailing) == 2
    first = last_entry(site, 1)
    assert (first.action, first.person, first.counts) == ("recall", "zhang", {"cancelled": 1, "recalls": 3})
    assert (FollowUpCount("recall", done=2, under_way=0, failed=1),) == first.follow_ups


def last_entry(site: Site, before: int = 0) -> AuditEntry:
    with site.database.reading() as connection:
        return list_audit(connection)[before]


def test_what_waits_behind_a_recall_of_an_application_is_cancelled(site: Site) -> None:
    """That recall stops it when its own turn comes; the command at once, and a second recall is not enqueued."""
    job = site.send("wrong", due_at=DAY)
    site.recall(job)

    found = recalling.find_sent(JobFilter(ids=[job]), database=site.database)
    done = take_back(site, JobFilter(ids=[job]))

    assert (((job,), {"waiting": 1}), {"cancelled": 1}) == ((found.ids, found.breakdown), done.counts)
    assert (site.state(job), recalling.find_sent(JobFilter(ids=[job]), database=site.database).ids) == ("cancelled", ())


def test_on_a_channel_without_recalls_what_waits_is_cancelled(site: Site) -> None:
    """What went stays, and the preview and the result say so."""
    site.accounts.replace(
        Account("bot", "wecom_webhook", "http://vendor", {"edition": "robot"}, Secret(lambda: "key-1"))
    )
    sent = site.ask(webhook.Text(content="one"), None, account="bot")
    site.run()
    waiting = site.ask(webhook.Text(content="two"), None, account="bot", due_at=DAY)

    found = recalling.find_sent(JobFilter(ids=[sent, waiting]), database=site.database)
    done = take_back(site, JobFilter(ids=[sent, waiting]))

    assert ((waiting,), {"waiting": 1, "not_recallable": 1}) == (found.ids, found.breakdown)
    assert (done.counts, site.state(waiting)) == ({"cancelled": 1}, "cancelled")


def test_what_went_since_it_was_selected_is_counted_as_not_recallable(site: Site) -> None:
    """On a channel without recalls."""
    site.accounts.replace(
        Account("bot", "wecom_webhook", "http://vendor", {"edition": "robot"}, Secret(lambda: "key-1"))
    )
    job = site.ask(webhook.Text(content="one"), None, account="bot")
    found = recalling.find_sent(JobFilter(ids=[job]), database=site.database)
    site.run()

    done = recall_jobs(found, person="zhang", accounts=site.accounts, database=site.database)

    assert (dict(+done.counts), done.jobs, site.state(job)) == ({"not_recallable": 1}, (), "accepted")


def test_replays_of_what_is_taken_back_are_cancelled(site: Site) -> None:
    """They wait, and the recall of their original would reach them only in its turn."""
    original = site.send("wrong")
    site.run()
    waiting = site.replay(original, due_at=DAY)

    done = take_back(site, JobFilter(ids=[original]))

    assert (done.counts, site.state(waiting)) == ({"cancelled": 1, "recalls": 1}, "cancelled")


def test_a_preview_counts_corrections(site: Site) -> None:
    """Taken back by its tag, a mailing loses its corrections, too; their people are left with nothing."""
    wrong = site.send("wrong", tags=["lunch"])
    site.run()
    since = JobFilter(tag="lunch", created_from=datetime(2020, 1, 1, tzinfo=UTC))
    correctable = find_correctable(since, "right", accounts=site.accounts, database=site.database)
    correct_jobs(correctable, person="zhang", accounts=site.accounts, database=site.database)
    site.run()

    found = recalling.find_sent(since, database=site.database)
    site.sql("update worker_parts set state = 0, not_before = 1 where id = :id", id=part_id(found.ids[0], 0))
    cancelled = find_open(JobFilter(tag="lunch"), database=site.database)

    assert found.breakdown == {"sent": 1, "corrections": 1}
    assert cancelled.breakdown == {"queued": 1, "corrections": 1}
    assert wrong not in found.ids


@pytest.mark.every_database
def test_a_command_that_is_given_twice_recalls_once(site: Site) -> None:
    """Both found the job before either recalled it: the vendor may refuse the second recall, as if it had failed."""
    job = site.send("wrong")
    site.run()
    found = [recalling.find_sent(JobFilter(ids=[job]), database=site.database) for _ in range(2)]

    once, again = (
        recall_jobs(selection, person="zhang", accounts=site.accounts, database=site.database) for selection in found
    )
    site.run()

    assert (once.counts, again.counts) == ({"recalls": 1}, {"refused": 1})
    assert {job: recalling.RECALLED} == again.notes
    assert len(site.bodies(RECALL)) == 1


def test_a_replay_is_taken_back_once(site: Site) -> None:
    """By the recall of its original, whether that is chosen beside it, is under way, or was accepted."""
    original = site.send("wrong", tags=["lunch"])
    site.run()
    again = site.replay(original)
    site.run()
    alone = recalling.find_sent(JobFilter(ids=[again]), database=site.database)

    done = take_back(site, JobFilter(ids=[original, again]))
    under_way = recalling.find_sent(JobFilter(ids=[again]), database=site.database)
    late = recall_jobs(alone, person="li", accounts=site.accounts, database=site.database)
    site.run()
    accepted = recalling.find_sent(JobFilter(ids=[again]), database=site.database)

    assert ((again,), (), ()) == (alone.ids, under_way.ids, accepted.ids)
    assert (done.counts, late.counts) == ({"recalls": 1}, {"refused": 1})
    assert site.job(done.jobs[0]).state == "accepted"
    assert all(site.of("receipts", job)[0].recalled_at for job in (original, again))
    assert len(site.bodies(RECALL)) == 2


def test_what_was_taken_back_is_shown_so(site: Site) -> None:
    """The job and its replays until then; not one whose recall the vendor refused, nor a later replay."""
    taken, stays = site.send("taken"), site.send("stays")
    site.run()
    early = site.replay(taken)
    site.run()
    site.recall(taken)
    site.run()
    site.vendor.says(refused(42052, "too late"))
    site.recall(stays)
    site.run()
    site.advance(1)
    late = site.replay(taken)
    site.run()

    with site.database.reading() as connection:
        listed = {job.id: (job.label, job.is_recalled) for job in find_jobs(connection).jobs if job.kind == "send"}
        shown = {job: get_job(connection, job).label for job in listed}

    back, there = ("recalled", True), ("accepted", False)
    assert {taken: back, early: back, stays: there, late: there} == listed
    assert {job: label for job, (label, _) in listed.items()} == shown


def test_what_cannot_be_recalled_is_left_out(site: Site) -> None:
    """Uploads, what was never sent, and what ended without; a recall that failed may be tried again."""
    upload, sent, never = site.upload(), site.send("one"), site.send("two", due_at=DAY)
    site.run()
    stop(site, never)
    site.vendor.says(refused(42052, "too late"))
    failed = site.recall(sent)
    site.run()

    found = recalling.find_sent(JobFilter(ids=[upload, sent, never]), database=site.database)

    assert ("rejected", (sent,)) == (site.job(failed).state, found.ids)
    with pytest.raises(CheckFailed, match="filter: would look through all jobs; give created_from"):
        recalling.find_sent(JobFilter(tag="lunch"), database=site.database)
    with pytest.raises(CheckFailed, match="ids: name single parts"):
        recalling.find_sent(JobFilter(ids=[part_id(sent, 0)]), database=site.database)
    with pytest.raises(CheckFailed, match="filter: is about calls, and a recall is about whole jobs"):
        recalling.find_sent(JobFilter(ids=[sent], called_from=datetime(2020, 1, 1, tzinfo=UTC)), database=site.database)


def test_one_that_is_refused_keeps_no_other(site: Site) -> None:
    """Its account is not in the settings any more."""
    first, second = site.send("one"), site.send("two", account="it")
    site.run()
    site.accounts.replace(an_account())

    done = take_back(site, JobFilter(ids=[first, second]))
    site.run()

    assert ({second}, 1) == (set(done.notes), len(done.jobs))
    assert site.job(done.jobs[0]).state == "accepted"


# -- many --------------------------------------------------------------------------------------------------------------


def test_ended_jobs_stay_as_they_are(site: Site) -> None:
    """Nothing is marked: what was sent stays sent."""
    job = site.send()
    found = find_open(JobFilter(ids=[job]), database=site.database)
    site.run()

    done = cancel(found, person="zhang", database=site.database)

    assert ({"accepted": 1}, (job,)) == (done.counts, done.jobs)
    assert (site.job(job).cancelled_at, find_open(JobFilter(ids=[job]), database=site.database).ids) == (None, ())


@pytest.mark.every_database
def test_a_database_of_its_own_is_opened(database_url: str, tmp_path: Path) -> None:
    """That of the settings, whose hooks hear of it; a file that is missing is not made."""
    settings = Settings(database=UrlFrom(url=database_url), hooks="app.hooks")
    with closing(Database(make_engine(database_url))) as own, planted(own, DrivenClock(), hooked_ends=ALL_ENDS) as site:
        job = site.send(due_at=DAY)
        done = cancel(find_open(JobFilter(account="hr"), settings=settings), person="zhang", settings=settings)

        assert (done.counts["jobs"], site.state(job)) == (1, "cancelled")
        assert [job] == [row.job_id for row in site.rows("select job_id from worker_events")]
    with pytest.raises(ConfigurationError, match="there is no file"):
        find_open(JobFilter(account="hr"), settings=Settings(database=UrlFrom(url=f"sqlite:///{tmp_path}/none.db")))
    assert not (tmp_path / "none.db").exists()


@pytest.mark.every_database
def test_what_is_open_is_found_without_a_look_at_what_ended(site: Site) -> None:
    """Three of 603: the cost does not grow with what has ended."""
    with site.database.writing() as connection:
        new = [NewJob("hr", Text(content=f"{n}"), To(users=[f"u{n}"]), tags=["lunch"]) for n in range(600)]
        enqueue_many(connection, new, accounts=site.accounts)
    site.sql("update worker_parts set state = 2")
    if site.database.dialect.name == "postgresql":
        with site.database.reading() as connection:
            connection.execute(text("vacuum worker_parts"))
    jobs = [site.send(f"{n}", tags=["lunch"]) for n in range(3)]
    site.vendor.says(lost())
    site.ring(jobs[0])
    filters = [JobFilter(tag="lunch"), JobFilter(ids=jobs), JobFilter(called_from=datetime(2020, 1, 1, tzinfo=UTC))]

    read = [rows_read(site.database, lambda c, w=wanted: list(open_parts(c, w))) for wanted in filters]  # type: ignore[misc]

    assert max(read) < 80, read


@pytest.mark.fewer_databases("checks of arguments")
def test_wrong_words_are_refused(site: Site) -> None:
    """Before anything is written."""
    job = site.send()
    with pytest.raises(CheckFailed, match=r"ids: name single parts .*found 1.*give the id of their job"):
        stop(site, part_id(job, 0))
    found = find_open(JobFilter(ids=[job]), database=site.database)
    for person, why, sentence in (
        ("", "", "person: has no content"),
        ("a\x00", "", "person: holds a NUL"),
        ("a", "x" * 301, "why: is too long"),
    ):
        with pytest.raises(CheckFailed, match=sentence):
            cancel(found, person=person, why=why, database=site.database)
    assert (site.job(job).cancelled_at, site.rows("select * from worker_audit")) == (None, [])


# -- revoked in Flower -------------------------------------------------------------------------------------------------


def revocations_of(site: Site, revoked: Collection[str]) -> Revocations:
    return Revocations(site.database, site.runtime.fault_reports, site.runtime.writer.change, revoked)


@pytest.fixture
def revoked() -> set[str]:
    """What a process was told."""
    return set()


def test_a_revoked_job_is_cancelled_for_ever(site: Site, revoked: set[str]) -> None:
    """Once, however many processes hear of it, and by the writer, so that Flower is told."""
    job = site.send(due_at=DAY)
    revoked.add(job)
    here, elsewhere = revocations_of(site, revoked), revocations_of(site, {job})

    here.turn()
    elsewhere.turn()
    here.turn()
    revoked.clear()
    here.turn()
    site.advance(DAY.total_seconds())
    site.run()

    assert (site.state(job), site.calls()) == ("cancelled", [])
    assert [job] == [one.job_id for one in site.told]
    [entry] = site.rows("select * from worker_audit")
    assert (entry.action, entry.person, entry.why) == ("cancel", "Flower or celery control", "revoked")
    assert (entry.counts, entry.ended_at is not None) == ('{"jobs": 1}', True)


@pytest.mark.every_database
def test_a_revocation_is_carried_out_by_each_process(site: Site, revoked: set[str]) -> None:
    """The first to hear of it died behind the mark, or the answer of that commit was lost."""
    first, second = site.send(due_at=DAY), site.send("two", due_at=DAY)
    revoked |= {first, second}
    mark_jobs(site.database, [first])
    revocations = revocations_of(site, revoked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.control.cancel.stop_jobs", lambda *_: 1 / 0)
        revocations.turn()
    between = [site.state(first), site.state(second)]

    revocations.turn()

    assert (between, [site.state(first), site.state(second)]) == (["queued"] * 2, ["cancelled"] * 2)
    assert len(site.rows("select * from worker_audit")) == 1, "of the one whose mark it set"


def test_what_is_no_job_is_passed(site: Site, revoked: set[str]) -> None:
    """Celery revokes whatever id it is given; one that no database takes keeps no job from being cancelled."""
    ended = site.send()
    site.run()
    job = site.send(due_at=DAY)
    revoked |= {"no\0id", "018f0000000070008000000000000000", ended, job}

    revocations_of(site, revoked).turn()

    assert [site.state(ended), site.state(job)] == ["accepted", "cancelled"]
