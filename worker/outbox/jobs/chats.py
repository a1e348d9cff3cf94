"""Chats that callbacks told of: who they are, whether the webhook is still in them, and what their people allow.

A row is written by callbacks and spent by marks, each under its lock: what is spent was allowed before, and a lane that
waits for its person is opened by the callback that allows more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from worker.domain.inbound import ChatChange, ChatNews
from worker.domain.lane import Block, LaneEvent
from worker.outbox import tables
from worker.outbox.engine.bulk import chosen, ids_json, insert_rows
from worker.outbox.engine.sql import fetch, run
from worker.outbox.jobs.rows import for_update
from worker.outbox.lanes.lanes import block_lanes, resume_lanes


@dataclass(frozen=True, slots=True)
class ChatLanes:
    """What a chat's news mean for the lanes of those who send to it."""

    lanes: tuple[str, ...]
    blocks: tuple[Block, ...]
    """For each of them, written when we were taken out of the chat; what was blocked so is opened by our return."""
    waiting: str
    """The reason of lanes that wait for the chat's person."""


CAME_BACK = "it is in the chat again"
ALLOWED = "its member spoke"


def note(
    connection: Connection, now_sql: str, account: str, news: ChatNews, lanes: ChatLanes, now: int, happened_at: int
) -> list[LaneEvent]:
    """Store what a callback says of a chat, and park or open its lanes; returns the steps these took.

    `happened_at` is the vendor's instant: what happened before the newest news of the chat came late, and changes
    nothing.
    """
    person = None if news.person is None else news.person.lower()
    fresh = {"account": account, "chat_id": news.chat_id, "chat_type": news.chat_type, "person": person}
    row = {**fresh, "first_seen_at": now, "last_seen_at": now, "gone_at": None, "allowance": 0, "told_at": None}
    insert_rows(connection, tables.chats, [row], conflict="ignore")
    gone_at, _, told_at = _locked(connection, account, news.chat_id)
    if told_at is not None and happened_at < told_at:
        return []
    gone = news.change is ChatChange.GONE
    run(
        connection,
        "update worker_chats set chat_type = :chat_type, person = coalesce(:person, person), last_seen_at = :now,"
        " told_at = :told_at, gone_at = :gone_at, allowance = coalesce(:allowance, allowance)"
        " where account = :account and chat_id = :chat_id",
        {
            **fresh,
            "now": now,
            "told_at": happened_at,
            "gone_at": (gone_at or now) if gone else None,
            "allowance": news.allowance,
        },
    )
    if gone:
        return block_lanes(connection, now_sql, lanes.blocks)
    # Only what was blocked for this very reason: a lane may be parked for another, too.
    opened: list[LaneEvent] = []
    if gone_at is not None:
        for reason in {block.reason for block in lanes.blocks}:
            opened += resume_lanes(connection, now_sql, lanes.lanes, CAME_BACK, reason=reason)
    if news.allowance:
        opened += resume_lanes(connection, now_sql, lanes.lanes, ALLOWED, reason=lanes.waiting)
    return opened


def _locked(connection: Connection, account: str, chat_id: str) -> tuple[int | None, int, int | None]:
    rows = fetch(
        connection,
        "select gone_at, allowance, told_at from worker_chats where account = :account and chat_id = :chat_id"
        + for_update(connection.dialect.name),
        {"account": account, "chat_id": chat_id},
    )
    return rows[0][0], rows[0][1], rows[0][2]


def spend(connection: Connection, spending: Spending) -> bool:
    """Take one message out of a single chat's allowance; False when none is left.

    A chat that no callback told of, and one that is no single chat, is left to the vendor to judge.
    """
    chat_id = _single_chat(connection, spending)
    if chat_id is None:
        return True
    _, allowance, _ = _locked(connection, spending.account, chat_id)
    if allowance <= 0:
        return False
    _add(connection, spending.account, chat_id, -1)
    return True


def give_back(connection: Connection, spending: Spending, since: int) -> None:
    """Give back the message that was marked then: the vendor certainly did not take it.

    Where a callback of the chat came since, its person may have allowed the most there can be; one more would be too
    many, so nothing is given back.
    """
    chat_id = _single_chat(connection, spending)
    if chat_id is not None:
        _add(connection, spending.account, chat_id, 1, since)


def _single_chat(connection: Connection, spending: Spending) -> str | None:
    """By the chat's id, or by the userid (in any case) of the member whose single chat it is."""
    for query in _SINGLE_CHAT:  # one after the other: each by its own index
        wanted = {"account": spending.account, "chat": spending.chat, "person": spending.chat.lower()}
        if rows := fetch(connection, query, {name: wanted[name] for name in wanted if f":{name}" in query}):
            return str(rows[0][0])
    return None


_SINGLE_CHAT = tuple(
    f"select chat_id from worker_chats where account = :account and {by} and chat_type = 'single'"
    " order by chat_id limit 1"
    for by in ("chat_id = :chat", "person = :person")
)


def _add(connection: Connection, account: str, chat_id: str, messages: int, since: int | None = None) -> None:
    unheard = "" if since is None else " and last_seen_at <= :since"
    values = {"messages": messages, "account": account, "chat_id": chat_id}
    run(
        connection,
        "update worker_chats set allowance = allowance + :messages"
        f" where account = :account and chat_id = :chat_id{unheard}",
        values if since is None else {**values, "since": since},
    )


def known_types(connection: Connection, account: str, ids: Sequence[str]) -> dict[str, str]:
    """What callbacks told of these chats: id -> single, group or blackboard."""
    among = chosen(connection.dialect.name, "worker_chats", "chat_id")
    rows = connection.execute(
        text(f"select chat_id, chat_type from {among} and account = :account"),
        {"ids": ids_json(ids), "account": account},
    )
    return {row[0]: row[1] for row in rows}


def list_chats(
    connection: Connection, account: str | None, *, gone: bool = False, limit: int
) -> list[Mapping[str, Any]]:
    """Chats that callbacks told of, the last seen first; those the webhook was taken out of only if asked for."""
    wanted = " and ".join((["account = :account"] if account else []) + ([] if gone else ["gone_at is null"]))
    query = f"select * from worker_chats{' where ' + wanted if wanted else ''} order by last_seen_at desc limit :limit"
    rows = connection.execute(text(query), {"account": account, "limit": limit} if account else {"limit": limit})
    return [dict(row) for row in rows.mappings()]


@dataclass(frozen=True, slots=True)
class Spending:
    """One of the messages that a chat's person allowed; without one left the lane waits for him."""

    account: str
    chat: str = field(repr=False)
    """The chat's id, or its person's."""
    block: Block
    """What is written when nothing is left."""
