"""Replays of many jobs: to those whom they did not reach, once, whatever cuts the run short."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from rig.stack import until
from tests.support.runtime import Site, busy, lost, planted, refused
from worker import NotReplayable, Text, To, enqueue, replay, resend_failed, webhook
from worker.config.places import UrlFrom
from worker.config.settings import Settings
from worker.control import audit, replay as replaying
from worker.control.audit import CommandResult, list_audit
from worker.control.cancel import cancel, find_open
from worker.control.recall import find_sent, recall_jobs
from worker.control.replay import ReplayableJobs, find_replayable, replay_jobs
from worker.domain.account import Account, Secret
from worker.domain.errors import CheckFailed
from worker.domain.job_filter import JobFilter
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database, make_engine
from worker.producer.chain import ReplayScope
from worker.producer.insert import insert_one

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

DAY = timedelta(days=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process."""
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def again(site: Site, wanted: JobFilter, **options: Any) -> CommandResult:
    also = {"cancelled": True} | {
        name: options.pop(name) for name in (*ReplayScope._fields, "since") if name in options
    }
    found = find_replayable(wanted, **also, database=site.database)
    return replay_jobs(found, person="zhang", why="mended", accounts=site.accounts, **options, database=site.database)


def one(site: Site, job: str, **options: Any) -> str:
    with site.database.writing() as connection:
        return replay(connection, job, accounts=site.accounts, **{"cancelled": True, **options}).id


def touser(site: Site) -> list[str]:
    return [body["touser"] for body in site.bodies()]


def cancelled(site: Site, job: str) -> None:
    found = find_open(JobFilter(ids=[job]), database=site.database)
    cancel(found, person="zhang", database=site.database)


# -- one job -----------------------------------------------------------------------------------------------------------


def test_who_got_it_does_not_get_it_again(site: Site) -> None:
    """Of a send of two calls: the refused of the one that was taken, and all of the one that was refused."""
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="u3"), refused(85002))
    job = site.send(to=To([f"u{n}" for n in range(1_002)]))
    site.run()

    new = one(site, job)
    site.run()

    assert (job, "accepted") == (site.job(new).replay_of, site.state(new))
    assert set(touser(site)[2].split("|")) == {"u3", "u1000", "u1001"}


def test_what_reached_everybody_is_not_repeated(site: Site) -> None:
    """Unless it is named so; a recipient in doubt neither."""
    job, doubtful = site.send(), site.send("doubt", duplicate_check=False)
    site.ring(job)
    site.vendor.says(lost())
    site.ring(doubtful)
    site.advance(60)
    site.recover()

    for asked, words in (
        (
            job,
            "job .* has no recipient left to send to: 1 accepted (accepted=True, or --accepted, sends to them again)",
        ),
        (
            doubtful,
            "job .* has no recipient left to send to: 1 in doubt (unknown=True, or --unknown, sends to them too)",
        ),
    ):
        with pytest.raises(NotReplayable, match=re.escape(words).replace(r"\.\*", ".*")):
            one(site, asked)
    with pytest.raises(NotReplayable, match="1 accepted"):
        one(site, job, unknown=True)
    assert site.job(one(site, job, accepted=True)).replay_of == job
    assert site.job(one(site, doubtful, unknown=True)).replay_of == doubtful


def test_a_replay_counts_for_the_chain(site: Site) -> None:
    """While it is under way nobody is asked a second time; what it did not reach is asked for again."""
    job = site.send(to=To(["ann", "bob"]))
    cancelled(site, job)
    first = one(site, job)
    with pytest.raises(NotReplayable, match="2 being sent to by another replay"):
        one(site, job)
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="bob"))
    site.run()
    second = one(site, job)
    site.run()

    assert touser(site) == ["ann|bob", "bob"]
    assert [job, job] == [site.job(new).replay_of for new in (first, second)]
    with pytest.raises(NotReplayable, match="2 accepted"):
        one(site, job)


def test_a_follow_up_is_repeated_whole_or_not_at_all(site: Site) -> None:
    """It has no recipients of its own."""
    job = site.send()
    site.run()
    site.vendor.says(refused(42052, "too late"))
    recall = site.recall(job)
    site.run()

    new = one(site, recall)
    with pytest.raises(NotReplayable, match="is being repeated by job"):
        one(site, recall)
    site.run()
    assert site.state(new) == "accepted"
    with pytest.raises(NotReplayable, match="1 accepted"):
        one(site, recall)
    assert recall == site.job(one(site, recall, accepted=True)).replay_of


def test_the_dedupe_key_stands_for_the_newest(site: Site) -> None:
    """A producer that asks again hears of the replay, and not of the job that failed."""

    def ask() -> tuple[str, bool]:
        with site.database.writing() as connection:
            ref = enqueue(
                connection,
                "hr",
                Text(content="hello"),
                To("ann"),
                dedupe_key="k",
                accounts=site.accounts,
            )
        return ref.id, ref.created

    job = ask()[0]
    cancelled(site, job)
    before = ask()
    first = one(site, job)
    between = ask()
    cancelled(site, first)
    second = one(site, first)

    assert ((job, False), (first, False), (second, False)) == (before, between, ask())


# -- many --------------------------------------------------------------------------------------------------------------


@pytest.mark.every_database
def test_a_filter_takes_what_did_not_reach_everybody(site: Site) -> None:
    """Cancelled, expired, refused, and in part; counted by account and state before anything is done."""
    sent, waiting = site.send("sent", tags=["lunch"]), site.send("waiting", tags=["lunch"], due_at=DAY)
    site.ring(sent)
    stopped = site.send("stopped", tags=["lunch"])
    cancelled(site, stopped)
    expired = site.send("expired", tags=["lunch"], expires_at=timedelta(hours=1))
    site.advance(7_200)
    site.recover()
    site.vendor.says(refused(85002), lambda request: site.vendor.takes(request, invaliduser="bob"), lost())
    no = site.send("no", tags=["lunch"])
    site.ring(no)
    part = site.send("part", To(["ann", "bob"]), tags=["lunch"])
    site.ring(part)
    doubt = site.send("doubt", tags=["lunch"], duplicate_check=False)
    site.ring(doubt)
    cancelled(site, other := site.send("other"))
    wanted = JobFilter(tag="lunch", created_from=LONG_AGO)

    found = find_replayable(wanted, cancelled=True, database=site.database)
    everything = find_replayable(wanted, accepted=True, unknown=True, cancelled=True, database=site.database)
    by_state = find_replayable(JobFilter(tag="lunch", state="expired", created_from=LONG_AGO), database=site.database)
    done = again(site, wanted)
    site.run()
    nothing = again(site, wanted)

    assert sorted(found.ids) == sorted([stopped, expired, no, part])
    assert found.missing == ()
    assert "lately" not in found.breakdown, "whom the vendor refused has no message on its way"
    assert everything.breakdown["lately"] == 3, "the one that was sent, the one sent in part, and the one in doubt"
    assert {("hr", state): 1 for state in ("cancelled", "expired", "rejected", "partial")} == found.counts
    assert sorted([stopped, expired, no, part, sent, doubt]) == sorted(everything.ids)
    assert (expired,) == by_state.ids
    assert (done.counts, done.notes) == ({"replays": 4}, {})
    made = site.rows("select replay_of, state from worker_jobs where replay_of is not null")
    assert sorted([stopped, expired, no, part]) == sorted(row.replay_of for row in made)
    assert {row.state for row in made} == {2}
    assert ({"refused": 1}, [part]) == (nothing.counts, list(nothing.notes)), "their replays reached everybody"
    assert [body["touser"] for body in site.bodies() if body["text"]["content"] == "part"][1:] == ["bob"]
    assert (waiting, other) not in made
    with site.database.reading() as connection:
        entry = list_audit(connection)[1]
    assert (
        entry.action,
        entry.person,
        entry.why,
        entry.counts,
    ) == ("replay", "zhang", "mended", {"replays": 4})


@pytest.mark.every_database
def test_what_a_person_took_back_is_left_out_unless_it_is_named(site: Site) -> None:
    """It is told who cancelled or recalled it, when, why and how many; a recall by an application has no person."""
    site.vendor.says(*[partial(site.vendor.takes, invaliduser="bob")] * 3)
    recalled, by_program, refused = (site.send(f"{n}", To(["ann", "bob"]), tags=["lunch"]) for n in range(3))
    site.run()
    before = instant(site.database.read_now())
    waiting = [site.send(f"waiting {n}", tags=["lunch"], due_at=DAY) for n in range(2)]
    wanted = JobFilter(tag="lunch", created_from=LONG_AGO)
    cancel(find_open(wanted, database=site.database), person="li", why="wrong date", database=site.database)
    taken = find_sent(JobFilter(ids=[recalled]), database=site.database)
    recall_jobs(taken, person="wang", accounts=site.accounts, database=site.database)
    site.advance(5)
    site.recall(by_program)
    site.run()

    found = find_replayable(wanted, database=site.database)
    named = find_replayable(wanted, cancelled=True, database=site.database)
    told = {(one.how, one.person, one.why, one.jobs) for one in found.omitted}

    assert told == {("cancelled", "li", "wrong date", 2), ("recalled", "wang", "", 1), ("recalled", None, "", 1)}
    assert all(before <= one.at for one in found.omitted)
    assert ((refused,), ()) == (found.ids, named.omitted)
    assert {refused, recalled, by_program, *waiting} == {*named.ids}
    for job, by in ((waiting[0], "cancelled by li"), (recalled, "recalled by wang"), (by_program, "an application")):
        with pytest.raises(NotReplayable, match=f"{by}.*--cancelled"):
            one(site, job, cancelled=False)
    with pytest.raises(NotReplayable, match="recalled by wang"), site.database.writing() as connection:
        resend_failed(connection, recalled, accounts=site.accounts)
    assert (replayed_since(site, found, waiting[0]), len(site.rows(REPLAYS))) == ({"refused": 1}, 0)


REPLAYS = "select id from worker_jobs where replay_of is not null"


def replayed_since(site: Site, found: ReplayableJobs, cancelled: str) -> Counter[str]:
    """A job that was cancelled after the preview is refused too."""
    found = replace(found, ids=(cancelled,))
    return replay_jobs(found, person="zhang", accounts=site.accounts, database=site.database).counts


def many(site: Site, count: int) -> list[str]:
    jobs = [site.send(f"{n}") for n in range(count)]
    found = find_open(JobFilter(ids=jobs), database=site.database)
    cancel(found, person="zhang", database=site.database)
    return jobs


@pytest.mark.every_database
def test_a_run_that_is_cut_short_goes_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is replayed once, also where its replay was refused meanwhile: the run's audit says when it began."""
    monkeypatch.setattr(replaying, "BATCH_SIZE", 2)
    jobs = many(site, 7)

    site.advance(1)

    class CutShort(Exception):
        pass

    def cut_short(done: int) -> None:
        if done == 4:
            raise CutShort

    with pytest.raises(CutShort):
        again(site, JobFilter(ids=jobs), progress=cut_short)
    with site.database.reading() as connection:
        entry = list_audit(connection)[0]
    site.vendor.says(*[refused(85002)] * 4)
    site.run()
    progress = list[int]()
    done = again(site, JobFilter(ids=jobs), since=entry.began_at, progress=progress.append)

    assert (entry.counts, entry.ended_at, entry.is_interrupted) == ({"replays": 4}, None, True)
    assert (done.counts, progress) == ({"replays": 3}, [2, 3])
    made = site.rows("select replay_of from worker_jobs where replay_of is not null")
    assert sorted(jobs) == sorted(row.replay_of for row in made)
    assert again(site, JobFilter(ids=jobs)).counts["replays"] == 4, "asked for anew, what failed again is tried again"


def test_a_run_that_takes_long_is_running(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process gives signs of life, also while no lot of it ends; once these stop, it was interrupted."""
    monkeypatch.setattr(audit, "ALIVE_S", 0.01)
    jobs = many(site, 1)
    seen = list[bool]()

    def entry() -> audit.AuditEntry:
        with site.database.reading() as connection:
            return audit.list_audit(connection, limit=1)[0]

    def takes_long(_: str) -> None:
        site.clock.advance(3_600)
        until(lambda: not entry().is_interrupted, "a sign of life")
        seen.append(entry().is_interrupted)

    again(site, JobFilter(ids=jobs), on_begin=takes_long)
    site.sql("update worker_audit set ended_at = null")
    site.clock.advance(audit.LOST_S + 1)

    assert seen == [False]
    assert entry().is_interrupted


def test_a_rate_is_kept(site: Site) -> None:
    """So many a second, in lots that are no larger."""
    jobs, slept = many(site, 6), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        site.ticks.advance(seconds)

    done = again(site, JobFilter(ids=jobs), rate=2, monotonic=site.ticks, sleep=sleep)

    assert (done.counts["replays"], slept) == (6, [1.0, 1.0])


@pytest.mark.fewer_databases("SQLite lets one write at a time")
def test_two_runs_at_once_replay_each_once(site: Site) -> None:
    """The second waits for the lot of the first, and then sees its replays."""
    jobs = many(site, 20)
    found = find_replayable(JobFilter(ids=jobs), cancelled=True, database=site.database)
    with ThreadPoolExecutor(2) as pool:
        said = {"person": "zhang", "database": site.database, "accounts": site.accounts}
        runs = [pool.submit(replay_jobs, found, **said) for _ in range(2)]
        done = [run.result(30) for run in runs]

    assert sorted(run.counts["replays"] for run in done) == [0, 20]
    made = site.rows("select replay_of from worker_jobs where replay_of is not null")
    assert sorted(jobs) == sorted(row.replay_of for row in made)


def test_an_order_goes_on_behind_the_replay_of_a_replay(site: Site) -> None:
    """The last replay takes the place that the one before it had taken."""
    first, second = site.send("first", order_key="o"), site.send("second", order_key="o")
    exhausted(site, first)
    for _ in range(2):
        done = again(site, JobFilter(account="hr", created_from=LONG_AGO))
        exhausted(site, done.jobs[0])
    last = again(site, JobFilter(account="hr", created_from=LONG_AGO)).jobs[0]
    site.run()
    site.run()

    assert [body["text"]["content"] for body in site.bodies()][-2:] == ["first", "second"]
    assert [site.state(str(job)) for job in (last, second)] == ["accepted", "accepted"]


def exhausted(site: Site, job: str) -> None:
    """It has had all of its tries, and those behind it in its order wait."""
    site.sql("update worker_parts set tries = 99 where job_id = :job", job=job)
    site.vendor.says(busy())
    site.ring(job)
    assert site.state(job) == "exhausted"


@pytest.mark.every_database
def test_recalls_are_left_alone_unless_they_are_named(site: Site) -> None:
    """Replayed beside its send, a recall that failed would take the new message back."""
    job = site.send(to=To(["ann", "bob"]))
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="bob"))
    site.run()
    site.vendor.says(refused(42052, "too late"))
    recall = site.recall(job)
    site.run()

    wanted = JobFilter(account="hr", created_from=LONG_AGO)
    found = find_replayable(wanted, cancelled=True, database=site.database)
    named = find_replayable(JobFilter(account="hr", kind="recall", created_from=LONG_AGO), database=site.database)

    assert ((job,), (recall,)) == (found.ids, named.ids)


def test_a_chain_in_doubt_is_not_repeated_beside_its_own_repeat(site: Site) -> None:
    """Not even where those in doubt are named."""
    job = site.send()
    cancelled(site, job)
    first = one(site, job)
    site.vendor.says(lost())
    site.ring(first)

    with pytest.raises(NotReplayable, match=f"job {first} is in doubt and will be repeated"):
        one(site, job, unknown=True)


def test_a_piece_that_came_counts(site: Site) -> None:
    """Who has the first half of a text does not get it twice by accident."""
    job = site.send("x" * 3_000, overflow="split")
    site.vendor.says(site.vendor.takes, refused(85002))
    site.run()

    with pytest.raises(NotReplayable, match="1 accepted"):
        one(site, job)
    assert job == site.job(one(site, job, accepted=True)).replay_of


def test_one_that_is_refused_keeps_no_other(site: Site) -> None:
    """Its file is gone; its reason is told."""
    job, image = site.send(), site.image()
    for one_of_them in (job, image):
        cancelled(site, one_of_them)
    site.sql("delete from worker_blobs")

    done = again(site, JobFilter(ids=[job, image]))

    assert ({"replays": 1, "refused": 1}, [image]) == (done.counts, list(done.notes))
    assert "is no longer kept; enqueue it anew" in done.notes[image]
    assert job == site.job(done.jobs[0]).replay_of


def test_an_error_of_the_database_ends_the_lot(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the insert of a job it is no reason to refuse that job: nothing of the lot is kept."""
    jobs = many(site, 3)

    class OfTheDriver(Exception):
        pass

    def fails(connection: Any, request: Any) -> Any:
        insert_one(connection, request)
        raise OfTheDriver

    monkeypatch.setattr("worker.producer.resend.insert_one", fails)
    with pytest.raises(OfTheDriver):
        again(site, JobFilter(ids=jobs))

    assert site.rows("select id from worker_jobs where replay_of is not null") == []


def test_a_replay_that_waits_in_its_order_stays_there(site: Site) -> None:
    """Another replay of its job does not take its place: nothing would wake it."""
    holder = site.send("holder", order_key="o")
    exhausted(site, holder)
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="ann"))
    job = site.send("both", To(["ann", "bob"]), order_key="p")
    site.ring(job)
    site.sql("update worker_jobs set order_key = 'o' where id = :job", job=job)
    with site.database.writing() as connection:
        waiting = resend_failed(connection, job, accounts=site.accounts).id
    other = one(site, job, accepted=True)
    one(site, holder)
    for _ in range(4):
        site.run()

    assert [site.state(new) for new in (waiting, other)] == ["accepted", "accepted"]


def test_a_send_without_recipients_is_repeated_whole(database: Database, driven_clock: DrivenClock) -> None:
    """As a group robot's: as often as it fails."""
    key = "633a31f6-0000-4bc4-97a0-0ec1eefaaaaa"
    robot = Account("bot", "wecom_webhook", "http://vendor", {"edition": "robot"}, Secret(lambda: key))
    with planted(database, driven_clock, accounts=[robot]) as site:
        job = site.ask(webhook.Text(content="hello"), None, account="bot")
        cancelled(site, job)
        cancelled(site, one(site, job))
        last = one(site, job)
        site.run()

        assert site.state(last) == "accepted"
        with pytest.raises(NotReplayable, match="1 accepted"):
            one(site, job)
        assert job == site.job(one(site, job, accepted=True)).replay_of


def test_those_of_one_chain_are_asked_for_once(site: Site) -> None:
    """A job and its replay failed both: its recipient gets one message."""
    job = site.send()
    cancelled(site, job)
    cancelled(site, first := one(site, job))

    done = again(site, JobFilter(account="hr", created_from=LONG_AGO))
    site.run()

    assert ({"replays": 1, "refused": 1}, [first]) == (done.counts, list(done.notes))
    assert touser(site) == ["lisi"]


def test_a_database_of_its_own_is_opened(database_url: str) -> None:
    """That of the settings."""
    settings = Settings(database=UrlFrom(url=database_url))
    with closing(Database(make_engine(database_url))) as own, planted(own, DrivenClock()) as site:
        job = site.send()
        found = find_replayable(JobFilter(ids=[job]), settings=settings)
        done = replay_jobs(found, person="zhang", settings=settings)

        assert ((job,), ()) == (found.ids, done.jobs)
        assert "is still open" in done.notes[job]


@pytest.mark.fewer_databases("refused before a statement")
def test_wrong_words_are_refused(site: Site) -> None:
    """With what to do instead."""
    for wanted, said in (
        (JobFilter(tag="lunch"), "filter: would look through all jobs; give created_from"),
        (JobFilter(created_from=LONG_AGO, called_from=LONG_AGO), "filter: is about calls, and a replay is about whole"),
        (JobFilter(ids=["0" * 32 + "-0"]), "ids: name single parts"),
    ):
        with pytest.raises(CheckFailed, match=said):
            find_replayable(wanted, database=site.database)
    with pytest.raises(CheckFailed, match="since: is not an aware datetime"):
        find_replayable(JobFilter(ids=["0" * 32]), since=datetime(2026, 1, 1), database=site.database)
    with pytest.raises(CheckFailed, match="state: is not a valid value; use one of open, accepted"):
        JobFilter(state="lost", account="hr")
    with pytest.raises(CheckFailed, match="filter: has no content"):
        JobFilter(state="open")
    for rate in (0.0, 1e-300, math.nan, math.inf):
        with pytest.raises(CheckFailed, match=r"rate: is not from 0\.001 on"):
            again(site, JobFilter(ids=["0" * 32]), rate=rate)
