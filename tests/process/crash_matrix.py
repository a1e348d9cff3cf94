"""The crash matrix: a worker dies by SIGKILL at a labelled step, a second one takes over, and everything is counted.

One cell is one step on one stack with one seed. Tests run a seed a cell, `python -m bench crash` five.
"""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.process.crash_mix import Mix, enqueue_mix, vendor_settings
from tests.process.stack import Stack, Vendor, until

STEPS = (
    "before_mark",
    "after_mark",
    "first_byte",
    "mid_request",
    "request_written",
    "answer_half",
    "answer_read",
    "before_record",
    "after_record",
    "before_ack",
)
THREADS = 8
PARALLEL = 5
"""Cells at once: they mostly wait for leases and deadlines."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one crash came to."""

    step: str
    stack: str
    seed: int
    jobs: int
    once: int
    """People who saw their message exactly once."""
    twice: int
    lost: int
    """People whose message counts as sent or never ended, and who never saw it."""
    unknown: int
    """Parts that the crash put in doubt."""
    marked: int
    """Parts that were marked and not recorded when the process died."""
    received: int
    """Parts whose whole request had arrived without a record."""
    broken: tuple[str, ...]
    """Rules that did not hold."""


def run_cell(stack: Stack, name: str, step: str, seed: int) -> Cell:
    """Crashes a worker and lets another one finish."""
    mix = enqueue_mix(stack, seed)
    _crash(stack, step, random.Random(f"{step} {seed}"))
    marked = {(row[0], row[1]) for row in stack.rows("select id, claim from worker_parts where state = 1")}
    received = _received_without_record(stack)
    stack.worker(threads=THREADS)
    stack.until_settled()
    return _counted(stack, mix, marked, received, (name, step, seed))


def _crash(stack: Stack, step: str, rng: random.Random) -> None:
    # Counted are calls; doorbells and group commits are fewer.
    count = rng.randint(1, {"before_ack": 3, "after_record": 6}.get(step, 25))
    label = step
    if step == "mid_request":
        label = "none"
        match = {"path": "/cgi-bin/message/send", "nth": count}
        at = {"request_bytes": rng.randint(150, 400)}
        stack.vendor.faults({"match": match, "times": 1, "action": {"kill": "peer", "at": at}})
    process = stack.process("tests.process.crash_worker", label, str(count), str(THREADS))
    try:
        until(lambda: process.poll() is not None, f"killed at {step} number {count}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{stack.state()}\n{stack.logs()[-3000:]}") from None
    assert process.returncode == -signal.SIGKILL, stack.logs()[-3000:]


def _counted(
    stack: Stack, mix: Mix, marked: set[tuple[str, int]], received: set[str], cell: tuple[str, str, int]
) -> Cell:
    inbox = {person: len(messages) for person, messages in stack.vendor.inbox().items()}
    seen = Counter(min(inbox.get(person, 0), 2) for people in mix.sends.values() for person in people)
    sent, never = _people(stack, mix, lambda state: state not in (6, 8)), _people(stack, mix, lambda state: state == 8)
    lost = sum(inbox.get(person, 0) == 0 for person in sent) + stack.open_jobs()
    died = {(row[0], row[1]) for row in stack.rows(_DIED)}
    broken = _broken(seen[2], lost, died, marked, received)
    if any(person in inbox for person in never):
        broken += ("somebody saw a message that counts as never sent",)
    name, step, seed = cell
    return Cell(step, name, seed, mix.jobs, seen[1], seen[2], lost, len(died), len(marked), len(received), broken)


_DIED = "select part_id, claim from worker_attempts where doubtful and reason like 'the process died%'"


def _broken(
    twice: int, lost: int, died: set[tuple[str, int]], marked: set[tuple[str, int]], received: set[str]
) -> tuple[str, ...]:
    rules = {
        "somebody saw a message twice": twice == 0,
        "a message was lost": lost == 0,
        "a part received without a record is not among the unknown": received <= {part for part, _ in died},
        "an unknown was not marked without a record": died <= marked,
        "more unknowns than sender threads": len(died) <= THREADS,
    }
    return tuple(rule for rule, holds in rules.items() if not holds)


def _people(stack: Stack, mix: Mix, wanted: Callable[[int], bool]) -> list[str]:
    """People of every part of a send whose state is wanted: 6 is unknown, 8 recalled before it was sent."""
    people: list[str] = []
    for job_id, state, spec in stack.rows("select job_id, state, spec from worker_parts"):
        if job_id in mix.sends and wanted(state):
            people += json.loads(spec)["users"]
    return people


# -- what the vendor had received when the process died ---------------------------------------------------------------


def _received_without_record(stack: Stack) -> set[str]:
    """Parts with more calls that arrived whole than attempts written down."""
    arrived = Counter(
        part for call in stack.vendor.calls() if call["received"] == "whole" for part in [_part_of(stack, call)] if part
    )
    written = Counter(dict(stack.rows("select part_id, count(*) from worker_attempts group by part_id")))
    return {part for part, calls in arrived.items() if calls > written[part]}


def _part_of(stack: Stack, call: dict[str, Any]) -> str | None:
    """The part that made a call, found by what only it can have sent."""
    if call["path"].endswith("media/upload"):
        return _upload_part(stack, call["body"]["filename"])
    body = json.loads(call["body"])
    match call["path"].rpartition("/")[2]:
        case "send":
            return _send_part(stack, body["touser"].split("|")[0])
        case "recall":
            wanted = ("recall", "msgid", body["msgid"])
            return _part_with(stack, *wanted)
        case _:
            found = stack.rows("select leased_by from worker_response_codes where code = :c", c=body["response_code"])
            return str(found[0][0]) if found else None


def _send_part(stack: Stack, first_user: str) -> str | None:
    for part, spec in stack.rows(_OF_KIND, kind="send"):
        if first_user in json.loads(spec).get("users", [])[:1]:
            return str(part)
    return None


def _upload_part(stack: Stack, filename: str) -> str | None:
    query = "select p.id, j.message from worker_parts p join worker_jobs j on j.id = p.job_id where j.kind = 'upload'"
    found = [part for part, message in stack.rows(query) if filename in message]
    return str(found[0]) if found else None


def _part_with(stack: Stack, kind: str, key: str, value: str) -> str | None:
    found = [part for part, spec in stack.rows(_OF_KIND, kind=kind) if json.loads(spec).get(key) == value]
    return str(found[0]) if found else None


_OF_KIND = "select p.id, p.spec from worker_parts p join worker_jobs j on j.id = p.job_id where j.kind = :kind"


# -- many cells -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """Where one cell runs: a fresh database and a broker."""

    name: str
    database_url: str
    broker: str
    folder: Path


def run_place(place: Place, step: str, seed: int) -> Cell:
    """Builds the stack of one cell, runs it, takes it down."""
    with (
        closing(Vendor(place.folder, vendor_settings(seed))) as vendor,
        closing(Stack(place.folder, place.database_url, place.broker, vendor)) as stack,
    ):
        return run_cell(stack, place.name, step, seed)


def run_all(plan: Iterable[tuple[Place, str, int]]) -> list[Cell]:
    """All cells, a few at once, in the order given."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(lambda cell: run_place(*cell), plan))


def table(cells: Iterable[Cell]) -> str:
    """Step x stack; several seeds are added up."""
    head = f"{'step':<16} {'stack':<15} {'jobs':>5} {'once':>6} {'twice':>5} {'lost':>5} {'unknown':>7} {'marked':>6}"
    lines: dict[tuple[str, str], list[int]] = {}
    for cell in cells:
        line = lines.setdefault((cell.step, cell.stack), [0] * 6)
        figures = (cell.jobs, cell.once, cell.twice, cell.lost, cell.unknown, cell.marked)
        line[:] = [old + new for old, new in zip(line, figures, strict=True)]
    rows = [
        f"{step:<16} {stack:<15} {f[0]:>5} {f[1]:>6} {f[2]:>5} {f[3]:>5} {f[4]:>7} {f[5]:>6}"
        for (step, stack), f in lines.items()
    ]
    return "\n".join([head, *rows])
