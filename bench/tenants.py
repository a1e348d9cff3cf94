"""Three tenants of one app share what it can do by their weights 1, 1 and 2: real workers, judged at the vendor.

Two lanes: one whose bottleneck is its limit (20 calls a second in windows of 10 s), one whose bottleneck is the threads
(a vendor that takes 0.3 s). Behind a standing backlog of all three, and then of two while the third has no work.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from bench import Figure
from bench.stand.installation import installation, lay_ready, start_with_windows
from bench.stand.stacks import EMBEDDED, REDIS, STACKS, missing_service
from bench.throughput.rig import BenchFailed
from rig.stack import ACCOUNT, SHORT, Stack, Vendor
from worker import Chats, NewJob, Text, To
from worker.channels import wecom_webhook as webhook

WEIGHTS = {"shop": 1, "bank": 1, "post": 2}
IDLE = "shop"
GOAL, LEAST_RATE = 0.05, 0.95
"""How far a share may be off, as a part of it; and what is done while one is idle, as a part of what is done before."""
PROCESSES, THREADS, LATENCY_S = 2, 8, 0.3
WINDOW_S, A_WINDOW = 10, 200
MOST = 60
"""Calls a second that no lane exceeds: so much is laid ready."""
POLL_S = 0.2
KEY = "key-push"
SEND = "/cgi-bin/message/send"
PUSH = f"""
[accounts.push]
channel = "wecom_webhook"
edition = "push"
limits = {{{{ chat_minute = {A_WINDOW}, key_minute = 0 }}}}
secret = {{{{ file = "FOLDER/{KEY}" }}}}
base_url = "http://127.0.0.1:PORT"
tenants = {{{{ post = {{{{ weight = 2 }}}} }}}}

[accounts.{ACCOUNT}.tenants]
post = {{{{ weight = 2 }}}}
"""
LANES = {"push": "limit", ACCOUNT: "threads"}


def main(argv: list[str]) -> Figure:
    """Both runs; the figure is the greatest distance from a share, and the least rate with one idle."""
    parser = argparse.ArgumentParser(prog="python -m bench tenants")
    parser.add_argument("--seconds", type=int, default=60, help="of each of the two runs; whole windows of 10")
    parser.add_argument("--stack", choices=[name for name in STACKS if name != EMBEDDED], default=REDIS)
    given = parser.parse_args(argv)
    goal = f"within {GOAL:.0%}, {LEAST_RATE} of the rate"
    if missing := missing_service([given.stack]):
        return Figure("tenants", f"{missing} does not answer", goal, ok=False)
    all_three = _run(given.stack, list(WEIGHTS), given.seconds)
    two = _run(given.stack, [name for name in WEIGHTS if name != IDLE], given.seconds)
    off = max(_off(called) for run in (all_three, two) for called in run.values())
    rate = min(two[account].total() / all_three[account].total() for account in LANES)
    figure = f"at most {off:.1%} off, {rate:.2f} of the rate with one idle"
    return Figure("tenants", figure, goal, off <= GOAL and rate >= LEAST_RATE)


def _off(called: Counter[str]) -> float:
    """The greatest distance of a tenant's calls from its share, as a part of the share."""
    whole = sum(WEIGHTS[name] for name in called)
    shares = {name: called.total() * WEIGHTS[name] / whole for name in called}
    return max(abs(called[name] / share - 1) for name, share in shares.items())


def _run(kind: str, tenants: Sequence[str], seconds: int) -> dict[str, Counter[str]]:
    """Calls of each tenant on each lane."""
    with _installation(kind) as stack:
        for tenant in tenants:
            for account in LANES:
                lay_ready(stack, (_job(account, tenant, n) for n in range(MOST * seconds)))
        start_with_windows(stack, PROCESSES, THREADS, {"chat_minute": WINDOW_S})
        called = _watch(stack, tenants, seconds)
    for account, of in called.items():
        told = ", ".join(f"{name} {count}" for name, count in of.items())
        print(f"  {LANES[account]:<7} {told} calls in {seconds} s", flush=True)
    return called


@contextmanager
def _installation(kind: str) -> Iterator[Stack]:
    settings = {
        "webhook": {"keys": [{"key": KEY, "profile": "internal"}], "chat_per_minute": 0, "key_per_minute": 0},
        "limits": {"ip_per_minute": 0, "ip_per_hour": 0},
        "latency_by_path": {SEND: LATENCY_S},
    }
    with ExitStack() as scope:
        folder = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="bench-tenants-")))
        vendor = scope.enter_context(closing(Vendor(folder, settings)))
        table = PUSH.format()
        stack = scope.enter_context(installation("tenants", kind, folder, vendor, delivery=SHORT, account=table))
        (stack.folder / KEY).write_text(KEY, encoding="utf-8")
        yield stack


def _job(account: str, tenant: str, n: int) -> NewJob:
    """Every person gets one message, so no member's limit is near."""
    content = f"{tenant} {n}"
    if account == ACCOUNT:
        return NewJob(account, Text(content=content), To(users=[f"{tenant}-{n}"]), tenant=tenant)
    return NewJob(account, webhook.Text(content=content), Chats("wr1"), tenant=tenant)


def _watch(stack: Stack, tenants: Sequence[str], seconds: int) -> dict[str, Counter[str]]:
    """Reads the vendor's log until the time since each lane's first call is over."""
    called = {account: Counter(dict.fromkeys(tenants, 0)) for account in LANES}
    began: dict[str, float] = {}
    seen, deadline = 0, time.monotonic() + 60 + seconds
    while len(began) < len(LANES) or time.monotonic() < max(began.values()) + seconds + 1:
        if time.monotonic() > deadline or any(process.poll() is not None for process in stack.processes):
            raise BenchFailed(f"no calls on a lane, or a worker ended\n{stack.state()}\n{stack.logs()[-3000:]}")
        for call in stack.vendor.get("calls", since=seen)["calls"]:
            seen = call["seq"]
            if call["path"] == "/cgi-bin/gettoken":
                continue
            account, at = ACCOUNT if call["path"] == SEND else "push", float(call["real"])
            if at < began.setdefault(account, at) + seconds:
                called[account][json.loads(str(call["body"]))["text"]["content"].split()[0]] += 1
        time.sleep(POLL_S)
    return called
