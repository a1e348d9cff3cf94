"""One job: what it waits for, what happened, and what one can do; its parts page by page; its message apart.

The message and the recipients are shown only when they are asked for, because each look at them is in the audit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

from markupsafe import Markup
from sqlalchemy import Connection

from worker.channels.registry import channel, why_unusable
from worker.console.commands.orders import possible
from worker.console.page import Ask, NotFound, View
from worker.console.pages import seen
from worker.console.pages.showing import show
from worker.console.viewer import may_read_texts
from worker.domain.errors import JobNotFound
from worker.domain.job import Kind
from worker.drawing import Channel, Shown, draw
from worker.outbox.control.cancels import counted_jobs
from worker.reporting.campaign import LISTS, campaign
from worker.reporting.find_job import row_of
from worker.reporting.recipient_status import RecipientStatus, recipients
from worker.reporting.report import Failure, JobReport, failures
from worker.reporting.why import Why, why

PARTS = 50
"""Parts on a page."""
WAITS = 10
"""Parts whose waits are told, as on the command line."""
RECIPIENTS = 500
EVENTS = 300
"""Events of a job that are told of, the newest."""


def job(ask: Ask) -> View:
    """The job's page."""
    first = _number(ask.query.get("first"))
    told, parts = _why(ask, range(first, first + PARTS))
    site, account = ask.site, told.job.account
    may = ask.may_act(account)
    shown = list(dict.fromkeys(wait.part for wait in told.waits))[:WAITS]
    unusable = why_unusable(site.accounts, account)
    reads = may_read_texts(ask.viewer, account)
    return show(
        ask,
        "job.html",
        f"{ask.say('job.title')} {told.job.id}",
        told=told,
        job=told.job,
        waits=[wait for wait in told.waits if wait.part in shown],
        more_waits=len({wait.part for wait in told.waits}) - len(shown),
        commands=list(dict.fromkeys(command for wait in told.waits for command in wait.commands)),
        possible=possible(site, told.job.id, told.job.state) if may else (),
        meanings=_meanings(ask, told),
        first=first,
        parts=parts,
        on_a_page=PARTS,
        events=told.timeline[-EVENTS:],
        more_events=max(0, len(told.timeline) - EVENTS),
        reads=reads,
        unusable=unusable if reads else (unusable and ""),
        staging=_staging(ask, account) if unusable is None else "",
        campaign=_campaign(ask, told.job),
    )


def part(ask: Ask) -> View:
    """One vendor call of a job with every attempt at it, its receipts, and the recipients that it was refused for."""
    n = _number(ask.path["n"])
    told, _ = _why(ask, range(n, n + 1))
    if not told.job.parts:
        raise NotFound
    id, account = told.job.parts[0].id, told.job.account
    refused = list[Failure]()
    if may_read_texts(ask.viewer, account):
        with ask.reading() as connection:
            refused = _failures(connection, told.job.id, id)
    return show(
        ask,
        "part.html",
        f"{ask.say('job.part')} {id}",
        job=told.job,
        part=told.job.parts[0],
        waits=told.waits,
        timeline=[event for event in told.timeline if event.part == id],
        receipts=told.job.receipts,
        refused=refused,
        most=RECIPIENTS,
        meanings=_meanings(ask, told),
        reads=may_read_texts(ask.viewer, account),
    )


@dataclass(frozen=True, slots=True)
class JobText:
    """A job's message and its recipients."""

    drawn: Markup | None
    raw: str
    files: tuple[Mapping[str, Any], ...]
    people: Mapping[str, list[str]]
    """Status -> recipients, at most 500 of each."""


def message(ask: Ask) -> View:
    """The message as people see it, as it is stored, and who it is for; a row in the audit says who looks."""
    try:
        with ask.reading() as connection:
            row = row_of(connection, ask.path["job"])
    except (JobNotFound, UnicodeEncodeError):
        raise NotFound from None
    text = ask.text(row["account"], row["id"], lambda: _text(ask, row))
    title = f"{ask.say('job.message')} {row['id']}"
    return show(ask, "message.html", title, id=row["id"], text=text, most=RECIPIENTS)


def _text(ask: Ask, row: Mapping[str, Any]) -> JobText:
    document = _document(row["message"])
    with ask.reading() as connection:
        people = {
            status.value: recipients(connection, row["id"], status, limit=RECIPIENTS + 1) for status in RecipientStatus
        }
    return JobText(
        _drawn(ask, row, document),
        json.dumps(document, ensure_ascii=False, indent=2),
        tuple({"place": place, **one} for place, one in _files(document).items()),
        {status: named for status, named in people.items() if named},
    )


def _drawn(ask: Ask, row: Mapping[str, Any], document: Mapping[str, Any]) -> Markup | None:
    """A stored message as people see it; None for a job that shows them none, and on a channel kept elsewhere."""
    if row["channel"] not in get_args(Channel):
        return None
    match row["kind"]:
        case Kind.SEND:
            kind, content = _content(document)
            shown = Shown(channel=row["channel"], msgtype=kind, content=content)
        case Kind.UPDATE_CARD:
            shown = _updated(row["channel"], _target(ask, row), document)
        case _:
            return None
    return draw(shown, ask.viewer.lang)


def _content(document: Mapping[str, Any]) -> tuple[str, Any]:
    """The type of a stored message, and the vendor's object of that type."""
    kind, body = str(document.get("type", "")), document.get("body")
    return kind, body.get(kind, body) if isinstance(body, Mapping) else body


def _updated(channel: Channel, card: Any, document: Mapping[str, Any]) -> Shown:
    """The card after an update; of a card that the outbox does not have, only what the update says."""
    if "template_card" in document:
        update = {"template_card": document["template_card"]}
        if card is None:
            return Shown(channel=channel, msgtype="template_card", content=document["template_card"])
    else:
        button = document.get("button")
        update = {"replace_name": button.get("replace_name") if isinstance(button, Mapping) else ""}
    return Shown(channel=channel, msgtype="template_card", content=card or {}, update=update)


def _target(ask: Ask, row: Mapping[str, Any]) -> Any:
    """The card that a job updates; None where the outbox has it no more, or it is of another account."""
    try:
        with ask.reading() as connection:
            found = row_of(connection, row["target_job_id"]) if row["target_job_id"] else None
    except JobNotFound:
        return None
    return _content(_document(found["message"]))[1] if found and found["account"] == row["account"] else None


def _document(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"type": "", "body": text}


def _files(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    files = document.get("files")
    found = files.items() if isinstance(files, Mapping) else ()
    return {place: {key: one.get(key) for key in ("name", "size", "url")} for place, one in found}


def _why(ask: Ask, numbers: range) -> tuple[Why, int]:
    """What is told of some parts of the job in the path, and how many parts it has."""
    site = ask.site
    database = site.database
    try:
        with ask.reading() as connection, database.reading_state(connection) as state:
            told = why(
                connection,
                ask.path["job"],
                breaker_failures=site.settings.delivery.breaker_failures,
                clock=database.clock,
                state=state.connection if database.shares_state else None,
                numbers=numbers,
            )
            parts = counted_jobs(connection, [told.job.id])
    except (JobNotFound, UnicodeEncodeError):
        raise NotFound from None
    return seen.why(ask.viewer, told), sum(one.parts for one in parts.values())


def _failures(connection: Connection, job_id: str, part: str) -> list[Failure]:
    # Behind what sorts before every failure of the part.
    before = Failure(part, "", "", "", 0, datetime.fromtimestamp(0, UTC))
    return [one for one in failures(connection, job_id, after=before, limit=RECIPIENTS + 1) if one.part == part]


@dataclass(frozen=True, slots=True)
class CampaignCounts:
    """The results of a group-send in numbers."""

    stands: Mapping[str, int]
    """Where customers stand, such as `sent` or `waiting` -> how many."""
    members: int
    members_done: int
    read_at: datetime | None


def _campaign(ask: Ask, found: JobReport) -> CampaignCounts | None:
    """What became of a group-send; None for a job that is none."""
    if channel(found.channel).follow_up_problem(Kind.TRACK, found.kind) is not None:
        return None
    with ask.reading() as connection:
        told = campaign(connection, found.id)
    return CampaignCounts(
        {name: len(getattr(told, name)) for name in LISTS if getattr(told, name)},
        sum(task.members for task in told.tasks),
        sum(task.members_done for task in told.tasks),
        told.read_at,
    )


def _staging(ask: Ask, account: str) -> str:
    """The switch that keeps calls from people, by its name in the settings; empty: none is on."""
    switches = ask.site.settings.staging.switches()
    on = switches if switches.told() else ask.site.accounts.get(account).staging
    return on.told() if on.only is None else ask.say("staging.only", count=len(on.only))


def _meanings(ask: Ask, told: Why) -> list[str]:
    """What the errcodes of its calls mean, in the viewer's language."""
    own = channel(told.job.channel)
    return [line for code in told.meanings for line in own.explain(code, ask.viewer.lang) or ()]


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 8 else 0
