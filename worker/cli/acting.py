"""`worker send`, `upload`, `update-card`, `recall --foreign`. Each leaves an audit row."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection

from worker.accounts.sources import accounts_of
from worker.channels.registry import channel
from worker.cli.options import note
from worker.cli.reading import outbox, show
from worker.config.settings import load_settings
from worker.control.audit import audited_command
from worker.control.opening import opened
from worker.domain.content.message import File
from worker.domain.errors import StillOpen, WorkerError
from worker.domain.state import JobState
from worker.outbox.lanes.processes import alive
from worker.producer.enqueue import enqueue, upload
from worker.producer.insert import JobRef
from worker.producer.recall import recall_message
from worker.producer.update_card import update_card, update_card_by_code
from worker.reporting.report import get_job, wait_for


def _enqueued(
    action: str, about: Mapping[str, Any], insert: Callable[[Connection], JobRef], person: str, why: str
) -> str:
    """Enqueues a job and the audit row that says who did it; returns the job's id."""
    with audited_command(load_settings(), action, person=person, why=why, asked=about) as running:
        made = running.database.run(insert)
        running.counts["jobs"] = 1
    return made.id


def send(
    name: str,
    body: str | None,
    text: str | None,
    to: Sequence[str],
    options: Mapping[str, Any],
    *,
    why: str,
    person: str,
) -> str:
    """Enqueues a message: a body as the vendor's pages show it (`-`: from stdin), or a text; the job's id."""
    accounts = accounts_of(load_settings())
    own = channel(accounts.get(name).channel)
    if text is None:
        message, recipients = own.parsed(_document(body))
    else:
        message, recipients = own.plain_text(text), own.named(*to)
    if to:
        recipients = own.named(*to)
    insert = partial(enqueue, account=name, message=message, to=recipients, accounts=accounts, **options)
    return _enqueued("send", {"account": name}, insert, person, why)


def show_end(job: str, timeout_s: float, *, as_json: bool) -> int:
    """Waits for the job's end, at most so many seconds, and shows it; 0 if it is accepted then, otherwise 1."""
    state = None
    with opened() as database, contextlib.suppress(StillOpen):
        with database.reading() as connection:
            if not alive(connection, database.now):
                note("no worker is alive, so the job waits; start `worker up` or the Procfile's lines")
        state = wait_for(database, job, timeout_s).state
    show(job, as_json=as_json)
    if state is None:
        note(f"it is open after {timeout_s:g} s, and goes on by itself; `worker why {job}` says what it waits for")
    return int(state is not JobState.ACCEPTED)


def upload_file(name: str, path: str, upload_type: str, *, why: str, person: str) -> str:
    """Enqueues the upload of a file, whose media_id is the job's receipt; the job's id."""
    accounts, file = accounts_of(load_settings()), File.at(path)
    insert = partial(upload, account=name, file=file, upload_type=upload_type, accounts=accounts)
    return _enqueued("upload", {"account": name}, insert, person, why)


def update_card_of(job: str, body: str | None, to: Sequence[str], *, why: str, person: str) -> str:
    """Enqueues the update of a job's card, out of a body as the vendor's page shows it; the new job's id."""
    accounts, document = accounts_of(load_settings()), _document(body)
    with outbox() as connection:
        update, named = channel(get_job(connection, job).channel).parsed(document)
    insert = partial(update_card, job_id=job, update=update, to=list(to) or named or None, accounts=accounts)
    return _enqueued("update_card", {"ids": [job]}, insert, person, why)


def update_card_by_code_of(name: str, body: str | None, to: Sequence[str], *, why: str, person: str) -> str:
    """Enqueues the update of a card that another program sent, out of a whole body; the job's id."""
    accounts = accounts_of(load_settings())
    update, named = channel(accounts.get(name).channel).parsed(_document(body))
    to = list(to) or named or None
    insert = partial(update_card_by_code, account=name, response_code=None, update=update, to=to, accounts=accounts)
    return _enqueued("update_card", {"account": name}, insert, person, why)


def recall_of_others(name: str, msgid: str, *, why: str, person: str) -> str:
    """Enqueues the recall of a message that another program sent; the job's id."""
    insert = partial(recall_message, account=name, msgid=msgid, accounts=accounts_of(load_settings()))
    return _enqueued("recall", {"account": name}, insert, person, why)


def _document(body: str | None) -> dict[str, Any]:
    text = body or ""
    if body == "-" or (body is None and not sys.stdin.isatty()):
        text = sys.stdin.read()
    if not text.strip():
        raise WorkerError("say what: the vendor's JSON as an argument, - for stdin, or --text")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise WorkerError(f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise WorkerError("the body is no JSON object; write it as the vendor's page shows it")
    return found
