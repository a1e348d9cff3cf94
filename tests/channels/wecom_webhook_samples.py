"""Accounts, parts and messages for the tests of wecom_webhook."""

from __future__ import annotations

import json
from typing import Any

from worker.channels.wecom_webhook import Text
from worker.channels.wecom_webhook.channel import WecomWebhook
from worker.domain.account import Account
from worker.domain.call import Access, Reply
from worker.domain.content.message import Message
from worker.domain.content.recipient import Chats, Recipients
from worker.domain.job import Draft, Part

CHANNEL = WecomWebhook()
KEY = "633a31f6-0000-4bc4-97a0-0ec1eefaaaaa"
ACCESS = Access(secret=KEY)
JOB = "0190f3a2b4c57d8e9fa0b1c2d3e4f506"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
ALL_ADDRESSED = {"chatid_for": ["miniprogram", "file", "voice", "template_card"]}


def account(edition: str = "push", settings: dict[str, Any] | None = None, **fields: Any) -> Account:
    """A webhook."""
    fields = {"allow_everyone": True, **fields}
    return Account("alerts", "wecom_webhook", "http://vendor", {"edition": edition, **(settings or {})}, **fields)


def document(message: Message, blob: str = "b") -> dict[str, Any]:
    """The message as enqueue stores it, with an entry for each file."""
    files = {
        path: {
            "upload_type": kind,
            "name": file.name,
            "blob": blob,
            "size": file.measure()[0],
            "sha256": file.measure()[1],
        }
        for path, (kind, file) in message.files().items()
    }
    return {**message.document(), **({"files": files} if files else {})}


def draft(message: Message | dict[str, Any], to: Recipients | None = None, **fields: Any) -> Draft:
    """A job before it is stored; a send to one group unless told otherwise."""
    fields = {"kind": "send", "account": account(), **fields}
    content = message if isinstance(message, dict) else document(message)
    robot = fields["account"].settings["edition"] == "robot"
    default = Chats("wr1") if fields["kind"] == "send" and not robot else Recipients()
    return Draft(message=content, recipients=default if to is None else to, **fields)


def problems(message: Message | dict[str, Any], to: Recipients | None = None, **fields: Any) -> list[str]:
    """What the door says."""
    return [str(problem) for problem in CHANNEL.check(draft(message, to, **fields))]


def part(message: Message | dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **fields: Any) -> Part:
    """One part; a text to one group unless told otherwise."""
    n = fields.pop("n", 0)
    message = Text(content="hello") if message is None else message
    content = message if isinstance(message, dict) else document(message)
    spec = {"chats": ["wr1"]} if spec is None else spec
    return Part(f"{JOB}-{n}", JOB, n, fields.pop("kind", "send"), content, spec, **fields)


def sent(made: Part, of: Account | None = None) -> dict[str, Any]:
    """The JSON that goes out."""
    built = CHANNEL.request(made, of or account(), ACCESS, flagged=False)
    assert isinstance(built.body, bytes)
    body: dict[str, Any] = json.loads(built.body)
    return body


def reply(body: Any, status: int = 200, **headers: str) -> Reply:
    """An answer; bytes, or a value to be JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)
