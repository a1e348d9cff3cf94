"""Accounts, parts and answers for the tests of youdu."""

from __future__ import annotations

import json
from typing import Any

from tests.support.youdu_vectors import APP_ID, BUIN, KEY
from worker.channels.youdu import Text
from worker.channels.youdu.channel import Youdu
from worker.crypto.youdu import YouduEnvelope
from worker.domain.account import Account
from worker.domain.call import Access, FileBody, Reply, Request
from worker.domain.content.recipient import Recipients, To
from worker.domain.job import Draft, Part

CHANNEL = Youdu()
ACCESS = Access("tok-0001", KEY)
JOB = "0190f3a2b4c57d8e9fa0b1c2d3e4f506"
ENVELOPE = YouduEnvelope(KEY, APP_ID)
HOSTS = ["oa.example.test"]
APPS = {"sysMsg": "sysMsgAssistant", "sms": "sysSmsAssistant", "mail": "sysExmailAssistant"}


def account(settings: dict[str, Any] | None = None, **fields: Any) -> Account:
    """An account that sends messages."""
    base = {"buin": BUIN, "appid": APP_ID, "sso_hosts": HOSTS}
    return Account("oa", "youdu", "http://youdu:7080", {**base, **(settings or {})}, **fields)


def account_for(msgtype: str, settings: dict[str, Any] | None = None, **fields: Any) -> Account:
    """An account of the app that a type needs."""
    app = {"appid": APPS[msgtype]} if msgtype in APPS else {}
    return account({**app, **(settings or {})}, **fields)


def text(content: str = "hello") -> dict[str, Any]:
    """The document of a text."""
    return Text(content=content).document()


def draft(message: dict[str, Any], to: Recipients | None = None, **fields: Any) -> Draft:
    """A job before it is stored; to one user unless told otherwise, through an app that may send it."""
    kind = CHANNEL.kind_of(message, Recipients())
    fields = {"kind": kind, "account": account_for(str(message.get("type"))), **fields}
    default = Recipients() if kind == "upload" else To("alice")
    return Draft(message=message, recipients=default if to is None else to, **fields)


def part(message: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **fields: Any) -> Part:
    """One part; a text to one user unless told otherwise."""
    n, message = fields.pop("n", 0), text() if message is None else message
    kind = fields.pop("kind", CHANNEL.kind_of(message, Recipients()))
    return Part(f"{JOB}-{n}", JOB, n, kind, message, {"users": ["alice"]} if spec is None else spec, **fields)


def reply(body: Any, status: int = 200, **headers: str) -> Reply:
    """An answer: bytes, or a value to be JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def said(errcode: int, errmsg: str = "ok", inside: Any = None) -> Reply:
    """An answer of the server, with something encrypted where it is given."""
    body = {"errcode": errcode, "errmsg": errmsg}
    if inside is not None:
        body["encrypt"] = ENVELOPE.seal(json.dumps(inside).encode(), bytes(16))
    return reply(body)


def sent(built: Request) -> dict[str, Any]:
    """What a request says inside its envelope."""
    assert isinstance(built.body, bytes)
    outer = json.loads(built.body)
    return json.loads(ENVELOPE.open(outer.get("encrypt") or outer["msg_encrypt"], tuple(APPS.values())))


def form(built: Request) -> tuple[dict[str, str], bytes]:
    """The fields of an upload, and its file part."""
    assert isinstance(built.body, FileBody)
    return dict(built.body.fields), b"".join(built.body.open())
