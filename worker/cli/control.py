"""`worker cancel`, `recall`, `replay`, `resolve`, `skip` and `erase`: commands on jobs; and `worker audit`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

import typer

from worker.cli.options import CALL_TIMES, Commands, Json, Person, by_person, echo_error, with_filter
from worker.cli.reading import ProgressLine, outbox, print_problems, print_rows, unmatched_names
from worker.cli.times import clock
from worker.control import audit as audits, lift
from worker.control.audit import CommandResult
from worker.control.cancel import cancel as cancel_jobs, find_open
from worker.control.erase import erase as erase_person, find_person
from worker.control.opening import open_database
from worker.control.recall import find_sent, recall_jobs
from worker.control.replay import ReplayableJobs, find_replayable, replay_jobs
from worker.control.resolve import UnchangedReason, find_unknown, require_reason, resolve as decide
from worker.control.selection import MAX_LISTED, JobSelection
from worker.domain.errors import WorkerError
from worker.domain.job import Kind
from worker.domain.job_filter import JobFilter
from worker.language import language, plural, term, translate
from worker.language.visible import visible
from worker.producer.chain import ReplayScope
from worker.producer.options import PriorityName

app = Commands()

_WARNINGS = frozenset({"ordered", "corrections", "not_recallable", "settling", "forced"})
"""Notes that are printed also for a single job, of which no preview is."""
_BREAKDOWN_TEXTS = {
    "ended": "of them have ended, and stay as they are",
    "lately": "of them were called within the duplicate window: the same message may still arrive",
    "waiting": "of them wait to be sent: cancelled at once",
    "sent": "of them were sent or may have been: recalled by workers, as fast as the vendor's limits allow",
    "not_recallable": "were sent on a channel without recalls: their messages stay",
    "corrections": "of them are corrections: people who have only these are left without the right message, too",
    "settling": "more are left out: they settle by themselves, by a repeat or a look-up; --force includes them",
    "forced": "of them would settle by themselves: their repeat or look-up is given up",
    "corrected": "are left out: corrected already",
    "equal": "are left out: their text is the new one already",
    "unchanged": "are left out: what is to be replaced is not in them, or no message is for them",
    "unused": "messages are for jobs that are not among these",
    "different": "different messages are among them",
    "ordered": (
        "of them have an order_key: the jobs behind them go on, so run `worker replay` first for"
        " what has to go before those"
    ),
}


def preview(selection: JobSelection) -> Iterator[str]:
    """Yields how many jobs a command would change, by account and kind or state, and notes about some of them."""
    for (account, counted), count in sorted(selection.counts.items()):
        content = term("kind", term("state", counted))
        yield f"{count:>8}  {content} on account {account}"
    for state, count in sorted(selection.breakdown.items()):
        yield (
            f"{count:>8}  {_BREAKDOWN_TEXTS[state]}"
            if state in _BREAKDOWN_TEXTS
            else f"{count:>8}  of their parts are {state}"
        )


def carry_out(
    person: Person,
    selection: JobSelection,
    run: Callable[..., CommandResult],
    question: str,
    nothing: str = "",
    *,
    confirms: bool | None = None,
    notes: Sequence[str] = (),
) -> CommandResult:
    """Runs a command on the selected jobs, and prints which of them stay unchanged and why.

    Prints a preview, with these notes, and asks for confirmation before, if there are several jobs (or as `confirms`
    says). Raises WorkerError with the text `nothing` if no job is selected, and if the person does not confirm.
    """
    warnings = _warnings(selection)
    if nothing and not selection.ids:
        raise WorkerError("; ".join([*warnings, nothing]))
    confirms = len(selection.ids) > 1 if confirms is None else confirms
    for line in [*warnings, *(preview(selection) if confirms or _WARNINGS & selection.breakdown.keys() else [])]:
        echo_error(line)
    if confirms:
        for line in notes:
            # A text of others is not translated.
            typer.echo(visible(line if line.startswith("  ") else translate(line)), err=True)
        person.confirm(question)
    result = run(selection, person=person.name, why=person.why, progress=ProgressLine(len(selection.ids)))
    for job, reason in list(result.notes.items())[:MAX_LISTED]:
        echo_error(f"job {job}: {reason}")
    return result


def _warnings(selection: JobSelection) -> list[str]:
    """Returns sentences about values of the filter that are probably mistyped."""
    with open_database() as database:
        return unmatched_names(database, selection.filter, is_empty=not selection.ids)


@app.command()
@with_filter("msgid")
@by_person(confirms=True, help="How you know, in a few words; kept in the audit.")
def resolve(
    person: Person,
    options: dict[str, Any],
    sent: Annotated[bool, typer.Option("--sent", help="The vendor carried it out.")] = False,
    not_sent: Annotated[bool, typer.Option("--not-sent", help="The vendor did not carry it out.")] = False,
    msgid: Annotated[str | None, typer.Option(help="The vendor's id of the one message, to recall it by.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also what settles by itself: its repeat or look-up is given up.")
    ] = False,
) -> bool:
    """Ends calls in doubt that wait for you: you know whether they were sent. Ids may be those of single parts."""
    if sent == not_sent:
        raise typer.BadParameter(translate("give either --sent or --not-sent"))
    require_reason(person.name, person.why)
    selection = find_unknown(JobFilter(**options), force=force)
    # It warns about jobs behind these in their order, which go on only after "not sent".
    breakdown = {name: count for name, count in selection.breakdown.items() if name != "ordered" or not sent}
    settling, meaning = breakdown.get("settling", 0), "sent" if sent else "not sent"
    result = carry_out(
        person,
        replace(selection, breakdown=breakdown),
        partial(decide, sent=sent, msgid=msgid),
        f"record these {len(selection.ids)} parts as {meaning}?",
        f"none of these waits for a person: parts in doubt that settle by themselves: {settling}; --force decides about"
        " them all the same, and gives up their repeat or look-up"
        if settling
        else "none of these is in doubt; `worker jobs --held` lists what waits for a person",
    )
    person.answer(result, _resolution_text(result, meaning))
    return result.counts["decided"] > 0


def _resolution_text(result: CommandResult, meaning: str) -> str:
    decided = result.counts["decided"]
    lines = [f"{plural(decided, 'part')} recorded as {meaning} (audit {result.audit})"]
    if decided and meaning == "not sent":
        lines.append("their recipients count as refused; `worker replay` sends to them")
    return "\n".join(
        lines
        + [f"{count} not changed: {reason.text}" for reason in UnchangedReason if (count := result.counts[reason])]
    )


_PART_TEXTS = {
    "cancelled": "cancelled: certainly not sent",
    "sending": "in flight: the vendor's answer counts, and they are not sent again",
    "searched": "in doubt: the worker looks for them at the vendor, which sends nothing",
    "unknown": "in doubt, and not repeated any more: decide with `worker resolve`",
    "accepted": "accepted by the vendor",
    "partial": "accepted by the vendor for some of their recipients",
}


@app.command()
@with_filter()
@by_person(confirms=True)
def cancel(person: Person, options: dict[str, Any]) -> bool:
    """Cancels jobs: nothing more of them is sent. Says what was sent already, and how to take it back."""
    job_filter = JobFilter(**options)
    audits.require_person(person.name, person.why)
    selection = find_open(job_filter)
    ended = len(job_filter.part_or_job_ids()) - len(selection.ids) - len(selection.missing)
    if selection.ids and ended > 0:
        echo_error(f"ids of jobs that have nothing left to send: {ended}")
    question = f"cancel these {len(selection.ids)} jobs?"
    result = carry_out(person, selection, cancel_jobs, question, "none of these jobs has anything left to send")
    person.answer(result, "\n".join(_cancellation_lines(result)))
    return result.counts["jobs"] > 0


def _cancellation_lines(result: CommandResult) -> list[str]:
    parts = dict(result.counts)
    jobs = parts.pop("jobs", 0)
    lines = [f"cancelled {plural(jobs, 'job')} (audit {result.audit}); their parts:"]
    lines += [f"{count:>8}  {_PART_TEXTS.get(state, term('state', state))}" for state, count in sorted(parts.items())]
    if recallable := result.jobs:
        remaining = len(recallable) - MAX_LISTED
        remainder = f" and {remaining} more, see --json" if remaining > 0 else ""
        lines.append(
            f"what the vendor has accepted can be recalled: worker recall {' '.join(recallable[:MAX_LISTED])}"
            f"{remainder}"
        )
    return lines


@app.command()
@with_filter(*CALL_TIMES)
@by_person(confirms=True)
def recall(
    person: Person,
    options: dict[str, Any],
    foreign: Annotated[
        str | None, typer.Option(metavar="MSGID", help="A message that another program sent; with --account alone.")
    ] = None,
) -> bool | None:
    """Cancels at once what waits, and enqueues a recall of each job that has sent something; prints their ids."""
    if foreign is not None:
        if options.keys() != {"account"}:
            raise typer.BadParameter(translate("--foreign needs --account and no other filter"))
        from worker.cli.sending import recall_foreign

        recall_foreign(person, options["account"], foreign)
        return None
    audits.require_person(person.name, person.why)
    selection = find_sent(JobFilter(**options))
    nothing = "nothing to take back: not sent, recalled already, or sent on a channel without recalls"
    question = f"cancel these {len(selection.ids)} jobs, and take back what they have sent?"
    result = carry_out(person, selection, recall_jobs, question, nothing)
    person.answer(result, "\n".join(_recall_lines(result)))
    return bool(result.counts["cancelled"] or result.jobs)


def _recall_lines(result: CommandResult) -> Iterator[str]:
    count, recalls = result.counts, len(result.jobs)
    yield (
        f"cancelled {plural(count['cancelled'], 'job')}, {plural(recalls, 'recall')} enqueued (audit {result.audit})"
    )
    if not_recallable := count["not_recallable"]:
        yield f"{plural(not_recallable, 'job')} cannot be recalled: the channel has no recall"
    if recalls:
        yield f"`worker audit {result.audit}` says how many are carried out; each is a job:"
    yield from (f"  {id}" for id in result.jobs[:MAX_LISTED])
    if (remaining := recalls - MAX_LISTED) > 0:
        yield f"  and {remaining} more, see --json"


@app.command()
@with_filter(*CALL_TIMES)
@by_person(confirms=True)
def replay(
    person: Person,
    options: dict[str, Any],
    accepted: Annotated[bool, typer.Option("--accepted", help="Also to those who got it.")] = False,
    unknown: Annotated[bool, typer.Option("--unknown", help="Also to those for whom the result is unknown.")] = False,
    cancelled: Annotated[
        bool, typer.Option("--cancelled", help="Also what was cancelled, recalled or corrected.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    rate: Annotated[float | None, typer.Option(min=0.01, help="At most so many jobs a second.")] = None,
    go_on: Annotated[str | None, typer.Option(metavar="AUDIT", help="Goes on with a run that was cut short.")] = None,
) -> bool:
    """Sends ended jobs once more, as new jobs, to the recipients whom they did not reach; prints the id of one."""
    if go_on is not None and (options or accepted or unknown or cancelled):
        raise typer.BadParameter(translate("--go-on uses the filter of its run: give no other"))
    if go_on is None:
        selection = find_replayable(JobFilter(**options), accepted=accepted, unknown=unknown, cancelled=cancelled)
        priority = None
    else:
        selection, priority, rate = _interrupted_run(go_on, rate)
    audits.require_person(person.name, person.why)
    for withdrawal in selection.omitted:
        echo_error(
            f"{plural(withdrawal.jobs, 'job')} left out: {withdrawal.how} {clock(withdrawal.at)} by {withdrawal.by()};"
            " --cancelled includes them"
        )
        if withdrawal.why:
            echo_error(f"  why: {withdrawal.why}")
    if not selection.ids and selection.since is not None:
        person.answer(_dry_run_report(selection), "nothing of this run is left to do")
        return True
    if selection.ids and dry_run:
        for line in _warnings(selection):
            echo_error(line)
        person.answer(_dry_run_report(selection), "\n".join(preview(selection)))
        return True
    several = len(selection.ids) > 1
    nothing = (
        "none of these jobs has ended without reaching all recipients;"
        " --accepted, --unknown and --cancelled include the others"
    )

    def print_go_on(audit: str) -> None:
        if several:
            echo_error(f"if it is interrupted, go on with: worker replay --go-on {audit}")

    run = partial(replay_jobs, rate=rate, priority=priority, on_begin=print_go_on)
    result = carry_out(person, selection, run, f"replay these {len(selection.ids)} jobs?", nothing)
    person.answer(result, _replay_text(result, several=several))
    return bool(result.jobs)


def _replay_text(result: CommandResult, *, several: bool) -> str:
    """Returns the new job's id for a single job, else the counts."""
    replays, refused = len(result.jobs), result.counts["refused"]
    if replays and not several:
        return result.jobs[0]
    lines = [f"{plural(replays, 'replay')} enqueued, {refused} refused (audit {result.audit})"]
    return "\n".join([*lines, "what was enqueued is sent as fast as the limits allow"] if replays else lines)


def _interrupted_run(go_on: str, rate: float | None) -> tuple[ReplayableJobs, PriorityName | None, float | None]:
    """Returns the remaining jobs of the interrupted run with this audit id, and its priority and rate."""
    entry = _replay_entry(go_on)
    arguments, since = entry.arguments, entry.began_at
    # A run that continues another has the begin of the first one.
    since = since if arguments["since"] is None else datetime.fromisoformat(arguments["since"])
    job_filter = JobFilter.from_conditions(arguments["filter"])
    accepted, unknown, cancelled = (bool(arguments.get(name)) for name in ReplayScope._fields)
    selection = find_replayable(job_filter, accepted=accepted, unknown=unknown, cancelled=cancelled, since=since)
    return selection, arguments.get("priority"), arguments["rate"] if rate is None else rate


def _dry_run_report(selection: ReplayableJobs) -> dict[str, Any]:
    counts = [
        {"account": account, "state": state, "jobs": n} for (account, state), n in sorted(selection.counts.items())
    ]
    lately = selection.breakdown.get("lately", 0)
    report = {"jobs": len(selection.ids), "counts": counts, "lately": lately, "missing": list(selection.missing)}
    return {**report, "left_out": selection.omitted}


def _replay_entry(audit: str) -> audits.AuditEntry:
    """Returns the audit row of a replay that can go on; raises WorkerError if there is none."""
    with outbox() as connection:
        entry = audits.find_audit(connection, audit)
    if entry is None or entry.action.removeprefix("console.") != "replay" or "since" not in entry.arguments:
        raise WorkerError(f"there is no replay with audit {audit} that could go on; `worker audit` lists replays")
    return entry


@app.command()
@by_person()
def skip(person: Person, job: Annotated[str, typer.Argument(help="The job's id.")]) -> None:
    """Lets the jobs behind this one go on (same order_key); the job itself does not change."""
    parts = lift.skip(job, person=person.name, why=person.why).jobs
    person.answer({"parts": parts}, "\n".join(f"no job waits for part {part} any more" for part in parts))


@app.command()
@by_person(confirms=True, help="The reason, without the id; kept in the audit.")
def erase(
    person: Person,
    recipient: Annotated[str, typer.Option(help="The person: a userid, a customer, a mail address.")],
) -> bool:
    """Takes a person out of all tables for good: texts to it alone, its id elsewhere, its callbacks; counts stay."""
    selection = find_person(recipient)
    followers = selection.breakdown["followers"]
    echo_error(f"jobs that name this person: {len(selection.ids)}, follow-ups of these: {followers}")
    person.confirm("erase this person permanently?")
    progress = ProgressLine(len(selection.ids) + followers)
    result = erase_person(selection, person=person.name, why=person.why, progress=progress)
    words = ("jobs", "emptied", "callbacks", "chats", "unhandled", "unchanged")
    jobs, emptied, callbacks, chats, unhandled, unchanged = (result.counts[word] for word in words)
    lines = [
        (
            f"erased from {plural(jobs, 'job')} (audit {result.audit}); {emptied} of these had no other"
            " recipient, so the text was deleted too"
        ),
        f"{plural(callbacks, 'callback')} emptied, {plural(chats, 'chat')} removed",
    ]
    if unhandled:
        lines.append(f"{plural(unhandled, 'callback')} kept until hooks have handled them: run the command again later")
    if unchanged:
        lines.append(
            f"{plural(unchanged, 'job')} unchanged: still open, in doubt or first in an order, or a follow-up of it is"
            " open or in doubt; cancel, resolve or skip, or wait, then run the command again"
        )
    person.answer(result, "\n".join(lines))
    is_named = bool(jobs or followers or callbacks or chats or unhandled)
    return print_problems([] if is_named else [f"nothing that is stored names {recipient}"]) and not (
        unchanged or unhandled
    )


@app.command()
def audit(
    entry: Annotated[str | None, typer.Argument(help="The id of one entry; or else the newest.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """Lists what people did: who, what, why, how much of it, and what became of the recalls and corrections."""
    with outbox() as connection:
        if entry is None:
            entries = audits.list_audit(connection, limit=limit)
        elif (found := audits.find_audit(connection, entry)) is not None:
            entries = [found]
        else:
            raise WorkerError(f"there is no audit {entry}; `worker audit` lists the newest")
    print_rows(entries, _entry, "no command has changed anything", as_json=as_json)


def _entry(entry: audits.AuditEntry) -> str:
    end = "" if entry.ended_at else "  (still running, or was interrupted)"
    headline = f"{term('action', entry.action)}{translate(f' by {entry.person}')}{translate(end)}"
    lines = [f"{entry.id}  {clock(entry.began_at)}  {headline}"]
    lines += [f"  why: {entry.why}", f"  arguments: {_pairs('field', entry.arguments)}"]
    lines += [f"  result: {_pairs('counted', entry.counts) or 'nothing'}"]
    for follow_up in entry.follow_ups:
        done, total, under_way, failed = follow_up.done, follow_up.total, follow_up.under_way, follow_up.failed
        lines += [
            f"  recalled {done} of {total}; under way {under_way}, failed {failed}"
            if follow_up.kind == Kind.RECALL
            else f"  corrected {done} of {total}; under way {under_way}, failed {failed}"
        ]
    return "\n".join(lines)


def _pairs(group: Literal["field", "counted"], values: Mapping[str, Any]) -> str:
    """Returns arguments or counts as text, a filter by its fields. Chinese names are those of the console."""
    conditions = dict(values.get("filter") or {"filter": term("pause", "everything")}) if "filter" in values else {}
    pairs = conditions | {name: value for name, value in values.items() if name != "filter"}
    return ", ".join(f"{_named(group, name)} {_value(value)}" for name, value in pairs.items())


def _named(group: str, name: str) -> str:
    if language() == "en":
        return name
    from worker.console.words import WORDS

    return WORDS.get(f"{group}.{name}", (name,))[0]


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)
