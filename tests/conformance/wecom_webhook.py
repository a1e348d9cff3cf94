"""WeCom webhooks, as the suite sees them: message push, one chat a call."""

from __future__ import annotations

from tests.conformance.case import Asked, Case, control
from worker.channels.wecom_webhook import Text
from worker.domain.account import Account, Secret
from worker.domain.recipient import Chats


def _account(name: str, url: str) -> Account:
    secret = Secret(lambda: f"canary-secret-{name}")
    return Account(name, "wecom_webhook", url, {"edition": "push"}, secret, limits=LIMITS.get(name, {}))


LIMITS = {"tight": {"key_minute": 2}}


def _send(n: int) -> Asked:
    return Text(content=f"canary-text {n}"), Chats("wr-canary-person")


def _seen(url: str) -> list[str]:
    chats = control(url, "webhook")["chats"]
    return [f"{chat} {one['content']}" for chat, posts in chats.items() for one in posts]


CASE = Case(
    channel="wecom_webhook",
    account=_account,
    path="/cgi-bin/webhook/send",
    send=_send,
    seen=_seen,
    limit="key_minute",
    canaries=("canary-text", "canary-person", "canary-secret"),
    two=lambda: (Text(content="canary-text two"), Chats("wrghost-canary-person", "wr-canary-person")),
    refused_by={"errcode": 40058},
    parks={"errcode": 93000},
)
