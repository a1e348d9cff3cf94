"""The messages of Youdu, typed. They only hold and lay out values; `check.py` says what is wrong with them.

Source: c01_00003 发送应用消息. Characters are counted as units of UTF-16 (an emoji as two): the vendor does not say
what a character is, and this is the longer reading of the usual two. "Cut" means that the vendor would cut in silence,
so the worker refuses it at enqueue, or splits or truncates it when `overflow=` says so. A field that is said to be
undocumented is one that the vendor's own SDKs send. No code is documented for what breaks a row; a title of a link, an
exlink or a sysMsg "may have at most 64": whether more is refused or cut is not confirmed.

A `repr` or a validation error of these types never shows a value: what stands in them is message text.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AliasChoices, Field

from worker.channels.checking.row import AnyOf, Effect, FieldRule, Prose, R, Row
from worker.channels.reading import (
    BodyReader,
    is_without_effect,
    left_out,
    object_of,
    refuse_misplaced_fields,
    validated,
)
from worker.channels.typed import NO_FILE, Attached, PlainMessage, VendorMessage, VendorObject, attached, plain_value
from worker.domain.content.message import File, Message
from worker.domain.content.recipient import Everyone, Recipients, parse_ids
from worker.domain.errors import CheckFailed, Problem

__all__ = [
    "Badge",
    "ExLink",
    "ExLinkItem",
    "FileMessage",
    "Image",
    "Link",
    "Mail",
    "MpNews",
    "MpNewsItem",
    "PopWindow",
    "Sms",
    "SysItem",
    "SysLink",
    "SysMsg",
    "SysText",
    "Text",
    "message_from_json",
    "message_to_json",
    "recipients_from_json",
]


TEXT = 600
TITLE = 64
DIGEST = 120
LATEST_S = 10**11 - 1
"""A time in seconds from here on (the year 5138) is taken for milliseconds by mistake."""
MANY = 2**31 - 1
NOT_ALLOWED = "the vendor allows no more"


def _cut(most: int) -> FieldRule:
    """A text the vendor cuts beyond so many characters."""
    return R(max_utf16=most, effect=Effect.CUT, prose=Prose.PLAIN)


Title = Annotated[str, R(max_utf16=TITLE, prose=Prose.PLAIN, note=NOT_ALLOWED)]
"""A title of which no more is allowed."""
Flag = Annotated[int | None, R(allowed=(0, 1))]
Count = Annotated[int | None, R(between=(0, MANY))]


class ItemsMessage(VendorMessage):
    """Base of the messages whose object is an array."""

    msgtype: ClassVar[str]

    items: list[Any]
    """The entries of the array."""

    @classmethod
    def fields_of(cls, content: Any) -> Mapping[str, Any] | None:
        """See `VendorMessage.fields_of`."""
        return {"items": content} if isinstance(content, list) else None

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        return {"type": self.msgtype, "body": {self.msgtype: plain_value(self.items)}}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return {path: file for n, row in enumerate(self.items) for path, file in attached(row, f"{self.msgtype}.{n}")}


class Text(PlainMessage):
    """A text (4.3)."""

    msgtype: ClassVar[str] = "text"

    content: Annotated[str, _cut(TEXT)]
    """Required. At most 600 characters. Longer: cut. Client codes such as `/::)` and emoji are shown."""

    if TYPE_CHECKING:  # its content may stand without the name

        def __init__(self, content: str) -> None: ...


class Image(PlainMessage):
    """An image (4.4): a media_id of the app, or a file to upload first."""

    msgtype: ClassVar[str] = "image"
    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "image")

    media_id: Annotated[str | None, R(required=True, media="image")] = None
    """Of an `image` upload (200010 when the server does not know it). Required, or a file."""
    file: Attached | None = NO_FILE
    """Not empty; jpg, png or gif."""


class FileMessage(PlainMessage):
    """A file (4.5); members see the name it was uploaded under."""

    msgtype: ClassVar[str] = "file"
    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "file")

    media_id: Annotated[str | None, R(required=True, media="file")] = None
    """Of a `file` upload (200010 when the server does not know it). Required, or a file."""
    file: Attached | None = NO_FILE
    """Not empty; any format."""


class Link(PlainMessage):
    """An implicit link (4.7, 隐式链接)."""

    msgtype: ClassVar[str] = "link"

    title: Title
    """Required. At most 64 characters."""
    url: str
    """Required."""
    action: Flag = None
    """0 opens the URL as it is (default). 1: the client adds its `userName` and `token`, which log in as the member:
    only for hosts of the account's `sso_hosts`."""


class Sms(PlainMessage):
    """Passes on to members an SMS that the enterprise's gateway received (4.10). It sends no SMS to a phone."""

    msgtype: ClassVar[str] = "sms"
    NAMES: ClassVar[Mapping[str, str]] = {"sender": "from"}

    sender: str = Field(validation_alias=AliasChoices("from", "sender"))
    """Required: the vendor's `from`, the phone number the SMS came from."""
    content: Annotated[str, _cut(TEXT)]
    """Required. At most 600 characters. Longer: cut."""


MAIL_OF: Mapping[str, tuple[str, ...]] = {
    "new": ("subject", "fromUser", "fromEmail", "link"),
    "unread": ("unreadCount",),
}
"""Which fields of a mail belong to which action."""


def fields_of_other_actions(action: object) -> Iterator[str]:
    """Yields the fields of a mail that belong to another action than its own. None for an unknown action."""
    if action in tuple(MAIL_OF):
        yield from (name for other, names in MAIL_OF.items() if other != action for name in names)


class Mail(PlainMessage):
    """A notice of new mail, or the number of unread ones (4.11); only the app sysExmailAssistant may send it.

    To users, or by `Emails(...)` to addresses, which the vendor ignores beside users. Not to departments.
    """

    msgtype: ClassVar[str] = "mail"

    action: Annotated[str | None, R(allowed=("new", "unread"))] = None
    """`new` or `unread`."""
    subject: str | None = None
    """Of a new mail; may be empty."""
    fromUser: str | None = None
    """Of a new mail: the sender's account."""
    fromEmail: str | None = None
    """Of a new mail: the sender's address; the vendor ignores it beside fromUser."""
    time: Annotated[int | None, R(between=(1, LATEST_S), note="the unit is seconds")] = None
    """Of the mail, in Unix seconds (a test of the vendor's SDK has milliseconds, which are refused). Left out: the
    server's own time."""
    link: str | None = None
    """Of a new mail: what a click opens; without it the click logs in at the enterprise mail."""
    unreadCount: Count = None
    """Of `unread`: how many."""

    @classmethod
    def fields_of(cls, content: Any) -> Mapping[str, Any] | None:
        """See `VendorMessage.fields_of`. The vendor's own SDK writes a time of 0, and fields of the other action."""
        if not isinstance(content, Mapping):
            return None
        names = {*fields_of_other_actions(content.get("action")), "time"} & content.keys()
        empty = sorted(name for name in names if is_without_effect(content[name]))
        for name in empty:
            left_out(f"mail.{name}")
        return {name: value for name, value in content.items() if name not in empty}


class MpNewsItem(VendorObject):
    """One article."""

    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "image")

    title: Annotated[str, _cut(TITLE)]
    """Required. At most 64 characters. Longer: cut."""
    media_id: Annotated[str | None, R(required=True, media="image")] = None
    """The cover, of an `image` upload. Required, or a file."""
    file: Attached | None = NO_FILE
    """The cover."""
    content: Annotated[str, _cut(TEXT)]
    """Required: the body. At most 600 characters. Longer: cut."""
    digest: Annotated[str | None, _cut(DIGEST)] = None
    """At most 120 characters. Longer: cut."""
    showFront: Flag = None
    """1 shows the cover in the body, 0 does not."""
    url: str | None = None
    """Undocumented; two of the vendor's SDKs send it."""


class MpNews(ItemsMessage):
    """Articles with a cover (4.6)."""

    msgtype: ClassVar[str] = "mpnews"
    NAMES: ClassVar[Mapping[str, str]] = {"items": msgtype}

    items: Annotated[list[MpNewsItem], R(entries=(1, 5))]
    """Required, 1 to 5."""


class ExLinkItem(VendorObject):
    """One card that leads to a URL."""

    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "image")

    title: Title
    """Required. At most 64 characters."""
    url: str
    """Required."""
    media_id: Annotated[str | None, R(required=True, blank=True, media="image")] = None
    """The cover, of an `image` upload. Required, or a file; `""` sends the card without one, as the vendor's SDK does
    against its documentation (warned)."""
    file: Attached | None = NO_FILE
    """The cover."""
    digest: Annotated[str | None, _cut(DIGEST)] = None
    """At most 120 characters. Longer: cut."""
    link_type: int | None = None
    """Undocumented; the vendor's SDK sends 0."""
    date_hide: int | None = None
    """Undocumented; the vendor's SDK sends 0."""
    tail_hide: int | None = None
    """Undocumented; the vendor's SDK sends 0."""
    subtitle: str | None = None
    """Undocumented; the vendor's SDK sends it empty."""
    link_desc: str | None = None
    """Undocumented; the vendor's SDK sends it empty."""


class ExLink(ItemsMessage):
    """Cards that lead elsewhere (4.8)."""

    msgtype: ClassVar[str] = "exlink"
    NAMES: ClassVar[Mapping[str, str]] = {"items": msgtype}

    items: Annotated[list[ExLinkItem], R(entries=(1, 5))]
    """Required, 1 to 5."""


class SysText(VendorObject):
    """A run of text in a system message."""

    content: Annotated[str, _cut(TEXT)]
    """Required. At most 600 characters. Longer: cut."""


class SysLink(VendorObject):
    """A link in a system message."""

    title: Title
    """Required. At most 64 characters."""
    url: str
    """Required."""
    action: Flag = None
    """0 opens the URL as it is; 1 hands it the member's login: only for hosts of the account's `sso_hosts`."""


class SysItem(VendorObject):
    """One entry: either a text or a link."""

    text: SysText | None = None
    """A text; None: the entry is a link."""
    link: SysLink | None = None
    """A link; None: the entry is a text."""


class SysMsg(PlainMessage):
    """A system message, to some or, by `Everyone()`, to all."""

    msgtype: ClassVar[str] = "sysMsg"
    OPTIONS: ClassVar[tuple[str, ...]] = ("only_online",)

    title: Title
    """Required. At most 64 characters."""
    msg: list[SysItem]
    """Required: texts and links in order, such as `[{"text": {"content": "..."}}]`."""
    popDuration: int | None = None
    """Seconds the pop-up stays; 0 and less: until it is closed. Left out, the client decides."""
    only_online: bool | None = None
    """With `Everyone()` only: true reaches those online now, and the others never; false (default) those at their
    next login too."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`; `onlyOnline` stands with the recipients, so it is an option."""
        out = super().document()
        if self.only_online is not None:
            out["options"] = {"onlyOnline": self.only_online}
        return out


class PopWindow(VendorMessage):
    """A window that pops up at members, on Windows clients only."""

    ROWS: ClassVar[tuple[Row, ...]] = (AnyOf(("url", "tip")),)

    url: str | None = None
    """The page to open. url or tip is required; beside a url the tip is not shown."""
    tip: str | None = None
    """The text to show."""
    title: str | None = None
    """Of the window."""
    width: Count = None
    """Of the window, 0 or more; the documentation names no unit. Left out, the client decides."""
    height: Count = None
    """Of the window, as the width."""
    duration: Annotated[int | None, R(between=(-1, MANY))] = None
    """Seconds it stays: 0 or left out 5, -1 until it is closed."""
    position: Annotated[int | None, R(allowed=(0, 1, 2, 3, 4))] = None
    """0 or left out: centre; 1 top left, 2 top right, 3 bottom right, 4 bottom left."""
    pop_mode: int | None = None
    """1 browser, 2 window; any other: as the app is set."""
    notice_id: str | None = None
    """A later window of the same id takes the earlier one's place, which makes a repeat harmless. Left out, the worker
    gives one for each call; `""` sends none, and an unanswered call is held."""

    def document(self) -> dict[str, Any]:
        """`{"type": "pop_window", "body": {"popWindow": {...}}}`."""
        return {"type": "pop_window", "body": {"popWindow": self.model_dump(mode="json", exclude_none=True)}}


class Badge(VendorMessage):
    """The count on the app's icon of each of the users named: one call for each.

    It is absolute, so a repeat is harmless.
    """

    count: Annotated[int, R(between=(0, MANY))]
    """Required, 0 or more; 0 clears it and shows no tip."""
    tip: str | None = None
    """Shown in a pop-up."""

    def document(self) -> dict[str, Any]:
        """`{"type": "badge", "body": {"count": .., "tip": ..}}`."""
        return {"type": "badge", "body": self.model_dump(mode="json", exclude_none=True)}


SEND, UPLOAD, POP_WINDOW, BADGE = "send", "upload", "pop_window", "badge"
KINDS = (SEND, UPLOAD, POP_WINDOW, BADGE)
SENDS = frozenset({SEND, POP_WINDOW, BADGE})
"""The kinds that have people as recipients."""

_TYPES: tuple[type[PlainMessage | ItemsMessage], ...] = (
    *(Text, Image, FileMessage, Link, Sms, Mail, SysMsg),
    *(MpNews, ExLink),
)
CLASSES: Mapping[str, type[PlainMessage | ItemsMessage]] = {message.msgtype: message for message in _TYPES}
"""The message classes by msgType."""

OURS = frozenset({"toUser", "toDept", "toAll", "toEmail", "toGid", "msgType", "buin", "appId", "encrypt"})
"""Fields next to a type's own object that only the worker sets."""


# -- the vendor's JSON, as it stands inside the envelope ---------------------------------------------------------------

_READER = BodyReader("msgType", CLASSES, OURS)


def message_from_json(data: str | bytes | Mapping[str, Any], *, raw: bool = False) -> Message:
    """The typed message of a body of msg/send, popwindow or set.ent.notice.

    A type without a class here is refused, or with `raw=True` becomes `Raw`. A neutral value that SDKs write (a mail's
    `"time": 0`) is left out with a `UserWarning`. Files cannot stand in JSON; media_ids can. Raises CheckFailed, which
    says what does not fit.
    """
    body = object_of(data)
    if "msgType" not in body and isinstance(body.get("popWindow"), Mapping):
        siblings = {name: value for name, value in body.items() if name not in {*OURS, "popWindow"}}
        refuse_misplaced_fields(PopWindow, "popWindow", {}, siblings)
        return validated(PopWindow, body["popWindow"], "popWindow")
    if "msgType" not in body and "account" in body:
        return validated(Badge, {name: value for name, value in body.items() if name != "account"}, "badge")
    if "mpNews" in body:
        remedy = "name it mpnews, in small letters, and in msgType too"
        raise CheckFailed([Problem("mpNews", "is not among the vendor's fields (any more)", remedy)])
    to_all = body.get("toAll")
    options = {"only_online": _only_online(to_all)} if isinstance(to_all, Mapping) else {}
    return _READER.read(body, options, raw=raw)


def message_to_json(message: Message) -> dict[str, Any]:
    """The body of a message without its recipients; of a badge without its account."""
    document = message.document()
    body: dict[str, Any] = document["body"]
    return body if document["type"] in ("pop_window", "badge") else {"msgType": document["type"], **body}


def recipients_from_json(data: str | bytes | Mapping[str, Any]) -> Recipients:
    """Whom a body is for."""
    body = object_of(data)
    if not is_without_effect(body.get("toGid")):
        text = "is not among the vendor's fields (any more)"
        raise CheckFailed([Problem("toGid", text, "name users or departments")])
    if body.get("toDept") == "0" or _goes_to_all(body):
        if (body.get("toUser") or body.get("toDept")) and _only_online(body.get("toAll")):
            told = "toUser, toDept: left out beside toAll, so those who are offline get nothing"
            warnings.warn(told, stacklevel=2)
        return Everyone()
    users = parse_ids(body.get("account"), "account") or parse_ids(body.get("toUser"), "toUser")
    emails = parse_ids(body.get("toEmail"), "toEmail")
    if users and emails:
        warnings.warn("toEmail: ignored beside toUser, and left out", stacklevel=2)
    return Recipients(users, parse_ids(body.get("toDept"), "toDept"), emails=() if users else emails)


def _only_online(to_all: Any) -> Any:
    """Returns the flag of `toAll`, which the documentation spells both ways."""
    return to_all.get("onlyOnline", to_all.get("onliyOnline")) if isinstance(to_all, Mapping) else None


def _goes_to_all(body: Mapping[str, Any]) -> bool:
    """Returns True for a sysMsg with its object `toAll`. None and false stand in bodies that are not for all."""
    to_all = body.get("toAll")
    if to_all is None or to_all is False:
        return False
    if body.get("msgType") != "sysMsg" or not isinstance(to_all, Mapping):
        text = "only a sysMsg has it, and as an object"
        raise CheckFailed([Problem("toAll", text, 'write {"onlyOnline": false} there, and "toDept": "0" elsewhere')])
    return True
