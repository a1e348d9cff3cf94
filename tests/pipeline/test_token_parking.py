"""What the vendor says to gettoken parks or strikes the account as if it had been said to a send."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.support.noise import plain
from tests.support.runtime import Site, an_account, lost, planted, refused
from worker.control.lift import BY_A_PERSON
from worker.domain.account import Secret
from worker.domain.pacing.lane import Resume, next_midnight
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import change_lanes, list_lanes
from worker.outbox.lanes.tokens import retry_refused_account
from worker.transport.token_probe import POLL_S, TokenProbe

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000
UNTRUSTED = "not allow to access from your ip, hint: [1767225600123456789012347], from ip: 203.0.113.7, more info at x"


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def steps(site: Site) -> list[str]:
    return [row.what for row in site.rows("select what from worker_lane_events order by id")]


def account(site: Site) -> SimpleNamespace:
    with site.database.reading() as connection:
        rows = list_lanes(connection, site.database.now, "hr")
    [row] = [row for row in rows if row["lane"] == "hr"]
    return SimpleNamespace(**row)


def backlog(site: Site) -> list[str]:
    """Texts and a card: two lanes of one account."""
    return [*(site.send(str(n), f"u{n}") for n in range(3)), site.card("u9")]


def look(site: Site) -> None:
    """What every process does now and then."""
    TokenProbe(site.database, site.accounts, site.runtime.tokens).turn()


@pytest.mark.parametrize(
    ("code", "errmsg", "remedy"),
    [
        (60020, UNTRUSTED, "add the IP to the app's trusted IPs; it acts after a minute (the vendor sees 203.0.113.7)"),
        (50003, "app disabled", "enable the app in the admin console"),
        (40013, "invalid corpid", "correct corpid"),
        (45031, "unsafe", "reset the secret in the admin console and configure the new one"),
        (40001, "invalid credential", "correct corpid and secret"),
    ],
)
def test_a_configuration_error_at_gettoken_parks_the_account(site: Site, code: int, errmsg: str, remedy: str) -> None:
    """One gettoken from cold and one a probe; an event, the remedy; then everything goes, nothing died."""
    jobs, other = backlog(site), site.send(account="it")
    site.ring(other)
    site.vendor.says_for_tokens(refused(code, errmsg))
    site.ring(*jobs[:3])
    row = account(site)
    site.ring(jobs[3])
    site.run()
    cold = site.vendor.tokens - 1
    site.vendor.says_for_tokens(refused(code, errmsg))
    site.advance(601)
    for _ in range(3):
        site.run()
    probed, again = site.vendor.tokens - 1, account(site)
    site.advance(601)
    site.run()

    assert (True, remedy, 600 * SECOND) == (bool(row.parked), row.remedy, row.blocked_until - row.now)
    assert plain(row.reason).startswith(f"gettoken: {code} ")
    assert (cold, probed) == (1, 2)
    assert (bool(again.parked), again.blocked_until - again.now) == (True, 600 * SECOND)
    assert [site.state(job) for job in (*jobs, other)] == ["accepted"] * 5
    assert [site.part(job).tries for job in jobs] == [0] * 4
    assert steps(site) == ["parked", "resumed"]


def test_the_event_holds_the_vendors_hint(site: Site) -> None:
    """Its support asks for it; a process that only read the row knows it too."""
    job = site.send()
    site.vendor.says_for_tokens(refused(60020, UNTRUSTED))
    site.ring(job)
    site.sql("delete from worker_lanes")
    site.runtime.lane_states.unblock("hr")
    site.ring(job, probe=True)

    hints = site.rows("select hint from worker_lane_events")
    assert [row.hint for row in hints] == ["1767225600123456789012347"] * 2
    assert site.vendor.tokens == 1


def test_several_processes_make_one_gettoken_a_probe(database: Database, driven_clock: DrivenClock) -> None:
    """Cold, and at each probe; it is parked once."""
    with planted(database, driven_clock) as first, planted(database, driven_clock) as second:
        jobs = [first.send(str(n), f"u{n}") for n in range(4)]
        for site in (first, second):
            site.vendor.says_for_tokens(*[refused(60020, UNTRUSTED)] * 9)
        calls = []
        for _ in range(3):
            for site, job in zip((first, second, first, second), jobs, strict=True):
                site.ring(job, probe=True)
            calls.append(first.vendor.tokens + second.vendor.tokens)
            first.advance(601)
            second.ticks.advance(601)
            second.runtime.lease.beat()

        assert calls == [1, 2, 3]
        assert steps(first) == ["parked"]


def test_another_secret_is_tried_at_once(site: Site) -> None:
    """Seen by looking, well before the interval; the same one is not knocked with again."""
    jobs = backlog(site)
    site.vendor.says_for_tokens(refused(40001))
    site.ring(jobs[0])
    site.advance(POLL_S)
    look(site)
    site.run()
    same = site.vendor.tokens, account(site).blocked_until > account(site).now

    site.accounts.replace(replace(an_account(), secret=Secret(lambda: "s2")))
    look(site)
    site.advance(6)
    site.run()

    assert same == (1, True)
    assert [site.state(job) for job in jobs] == ["accepted"] * 4
    assert (site.vendor.tokens, steps(site)) == (2, ["parked", "resumed"])


def test_an_account_that_is_not_configured_here_is_left_to_others(site: Site) -> None:
    """Its secret may be another elsewhere."""
    site.vendor.says_for_tokens(refused(40001))
    site.ring(site.send())
    site.accounts.replace(an_account("it"))

    look(site)

    assert account(site).blocked_until - account(site).now == 600 * SECOND


def test_what_a_person_resumes_is_tried_now(site: Site) -> None:
    """Also when a thread that had read the old refusal parks it once more."""
    job, database = site.send(), site.database
    site.vendor.says_for_tokens(refused(60020, UNTRUSTED))
    site.ring(job)
    database.run(lambda connection: retry_refused_account(connection, "hr"))
    look(site)
    due = account(site)
    database.run(lambda connection: change_lanes(connection, database.now, [Resume("hr", BY_A_PERSON)]))
    site.advance(6)
    site.run()

    assert (bool(due.parked), due.blocked_until - due.now) == (True, 0)
    assert site.state(job) == "accepted"
    assert steps(site) == ["parked", "resumed"]


def test_a_probe_without_an_answer_keeps_it_parked(site: Site) -> None:
    """A token was given; whether calls get through is not known yet, and one more tries soon."""
    job, other = site.send(duplicate_check=False), site.send("two", "u2")
    site.vendor.says_for_tokens(refused(50003))
    site.ring(job)
    site.advance(601)
    site.vendor.says(lost())
    site.ring(job, probe=True)
    still = bool(account(site).parked)
    site.advance(601)
    site.run()

    assert still
    assert (site.state(job), site.state(other)) == ("unknown", "accepted")
    assert steps(site) == ["parked", "resumed"]


def test_fresh_tokens_that_are_refused_park_it_too(site: Site) -> None:
    """The second within its probation: an event, and the remedy."""
    job = site.send()
    site.vendor.says(refused(40014), refused(40014))
    for _ in range(3):
        site.ring(job)

    row = account(site)
    assert (
        plain(row.reason),
        bool(row.parked),
    ) == ("gettoken: the vendor refuses the token it has just given out", True)
    assert "agentid and secret" in row.remedy
    assert (site.state(job), site.part(job).tries) == ("queued", 0)
    assert (site.vendor.tokens, steps(site)) == (2, ["parked"])


def test_tokens_that_worked_before_they_were_refused_park_nothing(site: Site) -> None:
    """The vendor took tokens back twice within seconds; each had carried a call, so each is replaced."""
    jobs = [site.send(str(n), f"u{n}") for n in range(5)]
    for job in jobs:
        for _ in range(2):
            site.ring(job)
        site.vendor.says(refused(40014))
        site.advance(2)

    assert [site.state(job) for job in jobs] == ["accepted"] * 5
    assert (steps(site), site.vendor.tokens) == ([], 5)


def test_a_frequency_limit_at_gettoken_is_found_by_evidence(site: Site) -> None:
    """By the table of any lane: a minute, an hour, until midnight in Shanghai; a call that goes through ends it."""
    job, waits = site.send(), []
    site.vendor.says_for_tokens(*[refused(45009, "blocked")] * 3)
    for _ in range(3):
        site.ring(job)
        site.ring(job)
        row = account(site)
        waits.append((row.blocked_until - row.now) // SECOND)
        midnight = next_midnight(row.now)
        site.advance(waits[-1] + 1)
    ended = row.blocked_until
    site.ring(job)

    assert ([60, 3_600], midnight) == (waits[:2], ended)
    assert (site.state(job), site.part(job).tries, site.vendor.tokens) == ("accepted", 0, 4)
    assert steps(site) == ["struck", "struck", "struck", "penalty over"]
