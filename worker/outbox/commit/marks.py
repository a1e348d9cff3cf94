"""Marks: the claim of a part, durable before the first byte; and whether the duplicate check may be relied on.

The vendor's check must make our own repeats safe and must never drop an equal message of another part. The vendor does
not say whether refused or unflagged calls count as seen, so the worse case is assumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from worker.domain import settle
from worker.domain.pause import Pause
from worker.domain.settle import PartFacts
from worker.domain.state import PartState
from worker.outbox import tables
from worker.outbox.commit.commands import Item, Mark
from worker.outbox.engine.bulk import ids_json, insert_new, update_rows
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs import chats, codes
from worker.outbox.jobs.rows import Batch, failure_rows
from worker.outbox.lanes.pauses import paused_among


def begin_marks(connection: Connection, batch: Batch, items: Sequence[Item]) -> None:
    """Decides about the marks of a batch: each that gets its part has the number of its call afterwards."""
    wanted: list[tuple[Mark, PartFacts]] = []
    # Parts that ended in this batch leave their orders first, so that the next part of an order can be marked here.
    if batch.orders:
        batch.orders.go_on()
    marks = [item for item in items if isinstance(item, Mark)]
    paused = paused_among(connection, {mark.part_id for mark in marks}) if marks and batch.some_paused else {}
    for mark in marks:
        part = batch.parts.get(mark.part_id)
        if part is not None and not _is_confirmed(mark, part) and _may_begin(batch, mark, part, paused.get(part.id)):
            wanted.append((mark, part))
    # Codes and windows are each locked at once and sorted by id, so that commits that need the same ones take turns.
    codes_wanted = [(mark.effects.code_id, mark.part_id) for mark, _ in wanted if mark.effects.code_id]
    leased = codes.lease(connection, codes_wanted) if codes_wanted else {}
    held = lock_windows(connection, _wishes(wanted), batch.now)
    for mark, part in wanted:
        has_code = not mark.effects.code_id or leased.get(mark.effects.code_id) == mark.part_id
        # The same part may be in the batch twice.
        if not has_code or part.state is not PartState.QUEUED:
            continue
        if not mark.alone or _may_go_alone(connection, batch, mark, part, held[mark.alone]):
            _begin(connection, batch, mark, part, held.get(mark.window_id or ""))
    save_windows(connection, held.values())
    # Codes were leased before it was known which marks win.
    used = {mark.effects.code_id for mark, _ in wanted if mark.call}
    if unused := [code for code in leased if code not in used]:
        codes.free(connection, unused)


def _wishes(wanted: Sequence[tuple[Mark, PartFacts]]) -> dict[str, tuple[str, int]]:
    wishes: dict[str, tuple[str, int]] = {}
    for mark, _ in wanted:
        if mark.window_id:
            # The call may reach the vendor as late as its deadline, and the vendor's window begins then.
            wishes.setdefault(mark.window_id, (mark.part_id, mark.window_us + mark.deadline_us))
        if mark.alone:
            wishes.setdefault(mark.alone, (mark.part_id, mark.deadline_us))
    return wishes


def _is_confirmed(mark: Mark, part: PartFacts) -> bool:
    """True for a repeat of the commit that wrote this mark, whose answer was lost: it has its part already."""
    # Claim and state alone do not prove that: a mark of another thread of this process for the same part carries the
    # same claim and incarnation.
    mine = mark.was_tried and part.claim == mark.claim + 1 and part.incarnation == mark.incarnation
    if mine and part.state is PartState.SENDING:
        mark.call, mark.flagged = part.claim, bool(part.flagged)
    return mark.call > 0


def _may_begin(batch: Batch, mark: Mark, part: PartFacts, pause: Pause | None) -> bool:
    """False where the part's row alone refuses the mark. Otherwise codes and windows have to be locked first."""
    if part.state is not PartState.QUEUED or part.claim != mark.claim or part.waits_on is not None:
        return False
    # A search sends nothing, so it may run after `expires_at` and through a pause: a recall may wait for it.
    searches = mark.searches and part.doubts > 0
    if part.expires_at is not None and batch.now >= part.expires_at and not searches:
        settle.expire(part)
        batch.touch_and_wake(part)
        return False
    # A repeat settles what was begun before: by the morning no repeat would be safe any more.
    if mark.quiet is not None and not part.doubts and (ends_at := mark.quiet.ends_at(batch.now)) is not None:
        settle.wait_quietly(part, ends_at)
        batch.touch(part)
        return False
    if pause is not None and not searches:
        settle.pause(part, pause.parked_until)
        batch.touch(part)
        return False
    # An id can be offered twice, and a part that is due earlier can be committed after the offer.
    if batch.orders and not batch.orders.has_turn(part):
        settle.await_turn(part)
        batch.touch(part)
        return False
    unsafe = _why_unsafe(batch, mark, part) if part.doubts and mark.needs_clean_doubt else None
    if unsafe is not None and not mark.may_resend:
        _hold(batch, part, f"in doubt, and {unsafe}: no safe repeat")
        return False
    return True


def _why_unsafe(batch: Batch, mark: Mark, part: PartFacts) -> str | None:
    """Why a repeat is unsafe, whatever its duplicate window says; None: nothing is against it."""
    # The vendor may count a refused call as seen: it would drop the repeat although no recipient has the message.
    if part.doubts != settle.may_have_left(part):
        return "a readable refusal in between"
    if mark.window_id is None and batch.now >= _last_moment(mark, part):
        return "its task_id may be free again by now"
    return None


def _hold(batch: Batch, part: PartFacts, reason: str) -> None:
    settle.hold(part, reason)
    batch.touch_and_wake(part)


def _begin(connection: Connection, batch: Batch, mark: Mark, part: PartFacts, window: DuplicateWindow | None) -> None:
    first = settle.may_have_left(part) == 0
    covered = False
    if window is not None:
        checked = mark.is_checked
        if window.is_open_for_another(part.id, batch.now) and _in_the_air(connection, batch, window.owner):
            # If this body overtook the owner's flagged call, the vendor could drop the owner's message in silence.
            _wait_for_equal(batch, part)
            return
        window.use(part.id, batch.now, mark.window_us + mark.deadline_us)
        covered = checked and window.covers_only(part.id) and _repeat_is_covered(batch, mark, part)
        if checked and part.doubts and not covered and not mark.may_resend:
            _hold(batch, part, "in doubt, and the duplicate check no longer covers a repeat")
            return
    # After a readable refusal the flag stays off: whether the vendor counts refused calls as seen is not known, and it
    # could drop a flagged retry in silence.
    part.flagged = covered and (first or bool(part.doubts))
    if mark.effects.spending is not None and not chats.spend(connection, mark.effects.spending):
        # In this transaction: a callback that allows more between this one and a later one would find no block to lift,
        # and the block written afterwards would stay for ever.
        batch.lane_changes.append(mark.effects.spending.block)
        return
    settle.begin_sending(part, mark.incarnation, batch.now, mark.deadline_us)
    batch.touch(part)
    if mark.left_out:
        batch.failures += failure_rows(part.id, mark.left_out, batch.now)
    if batch.orders:
        batch.orders.begin(part)
    # A retry may send another body (a file uploaded anew): its repeat must not send the one that was refused before.
    body, window_id = mark.body, mark.window_id
    if body is not None and not part.doubts and (part.flagged or window is None or not first):
        batch.bodies.append({"part_id": part.id, "body": body, "window_id": window_id, "frozen_at": batch.now})
    mark.was_tried, mark.call, mark.flagged = True, part.claim, part.flagged


def _wait_for_equal(batch: Batch, part: PartFacts) -> None:
    settle.wait_until(part, batch.now + settle.SECOND // 2, "an equal message is in the air")
    batch.touch(part)


def _may_go_alone(connection: Connection, batch: Batch, mark: Mark, part: PartFacts, seat: DuplicateWindow) -> bool:
    """Whether no other part with this body is in the air; if so, this part becomes the row's owner."""
    # The owner's state is looked up, because no part releases its place: a process that died would keep it.
    if seat.owner != part.id and _in_the_air(connection, batch, seat.owner):
        _wait_for_equal(batch, part)
        return False
    seat.take(part.id, batch.now + mark.deadline_us)
    return True


def _repeat_is_covered(batch: Batch, mark: Mark, part: PartFacts) -> bool:
    """True for a first call, and for a repeat whose earlier calls were all flagged, in doubt, and inside the window."""
    if not part.doubts:
        return True
    return bool(part.flagged) and part.doubts == settle.may_have_left(part) and batch.now < _last_moment(mark, part)


def _last_moment(mark: Mark, part: PartFacts) -> int:
    """The latest instant at which a repeat may begin, to end a minute before the vendor may forget the first call."""
    covered_us = mark.window_us if mark.covered_us is None else mark.covered_us
    # From the first mark: the vendor may count from the first call how long it knows the body, or the card's task_id.
    return (part.first_marked_at or 0) + covered_us - mark.deadline_us - 60 * settle.SECOND


def _in_the_air(connection: Connection, batch: Batch, part_id: str) -> bool:
    # A part of this batch may have moved in memory, and its row is written later.
    known = batch.parts.get(part_id)
    if known is not None:
        return known.state is PartState.SENDING
    rows = fetch(connection, "select state from worker_parts where id = :id", {"id": part_id})
    return rows == [(PartState.SENDING,)]


# -- windows of the duplicate check -----------------------------------------------------------------------------------


@dataclass(slots=True)
class DuplicateWindow:
    """The window of one body, locked by this transaction; instants in microseconds.

    It has one owner, the part that opened it, and remembers the first send of the same body by another part. Where a
    vendor takes only one of several equal bodies at a time, the same rows name the part that sent it last.
    """

    id: str
    owner: str
    until: int
    others_since: int | None
    changed: bool = False

    def is_open_for_another(self, part_id: str, now: int) -> bool:
        """True when a different part opened it and it has not ended."""
        return self.until >= now and self.owner != part_id

    def use(self, part_id: str, now: int, length_us: int) -> None:
        """Notes that a part is about to send this body: it owns an ended window, and shares an open one of another."""
        before = (self.owner, self.until, self.others_since)
        if self.until < now:
            self.owner, self.others_since = part_id, None
        elif self.owner != part_id and self.others_since is None:
            self.others_since = now
        self.until = max(self.until, now + length_us)
        self.changed = self.changed or before != (self.owner, self.until, self.others_since)

    def take(self, part_id: str, until: int) -> None:
        """Makes this part the owner, where only one part with the body may be in the air."""
        self.owner, self.until, self.changed = part_id, max(self.until, until), True

    def covers_only(self, part_id: str) -> bool:
        """True while no other part has sent the body: only then is a repeat safe with the vendor's check."""
        return self.owner == part_id and self.others_since is None


def lock_windows(connection: Connection, wishes: Mapping[str, tuple[str, int]], now: int) -> dict[str, DuplicateWindow]:
    """Locks the windows (id -> part that wants it, microseconds it lasts); a part owns those that did not exist."""
    if not wishes:
        return {}
    # Sorted, so that all transactions wait for the same rows in one order.
    opened = [DuplicateWindow(id, part, now + length, None) for id, (part, length) in sorted(wishes.items())]
    rows = [{"id": window.id, "owner": window.owner, "until": window.until} for window in opened]
    # Inserted first, the others read after: between a read and an insert another transaction could insert the row.
    mine = insert_new(connection, tables.duplicates, rows)
    found = {window.id: window for window in opened if window.id in mine}
    if others := wishes.keys() - found.keys():
        dialect = dialect_of(connection)
        query = f"select id, owner, until, others_since from {dialect.chosen('worker_duplicates')}{dialect.in_order()}"
        found |= {row[0]: DuplicateWindow(*row) for row in fetch(connection, query, {"ids": ids_json(others)})}
    # Windows that had ended, and that housekeeping deleted between the two statements.
    lost = wishes.keys() - found.keys()
    return found | lock_windows(connection, {id: wishes[id] for id in lost}, now) if lost else found


def save_windows(connection: Connection, windows: Iterable[DuplicateWindow]) -> None:
    """Writes back the windows that changed."""
    rows = [
        {"id": window.id, "owner": window.owner, "until": window.until, "others_since": window.others_since}
        for window in windows
        if window.changed
    ]
    update_rows(connection, tables.duplicates, ("id",), rows)
