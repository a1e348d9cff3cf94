"""How much of each limit is used, read where admission keeps it."""

from __future__ import annotations

import pytest

from tests.support.housekeeping import keep_house
from tests.support.runtime import Site, an_account, planted
from worker import To
from worker.channels.registry import channel
from worker.config.settings import RetentionSettings
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.reporting.limit_usage import Usage, usages

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


def read(site: Site, account: str = "hr", recipient: str | None = None) -> dict[str, Usage]:
    """The limits of sends, by name."""
    found = site.accounts.get(account)
    with site.database.reading() as connection:
        own = [(channel(found.channel), found)]
        rows = usages(connection, site.database.now, own, recipient, count_waiting=True)[account]
    return {row.counted.limit.name: row for row in rows if "cgi-bin" not in row.counted.subject_kind}


def test_use_and_room_are_those_that_admission_sees(database: Database, driven_clock: DrivenClock) -> None:
    """Of the app's day in person-times, of one member when he is named; and how many parts wait."""
    accounts = [an_account(settings={"account_cap": 10}, limit_share=0.5), an_account("it", settings={"agentid": 8})]
    with planted(database, driven_clock, accounts=accounts) as site:
        site.ring(*[site.send(str(n)) for n in range(15)])
        site.ring(site.send("all", To("anna|bert")), site.send("full"))

        app, member = read(site)["app_day"], read(site, recipient="LISI")["member_minute"]

        assert (app.counted.limit.amount, app.used, app.room, app.room_in_s) == (1_000, 17, 983, 0)
        assert (member.counted.limit.amount, member.used, member.room, member.waiting) == (15, 15, 0, 1)
        assert read(site)["member_minute"].waiting == 1
        assert 60 < (member.room_in_s or 0) < 61
        assert None is read(site)["member_minute"].used
        assert read(site, "it")["member_minute"].waiting == 0
        assert (read(site, "it")["app_day"].counted.limit.amount, read(site, "it")["app_day"].used) == (0, None)
        site.advance(61)
        assert read(site, recipient="lisi")["member_minute"].room == 15


def test_corps_behind_one_address_share_its_limit(database: Database, driven_clock: DrivenClock) -> None:
    """Three corps that each stay within their own would exceed the address's together: the last of them waits."""
    accounts = [
        an_account(name, settings={"corpid": f"ww-{name}", "ip": "office"}, limits={"ip_minute": 2})
        for name in ("hr", "it", "pr")
    ]
    with planted(database, driven_clock, accounts=accounts) as site:
        sends = [site.send(name, account=name) for name in ("hr", "it", "pr")]
        for send in sends:
            site.ring(send)
        recalls = [site.recall(send) for send in sends]

        called = [site.ring(recall) for recall in recalls]

        assert called == [1, 1, 0]
        assert [site.state(recall) for recall in recalls] == ["accepted", "accepted", "queued"]
        site.advance(61)
        site.runtime.lane_states.unblock("pr")
        site.run()
        assert site.state(recalls[2]) == "accepted"


ODD = [
    "",
    "{",
    "7",
    "null",
    "[[]]",
    "[[1, 2]]",
    '["abc"]',
    '[[1, "2", 3]]',
    '{"abc": 1}',
    "[[null, 1, 2]]",
    "[" * 100_000,
]


@pytest.mark.fewer_databases("what Python reads of a text; each database stores it as it is")
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd[:9])
def test_a_row_that_cannot_be_read_stops_no_call(database: Database, driven_clock: DrivenClock, odd: str) -> None:
    """Nor who asks for the room, nor the housekeeping; it counts as empty, and is counted anew from then on."""
    with planted(database, driven_clock) as site:
        site.ring(site.send("first"))
        site.sql("update worker_budgets set buckets = :odd", odd=odd)
        room = read(site, recipient="lisi")["member_minute"]
        jobs = [site.send(f"{n}", to) for n, to in enumerate(("lisi", "wangwu"))]
        site.ring(*jobs)
        site.sql("update worker_budgets set buckets = :odd", odd=odd)
        keep_house(site.database, RetentionSettings())

        assert [site.state(job) for job in jobs] == ["accepted"] * 2
        assert (room.used, room.room) == (0, 30)


def test_reading_makes_no_row(database: Database, driven_clock: DrivenClock) -> None:
    """Nothing was used: all is room."""
    with planted(database, driven_clock) as site:
        found = read(site, recipient="nobody")

        assert (found["member_minute"].used, found["member_minute"].room) == (0, 30)
        assert site.rows("select id from worker_budgets") == []
