"""The vendor's answers: success, refusal, the text of each errcode, and their bytes in HTTP."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

MORE_INFO = "more info at https://open.work.weixin.qq.com/devtool/query?e="

REASONS = {
    -1: "system busy",
    40001: "invalid credential",
    40004: "invalid media file type",
    40005: "invalid type parameter",
    40006: "invalid file size",
    40007: "invalid media_id",
    40008: "invalid message type",
    40009: "invalid image size",
    40011: "invalid video size",
    40013: "invalid corpid",
    40014: "invalid access_token",
    40032: "invalid user list size",
    40033: "invalid charset",
    40056: "invalid agentid",
    40058: "invalid Request Parameter",
    40068: "invalid tagid",
    40074: "news does not support safe",
    40078: "invalid auth_code",
    40080: "invalid suite_secret",
    40082: "invalid suite_access_token",
    40083: "invalid suite_id",
    40084: "invalid permanent_code",
    40085: "invalid suite ticket",
    40091: "secret is invalid",
    40094: "invalid url",
    40096: "invalid external_userid",
    40123: "invalid image",
    40145: "media_id expired",
    41001: "access_token missing",
    41002: "corpid missing",
    41004: "corpsecret missing",
    41006: "media_id missing",
    41010: "url missing",
    41011: "agentid missing",
    41016: "missing title",
    41033: "missing description",
    41046: "group msgid missing",
    41047: "invalid group msgid",
    41048: "no customer to send",
    41063: "group message is being dispatched",
    41064: "too many attachments",
    41065: "invalid attachment type",
    41090: "invalid mp4",
    41093: "group message has been cancelled",
    41094: "too many reminders",
    42001: "access_token expired",
    42009: "suite_access_token expired",
    42014: "taskid has existed or empty or exceed max len",
    42015: "agentid does not match the message",
    42017: "button key is not exist",
    42052: "msgid expired",
    43012: "callback url not configured",
    44001: "empty media data",
    44004: "empty content",
    45001: "media size out of limit",
    45002: "content size out of limit",
    45007: "voice time out of limit",
    45008: "article size out of limit",
    45009: "api freq out of limit",
    45031: "secret is unsafe, reset it",
    45032: "author size out of limit",
    45033: "api concurrent out of limit",
    45034: "url without scheme",
    48002: "api forbidden",
    49008: "chat is dissolved",
    50003: "app is disabled",
    50100: "invalid cursor",
    60020: "not allow to access from your ip",
    60140: "invalid response_code",
    81012: "no recipient",
    81013: "user & party & tag all invalid",
    82001: "user & party & tag all empty",
    82002: "invalid party list size",
    82003: "invalid tag list size",
    82101: "no target",
    82102: "target not in the message",
    86001: "invalid chatid",
    86003: "chatid not exist",
    86005: "invalid owner",
    86006: "invalid member number",
    86007: "invalid member",
    86008: "not the creator of the chat",
    86201: "chatid missing",
    86203: "owner missing",
    86204: "userlist missing",
    86205: "chatid too long",
    86207: "owner is not in the userlist",
    86215: "chatid existed",
    86216: "member not in the corp or the chat",
    40063: "parameter is empty",
    40206: "request body too large",
    42031: "invalid card_type",
    45035: "api concurrent conflict",
    90200: "appid missing",
    90206: "mini program is not linked to the agent",
    93000: "invalid webhook url",
    93001: "not allow push to this chat",
    93004: "webhook is disabled",
    93005: "not allow to send single chat message to user",
    93006: "invalid chatid",
    93008: "webhook not in the chat",
    301002: "not allow operate another agent with this accesstoken.",
    301017: "invalid amr",
    301019: "media md5 not match",
}
"""errcode -> text. Taken from public traces where there is one; the others are our own."""


class Refused(Exception):
    """The vendor refuses a call with an errcode. Handlers raise it; `wire.routes` turns it into an answer."""

    def __init__(self, code: int, reason: str = "", **fields: Any) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason or REASONS.get(code, "invalid parameter")
        self.fields = fields


@dataclass(slots=True)
class HttpAnswer:
    """An HTTP answer, with the vendor's errcode if it has one."""

    body: bytes
    errcode: int | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json; charset=UTF-8"})
    stream: AsyncGenerator[bytes] | None = None
    """What follows the head until the client disconnects, or None for an answer with a body."""


def json_answer(value: Any, status: int = 200) -> HttpAnswer:
    """Returns an answer of the control API."""
    return HttpAnswer(json.dumps(value, ensure_ascii=False).encode(), status=status)


def accepted(*, errmsg: str = "ok", **fields: Any) -> HttpAnswer:
    """Returns the vendor's answer to a successful call."""
    return HttpAnswer(json.dumps({"errcode": 0, "errmsg": errmsg, **fields}, ensure_ascii=False).encode(), errcode=0)


def refusal(refused: Refused, *, hint: str, ip: str) -> HttpAnswer:
    """Returns the vendor's refusal: HTTP 200, with the errcode in the body and in two headers."""
    errmsg = f"{refused.reason}, hint: [{hint}], from ip: {ip}, {MORE_INFO}{refused.code}"
    return answer_with_code(refused.code, errmsg, refused.fields)


def answer_with_code(code: int, errmsg: str, fields: dict[str, Any]) -> HttpAnswer:
    """Returns an answer with any errcode, errmsg and further fields."""
    body = json.dumps({"errcode": code, "errmsg": errmsg, **fields}, ensure_ascii=False).encode()
    answer = HttpAnswer(body, errcode=code)
    if code:
        answer.headers |= {"Error-Code": str(code), "Error-Msg": _header_safe(errmsg)}
    return answer


def _header_safe(text: str) -> str:
    return text.encode("ascii", "replace").decode().replace("\r", " ").replace("\n", " ")


def to_bytes(answer: HttpAnswer, *, keep_alive: bool) -> bytes:
    """Returns the bytes of an answer, head and body. Of a stream it returns only the head."""
    lines = [f"HTTP/1.1 {answer.status} {'OK' if answer.status < 400 else 'Error'}", "Server: nginx"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    if answer.stream is None:
        lines.append(f"Content-Length: {len(answer.body)}")
    lines.append(f"Connection: {'keep-alive' if keep_alive else 'close'}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + answer.body
