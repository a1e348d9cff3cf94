"""`worker inbound` and `worker hooks`: list the vendors' callbacks, and the events for the application's hooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from worker.cli.options import Account, Commands, Json, Person, by_person
from worker.cli.reading import iso, outbox, print_problems, print_table, require_account, state_by_name
from worker.cli.times import local
from worker.control.lift import RETRY
from worker.domain.callbacks.hook import EventState
from worker.domain.stored import object_or_empty
from worker.language import term, translate
from worker.outbox.jobs.chats import list_chats
from worker.outbox.jobs.events import list_events
from worker.outbox.jobs.inbound import list_inbound
from worker.reporting.job_list import content_text

app = Commands()

_INSTANTS = ("first_seen_at", "last_seen_at", "gone_at")
_EVENT_COLUMNS = ("id", "kind", "job_id", "part_id", "tag", "tries", "error")


def _show_chats(*, account: str | None, gone: bool, limit: int, as_json: bool) -> None:
    """Prints the chats, those with the newest callbacks first."""
    with outbox() as connection:
        rows = list_chats(connection, account, gone=gone, limit=limit)
    if not rows:
        require_account(account)
    chats = [{**row, **{name: iso(row[name]) for name in _INSTANTS}} for row in rows]
    nothing = "no chats; a webhook's callbacks report them, see `worker receiver`"
    print_table(chats, ("chat", "kind", "account", "seen", ""), _chat_row, nothing, as_json=as_json)


def _chat_row(chat: Mapping[str, Any]) -> tuple[str, ...]:
    allowance = f"of {chat['person']}, messages still allowed: {chat['allowance']}" if chat["person"] else ""
    removal = f"removed at {local(chat['gone_at'])}" if chat["gone_at"] else ""
    details = "  ".join(filter(None, (translate(allowance), translate(removal))))
    return chat["chat_id"], chat["chat_type"], chat["account"], local(chat["last_seen_at"]), details


@app.command()
def inbound(
    account: Account = None,
    event: Annotated[
        str | None, typer.Option("--type", help="Only these, such as subscribe, or message: for all messages.")
    ] = None,
    chats: Annotated[
        bool, typer.Option("--chats", help="The chats that they named, to which a webhook's message can be sent.")
    ] = False,
    gone: Annotated[bool, typer.Option("--gone", help="With --chats: also those it was taken out of.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> bool:
    """Lists what the vendors called back: messages of people, presses, events; --json has their contents."""
    if chats and event is not None:
        raise typer.BadParameter(translate("--chats lists chats: give no --type"))
    if gone and not chats:
        raise typer.BadParameter(translate("--gone needs --chats"))
    if chats:
        _show_chats(account=account, gone=gone, limit=limit, as_json=as_json)
        return True
    with outbox() as connection:
        rows = list_inbound(connection, account=account, event=event, limit=limit)
        if not rows:
            require_account(account)
        is_known = event is None or bool(rows or list_inbound(connection, account=None, event=event, limit=1))
    stored_columns = ("id", "account", "event", "person", "part_id")
    callbacks = [
        {
            **{name: row[name] for name in stored_columns},
            **{name: iso(row[name]) for name in ("happened_at", "received_at")},
            "message": object_or_empty(row["payload"]).get("message"),
        }
        for row in rows
    ]
    columns = ("at", "account", "event", "person", "card")
    print_table(callbacks, columns, _inbound_row, "no callbacks; `worker receiver` receives them", as_json=as_json)
    return print_problems([] if is_known else [f"no callback that is stored has --type {event}"])


def _inbound_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    return local(row["received_at"]), row["account"], row["event"], row["person"] or "-", row["part_id"] or "-"


@app.command()
@by_person()
def hooks(
    person: Person,
    state: Annotated[str | None, typer.Option(help="waiting, running, done, parked, ignored")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    retry: Annotated[str | None, typer.Option(metavar="ID", help=RETRY.help)] = None,
) -> None:
    """Lists the events of the application's hooks, newest first."""
    if retry is not None:
        RETRY.run(retry, person=person.name, why=person.why)
        person.answer({"event": retry}, f"event {retry} waits for a worker")
        return
    event_state = state_by_name(EventState, state)
    with outbox() as connection:
        rows = list_events(connection, state=event_state, limit=limit)
    columns = ("event", "at", "kind", "state", "about", "error")
    print_table([_event_json(row) for row in rows], columns, _event_row, "no events", as_json=person.as_json)


def _event_row(event: Mapping[str, Any]) -> tuple[str, ...]:
    kind, state = content_text(event["kind"], None), term("hook", event["state"])
    about = translate(f"tag {event['tag']}") if event["tag"] else event["job_id"] or "-"
    return event["id"], local(event["created_at"]), kind, state, about, event["error"] or ""


def _event_json(row: dict[str, Any]) -> dict[str, Any]:
    created = iso(row["created_at"])
    return {
        **{name: row[name] for name in _EVENT_COLUMNS},
        "state": EventState(row["state"]).label,
        "created_at": created,
    }
