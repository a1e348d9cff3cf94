"""How much of one lane may be in the broker and in the threads: one formula of all that it depends on.

The lane gets its part of the threads but two, and a quarter of that if its calls take over a second. A portion of
ids is a second of work, one call after another, and there are two for each thread: one is worked on while the other
waits. Urgent parts have a quarter as much of their own. So a lane alone on a process of 32 threads, whose parts
take 100 ms, has `30` threads with `10` ids each, and `2 * 30 * 10` of its first due parts are kept offered. A
process gets two doorbells for them, each with the portions of half its threads, but with no more than 1,600 ids.
The other of two lanes leaves it half of all:

>>> from dataclasses import replace
>>> alone = LaneLoad(threads=32, urgent_threads=32, cycle_ms=100)
>>> lane_quota(alone)
LaneQuota(size=10, window=600, urgent_window=150, threads=30, calls_per_doorbell=15)
>>> lane_quota(replace(alone, lanes=2))
LaneQuota(size=10, window=300, urgent_window=75, threads=15, calls_per_doorbell=8)

With calls of two seconds there is one id for each of a quarter of the threads. After a limit of 100 closed it, at
most 100 are offered, in as few doorbells as possible, because threads keep no order between doorbells; urgent
parts leave bulk its tenth. A bound of 4 calls keeps 4 offered:

>>> lane_quota(replace(alone, call_ms=2000, cycle_ms=2000))
LaneQuota(size=1, window=14, urgent_window=3, threads=7, calls_per_doorbell=4)
>>> lane_quota(replace(alone, limit=100))
LaneQuota(size=10, window=100, urgent_window=90, threads=10, calls_per_doorbell=30)
>>> lane_quota(replace(alone, max_calls=4))
LaneQuota(size=10, window=4, urgent_window=4, threads=30, calls_per_doorbell=15)

What is in the broker already counts as a part of the window, so of the 300 of the second example 200 are offered if
100 are there. The portions of all lanes of an account together are at most two for each of its threads. The caller
says in `fraction` that lanes with nothing but bulk have a tenth together. Under a bound each id is a portion of its
own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from math import ceil

from worker.domain.pacing.bulk import bulk_share, mix
from worker.outbox.lanes.offering import DueBatch

PORTION_MS = 1000
"""Milliseconds of work that one portion should be, by the time that a part of its lane takes."""
SLOW_MS = 1000
"""A lane whose calls take longer than so many milliseconds is slow."""
KEEP_FREE = 2
"""Threads left out of all quotas, so that no busy lane holds every thread."""
MAX_CALLS_PER_DOORBELL = 64
"""The largest number of calls that one thread has in flight at once."""
MAX_IDS = 1600
"""The largest number of ids that go to one thread at once, except where each portion is one id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLoad:
    """What a lane's quota depends on."""

    threads: int
    """Threads of all processes that take from the lane's queue."""
    urgent_threads: int
    """Threads of all processes that take urgent parts."""
    processes: int = 1
    """Processes that take normal parts."""
    fraction: float = 1.0
    """The part of all threads that the lane's account has, by weight, for lanes like this one."""
    lanes: int = 1
    """Lanes of the account like this one that have work."""
    call_ms: int = 0
    """Milliseconds that a call of the lane takes in the slowest process, or 0 if there was none."""
    cycle_ms: int = 0
    """The same for the whole way of a part through a thread."""
    doorbell_size: int = 50
    """The largest number of ids in a portion."""
    limit: int | None = None
    """Parts that a window of a limit lets through, if a limit closed the lane or its account lately, else None."""
    max_calls: int | None = None
    """The bound on the calls in flight of the lane or its account, or None without one."""


def lane_quota(load: LaneLoad) -> LaneQuota:
    """Returns how much of a lane may be offered. See the examples above."""
    threads, urgent = _lane_threads(load, load.threads), _lane_threads(load, load.urgent_threads)
    # Few threads with many calls each do more than many threads with one call each, which compete for the interpreter.
    # But each process gets two doorbells: one prepares and marks while the other waits for answers.
    calls = min(MAX_CALLS_PER_DOORBELL, ceil(threads / (2 * load.processes)))
    calls_of_two = min(MAX_CALLS_PER_DOORBELL, 2 * calls)
    size = min(load.doorbell_size, MAX_IDS // calls_of_two)
    if load.cycle_ms:
        size = min(size, PORTION_MS // load.cycle_ms)
    size = max(1, size)
    window, urgent_window = threads * size * 2, max(size, urgent * size // 2)
    if load.limit is not None:
        window, threads = min(window, load.limit), max(1, min(threads, load.limit // size))
        # Urgent parts are offered before bulk, which would get nothing of the limit otherwise.
        urgent_window = min(urgent_window, max(1, load.limit - bulk_share(load.limit)))
        calls = calls_of_two
    if load.max_calls is not None:
        window, urgent_window = min(window, load.max_calls), min(urgent_window, load.max_calls)
    return LaneQuota(size, window, urgent_window, threads, calls)


def _lane_threads(load: LaneLoad, threads: int) -> int:
    own = max(1, account_threads(threads, load.fraction) // max(1, load.lanes))
    return max(1, own // 4) if load.call_ms > SLOW_MS else own


def account_threads(threads: int, fraction: float = 1.0) -> int:
    """Returns the threads of an account with this fraction of all weights, at least 1."""
    return max(1, int((threads - KEEP_FREE) * fraction + 1e-9))


@dataclass(frozen=True, slots=True)
class LaneQuota:
    """How much of one lane may be in the broker and in the threads."""

    size: int
    """Ids in a portion, which one call after another works through."""
    window: int
    """How many of the lane's first due parts are kept offered."""
    urgent_window: int
    """The same for urgent parts, which are counted apart."""
    threads: int
    calls_per_doorbell: int = 1
    """How many portions one doorbell takes to a thread, which then has as many calls in flight at once."""

    def bulk_window(self, normal_due: int) -> int:
        """Returns the window of bulk parts: what normal parts leave, but at least bulk's share of the window."""
        return max(self.window - normal_due, bulk_share(self.window))

    def split(self, batch: DueBatch, window: int, *, patient: bool = True) -> list[tuple[str, ...]]:
        """Splits the ids into portions. With `patient`, only into full ones while half of the window is offered."""
        # Few ids are spread over all threads, so that they do not wait behind each other in one.
        ids, size = batch.ids, max(1, min(self.size, ceil(len(batch.ids) / self.threads)))
        if patient and 2 * len(batch.in_broker) >= window:
            whole = self.size * min(self.calls_per_doorbell, self.threads)
            ids, size = ids[: len(ids) // whole * whole], self.size
        return [tuple(ids[at : at + size]) for at in range(0, len(ids), size)]

    def split_mixed(
        self, normal: DueBatch, bulk: DueBatch, bulk_credit: int, *, patient: bool = True
    ) -> list[tuple[tuple[str, ...], int]]:
        """Mixes normal and bulk parts by bulk's credit and splits them into portions.

        Returns the ids of each portion with the credit after it.
        """
        both = DueBatch([*normal.ids, *bulk.ids], [*normal.in_broker, *bulk.in_broker])
        mixed = mix(normal.ids, bulk.ids, bulk_credit)
        portions = []
        for ids in self.split(both, self.window, patient=patient):
            parts = list(islice(mixed, len(ids)))
            portions.append((tuple(part for part, _ in parts), parts[-1][1]))
        return portions
