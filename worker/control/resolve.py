"""Ends parts in doubt by a person's decision: sent, or not sent.

Only parts that are held for a person are a task; others in doubt are repeated or looked up and settle by themselves.

The decision is written like any other change by the group commit, so counters, later parts of an order, waiting
follow-ups and hooks go on with it. The attempt does not change: if the vendor's answer still arrives, it is recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

from sqlalchemy import Connection

from worker.channels.registry import channel
from worker.config.settings import Settings
from worker.control.audit import AuditedCommand, CommandResult, audited, require_person
from worker.control.cancel import make_committer
from worker.control.command import Command, Option
from worker.control.opening import open_outbox
from worker.control.selection import JobSelection
from worker.domain import settle
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job import JobKind, is_read
from worker.domain.job_filter import JobFilter, require_filter
from worker.domain.outcome import CallReceipt
from worker.domain.settle import PartFacts
from worker.domain.state import PartState
from worker.language import plural
from worker.outbox.commit.commands import Change
from worker.outbox.commit.record_answer import mark_recalled
from worker.outbox.control.matching import missing_jobs
from worker.outbox.control.unknowns import DoubtfulCall, count_unknown, doubtful_calls, unknown_parts
from worker.outbox.engine.database import Database
from worker.outbox.jobs.codes import settle_burned, store_msgid
from worker.producer.follow_ups import msgid_problems

BATCH_SIZE = 50
"""Parts in one transaction. Workers cannot change their rows in the meantime."""
HOW_YOU_KNOW = "explain in a few words how you know"
MAX_UNKNOWN = 100_000
"""Most parts in doubt that one search reads."""


class UnchangedReason(StrEnum):
    """Why `resolve` does not change a part."""

    NOT_IN_DOUBT = "not_in_doubt"
    """It is not in doubt any more: it was answered, or is being repeated."""
    NO_MEDIA_ID = "no_media_id"
    """An upload or a track. Its result was lost with the answer, so it can only be resolved as not sent."""
    NO_MSGID = "no_msgid"
    """A group send without a msgid. The search for another group send could find its task and take it for its own."""
    NEWER_RELEASE = "newer_release"
    """A newer release enqueued it: use the command of that release."""

    @property
    def text(self) -> str:
        """The reason as a sentence for people."""
        return _TEXTS[self]


_TEXTS = {
    UnchangedReason.NOT_IN_DOUBT: "not in doubt any more: it was answered, or is repeated",
    UnchangedReason.NO_MEDIA_ID: "an upload or a track: its result was lost with the answer, so use --not-sent",
    UnchangedReason.NEWER_RELEASE: "of a newer release than this one: use that release's command",
    UnchangedReason.NO_MSGID: "a group send without its msgid: the search for another could take its task for its own",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownParts(JobSelection):
    """The parts of a filter that are in doubt and wait for a person, or with `force` all that are in doubt."""

    claims: Mapping[str, int]
    """Number of the last call, by part id. A later number shows that the part was repeated since."""


def find_unknown(
    filter: JobFilter,
    *,
    force: Annotated[bool, Option("Also what settles by itself: its repeat or look-up is given up.")] = False,
    settings: Settings | None = None,
    database: Database | None = None,
) -> UnknownParts:
    """Finds the parts of a filter that are in doubt and wait for a person.

    Reads the database of the settings, by default those in force. Other parts in doubt are repeated or looked up by the
    worker and so settle by themselves; `force` includes them, and a decision about them gives that up. `breakdown`
    counts these parts, `settling` if they are left out and `forced` if not, and the parts that are `ordered`, by an
    order_key. Ending them as not sent releases the parts behind them; a `replay` before that keeps their place. Raises
    CheckFailed if more than 100,000 parts are in doubt and the filter has no ids.
    """
    require_filter(filter)
    with open_outbox(database, settings) as (outbox, _), outbox.reading() as connection:
        if filter.ids is None and count_unknown(connection, MAX_UNKNOWN + 1) > MAX_UNKNOWN:
            problem = Problem("filter", "would look through too many parts in doubt", "give ids", MAX_UNKNOWN, "parts")
            raise CheckFailed([problem])
        parts = unknown_parts(connection, filter, MAX_UNKNOWN)
        missing = tuple(missing_jobs(connection, filter.part_or_job_ids()))
    settling, selected = sum(not part.is_held for part in parts), [part for part in parts if force or part.is_held]
    counts = Counter((part.account, part.kind) for part in selected)
    claims, ordered = {part.id: part.claim for part in selected}, sum(part.ordered for part in selected)
    breakdown = +Counter({"ordered": ordered, "forced" if force else "settling": settling})
    return UnknownParts(filter, tuple(claims), counts, breakdown, missing, claims=claims)


def resolve(
    selection: UnknownParts,
    *,
    sent: Annotated[bool, Option("The vendor carried it out.", no="The vendor did not carry it out.")],
    why: str,
    person: str,
    msgid: Annotated[str | None, Option("The vendor's id of the one message, to recall it by.")] = None,
    settings: Settings | None = None,
    database: Database | None = None,
    progress: Callable[[int], object] = lambda done: None,
    on_begin: Callable[[str], object] = lambda audit: None,
) -> CommandResult:
    """Ends parts in doubt by a person's decision whether the vendor carried out their calls.

    `sent=True` ends them accepted, or partial if the vendor had named recipients that it refused. With `msgid`, the
    vendor's id of the message of a single part, that part can be recalled. `sent=False` ends them rejected: their
    recipients count as refused, and they can be replayed. `why` is how the person knows, at most 300 characters, and
    `person` the person's name; the audit keeps both.

    The result counts the parts that are `decided`, and by `UnchangedReason` the parts that were not changed. The
    command commits by itself, 50 parts at a time, and may be called again after an error. `progress` is called with the
    number of parts done so far. Raises CheckFailed if `msgid` is given and there is not exactly one part.
    """
    decision = Decision(sent, msgid)
    require_person(person, why, empty_remedy=HOW_YOU_KNOW)
    _check_msgid(decision, selection)
    arguments = {"filter": selection.filter.conditions(), "sent": decision.sent} | (
        {} if decision.msgid is None else {"msgid": decision.msgid}
    )
    with audited(
        "resolve", person=person, why=why, arguments=arguments, database=database, settings=settings
    ) as command:
        on_begin(command.id)
        for batch in command.batches(list(selection.claims.items()), BATCH_SIZE, progress):
            _decide(dict(batch), decision, command)
    return CommandResult(command.id, command.counts)


def _lines(result: CommandResult, options: Mapping[str, Any]) -> Iterator[str]:
    decided, meaning = result.counts["decided"], "sent" if options["sent"] else "not sent"
    yield f"{plural(decided, 'part')} recorded as {meaning} (audit {result.audit})"
    if decided and not options["sent"]:
        yield "their recipients count as refused; `worker replay` sends to them"
    for reason in UnchangedReason:
        if count := result.counts[reason]:
            yield f"{count} not changed: {reason.text}"


COMMAND = Command(
    name="resolve",
    help="Ends calls in doubt that wait for you: you know whether they were sent. Ids may be those of single parts.",
    find=find_unknown,
    run=resolve,
    question="record these {count} parts as {meaning}?",
    nothing="none of these waits for a person, and what settles by itself needs --force; see `worker jobs --held`",
    lines=_lines,
    done=("decided",),
    might_apply=lambda job: job.has_held_doubt,
    why="How you know, in a few words; kept in the audit.",
    needed_why=HOW_YOU_KNOW,
    counted="parts",
)


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's decision about calls in doubt."""

    sent: bool
    msgid: str | None = None

    def obstacle(self, call: DoubtfulCall) -> UnchangedReason | None:
        """Returns the reason why the decision cannot be applied to this call, or None if it can."""
        if not is_read(call.part.payload):
            return UnchangedReason.NEWER_RELEASE
        if self.sent and call.part.kind in (JobKind.UPLOAD, JobKind.TRACK):
            return UnchangedReason.NO_MEDIA_ID
        return UnchangedReason.NO_MSGID if self.sent and self.msgid is None and _is_looked_up(call) else None

    def change(self, call: DoubtfulCall, last_claim: int, audit: str, decided: set[str]) -> Change:
        """Returns the change of a part, which adds the part's id to `decided` when it is made.

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
        """Records what the decision means for recalled messages, response_codes and group sends."""
        part, spec = call.part, call.part.spec
        if part.kind == JobKind.RECALL and self.sent and "claim" in spec:
            mark_recalled(connection, spec["target"], spec["claim"], now)
        if part.kind == JobKind.UPDATE_CARD:
            settle_burned(connection, part.id, spec.get("target", part.id), used=self.sent)
        if self.msgid is not None and _is_looked_up(call):
            store_msgid(connection, part.account, self.msgid, part.id)


def _decide(claims: Mapping[str, int], decision: Decision, command: AuditedCommand) -> None:
    with command.database.reading() as connection:
        calls = doubtful_calls(connection, list(claims))
    obstacles = {
        part_id: obstacle for part_id, call in calls.items() if (obstacle := decision.obstacle(call)) is not None
    }
    decided = set[str]()
    changes = [
        decision.change(call, claims[part_id], command.id, decided)
        for part_id, call in calls.items()
        if part_id not in obstacles
    ]
    if changes:
        make_committer(command.database, command.settings)(changes)
    command.counts += Counter(map(str, obstacles.values()))
    not_in_doubt = len(claims) - len(obstacles) - len(decided)
    command.counts += Counter({"decided": len(decided), str(UnchangedReason.NOT_IN_DOUBT): not_in_doubt})


def _is_looked_up(call: DoubtfulCall) -> bool:
    """Returns whether the message is looked for in the vendor's list. True also if the part cannot be read."""
    try:
        part = call.part
        return part.fault is not None or channel(call.channel).is_looked_up(part.kind, part.message)
    except Exception:  # noqa: BLE001  a part that cannot be read must not stop the others
        return True


def _check_msgid(decision: Decision, selection: UnknownParts) -> None:
    if decision.msgid is None:
        return
    problems = [*msgid_problems(decision.msgid)]
    if not decision.sent:
        problems.append(Problem("msgid", "is of a message that was not sent", "leave it out, or say sent=True"))
    if (count := len(selection.ids)) != 1:
        problems.append(Problem("msgid", "is of one part", "give that part's id", 1, "parts in doubt", count))
    if problems:
        raise CheckFailed(problems)
