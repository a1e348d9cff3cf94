"""Chats that callbacks reported: their ids, whether the webhook is still in them, and the messages they allow.

Callbacks write a chat's row and marks take from its allowance, both under the row's lock. So no mark takes more than
was allowed, and the callback that allows more opens the lane that waits for it.
The lane of a chat is blocked when the account was taken out of it, or its member has to write first. A callback lifts
both. The first also ends after a while, because callbacks can be lost or late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from worker.domain.callbacks.inbound import ChatChange, ChatNews
from worker.domain.pacing.lane import Cause, LaneBlock, Resume
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch, mappings, run

CAME_BACK = "it is in the chat again"
ALLOWED = "its member spoke"


def note(
    connection: Connection, account: str, news: ChatNews, lanes: Sequence[str], now: int, happened_at: int
) -> Sequence[LaneBlock | Resume]:
    """Stores what a callback says about a chat; returns what parks or opens `lanes`, which are of messages to it.

    `happened_at` is the vendor's instant, in microseconds.
    """
    person = None if news.person is None else news.person.lower()
    fresh = {"account": account, "chat_id": news.chat_id, "chat_type": news.chat_type, "person": person}
    row = {**fresh, "first_seen_at": now, "last_seen_at": now, "gone_at": None, "allowance": 0, "told_at": None}
    insert_rows(connection, tables.chats, [row], conflict="ignore")
    gone_at, _, told_at = _locked(connection, account, news.chat_id)
    # Callbacks can come late: one that is older than the row's newest changes nothing.
    if told_at is not None and happened_at < told_at:
        return []
    is_gone = news.change is ChatChange.GONE
    gone_since = (gone_at or now) if is_gone else None
    update = (
        "update worker_chats set chat_type = :chat_type, person = coalesce(:person, person), last_seen_at = :now,"
        " told_at = :told_at, gone_at = :gone_at, allowance = coalesce(:allowance, allowance)"
        " where account = :account and chat_id = :chat_id"
    )
    told = {"now": now, "told_at": happened_at, "gone_at": gone_since, "allowance": news.allowance}
    run(connection, update, {**fresh, **told})
    if is_gone:
        return [gone(lane) for lane in lanes]
    # Only blocks with this cause are lifted: the lane may be parked for another one too.
    came_back = [Resume(lane, CAME_BACK, Cause.CHAT) for lane in lanes] if gone_at is not None else []
    allowed = [Resume(lane, ALLOWED, Cause.ALLOWANCE) for lane in lanes] if news.allowance else []
    return [*came_back, *allowed]


def _locked(connection: Connection, account: str, chat_id: str) -> tuple[int | None, int, int | None]:
    query = "select gone_at, allowance, told_at from worker_chats where account = :account and chat_id = :chat_id"
    values = {"account": account, "chat_id": chat_id}
    row = fetch(connection, query + dialect_of(connection).lock, values)[0]
    return row[0], row[1], row[2]


def spend(connection: Connection, use: AllowanceUse) -> bool:
    """Takes one message out of a single chat's allowance; False when none is left, or its member never spoke."""
    chat_id = _single_chat(connection, use)
    if chat_id is None:
        # The vendor judges a chat that no callback has reported, and one that is no single chat.
        return not use.is_member
    _, allowance, _ = _locked(connection, use.account, chat_id)
    if allowance <= 0:
        return False
    _add(connection, use.account, chat_id, -1)
    return True


def give_back(connection: Connection, use: AllowanceUse, since: int) -> None:
    """Returns the message of a mark made at `since`, which the vendor certainly did not take, to the allowance."""
    chat_id = _single_chat(connection, use)
    # Not if a callback came since: it may have set the allowance to its maximum, and one more would be too many.
    if chat_id is not None:
        _add(connection, use.account, chat_id, 1, since)


def _single_chat(connection: Connection, use: AllowanceUse) -> str | None:
    """The single chat's id, found by that id or by its member's userid (in any case); None: no such single chat."""
    # Two queries, because each has its own index.
    for by, name, value in (("chat_id", "chat", use.chat), ("person", "person", use.chat.lower())):
        query = (
            f"select chat_id from worker_chats where account = :account and {by} = :{name} and chat_type = 'single'"
            " order by chat_id limit 1"
        )
        if rows := fetch(connection, query, {"account": use.account, name: value}):
            return str(rows[0][0])
    return None


def _add(connection: Connection, account: str, chat_id: str, messages: int, since: int | None = None) -> None:
    unheard = "" if since is None else " and last_seen_at <= :since"
    update = (
        "update worker_chats set allowance = allowance + :messages"
        f" where account = :account and chat_id = :chat_id{unheard}"
    )
    values = {"messages": messages, "account": account, "chat_id": chat_id}
    run(connection, update, values if since is None else {**values, "since": since})


def list_chats(connection: Connection, account: str | None, *, gone: bool = False, limit: int) -> list[dict[str, Any]]:
    """Chats that callbacks reported, the last seen first; `gone` includes those that the webhook was taken out of."""
    wanted = " and ".join((["account = :account"] if account else []) + ([] if gone else ["gone_at is null"]))
    query = f"select {tables.columns_of(tables.chats)} from worker_chats{' where ' + wanted if wanted else ''}"
    query += " order by last_seen_at desc limit :limit"
    return mappings(connection, query, {"account": account, "limit": limit})


@dataclass(frozen=True, slots=True)
class AllowanceUse:
    """One message out of a single chat's allowance, which its member renews by writing to the chat."""

    account: str
    chat: str = field(repr=False)
    """The chat's id, or its member's userid."""
    block: LaneBlock
    """The block of the lane that is written when no message is left."""
    is_member: bool = False
    """True when the chat can only be a member's: before its first callback it allows no message."""


GONE_S = 3600.0
"""Seconds for which messages wait after the account was taken out of their chat; then one of them tries."""
LOOK_S = 600.0
"""Seconds between two checks, without a call, whether a message is allowed: the account's settings may have changed."""
GONE = "it was taken out of this chat"
WAITING = "its member has to speak first: no message is left of those he allowed"


def gone(lane: str) -> LaneBlock:
    """The block of a chat that the account was taken out of."""
    remedy = "add it to the chat again; then what waits is sent, and else within the hour what the vendor refuses ends"
    return LaneBlock(lane, "chat", GONE_S, GONE, remedy, parked=True, cause=Cause.CHAT)


def waiting(lane: str) -> LaneBlock:
    """The block of a single chat whose allowance is used up."""
    remedy = "let the member write to it, or have him taken into its subscription scope and set subscribed = true"
    return LaneBlock(lane, "chat", LOOK_S, WAITING, remedy, parked=True, cause=Cause.ALLOWANCE)
