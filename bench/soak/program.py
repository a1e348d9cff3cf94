"""A long run with faults on PostgreSQL and Redis: nothing is lost or doubled, and nothing grows after the warm-up.

Jobs are enqueued at a steady rate, and a hook runs at the end of each. One worker lives all the time, another one is
killed again and again; the vendor answers 45009, -1 or a 502, hangs, or cuts what it says; Redis is restarted once
while it warms up, and cut off later. What ended is kept for minutes, so that each table reaches its length. Every
series is drawn in `build/soak.svg`, also of a run that SIGUSR1 cuts short. The clock is the run's own: while the
machine stands still, nothing falls due.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import requests

from bench import Figure
from bench.soak import hooks, readings
from bench.soak.judge import Ledger, Series, drawn
from bench.stand.installation import start_with_windows
from bench.stand.servers import own_database
from rig.servers import own_postgres, own_redis
from rig.stack import ACCOUNT, ROOT, Process, Stack, Vendor, until
from rig.stacks import make_tables
from rig.tcp_door import Door
from worker import NewJob, Text, To, enqueue_many

WARM_UP = 1 / 3
"""Of the jobs."""
THREADS, PEOPLE, CONNECTIONS = 16, 2_000, 200
MOST_OPEN = 2_000
"""Jobs that wait at a time: producers that outrun the workers would make every table grow."""
SAMPLES, COLLECT_S, AWAY_S = 240, 20.0, 3.0
LATE_S = 60.0
"""A call of the vendor's log is read once it has certainly ended."""
SEND = "/cgi-bin/message/send"
DELIVERY = {"call_deadline_s": 8, "rate_limit_block_s": 3, "rate_limit_block_again_s": 30}
HOUSEKEEPING = "worker.delivery.maintenance.housekeeping"
RETENTION = "[retention]\njobs_days = 4\nattempts_days = 2\ncallbacks_days = 2\n"
FAULTS: Mapping[int, Mapping[str, Any]] = {
    20_011: {"answer": {"errcode": 45009, "errmsg": "api freq out of limit"}},
    1_009: {"hang": 30},
    701: {"cut_response_after": 0},
    499: {"reset_response_after": 40},
    599: {"cut_request_after": 150},
    397: {"status": 502, "body": "<h1>bad gateway</h1>"},
    307: {"answer": {"errcode": -1, "errmsg": "system busy"}},
}
"""What happens to each so many-th send."""
SLOW: Mapping[str, Any] = {"match": {"path": SEND}, "times": 2_000, "action": {"delay": 0.5}}
"""While it warms up: every thread has a call at a time, so that each pool of connections is as full as it gets."""


def main(argv: list[str]) -> Figure:
    """The whole run, and the drawing."""
    parser = argparse.ArgumentParser(prog="python -m bench soak")
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=120.0, help="of producing; more on a slower machine")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every server started here is ended
    with _site(options.minutes) as site:
        run = Soak(*site, options.jobs, options.minutes)
        signal.signal(signal.SIGUSR1, lambda *_: run.cut())
        run.run()
    return run.figure(ROOT / "build" / "soak.svg")


@contextmanager
def _site(minutes: float) -> Iterator[tuple[Stack, own_redis.Redis, Door]]:
    """An installation on servers of its own, without processes; a day of its retention is a minute or so."""
    day_s = minutes * 60 / 96
    constants = {
        f"{HOUSEKEEPING}.DAY_S": day_s,
        f"{HOUSEKEEPING}.BETWEEN_ROUNDS_S": day_s / 5,
        f"{HOUSEKEEPING}.QUIET_LANE_DAYS": 1.0,
        "worker.config.settings.DeliverySettings.duplicate_window_s": _check_s(minutes),
    }
    with ExitStack() as scope:
        folder = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="bench-soak-")))
        postgres = scope.enter_context(own_postgres.running(CONNECTIONS))
        redis = scope.enter_context(own_redis.running())
        door = scope.enter_context(closing(Door("127.0.0.1", redis.port)))
        vendor = scope.enter_context(closing(Vendor(folder, {"latency_s": 0.02, "token": {"lifetime_s": 900}})))
        url = scope.enter_context(own_database(postgres.url, "soak"))
        make_tables(url)
        stack = Stack(
            folder / "stack",
            url,
            f"redis://127.0.0.1:{door.at}/0",
            vendor,
            delivery=DELIVERY,
            account=RETENTION,
            top=f'hooks = "{hooks.__name__}"',
            fresh=False,
            constants=constants,
        )
        scope.enter_context(closing(stack))
        with stack.database.writing() as connection:
            connection.exec_driver_sql(hooks.TABLE)
        vendor.faults(*({"match": {"path": SEND, "every": n}, "action": what} for n, what in FAULTS.items()))
        yield stack, redis, door


def _check_s(minutes: float) -> int:
    """How long the vendor looks back for an equal body. A repeat is safe until a minute before its end."""
    return max(120, int(minutes * 60 / 24))


class Soak:
    """One run."""

    def __init__(self, stack: Stack, redis: own_redis.Redis, door: Door, jobs: int, minutes: float):
        self._stack, self._redis, self._door, self._jobs = stack, redis, door, jobs
        self._rate, self._minutes = jobs / (minutes * 60), minutes
        self._ledger, self._series = Ledger(jobs), dict[tuple[str, str], Series]()
        self._owed, self._seq, self._kills = 0.0, 0, 0
        self._steady, self._killed = self._worker(), self._worker()

    def run(self) -> None:
        """Until every job has ended."""
        every: tuple[tuple[float, Callable[[], None]], ...] = (
            (1.0, self._read_ends),  # what has ended makes room for more
            (COLLECT_S, self._collect),
            (self._minutes * 60 / SAMPLES, self._sample),
            (min(300.0, self._minutes * 60 / 8), self._disturb),
        )
        due, clock, before = [seconds for seconds, _ in every], 0.0, time.monotonic()
        while self._ledger.ended < self._jobs:
            time.sleep(0.05)
            spent, before = min(1.0, time.monotonic() - before), time.monotonic()
            clock += spent
            for n, (seconds, act) in enumerate(every):
                if clock >= due[n]:
                    act()
                    due[n] = clock + seconds
            self._produce(spent)
        self._stack.vendor.heal()
        self._stack.until_settled()
        open_events = "select count(*) from worker_events where ended_at is null"
        until(lambda: not self._stack.number(open_events), "every hook ran")
        self._collect(late_s=0)
        for process in (self._steady, self._killed):
            assert not self._stack.end(process), self._complaints()

    def cut(self) -> None:
        """Has it end with the jobs that there are."""
        self._jobs = self._ledger.asked

    def _worker(self) -> Process:
        """Its members' hours are minutes: else the rows of limits would grow for an hour."""
        process: Process = start_with_windows(self._stack, 1, THREADS, {"member_hour": 120, "corp_hour": 120})[0]
        return process

    def _produce(self, spent: float) -> None:
        self._owed = min(self._rate, self._owed + spent * self._rate)
        first = self._ledger.asked
        count = min(int(self._owed), MOST_OPEN - (first - self._ledger.ended), self._jobs - first)
        if count > 0:
            with self._stack.database.writing() as connection:
                enqueue_many(connection, map(self._job, range(first, first + count)), accounts=self._stack.accounts)
            self._owed -= count
            self._ledger.asked += count

    def _job(self, n: int) -> NewJob:
        content = f"{n} the meeting is at three"
        text = Text(content=content, duplicate_check_interval=_check_s(self._minutes))
        return NewJob(ACCOUNT, text, To(users=[f"u{n % PEOPLE}"]), dedupe_key=str(n))

    def _collect(self, late_s: float = LATE_S) -> None:
        """What ended by the hook, and what arrived at the vendor, who then forgets what people see."""
        self._read_ends()
        try:
            calls = self._stack.vendor.get("calls", path=SEND, since=self._seq)["calls"]
            requests.delete(f"{self._stack.vendor.url}/_control/inbox", timeout=30)
        except (requests.Timeout, requests.ConnectionError):  # it has no processor; asked again later
            assert late_s, "the fake vendor does not answer"
            return
        for call in calls:
            if call["real"] > time.monotonic() - late_s:
                break
            self._seq = call["seq"]
            answer = json.loads(call["answer"]["body"]) if call["answer"] and call["answer"]["errcode"] == 0 else {}
            if "msgid" in answer:
                number = int(json.loads(call["body"])["text"]["content"].split()[0])
                self._ledger.arrive(number, answer["msgid"])

    def _read_ends(self) -> None:
        with self._stack.database.writing() as connection:
            ends = connection.exec_driver_sql(hooks.READ).all()
        for number, state in ends:
            self._ledger.end(number, state)

    def _sample(self) -> None:
        """Reads every series."""
        processes = {"worker": self._steady, "worker that is killed": self._killed}
        ended = {name: process.poll() for name, process in processes.items() if process.poll() is not None}
        assert not ended, f"{ended}\n{self._complaints()}"
        found = [reading for name, process in processes.items() for reading in readings.of_process(name, process.pid)]
        found += [*readings.of_database(self._stack), *readings.of_redis(self._redis.url)]
        for name, unit, value in found:
            judged = not name.startswith("worker that is killed")
            series = self._series.setdefault((name, unit), Series(name, unit, judged))
            series.points.append((self._ledger.ended, value))

    def _complaints(self) -> str:
        """The last unusual lines of the logs."""
        return "\n".join([line for line in self._stack.logs().splitlines() if '"level": "info"' not in line][-40:])

    def _disturb(self) -> None:
        """Kills a worker, which is started again, and takes Redis away: at first by a restart, later by its door."""
        self._killed.kill()
        self._killed.wait()
        self._killed, self._kills = self._worker(), self._kills + 1
        if self._kills == 1:
            self._stall()
            self._redis.restart()
            self._stack.vendor.faults(SLOW)
        elif self._kills % 2 == 0:
            self._door.shut()
            time.sleep(AWAY_S)
            self._door.open()
        print(f"{self._ledger.asked:,} jobs, {self._ledger.ended:,} ended, {self._kills} times killed", flush=True)

    def _stall(self) -> None:
        """Has every thread wait for the database, so that each pool of its connections is as full as it gets."""
        with self._stack.database.writing() as connection:
            connection.exec_driver_sql("lock table worker_parts in access exclusive mode")
            time.sleep(AWAY_S)

    def figure(self, path: Path) -> Figure:
        """The drawing, all that is wrong, and the figure."""
        ledger, series, warm_up = self._ledger, list(self._series.values()), int(self._ledger.asked * WARM_UP)
        path.parent.mkdir(exist_ok=True)
        title = f"{ledger.asked:,} jobs, {self._kills} kills, by jobs ended; lines from {warm_up:,} on"
        path.write_text(drawn(series, warm_up, title), encoding="utf-8")
        lost, doubled = ledger.lost(), ledger.doubled()
        grows = [words for one in series if (words := one.grows(warm_up))]
        print("\n".join([*lost[:20], *doubled[:20], *grows, f"ends: {ledger.ends()}; drawn in {path}"]), flush=True)
        judged = sum(one.judged for one in series)
        figure = f"{ledger.asked:,} jobs, {self._kills} kills, {len(lost)} lost, {len(doubled)} doubled, "
        figure += f"{len(grows)} of {judged} series grow"
        return Figure("soak", figure, "0 lost, 0 doubled, 0 grow", not (lost or doubled or grows))
