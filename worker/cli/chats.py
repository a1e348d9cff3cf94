"""`worker chats`: the chats that callbacks reported, whose ids `Chats(...)` takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.cli.reading import Say, outbox
from worker.outbox.jobs.chats import list_chats

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANTS = ("first_seen_at", "last_seen_at", "gone_at")


def show(say: Say, *, account: str | None, gone: bool, limit: int, as_json: bool) -> None:
    """Prints the chats whose callbacks came last."""
    with outbox() as connection:
        found = [_plain(row) for row in list_chats(connection, account, gone=gone, limit=limit)]
    if as_json:
        say(json.dumps(found, ensure_ascii=False))
        return
    for chat in found:
        say(_line(chat))
    if not found:
        say("no chats; a webhook's callbacks tell of them, see `worker receiver`")


def _line(chat: Mapping[str, Any]) -> str:
    whose = f"  of {chat['person']}, {chat['allowance']} messages allowed" if chat["person"] else ""
    left = f"  taken out at {chat['gone_at']}" if chat["gone_at"] else ""
    return f"{chat['chat_id']}  {chat['chat_type']:<10} {chat['account']:<12} {chat['last_seen_at']}{whose}{left}"


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, **{name: _instant(row[name]) for name in _INSTANTS}}


def _instant(at: int | None) -> str | None:
    return None if at is None else (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="milliseconds")
