"""Ends parts in doubt by a person's decision: sent, or not sent.

The decision is a change like any other of the group commit, so counters, later parts of an order, waiting follow-ups
and hooks move on with it. The attempt stays as it is: if the vendor's answer comes after all, it is recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from sqlalchemy import Connection

from worker.channels.registry import channel
from worker.config.settings import Settings
from worker.control.audit import AuditedCommand, Done, audited, require_person
from worker.control.cancel import make_committer
from worker.control.opening import open_outbox
from worker.control.selection import FoundJobs
from worker.domain import settle
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job import Kind, is_read
from worker.domain.job_filter import JobFilter
from worker.domain.outcome import CallReceipt
from worker.domain.settle import PartFacts
from worker.domain.state import PartState
from worker.outbox.commit.commands import Change
from worker.outbox.commit.record_answer import mark_recalled
from worker.outbox.control.unknowns import DoubtfulCall, count_unknown, doubtful_calls, unknown_parts
from worker.outbox.engine.database import Database
from worker.outbox.jobs.codes import settle_burned, store_msgid
from worker.producer.follow_ups import msgid_problems

BATCH_SIZE = 50
"""Parts in one transaction. Workers cannot change their rows meanwhile."""
MAX_UNKNOWN = 100_000
"""Most parts in doubt that one search reads."""


class Left(StrEnum):
    """Why a part stays as it is."""

    MOVED_ON = "moved_on"
    """It is not in doubt any more: it was answered, or is being repeated."""
    NO_MEDIA_ID = "no_media_id"
    """An upload or a track. Its result was lost with the answer, so it can only be resolved as not sent."""
    NO_MSGID = "no_msgid"
    """A group send for which no msgid was given. The search for another send could mistake its task for its own."""
    NEWER_RELEASE = "newer_release"
    """A newer release enqueued it: use the command of that release."""

    @property
    def text(self) -> str:
        """The reason as a sentence for people."""
        return _TEXTS[self]


_TEXTS = {
    Left.MOVED_ON: "not in doubt any more: it was answered, or is repeated",
    Left.NO_MEDIA_ID: "an upload or a track: its result was lost with the answer, so use --not-sent",
    Left.NEWER_RELEASE: "of a newer release than this one: use that release's command",
    Left.NO_MSGID: "a group send without its msgid: the search for another could take its task for its own",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknowns(FoundJobs):
    """The parts in doubt that a filter had when they were searched for."""

    claims: Mapping[str, int]
    """Part id -> number of its last call. A later number shows that the part was repeated since."""


def find_unknown(wanted: JobFilter, *, settings: Settings | None = None, database: Database | None = None) -> Unknowns:
    """Finds the parts in doubt of a filter, in the database of the settings (default: those that are in force).

    `among` counts the parts that are `ordered`, by an order_key. Ending them as not sent releases the parts behind
    them; a `replay` before that keeps their place. Raises CheckFailed where more than 100,000 parts are in doubt and no
    ids are given.
    """
    with open_outbox(database, settings) as (outbox, _), outbox.reading() as connection:
        if wanted.ids is None and count_unknown(connection, MAX_UNKNOWN + 1) > MAX_UNKNOWN:
            problem = Problem("filter", "would look through too many parts in doubt", "give ids", MAX_UNKNOWN, "parts")
            raise CheckFailed([problem])
        parts = unknown_parts(connection, wanted, MAX_UNKNOWN)
    counts = Counter((part.account, part.kind) for part in parts)
    claims, ordered = {part.id: part.claim for part in parts}, sum(part.ordered for part in parts)
    return Unknowns(wanted, tuple(claims), counts, {"ordered": ordered} if ordered else {}, claims=claims)


def resolve(
    found: Unknowns,
    *,
    sent: bool,
    why: str,
    person: str,
    msgid: str | None = None,
    settings: Settings | None = None,
    database: Database | None = None,
    progress: Callable[[int], object] = lambda done: None,
    began: Callable[[str], object] = lambda audit: None,
) -> Done:
    """Ends parts in doubt by a person's decision whether the vendor carried out their calls.

    `sent=True` ends them accepted, or partial where the vendor had named recipients that it refused. With `msgid`, the
    vendor's id of one part's message, that part can be recalled. `sent=False` ends them rejected: their recipients
    count as refused, and they can be replayed. `why` is the reason in the person's own words, at most 300 characters;
    `person` is the person's name. The audit keeps both. Parts that are not in doubt any more stay as they are.

    The result counts the parts that are `decided`, and the others by the reason why they stay (`Left`). It commits by
    itself, 50 parts at a time, and may be called again after an error; `progress` is called with the number of parts
    done so far. Raises CheckFailed if `msgid` is given and there is not exactly one part.
    """
    decision = Decision(sent, msgid)
    require_reason(person, why)
    _check_msgid(decision, found)
    asked = {"filter": found.wanted.asked(), "sent": decision.sent} | (
        {} if decision.msgid is None else {"msgid": decision.msgid}
    )
    with audited("resolve", person=person, why=why, asked=asked, database=database, settings=settings) as command:
        began(command.id)
        for batch in command.batches(list(found.claims.items()), BATCH_SIZE, progress):
            _decide(dict(batch), decision, command)
    return Done(command.id, command.counts)


def require_reason(person: str, why: str) -> None:
    """Raises CheckFailed if the person's name is missing, or the reason why that person knows."""
    require_person(person, why, empty_remedy="explain in a few words how you know")


@dataclass(frozen=True, slots=True)
class Decision:
    """What the person says about the calls."""

    sent: bool
    msgid: str | None = None

    def obstacle(self, call: DoubtfulCall) -> Left | None:
        """Returns why the decision is not enough for this call, or None if it is."""
        if not is_read(call.part.payload):
            return Left.NEWER_RELEASE
        if self.sent and call.part.kind in (Kind.UPLOAD, Kind.TRACK):
            return Left.NO_MEDIA_ID
        return Left.NO_MSGID if self.sent and self.msgid is None and _is_looked_up(call) else None

    def change(self, call: DoubtfulCall, last_claim: int, audit: str, decided: set[str]) -> Change:
        """Returns the change of a part, and adds the part's id to `decided` when it is made.

        It applies only if the part's last call is still `last_claim`.
        """
        reason = f"{'sent' if self.sent else 'not sent'}, confirmed by a person (audit {audit})"

        def apply(part: PartFacts, now: int) -> None:
            # Discarded first: a transaction that is run again may find that the part has changed.
            decided.discard(part.id)
            if part.state is PartState.UNKNOWN and part.claim == last_claim:
                settle.apply_decision(part, reason, sent=self.sent, refused_some=call.refused_some)
                decided.add(part.id)

        receipt = CallReceipt(msgid=self.msgid, warning=reason) if self.sent else None
        return Change(
            call.part.id, apply, receipt=receipt, receipt_claim=call.claim, on_changed=partial(self._settle, call)
        )

    def _settle(self, call: DoubtfulCall, connection: Connection, now: int) -> None:
        """Records what the call means besides the end of its part."""
        part, spec = call.part, call.part.spec
        if part.kind == Kind.RECALL and self.sent and "claim" in spec:
            mark_recalled(connection, spec["target"], spec["claim"], now)
        if part.kind == Kind.UPDATE_CARD:
            settle_burned(connection, part.id, spec.get("target", part.id), used=self.sent)
        if self.msgid is not None and _is_looked_up(call):
            store_msgid(connection, part.account, self.msgid, part.id)


def _decide(claims: Mapping[str, int], decision: Decision, command: AuditedCommand) -> None:
    with command.database.reading() as connection:
        call = doubtful_calls(connection, list(claims))
    obstacles = {
        part_id: obstacle for part_id, call in call.items() if (obstacle := decision.obstacle(call)) is not None
    }
    decided = set[str]()
    changes = [
        decision.change(call, claims[part_id], command.id, decided)
        for part_id, call in call.items()
        if part_id not in obstacles
    ]
    if changes:
        make_committer(command.database, command.settings)(changes)
    command.counts += Counter(map(str, obstacles.values()))
    moved_on = len(claims) - len(obstacles) - len(decided)
    command.counts += Counter({"decided": len(decided), str(Left.MOVED_ON): moved_on})


def _is_looked_up(call: DoubtfulCall) -> bool:
    """Returns whether the vendor's list is searched for the message. True also if the part cannot be read."""
    try:
        part = call.part
        return part.fault is not None or channel(call.channel).is_looked_up(part.kind, part.message)
    except Exception:  # noqa: BLE001  one odd part must not keep those beside it
        return True


def _check_msgid(decision: Decision, found: Unknowns) -> None:
    if decision.msgid is None:
        return
    problems = [*msgid_problems(decision.msgid)]
    if not decision.sent:
        problems.append(Problem("msgid", "is of a message that was not sent", "leave it out, or say sent=True"))
    if (count := len(found.ids)) != 1:
        problems.append(Problem("msgid", "is of one part", "give that part's id", 1, "parts in doubt", count))
    if problems:
        raise CheckFailed(problems)
