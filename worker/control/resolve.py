"""Parts in doubt, ended by a person's word: sent, or not sent.

The word is a move like any other of the group commit, so counters, followers in an order, follow-ups that wait and
hooks move on with it. The attempt stays as it is: should the vendor's answer come after all, it is recorded.
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
from worker.control.audit import Done, Running, audited, require_fits
from worker.control.cancel import committing
from worker.control.found import FoundJobs
from worker.control.opening import at_hand
from worker.domain import settle
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job import Kind, is_read
from worker.domain.job_filter import JobFilter
from worker.domain.outcome import Taken
from worker.domain.settle import PartFacts
from worker.domain.state import PartState
from worker.outbox.commit.commands import Change
from worker.outbox.commit.record_answer import mark_recalled
from worker.outbox.control.unknowns import DoubtfulCall, count_unknown, doubtful_calls, unknown_parts
from worker.outbox.engine.database import Database
from worker.outbox.jobs.codes import name_part, settle_burned
from worker.producer.follow_ups import msgid_problems

TOGETHER = 50
"""Parts in one transaction, whose rows workers cannot move meanwhile."""
MOST = 100_000
"""Parts in doubt that are looked at together."""


class Left(StrEnum):
    """Why a part stays as it is."""

    MOVED_ON = "moved_on"
    """It is not in doubt any more: it was answered, or is repeated."""
    NO_MEDIA_ID = "no_media_id"
    """An upload or a track: what it was to bring was lost with the answer, so it can only be said not to be sent."""
    NO_MSGID = "no_msgid"
    """A group send of which no msgid was given: the search for another could take its task for its own."""
    NEWER_RELEASE = "newer_release"
    """A newer release enqueued it: say it with that one's command."""

    @property
    def text(self) -> str:
        """For people."""
        return _TEXTS[self]


_TEXTS = {
    Left.MOVED_ON: "not in doubt any more: it was answered, or is repeated",
    Left.NO_MEDIA_ID: "an upload or a track: what it was to bring came with the lost answer, so say --not-sent",
    Left.NEWER_RELEASE: "of a newer release than this one: say it with that one's command",
    Left.NO_MSGID: "a group send without its msgid: the search for another could take its task for its own",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknowns(FoundJobs):
    """The parts in doubt that a filter had when it was asked."""

    claims: Mapping[str, int]
    """Part ids -> the number of each one's last call, by which a repeat that was made since is told."""


def find_unknown(wanted: JobFilter, *, settings: Settings | None = None, database: Database | None = None) -> Unknowns:
    """The parts in doubt of a filter, in the database of the settings (default: those that are in force).

    `among`: how many are `ordered`, by an order_key. Ended as not sent they let those behind go; `replay` before that
    keeps their place. CheckFailed where more than 100,000 parts are in doubt and no ids are given.
    """
    with at_hand(database, settings) as (outbox, _), outbox.reading() as connection:
        if wanted.ids is None and count_unknown(connection, MOST + 1) > MOST:
            problem = Problem("filter", "would look through too many parts in doubt", "give ids", MOST, "parts")
            raise CheckFailed([problem])
        parts = unknown_parts(connection, wanted, MOST)
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
    """Says of parts in doubt whether the vendor carried their calls out.

    `sent=True` ends them accepted, or partial where the vendor had named recipients that it refused. With `msgid`, the
    vendor's id of one part's message, that one can be recalled. `sent=False` ends them rejected: their recipients count
    as refused, and they can be replayed. `why` is the reason in the person's own words, at most 300 characters;
    `person` is the person's name. Both are kept in the audit. What is not in doubt any more is left as it is.

    It counts the parts that are `decided`, and those left by the reason (`Left`). It commits by itself, 50 parts at a
    time, and may be given again after an error; `progress` is called with the number gone through. CheckFailed when
    `msgid` is given and the parts are not exactly one.
    """
    word = Word(sent, msgid)
    require_reason(person, why)
    _check_msgid(word, found)
    asked = {"filter": found.wanted.asked(), "sent": word.sent} | ({} if word.msgid is None else {"msgid": word.msgid})
    with audited("resolve", person=person, why=why, asked=asked, database=database, settings=settings) as running:
        began(running.id)
        for few in running.lots(list(found.claims.items()), TOGETHER, progress):
            _decide(dict(few), word, running)
    return Done(running.id, running.counts)


def require_reason(person: str, why: str) -> None:
    """CheckFailed where it is not said who decides, or how that person knows."""
    require_fits(person, why, needed="say in a few words how you know")


@dataclass(frozen=True, slots=True)
class Word:
    """What the person says."""

    sent: bool
    msgid: str | None = None

    def obstacle(self, lost: DoubtfulCall) -> Left | None:
        """Why the word is not enough for this call; None: it is."""
        if not is_read(lost.part.payload):
            return Left.NEWER_RELEASE
        if self.sent and lost.part.kind in (Kind.UPLOAD, Kind.TRACK):
            return Left.NO_MEDIA_ID
        return Left.NO_MSGID if self.sent and self.msgid is None and _is_looked_up(lost) else None

    def change(self, lost: DoubtfulCall, claim: int, audit: str, decided: set[str]) -> Change:
        """The move of a part whose last call is still `claim`; `decided` takes its id in when it is made."""
        reason = f"{'sent' if self.sent else 'not sent'}, as a person says (audit {audit})"

        def apply(part: PartFacts, now: int) -> None:
            # Discarded first: a transaction that is run again may find that the part has moved.
            decided.discard(part.id)
            if part.state is PartState.UNKNOWN and part.claim == claim:
                settle.take_word(part, reason, sent=self.sent, refused_some=lost.refused_some)
                decided.add(part.id)

        receipt = Taken(msgid=self.msgid, warning=reason) if self.sent else None
        return Change(
            lost.part.id, apply, receipt=receipt, receipt_claim=lost.claim, on_changed=partial(self._settle, lost)
        )

    def _settle(self, lost: DoubtfulCall, connection: Connection, now: int) -> None:
        """What the call does beside ending its part."""
        part, spec = lost.part, lost.part.spec
        if part.kind == Kind.RECALL and self.sent and "claim" in spec:
            mark_recalled(connection, spec["target"], spec["claim"], now)
        if part.kind == Kind.UPDATE_CARD:
            settle_burned(connection, part.id, spec.get("target", part.id), used=self.sent)
        if self.msgid is not None and _is_looked_up(lost):
            name_part(connection, part.account, self.msgid, part.id)


def _decide(claims: Mapping[str, int], word: Word, running: Running) -> None:
    with running.database.reading() as connection:
        lost = doubtful_calls(connection, list(claims))
    obstacles = {part: obstacle for part, call in lost.items() if (obstacle := word.obstacle(call)) is not None}
    decided = set[str]()
    changes = [
        word.change(call, claims[part], running.id, decided) for part, call in lost.items() if part not in obstacles
    ]
    if changes:
        committing(running.database, running.settings)(changes)
    running.counts += Counter(map(str, obstacles.values()))
    moved_on = len(claims) - len(obstacles) - len(decided)
    running.counts += Counter({"decided": len(decided), str(Left.MOVED_ON): moved_on})


def _is_looked_up(lost: DoubtfulCall) -> bool:
    """True when the vendor's list is searched for the message while it is in doubt, or that cannot be known."""
    try:
        part = lost.part
        return part.fault is not None or channel(lost.channel).is_looked_up(part.kind, part.message)
    except Exception:  # noqa: BLE001  one odd part must not keep those beside it
        return True


def _check_msgid(word: Word, found: Unknowns) -> None:
    if word.msgid is None:
        return
    problems = [*msgid_problems(word.msgid)]
    if not word.sent:
        problems.append(Problem("msgid", "is of a message that was not sent", "leave it out, or say sent=True"))
    if (count := len(found.ids)) != 1:
        problems.append(Problem("msgid", "is of one part", "give that part's id", 1, "parts in doubt", count))
    if problems:
        raise CheckFailed(problems)
