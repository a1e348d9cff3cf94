"""Every type of message and card that the drawing knows, sent once by its application; and what can happen to one.

The messages are those of `tests/support/drawn_samples.py`, with files that were really uploaded.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.browser.sender import BOARD, CHAT, PERSON, SINGLE, Sender, as_webhook_image
from tests.support.drawn_samples import PICTURE, SAMPLES
from worker.drawing import MessageView

MEMBERS = [PERSON, "lihua", "wangwei"]
UNSENT = ("recalled text", "cut text", "frozen card", "updated card", "card with a foreign field", "unknown type")
"""Samples of what happens to a message after it was sent, and one that no application may send."""
IN_CHATS = ("text", "image", "voice", "video", "file", "textcard", "news", "mpnews", "markdown")
ON_BOARDS = ("text", "markdown", "image")
COVER = {"url": PICTURE, "aspect_ratio": 2.2}
MEDIA = ("media_id", "thumb_media_id", "pic_media_id")


def send_everything(sender: Sender) -> None:
    """To a member, a group chat, a webhook's chats of all kinds, customers, and a person of Youdu."""
    sender.call("appchat/create", name="Project", owner=PERSON, userlist=MEMBERS, chatid=CHAT)
    send_samples(sender)
    _happenings(sender)


def send_samples(sender: Sender, change: Callable[[Any], Any] = lambda content: content) -> None:
    """Each sample once, its content changed before."""
    for name, sample in SAMPLES.items():
        if name not in UNSENT:
            _send(sender, name, replace(sample, content=change(sample.content)))


def picture(side: int = 96, colour: tuple[int, int, int] = (31, 102, 204)) -> bytes:
    """A PNG of one colour."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(colour) * side) * side)
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


FILES = {
    "image": ("海报.png", picture()),
    "voice": ("voice.amr", b"#!AMR\n" + b"\x7c" * 500),
    "video": ("clip.mp4", b"\x00\x00\x00\x18ftypmp42" + bytes(64)),
    "file": ("第三季度报告 2026.txt", "第三季度报告\n".encode() * 20),
}


def _send(sender: Sender, name: str, sample: MessageView) -> None:
    content = _with_files(sender, sample, sample.content, sample.msgtype)
    if sample.channel == "wecom_webhook" and sample.msgtype == "image":
        content = as_webhook_image(FILES["image"][1])
    more = {"safe": sample.safe} if sample.safe and name != "mpnews" else {}
    sender.send(sample.channel, sample.msgtype, content, **more)
    if sample.channel == "wecom_app" and sample.msgtype in IN_CHATS:
        # An article of a chat needs a url; those of applications may lead to a mini-program instead.
        articles = {"articles": content["articles"][:1]} if sample.msgtype == "news" else {}
        sender.to_chat(sample.msgtype, {**content, **articles})
    if sample.channel == "wecom_webhook" and sample.msgtype in ON_BOARDS:
        for chat in (BOARD, SINGLE):
            sender.send(sample.channel, sample.msgtype, content, chat)


def _happenings(sender: Sender) -> None:
    """A message cut, one recalled, one that a limit dropped, and a card with a field that its type does not have."""
    sender.send("wecom_app", "text", {"content": "很长的文字" * 300})
    card = SAMPLES["card with a foreign field"].content
    sender.send("wecom_app", "template_card", {**card, "task_id": "foreign", "quote_area": {"title": "x"}})
    wrong = sender.send("wecom_app", "text", {"content": "发错了"})
    assert sender.call("message/recall", msgid=wrong["msgid"])["errcode"] == 0


def _with_files(sender: Sender, sample: MessageView, content: Any, kind: str) -> Any:
    """The content with ids of uploaded files in the place of made-up ones."""
    match content:
        case dict():
            kind = str(content.get("msgtype", kind))
            uploaded = {name: _uploaded(sender, sample, kind) for name in MEDIA if content.get(name)}
            rest = {name: value for name, value in content.items() if name not in uploaded}
            made = {name: _with_files(sender, sample, value, kind) for name, value in rest.items()}
            return {**made, **uploaded} | ({"card_image": COVER} if "card_image" in content else {})
        case list():
            return [_with_files(sender, sample, value, kind) for value in content]
    return content


def _uploaded(sender: Sender, sample: MessageView, kind: str) -> str:
    kind = {"template_card": "file", "mpnews": "image", "miniprogram": "image", "exlink": "image"}.get(kind, kind)
    name, content = FILES[kind]
    if sample.channel == "youdu":
        return sender.upload_to_youdu(kind, name, content)
    if sample.channel == "wecom_webhook":
        kind = "voice" if kind == "voice" else "file"
        return sender.upload(kind, name, content, "webhook/upload_media")
    return sender.upload(kind, name, content)
