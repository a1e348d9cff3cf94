"""What commits count: as often as it happened and no more, whatever the database does to a commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

import pytest
from sqlalchemy.exc import OperationalError

from tests.support.runtime import Site, an_account, busy, lost, planted, refused, unsent
from worker.domain.call import CallResult
from worker.domain.job import part_id
from worker.domain.outcome import Accepted, CallReceipt, Progress, Verdict
from worker.domain.settle import Policy
from worker.outbox.commit.commands import CallEnd, Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.counting import BufferedCounts, count, totals
from worker.outbox.engine.database import Database
from worker.outbox.upkeep import totals as upkeep
from worker.outbox.upkeep.totals import Totals, add_up

Found = dict[tuple[str, ...], int]


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as site:
        yield site


def counted(site: Site, name: str) -> Found:
    """A counter's sums by the values of its labels."""
    with site.database.reading() as connection:
        found = totals(connection)
    return {tuple(rest): value for (first, *rest), value in _split(found) if first == name}


def _split(found: Counter[str]) -> list[tuple[list[str], int]]:
    return [(name.split("\t"), value) for name, value in found.items()]


def test_calls_and_ends_are_counted_by_what_came_of_them(site: Site) -> None:
    """Each call by its outcome and code, each part by its end; a code that the channel does not know is no label."""
    site.vendor.says(busy(), refused(40003), refused(987_654_321), lost(), unsent("reset"))
    for text in ("again", "never", "odd", "doubt", "unsent"):
        site.ring(site.send(text, duplicate_check=False))
    site.ring(site.send("well"))

    of = ("wecom_app", "hr", "send")
    assert {
        (*of, "retry", "-1"): 1,
        (*of, "rejected", "40003"): 1,
        (*of, "rejected", "other"): 1,
        (*of, "unknown", ""): 1,
        (*of, "retry", "unsent"): 1,
        (*of, "accepted", "0"): 1,
    } == counted(site, "attempts")
    assert {(*of, "rejected"): 2, (*of, "accepted"): 1} == counted(site, "parts_ended")
    assert {of: 1} == counted(site, "unknowns")
    assert _observed(counted(site, "call_seconds")) == 5


def _observed(found: Found) -> int:
    return sum(value for labels, value in found.items() if labels[-1] != "sum")


def test_counts_agree_with_the_rows_of_attempts(site: Site) -> None:
    """Also of a call that was answered late, which is counted as such and stays in doubt among the attempts."""
    site.vendor.says(lost(), lost(), busy())
    jobs = [site.send(str(n)) for n in range(4)]
    for job in jobs:
        site.ring(job)
    site.advance(60)
    site.recover()
    site.run()
    part = site.part(jobs[0])
    end = CallEnd(part.id, 1, part.incarnation, Verdict(Accepted(CallReceipt("m9")), 0), 5)
    commit(site.database, [end], Policy())

    rows = site.rows("select outcome, count(*) as n from worker_attempts group by outcome")
    found: Counter[str] = Counter()
    for labels, value in counted(site, "attempts").items():
        found[labels[3]] += value
    assert {row.outcome: row.n for row in rows} == dict(found)
    assert counted(site, "late_answers") == {("wecom_app", "hr", "accepted"): 1}


@pytest.mark.parametrize("first", [busy(), unsent()], ids=["busy", "unsent"])
def test_times_are_counted_from_when_a_part_was_due(site: Site, first: CallResult) -> None:
    """To its first call, which a retry does not move, and to its end."""
    site.vendor.says(first)
    job = site.send(priority="urgent")
    site.advance(40)
    site.ring(job)
    site.advance(1_000)
    site.ring(job)

    assert counted(site, "first_call_seconds") == {("urgent", "60.0"): 1, ("urgent", "sum"): 40_000_000}
    assert counted(site, "end_seconds") == {("urgent", "3600.0"): 1, ("urgent", "sum"): 1_040_000_000}


def test_the_pages_of_a_track_have_one_first_call(site: Site) -> None:
    """Though its age starts anew with each of them."""
    part = part_id(site.send(), 0)
    for claim in range(3):
        site.advance(10)
        commit(site.database, [Mark(part, claim, "p1", 20_000_000)], Policy())
        end = CallEnd(part, claim + 1, "p1", Verdict(Progress({}, "page"), 0), 5)
        commit(site.database, [end], Policy())

    assert counted(site, "first_call_seconds") == {("normal", "10.0"): 1, ("normal", "sum"): 10_000_000}


def test_a_time_beyond_all_bounds_is_counted_too(site: Site) -> None:
    """Of what waited for longer than a day."""
    job = site.send()
    site.advance(100_000)
    site.ring(job)

    assert counted(site, "first_call_seconds") == {("normal", "+Inf"): 1, ("normal", "sum"): 100_000_000_000}


def test_no_time_is_counted_before_the_job_was_there(site: Site) -> None:
    """Some write a time long ago for: at once. A few such jobs made the sum of all times too large for its column."""
    for n in range(3):
        site.ring(site.send(str(n), due_at=datetime(1, 1, 2, tzinfo=UTC)))

    assert counted(site, "first_call_seconds") == {("normal", "0.1"): 3, ("normal", "sum"): 0}
    assert counted(site, "end_seconds") == {("normal", "0.1"): 3, ("normal", "sum"): 0}


def test_a_commit_whose_answer_was_lost_counts_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made again, finds its own mark and its own end, and counts neither a second time."""
    job = site.send()
    mark = Mark(part_id(job, 0), 0, "p1", 20_000_000)
    end = CallEnd(part_id(job, 0), 1, "p1", Verdict(Accepted(CallReceipt("m1")), 0), 5, errcode_label="0")

    for item in (mark, mark, end, end):
        commit(site.database, [item], Policy())

    assert counted(site, "attempts") == {("wecom_app", "hr", "send", "accepted", "0"): 1}
    assert counted(site, "parts_ended") == {("wecom_app", "hr", "send", "accepted"): 1}
    assert counted(site, "commit_items") == {("1.0",): 2, ("sum",): 2}


def test_a_part_whose_process_died_is_counted_with_its_doubt(site: Site) -> None:
    """Recovery writes the attempt, so it counts the call and the doubt."""
    job = site.send(duplicate_check=False)
    commit(site.database, [Mark(part_id(job, 0), 0, "gone", 20_000_000)], Policy())
    site.advance(300)
    site.recover()

    assert counted(site, "attempts") == {("wecom_app", "hr", "send", "unknown", ""): 1}
    assert counted(site, "unknowns") == {("wecom_app", "hr", "send"): 1}
    assert counted(site, "first_call_seconds") == {("normal", "0.1"): 1, ("normal", "sum"): 0}


def test_rows_are_added_up_and_nothing_is_counted_twice(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lot after lot; a reader sees the same sums before, between and after."""
    monkeypatch.setattr(upkeep, "ROWS", 3)
    for n in range(7):
        site.database.run(partial(count, name="callbacks", times=n))

    adding, seen = Totals(site.database), [counted(site, "callbacks")]
    delays: list[float] = []
    while not delays or not delays[-1]:
        delays.append(adding.turn())
        seen.append(counted(site, "callbacks"))

    assert seen == [{(): 21}] * 4
    assert [0.0, 0.0, upkeep.EVERY_S] == delays
    assert site.rows("select id from worker_counts") == []


def test_a_sum_starts_again_before_it_is_too_large(site: Site) -> None:
    """As Prometheus expects of a counter. Else no row would be added up any more, of this or of any other counter."""
    for times in (2**62, 5, 7):
        site.database.run(partial(count, name="callbacks", times=times))
        site.database.run(add_up)

    assert counted(site, "callbacks") == {(): 12}


def test_processes_that_add_up_at_once_add_each_row_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader that was thought to be dead may still be at it."""
    monkeypatch.setattr(upkeep, "ROWS", 3)
    for _ in range(60):
        site.database.run(lambda connection: count(connection, "callbacks", "hr", "stored"))

    def all_of_them(_: int) -> int:
        return sum(iter(lambda: site.database.run(add_up), 0))

    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(all_of_them, range(4)))

    assert counted(site, "callbacks") == {("hr", "stored"): 60}
    assert sum(added) == 60


def test_what_no_transaction_counts_is_kept_while_the_database_is_away(site: Site) -> None:
    """And is written once when it is back, also when the answer of the first commit was lost."""
    loose = BufferedCounts(site.database)
    loose.add("callbacks_refused", "hr", "403")
    with site.database_away(), pytest.raises(OperationalError):
        loose.flush()
    loose.add("callbacks_refused", "hr", "403", times=2)
    loose.flush()
    loose.flush()

    assert counted(site, "callbacks_refused") == {("hr", "403"): 3}


def test_fetches_of_tokens_are_counted(database: Database, driven_clock: DrivenClock) -> None:
    """Granted and refused, by account."""
    with planted(database, driven_clock, accounts=[an_account(), an_account("it", settings={"corpid": "ww2"})]) as site:
        site.vendor.says_for_tokens(refused(40001))
        site.ring(site.send("refused"))
        site.ring(site.send("granted", account="it"))

        assert counted(site, "token_fetches") == {("hr", "refused"): 1, ("it", "granted"): 1}
        assert counted(site, "lane_events") == {("hr", "parked"): 1}
