"""`worker stats`: the counts of a mailing, as a table for people and as JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from worker.cli.options import OF_CALLS, Commands, Json, echo, echo_error, plain, with_filter
from worker.cli.reading import outbox, padded, pause_line
from worker.domain.job_filter import JobFilter
from worker.domain.mailing import StageCount
from worker.language import term, translate
from worker.reporting.mailing import MailingReport, mailing

app = Commands()


@app.command()
@with_filter(*OF_CALLS)
def stats(given: dict[str, Any], as_json: Json = False) -> None:
    """Counts the jobs, parts and recipients of a mailing: waiting, in flight, sent, refused, in doubt, recalled."""
    with outbox() as connection:
        found = mailing(connection, JobFilter(**given))
    if as_json:
        echo(json.dumps(plain(found), ensure_ascii=False))
    else:
        for line in _lines(found):
            echo(line)
    if found.leaves_fresh_out:
        echo_error("too many jobs are open or wait to be indexed, so not all of them were looked at")
    if found.is_cut_short:
        echo_error("there are too many jobs, so the oldest are not counted")


def _lines(found: MailingReport) -> Iterator[str]:
    for stage, count in found.stages.items():
        yield _line(term("mailing", stage.replace("_", " ")), count)
    yield _line(term("mailing", "total"), found.total)
    recalls = found.recalls
    if recalls.under_way or recalls.accepted or recalls.refused:
        yield f"recalls: {recalls.under_way} under way, {recalls.accepted} accepted, {recalls.refused} refused"
    yield from map(pause_line, found.pauses)


def _line(name: str, count: StageCount) -> str:
    return f"{padded(name, 10)}" + translate(
        f"{count.jobs:>9} jobs {count.parts:>9} parts {count.recipients:>9} recipients"
    )
