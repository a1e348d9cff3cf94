"""Marks parts, so that each call is on record before its first byte, and decides about the vendor's duplicate check.

The check has to make our own repeats safe and must never drop an equal message of another part. The vendor does not
say whether calls that it refused after looking at their message, or that did not ask for the check, count as
duplicates. So the worse case is assumed. What it refused before (its token, the address, a limit of calls) counts not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from worker.domain import settle
from worker.domain.pause import Pause
from worker.domain.settle import PartFacts
from worker.domain.state import PartState
from worker.outbox import tables
from worker.outbox.commit.commands import Item, Mark, MarkedCall
from worker.outbox.engine.bulk import ids_json, insert_new, update_rows
from worker.outbox.engine.clock import SKEW_US
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch
from worker.outbox.jobs import chats, codes
from worker.outbox.jobs.rows import CommitBatch, failure_rows
from worker.outbox.lanes.pauses import paused_parts


def apply_marks(
    connection: Connection, batch: CommitBatch, items: Sequence[Item], written: Collection[Item]
) -> dict[Mark, MarkedCall]:
    """Decides about the marks of a batch, and returns the calls that may begin.

    `written` has the marks that earlier tries of this commit have written.
    """
    calls: dict[Mark, MarkedCall] = {}
    candidates: list[tuple[Mark, PartFacts]] = []
    # Parts that ended in this batch leave their orders first. So the next part of an order can be marked at once.
    if batch.orders:
        batch.orders.remove_finished()
    marks = [item for item in items if isinstance(item, Mark)]
    paused = paused_parts(connection, {mark.part_id for mark in marks}) if marks and batch.some_paused else {}
    for mark in marks:
        part = batch.parts.get(mark.part_id)
        if part is not None and mark in written and _is_confirmed(mark, part):
            calls[mark] = MarkedCall(part.claim, bool(part.flagged))
        elif part is not None and _may_begin(batch, mark, part, paused.get(part.id)):
            candidates.append((mark, part))
    # All codes are locked in one statement, sorted by id, and so are all windows. So two commits cannot deadlock.
    code_requests = [(mark.effects.code_id, mark.part_id) for mark, _ in candidates if mark.effects.code_id]
    leased = codes.lease_codes(connection, code_requests) if code_requests else {}
    windows = lock_windows(connection, _window_requests(candidates), batch.now)
    for mark, part in candidates:
        has_code = not mark.effects.code_id or leased.get(mark.effects.code_id) == mark.part_id
        # The batch may have two marks of the same part.
        if not has_code or part.state is not PartState.QUEUED:
            continue
        key = mark.exclusive_key
        if key and not _may_send_exclusively(connection, batch, mark, part, windows[key]):
            continue
        if _mark(connection, batch, mark, part, windows.get(mark.window_id or "")):
            calls[mark] = MarkedCall(part.claim, bool(part.flagged))
    save_windows(connection, windows.values())
    # Codes were leased before it was clear which marks may send.
    used = {mark.effects.code_id for mark, _ in candidates if mark in calls}
    if unused := [code for code in leased if code not in used]:
        codes.free_codes(connection, unused)
    return calls


def _window_requests(candidates: Sequence[tuple[Mark, PartFacts]]) -> dict[str, tuple[str, int]]:
    requests: dict[str, tuple[str, int]] = {}
    for mark, _ in candidates:
        if mark.window_id:
            # The vendor's window begins when the call arrives, which may be as late as the deadline.
            requests.setdefault(mark.window_id, (mark.part_id, mark.window_us + mark.deadline_us))
        if mark.exclusive_key:
            requests.setdefault(mark.exclusive_key, (mark.part_id, mark.deadline_us))
    return requests


def _is_confirmed(mark: Mark, part: PartFacts) -> bool:
    """Returns whether an earlier try of this commit wrote the mark, and only the database's answer was lost."""
    # Claim and state alone do not prove it: another thread's mark for the same part has the same claim and incarnation.
    is_own_claim = part.claim == mark.claim + 1 and part.incarnation == mark.incarnation
    return is_own_claim and part.state is PartState.SENDING


def _may_begin(batch: CommitBatch, mark: Mark, part: PartFacts, pause: Pause | None) -> bool:
    """Returns False if the part's own row forbids the mark. Otherwise codes and windows have to be locked next."""
    if part.state is not PartState.QUEUED or part.claim != mark.claim or part.waits_on is not None:
        return False
    # A search sends nothing, so it may run after `expires_at` and during a pause. A recall may wait for it.
    is_search = mark.is_search and part.doubts > 0
    if part.expires_at is not None and batch.now >= part.expires_at and not is_search:
        settle.expire(part)
        batch.touch_and_wake(part)
        return False
    if settle.wait_for_quiet_end(part, mark.quiet, batch.now):
        batch.touch(part)
        return False
    if pause is not None and not is_search:
        settle.pause(part, pause.parked_until)
        batch.touch(part)
        return False
    # The relay checks the order too. But an id can be offered twice, and an earlier part can be committed after the
    # offer.
    if batch.orders and not batch.orders.has_turn(part):
        settle.await_turn(part)
        batch.touch(part)
        return False
    unsafe = _unsafe_reason(batch, mark, part) if part.doubts and mark.needs_clean_doubt else None
    if unsafe is not None and not mark.may_resend:
        _hold(batch, part, f"in doubt, and not repeated because {unsafe}")
        return False
    return True


def _unsafe_reason(batch: CommitBatch, mark: Mark, part: PartFacts) -> str | None:
    """Returns why a repeat is unsafe whatever the duplicate window says, or None if nothing forbids it."""
    # The vendor may count a call that it refused after looking at its message. Then it would drop the repeat, and no
    # recipient has the message. A card's task_id is taken only by a card that was sent.
    if mark.has_duplicate_check and part.doubts != settle.calls_maybe_sent(part):
        return "the vendor has refused a call since"
    if (part.first_marked_at or 0) > batch.now + SKEW_US:
        return settle.SET_BACK
    if mark.window_id is None and batch.now >= _last_safe_start(mark, part):
        return "its task_id may be free again by now"
    return None


def _hold(batch: CommitBatch, part: PartFacts, reason: str) -> None:
    settle.hold(part, reason)
    batch.touch_and_wake(part)


def _mark(
    connection: Connection, batch: CommitBatch, mark: Mark, part: PartFacts, window: DuplicateWindow | None
) -> bool:
    """Marks the part, unless an equal message or a used-up allowance forbids it. Then it returns False."""
    is_first_call = settle.calls_maybe_sent(part) == 0
    is_covered = False
    if window is not None:
        has_check = mark.has_duplicate_check
        if window.is_open_for_another(part.id, batch.now) and _is_in_flight(connection, batch, window.owner):
            # If this body overtook the owner's flagged call, the vendor could silently drop the owner's message.
            _wait_for_equal_message(batch, part)
            return False
        window.record_send(part.id, batch.now, mark.window_us + mark.deadline_us)
        is_covered = has_check and window.covers_only(part.id) and _repeat_is_covered(batch, mark, part)
        if has_check and part.doubts and not is_covered and not mark.may_resend:
            _hold(batch, part, "in doubt, and not repeated because the duplicate check would no longer catch it")
            return False
    # After a readable refusal the flag stays off. The vendor may count calls that it refused and would then silently
    # drop a flagged retry.
    part.flagged = is_covered and (is_first_call or bool(part.doubts))
    if mark.effects.allowance_use is not None and not chats.take_from_allowance(connection, mark.effects.allowance_use):
        # The block is written in this transaction. Otherwise a callback that allows more messages could come before the
        # block, find nothing to lift, and the block would stay for ever.
        batch.lane_changes.append(mark.effects.allowance_use.block)
        return False
    settle.begin_sending(part, mark.incarnation, batch.now, mark.deadline_us)
    batch.touch(part)
    if mark.omitted:
        batch.failures += failure_rows(part.id, mark.omitted, batch.now)
    if batch.orders:
        batch.orders.record_mark(part)
    # A retry may send another body, for example with a new media_id. Its repeat must not send the refused body.
    body, window_id = mark.body, mark.window_id
    if body is not None and not part.doubts and (part.flagged or window is None or not is_first_call):
        batch.bodies.append({"part_id": part.id, "body": body, "window_id": window_id, "frozen_at": batch.now})
    return True


def _wait_for_equal_message(batch: CommitBatch, part: PartFacts) -> None:
    settle.wait_until(part, batch.now + settle.SECOND // 2, "an equal message is in flight")
    batch.touch(part)


def _may_send_exclusively(
    connection: Connection, batch: CommitBatch, mark: Mark, part: PartFacts, window: DuplicateWindow
) -> bool:
    """Returns whether no other part with this body is in flight. If so, this part becomes the row's owner."""
    # The owner's state is read because no part gives up its ownership. A process that died would keep it.
    if window.owner != part.id and _is_in_flight(connection, batch, window.owner):
        _wait_for_equal_message(batch, part)
        return False
    window.take_over(part.id, batch.now + mark.deadline_us)
    return True


def _repeat_is_covered(batch: CommitBatch, mark: Mark, part: PartFacts) -> bool:
    """Returns True for a first call, and for a repeat if all earlier calls are flagged, in doubt and in the window."""
    if not part.doubts:
        return True
    return (
        bool(part.flagged) and part.doubts == settle.calls_maybe_sent(part) and batch.now < _last_safe_start(mark, part)
    )


def _last_safe_start(mark: Mark, part: PartFacts) -> int:
    """Returns the latest instant at which a repeat may begin. It ends a minute before the vendor's window may end."""
    covered_us = mark.window_us if mark.covered_us is None else mark.covered_us
    # Counted from the first mark, because the vendor may count from the first call with this body or task_id.
    return (part.first_marked_at or 0) + covered_us - mark.deadline_us - 60 * settle.SECOND


def _is_in_flight(connection: Connection, batch: CommitBatch, part_id: str) -> bool:
    # A part of this batch may have changed in memory. Its row is written later.
    in_batch = batch.parts.get(part_id)
    if in_batch is not None:
        return in_batch.state is PartState.SENDING
    rows = fetch(connection, "select state from worker_parts where id = :id", {"id": part_id})
    return rows == [(PartState.SENDING,)]


# -- windows of the duplicate check -----------------------------------------------------------------------------------


@dataclass(slots=True)
class DuplicateWindow:
    """The duplicate window of one body, locked by this transaction. Its instants are in microseconds.

    Its owner is the part that opened it. It also has the instant of the first send of the same body by another part.
    If a vendor accepts only one of several equal bodies at a time, the owner is the part that sent the body last.
    """

    id: str
    owner: str
    until: int
    others_since: int | None
    is_changed: bool = False

    def is_open_for_another(self, part_id: str, now: int) -> bool:
        """Returns whether the window has not ended and another part opened it."""
        return self.until >= now and self.owner != part_id

    def record_send(self, part_id: str, now: int, length_us: int) -> None:
        """Records that a part is about to send this body. The part becomes the owner if the window has ended."""
        before = (self.owner, self.until, self.others_since)
        if self.until < now:
            self.owner, self.others_since = part_id, None
        elif self.owner != part_id and self.others_since is None:
            self.others_since = now
        self.until = max(self.until, now + length_us)
        self.is_changed = self.is_changed or before != (self.owner, self.until, self.others_since)

    def take_over(self, part_id: str, until: int) -> None:
        """Makes this part the owner, for bodies that only one part at a time may be sending."""
        self.owner, self.until, self.is_changed = part_id, max(self.until, until), True

    def covers_only(self, part_id: str) -> bool:
        """Returns whether only this part has sent the body. Only then does the vendor's check make a repeat safe."""
        return self.owner == part_id and self.others_since is None


def lock_windows(
    connection: Connection, requests: Mapping[str, tuple[str, int]], now: int
) -> dict[str, DuplicateWindow]:
    """Locks the windows: id -> part, length in microseconds. The part becomes the owner of a window that is new."""
    if not requests:
        return {}
    # Sorted, so that all transactions lock the rows in the same order.
    new_windows = [
        DuplicateWindow(id, part, now + length_us, None) for id, (part, length_us) in sorted(requests.items())
    ]
    rows = [{"id": window.id, "owner": window.owner, "until": window.until} for window in new_windows]
    # New windows are inserted before the other windows are read. Between a read and an insert another transaction could
    # insert the row.
    inserted = insert_new(connection, tables.duplicates, rows)
    by_id = {window.id: window for window in new_windows if window.id in inserted}
    if other_ids := requests.keys() - by_id.keys():
        dialect = dialect_of(connection)
        query = (
            f"select id, owner, until, others_since from {dialect.by_ids('worker_duplicates')}{dialect.lock_in_order()}"
        )
        by_id |= {row[0]: DuplicateWindow(*row) for row in fetch(connection, query, {"ids": ids_json(other_ids)})}
    # These windows had ended, and housekeeping deleted them between the two statements.
    missing = requests.keys() - by_id.keys()
    return by_id | lock_windows(connection, {id: requests[id] for id in missing}, now) if missing else by_id


def save_windows(connection: Connection, windows: Iterable[DuplicateWindow]) -> None:
    """Writes back the windows that changed."""
    rows = [
        {"id": window.id, "owner": window.owner, "until": window.until, "others_since": window.others_since}
        for window in windows
        if window.is_changed
    ]
    update_rows(connection, tables.duplicates, ("id",), rows)
