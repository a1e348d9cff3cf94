"""What keeps accounts and lanes from sending is a log line when it begins, and one when it ends."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.runtime import Site, an_account, planted, refused, unsent
from worker.control.lift import lift
from worker.control.pause import pause, resume
from worker.domain.account import Secret
from worker.domain.errors import ConfigurationError
from worker.domain.job_filter import JobFilter
from worker.domain.pacing.lane import LaneBlock
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import change_lanes
from worker.outbox.lanes.processes import renew_heartbeat
from worker.reporting.problems import find_problems, read_outbox
from worker.service.wait_log import EVERY_S, GONE_S, WaitLog

pytestmark = pytest.mark.fewer_databases("`test_lanes` reads the waiting lanes on each database")

Line = MutableMapping[str, Any]


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        planted_site.relay.lead()
        yield planted_site


def wait_log(site: Site, **more: Any) -> WaitLog:
    """The log of a process that runs the relay, unless `more` says otherwise."""
    values = {"is_leader": lambda: site.relay.active, "lane_states": site.runtime.lane_states, **more}
    return WaitLog(site.database, monotonic=site.ticks, **values)


def watch(site: Site, log: WaitLog, seconds: float, *, sending: bool = True) -> list[Line]:
    """The lines of the log in the next seconds, in which the process works."""
    lines = list[Line]()
    for _ in range(int(seconds / EVERY_S)):
        if sending:
            site.run()
        with capture_logs() as logged:
            log.turn()
        lines += logged
        site.advance(EVERY_S)
    return lines


def told(lines: list[Line], *names: str) -> list[tuple[Any, ...]]:
    return [(line["event"], *(line.get(name) for name in names)) for line in lines]


def test_a_vendor_that_cannot_be_reached_is_one_line_until_it_answers(site: Site) -> None:
    """From the first failed token on, before any breaker opens; then that it goes on."""
    log = wait_log(site)
    site.vendor.says_for_tokens(*[unsent("refused")] * 90)
    job = site.send()
    away = watch(site, log, 60)
    site.vendor.heals()
    back = watch(site, log, 80)

    assert told(away, "account", "reason")[:1] == [("waits", "hr", "gettoken: refused")]
    assert 3 >= len(away), away
    assert ("goes_on", "hr") in told(back, "account")
    assert site.state(job) == "accepted"
    assert watch(site, log, 20) == []


def test_what_is_parked_ends_with_whoever_resumes_it(site: Site) -> None:
    """A process that takes over says it again, for its log began later."""
    log = wait_log(site)
    site.vendor.says(*[refused(50003, "disabled")] * 3)
    site.send()
    parked = watch(site, log, 20)
    later = watch(site, wait_log(site), EVERY_S)
    site.vendor.heals()
    lift("hr", person="ada", database=site.database)
    ended = watch(site, log, 20)

    assert told(parked, "what", "account") == [("waits", "parked", "hr")]
    assert parked[0]["remedy"] == "enable the app in the admin console"
    assert told(parked, "reason") == told(later, "reason")
    assert told(ended, "what", "account") == [("goes_on", "parked", "hr")]


def test_a_limit_under_load_is_one_line_for_all_of_its_lanes(site: Site) -> None:
    """It is used up again a moment after each window; a wait of less than a second is none."""
    log, lines, limit = wait_log(site), list[Line](), {"limit_name": "key_minute"}
    blocks = [LaneBlock(f"hr:{n}", "send text", 3.0, "the limit key_minute is used up", **limit) for n in range(30)]
    blocks.append(LaneBlock("it:1", "send text", 0.5, "the limit app_second is used up", limit_name="app_second"))
    for _ in range(4):
        site.database.run(lambda connection: change_lanes(connection, site.database.now, blocks))
        lines += watch(site, log, 4, sending=False)
    lines += watch(site, log, GONE_S + EVERY_S, sending=False)

    assert told(lines, "account", "count", "lane") == [("waits", "hr", 30, None), ("goes_on", "hr", None, None)]


def test_a_pause_is_logged_without_its_reason(site: Site) -> None:
    """The words of a person may name others."""
    log = wait_log(site)
    pause(JobFilter(account="hr"), person="ada", why="lisi asked for it", database=site.database)
    begun = watch(site, log, 10)
    resume(JobFilter(account="hr"), person="ada", database=site.database)
    ended = watch(site, log, 10)

    assert told(begun, "what", "account", "remedy") == [("waits", "paused", "hr", "worker resume --account hr")]
    assert told(ended, "what", "account") == [("goes_on", "paused", "hr")]
    assert "lisi" not in repr(begun)


def test_an_account_that_this_process_cannot_use(site: Site) -> None:
    """A missing secret, too, which only a job shows; mended, it is no error of this program."""

    def missing() -> str:
        raise ConfigurationError("accounts.hr.secret names NOWHERE, which is empty")

    log = wait_log(site)
    site.forget_tokens()
    site.accounts.replace(replace(an_account(), secret=Secret(missing)))
    job = site.send()
    wrong = watch(site, log, 20)
    site.accounts.replace(an_account())
    right = watch(site, log, 30)

    assert [line for line in told(wrong, "account") if line[0] != "waits"] == [("account_unusable", "hr")]
    assert "NOWHERE" in wrong[0]["reason"]
    assert ("account_usable", "hr") in told(right, "account")
    assert site.state(job) == "accepted"
    with site.database.reading() as connection:
        assert "SetAside" not in {
            problem.name for problem in find_problems(read_outbox(connection, site.database.now), site.accounts)
        }


def test_an_account_that_is_left_to_other_processes(site: Site) -> None:
    """As when one machine of two has no way to the vendor."""
    log = wait_log(site)
    site.runtime.lane_states.leave_to_peers("hr", 20, "no connection: timeout")
    away = watch(site, log, 20, sending=False)
    back = watch(site, log, 20, sending=False)

    assert told(away, "account", "reason") == [("account_unreachable", "hr", "no connection: timeout")]
    assert told(back, "account") == [("account_reached", "hr")]


@pytest.mark.parametrize(("embedded", "level"), [(False, "info"), (True, "warning")])
def test_a_process_without_the_relay_names_the_one_that_has_it(site: Site, embedded: bool, level: str) -> None:
    """Once; with a broker in its own memory it sends nothing until then, which is worth a warning."""
    site.relay.stop()
    with site.database.writing() as connection:
        renew_heartbeat(
            connection, site.database.now, "other", lease_us=60_000_000, threads=4, host="here", pid=7, lanes="{}"
        )
    other = site.new_relay(lambda: "other")
    other.lead()
    lines = watch(site, wait_log(site, is_leader=lambda: False, is_embedded=embedded), 30, sending=False)

    assert [("relay_elsewhere", "here 7", level)] == told(lines, "process", "log_level")
    assert ("sends nothing" in lines[0]["text"]) is embedded
