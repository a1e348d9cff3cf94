"""Callbacks of vendors: stored once, with the part that they are about, their response_code and their event.

All in one transaction. A callback that is answered with 200 is stored with everything that follows from it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, String, bindparam, text

from worker.domain.callbacks.hook import EventKind, EventState
from worker.domain.callbacks.inbound import MESSAGE, CardPress, Inbound
from worker.domain.job import job_of
from worker.domain.pacing.lane import LaneBlock, Resume, account_of
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.counting import count
from worker.outbox.engine.sql import execute, fetch, mappings, read_now
from worker.outbox.jobs import chats, codes
from worker.outbox.jobs.codes import may_belong_to_other_part
from worker.outbox.jobs.events import event_row
from worker.outbox.lanes.grants import SealedGrant, store_grant
from worker.outbox.lanes.processes import all_hooks

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
    """All accounts of that app. The pressed card may belong to any of them."""
    inbound: Inbound
    payload: str = field(repr=False)
    """The callback as JSON."""
    id: str
    """A UUIDv7, new for each delivery. Also the event's id if this delivery is the one that is stored."""
    code_ttl_s: int
    hooked: bool
    """Whether the settings of the process that received it name hooks."""
    lanes: Sequence[str] = ()
    """The lanes of messages to the chat that the callback reports. Empty if it reports no chat."""
    grant: SealedGrant | None = None
    """The credential that the callback brought or withdrew, or None."""


def store_delivery(connection: Connection, now: str, delivery: Delivery) -> Sequence[LaneBlock | Resume] | None:
    """Stores a callback and what follows from it. Returns the changes of lanes.

    Returns None, and changes nothing, if the callback was stored already.
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
    # The id of the stored delivery shows which delivery won. Row counts of ignored conflicts differ between databases.
    stored_by = execute(connection, "select stored_by from worker_inbound where id = :id", {"id": key}).one()[0]
    outcome = "stored" if stored_by == delivery.id else "repeated"
    count(connection, "callbacks", delivery.account, outcome, once=delivery.id)
    if stored_by != delivery.id:
        return None
    if delivery.grant is not None:
        store_grant(connection, instant, delivery.grant)
    # The hooks run in worker processes, whose settings may be others than those of this process.
    hooked = delivery.hooked or bool(all_hooks(connection))
    if card is not None:
        _store_press(connection, delivery, card, part_id, instant, hooked=hooked)
    elif hooked:
        kind = EventKind.MESSAGE if inbound.event.startswith(MESSAGE) else EventKind.CALLBACK
        insert_rows(connection, tables.events, [event_row(delivery.id, kind, instant, inbound_id=key)])
    if inbound.chat is None:
        return []
    instants = {"happened_at": inbound.happened_at * 1_000_000, "received_at": instant}
    return chats.record_chat_change(connection, delivery.account, inbound.chat, delivery.lanes, now, **instants)


def _store_press(
    connection: Connection, delivery: Delivery, card: CardPress, part_id: str | None, now: int, *, hooked: bool
) -> None:
    """Stores what follows from a press: a code for updates of its card, and an event for the application."""
    inbound = delivery.inbound
    if part_id is not None and card.response_code:
        # The vendor counts from the press. A callback that the vendor repeated for a while brings an older code.
        issued = min(now, inbound.happened_at * 1_000_000)
        ttl_s = delivery.code_ttl_s
        codes.store_code(connection, delivery.app, part_id, card.response_code, issued, ttl_s, inbound.person)
    # An event is written even without a hook for it. `worker hooks --retry` can pass it to a hook that is added later.
    has_hook = hooked and part_id is not None
    row = event_row(
        delivery.id,
        EventKind.CARD_ACTION,
        now,
        state=EventState.WAITING if has_hook else EventState.IGNORED,
        job_id=None if part_id is None else job_of(part_id),
        part_id=part_id,
        inbound_id=inbound.key(delivery.account),
    )
    insert_rows(connection, tables.events, [row])


def part_of_task(connection: Connection, accounts: Sequence[str], task_id: str) -> str | None:
    """Returns the part of one of these accounts that sent the card, or None if the worker did not send it."""
    # The part's row exists before its card. So it is found even if the press arrives before the answer to the send.
    ours = _OURS.fullmatch(task_id)
    if ours:
        lane = connection.execute(_OWN_PART, {"part": ours[1]}).scalar()
        if lane is not None and account_of(lane) in accounts:
            return ours[1]
    part_id = connection.execute(_CALLERS_PART, {"accounts": accounts, "task": task_id}).scalar()
    return None if part_id is None else str(part_id)


_ACCOUNTS = bindparam("accounts", type_=String(), expanding=True)
_OWN_PART = text("select lane from worker_parts where id = :part")
# Of several parts with one task_id the vendor accepted one. It is none that was never marked or was refused (42014).
_CALLERS_PART = text(
    "select p.id from worker_task_ids t join worker_parts p on p.id = t.part_id"
    " where t.account in :accounts and t.task_id = :task"
    " order by case when p.state in (2, 3) then 0 when p.state in (1, 6) then 1 when p.marked_at is null then 3"
    " else 2 end, p.id desc limit 1"
).bindparams(_ACCOUNTS)


@dataclass(frozen=True, slots=True)
class UnansweredCall:
    """A part's first call that has no readable answer yet."""

    part_id: str
    claim: int
    incarnation: str
    flagged: bool


def unanswered_call(connection: Connection, accounts: Sequence[str], task_id: str) -> UnansweredCall | None:
    """Returns the call in doubt that sent this card, or None if none is in doubt or another part may have sent it.

    A pressed button proves that its card arrived.
    """
    part_id = part_of_task(connection, accounts, task_id)
    if part_id is None:
        return None
    query = (
        "select claim, incarnation, flagged from worker_attempts where part_id = :part and doubtful = true"
        " order by claim limit 1"
    )
    row = execute(connection, query, {"part": part_id}).first()
    # A task_id that the worker made belongs to one part. One that the caller chose may belong to several parts.
    if row is None or (
        not _OURS.fullmatch(task_id) and may_belong_to_other_part(connection, accounts, task_id, part_id)
    ):
        return None
    return UnansweredCall(part_id, row[0], row[1], bool(row[2]))


MAX_SCANNED = 3_000
"""How many callbacks are read for a page of one account or event."""


@dataclass(frozen=True, slots=True)
class InboundPage:
    """A page of callbacks, the newest first."""

    rows: list[dict[str, Any]]
    before: str | None
    """The `before` of the next page, or None if this is the last one."""
    is_cut_short: bool = False
    """Whether the page ended because it read as many callbacks as it may. Older ones may match too."""


def inbound_page(
    connection: Connection, *, account: str | None, event: str | None, before: str | None, limit: int
) -> InboundPage:
    """Returns callbacks without payloads, the newest first. With `before`, only callbacks before that position.

    `event` is the vendor's name of an event, or its beginning. With `account` or `event`, reads at most 3,000 rows.
    """
    columns = "id, account, event, person, happened_at, received_at, part_id"
    at, _, id = (before or "").partition("-")
    page_values = {"at": int(at) if at.isdecimal() and len(at) < 19 else 2**62, "id": id, "limit": limit}
    is_older = "received_at < :at or (received_at = :at and id < :id)"
    newest = (
        f"select {columns} from worker_inbound where received_at <= :at and ({is_older})"
        " order by received_at desc, id desc limit :most"
    )
    where, values = _only(account, event)
    query = f"select {columns} from ({newest}) newest{where} order by received_at desc, id desc limit :limit"
    max_scanned = MAX_SCANNED if where else limit + 1
    # One more tells a full page from the last one.
    rows = mappings(connection, query, {**page_values, "limit": limit + 1, "most": max_scanned, **values})
    if len(rows) > limit:
        return InboundPage(rows[:limit], f"{rows[limit - 1]['received_at']}-{rows[limit - 1]['id']}")
    last = f"select received_at, id, count(*) over () from ({newest}) looked order by received_at, id limit 1"
    last_scanned = fetch(connection, last, {**page_values, "most": max_scanned}) if where else []
    is_cut_short = bool(last_scanned) and int(last_scanned[0][2]) == max_scanned
    return InboundPage(rows, f"{last_scanned[0][0]}-{last_scanned[0][1]}" if is_cut_short else None, is_cut_short)


def read_inbound(connection: Connection, id: str) -> dict[str, Any] | None:
    """Returns a callback with its payload."""
    query = f"select {tables.columns_of(tables.inbound)} from worker_inbound where id = :id"
    return next(iter(mappings(connection, query, {"id": id})), None)


def list_inbound(connection: Connection, *, account: str | None, event: str | None, limit: int) -> list[dict[str, Any]]:
    """Returns the newest callbacks. `event` is the vendor's name of an event, or its beginning."""
    where, values = _only(account, event)
    # By the index of the time, newest first.
    query = f"select {tables.columns_of(tables.inbound)} from worker_inbound{where}"
    return mappings(connection, f"{query} order by received_at desc, id limit :limit", {**values, "limit": limit})


def _only(account: str | None, event: str | None) -> tuple[str, dict[str, str | None]]:
    """Returns the condition for callbacks of an account and of events that begin with a text, and its bind values."""
    conditions = {"account = :account": account, "event like :event escape '!'": event}
    where = [condition for condition, value in conditions.items() if value is not None]
    words = None if event is None else event.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"
    return f" where {' and '.join(where)}" if where else "", {"account": account, "event": words}
