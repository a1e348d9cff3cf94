"""`worker correct` and `reschedule`: replace a wrong message, and change the times of waiting jobs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.cli.control import carry_out
from worker.cli.options import CALL_TIMES, Commands, Person, by_person, with_filter
from worker.cli.sending import json_object, warnings_as_sentences
from worker.cli.times import AHEAD
from worker.control import audit as audits
from worker.control.audit import CommandResult
from worker.control.cancel import JOB_ID
from worker.control.correct import RATE, CorrectableJobs, correct_jobs, find_correctable
from worker.control.reschedule import find_waiting, require_change, reschedule as change
from worker.domain.errors import WorkerError
from worker.domain.job import id_of
from worker.domain.job_filter import MAX_IDS, JobFilter
from worker.language import plural, translate

app = Commands()


@app.command()
@with_filter(*CALL_TIMES)
@by_person(confirms=True)
def correct(
    person: Person,
    options: dict[str, Any],
    text: Annotated[str | None, typer.Option(help="The right text.")] = None,
    message: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="Another message than a text, as the vendor's page shows it; - is stdin."),
    ] = None,
    replace: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD=NEW", help="Only this text of each message is replaced; may be given again."),
    ] = None,
    messages: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A line a job: its id, a space, the text or JSON; - is stdin."),
    ] = None,
    one_for_all: Annotated[
        bool, typer.Option("--one-for-all", help="One message takes the place of different ones.")
    ] = False,
    rate: Annotated[float, typer.Option(min=0.01, help="So many of the new messages become due in a second.")] = RATE,
) -> bool:
    """Cancels and recalls a wrong message, and sends another to those who got it or would have got it."""
    if [text, message, replace or None, messages].count(None) != 3:
        raise typer.BadParameter(
            translate("give the new message with one of --text, --message, --replace and --messages")
        )
    audits.require_person(person.name, person.why)
    new: dict[str, Any] = {"message": text, "one_for_all": one_for_all}
    if message is not None:
        new["message"] = json_object(message)
    elif replace:
        new["replace"] = dict(map(_replacement, replace))
    elif messages is not None:
        new["messages"] = _message_lines(messages)
        options = options or _ids_of(new["messages"])
    with warnings_as_sentences():
        selection = find_correctable(JobFilter(**options), **new)
    question = f"cancel and recall these {len(selection.ids)} jobs, and send the new message in their place?"
    nothing = (
        "none of these jobs has a message to correct: it reached no recipient and will reach none,"
        " or is corrected already, or the new message does not change it"
    )
    run, notes = partial(correct_jobs, rate=rate), [*_sample_lines(selection), _due_line(len(selection.ids), rate)]
    result = carry_out(person, selection, run, question, nothing, notes=notes)
    person.answer(result, "\n".join(_correction_lines(result, rate)))
    return bool(result.jobs)


def _replacement(pair: str) -> tuple[str, str]:
    old, equals, new = pair.partition("=")
    if not (old and equals):
        raise typer.BadParameter(translate("--replace needs OLD=NEW, with the first = between them"))
    return old, new


def _message_lines(file: str) -> dict[str, Any]:
    """Reads a message for each job's id from the lines of a file, or of stdin for `-`."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise WorkerError(f"the messages cannot be read from {file} ({reason})") from None
    messages: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        id, _, content = line.strip().partition(" ")
        if not id:
            continue
        if not JOB_ID.fullmatch(id := id_of(id)) or id in messages or not content.strip():
            raise WorkerError(
                f"line {number} of the messages is none: a line has the whole id of a job, each once, a space, and"
                " the text or the JSON of its message"
            )
        messages[id] = _content(content.strip(), number)
    return messages


def _content(text: str, number: int) -> Any:
    if not text.startswith(("{", '"')):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WorkerError(f"line {number} of the messages is not valid JSON: {error}") from None


def _ids_of(messages: Mapping[str, Any]) -> dict[str, Any]:
    if len(messages) > MAX_IDS:
        raise WorkerError("give the filter of the mailing too, such as --tag and --created-from: there are many lines")
    return {"ids": [*messages]}


def _sample_lines(selection: CorrectableJobs) -> Iterator[str]:
    """Yields old and new texts, as JSON: a line each, whatever is in them."""
    for sample in selection.samples:
        yield f"  {sample.job}"
        yield f"    - {json.dumps(sample.old, ensure_ascii=False)}"
        yield f"    + {json.dumps(sample.new, ensure_ascii=False)}"


def _due_line(count: int, rate: float) -> str:
    duration = timedelta(seconds=round(count / rate))
    return f"the new messages become due at {rate:g} a second, the last of them after {duration}"


def _correction_lines(result: CommandResult, rate: float) -> Iterator[str]:
    count = result.counts
    yield (f"{plural(count['corrections'], 'correction')} enqueued, {count['refused']} refused (audit {result.audit})")
    yield f"old jobs cancelled: {count['cancelled']}, recalls enqueued: {count['recalls']}"
    if not_recallable := count["not_recallable"]:
        yield f"{plural(not_recallable, 'job')} cannot be recalled: the channel has no recall"
    yield f"the new messages become due at {rate:g} a second; follow them with `worker jobs` and `worker show`"


@app.command()
@with_filter()
@by_person(confirms=True)
def reschedule(
    person: Person,
    options: dict[str, Any],
    due_at: Annotated[datetime | None, typer.Option(help="Not before then.", **AHEAD)] = None,
    expires_at: Annotated[datetime | None, typer.Option(help="Not from then on.", **AHEAD)] = None,
    priority: Annotated[str | None, typer.Option(help="urgent, normal, bulk")] = None,
) -> bool:
    """Gives jobs that wait another due time, expiry or priority; says how many, and asks."""
    new: dict[str, Any] = {"due_at": due_at, "expires_at": expires_at, "priority": priority}
    require_change(**new)
    audits.require_person(person.name, person.why)
    selection = find_waiting(JobFilter(**options))
    question = f"change these {len(selection.ids)} jobs?"
    result = carry_out(person, selection, partial(change, **new), question, "none of these jobs waits to be sent")
    count = result.counts
    lines = [f"changed {plural(count['jobs'], 'job')} (audit {result.audit}); parts that wait: {count['parts']}"]
    if expiring := count["expiring"]:
        lines.append(f"{expiring} not changed: they would expire before they are due; give --expires-at too")
    person.answer(result, "\n".join(lines))
    return result.counts["jobs"] > 0
