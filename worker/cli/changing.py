"""`worker correct` and `reschedule`: replace a wrong message, and change the times of waiting jobs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import typer

from worker.cli.control import carry_out
from worker.cli.options import CALL_TIMES, Commands, Person, by_person, with_filter
from worker.cli.sending import json_object, warnings_as_sentences
from worker.cli.times import AHEAD
from worker.control import audit as audits
from worker.control.audit import CommandResult
from worker.control.correct import RATE, correct_jobs, find_correctable
from worker.control.reschedule import find_waiting, require_change, reschedule as change
from worker.domain.job_filter import JobFilter
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
    rate: Annotated[float, typer.Option(min=0.01, help="So many of the new messages become due in a second.")] = RATE,
) -> bool:
    """Cancels and recalls a wrong message, and sends another to those who got it or would have got it."""
    if (text is None) == (message is None):
        raise typer.BadParameter(translate("give the new message with either --text or --message"))
    audits.require_person(person.name, person.why)
    with warnings_as_sentences():
        selection = find_correctable(JobFilter(**options), json_object(message) if text is None else text)
    question = f"cancel and recall these {len(selection.ids)} jobs, and send the new message in their place?"
    nothing = (
        "none of these jobs has a message to correct: it reached no recipient and will reach none,"
        " or is corrected already"
    )
    result = carry_out(person, selection, partial(correct_jobs, rate=rate), question, nothing)
    person.answer(result, "\n".join(_correction_lines(result, rate)))
    return bool(result.jobs)


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
