"""The vendor's field tables as rows of data, by msgType, and which of them a message is held against.

A table stands for the whole body. Source: c01_00003 (msg/send), c01_00006 (pop-up windows), c01_00005 (badges).

No code is documented for what breaks a row. Where the vendor says "cut", it says so; a title of a link, an exlink or a
sysMsg "may have at most 64": whether more is refused or cut is not confirmed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.checking.foreign import Foreign
from worker.channels.checking.row import Effect, Either, FieldRule, Prose, Row
from worker.domain.account import Account

SEND, UPLOAD, POP_WINDOW, BADGE = "send", "upload", "pop_window", "badge"
KINDS = (SEND, UPLOAD, POP_WINDOW, BADGE)
SENDS = frozenset({SEND, POP_WINDOW, BADGE})
"""The kinds that are for people."""
SPLIT_FIELD = "text.content"
"""The text that can go out as several messages."""

R = FieldRule
TEXT = 600
TITLE = 64
DIGEST = 120
ITEMS = (1, 5)
NO_YES = (0, 1)
LATEST_S = 10**11 - 1
"""A time in seconds from here on (the year 5138) is taken for milliseconds by mistake."""
MANY = 2**31 - 1
NOT_ALLOWED = "the vendor allows no more"


def cut(path: str, most: int, **more: Any) -> FieldRule:
    """The row of a text the vendor cuts beyond so many characters."""
    return R(path, max_utf16=most, effect=Effect.CUT, prose=Prose.PLAIN, **more)


def title(path: str, unit: str) -> FieldRule:
    """A title of which no more is allowed; older SDKs count its 64 in bytes."""
    if unit == "bytes":
        return R(path, required=True, max_bytes=TITLE, prose=Prose.PLAIN, note=NOT_ALLOWED)
    return R(path, required=True, max_utf16=TITLE, prose=Prose.PLAIN, note=NOT_ALLOWED)


_FIXED: Mapping[str, tuple[Row, ...]] = {
    "text": (R("text", dict, required=True), cut("text.content", TEXT, required=True)),
    "image": (R("image", dict, required=True), R("image.media_id", required=True, media="image")),
    "file": (R("file", dict, required=True), R("file.media_id", required=True, media="file")),
    "mpnews": (
        R("mpnews", list, required=True, entries=ITEMS),
        cut("mpnews[].title", TITLE, required=True),
        R("mpnews[].media_id", required=True, media="image"),
        cut("mpnews[].content", TEXT, required=True),
        cut("mpnews[].digest", DIGEST),
        R("mpnews[].showFront", int, allowed=NO_YES),
        R("mpnews[].url"),
    ),
    "sms": (R("sms", dict, required=True), R("sms.from", required=True), cut("sms.content", TEXT, required=True)),
    "mail": (
        R("mail", dict, required=True),
        R("mail.action", allowed=("new", "unread")),
        R("mail.subject"),
        R("mail.fromUser"),
        R("mail.fromEmail"),
        R("mail.time", int, between=(1, LATEST_S), note="the unit is seconds"),
        R("mail.link"),
        R("mail.unreadCount", int, between=(0, MANY)),
    ),
}


def _tables(unit: str) -> Mapping[str, tuple[Row, ...]]:
    """The tables, with the titles whose unit is not confirmed counted in this one."""
    return {
        **_FIXED,
        "link": (
            R("link", dict, required=True),
            title("link.title", unit),
            R("link.url", required=True),
            R("link.action", int, allowed=NO_YES),
        ),
        "exlink": (
            R("exlink", list, required=True, entries=ITEMS),
            title("exlink[].title", unit),
            R("exlink[].url", required=True),
            # Required by the page; the vendor's own SDK, of the same year, sends it empty for a card without a cover.
            R("exlink[].media_id", required=True, blank=True, media="image"),
            cut("exlink[].digest", DIGEST),
            R("exlink[].link_type", int),
            R("exlink[].date_hide", int),
            R("exlink[].tail_hide", int),
            R("exlink[].subtitle"),
            R("exlink[].link_desc"),
        ),
        "sysMsg": (
            R("sysMsg", dict, required=True),
            title("sysMsg.title", unit),
            R("sysMsg.popDuration", int),
            R("sysMsg.msg", list, required=True),
            R("sysMsg.msg[].text", dict),
            cut("sysMsg.msg[].text.content", TEXT, required=True),
            R("sysMsg.msg[].link", dict),
            title("sysMsg.msg[].link.title", unit),
            R("sysMsg.msg[].link.url", required=True),
            R("sysMsg.msg[].link.action", int, allowed=NO_YES),
        ),
    }


BODIES: Mapping[str, Mapping[str, tuple[Row, ...]]] = {unit: _tables(unit) for unit in ("characters", "bytes")}
"""By the unit of titles, then by msgType. A type not listed goes out as it is (`Raw`)."""

WINDOW_ROWS: tuple[Row, ...] = (
    R("popWindow", dict, required=True),
    Either(("url", "tip"), at="popWindow"),
    R("popWindow.url"),
    R("popWindow.tip"),
    R("popWindow.title"),
    R("popWindow.width", int, between=(0, MANY)),
    R("popWindow.height", int, between=(0, MANY)),
    R("popWindow.duration", int, between=(-1, MANY)),
    R("popWindow.position", int, allowed=(0, 1, 2, 3, 4)),
    R("popWindow.pop_mode", int),
    R("popWindow.notice_id"),
)
BADGE_ROWS: tuple[Row, ...] = (R("count", int, required=True, between=(0, MANY)), R("tip"))

OURS = frozenset({"toUser", "toDept", "toAll", "toEmail", "toGid", "msgType", "buin", "appId", "encrypt"})
"""Fields beside a type's own object that only the worker sets."""

MAIL_OF: Mapping[str, tuple[str, ...]] = {
    "new": ("subject", "fromUser", "fromEmail", "link"),
    "unread": ("unreadCount",),
}
"""Which fields of a mail belong to which action."""

UPLOAD_TYPES = ("image", "file", "voice", "video")
"""Other types: 200009."""

_OF_UPLOAD = "leave it out: it is what the file was uploaded with"
_FOREIGN = (
    Foreign("mpNews", instead="name it mpnews, in small letters, and in msgType too"),
    Foreign("mpnews[].show_front", (0,), "name it showFront"),
    Foreign("file.name", ("",), _OF_UPLOAD),
    Foreign("file.size", (0,), _OF_UPLOAD),
    Foreign("mail.time", (0,)),
)


def foreign(body: Mapping[str, Any]) -> tuple[Foreign, ...]:
    """What SDKs write and c01_00003 does not list; the vendor's own has a time of 0 and fields of the other action."""
    mail = body.get("mail")
    action = mail.get("action") if isinstance(mail, Mapping) else None
    others = (name for of, names in MAIL_OF.items() if action in MAIL_OF and of != action for name in names)
    return (*_FOREIGN, *(Foreign(f"mail.{name}", ("", 0)) for name in others))


def rows_of(kind: str, msgtype: str, account: Account) -> tuple[Row, ...]:
    """The rows of a message; none for a type we do not model."""
    if kind == POP_WINDOW:
        return WINDOW_ROWS
    if kind == BADGE:
        return BADGE_ROWS
    unit = str(account.settings.get("title_unit", "characters"))
    return BODIES.get(unit, BODIES["characters"]).get(msgtype, ())


def bodies(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The body: once, or once for each piece of a text that was split."""
    body = document["body"]
    if "pieces" in document:
        yield from ({**body, "text": {**body["text"], "content": piece}} for piece in document["pieces"])
    else:
        yield body
