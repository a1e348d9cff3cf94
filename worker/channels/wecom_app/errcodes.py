"""The vendor's error codes a sender can meet, as rows of data. Reads no reply; see `verdict.py`.

Source: page 90313 (全局错误码, stored copy of 2026-07-26), with the limits page 90312 and the pages of each call. The
class is ours, built on the help texts there. Never match on `errmsg`: its text may change (page 90313).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from worker.domain.outcome import Scope


class Class(StrEnum):
    """What a code asks of the worker."""

    RETRY = "retry"
    """Transient: again, as an attempt."""
    TOKEN = "token"
    """The token is bad: fetch another."""
    DEFER = "defer"
    """Too early: wait, no attempt."""
    PERMANENT = "permanent"
    """This request can never pass as it is."""
    CONFIG = "config"
    """An operator must act; the scope is parked."""


@dataclass(frozen=True, slots=True)
class Errcode:
    """One code, or a run of codes up to `last`, of one meaning."""

    code: int
    meaning: str
    kind: Class
    what: str = "correct the message"
    """What to do; the remedy an operator or a caller reads."""
    scope: Scope = Scope.PART
    delay: float = 0.0
    """Seconds to wait, for DEFER."""
    last: int | None = None


def _rows(
    kind: Class, rows: Mapping[int, tuple[str, str]], scope: Scope = Scope.PART, delay: float = 0.0
) -> Iterator[Errcode]:
    return (Errcode(code, meaning, kind, what, scope, delay) for code, (meaning, what) in rows.items())


def _plain(rows: Mapping[int, str], what: str) -> dict[int, tuple[str, str]]:
    return {code: (meaning, what) for code, meaning in rows.items()}


_RETRY = {
    -1: ("the vendor is busy", "again, at most three times"),
    6000: ("data version conflict", "again"),
    45035: ("concurrent change conflict", "again, one at a time"),
    81026: ("feature under maintenance", "again in some minutes"),
    830003: ("download failed", "again"),
}
_TOKEN = {
    40001: ("bad credential", "fetch a token; refused again, check the secret"),
    40014: ("bad access_token", "fetch a token; refused again, check the app"),
    41001: ("access_token missing", "fetch a token"),
    42001: ("access_token expired", "fetch a token"),
}
_ACCOUNT = {
    40013: ("bad corpid", "correct corpid"),
    40056: ("bad agentid", "correct agentid"),
    40091: ("the secret belongs to another corp or app", "correct the secret"),
    41002: ("corpid missing", "set corpid"),
    41004: ("secret missing", "set the secret"),
    43009: ("the corp is not verified", "verify the corp with the vendor"),
    45031: ("the secret is considered unsafe", "reset the secret in the admin console and configure the new one"),
    48003: ("bad suite id", "check the third-party authorisation"),
    48004: ("bad suite authorisation", "check the third-party authorisation"),
    48010: ("TLS version not supported", "use a newer TLS library"),
    50003: ("the app is disabled", "enable the app in the admin console"),
    60020: ("the caller's IP is not trusted", "add the IP to the app's trusted IPs; it acts after a minute"),
    301002: ("the token may not act for this agentid", "use the agentid of the app the secret belongs to"),
    301007: ("the corp is dissolved or banned", "ask the vendor"),
    301042: ("the IP is not on the whitelist", "add the IP to the whitelist"),
    701008: ("no valid interface licence", "buy or renew the licence"),
    701099: ("no valid interface licence", "buy or renew the licence"),
    2000002: ("the corpid does not exist", "correct corpid"),
}
_LANE = {
    43012: ("the app has no callback URL", "configure a callback URL for the app"),
    48001: ("feature not authorised", "authorise it in the admin console"),
    48002: ("the app may not call this API", "use an app that may"),
    48005: ("the API is retired", "use its successor"),
    48006: ("permission withdrawn after long disuse", "grant it again"),
    60011: ("no permission on a member, department or tag", "widen the app's visible range"),
    60031: ("the app is barred from this API", "ask the vendor"),
    86008: ("the chat belongs to another app", "use the app that made it"),
    90206: ("the mini program is not linked to the app", "link it in the admin console"),
    90208: ("the mini program's appid does not match the app", "use the linked mini program"),
    92002: ("cross-corp call", "use objects of this corp"),
    92003: ("cross-app call", "use objects of this app"),
}
_FREQUENCY = {45009: ("frequency limit", "wait: a minute, then an hour, then until midnight in Beijing")}
_PARALLEL = {45033: ("too many concurrent calls", "wait a little and call less in parallel")}
_ABNORMAL = {45036: ("data access restricted after abnormal traffic", "find out what called so much")}

_RECIPIENTS = {
    40003: "bad userid",
    40031: "the list of userids has unknown ids",
    40032: "more than 1000 userids",
    40066: "bad list of departments",
    40068: "bad tag id",
    40070: "every tag is invalid",
    46004: "the user does not exist",
    50002: "a member is out of the permission range",
    60003: "the department does not exist",
    60021: "a user is outside the visible range",
    60111: "the userid does not exist",
    60123: "the department does not exist",
    81012: "no recipient scope given",
    81013: "every recipient is unknown, invisible or without a licence",
    82001: "users, departments and tags are all empty",
    82002: "more than 100 departments",
    82003: "more than 100 tags",
    82101: "the update has no target",
    82102: "a target of the update did not get the message",
    92000: "a user is outside the visible range",
}
_MEDIA = {
    40004: "bad media file type",
    40005: "bad upload type",
    40006: "bad file size",
    40007: "bad media_id: unknown, older than 3 days, or of another kind",
    40009: "bad image size",
    40011: "bad video size",
    40123: "broken image",
    40145: "the media_id is expired",
    40146: "bad Range header",
    41006: "media_id missing",
    41090: "the video is no valid MP4",
    44001: "empty multipart file",
    45001: "the media is too large",
    45007: "the voice is longer than 60 s",
    301015: "bad media id",
    301016: "voice could not be read",
    301017: "the voice is not AMR",
    301019: "md5 does not match",
    830001: "bad url of a file",
    830002: "the file is too large to download at once",
}
_CONTENT = {
    40008: "bad msgtype",
    40033: "illegal characters (escapes)",
    40035: "bad parameter",
    40039: "url too long",
    40058: "bad parameter (JSON, length, array size, empty field, or another app's msgid)",
    40063: "a parameter is empty",
    40074: "news does not support safe",
    40094: "bad url",
    40127: "uri scheme not supported",
    40201: "blocked by anti-spam",
    40204: "blocked by anti-spam",
    40206: "the request body is too large",
    41010: "url missing",
    41011: "agentid missing",
    41016: "title missing",
    41033: "description missing",
    44002: "empty POST",
    44003: "empty news",
    44004: "text content empty",
    45002: "content too large",
    45004: "description too long",
    45008: "more than 8 articles",
    45022: "name too long",
    45032: "mpnews author over 64 bytes",
    45034: "url without scheme",
    82004: "content that could crash clients",
    84200: "id translation failed",
    85002: "forbidden words",
    90200: "mini program notice: appid missing",
    90201: "mini program notice: too many items",
    90202: "mini program notice: bad key",
    90203: "mini program notice: bad value",
    90204: "mini program notice: bad page",
    90207: "mini program notice: bad appid",
}
_FOLLOW_UPS = {
    42014: "task_id exists, is empty, too long or illegal",
    42015: "the card was sent by another app",
    42016: "the task_id to update is unknown",
    42052: "the msgid is older than 24 h",
    60140: "the response_code is used, expired or foreign",
}
_CARDS = {
    42017: "task card: button key unknown",
    42018: "task card: bad button",
    42019: "task card: bad button",
    42020: "task card: bad button name",
    42027: "card: keyname",
    42028: "card: url",
    42029: "card: media_id",
    42030: "card: appid",
    42031: "card: card_type",
    42033: "card: title",
    42035: "card: length of horizontal_content_list",
    42036: "card: length of vertical_content_list",
    42037: "card: length of option_list",
    42038: "card: button text",
    42039: "card: button key",
    42040: "card: option id",
    42041: "card: option text",
    42042: "card: length of jump_list",
    42043: "card: question_key",
    42044: "card: card_image.url",
    42045: "card: card_action",
    42046: "card: key of the submit button",
    42047: "card: length of select_list",
    42049: "card: text of the submit button",
    42050: "card: userid of horizontal_content_list",
    42051: "card: action keys clash",
}
_ELSEWHERE = {
    42003: "oauth code expired",
    42007: "pre_auth_code expired",
    42009: "suite token expired",
    43004: "the member has not bound the plugin",
    45024: "account limit",
    45026: "deletion guard",
    45029: "the answer would be too large",
    46003: "menu not set",
    50001: "bad redirect domain",
}
_CHATS = {
    40050: "the chat does not exist",
    49008: "the chat is dissolved",
    86001: "bad chatid",
    86101: "only the owner may",
    86220: "chat: bad request",
    86222: "chat: bad request",
    86224: "chat: bad request",
}
_RUNS = (
    Errcode(60203, "template_msg (third-party apps)", Class.PERMANENT, last=60222),
    Errcode(65000, "school contacts", Class.PERMANENT, last=65999),
    Errcode(65022, "no school permission", Class.CONFIG, "grant the app the permission", Scope.LANE, last=65024),
    Errcode(86003, "chat: bad request", Class.PERMANENT, last=86007),
    Errcode(86201, "chat: bad request", Class.PERMANENT, last=86207),
    Errcode(86214, "chat: bad request", Class.PERMANENT, last=86217),
    Errcode(90500, "customer-group inheritance, not app messages", Class.PERMANENT, last=90511),
    Errcode(93000, "webhook robots, not app messages", Class.PERMANENT, last=93999),
)

ROWS: tuple[Errcode, ...] = (
    *_rows(Class.RETRY, _RETRY),
    *_rows(Class.TOKEN, _TOKEN),
    *_rows(Class.CONFIG, _ACCOUNT, Scope.ACCOUNT),
    *_rows(Class.CONFIG, _LANE, Scope.LANE),
    *_rows(Class.DEFER, _FREQUENCY, Scope.LANE, delay=60.0),
    *_rows(Class.DEFER, _PARALLEL, Scope.LANE, delay=2.0),
    *_rows(Class.DEFER, _ABNORMAL, Scope.LANE, delay=60.0),
    *_rows(Class.PERMANENT, _plain(_RECIPIENTS, "correct the recipients")),
    *_rows(Class.PERMANENT, _plain(_MEDIA, "upload a proper file")),
    *_rows(Class.PERMANENT, _plain(_CONTENT, "correct the message")),
    *_rows(Class.PERMANENT, _plain(_FOLLOW_UPS, "never again with the same id")),
    *_rows(Class.PERMANENT, _plain(_CARDS, "correct the card")),
    *_rows(Class.PERMANENT, _plain(_ELSEWHERE, "not for a self-built app's messages; look at the account")),
    *_rows(Class.PERMANENT, _plain(_CHATS, "correct the chat")),
    *_RUNS,
)
"""The whole catalogue; later rows win."""

_BY_CODE: Mapping[int, Errcode] = {code: row for row in ROWS for code in range(row.code, (row.last or row.code) + 1)}


def find(code: int) -> Errcode | None:
    """The row of a code, or None for one that was never seen."""
    return _BY_CODE.get(code)
