"""The group commit's thread: the database away, bad rows, order, stopping, and its own death."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import structlog
from sqlalchemy.exc import DataError, InterfaceError, OperationalError

from rig.stack import LIMIT_S, until
from tests.support.runtime import Site, Ticks, planted
from worker.delivery.sender import writer as writer_module
from worker.delivery.sender.writer import MAX_BYTES, MAX_ROWS, PendingWrite, Writer, WriterClosed
from worker.domain import settle
from worker.domain.job import part_id
from worker.domain.outcome import Accepted, CallReceipt, Outcome, Refusal, Rejected, Retry, Unknown, Verdict
from worker.domain.pacing.lane import Feedback
from worker.domain.settle import Policy
from worker.outbox.commit.commands import CallEnd, Change, JobUpdate, Mark, MarkedCall
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

SECOND = 1_000_000


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def a_mark(job: str, claim: int = 0, body: str | None = None) -> Mark:
    return Mark(part_id(job, 0), claim, "p1", 20 * SECOND, body=body)


def an_end(job: str, outcome: Outcome | None = None, claim: int = 1, errmsg: str | None = "ok") -> CallEnd:
    verdict = Verdict(outcome or Accepted(CallReceipt("m1")), 0, errmsg)
    return CallEnd(part_id(job, 0), claim, "p1", verdict, 5, http_status=200)


class Away:
    """A database that cannot be reached for so many transactions, then is back."""

    def __init__(self, database: Database, times: int, error: Exception | None = None) -> None:
        self.has_one_writer, self.now = database.has_one_writer, database.now
        self.times, self.tried, self._database = times, 0, database
        self._error = error or OperationalError("insert", {}, ConnectionRefusedError("away"))

    def run(self, work: Callable[..., Any], **options: Any) -> Any:
        self.tried += 1
        if self.tried <= self.times:
            raise self._error
        return self._database.run(work, **options)


def a_writer(database: Any, **parts: Any) -> Writer:
    parts = {"pause": lambda seconds: None, "on_death": lambda error: None, **parts}
    return Writer(database, Policy(), **parts)


def test_while_the_database_is_away_results_are_kept_and_marks_wait(site: Site) -> None:
    """Nothing is lost and nothing is confirmed before it is durable; on return all of it is written in order."""
    pauses: list[float] = []
    job, other = site.send("one"), site.send("two")
    site.runtime.writer.mark([a_mark(job)])
    away = Away(site.database, 40)
    writer = a_writer(away, pause=pauses.append)

    pending_write = writer.end(an_end(job))
    before = pending_write.wait(0)
    writer.start()
    [call] = writer.mark([a_mark(other)])

    assert not before
    assert call == MarkedCall(1, flagged=False)
    assert (site.state(job), site.state(other)) == ("accepted", "sending")
    assert 41 <= away.tried
    assert writer.stop(10)
    waits = [seconds for seconds in pauses if seconds != 0.001]
    assert waits[:6] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


@pytest.mark.parametrize(
    "error",
    [
        InterfaceError("x", {}, Exception("connection already closed")),
        OperationalError("x", {}, Exception("database is locked")),
    ],
    ids=["connection lost", "busy to the end"],
)
def test_every_way_of_being_away_is_waited_for(site: Site, error: Exception) -> None:
    """A lost connection, and a database that says "again" more often than one transaction is tried: for ever."""
    job = site.send()
    writer = a_writer(Away(site.database, 3, error))
    writer.start()

    [call] = writer.mark([a_mark(job)])

    assert call == MarkedCall(1, flagged=False)
    assert writer.stop(10)


def test_each_try_of_a_database_that_is_away_counts_from_its_own_begin(site: Site) -> None:
    """A writer that tries again turns; one that is in a single commit for long does not."""
    ticks, busy = Ticks(), list[float]()

    def pause(seconds: float) -> None:
        if seconds > 0.001:  # else it is SQLite's rest between two commits
            ticks.advance(100)
            busy.append(writer.busy_s(ticks.now))

    class Slow(Away):
        def run(self, work: Callable[..., Any], **options: Any) -> Any:
            busy.append(writer.busy_s(ticks.now))
            ticks.advance(7)
            return super().run(work, **options)

    writer = a_writer(Slow(site.database, 2), pause=pause, monotonic=ticks)
    begun_at = writer.marked_at
    writer.start()
    writer.mark([a_mark(site.send())])
    writer.stop(10)

    assert busy == [0.0, 107.0, 0.0, 107.0, 0.0]
    assert begun_at + 221 == writer.marked_at
    assert begun_at + 214 == writer.away_at
    assert writer.busy_s(ticks.now + 60) == 0.0


def test_an_end_is_written_before_the_next_mark_of_its_sender(site: Site) -> None:
    """One queue, in order: the record is in the same or an earlier transaction than the next mark."""
    jobs = [site.send(str(n)) for n in range(20)]
    writer, states = site.runtime.writer, []

    for job, following in pairwise(jobs):
        writer.mark([a_mark(job)])
        writer.end(an_end(job))
        writer.mark([a_mark(following)])
        states.append(site.state(job))

    assert states == ["accepted"] * 19


def test_an_acceptance_goes_with_the_next_mark(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction for both, although the writer had nothing else to do."""
    monkeypatch.setattr(writer_module, "LINGER_S", LIMIT_S)
    job, other = site.send("one"), site.send("two")
    writer = a_writer(site.database)
    writer.start()
    writer.mark([a_mark(job)])
    writer._is_urgent.clear()  # the writer may have taken the mark before haste was made

    pending_write = writer.end(an_end(job))
    [call] = writer.mark([a_mark(other)])

    assert pending_write.wait(0)
    assert call == MarkedCall(1, flagged=False)
    assert (site.state(job), site.state(other), writer.batches) == ("accepted", "sending", 2)
    assert writer.stop(10)


def test_a_mark_that_is_cut_off_from_a_full_batch_makes_haste(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits behind more ends than one transaction takes."""
    monkeypatch.setattr(writer_module, "LINGER_S", 10 * LIMIT_S)
    monkeypatch.setattr(writer_module, "MAX_ROWS", 3)
    job = site.send()
    writer = a_writer(site.database)
    for _ in range(4):
        writer.end(an_end("nobody"))

    with ThreadPoolExecutor(1) as pool:
        marked = pool.submit(writer.mark, [a_mark(job)])
        until(writer._is_urgent.is_set, "the mark is queued")
        writer.start()
        [call] = marked.result(LIMIT_S)

    assert call == MarkedCall(1, flagged=False)
    assert writer.stop(10)


def test_an_acceptance_alone_is_written_soon(site: Site) -> None:
    """No mark comes, and nobody waits for it."""
    job = site.send()
    writer = a_writer(site.database)
    writer.start()
    writer.mark([a_mark(job)])

    assert writer.end(an_end(job)).wait(LIMIT_S)
    assert site.state(job) == "accepted"
    assert writer.stop(10)


@pytest.mark.parametrize(
    "end",
    [
        lambda job: an_end(job, Rejected("no")),
        lambda job: replace(an_end(job), lane_changes=(Feedback("lane", 0, accepted=True, final=True),)),
    ],
    ids=["no acceptance", "a lane that starts slowly"],
)
def test_others_do_not_wait_for_a_mark(
    site: Site, monkeypatch: pytest.MonkeyPatch, end: Callable[[str], CallEnd]
) -> None:
    """What other processes must hear of is written at once, and so is what a doorbell waits for."""
    monkeypatch.setattr(writer_module, "LINGER_S", 10 * LIMIT_S)
    job, other = site.send("one"), site.send("two")
    writer = a_writer(site.database)
    writer.start()
    writer.mark([a_mark(job), a_mark(other)])
    writer._is_urgent.clear()  # the writer may have taken the marks before haste was made

    assert writer.end(end(job)).wait(LIMIT_S)
    assert writer.wait(writer.end(an_end(other)), LIMIT_S)
    assert writer.stop(10)


def test_whatever_queues_up_goes_in_one_transaction(site: Site) -> None:
    """A batch is what came while the one before was written, at most 400 rows."""
    jobs = [site.send(str(n)) for n in range(5)]
    writer = a_writer(site.database)
    pending_writes = [writer.end(an_end(job)) for job in jobs]
    changes = [writer.end(an_end(jobs[0])) for _ in range(MAX_ROWS)]

    writer.start()

    assert all(pending_write.wait(120) for pending_write in [*pending_writes, *changes])
    assert (writer.batches, writer.rows) == (2, MAX_ROWS + 5)
    assert writer.stop(10)


def marking(
    monkeypatch: pytest.MonkeyPatch, writer: Writer, marks: Sequence[Mark]
) -> tuple[list[threading.Thread], list[MarkedCall | None]]:
    """Threads whose marks are queued, in this order; and the calls that they are given later."""
    queued = threading.Semaphore(0)

    class Waiting(PendingWrite):
        """Tells that its item is in the queue: only then it is waited for."""

        def wait(self, timeout_s: float = -1) -> bool:
            queued.release()
            return super().wait(timeout_s)

    monkeypatch.setattr(writer_module, "PendingWrite", Waiting)
    threads, calls = list[threading.Thread](), list[MarkedCall | None]()
    for mark in marks:
        threads.append(threading.Thread(target=lambda mark=mark: calls.extend(writer.mark([mark]))))
        threads[-1].start()
        assert queued.acquire(timeout=120)
    return threads, calls


def test_a_batch_of_big_bodies_is_limited_by_bytes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four MiB of frozen bodies are one transaction, not four hundred."""
    jobs = [site.send(str(n)) for n in range(3)]
    writer = a_writer(site.database)
    marks = [a_mark(job, body="x" * MAX_BYTES) for job in jobs]
    threads, calls = marking(monkeypatch, writer, marks)

    writer.start()
    for thread in threads:
        thread.join(120)

    assert calls == [MarkedCall(1, flagged=False)] * 3
    assert writer.batches == 3
    assert writer.stop(10)


@pytest.mark.parametrize("text", ["half \ud83d", "nul \x00 inside"], ids=["surrogate", "nul"])
def test_a_row_the_database_refuses_is_found_and_stored_bare(site: Site, text: str) -> None:
    """A vendor's text that cannot be stored costs that text, and none of the others of its batch anything."""
    jobs = [site.send(str(n)) for n in range(5)]
    writer = a_writer(site.database)
    for job in jobs:
        site.runtime.writer.mark([a_mark(job)])
    pending_writes = [writer.end(an_end(job, errmsg=text if n == 3 else "ok")) for n, job in enumerate(jobs)]

    writer.start()

    assert all(pending_write.wait(120) for pending_write in pending_writes)
    assert [site.state(job) for job in jobs] == ["accepted"] * 5
    kept = [site.of("attempts", job)[0].errmsg for job in jobs]
    assert [kept[n] for n in (0, 1, 2, 4)] == ["ok"] * 4
    assert "\ud83d" not in (kept[3] or "")
    assert [site.of("receipts", job)[0].msgid for job in jobs] == ["m1"] * 5
    assert writer.stop(10)


@pytest.mark.parametrize(
    "outcome",
    [
        Accepted(CallReceipt("m\ud83d1")),
        Rejected("no", (Refusal("li\ud83dsi", "user", "invaliduser"),)),
        Retry("why \ud83d"),
        Unknown("why \ud83d"),
        Retry("r" * 400),
        Rejected("no", (Refusal("l" * 200, "user", "invaliduser"),)),
    ],
    ids=["msgid", "refusal", "reason", "unknown", "long reason", "long refusal"],
)
def test_an_outcome_that_cannot_be_stored_does_not_leave_its_part_in_flight(site: Site, outcome: Outcome) -> None:
    """No living process's part stays `sending` for ever, whatever the answer was made of."""
    job = site.send()
    site.runtime.writer.mark([a_mark(job)])

    site.runtime.writer.end(an_end(job, outcome)).wait(120)

    assert "sending" != site.state(job)


def test_what_is_left_of_an_answer_that_cannot_be_stored_keeps_its_http_status(site: Site) -> None:
    """The row is refused though its texts are clean: in doubt, but the answer was read, and its status is no text."""
    job = site.send()
    site.runtime.writer.mark([a_mark(job)])
    writer = a_writer(Away(site.database, 1, DataError("insert", {}, ValueError("too long"))))
    pending_write = writer.end(an_end(job))

    writer.start()

    assert pending_write.wait(10)
    assert writer.stop(10)
    assert [(row.outcome, row.http_status) for row in site.of("attempts", job)] == [("unknown", 200)]


def test_a_mark_that_cannot_be_stored_is_not_confirmed(site: Site) -> None:
    """No byte leaves for a mark that is not durable; the others of its doorbell are marked."""
    job, good = site.send(), site.send("good")

    calls = site.runtime.writer.mark([a_mark(job, body="half \ud83d"), a_mark(good)])

    assert calls == [None, MarkedCall(1, flagged=False)]
    assert [(site.state(one), site.part(one).claim) for one in (job, good)] == [("queued", 0), ("sending", 1)]


def test_a_stopped_writer_marks_nothing_and_has_written_everything(site: Site) -> None:
    """Stop flushes what is queued; a mark after it raises."""
    job = site.send()
    site.runtime.writer.mark([a_mark(job)])
    writer = a_writer(site.database)
    writer.end(an_end(job))
    writer.start()

    assert writer.stop(10)

    assert site.state(job) == "accepted"
    with pytest.raises(WriterClosed):
        writer.mark([a_mark(job)])


def test_a_mark_behind_the_stop_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sender saw no stop yet, and gets no leave to call."""
    mark, writer = a_mark(site.send()), a_writer(site.database)
    writer._queue.put(None)
    [thread], calls = marking(monkeypatch, writer, [mark])

    writer.start()
    thread.join(120)

    assert (thread.is_alive(), calls) == (False, [None])


def test_a_mark_behind_the_end_of_the_thread_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sender saw no stop, and nobody is left who would answer."""
    monkeypatch.setattr(writer_module, "ALIVE_S", 0.01)
    mark, writer = a_mark(site.send()), a_writer(site.database)
    writer.start()
    assert writer.stop(120)
    writer._closing = False

    with pytest.raises(WriterClosed):
        writer.mark([mark])


def test_stop_and_flush_say_when_the_database_did_not_take_it(site: Site) -> None:
    """A process that ends with results unwritten knows it, and can say so with its exit status."""
    gate = threading.Event()
    writer = a_writer(Away(site.database, 1), pause=lambda seconds: gate.wait(120))
    writer.end(an_end(site.send()))
    writer.start()

    flushed, stopped = writer.flush(0.01), writer.stop(0.01)
    gate.set()

    assert (flushed, stopped) == (False, False)
    assert writer.stop(10)


def test_flush_waits_for_what_was_queued_before_it(site: Site) -> None:
    """True means durable."""
    job = site.send()
    site.runtime.writer.mark([a_mark(job)])
    site.runtime.writer.end(an_end(job))

    assert site.runtime.writer.flush(10)

    assert site.state(job) == "accepted"


def test_the_death_of_the_thread_is_told(site: Site) -> None:
    """An error that is not the database's ends the process, never the thread alone; who waits hears of it."""
    died: list[BaseException] = []
    told = threading.Event()

    def note(error: BaseException) -> None:
        died.append(error)
        told.set()

    def broken(part: settle.PartFacts, now: int) -> None:
        raise ZeroDivisionError

    writer = a_writer(site.database, on_death=note)
    writer.start()
    job = site.send()
    with pytest.raises(WriterClosed):
        writer.change([Change(part_id(job, 0), broken)])

    assert told.wait(120)
    assert [ZeroDivisionError] == [type(error) for error in died]
    assert site.state(job) == "queued"


def test_watchers_hear_after_the_commit_only(site: Site) -> None:
    """What happened is told when it is durable; the probe of the tests strikes between the two."""
    seen: list[tuple[str, str]] = []
    job = site.send()

    def tell(happened: Sequence[JobUpdate]) -> None:
        seen.extend(("told", site.state(job)) for _ in happened)

    writer = a_writer(
        site.database, report_updates=tell, checkpoint=lambda label: seen.append((label, site.state(job)))
    )
    writer.start()
    writer.mark([a_mark(job)])
    writer.end(an_end(job))

    assert writer.flush(10)
    assert seen == [("after_record", "accepted"), ("told", "accepted")]
    assert writer.stop(10)


def test_being_away_is_logged_once_and_without_content(site: Site) -> None:
    """One line a break, with a class and a count: no text, no URL."""
    job = site.send()
    with structlog.testing.capture_logs() as lines:
        writer = a_writer(Away(site.database, 5))
        writer.start()
        writer.mark([a_mark(job, body="secret")])
        writer.stop(10)

    assert lines == [{"event": "database_away", "error": "OperationalError", "items": 1, "log_level": "warning"}]


def test_sizes_count_bodies(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark weighs its body, everything else a row."""
    jobs, writer = [site.send(str(n)) for n in range(4)], a_writer(site.database)
    for job in jobs[2:]:
        site.runtime.writer.mark([a_mark(job)])
    batches: list[int] = []

    def noted(database: Database, items: Sequence[Any], *given: Any) -> Any:
        batches.append(len(items))
        return commit(database, items, *given)

    monkeypatch.setattr(writer_module, "commit", noted)
    monkeypatch.setattr(writer_module, "MAX_BYTES", 1_200)
    threads, _ = marking(monkeypatch, writer, [a_mark(jobs[0], body="x" * 1_000), a_mark(jobs[1])])
    ends = [writer.end(an_end(job)) for job in jobs[2:]]

    writer.start()
    for thread in threads:
        thread.join(120)

    assert all(pending_write.wait(120) for pending_write in ends)
    assert batches == [3, 1]  # the first end fills the batch that the two marks began
    assert writer.stop(10)
