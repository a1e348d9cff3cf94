"""Callbacks of vendors: stored once, joined to the part they are about, with their response_code and their event.

All in one transaction: a callback that is answered with 200 is stored with everything that follows from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, String, bindparam, text

from worker.domain.callbacks.hook import EventKind, EventState
from worker.domain.callbacks.inbound import MESSAGE, CardPress, Inbound
from worker.domain.job import job_of
from worker.domain.pacing.lane import LaneBlock, Resume
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.counting import count
from worker.outbox.engine.sql import execute, fetch, mappings, read_now
from worker.outbox.jobs import chats, codes
from worker.outbox.jobs.codes import may_be_anothers
from worker.outbox.jobs.events import event_row
from worker.outbox.lanes.grants import SealedGrant, store_grant

_OURS = re.compile(r"w([0-9a-f]{32}-[0-9]{1,7})")
"""A task_id that the worker made contains its part's id (`w<part id>`, see the channel's `render`)."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of a callback, ready to be stored."""

    account: str
    """The account whose callback address received it."""
    app: str
    """The app at the vendor that the account belongs to (`Channel.app_scope`)."""
    accounts: Sequence[str]
    """All accounts of that app: the pressed card may be of any of them."""
    inbound: Inbound
    payload: str = field(repr=False)
    """JSON."""
    id: str
    """UUIDv7, another for every delivery; the event's id too, if this delivery is the one that is stored."""
    code_ttl_s: int
    hooked: bool
    """True when the application has hooks."""
    lanes: Sequence[str] = ()
    """The lanes of messages to the chat that the callback reports; none where it reports no chat."""
    grant: SealedGrant | None = None
    """The credential that the callback brought or ended; None: neither."""


def store(connection: Connection, now: str, delivery: Delivery) -> Sequence[LaneBlock | Resume] | None:
    """Stores a callback and what follows from it; returns what it means for lanes.

    None: the callback was stored already, and nothing was changed.
    """
    inbound, card = delivery.inbound, delivery.inbound.card
    part_id = part_of_task(connection, delivery.accounts, card.task_id) if card else None
    instant = read_now(connection, now)
    key = inbound.key(delivery.account)
    row = {
        "id": key,
        "account": delivery.account,
        "event": inbound.event,
        "person": inbound.person,
        "payload": delivery.payload,
        "happened_at": inbound.happened_at * 1_000_000,
        "received_at": instant,
        "stored_by": delivery.id,
        "part_id": part_id,
    }
    insert_rows(connection, tables.inbound, [row], conflict="ignore")
    # The stored delivery's id shows which one won: row counts of ignored conflicts differ from database to database.
    stored_by = execute(connection, "select stored_by from worker_inbound where id = :id", {"id": key}).one()[0]
    outcome = "stored" if stored_by == delivery.id else "repeated"
    count(connection, "callbacks", delivery.account, outcome, once=delivery.id)
    if stored_by != delivery.id:
        return None
    if delivery.grant is not None:
        store_grant(connection, instant, delivery.grant)
    if card is not None:
        _follow(connection, delivery, card, part_id, instant)
    elif delivery.hooked:
        kind = EventKind.MESSAGE if inbound.event.startswith(MESSAGE) else EventKind.CALLBACK
        insert_rows(connection, tables.events, [event_row(delivery.id, kind, instant, inbound_id=key)])
    if inbound.chat is None:
        return []
    told_at = inbound.happened_at * 1_000_000
    return chats.note(connection, delivery.account, inbound.chat, delivery.lanes, instant, told_at)


def _follow(connection: Connection, delivery: Delivery, card: CardPress, part_id: str | None, now: int) -> None:
    """Stores what follows from a press: a code for updates of its card, and an event for the application."""
    inbound = delivery.inbound
    if part_id is not None and card.response_code:
        # The vendor counts from the press: the code of a callback that was repeated for a while is older than that.
        issued = min(now, inbound.happened_at * 1_000_000)
        ttl_s = delivery.code_ttl_s
        codes.file_code(connection, delivery.app, part_id, card.response_code, issued, ttl_s, inbound.person)
    # An event is written also without a hook for it: `worker events --retry` can give it to one that is added later.
    heard = delivery.hooked and part_id is not None
    row = event_row(
        delivery.id,
        EventKind.CARD_ACTION,
        now,
        state=EventState.WAITING if heard else EventState.IGNORED,
        job_id=None if part_id is None else job_of(part_id),
        part_id=part_id,
        inbound_id=inbound.key(delivery.account),
    )
    insert_rows(connection, tables.events, [row])


def part_of_task(connection: Connection, accounts: Sequence[str], task_id: str) -> str | None:
    """The part of one of these accounts that sent the card; None: none of ours did."""
    # The part's row exists before its card can, so it is found also when the press arrives before the send's answer.
    ours = _OURS.fullmatch(task_id)
    if ours:
        found = connection.execute(_OWN_PART, {"part": ours[1], "accounts": accounts}).scalar()
        if found is not None:
            return str(found)
    found = connection.execute(_CALLERS_PART, {"accounts": accounts, "task": task_id}).scalar()
    return None if found is None else str(found)


_ACCOUNTS = bindparam("accounts", type_=String(), expanding=True)
_OWN_PART = text(
    "select p.id from worker_parts p join worker_jobs j on j.id = p.job_id"
    " where p.id = :part and j.account in :accounts"
).bindparams(_ACCOUNTS)
# Of several parts with one task_id the vendor took one: none that was never marked, and none that it refused (42014).
_CALLERS_PART = text(
    "select p.id from worker_task_ids t join worker_parts p on p.id = t.part_id"
    " where t.account in :accounts and t.task_id = :task"
    " order by case when p.state in (2, 3) then 0 when p.state in (1, 6) then 1 when p.marked_at is null then 3"
    " else 2 end, p.id desc limit 1"
).bindparams(_ACCOUNTS)


@dataclass(frozen=True, slots=True)
class LostCall:
    """A part's first call that has no readable answer so far."""

    part_id: str
    claim: int
    incarnation: str
    flagged: bool


def lost_call(connection: Connection, accounts: Sequence[str], task_id: str) -> LostCall | None:
    """The call in doubt that a press of this card proves; None: none is in doubt, or the card may be another part's."""
    part_id = part_of_task(connection, accounts, task_id)
    if part_id is None:
        return None
    query = (
        "select claim, incarnation, flagged from worker_attempts where part_id = :part and doubtful = true"
        " order by claim limit 1"
    )
    row = execute(connection, query, {"part": part_id}).first()
    # A task_id that the worker made is of one part; one that the caller chose may be of several.
    if row is None or (not _OURS.fullmatch(task_id) and may_be_anothers(connection, accounts, task_id, part_id)):
        return None
    return LostCall(part_id, row[0], row[1], bool(row[2]))


def callers_id(connection: Connection, accounts: Sequence[str], card: CardPress) -> str | None:
    """The caller's own id of the pressed card, out of the message of the job that sent it; None: it has none."""
    part_id = part_of_task(connection, accounts, card.task_id)
    query = "select message from worker_jobs where id = :job"
    message = None if part_id is None else execute(connection, query, {"job": job_of(part_id)}).scalar()
    found: Any = None if message is None else json.loads(message)
    for step in card.own_id_at:
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):
            # The path belongs to another message than the job's.
            return None
    return found if isinstance(found, str) else None


LOOKED_THROUGH = 3_000
"""Callbacks that a page of one account or event looks through."""


@dataclass(frozen=True, slots=True)
class InboundPage:
    """Callbacks, those that came last first."""

    rows: list[dict[str, Any]]
    before: str | None
    """What to give as `before` for the next page; None: there is none."""
    is_cut_short: bool = False
    """The page ends because it looked at as many as it may; older ones may fit."""


def inbound_page(
    connection: Connection, *, account: str | None, event: str | None, before: str | None, limit: int
) -> InboundPage:
    """The callbacks that came before another one (None: the last), of the next 3,000.

    `event` is the vendor's name, or the beginning of one. Without payloads.
    """
    columns = "id, account, event, person, happened_at, received_at, part_id"
    at, _, id = (before or "").partition("-")
    given = {"at": int(at) if at.isdecimal() and len(at) < 19 else 2**62, "id": id, "limit": limit}
    behind = "received_at < :at or (received_at = :at and id < :id)"
    newest = (
        f"select {columns} from worker_inbound where received_at <= :at and ({behind})"
        " order by received_at desc, id desc limit :most"
    )
    where, values = _only(account, event)
    query = f"select {columns} from ({newest}) newest{where} order by received_at desc, id desc limit :limit"
    most = LOOKED_THROUGH if where else limit
    rows = mappings(connection, query, {**given, "most": most, **values})
    if len(rows) == limit:
        return InboundPage(rows, f"{rows[-1]['received_at']}-{rows[-1]['id']}")
    last = f"select received_at, id, count(*) over () from ({newest}) looked order by received_at, id limit 1"
    looked = fetch(connection, last, {**given, "most": most}) if where else []
    is_cut_short = bool(looked) and int(looked[0][2]) == most
    return InboundPage(rows, f"{looked[0][0]}-{looked[0][1]}" if is_cut_short else None, is_cut_short)


def read_inbound(connection: Connection, id: str) -> dict[str, Any] | None:
    """One callback with its payload."""
    query = f"select {tables.columns_of(tables.inbound)} from worker_inbound where id = :id"
    return next(iter(mappings(connection, query, {"id": id})), None)


def list_inbound(connection: Connection, *, account: str | None, event: str | None, limit: int) -> list[dict[str, Any]]:
    """The callbacks that came last; `event` is the vendor's name, or the beginning of one."""
    where, values = _only(account, event)
    # By the index of the time, newest first.
    query = f"select {tables.columns_of(tables.inbound)} from worker_inbound{where}"
    return mappings(connection, f"{query} order by received_at desc, id limit :limit", {**values, "limit": limit})


def _only(account: str | None, event: str | None) -> tuple[str, dict[str, str | None]]:
    """The condition for callbacks of an account and of events that begin with a text, and its values."""
    conditions = {"account = :account": account, "event like :event escape '!'": event}
    where = [condition for condition, value in conditions.items() if value is not None]
    words = None if event is None else event.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"
    return f" where {' and '.join(where)}" if where else "", {"account": account, "event": words}
