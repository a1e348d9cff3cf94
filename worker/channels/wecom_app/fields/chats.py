"""Rows of the calls that make and change app group chats (应用发送消息到群聊会话, pages 90245 and 98913)."""

from __future__ import annotations

from worker.channels.checking.row import Effect, FieldRule, Prose, Row

R = FieldRule

CHATID = r"[0-9A-Za-z]{1,32}"
"""The vendor compares it exactly; 86001 when it is another."""

_CHATID = R("chatid", charset=CHATID, code=86001)
_NAME = R("name", max_chars=50, effect=Effect.CUT, prose=Prose.PLAIN, code=86004)
_OWNER = R("owner", code=86005)

CREATE_CHAT: tuple[Row, ...] = (
    _NAME,
    _OWNER,
    R("userlist", list, strings=True, required=True, entries=(2, 2000), code=86006),
    _CHATID,
)
CHANGE_CHAT: tuple[Row, ...] = (
    R("chatid", required=True, charset=CHATID, code=86001),
    _NAME,
    _OWNER,
    R("add_user_list", list, strings=True, entries=(0, 2000), code=86006),
    R("del_user_list", list, strings=True, entries=(0, 2000), code=86006),
)
MEMBER_LISTS = ("userlist", "add_user_list", "del_user_list")
"""Fields that hold lists of userids; a malformed userid is answered with 86007."""
