"""Recovery: takes care of parts of dead processes, parts in doubt and expired parts, in the process with its lease.

A process counts as dead only after ten seconds of our own uninterrupted, successful checks in which its lease was not
renewed. The steps of a turn are independent, and so are the parts of a step: a failure is reported, and the others go
on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import structlog

from worker.channels.base import Channel
from worker.config.accounts import AccountSource
from worker.delivery.sender.fault_reports import FaultReports, program_error
from worker.domain import settle
from worker.domain.errors import WorkerError
from worker.domain.job import RepeatRule, is_read
from worker.domain.settle import FOREVER, PartFacts, Policy
from worker.domain.state import PartState
from worker.outbox.commit.commands import Change
from worker.outbox.engine.bulk import batched
from worker.outbox.engine.clock import SKEW_US
from worker.outbox.engine.database import Database
from worker.outbox.engine.sql import read_now
from worker.outbox.jobs.loading import (
    JobPart,
    forget_later_times,
    parts_in_doubt,
    parts_marked_in_future,
    parts_of_later,
    parts_still_in_doubt,
    wake_set_back,
)
from worker.outbox.jobs.order_queue import orders_after, repair_orders, stalled_orders
from worker.outbox.jobs.target_job import wake_overdue
from worker.outbox.lanes.agenda import OVERDUE_US, Agenda, Work
from worker.outbox.lanes.lanes import cut_future_blocks
from worker.outbox.lanes.offering import expired_parts
from worker.outbox.lanes.pauses import parked_on_ended, wake_parked
from worker.outbox.lanes.processes import (
    Process,
    end_lapsed_processes,
    sending_of_ended_processes,
    sending_overdue,
    unended_processes,
)
from worker.outbox.lanes.waits import FIRST_PAGE, Cursor

log = structlog.get_logger()

BATCH_SIZE = 500
QUEUE_PAGE = 5_000
"""How many queued parts a turn searches for repeats that the clock was set back behind."""
MAX_WAKE_BATCHES = 10
"""The largest number of batches, of a thousand paused parts each, that one turn wakes."""
EVERY_S = 1.0
"""Seconds between two turns."""
DEAD = "the process ended before it could store an answer"
NEVER = float("-inf")


class Recovery:
    """Changes the state of parts that no process works on any more."""

    def __init__(
        self,
        database: Database,
        *,
        change: Callable[[Sequence[Change]], None],
        accounts: AccountSource,
        channel: Callable[[str], Channel],
        policy: Policy,
        lease_s: float,
        monotonic: Callable[[], float],
        longest_pause_s: float = 3.0,
        agenda: Agenda | None = None,
    ):
        self._database, self._change = database, change
        self._accounts, self._channel, self._policy = accounts, channel, policy
        self._lease_s, self._monotonic, self._longest_pause_s = lease_s, monotonic, longest_pause_s
        self._fault_reports = FaultReports(database, monotonic)
        # An agenda of its own is read anew in each turn, also while the clock of a test stands still.
        self._agenda, self._shares_agenda = agenda or Agenda(database, monotonic), agenda is not None
        self._work = set[Work]()
        """The work that this turn has to do."""
        self._watch: dict[str, tuple[int, float]] = {}
        """Process -> (its alive_until, and since when that is unchanged, in seconds of the monotonic clock)."""
        self._last_turn = NEVER
        self._latest_now = FOREVER
        """The database's clock in the last turn. Before the first turn it may have been any time."""
        self._order_after = ""
        self._saw_set_back = False
        self._knows_later_times = False
        """True from a set-back of the clock until what waits by the old one is forgotten."""
        self._repeats_after: Cursor | None = None
        """The last queued part that was searched for repeats from the future. None: there is nothing to search."""
        self._doubtful_after = FIRST_PAGE
        self._skipped = 0
        """Number of expired parts that the last turn left unchanged."""

    def turn(self) -> float:
        """Makes one turn. Returns the seconds until the next.

        Raises only if the database is away. Other failures are reported.
        """
        now = self._monotonic()
        if now - self._last_turn > self._longest_pause_s:
            # A pause of ours, or of the database, proves nothing about other processes, so the watch starts over.
            self._watch.clear()
        self._last_turn = NEVER
        recent = self._agenda.recent() if self._shares_agenda else None
        self._work = set(self._agenda.refresh() if recent is None else recent)
        watched = self._step(Work.PROCESSES, "recovery of processes", self._end_dead_processes)
        self._step(Work.ORPHANS, "recovery of orphans", self._doubt_orphans)
        self._step(Work.DOUBTFUL, "recovery of unknowns", self._act_on_unknowns)
        if self._agenda.now + SKEW_US < self._latest_now:
            self._repeats_after = (self._agenda.now + SKEW_US, "")
            self._saw_set_back = self._knows_later_times = self._latest_now != FOREVER
        self._latest_now = self._agenda.now
        if self._knows_later_times:
            self._fault_reports.run_step("recovery of later times", self._forget_later_times)
        self._fault_reports.run_step("recovery of repeats", self._act_on_repeats)
        self._step(Work.EXPIRED, "recovery of late parts", self._expire)
        self._step(Work.WAITING, "recovery of waiting parts", self._wake_overdue)
        self._step(Work.RESUMED, "recovery of paused parts", self._wake_resumed)
        self._step(Work.ORDERS, "recovery of orders", self._mend_orders)
        self._step(Work.FUTURE_BLOCKS, "recovery of blocks", self._cut_blocks)
        if watched:
            self._last_turn = self._monotonic()
        return EVERY_S

    def _step(self, work: Work, name: str, step: Callable[[], None]) -> bool:
        """Runs a step if there is work for it. Returns False if it failed."""
        return work not in self._work or self._fault_reports.run_step(name, step)

    def _wake_overdue(self) -> None:
        self._database.run(lambda connection: wake_overdue(connection, self._database.now))

    def _cut_blocks(self) -> None:
        self._database.run(lambda connection: cut_future_blocks(connection, self._database.now))

    def _forget_later_times(self) -> None:
        self._database.run(lambda connection: forget_later_times(connection, read_now(connection, self._database.now)))
        self._knows_later_times = False

    def _wake_resumed(self) -> None:
        """Wakes parts that are parked on ended pauses, at most ten thousand a turn."""
        for _ in range(MAX_WAKE_BATCHES):
            with self._database.reading() as connection:
                parts = parked_on_ended(connection)
            if not parts:
                return
            self._database.run(partial(wake_parked, parts=parts))

    def _mend_orders(self) -> None:
        """Repairs orders that do not go on by themselves, one page of all orders a turn.

        The first part of such an order may be skipped while its lane is parked. Or a program that does not know orders
        has ended or woken parts of it.
        """
        database = self._database
        with database.reading() as connection:
            page = orders_after(connection, self._order_after, BATCH_SIZE)
            orders = stalled_orders(connection, page)
        self._order_after = page[-1] if len(page) == BATCH_SIZE else ""
        if orders:
            database.run(lambda connection: repair_orders(connection, database.now, orders))

    def _end_dead_processes(self) -> None:
        before = self._monotonic()
        with self._database.reading() as connection:
            processes = unended_processes(connection, self._database.now)
        # A slow read proves nothing: the time counts from the end of one read to the start of a later one.
        after = self._monotonic()
        self._watch = {process.id: self._last_seen(process, after) for process in processes}
        dead = [
            process.id
            for process in processes
            if not process.fresh and before - self._watch[process.id][1] >= self._lease_s
        ]
        if dead:
            log.warning("processes_dead", processes=dead)
            self._database.run(lambda connection: end_lapsed_processes(connection, self._database.now, dead))
            self._work.add(Work.ORPHANS)

    def _last_seen(self, process: Process, now: float) -> tuple[int, float]:
        last_seen = self._watch.get(process.id)
        return last_seen if last_seen and last_seen[0] == process.alive_until else (process.alive_until, now)

    def _doubt_orphans(self) -> None:
        """Puts the marked parts of ended processes in doubt, because their bytes may have been sent."""
        with self._database.reading() as connection:
            orphans = sending_of_ended_processes(connection, BATCH_SIZE)
            # A safety net: if a living process left a part `sending`, that would be a defect of ours.
            orphans += sending_overdue(connection, self._database.now, OVERDUE_US, BATCH_SIZE)
        self._change([self._orphan(part, claim, incarnation) for part, claim, incarnation in orphans])

    def _orphan(self, part_id: str, claim: int, incarnation: str) -> Change:
        def doubt(part: PartFacts, now: int) -> None:
            if part.state is PartState.SENDING and part.claim == claim and part.incarnation == incarnation:
                settle.doubt(part, DEAD, self._policy)

        return Change(part_id, doubt, attempt_reason=DEAD)

    def _act_on_unknowns(self) -> None:
        """Repeats or holds the parts in doubt whose call must have ended, one page a turn."""
        # Page by page, not always from the start: parts that stay unchanged must not hide the parts behind them.
        with self._database.reading() as connection:
            rows = parts_in_doubt(connection, self._database.now, BATCH_SIZE, self._doubtful_after)
            set_back = parts_marked_in_future(connection, self._database.now, BATCH_SIZE)
            now = read_now(connection, self._database.now)
        self._doubtful_after = (rows[-1].not_before or 0, rows[-1].id) if len(rows) == BATCH_SIZE else FIRST_PAGE
        changes = [self._act(part) for part in rows if not self._is_for_peers(part, now)]
        self._change(changes + [self._act(part, is_set_back=True) for part in set_back])

    def _act_on_repeats(self) -> None:
        """Does the same with queued repeats that the clock was set back behind, one page of the queue a turn.

        If it has seen that, it wakes parts that would be due by the old clock.
        """
        if self._repeats_after is None:
            return
        future = self._agenda.now + SKEW_US
        with self._database.reading() as connection:
            repeats, waiting, after = parts_of_later(connection, future, self._repeats_after, QUEUE_PAGE)
        for batch in batched(waiting if self._saw_set_back else (), BATCH_SIZE):
            self._database.run(partial(wake_set_back, now=self._database.now, ids=batch, later_than=future))
        for batch in batched(repeats, BATCH_SIZE):
            with self._database.reading() as connection:
                rows = parts_still_in_doubt(connection, batch)
            self._change([self._act(part, PartState.QUEUED, is_set_back=True) for part in rows])
        self._repeats_after = after

    def _is_for_peers(self, part: JobPart, now: int) -> bool:
        """Returns True if another process decides: one that has the part's account, or reads its newer documents."""
        # While settings or a release are rolled out, some processes have an account or read a document before others.
        # After the age that a part may have (a day) no such process is expected any more.
        is_ours = is_read(part.payload) and self._channel_of(part) is not None
        overdue_us = now - (part.not_before or 0)
        return overdue_us < self._policy.max_age_s * settle.SECOND and not is_ours

    def _channel_of(self, part: JobPart) -> Channel | None:
        try:
            return self._channel(self._accounts.get(part.account).channel)
        except WorkerError:
            return None

    def _act(self, part: JobPart, state: PartState = PartState.UNKNOWN, *, is_set_back: bool = False) -> Change:
        try:
            reason = self._hold_reason(part, is_set_back=is_set_back)
        except Exception as error:  # noqa: BLE001  one faulty part must not stop the others of its batch
            # Held, for a person to decide: otherwise it would fail again in every turn.
            reason = program_error(error)
            self._report(part, reason)

        def act(row: PartFacts, now: int) -> None:
            # It may have changed between the reading and this lock.
            if row.state is not state or row.claim != part.claim or row.not_before is None:
                return
            if reason is None:
                settle.repeat(row, now)
            else:
                doubt = row.reason or "no answer"
                settle.hold(row, f"{doubt}; held: {reason}")

        return Change(part.id, act)

    def _report(self, part: JobPart, reason: str) -> None:
        log.warning("not_judged", part=part.id, reason=reason)
        self._fault_reports.report(f"{part.kind} in doubt", reason, lane=part.lane, account=part.account, part=part.id)

    def _hold_reason(self, part: JobPart, *, is_set_back: bool) -> str | None:
        """Returns why a person must decide about the part, or None if a repeat is safe, or demanded in any case."""
        if part.cancelled_at is not None and not self._is_searched(part):
            return "its job was cancelled"
        if not is_read(part.payload):
            return "only a newer release can read its content"
        if part.repeats >= self._policy.repeats:
            return "repeated as often as the settings allow"
        channel = self._channel_of(part)
        if channel is None:
            return "its account is not configured on this worker"
        on_unknown = part.on_unknown if part.on_unknown != "default" else self._accounts.get(part.account).on_unknown
        # What a job says of itself holds. What its account says is about messages, not about the worker's own uploads.
        if part.on_unknown == "default" and on_unknown == "hold" and _rule(part, channel) is RepeatRule.HARMLESS:
            return None
        if on_unknown != "default":
            return None if on_unknown == "resend" else "the job asks to hold unknown outcomes (on_unknown)"
        rule = _rule(part, channel)
        if rule is RepeatRule.HOLD:
            return "nothing makes a repeat safe"
        if rule is RepeatRule.DUPLICATE_CHECK and not part.flagged:
            return "it was sent without the vendor's duplicate check"
        if is_set_back and rule in (RepeatRule.DUPLICATE_CHECK, RepeatRule.TASK_ID):
            return settle.SET_BACK
        return None

    def _expire(self) -> None:
        """Ends the queued parts whose `expires_at` is over."""
        with self._database.reading() as connection:
            # As many more as the last turn skipped, or those could fill the page and hide the others.
            late = expired_parts(connection, self._database.now, BATCH_SIZE + self._skipped)
            in_doubt = [part for part, is_in_doubt in late.items() if is_in_doubt]
            doubted = parts_still_in_doubt(connection, in_doubt)
            now = read_now(connection, self._database.now)
        skipped = {row.id for row in doubted if self._is_for_peers(row, now) or self._is_searched(row)}
        self._skipped = len(skipped)
        self._change([Change(part, _expire) for part in late if part not in skipped])

    def _is_searched(self, part: JobPart) -> bool:
        """Returns True if the part's next call is a search, which sends nothing and so is never too late."""
        channel = self._channel_of(part) if is_read(part.payload) else None
        try:
            return channel is not None and _rule(part, channel) is RepeatRule.LOOK_UP
        except Exception as error:  # noqa: BLE001  one faulty part must not stop the others of its batch
            self._report(part, program_error(error))
            return False


def _expire(part: PartFacts, now: int) -> None:
    if part.state is PartState.QUEUED and part.expires_at is not None and part.expires_at <= now:
        settle.expire(part)


def _rule(part: JobPart, channel: Channel) -> RepeatRule:
    if part.fault is not None:
        raise part.fault
    return channel.repeat_rule(part.kind, part.message)[0]
