"""`worker cancel`, `recall`, `resolve` and others: what people decide about jobs, and `worker audit`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

import typer

from worker.accounts.sources import accounts_of
from worker.cli.options import OF_CALLS, Commands, Json, Person, by_person, echo_error, with_filter
from worker.cli.reading import ProgressLine, outbox, print_rows
from worker.cli.times import clock
from worker.config.settings import load_settings
from worker.control import audit as audits, lift
from worker.control.audit import Done
from worker.control.cancel import cancel as cancel_jobs, find_open
from worker.control.erase import erase as erase_person, find_person
from worker.control.recall import find_sent, recall_found
from worker.control.replay import ReplayableJobs, find_replayable, replay_found
from worker.control.resolve import Left, find_unknown, require_reason, resolve as decide
from worker.control.selection import MAX_LISTED, FoundJobs, filter_warnings
from worker.domain.errors import WorkerError
from worker.domain.job_filter import JobFilter
from worker.language import language, plural, term, translate
from worker.producer.chain import ReplayScope

app = Commands()

_AMONG = {
    "ended": "of them have ended, and stay as they are",
    "lately": "of them were called within the duplicate window: the same message may still arrive",
    "corrected": "are left out: corrected already",
    "equal": "are left out: their text is the new one already",
    "ordered": (
        "of them have an order_key: the jobs behind them go on, so run `worker replay` first for"
        " what has to go before those"
    ),
}


def preview(found: FoundJobs) -> Iterator[str]:
    """What a command would be about, by account and kind or state, and then what is to be known of some of it."""
    for (account, state), count in sorted(found.counts.items()):
        yield f"{count:>8}  {state} on account {account}"
    for state, count in sorted(found.among.items()):
        yield f"{count:>8}  {_AMONG[state]}" if state in _AMONG else f"{count:>8}  of their parts are {state}"


def carry_out(
    person: Person,
    found: FoundJobs,
    act: Callable[..., Done],
    question: str,
    nothing: str = "",
    *,
    asks: bool | None = None,
) -> Done:
    """Shows what a command is about and asks, where that is several or `asks`; carries it out, and notes what it left.

    WorkerError where there is nothing, which `nothing` says, or the person does not confirm.
    """
    doubts = _doubts(found)
    if nothing and not found.ids:
        raise WorkerError("; ".join([*doubts, nothing]))
    asks = len(found.ids) > 1 if asks is None else asks
    for line in [*doubts, *(preview(found) if asks or "ordered" in found.among else [])]:
        echo_error(line)
    if asks:
        person.confirm(question)
    done = act(found, person=person.name, why=person.why, progress=ProgressLine(len(found.ids)))
    for job, reason in list(done.notes.items())[:MAX_LISTED]:
        echo_error(f"job {job}: {reason}")
    return done


def _doubts(found: FoundJobs) -> list[str]:
    """What in the filter is probably mistyped, for people."""
    return filter_warnings(found.wanted, found.missing, accounts_of(load_settings()).names())


@app.command()
@with_filter("msgid")
@by_person(asks=True, help="How you know, in a few words; kept in the audit.")
def resolve(
    person: Person,
    given: dict[str, Any],
    sent: Annotated[bool | None, typer.Option("--sent/--not-sent", help="Whether the vendor carried it out.")] = None,
    msgid: Annotated[str | None, typer.Option(help="The vendor's id of the one message, to recall it by.")] = None,
) -> bool:
    """Ends calls in doubt: you know whether they were sent or not. Ids may be those of single parts."""
    if sent is None:
        raise typer.BadParameter(translate("give --sent or --not-sent"))
    require_reason(person.name, person.why)
    found = find_unknown(JobFilter(**given))
    meaning = "sent" if sent else "not sent"
    done = carry_out(
        person,
        # Only those that end as not sent let go what is behind them.
        replace(found, among={}) if sent else found,
        partial(decide, sent=sent, msgid=msgid),
        f"record these {len(found.ids)} parts as {meaning}?",
        "none of these is in doubt; `worker jobs --state unknown` lists what is",
    )
    person.answer(done, _told(done, meaning))
    return done.counts["decided"] > 0


def _told(done: Done, meaning: str) -> str:
    decided = done.counts["decided"]
    lines = [f"{plural(decided, 'part')} recorded as {meaning} (audit {done.audit})"]
    return "\n".join(
        lines + [f"{count} not changed: {reason.text}" for reason in Left if (count := done.counts[reason])]
    )


_STANDS = {
    "cancelled": "cancelled: certainly not sent",
    "sending": "in flight: the vendor's answer counts, and they are not sent again",
    "searched": "in doubt: the worker looks for them at the vendor, which sends nothing",
    "unknown": "in doubt, and not repeated any more: decide with `worker resolve`",
    "accepted": "accepted by the vendor",
    "partial": "accepted by the vendor for some of their recipients",
}


@app.command()
@with_filter()
@by_person(asks=True)
def cancel(person: Person, given: dict[str, Any]) -> bool:
    """Cancels jobs: nothing more of them is sent. Says what was sent already, and how to take it back."""
    wanted = JobFilter(**given)
    audits.require_person(person.name, person.why)
    found = find_open(wanted)
    others = len(wanted.part_or_job_ids()) - len(found.ids) - len(found.missing)
    if found.ids and others > 0:
        echo_error(f"ids of jobs that have nothing left to send: {others}")
    question = f"cancel these {len(found.ids)} jobs?"
    done = carry_out(person, found, cancel_jobs, question, "none of these jobs has anything left to send")
    person.answer(done, "\n".join(_became(done)))
    return done.counts["jobs"] > 0


def _became(done: Done) -> list[str]:
    parts = dict(done.counts)
    jobs = parts.pop("jobs", 0)
    lines = [f"cancelled {plural(jobs, 'job')} (audit {done.audit}); their parts:"]
    lines += [f"{count:>8}  {_STANDS.get(state, state)}" for state, count in sorted(parts.items())]
    if recallable := done.jobs:
        more = len(recallable) - MAX_LISTED
        also = f" and {more} more, see --json" if more > 0 else ""
        lines.append(
            f"what the vendor has accepted can be recalled: worker recall {' '.join(recallable[:MAX_LISTED])}{also}"
        )
    return lines


@app.command()
@with_filter(*OF_CALLS)
@by_person(asks=True)
def recall(
    person: Person,
    given: dict[str, Any],
    foreign: Annotated[
        str | None, typer.Option(metavar="MSGID", help="A message that another program sent; with --account alone.")
    ] = None,
) -> bool | None:
    """Recalls what jobs have sent, and cancels the rest; prints the ids of the recalls."""
    if foreign is not None:
        if given.keys() != {"account"}:
            raise typer.BadParameter(translate("--foreign needs --account and no other filter"))
        from worker.cli.sending import recall_foreign

        recall_foreign(person, given["account"], foreign)
        return None
    audits.require_person(person.name, person.why)
    found = find_sent(JobFilter(**given))
    nothing = "nothing to take back: not sent, recalled already, or sent on a channel without recalls"
    question = f"take back what these {len(found.ids)} jobs have sent?"
    done = carry_out(person, found, recall_found, question, nothing)
    person.answer(done, "\n".join(_recalls(done)))
    return bool(done.jobs)


def _recalls(done: Done) -> list[str]:
    recalls = len(done.jobs)
    lines = [f"{plural(recalls, 'recall')} enqueued (audit {done.audit}); follow each with `worker show`:"]
    lines += [f"  {id}" for id in done.jobs[:MAX_LISTED]]
    return lines + ([f"  and {more} more, see --json"] if (more := recalls - MAX_LISTED) > 0 else [])


@app.command()
@with_filter(*OF_CALLS)
@by_person(asks=True)
def replay(
    person: Person,
    given: dict[str, Any],
    accepted: Annotated[bool, typer.Option("--accepted", help="Also to those who got it.")] = False,
    unknown: Annotated[bool, typer.Option("--unknown", help="Also to those for whom the result is unknown.")] = False,
    cancelled: Annotated[bool, typer.Option("--cancelled", help="Also what was cancelled or recalled.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    rate: Annotated[float | None, typer.Option(min=0.01, help="At most so many jobs a second.")] = None,
    go_on: Annotated[str | None, typer.Option(metavar="AUDIT", help="Goes on with a run that was cut short.")] = None,
) -> bool:
    """Sends ended jobs once more, as new jobs, to the recipients whom they did not reach; prints the id of one."""
    if go_on is not None and (given or accepted or unknown or cancelled):
        raise typer.BadParameter(translate("--go-on uses the filter of its run: give no other"))
    if go_on is None:
        found = find_replayable(JobFilter(**given), accepted=accepted, unknown=unknown, cancelled=cancelled)
    else:
        found, rate = _rest_of(go_on, rate)
    audits.require_person(person.name, person.why)
    for one in found.left_out:
        echo_error(
            f"{plural(one.jobs, 'job')} left out: {one.how} {clock(one.at)} by {one.by()}; --cancelled includes them"
        )
        if one.why:
            echo_error(f"  why: {one.why}")
    if not found.ids and found.since is not None:
        person.answer(_dry(found), "nothing of this run is left to do")
        return True
    if found.ids and dry_run:
        for line in _doubts(found):
            echo_error(line)
        person.answer(_dry(found), "\n".join(preview(found)))
        return True
    several = len(found.ids) > 1
    nothing = (
        "none of these jobs has ended without reaching all recipients;"
        " --accepted, --unknown and --cancelled include the others"
    )

    def began(audit: str) -> None:
        if several:
            echo_error(f"if it is interrupted, go on with: worker replay --go-on {audit}")

    act = partial(replay_found, rate=rate, began=began)
    done = carry_out(person, found, act, f"replay these {len(found.ids)} jobs?", nothing)
    person.answer(done, _replays(done, several=several))
    return bool(done.jobs)


def _replays(done: Done, *, several: bool) -> str:
    """The new job's id where one job was named, else the counts."""
    replays, refused = len(done.jobs), done.counts["refused"]
    if replays and not several:
        return done.jobs[0]
    return f"{plural(replays, 'replay')} enqueued, {refused} refused (audit {done.audit})"


def _rest_of(go_on: str, rate: float | None) -> tuple[ReplayableJobs, float | None]:
    """The jobs that are left of the run with this audit, and its rate."""
    entry = _cut_short(go_on)
    asked, since = entry.asked, entry.began_at
    # Itself gone on with, it has the beginning of the first run.
    since = since if asked["since"] is None else datetime.fromisoformat(asked["since"])
    wanted = JobFilter.from_asked(asked["filter"])
    accepted, unknown, cancelled = (bool(asked.get(name)) for name in ReplayScope._fields)
    found = find_replayable(wanted, accepted=accepted, unknown=unknown, cancelled=cancelled, since=since)
    return found, asked["rate"] if rate is None else rate


def _dry(found: ReplayableJobs) -> dict[str, Any]:
    counts = [{"account": account, "state": state, "jobs": n} for (account, state), n in sorted(found.counts.items())]
    lately = found.among.get("lately", 0)
    told = {"jobs": len(found.ids), "counts": counts, "lately": lately, "missing": list(found.missing)}
    return {**told, "left_out": found.left_out}


def _cut_short(audit: str) -> audits.AuditEntry:
    """The audit row of a run of replays."""
    with outbox() as connection:
        entry = audits.find_audit(connection, audit)
    if entry is None or entry.action.removeprefix("console.") != "replay" or "since" not in entry.asked:
        raise WorkerError(f"there is no replay with audit {audit} that could go on; `worker audit` lists replays")
    return entry


@app.command()
@by_person()
def skip(person: Person, job: Annotated[str, typer.Argument(help="The job's id.")]) -> None:
    """Lets the jobs behind this one go on (same order_key); the job itself does not change."""
    passed = lift.skip(job, person=person.name, why=person.why).jobs
    person.answer({"parts": passed}, "\n".join(f"no job waits for part {part} any more" for part in passed))


@app.command()
@by_person(asks=True, help="The reason, without the id; kept in the audit.")
def erase(
    person: Person,
    recipient: Annotated[str, typer.Option(help="The person: a userid, a customer, a mail address.")],
) -> bool:
    """Takes a person out of all tables for good: texts to it alone, its id elsewhere, its callbacks; counts stay."""
    found = find_person(recipient)
    followers = found.among["followers"]
    echo_error(f"jobs that name this person: {len(found.ids)}, follow-ups of these: {followers}")
    person.confirm("erase this person permanently?")
    progress = ProgressLine(len(found.ids) + followers)
    done = erase_person(found, person=person.name, why=person.why, progress=progress)
    words = ("jobs", "emptied", "callbacks", "chats", "unheard", "left")
    jobs, emptied, callbacks, chats, unheard, left = (done.counts[word] for word in words)
    lines = [
        (
            f"erased from {plural(jobs, 'job')} (audit {done.audit}); {emptied} of these had no other"
            " recipient, so the text was deleted too"
        ),
        f"{plural(callbacks, 'callback')} emptied, {plural(chats, 'chat')} removed",
    ]
    if unheard:
        lines.append(f"{plural(unheard, 'callback')} kept until hooks have handled them: run the command again later")
    if left:
        lines.append(
            f"{plural(left, 'job')} still open or in doubt: cancel or resolve, or wait, then run the command again"
        )
    person.answer(done, "\n".join(lines))
    return not left and not unheard


@app.command()
def audit(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """Lists what people did: who, what, why, and how much of it."""
    with outbox() as connection:
        found = audits.list_audit(connection, limit=limit)
    print_rows(found, _entry, "no command has changed anything", as_json=as_json)


def _entry(entry: audits.AuditEntry) -> str:
    end = "" if entry.ended_at else "  (still running, or was interrupted)"
    what = f"{term('action', entry.action)}{translate(f' by {entry.person}')}{translate(end)}"
    lines = [f"{entry.id}  {clock(entry.began_at)}  {what}"]
    lines += [f"  why: {entry.why}", f"  arguments: {_pairs('field', entry.asked)}"]
    lines += [f"  result: {_pairs('counted', entry.counts) or 'nothing'}"]
    return "\n".join(lines)


def _pairs(sort: Literal["field", "counted"], values: Mapping[str, Any]) -> str:
    """What was asked for or counted, with the console's words for it where that is Chinese; a filter by its fields."""
    given = dict(values.get("filter") or {}) | {name: value for name, value in values.items() if name != "filter"}
    return ", ".join(f"{_named(sort, name)} {_value(value)}" for name, value in given.items())


def _named(sort: str, name: str) -> str:
    if language() == "en":
        return name
    from worker.console.words import WORDS

    return WORDS.get(f"{sort}.{name}", (name,))[0]


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)
