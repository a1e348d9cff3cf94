"""`worker recall` and `replay`, `skip` and `erase`, with what they have on the command line alone; and `audit`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import typer

from worker.cli.command import Given, made_of, preview, typed_warnings
from worker.cli.options import Commands, Json, echo_error
from worker.cli.reading import ProgressLine, outbox, print_problems, print_rows
from worker.cli.times import clock
from worker.control import audit as audits
from worker.control.erase import COMMAND as ERASE
from worker.control.lift import SKIP
from worker.control.recall import COMMAND as RECALL
from worker.control.replay import COMMAND as REPLAY, ReplayableJobs, find_replayable
from worker.domain.errors import WorkerError
from worker.domain.job import JobKind
from worker.domain.job_filter import JobFilter
from worker.language import language, plural, term, translate
from worker.producer.chain import ReplayScope

app = Commands()


@app.command()
@made_of(RECALL)
def recall(
    given: Given,
    foreign: Annotated[
        str | None, typer.Option(metavar="MSGID", help="A message that another program sent; with --account alone.")
    ] = None,
) -> bool | None:
    """Recalls jobs, or a message of another program."""
    if foreign is None:
        return given.carry_out()
    if given.target.keys() != {"account"}:
        raise typer.BadParameter(translate("--foreign needs --account and no other filter"))
    from worker.cli.sending import recall_foreign

    recall_foreign(given.person, given.target["account"], foreign)
    return None


@app.command()
@made_of(REPLAY)
def replay(
    given: Given,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    continued: Annotated[
        str | None, typer.Option("--continue", metavar="AUDIT", help="Goes on with a run that was cut short.")
    ] = None,
) -> bool:
    """Replays jobs, counts what a replay would send, or goes on with one that was cut short."""
    more: dict[str, Any] = {}
    if continued is None:
        selection = given.find()
    elif given.target or any(given.options[name] for name in ReplayScope._fields):
        raise typer.BadParameter(translate("--continue uses the filter of its run: give no other"))
    else:
        selection, more = _interrupted_run(continued, given.options)
        audits.require_person(given.person.name, given.person.why)
    for withdrawal in selection.omitted:
        echo_error(
            f"{plural(withdrawal.jobs, 'job')} left out: {withdrawal.how} {clock(withdrawal.at)} by {withdrawal.by()};"
            " --cancelled includes them"
        )
        if withdrawal.why:
            echo_error(f"  why: {withdrawal.why}")
    if not selection.ids and selection.since is not None:
        given.person.answer(_dry_run_report(selection), "nothing of this run is left to do")
        return True
    if selection.ids and dry_run:
        for line in typed_warnings(selection):
            echo_error(line)
        given.person.answer(_dry_run_report(selection), "\n".join(preview(selection)))
        return True

    def print_go_on(audit: str) -> None:
        if len(selection.ids) > 1:
            echo_error(f"if it is interrupted, go on with: worker replay --continue {audit}")

    return given.carry_out(selection, on_begin=print_go_on, **more)


def _interrupted_run(audit: str, options: Mapping[str, Any]) -> tuple[ReplayableJobs, dict[str, Any]]:
    """Returns the remaining jobs of the interrupted run with this audit id, and its priority and rate."""
    entry = _replay_entry(audit)
    arguments, since = entry.arguments, entry.began_at
    # A run that continues another has the begin of the first one.
    since = since if arguments["since"] is None else datetime.fromisoformat(arguments["since"])
    job_filter = JobFilter.from_conditions(arguments["filter"])
    accepted, unknown, cancelled = (bool(arguments.get(name)) for name in ReplayScope._fields)
    selection = find_replayable(job_filter, accepted=accepted, unknown=unknown, cancelled=cancelled, since=since)
    # What is typed anew holds for the rest.
    more = {name: options[name] if options[name] is not None else arguments.get(name) for name in ("priority", "rate")}
    return selection, more


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
@made_of(SKIP)
def skip(given: Given) -> None:
    """Lets the jobs behind one go on, and prints which parts they waited for."""
    result = SKIP.run(given.target["job"], person=given.person.name, why=given.person.why)
    given.person.answer({"parts": result.jobs}, "\n".join(SKIP.lines(result, {})))


@app.command()
@made_of(ERASE)
def erase(given: Given) -> bool:
    """Erases a person, and says whether anything is left of them."""
    person, selection = given.person, given.find()
    followers = selection.breakdown["followers"]
    echo_error(f"jobs that name this person: {len(selection.ids)}, follow-ups of these: {followers}")
    person.confirm(ERASE.question)
    progress = ProgressLine(len(selection.ids) + followers)
    result = ERASE.run(selection, person=person.name, why=person.why, progress=progress)
    person.answer(result, "\n".join(ERASE.lines(result, {})))
    unhandled, unchanged = result.counts["unhandled"], result.counts["unchanged"]
    is_named = followers or unhandled or any(result.counts[name] for name in ERASE.done)
    problems = [] if is_named else [f"nothing that is stored names {given.target['recipient']}"]
    return print_problems(problems) and not (unhandled or unchanged)


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
    state = "interrupted" if entry.is_interrupted else "running"
    end = "" if entry.ended_at else f"  ({term('audit', state)})"
    headline = f"{term('action', entry.action)}{translate(f' by {entry.person}')}{end}"
    lines = [f"{entry.id}  {clock(entry.began_at)}  {headline}"]
    lines += [f"  why: {entry.why}", f"  arguments: {_pairs('field', entry.arguments)}"]
    lines += [f"  result: {_pairs('counted', entry.counts) or 'nothing'}"]
    for follow_up in entry.follow_ups:
        done, total, under_way, failed = follow_up.done, follow_up.total, follow_up.under_way, follow_up.failed
        lines += [
            f"  recalled {done} of {total}; under way {under_way}, failed {failed}"
            if follow_up.kind == JobKind.RECALL
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
