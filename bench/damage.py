"""Random damage for so many seconds, and then calm: which parts wait for a person, and why.

Texts, cards, robots and orders at a steady rate; the vendor refuses, hangs, cuts what it says or stands behind a proxy
that answers in its place, and workers are killed, all drawn by a seed; nine times it takes back its tokens. After it
everything ends by itself or waits for a person, for a cause that the table of the design page names. No order waits
behind a message that was refused for its token.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import Figure
from bench.explore.doubts import REFUSED_SINCE, Doubts, cause_of
from bench.stand.installation import installation
from bench.stand.stacks import CROSSED, REDIS, STACKS, missing_service
from rig.crash.mix import vendor_settings
from rig.stack import ACCOUNT, SHORT, Process, Stack, Vendor, until
from worker import ButtonCard, Chats, NewJob, Text, To, enqueue_many, webhook
from worker.channels.wecom.answer import ERRCODES
from worker.channels.wecom.cards import MainTitle
from worker.channels.wecom_app.cards import Button
from worker.domain.errors import WorkerError
from worker.domain.settle import FOREVER
from worker.domain.state import PartState

GOAL = "none for a cause that the design page does not name, none behind a refused token, none twice or lost"
SEND, POST = "/cgi-bin/message/send", "/cgi-bin/webhook/send"
RATE, ORDERS, PROCESSES, THREADS = 12, 6, 2, 8
"""Messages a second; orders at a time; workers, and threads of each."""
DELIVERY = {**SHORT, "call_deadline_s": 3, "rate_limit_block_s": 2, "rate_limit_block_again_s": 4, "park_probe_s": 2}
DAMAGE: Sequence[Mapping[str, Any]] = (
    *({"answer": {"errcode": code}} for code in (-1, -1, 45009, 45033, 45035, 42001, 42001, 60020)),
    {"hang": 30},
    {"hang": 30},
    {"cut_response_after": 0},
    {"cut_request_after": 150},
    {"reset_response_after": 40},
    *({"status": status, "apply": apply} for status in (502, 503) for apply in (True, False)),
    *({"status": status, "headers": {"Retry-After": "1"}, "apply": True} for status in (429, 503)),
)
"""What may happen to some of the next calls."""
ROBOT = """
[accounts.robot]
channel = "wecom_webhook"
edition = "push"
secret = { file = "FOLDER/secret" }
base_url = "http://127.0.0.1:PORT"
"""
_MOVING = (
    f"select count(*) from worker_parts where state = {PartState.SENDING:d} or (state = {PartState.UNKNOWN:d}"
    f" and not_before is not null) or (state = {PartState.QUEUED:d} and not_before < {FOREVER})"
)
_CALLED = (
    f"select count(*) from worker_parts where state = {PartState.SENDING:d} or (state = {PartState.UNKNOWN:d}"
    " and not_before is not null and deadline_at > :now)"
)
_REPEAT_NOW = "update worker_parts set not_before = 1 where state = 6 and not_before is not null"
_HELD = "select id, reason, order_id from worker_parts where state = 6"
_DOUBTED = "select count(distinct part_id) from worker_attempts where outcome = 'unknown'"
_CODES = "select part_id, errcode from worker_attempts where errcode <> 0"
_BEHIND = f"select order_id, count(*) from worker_parts where state = 0 and not_before = {FOREVER} group by 1"
_ENDS = "select dedupe_key, state, id from worker_jobs"


@dataclass
class Outcome:
    """What one run came to."""

    jobs: int = 0
    doubts: Doubts = field(default_factory=Doubts)
    behind: int = 0
    """Parts that wait in an order behind one that waits for a person."""
    wrong: list[str] = field(default_factory=list)
    """A sentence for each broken promise."""


def main(argv: list[str]) -> Figure:
    """Runs each seed on each stack."""
    given = _options(argv)
    total = Outcome()
    for stack in given.stack or [REDIS, CROSSED]:
        for seed in range(given.first_seed, given.first_seed + given.seeds):
            found = _run(stack, seed, given.seconds, given.revocations)
            print(f"{stack}, seed {seed}: {found.jobs} messages, {found.behind} wait behind others", flush=True)
            print("\n".join([*found.doubts.lines(), *found.wrong]), flush=True)
            total.jobs, total.behind = total.jobs + found.jobs, total.behind + found.behind
            total.doubts.add(found.doubts)
            total.wrong += found.wrong
    print("\n".join(["all together:", *total.doubts.lines()]))
    held = total.doubts.held.total()
    figure = (
        f"{held} of {total.doubts.parts} doubts ({total.jobs} messages) wait for a person, {len(total.wrong)} wrong"
    )
    return Figure("damage", figure, GOAL, not total.wrong)


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench damage", description=__doc__)
    parser.add_argument("--seconds", type=float, default=100.0, help="of damage, in each run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--revocations", type=int, default=9, help="how often all tokens are taken back")
    parser.add_argument("--stack", choices=(*STACKS, CROSSED), action="append", help=f"default: {REDIS} and {CROSSED}")
    given = parser.parse_args(argv)
    if missing := missing_service(given.stack or [REDIS, CROSSED]):
        raise WorkerError(f"{missing} does not answer; choose another --stack")
    return given


def _run(kind: str, seed: int, seconds: float, revocations: int) -> Outcome:
    with ExitStack() as scope:
        folder = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="bench-damage-")))
        vendor = scope.enter_context(closing(Vendor(folder, vendor_settings(f"damage {seed}"))))
        options: dict[str, Any] = {"delivery": DELIVERY, "account": ROBOT, "fresh": False}
        stack = scope.enter_context(installation("damage", kind, folder, vendor, **options))
        jobs = _damaged(stack, random.Random(f"{kind} {seed}"), seconds, revocations)
        vendor.heal()
        until(lambda: not stack.number(_CALLED, now=time.time() * 1e6), "each call has ended", told=stack.told)
        with stack.database.writing() as connection:
            # After calls in a row without an answer a repeat waits minutes, so as not to meet the same illness.
            connection.exec_driver_sql(_REPEAT_NOW)
        until(
            lambda: not stack.number(_MOVING),
            "all is calm",
            progress=lambda: stack.number(_MOVING),
            told=stack.told,
        )
        return _judged(stack, jobs)


def _damaged(stack: Stack, chance: random.Random, seconds: float, revocations: int) -> int:
    """Enqueues at a steady rate while things go wrong; how many jobs there are."""
    workers: list[Process] = [stack.worker(threads=THREADS) for _ in range(PROCESSES)]
    tokens = sorted(chance.uniform(0.05, 0.95) * seconds for _ in range(revocations))
    began, jobs, damage_s = time.monotonic(), 0, 0.0
    while (now := time.monotonic() - began) < seconds:
        if (due := int(now * RATE)) > jobs:
            with stack.database.writing() as connection:
                enqueue_many(connection, list(_new(chance, range(jobs, due))), accounts=stack.accounts)
            jobs = due
        if tokens and tokens[0] <= now:
            tokens.pop(0)
            stack.vendor.post("tokens", {"revoke": "all"})
        if now >= damage_s:
            damage_s = now + chance.expovariate(3.0)
            _damage(stack, chance, workers)
        time.sleep(0.05)
    return jobs


def _damage(stack: Stack, chance: random.Random, workers: list[Process]) -> None:
    if chance.random() < 0.08:
        number = chance.randrange(len(workers))
        workers[number].kill()
        workers[number].wait()
        workers[number] = stack.worker(threads=THREADS)
        return
    match = {"path": chance.choice([SEND, SEND, SEND, POST])}
    action, times = chance.choice(DAMAGE), chance.randint(1, 15)
    # The third 45009 in a row would block a lane until midnight.
    times = 1 if action.get("answer") == {"errcode": 45009} else times
    stack.vendor.faults({"match": match, "times": times, "action": action})


def _new(chance: random.Random, numbers: range) -> Iterator[NewJob]:
    for n in numbers:
        kind = chance.choices(("text", "ordered", "card", "robot"), (4, 3, 2, 1))[0]
        options: dict[str, Any] = {"dedupe_key": str(n)}
        if kind == "ordered":
            options["order_key"] = f"order {chance.randrange(ORDERS)}"
        if kind == "robot":
            yield NewJob("robot", webhook.Text(content=f"robot {n}"), Chats("wrroom"), **options)
        elif kind == "card":
            card = ButtonCard(main_title=MainTitle(title=f"card {n}"), button_list=[Button(text="yes", key="y")])
            yield NewJob(ACCOUNT, card, To(users=[f"u{n}"]), **options)
        else:
            yield NewJob(ACCOUNT, Text(content=f"text {n}"), To(users=[f"u{n}"]), **options)


def _judged(stack: Stack, jobs: int) -> Outcome:
    found, codes = Outcome(jobs), dict[str, set[int]]()
    for part, code in stack.rows(_CODES):
        codes.setdefault(part, set()).add(code)
    found.doubts.parts = stack.number(_DOUBTED)
    behind = dict(stack.rows(_BEHIND))
    for part, reason, order in stack.rows(_HELD):
        cause = cause_of(reason)
        found.doubts.held[cause or "no cause"] += 1
        found.behind += behind.pop(order, 0) if order else 0
        if cause is None:
            found.wrong.append(f"{part} waits for a person, and the design page does not say why: {reason}")
        elif cause == REFUSED_SINCE and all(map(ERRCODES.is_unseen, codes.get(part, ()))):
            found.wrong.append(f"{part} waits for a person, and was refused only before its message was looked at")
    found.wrong += [f"{count} parts of an order wait, and none before them does" for count in behind.values()]
    found.wrong += _seen_wrongly(stack)
    return found


def _seen_wrongly(stack: Stack) -> Iterator[str]:
    """Who sees a message twice, and what was accepted that nobody sees."""
    seen = Counter({person.lower(): len(messages) for person, messages in stack.vendor.inbox().items()})
    posts = stack.vendor.get("webhook")["chats"].values()
    seen += Counter(str(post["content"]) for chat in posts for post in chat)
    warned = {row[0] for row in stack.rows("select part_id from worker_receipts where warning is not null")}
    for number, state, job in stack.rows(_ENDS):
        count = seen[f"u{number}"] + sum(times for text, times in seen.items() if f"robot {number}'" in text)
        if count > 1:
            yield f"{number} was seen {count} times"
        if state == PartState.ACCEPTED and not count and f"{job}-0" not in warned:
            yield f"{number} is accepted, and nobody sees it"
