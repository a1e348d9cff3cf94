"""Chats that callbacks reported: their ids, whether the account is still in them, and how many messages they allow.

Callbacks write a chat's row, and marks take from its allowance, both under the row's lock. So marks never take more
than is allowed, and the callback that allows more opens the lane that waits for it.

The lane of a chat is blocked if the account was removed from the chat, or if its member has to write first. A callback
ends either block. The first block also ends after a while, because callbacks can be lost or late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from worker.domain.callbacks.inbound import ChatChange, ChatNews
from worker.domain.pacing.lane import Cause, LaneBlock, Resume, tenants_range
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.dialect import dialect_of
from worker.outbox.engine.sql import fetch, mappings, read_now, run

CAME_BACK = "it was added to the chat again"
ALLOWED = "the member wrote"
RETURNED = "a message that was not sent is allowed again"


def record_chat_change(
    connection: Connection,
    account: str,
    news: ChatNews,
    lanes: Sequence[str],
    now_sql: str,
    *,
    happened_at: int,
    received_at: int,
) -> Sequence[LaneBlock | Resume]:
    """Stores what a callback says about a chat. Returns the changes that park or open `lanes`, its messages' lanes.

    `happened_at` is the vendor's instant and `received_at` ours, in microseconds.
    """
    person = None if news.person is None else news.person.lower()
    fresh = {"account": account, "chat_id": news.chat_id, "chat_type": news.chat_type, "person": person}
    seen = {"first_seen_at": received_at, "last_seen_at": received_at}
    row = {**fresh, **seen, "gone_at": None, "allowance": 0, "callback_at": None}
    insert_rows(connection, tables.chats, [row], conflict="ignore")
    while (known := _locked(connection, account, news.chat_id)) is None:
        # An erasure has deleted the row since.
        insert_rows(connection, tables.chats, [row], conflict="ignore")
    gone_at, _, callback_at = known
    # Callbacks can come late. One that is older than the newest stored one changes nothing.
    if callback_at is not None and happened_at < callback_at:
        return []
    # Read under the lock: what a mark that had it took counts as taken before, see `return_to_allowance`.
    now = read_now(connection, now_sql)
    is_removed = news.change is ChatChange.GONE
    removed_since = (gone_at or now) if is_removed else None
    update = (
        "update worker_chats set chat_type = :chat_type, person = coalesce(:person, person), last_seen_at = :now,"
        " callback_at = :callback_at, gone_at = :gone_at, allowance = coalesce(:allowance, allowance)"
        " where account = :account and chat_id = :chat_id"
    )
    values = {"now": now, "callback_at": happened_at, "gone_at": removed_since, "allowance": news.allowance}
    run(connection, update, {**fresh, **values})
    if is_removed:
        return [removed_block(lane) for lane in lanes]
    # Only blocks with this cause end. The lane may be parked for another cause too.
    came_back = [Resume(lane, CAME_BACK, Cause.CHAT) for lane in lanes] if gone_at is not None else []
    return [*came_back, *(_resumes(connection, lanes, ALLOWED) if news.allowance else ())]


def _resumes(connection: Connection, lanes: Sequence[str], reason: str) -> list[Resume]:
    """Returns the changes that open these lanes and those of all tenants to the same chat, which share its allowance.

    The caller has locked the chat's row, under which a mark blocks such a lane.
    """
    query = "select lane from worker_lanes where lane >= :from_lane and lane < :to_lane and parked = true"
    names = [row[0] for lane in lanes for row in fetch(connection, query, tenants_range(lane))]
    return [Resume(name, reason, Cause.ALLOWANCE) for name in names]


def _locked(connection: Connection, account: str, chat_id: str) -> tuple[int | None, int, int | None] | None:
    """Locks a chat's row. Returns when the account was removed, the allowance, and the time of the newest callback.

    Returns None if there is no such row.
    """
    query = "select gone_at, allowance, callback_at from worker_chats where account = :account and chat_id = :chat_id"
    values = {"account": account, "chat_id": chat_id}
    rows = fetch(connection, query + dialect_of(connection).lock, values)
    return (rows[0][0], rows[0][1], rows[0][2]) if rows else None


def take_from_allowance(connection: Connection, use: AllowanceUse) -> bool:
    """Takes one message from a single chat's allowance. Returns False if it is used up or the member never wrote."""
    chat_id = _single_chat(connection, use)
    # None also if an erasure has deleted the row since.
    chat = None if chat_id is None else _locked(connection, use.account, chat_id)
    if chat_id is None or chat is None:
        # The vendor decides about group chats, and about chats that no callback has reported.
        return not use.is_member
    _, allowance, _ = chat
    if allowance <= 0:
        return False
    _add(connection, use.account, chat_id, -1)
    return True


def return_to_allowance(connection: Connection, use: AllowanceUse, since: int) -> list[Resume]:
    """Returns a message to the allowance. It was marked at `since`, and the vendor has certainly not accepted it.

    Returns the changes that open the lanes in which another message may have found it used up meanwhile.
    """
    chat_id = _single_chat(connection, use)
    # Not if a callback has come since. It may have set the allowance to its maximum, and one more would be too many.
    if chat_id is not None:
        _add(connection, use.account, chat_id, 1, since)
    return _resumes(connection, [use.block.lane], RETURNED)


def _single_chat(connection: Connection, use: AllowanceUse) -> str | None:
    """Returns the id of the single chat with this id or member's userid (in any case), or None if there is none."""
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
    only_unchanged = "" if since is None else " and last_seen_at <= :since"
    update = (
        "update worker_chats set allowance = allowance + :messages"
        f" where account = :account and chat_id = :chat_id{only_unchanged}"
    )
    values = {"messages": messages, "account": account, "chat_id": chat_id}
    run(connection, update, values if since is None else {**values, "since": since})


def list_chats(connection: Connection, account: str | None, *, gone: bool = False, limit: int) -> list[dict[str, Any]]:
    """Lists chats that callbacks reported, the last seen first. `gone` includes chats that the account has left."""
    conditions = " and ".join((["account = :account"] if account else []) + ([] if gone else ["gone_at is null"]))
    query = f"select {tables.columns_of(tables.chats)} from worker_chats{' where ' + conditions if conditions else ''}"
    query += " order by last_seen_at desc limit :limit"
    return mappings(connection, query, {"account": account, "limit": limit})


@dataclass(frozen=True, slots=True)
class AllowanceUse:
    """One message from a single chat's allowance. The chat's member renews the allowance by writing to it."""

    account: str
    chat: str = field(repr=False)
    """The chat's id, or its member's userid."""
    block: LaneBlock
    """The block of the lane that is written if the allowance is used up."""
    is_member: bool = False
    """Whether the chat can only be a member's. Such a chat allows no message before its first callback."""


REMOVED_S = 3600.0
"""Seconds for which messages wait after the account was removed from their chat. Then one of them tries."""
RECHECK_S = 600.0
"""Seconds between two checks, without a call, whether a message is allowed. The account's settings may have changed."""
REMOVED = "it was taken out of this chat"
USED_UP = "the member has to write first, because all messages that were allowed are used up"


def removed_block(lane: str) -> LaneBlock:
    """Returns the block of a chat that the account was removed from."""
    remedy = "add it to the chat again, then what waits is sent; otherwise the vendor refuses it within the hour"
    return LaneBlock(lane, "chat", REMOVED_S, REMOVED, remedy, parked=True, cause=Cause.CHAT)


def allowance_block(lane: str) -> LaneBlock:
    """Returns the block of a single chat whose allowance is used up."""
    remedy = "let the member write to it, or have him taken into its subscription scope and set subscribed = true"
    return LaneBlock(lane, "chat", RECHECK_S, USED_UP, remedy, parked=True, cause=Cause.ALLOWANCE)
