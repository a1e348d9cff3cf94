"""What the vendor's codes mean to a webhook: the shared catalogue, and the codes that are about webhooks alone.

Sources: page 90313 (全局错误码, stored copy of 2026-07-26), and for 93005 消息推送接口说明（内测） (2025/09/30).
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom import errcodes as shared
from worker.channels.wecom.errcodes.row import Class, Errcode, coded, explained, refused
from worker.domain.outcome import Penalty, Scope
from worker.language import Lang

Rows = Mapping[int, tuple[str, str]]

_KEY: Rows = {
    93000: (
        "the webhook address is invalid, or the webhook was removed",
        "take the address of the webhook from its chat again and set its key as the account's secret",
    ),
    93004: (
        "the webhook is disabled",
        "have an administrator enable it",
    ),
}
_CHAT: Rows = {
    93001: (
        "this chat does not allow pushes",
        "allow them in the chat's settings; other chats go on",
    ),
    93005: (
        "no single-chat message to this member: outside the webhook's subscription scope, beyond the limit of "
        "single-chat messages, or the member opted out",
        "tried once more after a minute; then widen the scope, or let the member write to the webhook first",
    ),
    93006: (
        "the chatid is invalid",
        "use an id that a callback brought; other chats go on",
    ),
    93008: (
        "the webhook is not in that chat",
        "add it to the chat; other chats go on",
    ),
}
_MESSAGE: Mapping[int, str] = {
    93017: "the content is empty",
    93018: "the picture is too large",
    93019: "bad robot id",
    93050: "bad response_type",
    301016: "the voice does not conform",
    301019: "the md5 does not match the picture",
}
# An equal body in the air, or too many calls at once: the part waits, and its lane makes fewer calls at a time.
_PARALLEL: Rows = {
    45033: ("too many concurrent calls", "again shortly"),
}
_CONFLICT: Rows = {
    45035: ("concurrent operation conflict", "again shortly"),
}

ROWS: tuple[Errcode, ...] = (
    *coded(Class.CONFIG, _KEY, Scope.ACCOUNT),
    *coded(Class.PERMANENT, _CHAT),
    *refused(_MESSAGE, "correct the message"),
    *coded(Class.DEFER, _PARALLEL, Scope.PART, delay=2.0, penalty=Penalty.PARALLEL),
    *coded(Class.DEFER, _CONFLICT, Scope.PART, delay=2.0, penalty=Penalty.SERIAL),
)
"""Rows that go before those of the shared catalogue."""

_BY_CODE: Mapping[int, Errcode] = {row.code: row for row in ROWS}


def find(code: int) -> Errcode | None:
    """The row of a code, or None for one that was never seen."""
    return _BY_CODE.get(code) or shared.find(code)


def explain(code: int, lang: Lang = "en") -> list[str] | None:
    """What a code means to a webhook, what the worker does, and what a person should do; None for an unknown code."""
    row = find(code)
    return None if row is None else explained(code, row, None, lang)
