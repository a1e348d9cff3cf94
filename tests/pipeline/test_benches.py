"""The bench programs on their smallest scale: that they run, and that what they watch for can be seen."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from bench import illness, kit, ordering
from bench.console import contents as console_contents, program as console
from bench.members import FULL, QUICK, Scale
from bench.priorities.judge import lateness, least_share, waits_since
from bench.producers.process import produce, producers_engine
from bench.producers.watch import Watch, is_refused_a_wait, sees_a_wait
from bench.profile import program as profile
from bench.profile.counters import Steps
from bench.profile.statements import StatementMeter
from bench.profile.worker import mark_steps
from bench.scale import program as scale
from bench.soak.judge import Ledger, Series, drawn
from bench.stand.arrivals import Arrivals, most, most_aligned, used
from bench.throughput.rig import BenchFailed
from rig.stack import ACCOUNT
from rig.tcp_door import Door
from tests.support.runtime import an_account
from worker import JobState
from worker.config.accounts import FixedAccounts
from worker.config.settings import Settings
from worker.console.page import Site
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

ON_SERVERS = pytest.mark.parametrize(
    "server", [pytest.param(f"{name}_url", marks=getattr(pytest.mark, name)) for name in ("postgres", "mariadb")]
)


@pytest.mark.slow("starts processes of its own")
def test_scale_measures_every_step_of_every_claim(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five steps four times and the idle turn, p50 and p99 each but of the brief ones; and a late commit is found."""
    for name, value in {"WARM_UP": 2, "LATE": 1, "SETTLE_S": 0.0, "POLL_S": 0.0}.items():
        monkeypatch.setattr(scale, name, value)
    sizes = scale.Sizes((10, 20), (4_000, 5_000), (2, 20), (2, 20), parts_a_lane=2, due=4_000)

    ratios, late = scale.measure("sqlite", sizes, 1, 5)

    printed = capsys.readouterr().out
    assert 2 * (4 * 5 + 1) - 4 * len(scale.BRIEF) == len(ratios)
    assert all(ratio > 0 for ratio in (*ratios, late))
    steps = ("asks", "offer", "wake", "mark", "turn")
    assert tuple(printed.count(f" {step} ") for step in steps) == (4, 4, 4, 4, 5)


def test_the_steps_that_a_profile_counts_exist() -> None:
    """They are found by their names, which are texts there."""
    mark_steps(Uncounted())  # type: ignore[arg-type]


class Uncounted:
    """Leaves each function as it is."""

    def timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        return function


@pytest.mark.slow("runs pytest in a process of its own")
def test_the_kits_bench_times_every_story(tmp_path: Path) -> None:
    """Each as often as asked, without the first."""
    found = kit.run(tmp_path, 3)

    assert {name: len(times) for name, times in found.items()} == {"test_text": 2, "test_press": 2, "test_rollback": 2}
    assert all(time > 0 for times in found.values() for time in times)


@pytest.mark.slow("runs pytest in a process of its own")
def test_the_kits_bench_times_the_suite_of_the_quickstart(tmp_path: Path) -> None:
    """Its own files, whose tests pass."""
    assert kit.run_quickstart(tmp_path) > 0
    assert {"leave.py", "test_leave.py", "worker.toml"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.every_database
def test_the_consoles_bench_asks_for_every_page(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is there, on every database, and is timed."""
    sizes = {"PEOPLE": 10, "IN_DOUBT": 2, "CALLBACKS": 2, "EVENTS": 2, "COMMANDS": 2, "LARGE": 2_500, "PARTS": 3}
    for name, value in sizes.items():
        monkeypatch.setattr(console_contents, name, value)
    accounts = FixedAccounts([an_account(ACCOUNT)])
    pages = console_contents.fill(database, accounts, 20).pages()

    with console.served(Site(Settings(), database, accounts)) as address:
        slowest = console.ask_for(address, pages, 2)

    printed = capsys.readouterr().out
    assert [name for name in pages if f"  {name} " not in printed] == []
    assert slowest > 0


@ON_SERVERS
def test_the_watch_sees_a_producer_that_waits_for_a_worker(server: str, request: pytest.FixtureRequest) -> None:
    """Else that it never saw one would mean nothing."""
    assert sees_a_wait(request.getfixturevalue(server))


@pytest.mark.fewer_databases("PostgreSQL is asked who waits")
def test_on_mariadb_a_producer_of_the_bench_is_refused_every_wait(mariadb_url: str) -> None:
    """No wait is too short to be noticed."""
    assert is_refused_a_wait(mariadb_url)


@ON_SERVERS
def test_a_producer_commits_one_job_after_the_other(server: str, request: pytest.FixtureRequest) -> None:
    """And says how many, and how long the longest took; nobody waited."""
    url = request.getfixturevalue(server)
    engine = producers_engine(url, 1)
    watch = Watch(url, [])

    with watch.looking(), engine.connect() as connection:
        done = produce(connection, FixedAccounts([an_account()]), time.monotonic() + 0.1)
        stored = connection.exec_driver_sql("select count(*) from worker_jobs").scalar_one()
    engine.dispose()

    assert done.jobs == stored > 0
    assert done.longest_s > 0
    assert watch.for_workers.total() == 0


def soaked(unit: str, value: Callable[[int], float]) -> Series:
    """A reading at every hundredth of 20,000 jobs."""
    return Series("rows of a table", unit, points=[(n, value(n)) for n in range(0, 20_000, 200)])


@pytest.mark.parametrize(
    ("unit", "value", "words"),
    [
        ("rows", lambda n: 5_000 + n / 10, "rows of a table grows from 5,660.0 to 6,980.0 rows"),
        ("MiB", lambda n: 150 + n / 1_000, "rows of a table grows from 156.6 to 169.8 MiB"),
        ("", lambda n: 20 + n / 2_000, "rows of a table grows from 23.3 to 29.9"),
    ],
)
def test_the_soak_names_what_grows(unit: str, value: Callable[[int], float], words: str) -> None:
    """By its line after the warm-up, and draws it red."""
    series = soaked(unit, value)

    assert words == series.grows(6_600)
    assert 'stroke="#c00"' in drawn([series], 6_600, "a soak")
    assert replace(series, judged=False).grows(6_600) == ""


@pytest.mark.parametrize(
    "value",
    [
        lambda n: 5_000,
        lambda n: 4_000 + n % 2_600,
        lambda n: min(5_000, n),
        lambda n: 50_000 if 12_000 < n < 15_000 else 5_000,
        lambda n: 5_000 - n / 10,
    ],
    ids=["flat", "saw", "grows until it is warm", "a fault", "shrinks"],
)
def test_the_soak_takes_what_does_not_grow(value: Callable[[int], float]) -> None:
    """Up and down is no growth."""
    assert soaked("rows", value).grows(6_600) == ""


def test_the_soak_sees_what_is_lost_and_what_is_doubled() -> None:
    """A job in doubt may end once more, and a suppressed repeat has the first one's msgid."""
    ledger = Ledger(7)
    ledger.asked = 7
    for number, state in enumerate([*[JobState.ACCEPTED] * 4, JobState.UNKNOWN, JobState.REJECTED]):
        ledger.end(number, state)
    for number, msgid in [(0, "a"), (0, "a"), (1, "b"), (1, "c"), (3, "d"), (5, "e")]:
        ledger.arrive(number, msgid)
    ledger.end(3, JobState.ACCEPTED)
    ledger.end(4, JobState.ACCEPTED)
    ledger.arrive(4, "f")

    assert ledger.lost() == ["job 2: accepted, and never seen", "job 6: no end"]
    assert ledger.doubled() == [
        "job 3 ended as ACCEPTED and as ACCEPTED",
        "job 1: seen 2 times, state 2",
        "job 5: seen 1 times, state 4",
    ]
    assert ledger.ended == 6


def test_the_ordering_bench_sees_a_step_back_and_a_job_that_never_came() -> None:
    """A repeat of the same one is no step back; what has no key may come in any order."""
    good = {"key0": [0, 0, 1, 1, 2], ordering.NOBODYS: [*range(1, ordering.FREE), 0]}

    assert [*ordering.out_of_order(good), *ordering.never_arrived(good, 1, 3)] == []
    assert ordering.out_of_order({"key0": [0, 1, 0, 1]}) == ["key0: 1 was sent before 0"]
    assert ordering.never_arrived({**good, "key0": [0, 2]}, 1, 3) == ["key0: [1] never arrived"]
    assert ordering.never_arrived({}, 0, 2) == ["held: [0, 1] never arrived"]


def test_windows_are_counted_as_the_vendor_may() -> None:
    """Sliding ones without their end, aligned ones by the calendar."""
    times = [0.0, 5.0, 9.9, 10.0, 19.9, 20.0]

    assert most(times, 10) == 3
    assert most_aligned(times, 10) == 3
    assert 0 == most([], 10) == most_aligned([], 10)


def test_used_is_the_window_through_the_median_way_to_the_call_an_amount_later() -> None:
    """Two in ten seconds, one of them late: 10 s through 10 s; too few calls are no use at all."""
    assert used([0, 1, 10, 11, 20, 35], 2, 10) == 1.0
    assert used([0, 0, 20, 20], 2, 10) == 0.5
    assert used([0, 1], 2, 10) == 0.0


def test_the_least_part_is_that_of_the_worst_window() -> None:
    """Sliding ones, wherever they begin; too few calls, or no backlog yet, are none."""
    calls = [(float(n), n % 4 == 0) for n in range(40)]
    hole = [(at, marked and not 16 <= at < 24) for at, marked in calls]

    assert least_share(calls, 10, (0.0, 39.0), 5) == 0.2
    assert least_share(hole, 10, (0.0, 39.0), 5) == 0.0
    assert least_share(hole, 10, (21.0, 39.0), 5) == 0.2
    assert least_share(hole, 10, (0.0, 39.0), 12) == 1.0


def test_a_window_may_lie_between_two_bursts() -> None:
    """It holds the whole second burst, though no call is at its start nor at its end."""
    bursts = [(at, at == 61.0) for at in (0.0, 1.0, 2.0, 60.0, 61.0, 62.0, 63.0)]

    assert least_share(bursts, 60, (20.0, 90.0), 4) == 0.25


def test_a_backlog_stands_from_when_it_never_ran_out_again() -> None:
    """Two wait all the time from the fifth second on; in the end there is one."""
    asked = {n: float(n) for n in range(10)}

    assert waits_since(asked, {0: 0.5, 1: 3.5, 2: 3.6, 3: 3.7}, 2) == 5.0
    assert waits_since(asked, {}, 1) == 0.0
    assert math.inf == waits_since(asked, dict.fromkeys(range(9), 9.5), 2)


def test_whoever_is_urgent_is_late_from_the_next_room_on() -> None:
    """Two in ten seconds: the room of the second window is at 10 s, and behind one that waits already at 11 s."""
    times = [0.0, 1.0, 10.5, 13.0, 20.0]

    assert lateness(times, {1: 4.0, 2: 5.0}, {1: 10.5, 2: 13.0}, 2, 10) == [0.5, 2.0]
    assert lateness(times, {1: 4.0, 2: 5.0}, {1: 10.5, 2: 13.0}, 0, 10) == [6.5, 8.0]
    assert lateness(times, {1: 0.5}, {1: 10.0}, 2, 10, notice_s=0.6) == [0.0]
    assert lateness(times, {1: 4.0}, {}, 2, 10) == [10.0]


@pytest.mark.parametrize("size", [FULL, QUICK], ids=["full", "quick"])
def test_members_are_dealt_their_messages(size: Scale) -> None:
    """All of them, each member some, nobody more than the heaviest."""
    sizes = size.sizes()

    assert (size.messages, size.members, size.heaviest) == (sum(sizes), len(sizes), max(sizes))
    assert min(sizes) >= 1


def test_the_minimum_is_that_of_the_windows() -> None:
    """600 at 30 in 10 s and 300 in 100 s: the twentieth burst is at 190 s."""
    assert FULL.minimum_s() == 190.0
    assert Scale(30, 1, 30).minimum_s() == 0.0


@pytest.mark.slow("starts processes of its own")
def test_the_bare_vendor_of_a_bench_writes_down_who_was_sent_to(tmp_path: Path) -> None:
    """When, and to whom; the body may come in pieces."""
    arrivals = Arrivals(tmp_path, 0)
    try:
        body = {"touser": "anna", "text": {"content": "x" * 200_000}}
        with requests.Session() as session:
            session.trust_env = False
            reply = session.post(f"{arrivals.url}/cgi-bin/message/send?access_token=t", json=body, timeout=60)
        found = arrivals.all()
    finally:
        arrivals.close()

    assert reply.json()["errcode"] == 0
    assert [who for _, who in found] == ["anna"]


A_SPELL = illness.Spell("busy", backlog=10_000, calls=200, lost=0, old_s=600.0, after_s=30.0)


@pytest.mark.parametrize(
    ("found", "is_kept"),
    [({}, True), ({"calls": 201}, False), ({"lost": 1}, False), ({"old_s": 60.0}, False)],
    ids=["kept", "too many calls", "a message lost", "no alert could see it"],
)
def test_an_illness_is_judged_by_its_worst_spell(found: dict[str, Any], is_kept: bool) -> None:
    """Two percent of the backlog, everything accepted, and ten minutes on the gauge; one spell alone makes it short."""
    figure, ok = illness.judge([A_SPELL, replace(A_SPELL, **found)], minutes=10)

    assert is_kept is ok
    assert figure.startswith("2.01%" if "calls" in found else "2.00%")


def test_a_slammed_door_takes_callers_and_sends_them_away() -> None:
    """As something before a vendor that is away does; the service behind it hears nothing."""
    with closing(Door("127.0.0.1", 9)) as door:
        door.slam()

        with socket.create_connection(("127.0.0.1", door.at), timeout=30) as caller:
            assert caller.recv(1) == b""

        assert door.slammed == 1


def a_table(jobs: int, cpu_ns: int) -> profile.Table:
    """What a worker has written down by then: two threads, one of them with two steps."""
    steps = {
        "": (0, [0, 0, 0, 0]),
        "log": (jobs, [cpu_ns, 2 * jobs, 3 * jobs, jobs]),
        "mark": (jobs // 5, [0, jobs, 0, 0]),
    }
    batches = {"all": [3 * cpu_ns, 4 * jobs, 5 * jobs, 2 * jobs], "steps": steps}
    return {profile.BATCHES: batches, "writer": {"all": [cpu_ns, 0, 0, 0], "steps": {}}}


def test_the_profile_is_of_the_steady_state_and_of_one_job() -> None:
    """What was spent before the first and after the last table of the window does not count."""
    tables = [
        a_table(*at) for at in [(0, 900_000), (100, 1_000_000), (200, 1_300_000), (300, 1_600_000), (400, 9_000_000)]
    ]

    rows = {row.name.strip(): (row.times, row.cost) for row in profile.window(tables, 50, 350)}

    assert {
        profile.BATCHES: (None, (9_000.0, 4.0, 5.0, 2.0)),
        "log": (1.0, (3_000.0, 2.0, 3.0, 1.0)),
        "mark": (0.2, (0.0, 1.0, 0.0, 0.0)),
        "writer": (None, (3_000.0, 0.0, 0.0, 0.0)),
    } == rows


def test_a_profile_of_nothing_is_refused() -> None:
    """A window in which no job was recorded, or only one table was written, has no figure."""
    for tables in ([], [a_table(100, 1)]):
        with pytest.raises(BenchFailed, match="--seconds"):
            profile.window(tables, 50, 350)


def test_statements_are_counted_by_thread_and_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a step without the steps within it; what begins and ends a transaction does not count."""
    monkeypatch.setattr(psycopg.Cursor, "execute", lambda cursor, query: None)
    meter = StatementMeter()
    send = partial(psycopg.Cursor.execute, None)
    inner = meter.timed("mark", lambda: send("update worker_parts"))

    def answer() -> None:
        send("select 1")
        inner()
        send("BEGIN")
        send("select 2")

    thread = threading.Thread(target=meter.timed("doorbell", answer), name="sender-7")
    thread.start()
    thread.join()

    assert meter.table() == {"sender": {"all": [3], "steps": {"doorbell": (1, [2]), "mark": (1, [1])}}}


def test_a_step_is_charged_without_the_steps_within_it() -> None:
    """And a reading is charged to nobody."""
    now = [0, 0, 0, 0]

    def read() -> list[int]:
        now[2] += 1
        return list(now)

    def spends(cpu_ns: int) -> None:
        now[0] += cpu_ns

    steps = Steps(read)
    outer = steps.go_to("outer")
    spends(10)
    inner = steps.go_to("inner")
    spends(5)
    steps.go_to(inner)
    spends(1)
    steps.go_to(outer)

    assert (steps.costs["outer"], steps.costs["inner"]) == ([11, 0, 0, 0], [5, 0, 0, 0])


ENDED = """
import sys
import time
from pathlib import Path
from bench.__main__ import leave_on_term
from bench.throughput.rig import processes

leave_on_term()
with processes([["http.server", "0", "--bind", "127.0.0.1"]], {}, Path(sys.argv[1])) as [worker]:
    print(worker.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.slow("starts processes of its own")
def test_a_bench_that_is_ended_by_term_ends_its_workers(tmp_path: Path) -> None:
    """They would go on, at the cost of what is measured next."""
    command = [sys.executable, "-c", ENDED, str(tmp_path / "log")]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as bench:
        assert bench.stdout
        worker = int(bench.stdout.readline())
        bench.terminate()
        status = bench.wait(30)

    assert status == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
