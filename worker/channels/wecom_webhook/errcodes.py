"""What the vendor's codes mean to a webhook: the shared catalogue, and the codes that are about webhooks alone.

Sources: page 90313 (全局错误码, stored copy of 2026-07-26), and for 93005 消息推送接口说明（内测） (2025/09/30).
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom import errcodes as shared
from worker.channels.wecom.errcodes.row import Class, Errcode, Said, coded, explained, refused
from worker.domain.outcome import Penalty, Scope

Rows = Mapping[int, tuple[Said, Said]]

_KEY: Rows = {
    93000: (
        ("the webhook address is invalid, or the webhook was removed", "webhook 地址无效，或消息推送已被移除"),
        (
            "take the address of the webhook from its chat again and set its key as the account's secret",
            "在群里重新获取 webhook 地址，并把其中的 key 设为账号的 secret",
        ),
    ),
    93004: (
        ("the webhook is disabled", "消息推送已被停用"),
        ("have an administrator enable it", "请管理员启用该消息推送"),
    ),
}
_CHAT: Rows = {
    93001: (
        ("this chat does not allow pushes", "该会话不允许消息推送"),
        ("allow them in the chat's settings; other chats go on", "在群设置中允许消息推送；其他会话不受影响"),
    ),
    93005: (
        (
            "no single-chat message to this member: outside the webhook's subscription scope, beyond the limit of "
            "single-chat messages, or the member opted out",
            "不允许向该用户发送单聊消息：用户不在订阅范围内、单聊消息超过频率限制，或用户已拒收",
        ),
        (
            "tried once more after a minute; then widen the scope, or let the member write to the webhook first",
            "一分钟后再试一次；之后扩大订阅范围，或让用户先向消息推送发消息",
        ),
    ),
    93006: (
        ("the chatid is invalid", "chatid 无效"),
        ("use an id that a callback brought; other chats go on", "使用回调中得到的 chatid；其他会话不受影响"),
    ),
    93008: (
        ("the webhook is not in that chat", "消息推送不在该群中"),
        ("add it to the chat; other chats go on", "把消息推送加入该群；其他会话不受影响"),
    ),
}
_MESSAGE: Mapping[int, Said] = {
    93017: ("the content is empty", "请求内容为空"),
    93018: ("the picture is too large", "图片过大"),
    93019: ("bad robot id", "机器人 id 无效"),
    93050: ("bad response_type", "response_type 无效"),
    301016: ("the voice does not conform", "语音不符合要求"),
    301019: ("the md5 does not match the picture", "图片的 md5 不匹配"),
}
# An equal body in the air, or too many calls at once: the part waits, and its lane makes fewer calls at a time.
_PARALLEL: Rows = {
    45033: (("too many concurrent calls", "并发调用过多"), ("again shortly", "稍后自动重试")),
}
_CONFLICT: Rows = {
    45035: (("concurrent operation conflict", "并发操作冲突"), ("again shortly", "稍后自动重试")),
}

ROWS: tuple[Errcode, ...] = (
    *coded(Class.CONFIG, _KEY, Scope.ACCOUNT),
    *coded(Class.PERMANENT, _CHAT),
    *refused(_MESSAGE, ("correct the message", "更正消息内容")),
    *coded(Class.DEFER, _PARALLEL, Scope.PART, delay=2.0, penalty=Penalty.PARALLEL),
    *coded(Class.DEFER, _CONFLICT, Scope.PART, delay=2.0, penalty=Penalty.SERIAL),
)
"""Rows that go before those of the shared catalogue."""

_BY_CODE: Mapping[int, Errcode] = {row.code: row for row in ROWS}


def find(code: int) -> Errcode | None:
    """The row of a code, or None for one that was never seen."""
    return _BY_CODE.get(code) or shared.find(code)


def explain(code: int, lang: str = "en") -> list[str] | None:
    """What a code means to a webhook, what the worker does, and what a person should do; None for an unknown code."""
    row = find(code)
    return None if row is None else explained(code, row, None, chinese=lang == "zh")
