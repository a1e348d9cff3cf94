"""The call that ours is compared with: a body posted with requests, over one keep-alive Session a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import requests

QUEUE = "plain"
TIMEOUT_S = 20
USERS = 5_000
CONTENT = "你好，会议改到三点，地点不变。请带上上次的会议记录。"


def text_of(n: int) -> str:
    """Every job's text is another one, for an equal text is a duplicate."""
    return f"{n}: {CONTENT}"


def user_of(n: int) -> str:
    """One recipient a job; so many that no member's limit is near."""
    return f"u{n % USERS}"


def body_of(n: int) -> dict[str, Any]:
    """What ours sends, made ready beforehand."""
    return {"touser": user_of(n), "msgtype": "text", "agentid": 7, "text": {"content": text_of(n)}}


def url_of(vendor: str) -> str:
    """Where it is posted to."""
    return f"{vendor}/cgi-bin/message/send?access_token=tok_bare"


def caller(vendor: str, *, trust_env: bool) -> Callable[[dict[str, Any]], None]:
    """A function that posts a body, and raises unless it was accepted."""
    url, kept = url_of(vendor), threading.local()

    def send(body: dict[str, Any]) -> None:
        session = getattr(kept, "session", None)
        if session is None:
            session = kept.session = requests.Session()
            session.trust_env = trust_env
        accepted(session.post(url, json=body, timeout=TIMEOUT_S).json())

    return send


def accepted(answer: dict[str, Any]) -> None:
    """Raises for an answer that is no acceptance."""
    if answer["errcode"]:
        raise RuntimeError(answer["errcode"])
