"""Accounts, parts and recorded replies for the tests of wecom_app."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from worker.channels.wecom_app import ButtonCard, Text
from worker.channels.wecom_app.channel import WecomApp
from worker.domain.account import Account
from worker.domain.call import Access, Reply
from worker.domain.content.recipient import Recipients, To
from worker.domain.job import Draft, Part

REPLIES = Path(__file__).parent / "replies"
CHANNEL = WecomApp()
ACCESS = Access("t")
JOB = "0190f3a2b4c57d8e9fa0b1c2d3e4f506"
PNG = (b"\x89PNG\r\n\x1a\n" + bytes(8)).hex()


def account(settings: dict[str, Any] | None = None, **fields: Any) -> Account:
    """An account like the one of the design's sample."""
    base = {"corpid": "ww01", "agentid": 1000007, "callback": True}
    return Account("hr", "wecom_app", "http://vendor", {**base, **(settings or {})}, **fields)


def text(content: str = "hello") -> dict[str, Any]:
    """The document of a text."""
    return Text(content=content).document()


def card(**fields: Any) -> dict[str, Any]:
    """The document of a small valid button card."""
    base = {"main_title": {"title": "leave"}, "button_list": [{"text": "ok", "key": "ok"}]}
    return ButtonCard(**{**base, **fields}).document()


def draft(message: dict[str, Any], to: Recipients | None = None, **fields: Any) -> Draft:
    """A job before it is stored; a send to one member unless told otherwise."""
    fields = {"kind": "send", "account": account(), **fields}
    default = To("lihua") if fields["kind"] == "send" else Recipients()
    return Draft(message=message, recipients=default if to is None else to, **fields)


def part(message: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **fields: Any) -> Part:
    """One part; a text to one member unless told otherwise."""
    n = fields.pop("n", 0)
    message = text() if message is None else message
    spec = {"users": ["lihua"]} if spec is None else spec
    return Part(f"{JOB}-{n}", JOB, n, fields.pop("kind", "send"), message, spec, **fields)


def recorded(name: str) -> bytes:
    """The body of a recorded reply."""
    return (REPLIES / f"{name}.json").read_bytes()


def reply(body: Any, status: int = 200, **headers: str) -> Reply:
    """A reply: a recorded name, bytes, or a value to be JSON."""
    if isinstance(body, str):
        body = recorded(body)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def sent(built: Any) -> dict[str, Any]:
    """The JSON of a request."""
    return json.loads(built.body)
