"""The messages with one object of their own: text, image, file, link, sms, mail.

Source: c01_00003 发送应用消息. Characters are counted as units of UTF-16 (an emoji as two): the vendor does not say
what a character is, and this is the longer reading of the usual two. "Cut" means that the vendor would cut in silence,
so the worker refuses it at enqueue, or splits or truncates it when `overflow=` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import AliasChoices, Field

from worker.channels.typed import NO_FILE, Attached
from worker.channels.youdu.messages.message import PlainMessage


class Text(PlainMessage):
    """A text (4.3)."""

    msgtype: ClassVar[str] = "text"

    content: str
    """Required. At most 600 characters. Longer: cut. Client codes such as `/::)` and emoji are shown."""


class Image(PlainMessage):
    """An image (4.4): a media_id of the app, or a file to upload first."""

    msgtype: ClassVar[str] = "image"
    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "image")

    media_id: str | None = None
    """Of an `image` upload (200010 when the server does not know it). Required, or a file."""
    file: Attached | None = NO_FILE
    """Not empty; jpg, png or gif."""


class FileMessage(PlainMessage):
    """A file (4.5); members see the name it was uploaded under."""

    msgtype: ClassVar[str] = "file"
    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "file")

    media_id: str | None = None
    """Of a `file` upload (200010 when the server does not know it). Required, or a file."""
    file: Attached | None = NO_FILE
    """Not empty; any format."""


class Link(PlainMessage):
    """An implicit link (4.7, 隐式链接)."""

    msgtype: ClassVar[str] = "link"

    title: str
    """Required. At most 64 characters."""
    url: str
    """Required."""
    action: int | None = None
    """0 opens the URL as it is (default). 1: the client adds its `userName` and `token`, which log in as the member:
    only for hosts of the account's `sso_hosts`."""


class Sms(PlainMessage):
    """Passes on to members an SMS that the enterprise's gateway received (4.10). It sends no SMS to a phone."""

    msgtype: ClassVar[str] = "sms"
    NAMES: ClassVar[Mapping[str, str]] = {"sender": "from"}

    sender: str = Field(validation_alias=AliasChoices("from", "sender"))
    """Required: the vendor's `from`, the phone number the SMS came from."""
    content: str
    """Required. At most 600 characters. Longer: cut."""


class Mail(PlainMessage):
    """A notice of new mail, or the number of unread ones (4.11); only the app sysExmailAssistant may send it.

    To users, or by `Emails(...)` to addresses, which the vendor ignores beside users. Not to departments.
    """

    msgtype: ClassVar[str] = "mail"

    action: str | None = None
    """`new` or `unread`."""
    subject: str | None = None
    """Of a new mail; may be empty."""
    fromUser: str | None = None
    """Of a new mail: the sender's account."""
    fromEmail: str | None = None
    """Of a new mail: the sender's address; the vendor ignores it beside fromUser."""
    time: int | None = None
    """Of the mail, in Unix seconds (a test of the vendor's SDK has milliseconds, which are refused). Left out: the
    server's own time."""
    link: str | None = None
    """Of a new mail: what a click opens; without it the click logs in at the enterprise mail."""
    unreadCount: int | None = None
    """Of `unread`: how many."""


SIMPLE: tuple[type[PlainMessage], ...] = (Text, Image, FileMessage, Link, Sms, Mail)
"""By which JSON is read back; see `reading.py`."""
