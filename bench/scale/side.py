"""One of the two outboxes that are compared: a relay at work on it, and one cycle of what is measured.

A cycle adds as many parts as it takes away, so the contents stay what they are. Timed are only the turn, what a
doorbell asks first, the offer, the mark and recovery's wake-up, through the functions that the worker calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice

import uuid_utils
from sqlalchemy import text

from bench.scale.contents import ACTIVE_LANES, SPEC, active_lane
from worker.config.settings import DeliverySettings
from worker.delivery.scheduler.fair_share import ThreadShares
from worker.delivery.scheduler.lane_offer import Doorbell
from worker.delivery.scheduler.relay import Relay
from worker.domain.pacing.lane import with_accounts
from worker.domain.settle import Policy
from worker.domain.state import PartState
from worker.outbox import tables
from worker.outbox.commit.commands import Mark, MarkedCall
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.bulk import insert_rows, update_rows
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import release_parts
from worker.outbox.jobs.target_job import wake_overdue
from worker.outbox.lanes.lanes import read_lane_states
from worker.outbox.lanes.offering import offer
from worker.service.loop import Loop

BATCH = 20
TURN_S = 0.04
DOORBELL = 10
"""As for calls of a tenth of a second: what is offered is marked before its offer runs out."""
SECOND = 1_000_000
BODY = '{"touser": "zhangsan|lisi", "msgtype": "text", "agentid": 7, "text": {"content": "' + "hello " * 20 + '"}}'
Samples = dict[str, list[float]]


class BenchFailed(AssertionError):
    """What was measured did not do its work."""


@dataclass
class Side:
    """An outbox, its relay, and the walk in a thread of its own as in a worker."""

    database: Database
    rings: list[Doorbell] = field(default_factory=list)
    offered: dict[str, None] = field(default_factory=dict)
    """In order, once each: what waits long is offered again."""
    cycles: int = 0
    clock_s: float = 0.0
    """The relay's monotonic clock: a busy machine must not change how many of the turns look at lanes again."""

    def __post_init__(self) -> None:
        self.relay = Relay(
            self.database,
            holder=lambda: "bench",
            publish=self.rings.extend,
            thread_shares=ThreadShares(DOORBELL),
            settings=DeliverySettings(cold_after_s=0),
            monotonic=lambda: self.clock_s,
            scan_clock=time.monotonic,
        )
        self._full_scan = Loop("walk", self.relay.full_scan)

    def start(self) -> None:
        """The relay becomes active and knows every lane, the walk goes round."""
        self.relay.lead()
        self.relay.full_scan()
        self._full_scan.start()

    def stop(self) -> None:
        """Ends the walk."""
        self._full_scan.stop(60)

    def turn(self) -> float:
        """One turn, a poll's time after the last one; how long it took."""
        self.clock_s += TURN_S
        spent = _timed(self.relay.turn)
        self.offered.update(dict.fromkeys(part for ring in self.rings for part in ring.ids))
        self.rings.clear()
        return spent

    def cycle(self) -> dict[str, float]:
        """New parts come, a turn, a question, an offer, a wake-up, a mark; what was marked ends."""
        self.cycles += 1
        lane = active_lane(self.cycles % ACTIVE_LANES)
        self._enqueue(lane)
        found = {"turn": self.turn()}
        found["asks"] = self._ask(lane)
        found["offer"] = self._offer(lane)
        found["wake"] = _timed(lambda: self.database.run(lambda c: wake_overdue(c, self.database.now)))
        if len(self.offered) >= BATCH:
            found["mark"] = self._mark(list(islice(self.offered, BATCH)))
        return found

    def late(self, lane: str, limit_s: float = 30.0) -> float:
        """Seconds until a part that is committed an hour after its time is offered; turns are made as in a worker."""
        part = self._insert(lane, 1, behind_us=3600 * SECOND)[0]
        started = time.monotonic()
        while part not in self.offered:
            if time.monotonic() - started > limit_s:
                raise BenchFailed(f"a late commit was not found within {limit_s:.0f} s")
            time.sleep(0.02)
            self.turn()
        spent = time.monotonic() - started
        self._end([part])
        return spent

    def _enqueue(self, lane: str) -> None:
        self._insert(lane, BATCH)

    def _insert(self, lane: str, count: int, behind_us: int = 0) -> list[str]:
        due = self.database.read_now() - behind_us
        jobs = [uuid_utils.uuid7().hex for _ in range(count)]
        rows = [
            {
                "id": f"{job}-0",
                "job_id": job,
                "n": 0,
                "lane": lane,
                "priority": 1,
                "not_before": due,
                "spec": SPEC,
            }
            for job in jobs
        ]
        self.database.run(lambda connection: insert_rows(connection, tables.parts, rows))
        return [f"{job}-0" for job in jobs]

    def _ask(self, lane: str) -> float:
        """What stands on the lane and its account, as a doorbell asks."""
        with self.database.reading() as connection:
            return _timed(lambda: read_lane_states(connection, self.database.now, with_accounts([lane]), lambda: 0))

    def _offer(self, lane: str) -> float:
        """The newest of the lane, which no window has reached; they are left again at once."""
        with self.database.reading() as connection:
            newest = connection.execute(
                text(
                    "select id from worker_parts where state = 0 and lane = :lane and priority = 1"
                    " order by not_before desc, id desc limit :count"
                ),
                {"lane": lane, "count": BATCH},
            )
            ids = [row[0] for row in newest]
        database, found = self.database, []
        spent = _timed(lambda: found.extend(database.run(lambda c: offer(c, database.now, ids, 5 * SECOND))))
        if found != ids:
            raise BenchFailed(f"{len(found)} of {len(ids)} were offered")
        database.run(lambda connection: release_parts(connection, ids))
        return spent

    def _mark(self, ids: Sequence[str]) -> float:
        """A group commit of first calls with the duplicate check on."""
        marks = [
            Mark(part, 0, "bench", 20 * SECOND, sha256(part.encode()).hexdigest(), 14_400 * SECOND, body=BODY)
            for part in ids
        ]
        calls = dict[Mark, MarkedCall]()
        spent = _timed(lambda: calls.update(commit(self.database, marks, Policy()).calls))
        if len(calls) < len(marks):
            raise BenchFailed("a mark was lost")
        self._end(ids)
        return spent

    def _end(self, ids: Sequence[str]) -> None:
        for part in ids:
            self.offered.pop(part, None)
        rows = [{"id": part, "state": int(PartState.ACCEPTED), "not_before": None, "tries": 1} for part in ids]
        self.database.run(lambda connection: update_rows(connection, tables.parts, ("id",), rows))


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
