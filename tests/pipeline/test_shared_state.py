"""Two installations with outboxes of their own, and one database of tokens, limits and lanes that both use."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from rig.stack import until
from tests.pipeline.suite_site import a_suite
from tests.support.runtime import Site, an_account, planted, refused
from worker.channels.registry import channel
from worker.config.accounts import FixedAccounts
from worker.config.settings import RetentionSettings, Settings
from worker.delivery.maintenance.housekeeping import Housekeeping
from worker.delivery.scheduler.relay import RelayTimes
from worker.domain.callbacks.inbound import ChatChange, ChatNews, Grant, GrantKind, Inbound
from worker.domain.pacing.lane import Cause, LaneBlock, LaneRules, Success
from worker.hooks.callbacks import CallbackStore
from worker.outbox.commit.behind import Behind
from worker.outbox.engine.clock import SECOND, DrivenClock, SqlClock, instant
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.engine.dialect import Dialect
from worker.outbox.lanes import grants
from worker.outbox.lanes.grants import GrantKey, SealedGrant
from worker.outbox.lanes.lanes import Resume, block_lanes
from worker.reporting.limit_usage import usage
from worker.reporting.wait import WaitFor
from worker.reporting.why import why
from worker.service.web.collector import Outbox
from worker.transport.grants import CodeExchanges

APART_S = 3_600
"""Seconds that the clock of the state is ahead of those of the outboxes."""


@pytest.fixture
def state(database: Database) -> Database:
    """The shared state, on each database; its clock is an hour ahead."""
    database.clock = DrivenClock(DrivenClock().micros + APART_S * SECOND)
    return database


@pytest.fixture
def sites(state: Database, driven_clock: DrivenClock, _sqlite_template: Path, tmp_path: Path) -> Iterator[list[Site]]:
    """Two installations with the same account."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                planted(
                    an_outbox(stack, state, driven_clock, _sqlite_template, tmp_path / f"{name}.db"),
                    driven_clock,
                    accounts=[an_account(limits={"app_day": 3})],
                )
            )
            for name in ("one", "two")
        ]


def an_outbox(stack: ExitStack, state: Database, clock: DrivenClock, template: Path, file: Path) -> Database:
    """An outbox under the state's lane key."""
    shutil.copyfile(template, file)
    with state.reading() as connection:
        key = connection.execute(text("select value from worker_site where name = 'lane_key'")).scalar_one()
    database = Database(make_engine(f"sqlite:///{file}"), clock=clock, state=state)
    stack.callback(database._drop_connections)
    with database.writing() as connection:
        connection.execute(text("update worker_site set value = :key where name = 'lane_key'"), {"key": key})
    return database


def rows(database: Database, query: str) -> list[Any]:
    with database.reading() as connection:
        return list(connection.execute(text(query)))


def written(site: Site) -> None:
    site.settle()
    behind = site.runtime.behind
    assert behind is not None
    assert behind.flush(10)


def refuse(*_: Any, **__: Any) -> Any:
    raise OperationalError("select", {}, Exception("server closed the connection"), connection_invalidated=True)


@contextmanager
def away(state: Database) -> Iterator[None]:
    """Meanwhile the state database cannot be reached."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("reading", "writing", "run"):
            patch.setattr(state, name, refuse)
        yield


# -- what is shared ---------------------------------------------------------------------------------------------------


def test_one_gettoken_serves_both(sites: list[Site], state: Database) -> None:
    """The token that one installation fetched is the other's too, and no outbox holds it."""
    one, two = sites

    one.ring(one.send())
    two.ring(two.send())

    assert (1, 0) == (one.vendor.tokens, two.vendor.tokens)
    assert [(1,)] == rows(state, "select generation from worker_tokens")
    assert [] == rows(one.database, "select * from worker_tokens")


def test_both_together_keep_a_limit(sites: list[Site]) -> None:
    """Of a limit of three calls one installation takes two, and the other gets one."""
    one, two = sites
    first = [one.send(str(n), f"u{n}") for n in range(2)]
    second = [two.send(str(n), f"v{n}") for n in range(3)]

    one.ring(*first)
    two.ring(*second)

    assert (2, 1) == (one.vendor.taken, two.vendor.taken)
    assert [] == rows(two.database, "select * from worker_budgets")


def test_a_block_is_seen_by_the_other(sites: list[Site], state: Database) -> None:
    """What the vendor says to one installation keeps the other from calling."""
    one, two = sites
    one.vendor.says(refused(45009, "api freq out of limit"))

    one.ring(one.send())
    written(one)
    job = two.send()
    calls = two.ring(job)

    assert 0 == calls
    assert "queued" == two.state(job)
    assert [(1,)] == rows(state, "select step from worker_lanes")
    assert [] == rows(one.database, "select * from worker_lanes")
    assert [] == rows(one.database, "select * from worker_lane_events")


def test_the_relay_offers_nothing_of_a_lane_that_the_other_has_blocked(sites: list[Site], state: Database) -> None:
    """Blocks hold for the relays of all installations."""
    one, two = sites
    one.vendor.says(refused(60020, "not allow to access from your ip"))
    one.ring(one.send())
    written(one)

    job = two.send()
    two.run(3)

    assert "queued" == two.state(job)
    assert 0 == two.vendor.taken


def test_no_transaction_of_the_outbox_is_open_while_a_lane_begins(
    sites: list[Site], state: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lane that starts slowly is written before the offers: a locked state must not lock the outbox."""
    one, _ = sites
    one.relay = one.new_relay(times=RelayTimes(silence_s=60.0))
    jobs = [one.send(str(n), f"u{n}") for n in range(2)]
    plain, wrote = state.run, list[bool]()

    def run(work: Any, **options: Any) -> Any:
        if "_begin" in work.__qualname__:
            beside = Database(make_engine(str(one.database.engine.url)))
            with beside.writing() as connection:
                connection.execute(text("delete from worker_leases where name = 'nothing'"))
            beside.close()
            wrote.append(True)
        return plain(work, **options)

    monkeypatch.setattr(state, "run", run)
    one.run(3)

    assert wrote
    assert "accepted" == one.state(jobs[0])


def test_one_probe_serves_both(sites: list[Site], state: Database) -> None:
    """When a parked account may be tried, one of the installations tries it; its success opens it for both."""
    one, two = sites
    one.vendor.says(refused(60020, "not allow to access from your ip"))
    job = one.send()
    one.ring(job)
    written(one)
    other = two.send()

    for site in sites:
        site.advance(601)
    assert isinstance(state.clock, DrivenClock)
    state.clock.advance(601)
    one.run(3)
    written(one)
    two.run(3)

    assert ("accepted", "accepted") == (one.state(job), two.state(other))
    assert [] == rows(state, "select lane from worker_lanes where parked = true")


# -- written behind ---------------------------------------------------------------------------------------------------


def test_a_dead_state_holds_up_no_answer(sites: list[Site], state: Database) -> None:
    """A call in the air is recorded while the state is away; its block follows when the state is back."""
    one, _ = sites
    job = one.send()
    with ExitStack() as stack:

        def dies(request: Any) -> Any:
            stack.enter_context(away(state))
            return refused(45009, "api freq out of limit")

        one.vendor.says(dies)
        one.ring(job)

        behind = one.runtime.behind
        assert behind is not None
        left = behind.left
        attempts = one.of("attempts", job)

    written(one)
    assert 0 < left
    assert [45009] == [attempt.errcode for attempt in attempts]
    assert [(1,)] == rows(state, "select step from worker_lanes")


def test_no_call_begins_while_the_state_is_away(sites: list[Site], state: Database) -> None:
    """Without the counts of limits none may be used; the part waits, and costs no attempt."""
    one, _ = sites
    job = one.send()

    with away(state), pytest.raises(OperationalError):
        one.ring(job)
    before = (one.vendor.taken, one.part(job).tries)
    one.bell.leave_missed()
    one.run()

    assert (0, 0) == before
    assert "accepted" == one.state(job)


def test_a_block_that_is_not_written_yet_is_not_taken_for_lifted(sites: list[Site], state: Database) -> None:
    """The state can be read again, and a block of this process is not in it yet: it goes on to hold here."""
    one, _ = sites
    with ExitStack() as stack:

        def locks(request: Any) -> Any:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setattr(state, "run", refuse)
            return refused(45009, "api freq out of limit")

        one.vendor.says(locks)
        job = one.send()
        one.ring(job)
        behind = one.runtime.behind
        assert behind is not None
        until(lambda: behind.is_late, "the thread has tried")
        one.ticks.advance(30)
        one.runtime.lease.beat()

        one.ring(one.send("second"))
        holds = one.runtime.lane_states.closed(one.part(job).lane)

    written(one)
    assert holds
    assert not behind.is_late


def test_instants_are_by_the_clock_of_the_state(sites: list[Site], state: Database) -> None:
    """A block ends by the state's clock, and the call that caused it was marked by that clock too."""
    one, _ = sites
    one.vendor.says(refused(45009, "api freq out of limit"))

    one.ring(one.send())
    written(one)

    [(blocked, at, struck)] = rows(state, "select blocked_until, blocked_at, struck_until from worker_lanes")
    now = state.read_now()
    assert (now + 60 * SECOND, now, now + 60 * SECOND) == (blocked, at, struck)


def test_the_difference_of_the_clocks_is_read_with_each_write(
    sites: list[Site], state: Database, driven_clock: DrivenClock
) -> None:
    """A success of a call that began after the bound was set doubles it, also when a clock was set meanwhile."""
    one, _ = sites
    behind = Behind(one.database, LaneRules())
    assert isinstance(state.clock, DrivenClock)
    state.clock.advance(7_200)
    with state.writing() as connection:
        values = {"now": state.clock.micros, "lane": "hr:1", "account": "hr"}
        insert = (
            "insert into worker_lanes (lane, account, label, blocked_until, reason, parked, blocked_at, step,"
            " struck_until, calls, changed_at, rest_s, failures)"
            " values (:lane, :account, 'send', 0, '', false, 0, 0, 0, 1, :now, 0, 0)"
        )
        connection.execute(text(insert), values)

    behind.put([Success("hr:1", driven_clock.micros, taken=True, judged=True)])
    assert behind.flush(10)
    early = rows(state, "select calls from worker_lanes")
    state.clock.advance(1)
    driven_clock.advance(1)
    behind.put([Success("hr:1", driven_clock.micros, taken=True, judged=True)])
    assert behind.flush(10)

    assert [(1,)] == early
    assert [(2,)] == rows(state, "select calls from worker_lanes")


def test_a_block_that_cannot_be_stored_stops_no_other(sites: list[Site], state: Database) -> None:
    """Of blocks that are refused together each is written by itself."""
    one, _ = sites
    behind = Behind(one.database, LaneRules())
    good = [LaneBlock(f"hr:{n}", "hr", "send", 60.0, "45009") for n in range(2)]
    # No database stores a lone surrogate.
    bad = LaneBlock("hr:9", "hr", "send", 60.0, "\ud800")

    behind.put([good[0], bad, good[1]])
    assert behind.flush(10)

    assert [("hr:0",), ("hr:1",)] == rows(state, "select lane from worker_lanes order by lane")


def test_a_block_that_cannot_be_stored_after_all_keeps_nobody_from_reading_the_others(
    sites: list[Site], state: Database
) -> None:
    """The state was away while it waited; back again it refuses the block, and what it says counts again."""
    one, _ = sites
    behind = Behind(one.database, LaneRules())
    with away(state):
        behind.put([LaneBlock("hr:9", "hr", "send", 60.0, "\ud800")])
        until(lambda: behind.is_late, "the state is away")
    assert behind.flush(10)

    assert not behind.is_late


def test_what_a_callback_lifts_is_lifted_behind_it(sites: list[Site], state: Database) -> None:
    """Blocks and what lifts them are written in their order."""
    one, _ = sites
    behind = Behind(one.database, LaneRules())
    block = LaneBlock("hr:1", "hr", "chat", 60.0, "gone", "add it", parked=True, cause=Cause.CHAT)

    behind.put([block, Resume(("hr:1",), "it is in the chat again", Cause.CHAT)])
    behind.put([block])
    assert behind.stop(10)

    assert ["parked", "resumed", "parked"] == [
        what for (what,) in rows(state, "select what from worker_lane_events order by id")
    ]
    assert [(True,)] == [(bool(parked),) for (parked,) in rows(state, "select parked from worker_lanes")]


def test_a_state_that_stays_away_does_not_keep_a_process_from_ending(sites: list[Site], state: Database) -> None:
    """What lanes have not heard is lost then, and it is said."""
    one, _ = sites
    behind = Behind(one.database, LaneRules())

    with away(state):
        behind.put([LaneBlock("hr:1", "hr", "send", 60.0, "45009")])
        ended = behind.stop(0.05)

    assert not ended


# -- what an outbox does with its own state ---------------------------------------------------------------------------


def test_without_the_setting_one_transaction_writes_part_and_lane(
    database: Database, driven_clock: DrivenClock
) -> None:
    """The outbox holds the lanes: a result and its block are one transaction, as before, and no thread is beside it."""
    with planted(database, driven_clock) as site:
        site.vendor.says(refused(45009, "api freq out of limit"))
        job = site.send()
        ran: list[Callable[[Connection], Any]] = []
        plain = site.database.run

        def counted(work: Callable[[Connection], Any], **options: Any) -> Any:
            if "commit.<locals>" in work.__qualname__:
                ran.append(work)
            return plain(work, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(site.database, "run", counted)
            site.ring(job)
            lanes = site.rows("select step from worker_lanes")

        assert site.runtime.behind is None
        assert site.database.state is site.database
        # The mark, and the end with its block.
        assert 2 == len(ran)
        assert [1] == [lane.step for lane in lanes]


def test_without_the_setting_the_state_is_on_the_same_connection(database: Database) -> None:
    """Reads of the state take no other connection."""
    with database.reading() as connection, database.reading_state(connection) as state:
        read_on_it = state.connection is connection

    assert read_on_it
    assert not database.shares_state


# -- codes and chains -------------------------------------------------------------------------------------------------


def test_a_code_that_this_process_cannot_exchange_is_left_to_others(state: Database) -> None:
    """Its row stays as it is: a process of another installation, which has the suite, may take it at once."""
    key = GrantKey(GrantKind.AUTH_CODE, "theirsuite", "x")
    state.run(lambda c: grants.keep(c, state.read_now(), SealedGrant(key, "sealed", state.read_now(), 600)))
    exchanges = CodeExchanges(state, FixedAccounts([]), None, None)  # type: ignore[arg-type]

    exchanges.turn()
    exchanges.turn()

    assert [(None,)] == rows(state, "select lease_until from worker_grants")


def test_an_order_passes_a_part_whose_lane_the_state_has_parked(sites: list[Site], state: Database) -> None:
    """Recovery asks the state which lanes are parked."""
    one, _ = sites
    first = one.send("one", order_key="o", on_gap="skip")
    one.clock.advance(1)
    second = one.card(order_key="o", on_gap="skip")
    parked = LaneBlock(one.part(first).lane, "hr", "send", 600.0, "no", "do", parked=True)
    state.run(lambda connection: block_lanes(connection, state.now, [parked]))

    one.run(3)
    with away(state):
        one.recover()
    one.ring(second)
    before = one.state(second)
    one.recover()
    one.run(3)

    assert "queued" == before
    assert ("queued", "accepted") == (one.state(first), one.state(second))


# -- what people and programs read ------------------------------------------------------------------------------------


def test_why_tells_of_the_other_installations_block_by_the_own_clock(sites: list[Site], state: Database) -> None:
    """Application code gives an engine of the state; without it the lanes of the outbox are read, where none stands."""
    one, two = sites
    one.vendor.says(refused(45009, "api freq out of limit"))
    one.ring(one.send())
    written(one)
    job = two.send()

    with two.database.reading() as connection, state.reading() as its:
        [wait] = why(connection, job, state=its, clock=Clocks(two.clock, connection, state.clock)).waits
        [alone] = why(connection, job, clock=two.clock).waits

    assert (WaitFor.BLOCK, instant(two.clock.micros + 60 * SECOND)) == (wait.what, wait.until)
    assert WaitFor.BLOCK is not alone.what


class Clocks:
    """The clock of each database, told by its dialect and number of connections asked for."""

    def __init__(self, own: SqlClock, connection: Connection, of_state: SqlClock):
        self._own, self._of_state, self._asked = own, of_state, 0

    def now(self, dialect: Dialect) -> str:
        """The outbox is asked first, then the state."""
        self._asked += 1
        return (self._own if self._asked == 1 else self._of_state).now(dialect)


def test_used_limits_are_those_of_all_installations(sites: list[Site], state: Database) -> None:
    """What one installation has used counts in what the other is told."""
    one, two = sites
    one.ring(one.send())
    account = two.accounts.get("hr")

    with two.database.reading() as connection, two.database.reading_state(connection) as its:
        rows = usage(connection, two.database.now, channel(account.channel), account, state=its)

    assert 1 == next(row.used for row in rows if row.counted.limit.name == "app_day")


def test_a_gauge_tells_whether_the_state_answers(sites: list[Site], state: Database) -> None:
    """While it is away, the backlog of the outbox is still told."""
    one, _ = sites
    one.send()
    outbox = Outbox(one.database, one.accounts, 5)

    there = {metric.name: metric for metric in outbox.collect()}
    with away(state):
        gone = {metric.name: metric for metric in outbox.collect()}
    alone = {metric.name for metric in Outbox(state, one.accounts, 5).collect()}

    assert 1 == there["worker_state_database_up"].samples[0].value
    assert 0 == gone["worker_state_database_up"].samples[0].value
    assert {"worker_database_up", "worker_backlog_parts"} <= gone.keys()
    assert "worker_limit_used" not in gone
    assert "worker_state_database_up" not in alone


def test_housekeeping_purges_the_state_by_its_clock(sites: list[Site], state: Database) -> None:
    """Steps of lanes that are old by the state's clock go; the rounds of the outbox's own tables go on without it."""
    one, _ = sites
    one.vendor.says(refused(45009, "api freq out of limit"))
    one.ring(one.send())
    written(one)
    assert isinstance(state.clock, DrivenClock)
    state.clock.advance(31 * 86_400)

    gone = Housekeeping(one.database, RetentionSettings(), one.ticks).round()
    with away(state), pytest.raises(OperationalError):
        Housekeeping(one.database, RetentionSettings(), one.ticks).round()

    assert {"lane_events"} <= gone.keys()
    assert [] == rows(state, "select * from worker_lane_events")


# -- callbacks --------------------------------------------------------------------------------------------------------


def brought(kind: GrantKind, secret: str, at: int) -> Inbound:
    """A callback of a suite that brings a credential."""
    return Inbound("suite_ticket", "", at, (kind.value, secret, str(at)), {}, grant=Grant(kind, secret))


def test_what_a_callback_brings_is_kept_in_the_state_once(sites: list[Site], state: Database) -> None:
    """A repeat of a stored callback does not bring a code back that was exchanged meanwhile."""
    one, _ = sites
    one.accounts.replace(a_suite("http://vendor"))
    store = CallbackStore(one.database, Settings(), one.accounts)
    told = brought(GrantKind.AUTH_CODE, "code", one.clock.micros // SECOND)

    first = store.store("oursuite", told)
    kept = rows(state, "select kind from worker_grants")
    with state.writing() as connection:
        connection.execute(text("delete from worker_grants"))
    again = store.store("oursuite", told)

    assert (True, False) == (first, again)
    assert [("auth_code",)] == kept
    assert [] == rows(state, "select kind from worker_grants")
    assert [] == rows(one.database, "select kind from worker_grants")


def test_a_callback_whose_credential_cannot_be_kept_is_not_stored(sites: list[Site], state: Database) -> None:
    """The vendor sends it again; one without a credential is stored all the same."""
    one, _ = sites
    one.accounts.replace(a_suite("http://vendor"))
    store = CallbackStore(one.database, Settings(), one.accounts)
    told = brought(GrantKind.TICKET, "ticket", one.clock.micros // SECOND)

    with away(state):
        with pytest.raises(OperationalError):
            store.store("oursuite", told)
        other = store.store("oursuite", replace(told, grant=None, identity=("other",)))
    before = len(rows(one.database, "select id from worker_inbound"))
    repeated = store.store("oursuite", told)

    assert (True, 1, True) == (other, before, repeated)
    assert [("ticket",)] == rows(state, "select kind from worker_grants")


def test_news_of_a_chat_park_and_open_its_lane_in_the_state(sites: list[Site], state: Database) -> None:
    """The callback is stored at once, also while the state is away; its lane follows."""
    one, _ = sites
    store = CallbackStore(one.database, Settings(), one.accounts)
    news = ChatNews("c1", "group", ChatChange.GONE, lanes=("send c1",))
    at = one.clock.micros // SECOND
    gone = Inbound("x", "", at, ("gone",), {}, chat=news)
    back = Inbound("x", "", at + 1, ("back",), {}, chat=replace(news, change=ChatChange.ADDED))

    with away(state):
        stored = store.store("hr", gone)
    behind = store.behind
    assert behind.flush(10)
    parked = rows(state, "select cause from worker_lanes where parked = true")
    store.store("hr", back)
    assert behind.flush(10)

    assert stored
    assert [("chat",)] == parked
    assert [] == rows(state, "select lane from worker_lanes where parked = true")
    assert [] == rows(one.database, "select lane from worker_lanes")
