"""order_key under failure: fifty keys, three worker processes, a vendor that refuses, hangs up and loses answers.

Once the work has begun a worker is killed with SIGKILL and another one started. One key more has a first job that is
never answered and held in doubt: nothing behind it may go, and nobody else may wait for it; at the end it is skipped.
Order is judged by the vendor's own log: of each key the calls that arrived, repeats and retries too, must never step
back. Short when any does, when a job of a key or one without a key is missing, or when the held key moved.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from bench import Figure
from bench.stand.installation import installation
from bench.stand.stacks import EMBEDDED, STACKS, missing_service
from rig.stack import ACCOUNT, SHORT, Stack, Vendor, until
from worker import NewJob, Text, To, enqueue_many
from worker.producer.resend import skip

SEND = "/cgi-bin/message/send"
KEYS, EACH, FREE = 50, 6, 100
HELD, NOBODYS = "held", "free"
NOT_HELD = f"(order_key is null or order_key <> '{HELD}')"
WORKERS, THREADS = 3, 8
LIMIT_S = 120.0
FAULTY = 0.3
"""So many calls of a hundred fail, until the rules are used up."""
ACTIONS: Sequence[tuple[float, Mapping[str, Any]]] = (
    (0.6, {"answer": {"errcode": 6000, "errmsg": "data version conflict"}}),
    (0.15, {"cut_response_after": 0}),
    (0.1, {"reset_response_after": 20}),
    (0.15, {"status": 502}),
)
DELIVERY = {**SHORT, "attempts": 30, "repeats": 30, "backoff_base_s": 0.1, "backoff_max_s": 1.0}


def main(argv: list[str]) -> Figure:
    """Every stack; `--stack NAME`, `--seed N`, `--keys N`, `--each N` for less."""
    parser = argparse.ArgumentParser(prog="python -m bench ordering")
    parser.add_argument("--stack", choices=("all", *STACKS), default="all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keys", type=int, default=KEYS)
    parser.add_argument("--each", type=int, default=EACH)
    options = parser.parse_args(argv)
    kinds = STACKS if options.stack == "all" else (options.stack,)
    goal = "0 out of order, 0 missing"
    if missing := missing_service(kinds):
        return Figure("ordering", f"{missing} does not answer", goal, ok=False)
    calls, wrong = 0, []
    for kind in kinds:
        with _stack(kind) as stack:
            made, found = run(stack, random.Random(options.seed), options.keys, options.each, kind)
        calls += made
        wrong += [f"{kind}: {one}" for one in found]
    print("\n".join(wrong), end="\n" if wrong else "", flush=True)
    figure = f"{len(kinds) * options.keys} keys, {calls} calls, {len(wrong)} wrong"
    return Figure("ordering", figure, goal, not wrong)


@contextmanager
def _stack(kind: str) -> Iterator[Stack]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-ordering-") as folder,
        closing(Vendor(Path(folder))) as vendor,
        installation("ordering", kind, Path(folder), vendor, delivery=DELIVERY) as stack,
    ):
        yield stack


def run(stack: Stack, rng: random.Random, keys: int, each: int, kind: str) -> tuple[int, list[str]]:
    """One stack: the number of calls, and everything that was wrong."""
    whole = keys * each
    stack.vendor.faults({"match": {"path": SEND, "body_contains": f"{HELD} 0"}, "action": {"cut_response_after": 0}})
    stack.vendor.faults(*_rules(rng, 2 * whole))
    held = _ask(stack, rng, keys, each)
    began = time.monotonic()
    workers = [stack.worker(threads=THREADS) for _ in range(1 if kind == EMBEDDED else WORKERS)]
    until(lambda: stack.vendor.sends() > whole // 3, "a third of the work is done", LIMIT_S)
    workers[0].kill()
    stack.worker(threads=THREADS)
    until(lambda: _open(stack, NOT_HELD) == 0, "every other key is through", LIMIT_S)
    spent = time.monotonic() - began
    before = _numbers(stack)
    wrong = [*out_of_order(before), *never_arrived(before, keys, each)]
    wrong += [f"{HELD} went on behind its doubt"] if set(before.get(HELD, [])) != {0} else []
    faults = sum(rule["hits"] for rule in stack.vendor.get("faults")["rules"])
    stack.vendor.heal()  # else another part of the held key may be held, as it asked for
    skip(stack.database, held)
    until(lambda: _open(stack, f"order_key = '{HELD}' and id <> '{held}'") == 0, "the held key goes on", LIMIT_S)
    after = _numbers(stack)
    wrong += [*out_of_order({HELD: after[HELD]}), *never_arrived({HELD: after[HELD]}, 0, each)]
    if left := stack.number("select count(*) from worker_order_queue"):
        wrong.append(f"{left} parts are left in a line")
    calls = sum(map(len, after.values()))
    print(f"{kind:<18} {calls} calls, {faults} of them broken, 1 crash, {spent:.1f} s; {len(wrong)} wrong", flush=True)
    return calls, wrong


def _open(stack: Stack, which: str) -> int:
    """Jobs of a kind that are not accepted yet."""
    return stack.number(f"select count(*) from worker_jobs where state <> 2 and {which}")


def _rules(rng: random.Random, calls: int) -> list[dict[str, Any]]:
    """Which call fails how, decided beforehand."""
    weights, actions = zip(*ACTIONS, strict=True)
    broken = sorted(rng.sample(range(1, calls), int(calls * FAULTY)))
    return [{"match": {"path": SEND, "nth": nth}, "action": dict(rng.choices(actions, weights)[0])} for nth in broken]


def _ask(stack: Stack, rng: random.Random, keys: int, each: int) -> str:
    """All keys' jobs in turns, with other jobs between them; the id of the job that will be held."""
    names = [*(f"key{n}" for n in range(keys)), HELD]
    new = [
        _job(name, number, on_unknown="hold" if name == HELD else "resend") for number in range(each) for name in names
    ]
    free = [_job(NOBODYS, number, "resend") for number in range(FREE)]
    places = sorted(rng.sample(range(len(new)), min(FREE, len(new))), reverse=True)
    for place, one in zip(places, free, strict=False):
        new.insert(place, one)
    with stack.database.writing() as connection:
        refs = enqueue_many(connection, new, accounts=stack.accounts)
    return next(ref.id for ref, job in zip(refs, new, strict=True) if job.options.get("order_key") == HELD)


def _job(name: str, number: int, on_unknown: Literal["hold", "resend"]) -> NewJob:
    key = None if name == NOBODYS else name
    user = f"{name}-{number if key is None else 0}"
    return NewJob(ACCOUNT, Text(content=f"{name} {number}"), To(users=[user]), order_key=key, on_unknown=on_unknown)


def _numbers(stack: Stack) -> dict[str, list[int]]:
    """Of each key the numbers of the jobs whose calls arrived whole, in the order of their arrival."""
    found: dict[str, list[int]] = {}
    for call in stack.vendor.calls(SEND):
        if call["received"] == "whole":
            name, number = json.loads(call["body"])["text"]["content"].split()
            found.setdefault(name, []).append(int(number))
    return found


def out_of_order(numbers: Mapping[str, Sequence[int]]) -> list[str]:
    """A sentence for each step back of a key; what has no key may come in any order."""
    return [
        f"{name}: {earlier} was sent before {later}"
        for name, calls in numbers.items()
        if name != NOBODYS
        for earlier, later in pairwise(calls)
        if later < earlier
    ]


def never_arrived(numbers: Mapping[str, Sequence[int]], keys: int, each: int) -> list[str]:
    """A sentence for each key whose jobs, `each` of every one of the `keys`, did not all come."""
    expected = {f"key{n}": each for n in range(keys)} | ({NOBODYS: FREE} if keys else {HELD: each})
    return [
        f"{name}: {sorted(set(range(count)) - set(numbers.get(name, ())))} never arrived"
        for name, count in expected.items()
        if set(range(count)) - set(numbers.get(name, ()))
    ]
