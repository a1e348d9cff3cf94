"""WeCom webhooks (message push), as the suite sees them."""

from __future__ import annotations

from tests.conformance.case import Asked, Case
from tests.support.control import control
from worker import Chats
from worker.channels import wecom_webhook as webhook
from worker.domain.account import Account, Secret


def _account(name: str, url: str) -> Account:
    key = Secret(lambda: f"canary-secret-{name}")
    limits = {"chat_minute": 2} if name == "tight" else {}
    return Account(name, "wecom_webhook", url, {"edition": "push", "deadline_s": 20.0}, key, limits=limits)


def _send(n: int) -> Asked:
    return webhook.Text(content=f"canary-text {n}"), Chats("wrcanary-person")


def _seen(url: str) -> list[str]:
    chats = control(url, "webhook")["chats"]
    return [f"{chat} {one['content']}" for chat, posts in chats.items() for one in posts]


CASE = Case(
    channel="wecom_webhook",
    account=_account,
    path="/cgi-bin/webhook/send",
    send=_send,
    seen=_seen,
    limit="chat_minute",
    canaries=("canary-text", "canary-person", "canary-secret"),
    two=lambda: (webhook.Text(content="canary-text two"), Chats("wrghostcanary-person", "wrcanary-person")),
    refused_by={"errcode": 40058},
    parks={"errcode": 93000},
)
