"""`worker mailing` counts a mailing and `worker failures` why it failed; for people, and as JSON for scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from worker.cli.options import Commands, Json, echo_error, print_value, with_filter
from worker.cli.reading import padded, pause_line, print_problems, unmatched_names
from worker.control.opening import open_database
from worker.domain.job_filter import CALL_TIMES, JobFilter
from worker.domain.mailing import StageCount
from worker.language import language, plural, term, translate
from worker.reporting.failure_reasons import FailureReport, failures_by_reason
from worker.reporting.mailing import MailingReport, mailing as mailing_report

app = Commands()


@app.command()
@with_filter(*CALL_TIMES)
def mailing(options: dict[str, Any], as_json: Json = False) -> bool:
    """Counts the jobs, parts and recipients of a mailing: waiting, in flight, sent, refused, in doubt, recalled."""
    job_filter = JobFilter(**options)
    with open_database() as database:
        with database.reading() as connection:
            report = mailing_report(connection, job_filter)
        problems = unmatched_names(database, job_filter, is_empty=not report.total.jobs)
    print_value(report, "\n".join(_lines(report)), as_json=as_json)
    _print_left_out(report)
    return print_problems(problems)


@app.command()
@with_filter(*CALL_TIMES)
def failures(options: dict[str, Any], as_json: Json = False) -> bool:
    """Counts why jobs did not reach recipients, by errcode or reason, each with its meaning and what to do."""
    job_filter = JobFilter(**options)
    with open_database() as database:
        with database.reading() as connection:
            report = failures_by_reason(connection, job_filter)
        problems = unmatched_names(database, job_filter, is_empty=not report.counts)
    print_value(report, "\n".join(_failure_lines(report)), as_json=as_json)
    _print_left_out(report)
    return print_problems(problems)


def _print_left_out(report: MailingReport | FailureReport) -> None:
    if report.leaves_fresh_out:
        echo_error("too many jobs are open or wait to be indexed, so not all of them were looked at")
    if report.is_cut_short:
        echo_error("there are too many jobs, so the oldest are not counted")


def _failure_lines(report: FailureReport) -> Iterator[str]:
    for count in report.counts:
        reason = count.reason
        people, jobs = translate(plural(count.recipients, "recipient")), translate(plural(count.jobs, "job"))
        what, *acts = reason.meaning(language()) or (translate(reason.reason) or str(reason.errcode),)
        yield f"{people}, {jobs}  {reason.account}: {what}"
        yield from (f"    {act}" for act in acts)
    if not report.counts:
        yield translate("nothing failed")


def _lines(report: MailingReport) -> Iterator[str]:
    for stage, count in report.stages.items():
        yield _line(term("mailing", stage.replace("_", " ")), count)
    yield _line(term("mailing", "total"), report.total)
    recalls = report.recalls
    if recalls.under_way or recalls.accepted or recalls.refused:
        yield f"recalls: {recalls.under_way} under way, {recalls.accepted} accepted, {recalls.refused} refused"
    yield from map(pause_line, report.pauses)


def _line(name: str, count: StageCount) -> str:
    """Returns a stage's counts below those of the other stages: the numbers end, and the nouns begin, in one column."""
    cells = ((count.jobs, "job"), (count.parts, "part"), (count.recipients, "recipient"))
    texts = [" " * (9 - len(str(n))) + padded(translate(plural(n, noun)), len(f"{n} {noun}s")) for n, noun in cells]
    return f"{padded(name, 10)}{' '.join(texts)}".rstrip()
