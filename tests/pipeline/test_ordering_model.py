"""Random histories of ordered parts against a model: nothing is marked out of turn, and whoever has the turn is due."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st

from rig.databases import empty
from tests.support.runtime import Site, planted
from worker.domain.errors import NotReplayable
from worker.domain.job import part_id
from worker.domain.outcome import Accepted, CallReceipt, Outcome, Rejected, Retry, Unknown, Verdict
from worker.domain.settle import FOREVER, Policy
from worker.outbox.commit.commands import CallEnd, Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.producer.resend import skip

SECOND = 1_000_000
ANSWERS: dict[str, Outcome] = {
    "taken": Accepted(CallReceipt("m")),
    "refused": Rejected("no"),
    "again": Retry("again"),
    "held": Unknown("cut", held=True),
}


@dataclass
class Known:
    """One part as the model has it."""

    job: str
    key: str
    due_at: int
    skips: bool
    claim: int = 0
    state: str = "queued"

    @property
    def place(self) -> tuple[int, str]:
        """What was called once goes before all others."""
        return (0 if self.claim else self.due_at, self.job)

    @property
    def stands_in_the_way(self) -> bool:
        """Until it has ended, or was passed."""
        return self.state in ("queued", "sending") or (self.state == "held" and not self.skips)


HISTORIES, ACTS = 6, 50


def acts(rng: random.Random) -> Iterator[Any]:
    """A history of two keys; the marks are most often of parts near the head, whether it is their turn or not."""
    yield from (("ask", key, 0, rng.random() < 0.3) for key in "aabb")
    for _ in range(ACTS):
        kind = rng.choices(["ask", "mark", "end", "skip"], [2, 6, 5, 1])[0]
        if kind == "ask":
            yield "ask", rng.choice("ab"), rng.randint(-5, 0), rng.random() < 0.3
        elif kind == "end":
            yield "end", rng.randrange(20), rng.choice(sorted(ANSWERS))
        else:
            yield kind, rng.randrange(20)


@settings(max_examples=HISTORIES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_any_history_keeps_the_order(database: Database, driven_clock: DrivenClock, seed: int) -> None:
    """Ids that ring in any order, late comers due earlier, retries, doubts, gaps that may be skipped and a person."""
    empty(database)
    with planted(database, driven_clock) as site:
        parts: list[Known] = []
        for act in acts(random.Random(seed)):
            step(site, parts, act)
            for key in "ab":
                check(site, [part for part in parts if part.key == key])


def step(site: Site, parts: list[Known], act: Any) -> None:
    """One act, in the outbox and in the model."""
    match act:
        case ("ask", key, earlier, skips):
            due = datetime.fromtimestamp(site.clock.micros / SECOND + earlier, UTC)
            job = site.send("x", order_key=key, due_at=due, on_gap="skip" if skips else "hold")
            parts.append(Known(job, key, site.clock.micros + earlier * SECOND, skips))
        case ("mark", n):
            waiting = [part for part in parts if part.state in ("queued", "free")]
            if waiting:
                mark(site, parts, waiting[n % min(len(waiting), 4)])
        case ("end", n, answer):
            in_flight = [part for part in parts if part.state.endswith("sending")]
            if in_flight:
                end(site, in_flight[n % len(in_flight)], answer)
        case ("skip", n):
            pass_by(site, parts, parts[n % len(parts)])


def mark(site: Site, parts: list[Known], part: Known) -> None:
    wish = Mark(part_id(part.job, 0), part.claim, "p1", 20 * SECOND)
    is_marked = wish in commit(site.database, [wish], Policy()).calls
    may = part.state == "free" or (part.state == "queued" and has_turn(parts, part))
    assert may == is_marked
    if is_marked:
        part.claim, part.state = part.claim + 1, "sending" if part.state == "queued" else "free and sending"


def end(site: Site, part: Known, answer: str) -> None:
    commit(
        site.database,
        [CallEnd(part_id(part.job, 0), part.claim, "p1", Verdict(ANSWERS[answer]), 5)],
        Policy(attempts=99),
    )
    free = part.state == "free and sending"
    part.state = {"again": "free" if free else "queued", "held": "ended" if free else "held"}.get(answer, "ended")


def pass_by(site: Site, parts: list[Known], part: Known) -> None:
    may = part.stands_in_the_way and part.state != "sending" and has_turn(parts, part)
    try:
        skip(site.database, part.job)
    except NotReplayable:
        assert not may
        return
    assert may
    part.state = "ended" if part.state == "held" else "free"


def has_turn(parts: list[Known], part: Known) -> bool:
    line = [other for other in parts if other.key == part.key and other.stands_in_the_way]
    return bool(line) and min(line, key=lambda other: other.place) is part


def check(site: Site, parts: list[Known]) -> None:
    """At most one is in flight, and it is never the first that sleeps."""
    assert sum(part.state == "sending" for part in parts) <= 1
    line = sorted((part for part in parts if part.stands_in_the_way), key=lambda part: part.place)
    if line and line[0].state == "queued":
        assert site.part(line[0].job).not_before != FOREVER
    standing = {row.job_id for row in site.rows("select job_id from worker_order_queue")}
    assert {part.job for part in line} == standing & {part.job for part in parts}
