"""Accounts, parts, jobs and replies for the tests of wecom_external."""

from __future__ import annotations

import json
from typing import Any

from worker.channels.wecom_external import Campaign
from worker.channels.wecom_external.channel import WecomExternal
from worker.domain.account import Account
from worker.domain.call import Access, Reply
from worker.domain.content.recipient import Customers, Recipients
from worker.domain.job import Draft, Part

CHANNEL = WecomExternal()
ACCESS = Access("tok_1")
JOB = "0190f3a2b4c57d8e9fa0b1c2d3e4f506"
PNG = (b"\x89PNG\r\n\x1a\n" + bytes(8)).hex()
NOW = 1_782_792_000
"""An instant in Unix seconds: 2026-06-30, noon in Shanghai."""


def account(settings: dict[str, Any] | None = None, **fields: Any) -> Account:
    """An account of the app that may call customer contact."""
    return Account("sales", "wecom_external", "http://vendor", {"corpid": "ww01", **(settings or {})}, **fields)


def campaign(text: str | None = "hello", *attachments: Any, **fields: Any) -> dict[str, Any]:
    """The document of a campaign."""
    return Campaign(text=text, attachments=list(attachments), **fields).document()


def draft(message: dict[str, Any] | None = None, to: Recipients | None = None, **fields: Any) -> Draft:
    """A job before it is stored; a campaign of one member to one customer unless told otherwise."""
    fields = {"kind": "send", "account": account(), **fields}
    default = Customers({"lihua": ["wm01"]}) if fields["kind"] == "send" else Recipients()
    return Draft(message=campaign() if message is None else message, recipients=default if to is None else to, **fields)


def part(message: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **fields: Any) -> Part:
    """One part; a campaign of one member to two customers unless told otherwise."""
    n = fields.pop("n", 0)
    message = campaign() if message is None else message
    spec = {"sender": "lihua", "customers": ["wm01", "wm02"]} if spec is None else spec
    return Part(f"{JOB}-{n}", JOB, n, fields.pop("kind", "send"), message, spec, **fields)


def task(kind: str, **spec: Any) -> Part:
    """A part about a task."""
    return part({"type": kind}, {"msgid": "msg1", "target": f"{JOB}-0", **spec}, kind=kind)


def reply(body: Any, status: int = 200, **headers: str) -> Reply:
    """A reply: bytes, or a value to be JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def outcome(answer: Any, made: Part | None = None) -> Any:
    """What an answer means for a part."""
    given = answer if isinstance(answer, Reply) else reply(answer)
    return CHANNEL.outcome(part() if made is None else made, account(), given, ACCESS).outcome


def coded(code: int, **more: Any) -> Reply:
    """An answer with this code."""
    return reply({"errcode": code, "errmsg": "x", **more})


def sent(made: Part) -> tuple[str, dict[str, Any]]:
    """Path and JSON of a part's call."""
    built = CHANNEL.request(made, account(), ACCESS, flagged=False)
    assert isinstance(built.body, bytes)
    assert built.query == {"access_token": "tok_1"}
    return built.path, json.loads(built.body)
