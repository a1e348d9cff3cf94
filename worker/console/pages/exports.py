"""A file of the jobs of a search with their recipients: CSV for people, JSON for programs; made while it is sent."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from itertools import chain
from typing import Any

from worker.console.page import ConsoleRequest, NotFound, StoredFile, View
from worker.console.pages import redaction
from worker.console.pages.jobs import NAME_FIELDS, JobSearch, job_texts, meaning, search_of
from worker.console.rendering import word
from worker.console.viewer import may_read_names
from worker.drawing import Lang
from worker.drawing.files import plain_name
from worker.outbox.engine.bulk import batched_by_size
from worker.reporting.job_list import ListedJob, find_jobs, with_contents
from worker.reporting.mailing import MAX_JOBS
from worker.reporting.recipient_status import recipients_of_jobs
from worker.reporting.report import JobSummary

Row = dict[str, Any]
PAGE, LOT, PIECE = 5_000, 500, 64 * 1024
"""Jobs that are found together, recipients or jobs that are read together, and characters that are sent together."""
MAX_TEXT = 32_000
"""Most characters of a text; a cell of Excel holds 32,767."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a cell begins with that a spreadsheet may carry out (OWASP, CSV Injection)."""
COLUMNS = (
    *("job", "account", "kind", "type", "state", "recipient", "recipients", "status", "errcode", "meaning", "tags"),
    *("dedupe_key", "replay_of", "created_at", "due_at", "finished_at"),
)
GROUPS = {"kind": "kind", "type": "msgtype", "state": "state", "status": "status"}
"""The columns whose values a CSV has in words, each with the group of these."""


@dataclass(slots=True)
class Table:
    """Writes the lines of a file: of CSV in the words of a language, of JSON in those of the outbox."""

    is_csv: bool
    lang: Lang
    between: str = "\n"

    def head(self, columns: Iterable[str]) -> str:
        """Returns the beginning. Without a byte order mark Excel reads a CSV in the code page of its machine."""
        return f"\ufeff{_csv(word(self.lang, 'field', name) for name in columns)}" if self.is_csv else '{"rows": ['

    def line(self, row: Row) -> str:
        """Returns a row."""
        if self.is_csv:
            words = {name: word(self.lang, group, row[name]) for name, group in GROUPS.items() if row[name]}
            return _csv((row | words).values())
        between, self.between = self.between, ",\n"
        return f"{between}{json.dumps(row, ensure_ascii=False)}"

    def end(self, note: str) -> str:
        """Returns the end. `note` says what is missing, and is empty for a whole file."""
        if self.is_csv:
            return _csv([note]) if note else ""
        return f'\n], "is_whole": {json.dumps(not note)}, "note": {json.dumps(note or None, ensure_ascii=False)}}}\n'


def _csv(cells: Iterable[Any]) -> str:
    """Returns a line of RFC 4180, without a cell that a spreadsheet takes for a formula."""
    line, texts = StringIO(), (", ".join(one) if isinstance(one, tuple) else one for one in cells)
    csv.writer(line).writerow(f"'{one}" if isinstance(one, str) and one.startswith(FORMULA) else one for one in texts)
    return line.getvalue()


def export(request: ConsoleRequest) -> StoredFile | View:
    """Sends a row for each job and recipient of a search. The audit records each file, and whose texts are in it."""
    search, form = search_of(request, request.query), request.path["form"]
    if form not in ("csv", "json"):
        raise NotFound
    if search.problems:
        return View.of("problems.html", request.term("preview.refused"), problems=search.problems)
    table = Table(form == "csv", request.viewer.lang)
    name = plain_name(f"{search.typed.get('tag', 'jobs').replace('/', '_')}.{form}")
    pieces = (text.encode(errors="replace") for text in _texts(request, search, table))
    # A tag is in the file's name; a recipient or a key that was searched for is in no audit.
    with request.viewing(of=name, filter={key: text for key, text in search.typed.items() if key not in NAME_FIELDS}):
        first = next(pieces)
    return StoredFile(name, None, None, chain([first], pieces), table.end(request.term("export.broken")).encode())


def _texts(request: ConsoleRequest, search: JobSearch, table: Table) -> Iterator[str]:
    """Yields the file, one piece or more for each page of jobs. No connection is open between two pieces."""
    with_texts = request.query.get("texts") == "yes"
    text, left, cursor, note = table.head([*COLUMNS, "message"] if with_texts else COLUMNS), MAX_JOBS, None, ""
    while True:
        with request.reading() as connection:
            page = find_jobs(
                connection, search.job_filter, state=search.state, page_after=cursor, limit=min(PAGE, left)
            )
        for lot in batched_by_size(page.jobs, lambda job: max(1, job.asked), LOT):
            for row in _rows(request, lot, with_texts=with_texts):
                text += table.line(row)
                if len(text) > PIECE:
                    yield text
                    text = ""
        left, cursor = left - len(page.jobs), page.page_after
        note = request.term("jobs.fresh_out") if page.leaves_fresh_out else note
        if cursor is None or not left:
            break
        yield text
        text = ""
    yield text + table.end(note if cursor is None else request.term("export.older", count=f"{MAX_JOBS:,}"))


def _rows(request: ConsoleRequest, lot: Sequence[JobSummary], *, with_texts: bool) -> Iterator[Row]:
    """Yields the rows of some jobs. Where the viewer may not read names, a row counts the recipients of a status."""
    with request.reading() as connection:
        jobs, recipients = with_contents(connection, lot), recipients_of_jobs(connection, [job.id for job in lot])
    texts = job_texts(request, lot, MAX_TEXT) if with_texts else {}
    for job in jobs:
        row, may = _columns(request, job), may_read_names(request.viewer, job.account)
        counts = Counter((one if may else None, result) for one, result in recipients.get(job.id, ()))
        for (name, (status, code)), count in (counts or {(None, (None, job.errcode)): 0}).items():
            row |= {"recipient": name, "recipients": count, "status": status, "errcode": code}
            row["meaning"] = meaning(request, replace(job, errcode=code)).partition("  ")[2] or None
            yield {**row, "message": texts.get(job.id)} if with_texts else row


def _columns(request: ConsoleRequest, job: ListedJob) -> Row:
    """Returns the columns of a job that the viewer may read, in their order; those of its recipients come later."""
    visible, zone = redaction.redact(request.viewer, job.account, job), request.site.settings.zone
    columns = {name: getattr(visible, name, None) for name in COLUMNS} | {"job": job.id, "state": job.label}
    instants = {name: at for name, at in columns.items() if name.endswith("_at") and at is not None}
    return columns | {name: at.astimezone(zone).isoformat(timespec="seconds") for name, at in instants.items()}
