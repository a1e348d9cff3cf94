"""The crash matrix: a worker dies by SIGKILL at a labelled step, a second one takes over, and everything is counted.

One cell is one step on one stack with one seed; its jobs, its vendor and its moment of death are drawn from all three.
Tests run a seed of the cells in which stacks differ, `python -m bench crash` five of every cell. A cell whose crash did
not hit what its step is about is broken, so that no rule holds for want of anything to judge.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig.crash.mix import Mix, enqueue_mix, vendor_settings
from rig.crash.others import judge_others
from rig.stack import SHORT, Stack, Vendor, until

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
IN_A_CALL = STEPS[1:8]
"""Between mark and record: whoever dies there leaves a mark."""
ON_THE_WIRE = STEPS[4:8]
"""The whole request has left before the process dies."""
THREADS = 8
"""Leases, deadlines and repeats one after the other, with a machine that is busy with the other cells."""
LONG_LEASES = {**SHORT, "lease_s": 10}
"""As in production, with a heartbeat a second: a worker that takes over beside five other cells may wait seconds for a
processor, and one that loses its lease again and again sends nothing.
"""
LANES_START_SLOWLY = {"cold_after_s": 60}
"""As in production; every second cell. The others have their lanes' whole share in flight from the start."""
PARALLEL = 6
"""Cells at once: they mostly wait for leases and deadlines."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one crash came to."""

    step: str
    stack: str
    seed: int
    jobs: int
    once: int
    """People who saw their message exactly once; recalls, updates and uploads that took effect once."""
    twice: int
    lost: int
    """People whose message counts as sent or never ended, and who never saw it; follow-ups without effect."""
    unknown: int
    """Parts that the crash put in doubt."""
    marked: int
    """Parts that were marked and not recorded when the process died."""
    received: int
    """Parts whose whole request had arrived without a record."""
    broken: tuple[str, ...]
    """Rules that did not hold."""


@dataclass(frozen=True, slots=True)
class Wreck:
    """What was there between the two workers."""

    marked: set[tuple[str, int]]
    received: set[str]
    """Parts with a call that arrived whole and is not written down."""
    begun: set[str]
    """Parts with a call of which anything arrived."""
    recorded: int


def draw_seed(name: str, step: str, seed: int) -> str:
    """The seed of one cell: no two cells share a vendor."""
    return f"{seed} {step} {name}"


def run_cell(stack: Stack, name: str, step: str, seed: int) -> Cell:
    """Crashes a worker and lets another one finish."""
    drawn = draw_seed(name, step, seed)
    mix = enqueue_mix(stack, drawn)
    _crash(stack, step, random.Random(drawn))
    wreck = _look(stack, step)
    stack.worker(threads=THREADS)
    stack.until_settled()
    return _counted(stack, mix, wreck, (name, step, seed))


def _crash(stack: Stack, step: str, rng: random.Random) -> None:
    # The ninth call of eight threads: at least one has gone all its way. Doorbells and group commits are fewer, and so
    # are sends alone: a recall may cancel some of them first.
    ranges = {"before_mark": (1, 20), "before_ack": (1, 3), "after_record": (1, 6), "mid_request": (THREADS + 1, 12)}
    first, last = ranges.get(step, (THREADS + 1, 20))
    count = rng.randint(first, last)
    mid_request = step == "mid_request"
    process = stack.process("rig.crash.worker", "none" if mid_request else step, str(count), str(THREADS))
    if mid_request:
        # By its pid, long before its first call: under load the kernel's tables may not show who holds a connection.
        match = {"path": "/cgi-bin/message/send", "nth": count}
        at = {"request_bytes": rng.randint(150, 300)}  # the shortest request has some 350
        stack.vendor.faults({"match": match, "times": 1, "action": {"kill": process.pid, "at": at}})

    def told() -> str:
        struck = [call["fault"] for call in stack.vendor.calls() if call["fault"]]
        return f"{struck}\n{stack.told()}"

    until(lambda: process.poll() is not None, f"killed at {step} number {count}", told=told)
    assert process.returncode == -signal.SIGKILL, stack.logs()[-3000:]


def _look(stack: Stack, step: str) -> Wreck:
    """Outbox and vendor after the death, once both have taken what was still on the wire."""
    before: list[Any] = []
    stack.database.close()  # whoever is connected besides one of us is the dead worker
    connected = _CONNECTED.get(stack.database.dialect.name, "select 0")

    def calm() -> bool:
        nonlocal before
        calls = stack.vendor.calls()
        came = [(call["seq"], call["received"], call["answered"]) for call in calls]
        if stack.number(connected):  # a commit that was sent is carried out after the death, too
            return False
        previous, before = before, [came, _marked(stack)]
        return previous == before and (step not in ON_THE_WIRE or bool(_without_record(stack, calls, {"whole"})))

    with contextlib.suppress(AssertionError):  # what did not arrive is a broken rule, told with the table
        until(calm, "everything has been taken", 60)
    marked, recorded = _marked(stack), stack.number("select count(*) from worker_attempts")
    calls, some = stack.vendor.calls(), {"head", "partial", "whole"}
    received = _without_record(stack, calls, {"whole"})
    return Wreck(marked, received, _without_record(stack, calls, some, records=False), recorded)


_CONNECTED = {
    "postgresql": "select count(*) from pg_stat_activity where datname = current_database()"
    " and backend_type = 'client backend' and pid <> pg_backend_pid()",
    "mysql": "select count(*) from information_schema.processlist where db = database() and id <> connection_id()",
}


def _marked(stack: Stack) -> set[tuple[str, int]]:
    return {(row[0], row[1]) for row in stack.rows("select id, claim from worker_parts where state = 1")}


def _counted(stack: Stack, mix: Mix, wreck: Wreck, cell: tuple[str, str, int]) -> Cell:
    messages = stack.vendor.inbox()
    inbox = {person: len(seen) for person, seen in messages.items()}
    seen = Counter(min(inbox.get(person, 0), 2) for people in mix.sends.values() for person in people)
    sent, never = _people(stack, mix, lambda state: state not in (6, 8)), _people(stack, mix, lambda state: state == 8)
    others = judge_others(stack, mix, messages)
    twice = seen[2] + others.twice
    lost = sum(inbox.get(person, 0) == 0 for person in sent) + stack.open_jobs() + others.lost
    died = {(row[0], row[1]) for row in stack.rows(_DIED)}
    name, step, seed = cell
    broken = _broken(twice, lost, died, wreck) + _vacuous(step, wreck) + others.broken + _disorder(stack, mix)
    if any(person in inbox for person in never):
        broken += ("somebody saw a message that counts as never sent",)
    once = seen[1] + others.once
    return Cell(
        step, name, seed, mix.jobs, once, twice, lost, len(died), len(wreck.marked), len(wreck.received), broken
    )


_DIED = "select part_id, claim from worker_attempts where doubtful and duration_ms is null"


def _broken(twice: int, lost: int, died: set[tuple[str, int]], wreck: Wreck) -> tuple[str, ...]:
    rules = {
        "somebody saw a message twice, or a follow-up was made twice": twice == 0,
        "a message or a follow-up was lost": lost == 0,
        "a part received without a record is not among the unknown": wreck.received <= {part for part, _ in died},
        "an unknown was not marked without a record": died <= wreck.marked,
        "more parts were marked and not recorded than there are threads": len(wreck.marked) <= THREADS,
    }
    return tuple(rule for rule, holds in rules.items() if not holds)


def _vacuous(step: str, wreck: Wreck) -> tuple[str, ...]:
    """What the step implies and the crash did not bring about."""
    rules = {
        "nothing was marked when it died": step not in IN_A_CALL or bool(wreck.marked),
        "the vendor had received nothing when it died": step in STEPS[:2] or bool(wreck.begun),
        "no part was received without a record": step not in ON_THE_WIRE or bool(wreck.received),
        "nothing was recorded when it died": step not in STEPS[8:] or wreck.recorded > 0,
    }
    return tuple(rule for rule, holds in rules.items() if not holds)


def _disorder(stack: Stack, mix: Mix) -> tuple[str, ...]:
    """Parts of one order are marked for the first time in their order, whoever died in between."""
    parts: dict[str, list[tuple[int, int | None]]] = {}
    for job_id, n, marked_at in stack.rows("select job_id, n, first_marked_at from worker_parts"):
        parts.setdefault(job_id, []).append((n, marked_at))
    for jobs in mix.orders.values():
        marks = [at for job in jobs for _, at in sorted(parts[job]) if at is not None]
        if marks != sorted(set(marks)):
            return ("parts of one order were marked out of turn, or at once",)
    return ()


def _people(stack: Stack, mix: Mix, wanted: Callable[[int], bool]) -> list[str]:
    """People of every part of a send whose state is wanted: 6 is unknown, 8 recalled before it was sent."""
    people: list[str] = []
    for job_id, state, spec in stack.rows("select job_id, state, spec from worker_parts"):
        if job_id in mix.sends and wanted(state):
            people += json.loads(spec)["users"]
    return people


# -- what the vendor had received when the process died ---------------------------------------------------------------


def _without_record(
    stack: Stack, calls: Iterable[dict[str, Any]], received: set[str], *, records: bool = True
) -> set[str]:
    """Parts with more calls that arrived so far than attempts written down (or, without records, than none)."""
    part_of = _finder(stack)
    arrived = Counter(part for call in calls if call["received"] in received and (part := part_of(call)))
    query = "select part_id, count(*) from worker_attempts group by part_id"
    written = Counter(dict(stack.rows(query)) if records else {})
    return {part for part, calls in arrived.items() if calls > written[part]}


def _finder(stack: Stack) -> Callable[[dict[str, Any]], str | None]:
    """Finds the part that made a call by what only it can have sent."""
    query = "select p.id, j.kind, p.spec, j.message from worker_parts p join worker_jobs j on j.id = p.job_id"
    parts = [(str(part), kind, json.loads(spec), message) for part, kind, spec, message in stack.rows(query)]
    sends = {spec["users"][0]: part for part, kind, spec, _ in parts if kind == "send" and spec.get("users")}
    recalls = {spec.get("msgid"): part for part, kind, spec, _ in parts if kind == "recall"}
    codes = {code: str(part) for code, part in stack.rows("select code, leased_by from worker_response_codes")}

    def part_of(call: dict[str, Any]) -> str | None:
        if call["path"].endswith("media/upload"):
            name = call["body"]["filename"] if call["received"] == "whole" else None
            return next((part for part, kind, _, told in parts if kind == "upload" and name and name in told), None)
        try:
            body = json.loads(call["body"])
        except ValueError:
            return None  # cut
        match call["path"].rpartition("/")[2]:
            case "send":
                return sends.get(body["touser"].split("|")[0])
            case "recall":
                return recalls.get(body["msgid"])
            case _:
                return codes.get(body["response_code"])

    return part_of


# -- many cells -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """Where one cell runs: an empty database and a broker."""

    name: str
    database_url: str
    broker: str
    folder: Path


def run_place(place: Place, step: str, seed: int) -> Cell:
    """Builds the stack of one cell, runs it, takes it down."""
    drawn = draw_seed(place.name, step, seed)
    delivery = {**LONG_LEASES, **(LANES_START_SLOWLY if (STEPS.index(step) + seed) % 2 else {})}
    with (
        closing(Vendor(place.folder, vendor_settings(drawn))) as vendor,
        closing(Stack(place.folder, place.database_url, place.broker, vendor, delivery, fresh=False)) as stack,
    ):
        return run_cell(stack, place.name, step, seed)


def run_all(
    plan: Iterable[tuple[str, str, int]], take: Callable[[str, str], AbstractContextManager[Place]]
) -> list[Cell]:
    """All cells (stack, step, seed), a few at once, in the order given; `take` gives a stack's place for a step."""

    def run(cell: tuple[str, str, int]) -> Cell:
        name, step, seed = cell
        with take(name, step) as place:
            return run_place(place, step, seed)

    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(run, plan))


COLUMNS = ("step", "stack", "jobs", "once", "twice", "lost", "unknown", "marked")


def table(cells: Iterable[Cell]) -> str:
    """Step x stack; several seeds are added up."""
    return "\n".join(
        f"{row[0]:<16} {row[1]:<17} {row[2]:>5} {row[3]:>6} {row[4]:>5} {row[5]:>5} {row[6]:>7} {row[7]:>6}"
        for row in [COLUMNS, *_rows(cells)]
    )


def markdown(cells: Iterable[Cell]) -> str:
    """The same for a page."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *_rows(cells)]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def _rows(cells: Iterable[Cell]) -> list[tuple[str | int, ...]]:
    lines: dict[tuple[str, str], list[int]] = {}
    for cell in cells:
        line = lines.setdefault((cell.step, cell.stack), [0] * 6)
        figures = (cell.jobs, cell.once, cell.twice, cell.lost, cell.unknown, cell.marked)
        line[:] = [old + new for old, new in zip(line, figures, strict=True)]
    return [(step, stack, *figures) for (step, stack), figures in sorted(lines.items(), key=_in_order)]


def _in_order(line: tuple[tuple[str, str], list[int]]) -> tuple[int, str]:
    (step, stack), _ = line
    return STEPS.index(step), stack
