"""`worker send`, `upload` and `update-card`: enqueue jobs from a shell. `worker audit` lists each of them."""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from worker.accounts.sources import accounts_of
from worker.channels.registry import channel
from worker.cli.options import Commands, Person, by_person, echo_error
from worker.cli.reading import outbox
from worker.cli.times import AHEAD
from worker.config.settings import load_settings
from worker.control.audit import audited
from worker.control.opening import open_database
from worker.domain.content.message import File
from worker.domain.errors import StillOpen, WorkerError
from worker.domain.state import JobState
from worker.language import translate
from worker.outbox.lanes.processes import alive_processes
from worker.producer.enqueue import enqueue, upload as enqueue_upload
from worker.producer.follow_ups import recall_message, update_card as update_card_of, update_card_by_code
from worker.producer.insert import JobRef
from worker.reporting.report import get_job, wait_until_ended

app = Commands()

_ACCOUNT = Annotated[str, typer.Argument(help="The account's name.")]
_BODY = Annotated[str | None, typer.Argument(metavar="[JSON]", help="As the vendor's page shows it; - or none: stdin.")]
_TO = Annotated[
    list[str] | None,
    typer.Option(
        help=(
            "A recipient, or several as a|b or a,b; repeat the option for more. By default those in the JSON, or a"
            " robot's own chat."
        )
    ),
]
_RAW = Annotated[bool, typer.Option("--raw", help="Sends JSON of a message type that this release does not know.")]


@app.command()
@by_person()
def send(
    person: Person,
    account: _ACCOUNT,
    body: _BODY = None,
    text: Annotated[str | None, typer.Option(help="A plain text, instead of JSON.")] = None,
    to: _TO = None,
    raw: _RAW = False,
    priority: Annotated[str | None, typer.Option(help="urgent, normal, bulk")] = None,
    due_at: Annotated[datetime | None, typer.Option(help="Not before then.", **AHEAD)] = None,
    expires_at: Annotated[datetime | None, typer.Option(help="Not from then on.", **AHEAD)] = None,
    dedupe_key: Annotated[
        str | None, typer.Option(help=("A second job with the same key is not enqueued: the first one stands for it."))
    ] = None,
    order_key: Annotated[str | None, typer.Option(help="Jobs with the same key are sent one after the other.")] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help=("A tag of your own; repeat the option for several."))
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help=("The team that the job belongs to; a tenant has lanes of its own."))
    ] = None,
    on_unknown: Annotated[
        str | None, typer.Option(help=("What to do when the result is unknown and a repeat is not safe: hold, resend"))
    ] = None,
    quiet_hours: Annotated[
        str | None, typer.Option(help='When to wait, as "22:00-07:00 Asia/Shanghai", or none.')
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Waits for the end and shows it, as `worker show` does.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long --wait waits.")] = 30.0,
) -> bool | None:
    """Enqueues one message, from options, JSON or stdin; prints the job's id, or with --wait what became of it."""
    if text is not None and body is not None:
        raise typer.BadParameter(translate("give either --text or JSON, not both"))
    options: dict[str, Any] = {"priority": priority, "due_at": due_at, "expires_at": expires_at, "tags": tags}
    options |= {"dedupe_key": dedupe_key, "order_key": order_key, "tenant": tenant}
    options |= {"on_unknown": on_unknown, "quiet_hours": quiet_hours}
    vendor = _channel_of(account)
    if text is None:
        message, recipients = _read(vendor, json_object(body), to, raw=raw)
    else:
        message, recipients = _plain(vendor, text, to)
    set_options = {name: value for name, value in options.items() if value not in (None, [])}
    insert = partial(enqueue, account=account, message=message, to=recipients, **set_options)
    job = _enqueue_audited(person, "send", {"account": account}, insert)
    if wait:
        return _wait_and_show(job, timeout, as_json=person.as_json)
    person.answer({"job": job}, job)
    return None


@app.command()
@by_person()
def upload(
    person: Person,
    account: _ACCOUNT,
    path: Annotated[str, typer.Argument(help="The file.")],
    upload_type: Annotated[str, typer.Option("--type", help="image, voice, video, file")] = "file",
) -> None:
    """Enqueues the upload of a file, whose media_id is the job's receipt; prints the job's id."""
    insert = partial(enqueue_upload, account=account, file=File.at(path), upload_type=upload_type)
    job = _enqueue_audited(person, "upload", {"account": account}, insert)
    person.answer({"job": job}, job)


@app.command("update-card")
@by_person()
def update_card(
    person: Person,
    job: Annotated[str | None, typer.Argument(help="The job that sent the card; not with --account.")] = None,
    body: _BODY = None,
    to: _TO = None,
    account: Annotated[
        str | None, typer.Option(help="The account of a card that the JSON names by its response_code.")
    ] = None,
) -> None:
    """Enqueues the update of a job's card, such as '{"button": {"replace_name": "done"}}'; prints the new job's id."""
    arguments: dict[str, Any]
    if account is not None and body is not None:
        raise typer.BadParameter(translate("give either --account or a job, not both"))
    if account is not None:
        document, reader = json_object(job), _channel_of(account).reader()
        arguments = {"account": account}
        insert = partial(update_card_by_code, account=account, response_code=None)
    elif job is not None:
        document = json_object(body)
        with outbox() as connection:
            reader = channel(get_job(connection, job).channel).reader()
        arguments = {"ids": [job]}
        insert = partial(update_card_of, job_id=job)
    else:
        raise typer.BadParameter(translate("name the job that sent the card, or --account"))
    with warnings_as_sentences():
        update = reader.message_from_json(document)
        recipients = split_ids(to) or reader.recipients_from_json(document) or None
    job_id = _enqueue_audited(person, "update_card", arguments, partial(insert, update=update, to=recipients))
    person.answer({"job": job_id}, job_id)


def recall_foreign(person: Person, account: str, msgid: str) -> None:
    """Enqueues the recall of a message that another program sent, and prints the job's id."""
    job = _enqueue_audited(
        person, "recall", {"account": account}, partial(recall_message, account=account, msgid=msgid)
    )
    person.answer({"job": job}, job)


def _read(vendor: Any, document: Mapping[str, Any], to: Sequence[str] | None, *, raw: bool) -> tuple[Any, Any]:
    """Returns the message of the vendor's JSON, and its recipients unless others are named."""
    with warnings_as_sentences():
        message = vendor.reader().message_from_json(document, raw=raw)
        return message, vendor.named(*split_ids(to)) if to else vendor.reader().recipients_from_json(document)


def _plain(vendor: Any, text: str, to: Sequence[str] | None) -> tuple[Any, Any]:
    """Returns the message of `--text`, and its recipients."""
    if "\\n" in text and "\n" not in text:
        raise typer.BadParameter(translate(TYPED_LINE_END))
    return vendor.plain_text(text), vendor.named(*split_ids(to))


TYPED_LINE_END = (
    "--text holds \\n as it was typed, and people would see these two characters; type a line end between the quotes,"
    " or $'...\\n...' in bash; where \\n is meant, give the message as JSON"
)


def split_ids(to: Sequence[str] | None) -> list[str]:
    """Returns the recipients of `--to`, which people write one by one, as a|b or as a,b."""
    return [one for entry in to or () for one in re.split(r"[|,，]", entry) if one.strip()]


@contextmanager
def warnings_as_sentences() -> Iterator[None]:
    """Prints each warning of the readers of the vendor's JSON as a sentence, after the block."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield
    for one in warned:
        echo_error(str(one.message))


def _enqueue_audited(person: Person, action: str, arguments: Mapping[str, Any], insert: Callable[..., JobRef]) -> str:
    """Enqueues a job and writes to the audit who did it. Returns the job's id."""
    settings = load_settings()
    accounts = accounts_of(settings)

    def work(connection: Connection) -> JobRef:
        return insert(connection, accounts=accounts)

    with audited(action, person=person.name, why=person.why, arguments=arguments, settings=settings) as command:
        job = command.database.run(work)
        command.counts["jobs"] = int(job.created)
    for warning in job.warnings:
        echo_error(warning)
    return job.id


def _channel_of(account: str) -> Any:
    return channel(accounts_of(load_settings()).get(account).channel)


def _wait_and_show(job: str, timeout_s: float, *, as_json: bool) -> bool:
    """Waits for the job's end, at most `timeout_s`, and prints its report; returns whether it is accepted then."""
    try:
        with open_database() as database:
            with database.reading() as connection:
                if not alive_processes(connection, database.now):
                    echo_error("no worker is alive, so the job waits; start `worker up` or the Procfile's lines")
            state = wait_until_ended(database, job, timeout_s).state
    except StillOpen:
        state = JobState.OPEN
    except KeyboardInterrupt:
        echo_error(f"the job goes on by itself; `worker cancel {job}` stops it")
        raise
    from worker.cli.showing import show

    show(job, as_json=as_json)
    if state is JobState.OPEN:
        echo_error(
            f"the job is still open after {timeout_s:g} s and goes on by itself; `worker why {job}`"
            " says what it waits for"
        )
    return state is JobState.ACCEPTED


def json_object(body: str | None) -> dict[str, Any]:
    """Parses the JSON object in an argument; from stdin if that is `-`, or missing and stdin is not a terminal."""
    text = body or ""
    if body == "-" or (body is None and not sys.stdin.isatty()):
        try:
            text = sys.stdin.read()
        except UnicodeDecodeError as error:
            encoding = error.encoding.upper()
            problem = f"the message on stdin cannot be read as {encoding} text; save it in this encoding"
            raise WorkerError(problem) from None
    if not text.strip():
        raise WorkerError("there is no message; give the vendor's JSON as an argument, - for stdin, or --text")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WorkerError(f"the message is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise WorkerError("the message is not a JSON object; write it as the vendor's page shows it")
    return document
