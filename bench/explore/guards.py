"""The guards of promises, as edits that remove each: the explorer has to find every one of them.

The old text of an edit occurs once in its file. `LOCKS` are those of transactions that run side by side, which only a
server's do.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """A line that is changed."""

    file: str
    """Below `worker/`."""
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Guard:
    """The edit that takes a promise's guard away."""

    promise: str
    """What does not hold without it."""
    file: str
    old: str
    new: str
    also: tuple[Edit, ...] = ()
    """Takes away further guards, which keep the promise by themselves, and without which this one keeps it."""

    @property
    def edits(self) -> tuple[Edit, ...]:
        """All of them, this guard's own first."""
        return Edit(self.file, self.old, self.new), *self.also

    @property
    def files(self) -> set[str]:
        """The files that they are in."""
        return {edit.file for edit in self.edits}


MARKS, COMMIT = "outbox/commit/marks.py", "outbox/commit/group_commit.py"
CODES = "outbox/jobs/codes.py"
RECOVERY, SETTLE = "delivery/maintenance/recovery.py", "domain/settle.py"
ATTEMPT, RECORD = "delivery/sender/attempt.py", "delivery/sender/record.py"
ADMISSION, LEASE = "delivery/sender/admission.py", "delivery/sender/lease.py"
NO = "if False:"
UNPREPARED = Edit("delivery/sender/prepare.py", "if part.cancelled_at is not None and not (", "if False and not (")
"""A sender looks itself whether the job was cancelled."""
SWALLOWED = Edit(
    COMMIT, "elif not (end.flagged and may_be_swallowed(connection, batch, end.part_id, end.claim)):", "elif True:"
)
"""An acceptance is looked at once more."""
GUARDS = (
    Guard("nothing paused or held is marked", MARKS, "if pause is not None and not is_search:", NO),
    Guard("an order is kept at the mark", MARKS, "if batch.orders and not batch.orders.has_turn(part):", NO),
    Guard(
        "a piece waits for the piece before it",
        "delivery/sender/prepare.py",
        "if ended_by is None:",
        "if True:",
    ),
    Guard(
        "what expired is not marked",
        MARKS,
        "if part.expires_at is not None and batch.now >= part.expires_at",
        "if False",
    ),
    Guard(
        "nothing is marked in quiet hours",
        MARKS,
        "if settle.wait_for_quiet_end(part, mark.quiet, batch.now):",
        NO,
        also=(
            Edit(
                "delivery/sender/prepare.py",
                "if quiet is None or part.in_doubt or quiet.ends_at(runtime.database.read_now()) is None:",
                "if True:",
            ),
        ),
    ),
    Guard(
        "errcode 0 does not hide whom it did not reach",
        "channels/wecom_app/channel.py",
        "return Partial(taken, refused) if refused else Accepted(taken)",
        "return Accepted(taken)",
    ),
    Guard(
        "Youdu's errmsg does not hide whom it did not reach",
        "channels/youdu/errmsg.py",
        "return Partial(given, refusals) if refusals else Accepted(given)",
        "return Accepted(given)",
    ),
    Guard(
        "only what every call must have met ends all doubt",
        SETTLE,
        "    part.doubts = 0 if outcome.ends_doubt else part.doubts\n",
        "    part.doubts = 0\n",
    ),
    Guard(
        "what something between answers is a doubt, also where it asks to wait",
        RECORD,
        "            if not flight.left_out:\n                return verdict\n",
        "            if verdict.errcode is None and isinstance(verdict.outcome, Unknown):\n"
        '                return Verdict(Wait(Scope.LANE, 1.0, "later"))\n'
        "            if not flight.left_out:\n                return verdict\n",
    ),
    Guard(
        "a doorbell that was lost is published again",
        "outbox/lanes/offering.py",
        "({of}.offered_until is null or {of}.offered_until <= {now})",
        "({of}.offered_until is null)",
    ),
    Guard(
        "a repeat after a refusal is not made",
        MARKS,
        "if unsafe is not None and not mark.may_resend:",
        NO,
        also=(Edit(MARKS, "if has_check and part.doubts and not is_covered and not mark.may_resend:", NO),),
    ),
    Guard(
        "what was cancelled in flight is not sent again",
        COMMIT,
        "if part is not None and job is not None and job.cancelled:",
        NO,
        also=(UNPREPARED,),
    ),
    Guard(
        "the answer of a call is written",
        COMMIT,
        "    batch.touch_and_wake(part)\n    record_answer(",
        "    record_answer(",
    ),
    Guard(
        "recipients that were put off get a part",
        COMMIT,
        "insert_rows(connection, tables.parts, batch.added_parts)",
        "pass",
    ),
    Guard(
        "an answer counts for its own call",
        COMMIT,
        "is_own_claim = part.claim == end.claim and part.incarnation == end.incarnation",
        "is_own_claim = True",
    ),
    Guard(
        "a call without an answer is in doubt",
        SETTLE,
        "            doubt(part, outcome.reason, policy)\n",
        "            wait_until(part, now, outcome.reason)\n",
    ),
    Guard(
        "nothing in doubt ends as not sent",
        SETTLE,
        "    if part.doubts:\n        hold(",
        "    if False:\n        hold(",
    ),
    Guard("what is in doubt keeps its order waiting", SETTLE, "return skips and held", "return True"),
    Guard("no answer is no refusal", RECORD, "return Verdict(Unknown(reason))", "return Verdict(Retry(reason))"),
    Guard("nothing is repeated that is not safe", RECOVERY, "if rule is RepeatRule.HOLD:", NO),
    # Not recovery's own look at the flag: the mark holds whatever recovery lets through.
    Guard(
        "a retry after a refusal is not dropped",
        MARKS,
        "part.flagged = is_covered and (is_first_call or bool(part.doubts))",
        "part.flagged = is_covered",
        also=(SWALLOWED,),
    ),
    Guard(
        "a repeat is no proof after a late refusal",
        SWALLOWED.file,
        SWALLOWED.old,
        SWALLOWED.new,
    ),
    Guard(
        "a receipt warns of a repeat that may have been dropped",
        COMMIT,
        "for part, claim in batch.refused_late:",
        "for part, claim in ():",
    ),
    Guard(
        "nothing cancelled is repeated",
        RECOVERY,
        "if part.cancelled_at is not None and not self._is_searched(part):",
        NO,
        also=(UNPREPARED,),
    ),
    Guard(
        "who wants it held has it held",
        RECOVERY,
        'on_unknown == "resend" else',
        'on_unknown == "resend" or on_unknown else',
    ),
    Guard(
        "parts of dead processes are found",
        RECOVERY,
        'self._step(Work.ORPHANS, "recovery of orphans", self._doubt_orphans)',
        "pass",
    ),
    Guard(
        "parts in doubt are acted on",
        RECOVERY,
        'self._step(Work.DOUBTFUL, "recovery of unknowns", self._act_on_unknowns)',
        "pass",
    ),
    Guard(
        "parts of ended pauses go on",
        RECOVERY,
        'self._step(Work.RESUMED, "recovery of paused parts", self._wake_resumed)',
        "pass",
    ),
    Guard(
        "dead processes are noticed",
        RECOVERY,
        'self._step(Work.PROCESSES, "recovery of processes", self._end_dead_processes)',
        "True",
        also=(
            Edit(
                RECOVERY, "orphans += sending_overdue(connection, self._database.now, OVERDUE_US, BATCH_SIZE)", "pass"
            ),
        ),
    ),
    Guard(
        "a lease passes on",
        LEASE,
        "return by == holder or until + fitness * lease.lease_s < now",
        "return by == holder",
    ),
    Guard("no call begins after its deadline", ATTEMPT, "        if remaining_s <= 0:\n", "        if False:\n"),
    Guard("limits are kept", ADMISSION, "        if short:\n", "        if False:\n"),
    Guard(
        "a permit grows old",
        ADMISSION,
        "while isinstance(answer, Permit) and not self.is_fresh(answer):",
        "while False:",
    ),
    Guard(
        "a parked lane is tried", "delivery/scheduler/relay.py", "if first is None or not all(", "if True or not all("
    ),
    Guard(
        "late commits are found", "service/loops.py", '"full_scan": self.relay.full_scan,', '"full_scan": lambda: 1.0,'
    ),
    Guard(
        "late commits of all lanes are found",
        "delivery/scheduler/due_lanes.py",
        "self._position = START if position is None else position",
        "self._position = START",
    ),
    Guard("a refused token is replaced", RECORD, "runtime.tokens.invalidate(flight.account, flight.token)", "pass"),
    Guard(
        "a token's fetch by a dead process ends",
        "outbox/lanes/tokens.py",
        "(lease_until is null or lease_until <= :now)",
        "lease_until is null",
    ),
    Guard(
        "a code is leased by one update",
        CODES,
        'if state == "fresh" or (state == "leased" and holder == part_id):',
        "if True:",
    ),
    Guard(
        "a code in doubt is not used again",
        CODES,
        'case Unknown():\n            state = "burned"',
        'case Unknown():\n            state = "fresh"',
    ),
    Guard(
        "an update uses its code up",
        CODES,
        'case Accepted() | Partial():\n            state = "spent"',
        'case Accepted() | Partial():\n            state = "fresh"',
    ),
    Guard(
        "a code that was not used can be used",
        CODES,
        'case _:\n            state = "fresh"',
        'case _:\n            state = "spent"',
    ),
    Guard(
        "a dead process's code is burned",
        COMMIT,
        "        # The unanswered call may have used the response_code that the part leased.\n"
        "        batch.burned.append(part.id)",
        "        pass",
    ),
    Guard(
        "an application hears a job's ends in order",
        "outbox/jobs/events.py",
        'if (earlier := execute(connection, _EARLIER_END, {"id": id}).first()) is not None:',
        NO,
    ),
    Guard(
        "an end out of turn keeps none from being heard",
        "outbox/jobs/events.py",
        "        _put_behind(connection, now, id, earlier[0])\n",
        "",
    ),
    Guard(
        "a tag ends with its last job",
        "service/tag_ends.py",
        "            if ended.tag not in open_jobs:",
        "            if True:",
    ),
    Guard(
        "an application hears a tag's last end",
        "outbox/upkeep/ended_tags.py",
        "if reported_at is None or ended[tag] > reported_at or reported_at > now:",
        "if reported_at is None:",
    ),
    Guard(
        "what a restored backup may have sent is held",
        "control/fence.py",
        "if changes := [_change(part.id, part.state) for part in parts if part.goes_on]:",
        NO,
    ),
    Guard(
        "what was rescheduled is not called at its old time",
        "outbox/control/waiting.py",
        '    run(connection, taken + _NOT_IN_DOUBT, {"ids": ids_json(parts)})\n',
        "",
    ),
    Guard(
        "what was refused is not called before its new time",
        "outbox/control/waiting.py",
        'unpaused = f"{_NOT_IN_DOUBT}',
        'unpaused = f"{_NOT_IN_DOUBT} and first_marked_at is null',
    ),
    Guard(
        "what sleeps is not called before its new time",
        "outbox/control/waiting.py",
        "and not_before <= {FOREVER}",
        "and not_before < {FOREVER}",
    ),
    Guard(
        "an order that was rescheduled goes on",
        RECOVERY,
        "orders = stalled_orders(connection, page)",
        "orders = list[str]()",
    ),
    Guard(
        "nothing open is erased",
        "outbox/upkeep/emptying.py",
        ' and n_open = 0 and n_unknown = 0"',
        '"',
    ),
    Guard(
        "who was erased is named nowhere",
        "outbox/upkeep/emptying.py",
        "    _erase_from_codes(connection, parts, erasure)\n    # The",
        "    # The",
    ),
    Guard(
        "who may have received a message is sent its correction",
        "producer/correction.py",
        "if its & _MAY_HAVE_GOT",
        "if its & {RecipientStatus.ACCEPTED}",
    ),
    Guard(
        "what is corrected is taken back",
        "control/correct.py",
        "recalls, not_recalled = recall_all(connection, to_recall, self.accounts, self.audit)",
        "recalls, not_recalled = (), dict[str, str]()",
    ),
    Guard(
        "a group send in doubt is looked for, and not made again",
        "channels/wecom_external/channel.py",
        'return part.kind == "send" and part.in_doubt',
        "return False",
    ),
    Guard(
        "a group send does not take the task of another",
        "delivery/resolver/group_sends.py",
        '"known": task_ids',
        '"known": []',
    ),
    Guard(
        "a group send does not take a task for other customers",
        "channels/wecom_external/look_up.py",
        "if any(one and one.lower() not in places for one in named):",
        "named = [one for one in named if one.lower() in places]\n    if False:",
    ),
    Guard(
        "a refusal before a message is looked at leaves nothing to a person",
        "channels/errcodes.py",
        "return row is not None and row.unseen",
        "return False",
    ),
    Guard(
        "a card's task_id stays a proof after a refusal",
        MARKS,
        "if mark.has_duplicate_check and part.doubts != settle.calls_maybe_sent(part):",
        "if part.doubts != settle.calls_maybe_sent(part):",
    ),
    Guard("hooks of dead processes run again", "hooks/offers.py", "        if stranded:\n", "        if False:\n"),
    Guard("a job counts its ends", COMMIT, 'writes.update(tables.jobs, ("id",), job_rows(rows))', "pass"),
)

_ORDERED = ("{dialect.lock_in_order()}", "{dialect.order_by_ids('id')}")
LOCKS = (
    Guard(
        "two commits do not decide about one part",
        "outbox/jobs/rows.py",
        f"rows = f\"from {{dialect.by_ids('worker_parts')}}{_ORDERED[0]}\"",
        f"rows = f\"from {{dialect.by_ids('worker_parts')}}{_ORDERED[1]}\"",
    ),
    Guard(
        "two ends of a job's parts are both counted",
        "outbox/jobs/rows.py",
        f"{{dialect.by_ids('worker_jobs')}}{_ORDERED[0]}",
        f"{{dialect.by_ids('worker_jobs')}}{_ORDERED[1]}",
    ),
    Guard(
        "two commits do not decide about one order",
        "outbox/jobs/order_queue.py",
        '    lock_rows(connection, tables.orders, ("id",), orders, {order: {"id": order} for order in orders})',
        "    pass",
    ),
    Guard(
        "two updates do not lease one code",
        CODES,
        f"{{dialect.by_ids('worker_response_codes')}}{_ORDERED[0]}",
        f"{{dialect.by_ids('worker_response_codes')}}{_ORDERED[1]}",
    ),
    Guard(
        "a follow-up does not begin to wait for what ends",
        "outbox/jobs/target_job.py",
        'query = f"select id from worker_jobs where id = :id{dialect_of(connection).lock}"',
        'query = "select id from worker_jobs where id = :id"',
    ),
    Guard(
        "two processes do not count one window of a limit",
        "outbox/engine/bulk.py",
        "from {dialect.by_ids(table.name, key)}{dialect.lock_in_order(key)}",
        "from {dialect.by_ids(table.name, key)}{dialect.order_by_ids(key)}",
    ),
    Guard(
        "two people do not recall one job",
        "outbox/control/sent.py",
        'rows_by_id(connection, "id", "worker_jobs", both, only=dialect_of(connection).lock_in_order())',
        "pass",
    ),
    Guard(
        "what is marked is not rescheduled",
        "outbox/control/waiting.py",
        "_NOT_ENDED + dialect.lock_in_order()",
        '_NOT_ENDED + dialect.order_by_ids("id")',
    ),
)
"""Tried on PostgreSQL. `tests/pipeline/test_locks.py` tries every lock, on both servers."""
