"""How much of a limit four processes use together under backlog, and that they never overstep it.

Two lanes against the fake vendor, which enforces both limits in sliding windows and punishes whoever oversteps one: a
group robot (20 calls in 60 s) and a chat of a message push webhook (6,000 calls in 60 s). Twice: undisturbed, and
through a kill -9 of one process and a flush of the broker. Used is the window through the median of t[i + amount] -
t[i] of the arrivals at the vendor. `--quick` takes shorter windows, for which the same guard of 0.3 s weighs more: a
hint.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from bench import Figure
from bench.stand.arrivals import most, most_aligned, used
from bench.stand.installation import installation, lay_ready, start_with_windows
from bench.stand.servers import own_redis
from bench.stand.stacks import REDIS, missing_service
from bench.throughput.rig import BenchFailed, empty_broker
from rig.stack import SHORT, Stack, Vendor
from worker import Chats, NewJob
from worker.channels import wecom_webhook as webhook
from worker.domain.content.recipient import Recipients

GOAL = 0.98
PROCESSES, THREADS = 4, 8
WINDOW_S, QUICK_WINDOW_S = 60, 15
GUARD_S = 0.301
SECONDS, QUICK_S = 300.0, 120.0
"""Of both runs together."""
POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Lane:
    """One account, its limit, and where its calls are found in the vendor's log."""

    account: str
    key: str
    limit: str
    amount: int
    edition: str
    to: Recipients | None

    def table(self, window_s: int) -> str:
        """Its table in the settings."""
        limits = "" if self.edition == "robot" else f"limits = {{ chat_minute = {self.amount}, key_minute = 0 }}\n"
        return (
            f'[accounts.{self.account}]\nchannel = "wecom_webhook"\nedition = "{self.edition}"\n{limits}'
            f'secret = {{ file = "FOLDER/{self.key}" }}\nbase_url = "http://127.0.0.1:PORT"\n'
        )


SLOW = Lane("robot", "key-robot", "robot_minute", 20, "robot", None)
FAST = Lane("push", "key-push", "chat_minute", 6_000, "push", Chats("wr1"))
LANES = (SLOW, FAST)


@dataclass(frozen=True, slots=True)
class Ride:
    """What one run is: how long, with which windows, and what happens meanwhile."""

    name: str
    seconds: float
    window_s: int
    amounts: dict[str, int]
    disturbed: bool

    @property
    def goal(self) -> float:
        """Of what the guard leaves of a window, as much as 0.98 is of a minute's."""
        return GOAL if self.window_s == WINDOW_S else GOAL * self.window_s / (self.window_s + GUARD_S)


def main(argv: list[str]) -> Figure:
    """Both runs; the figure is the worst lane's."""
    options = argparse.ArgumentParser(prog="python -m bench utilisation")
    options.add_argument("--seconds", type=float, default=SECONDS, help="of both runs together")
    options.add_argument("--redis-db", type=int, default=12, help="an empty one; flushed in between and at the end")
    options.add_argument("--quick", action="store_true", help=f"windows of {QUICK_WINDOW_S} s, {QUICK_S:.0f} s: a hint")
    given = options.parse_args(argv)
    if missing := missing_service((REDIS,)):
        return Figure("utilisation", f"{missing} does not answer", f"{GOAL}", ok=False)
    window_s = QUICK_WINDOW_S if given.quick else WINDOW_S
    seconds = QUICK_S if given.quick else given.seconds
    amounts = {lane.account: lane.amount * (window_s if lane is FAST else WINDOW_S) // WINDOW_S for lane in LANES}
    rides = [
        Ride(name, seconds / 2, window_s, amounts, disturbed)
        for name, disturbed in (("undisturbed", False), ("kill -9 and flush", True))
    ]
    broker = own_redis(given.redis_db)
    with tempfile.TemporaryDirectory(prefix="bench-utilisation-") as folder:
        found = [_ride(Path(folder) / str(number), broker, ride) for number, ride in enumerate(rides)]
    least = min(found)
    return Figure("utilisation", f"{least:.3f}", f"{rides[0].goal:.3f}", least >= rides[0].goal)


def _ride(folder: Path, broker: str, ride: Ride) -> float:
    """One run; the least used lane. Fails when a window was overstepped or the vendor had to say so."""
    with _installation(folder, broker, ride) as stack:
        _lay_ready(stack, ride)
        workers = start_with_windows(stack, PROCESSES, THREADS, {lane.limit: ride.window_s for lane in LANES})
        try:
            arrivals = _watch(stack, broker, ride, workers)
        except BenchFailed as error:
            raise BenchFailed(f"{error}\n{stack.state()}\n{stack.logs()[-3000:]}") from None
        found = min(_judge(ride, lane, arrivals[lane.account]) for lane in LANES)
        _check_vendor(stack, ride)
    return found


@contextmanager
def _installation(folder: Path, broker: str, ride: Ride) -> Iterator[Stack]:
    """The fake vendor, a scratch database and an empty broker."""
    enforced = ride.window_s == WINDOW_S
    keys = [{"key": SLOW.key, "profile": "public"}, {"key": FAST.key, "profile": "internal"}]
    settings: dict[str, Any] = {
        "webhook": {
            "keys": keys,
            "robot_per_minute": SLOW.amount if enforced else 0,
            "chat_per_minute": FAST.amount if enforced else 0,
            "key_per_minute": 0,
        },
        "limits": {"ip_per_minute": 0, "ip_per_hour": 0},
    }
    tables = "".join(lane.table(ride.window_s) for lane in LANES)
    tables = tables.replace(f"chat_minute = {FAST.amount}", f"chat_minute = {ride.amounts[FAST.account]}")
    delivery = {} if enforced else SHORT
    folder.mkdir(parents=True)
    with (
        empty_broker(broker),
        closing(Vendor(folder, settings)) as vendor,
        installation("utilisation", REDIS, folder, vendor, broker=broker, delivery=delivery, account=tables) as stack,
    ):
        for lane in LANES:
            (stack.folder / lane.key).write_text(lane.key, encoding="utf-8")
        yield stack


def _lay_ready(stack: Stack, ride: Ride) -> None:
    """A backlog that no lane can work off."""
    for lane in LANES:
        count = int(ride.amounts[lane.account] * (ride.seconds / ride.window_s + 2))
        texts = (webhook.Text(content=f"{lane.account} {n}") for n in range(count))
        lay_ready(stack, (NewJob(lane.account, text, lane.to) for text in texts))


def _watch(stack: Stack, broker: str, ride: Ride, workers: list[Any]) -> dict[str, list[float]]:
    """Reads the vendor's log while the workers work, and disturbs them at a third and at two thirds."""
    arrivals: dict[str, list[float]] = {lane.account: [] for lane in LANES}
    disturb: list[tuple[float, Callable[[], Any]]] = []
    if ride.disturbed:
        disturb = [(ride.seconds / 3, workers[0].kill), (ride.seconds * 2 / 3, lambda: _flush(broker))]
    since, started = 0, 0.0
    deadline = time.monotonic() + ride.seconds + 60
    while not started or time.monotonic() - started < ride.seconds:
        if time.monotonic() > deadline:
            raise BenchFailed("no call arrived")
        for call in stack.vendor.get("calls", since=since)["calls"]:
            since = call["seq"]
            lane = next(lane for lane in LANES if call["query"]["key"] == lane.key)
            arrivals[lane.account].append(call["real"])
            started = started or time.monotonic()
        while disturb and started and time.monotonic() - started >= disturb[0][0]:
            disturb.pop(0)[1]()
        time.sleep(POLL_S)
    return arrivals


def _flush(broker: str) -> None:
    with redis.Redis.from_url(broker) as client:
        client.flushdb()


def _check_vendor(stack: Stack, ride: Ride) -> None:
    """What the vendor itself saw and said."""
    seen = stack.vendor.get("violations")
    if found := [seen[name] for name in ("limits", "drops", "blocked_calls") if seen[name]]:
        raise BenchFailed(f"{ride.name}: the vendor saw limits overstepped: {found}")
    refused = stack.number("select count(*) from worker_attempts where errcode <> 0")
    blocked = [row.reason for row in stack.rows("select reason from worker_lanes where limit_name is null")]
    if refused or blocked:
        raise BenchFailed(f"{ride.name}: {refused} calls were refused; lanes were blocked by {blocked}")


def _judge(ride: Ride, lane: Lane, times: list[float]) -> float:
    """How much of its limit the lane used; fails when it used more than there was."""
    amount, window_s = ride.amounts[lane.account], ride.window_s
    sliding, aligned = most(times, window_s), most_aligned(times, window_s)
    found = used(times, amount, window_s)
    print(
        f"  {ride.name:<18} {lane.account:<6} {amount:>5} in {window_s} s: {len(times):>6} calls, used {found:.4f};"
        f" most in a sliding window {sliding}, in an aligned one {aligned}",
        flush=True,
    )
    if max(sliding, aligned) > amount:
        raise BenchFailed(f"{ride.name}: {lane.account} overstepped its limit")
    return found
