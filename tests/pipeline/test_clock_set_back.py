"""The database's clock is set back: nobody knows how old a doubt is, so a repeat that needs a window is held."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest

from tests.support.runtime import SEND, Site, an_account, busy, lost, planted, refused
from worker.delivery.maintenance import recovery
from worker.delivery.sender.lease import Leadership
from worker.domain import settle
from worker.domain.job import part_id
from worker.domain.settle import Policy
from worker.outbox import tables
from worker.outbox.commit.commands import Change, Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.clock import SECOND, SKEW_US, DrivenClock, micros
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import execute, fetch
from worker.outbox.lanes import tokens
from worker.outbox.lanes.processes import renew_heartbeat
from worker.transport.token_probe import TokenProbe

BACK_S = 8 * 3_600.0


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def doubtful(site: Site, **options: str) -> str:
    """A text whose call was not answered."""
    site.vendor.says(lost())
    job = site.send(**options)
    site.ring(job)
    return job


def live_through(site: Site, seconds: float = BACK_S) -> None:
    """Lets the worker go on from now until the clock is where it was before it was set back."""
    site.recover()
    site.advance(seconds + 26)
    site.recover()
    site.run()


def test_a_doubt_from_the_future_is_held(site: Site) -> None:
    """Its repeat would come eight hours later, when the vendor has forgotten the first call."""
    job = doubtful(site)

    site.clock.advance(-BACK_S)
    live_through(site)

    assert len(site.calls(SEND)) == 1
    assert (site.state(job), site.part(job).not_before) == ("unknown", None)
    assert settle.SET_BACK in site.part(job).reason


def test_a_queued_repeat_from_the_future_is_held(site: Site) -> None:
    """It waited for its turn when the clock was set back, and would not have been due before eight hours later."""
    job = doubtful(site)
    site.advance(26)
    site.recover()
    queued = site.state(job)

    site.clock.advance(-BACK_S)
    live_through(site)

    assert (queued, site.state(job)) == ("queued", "unknown")
    assert len(site.calls(SEND)) == 1
    assert settle.SET_BACK in site.part(job).reason


def test_the_search_for_repeats_from_the_future_goes_through_the_queue_page_by_page(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million jobs for later, read in one turn, would keep recovery from everything else for many seconds."""
    monkeypatch.setattr(recovery, "QUEUE_PAGE", 2, raising=False)
    job = doubtful(site)
    site.advance(26)
    site.recover()
    site.clock.advance(-BACK_S)
    for n in range(5):
        site.send(f"{n}", due_at=timedelta(hours=1))

    states = []
    for _ in range(3):
        site.recover()
        states.append(site.state(job))

    assert states == ["queued", "queued", "unknown"]


def test_a_repeat_that_is_due_too_early_is_held_at_its_mark(site: Site) -> None:
    """Something woke it before recovery looked at it."""
    job = doubtful(site)

    site.clock.advance(-BACK_S)
    site.runtime.writer.change([Change(site.part(job).id, settle.repeat)])
    site.settle()
    site.run()

    assert len(site.calls(SEND)) == 1
    assert settle.SET_BACK in site.part(job).reason


@pytest.mark.parametrize("state", ["unknown", "queued"])
def test_a_job_that_wants_twice_rather_than_never_is_repeated_at_once(site: Site, state: str) -> None:
    """Not eight hours later."""
    job = doubtful(site, on_unknown="resend")
    if state == "queued":
        site.advance(26)
        site.recover()

    site.clock.advance(-BACK_S)
    site.recover()
    site.run()

    assert len(site.calls(SEND)) == 2
    assert site.state(job) == "accepted"


def test_a_process_that_died_before_counts_as_dead(site: Site) -> None:
    """Its lease ends eight hours later by the clock, and its part would be repeated after that."""
    with site.database.writing() as connection:
        renew_heartbeat(
            connection, site.database.now, "other", lease_us=10 * SECOND, threads=4, host="h", pid=1, lanes="{}"
        )
    job = site.send()
    mark = Mark(part_id(job, 0), 0, "other", 20 * SECOND, window_id="w", window_us=4 * 3_600 * SECOND)
    commit(site.database, [mark], Policy())

    site.clock.advance(-BACK_S)
    for _ in range(13):
        site.advance(1)
        site.recover()

    assert (site.state(job), site.part(job).not_before) == ("unknown", None)
    assert settle.SET_BACK in site.part(job).reason


@pytest.mark.parametrize(("back_s", "is_free"), [(BACK_S, True), (60.0, False)])
def test_a_lease_from_the_future_is_free(site: Site, back_s: float, is_free: bool) -> None:
    """Nobody renews it, and nothing would be sent until the clock is there again."""
    first, second = (
        Leadership(site.database, "work", holder=partial(str, name), lease_s=10.0, monotonic=site.ticks)
        for name in ("first", "second")
    )
    first.lead()

    site.clock.advance(-back_s)

    assert is_free is second.lead()


@pytest.mark.every_database
def test_a_members_limit_of_the_future_ends_with_its_window(site: Site) -> None:
    """Its units may count at the vendor for a minute from now; they would have counted for eight hours."""
    site.finish()
    with planted(site.database, site.clock, accounts=[an_account(limits={"member_minute": 2})]) as limited:
        limited.recover()
        limited.clock.advance(BACK_S)
        for n in range(2):
            limited.send(f"then {n}")
        limited.run()
        limited.clock.advance(-BACK_S)
        jobs = [limited.send(f"now {n}") for n in range(2)]
        limited.run()
        at_once = [limited.state(job) for job in jobs]
        limited.advance(70)
        limited.recover()
        limited.run()

        assert at_once == ["queued", "queued"]
        assert [limited.state(job) for job in jobs] == ["accepted", "accepted"]


@pytest.mark.every_database
def test_what_is_due_by_the_old_clock_is_sent(site: Site) -> None:
    """A retry, and a job that was enqueued meanwhile, not eight hours later. What a producer put off waits."""
    retry, scheduled = site.send("retry"), site.send("put off", due_at=timedelta(hours=9))
    site.recover()
    site.clock.advance(BACK_S)
    site.recover()
    site.vendor.says(busy())
    site.ring(retry)
    meanwhile = site.send("meanwhile")
    site.clock.advance(-BACK_S)

    site.recover()
    site.run()

    assert [site.state(job) for job in (retry, meanwhile, scheduled)] == ["accepted", "accepted", "queued"]


WAITS: list[tuple[str, str]] = [
    ("worker_parts", "offered_until"),
    ("worker_events", "due_at"),
    ("worker_events", "offered_until"),
    ("worker_ended_tags", "check_at"),
]


@pytest.mark.every_database
def test_nothing_waits_for_the_old_clock(site: Site) -> None:
    """Offers, hooks, checks of tags: what would wait eight hours goes on, and what waits a minute waits.

    Times of a small step back stay, for they may be honest.
    """
    soon, later = (site.clock.micros + micros(seconds) for seconds in (60.0, BACK_S + 60))
    parts = [part_id(site.send(name), 0) for name in ("soon", "later")]
    with site.database.writing() as connection:
        for part, name, at in zip(parts, ("soon", "later"), (soon, later), strict=True):
            execute(connection, "update worker_parts set offered_until = :at where id = :id", {"at": at, "id": part})
            event = {"id": name, "kind": "job_done", "state": 0, "due_at": at, "offered_until": at, "created_at": at}
            insert_rows(connection, tables.events, [event])
            tag = {"tag": name, "note": "n", "ended_at": at, "check_at": at}
            insert_rows(connection, tables.ended_tags, [tag])
    site.clock.advance(BACK_S)
    site.recover()
    site.clock.advance(-BACK_S)

    site.recover()

    for table, column in WAITS:
        with site.database.reading() as connection:
            found = fetch(connection, f"select {column} from {table} where {column} is not null", {})
        assert [soon] == [at for (at,) in found if at > site.clock.micros], (table, column)


@pytest.mark.every_database
def test_a_block_of_the_future_lasts_as_long_as_it_was_meant_to(site: Site) -> None:
    """A minute, not eight hours; and the next refusal is the first of its kind again once the minute is over."""
    site.clock.advance(BACK_S)
    site.vendor.says(refused(45009))
    job = site.send()
    site.ring(job)
    site.clock.advance(-BACK_S)
    lane = site.part(job).lane

    site.recover()
    found = site.lane(lane)
    assert found is not None
    now = site.clock.micros

    assert now < found.blocked_until <= now + 60 * SECOND
    assert found.struck_until <= found.blocked_until + 60 * SECOND
    assert (found.blocked_at, found.changed_at) == (now, now)


@pytest.mark.every_database
@pytest.mark.parametrize("code", [40001, 45009], ids=["a refused secret", "a vendor that is busy"])
def test_a_wait_for_a_token_of_the_future_is_over(site: Site, code: int) -> None:
    """A refused secret is tried again, and a pause ends, within the usual time and not eight hours later."""
    job = site.send()
    site.clock.advance(BACK_S)
    site.recover()
    site.vendor.says_for_tokens(refused(code))
    site.ring(job)
    asked = site.vendor.tokens
    site.clock.advance(-BACK_S)

    site.recover()
    for _ in range(2):
        TokenProbe(site.database, site.accounts, site.runtime.tokens).turn()
        site.run()
        site.advance(70)

    assert (asked, site.vendor.tokens) == (1, 2)
    assert site.state(job) == "accepted"


@pytest.mark.every_database
def test_a_fetch_of_the_future_by_a_process_that_died_is_over(site: Site) -> None:
    """No process would fetch a token for eight hours, as long as the dead one seems to be at it."""
    site.ring(site.send())
    [row] = site.rows("select account, fingerprint, generation from worker_tokens")
    site.advance(3 * 3_600)
    site.clock.advance(BACK_S)
    key = tokens.TokenKey(row.account, row.fingerprint)
    assert tokens.lease_fetch(site.database, key, row.generation, holder="dead", seconds=15)
    site.clock.advance(-BACK_S)

    job = site.send()
    site.run()

    assert site.state(job) == "accepted"


def test_a_small_step_back_changes_nothing(site: Site) -> None:
    """The vendor's window has room for what may be the error of a clock."""
    job = doubtful(site)

    site.clock.advance(-SKEW_US / SECOND)
    live_through(site, SKEW_US / SECOND)

    assert len(site.calls(SEND)) == 2
    assert site.state(job) == "accepted"
