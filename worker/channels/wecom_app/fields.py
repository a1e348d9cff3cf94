"""The vendor's field tables as rows of data, and which of them a message is held against: all but those of cards.

Source: page 90236 (发送应用消息, 2025/09/24, read again 2026-02-12), for app group chats (应用发送消息到群聊会话) pages
90245, 90248 and 98913. A row says what is required, how long, how many, and which errcode it would be. Bytes are of the
UTF-8 text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from worker.channels.checking.foreign import OFF, Foreign
from worker.channels.checking.row import Effect, Either, FieldRule, Prose, Row, Together
from worker.domain.account import Account
from worker.domain.job import Kind

R = FieldRule
URL_BYTES = 2048


def media(name: str, kind: str) -> FieldRule:
    """The row of a required media_id."""
    return R(name, required=True, media=kind, missing=41006)


def texts(path: str, bytes_: int, prose: Prose = Prose.PLAIN, **more: object) -> FieldRule:
    """The row of a text the vendor cuts beyond so many bytes."""
    return R(path, max_bytes=bytes_, effect=Effect.CUT, prose=prose, **more)  # type: ignore[arg-type]


# The help text of 45002 also lists text at 2048 bytes, so the cut might be an answer instead.
_TEXT = texts("content", 2048, Prose.LINKS, required=True, missing=44004, more=(45002,), translated=True)
_ARTICLES = R("articles", list, required=True, entries=(1, 8), code=45008)
_NEWS_TEXTS = (
    _ARTICLES,
    texts("articles[].title", 128, required=True, missing=41016, translated=True),
    texts("articles[].description", 512, translated=True),
    R("articles[].picurl", max_bytes=URL_BYTES, code=40058),
)
# Older copies, and the page of app group chats, give bytes; the page of 2026 gives characters. What is cut is cut in
# silence, so the smaller reading counts unless the account says otherwise (`textcard_unit = "characters"`).
_TEXTCARD = (
    texts("title", 128, required=True, missing=41016, translated=True),
    texts("description", 512, Prose.HTML, required=True, missing=41033, translated=True),
    R("url", required=True, max_bytes=URL_BYTES, link=True, missing=41010, code=40058, more=(40039,)),
    R("btntxt", max_chars=4, effect=Effect.CUT, prose=Prose.PLAIN),
)
TEXTCARD_BY_CHARACTERS = (
    *(replace(row, max_bytes=None, max_chars=row.max_bytes) for row in _TEXTCARD[:2]),
    *_TEXTCARD[2:],
)

BODIES: Mapping[str, tuple[Row, ...]] = {
    "text": (_TEXT, R("mentioned_list", list, strings=True, banned="only app group chats know it")),
    "image": (media("media_id", "image"),),
    "voice": (media("media_id", "voice"),),
    "video": (media("media_id", "video"), texts("title", 128), texts("description", 512)),
    "file": (media("media_id", "file"),),
    "textcard": _TEXTCARD,
    "news": (
        *_NEWS_TEXTS,
        R("articles[].url", max_bytes=URL_BYTES, link=True, missing=41010, code=40058),
        R("articles[].appid", code=90207, more=(90208,)),
        R("articles[].pagepath", max_bytes=128, code=40058),
        Either(("url", "appid"), 41010, at="articles[]"),
        Together(("appid", "pagepath"), 90207, at="articles[]"),
    ),
    "mpnews": (
        _ARTICLES,
        texts("articles[].title", 128, required=True, missing=41016, translated=True),
        media("articles[].thumb_media_id", "image"),
        R("articles[].author", max_bytes=64, code=45032, prose=Prose.PLAIN),
        R("articles[].content_source_url"),
        R("articles[].content", required=True, max_bytes=666 * 1024, missing=44004, code=45002, translated=True),
        texts("articles[].digest", 512, translated=True),
    ),
    "markdown": (R("content", required=True, max_bytes=2048, missing=44004, code=45002, prose=Prose.MARKDOWN),),
    # A pair with neither key nor value is dropped in silence; the code table says 90202 for an empty key.
    "miniprogram_notice": (
        R("appid", required=True, missing=90200, code=90207, more=(90206, 90208)),
        R("page", max_bytes=1024, code=90204),
        R("title", required=True, chinese=(4, 12), missing=41016, code=40058, prose=Prose.PLAIN, translated=True),
        R("description", chinese=(4, 12), code=40058, prose=Prose.PLAIN, translated=True),
        R("emphasis_first_item", bool),
        R("content_item", list, entries=(0, 10), code=90201),
        R("content_item[].key", required=True, chinese=(0, 10), code=90202, prose=Prose.PLAIN),
        R("content_item[].value", chinese=(0, 30), code=90203, prose=Prose.PLAIN, translated=True),
    ),
}
"""Rows of the plain types, by msgtype. A type not listed goes out as it is (`Raw`); listing it later is adding rows."""

_NO_MINI_PROGRAM = "news in app group chats leads to a url only"
CHAT_BODIES: Mapping[str, tuple[Row, ...]] = {
    **{name: rows for name, rows in BODIES.items() if name != "miniprogram_notice"},
    "text": (_TEXT, R("mentioned_list", list, strings=True)),
    "news": (
        *_NEWS_TEXTS,
        R("articles[].url", required=True, max_bytes=URL_BYTES, link=True, missing=41010, code=40058),
        R("articles[].appid", banned=_NO_MINI_PROGRAM),
        R("articles[].pagepath", banned=_NO_MINI_PROGRAM),
    ),
}
"""The types appchat/send takes (page 90248 应用推送消息), always with the lengths in bytes."""

NO_YES = (0, 1)
SAFE_FILES = frozenset("txt pdf doc docx ppt pptx xls xlsx xml jpg jpeg png bmp gif".split())  # noqa: SIM905
"""Endings of files that `safe` = 1 protects (page 90236, 文件消息)."""

ENVELOPE: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "text": {"safe": NO_YES, "enable_id_trans": NO_YES},
    "image": {"safe": NO_YES},
    "voice": {},
    "video": {"safe": NO_YES},
    "file": {"safe": NO_YES},
    "textcard": {"enable_id_trans": NO_YES},
    "news": {"enable_id_trans": NO_YES},
    "mpnews": {"safe": (0, 1, 2), "enable_id_trans": NO_YES},
    "markdown": {},
    "miniprogram_notice": {"enable_id_trans": NO_YES},
    "template_card": {"enable_id_trans": NO_YES},
}
"""The common options each type lists. All these types list the duplicate check too; others do not."""

CHAT_ENVELOPE: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    name: {"safe": NO_YES} if "safe" in ENVELOPE[name] else {} for name in CHAT_BODIES
}
"""appchat/send has no id translation, no duplicate check, and `safe` of 0 and 1 only (page 90248)."""

ENVELOPE_FIELDS = ("safe", "enable_id_trans")

OURS = frozenset(
    {"touser", "toparty", "totag", "chatid", "agentid", "msgtype", "enable_duplicate_check", "duplicate_check_interval"}
)
"""Envelope fields only the worker sets."""

INTERVAL = (1, 14400)
"""Seconds a duplicate check may look back: at most 4 hours (page 90236)."""

CHATID = r"[0-9A-Za-z]{1,32}"
"""The vendor compares it exactly; 86001 when it is another."""

_NAME = R("name", max_chars=50, effect=Effect.CUT, prose=Prose.PLAIN, code=86004)
_OWNER = R("owner", code=86005)

CREATE_CHAT: tuple[Row, ...] = (
    _NAME,
    _OWNER,
    R("userlist", list, strings=True, required=True, entries=(2, 2000), code=86006),
    R("chatid", charset=CHATID, code=86001),
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

_PROTECTED = "leave it out: only text, image, video, file and mpnews can be kept from being shared"
_TRANSLATED = "leave it out: nothing of this type is translated"
_SWITCHES = (Foreign("safe", OFF, _PROTECTED), Foreign("enable_id_trans", OFF, _TRANSLATED))
"""For the types that do not list them."""
_OBSOLETE = (
    Foreign("video.thumb_media_id", ("",), "leave it out: the client shows a picture of the video itself"),
    Foreign("news.articles[].btntxt", ("",), "send a TextCard, which has a btntxt, or leave it out"),
    Foreign("mpnews.media_id", ("",), "give articles: a stored mpnews can be sent no more"),
    Foreign(
        "mpnews.articles[].show_cover_pic",
        OFF,
        "put the picture into content, by the URL of an uploadimg upload: the cover is shown in the list alone",
    ),
)


def foreign(msgtype: str) -> tuple[Foreign, ...]:
    """The rows of a type that we model."""
    return (*(row for row in _SWITCHES if row.path not in ENVELOPE[msgtype]), *_OBSOLETE)


SENDS = frozenset({Kind.SEND.value, Kind.SEND_CHAT.value})


def body_rows(kind: str, msgtype: str, account: Account) -> tuple[Row, ...]:
    """The rows of a plain type; none for a type we do not model."""
    if kind == Kind.SEND_CHAT:
        return CHAT_BODIES.get(msgtype, ())
    if msgtype == "textcard" and account.settings.get("textcard_unit") == "characters":
        return TEXTCARD_BY_CHARACTERS
    return BODIES.get(msgtype, ())
