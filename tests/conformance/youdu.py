"""Youdu, as the suite sees it."""

from __future__ import annotations

from tests.conformance.case import Asked, Case
from tests.support.control import control
from worker import To
from worker.channels import youdu
from worker.domain.account import Account, Secret

KEYS = {name: f"canarysecret{name:+<31}=" for name in ("own", "other", "tight")}
"""44 characters of Base64 each."""


def _account(name: str, url: str) -> Account:
    settings = {"buin": 12345678, "appid": f"yd_{name}", "invalid_users": "partial", "deadline_s": 20.0}
    limits = {"calls_minute": 2} if name == "tight" else {}
    return Account(name, "youdu", url, settings, Secret(lambda: KEYS[name]), limits=limits)


def _send(n: int) -> Asked:
    return youdu.Text(content=f"canary-text {n}"), To("canary-person")


def _seen(url: str) -> list[str]:
    delivered = control(url, "youdu")["delivered"]
    return [f"{person} {one['app']} {one['content']}" for one in delivered for person in one["people"]]


CASE = Case(
    channel="youdu",
    account=_account,
    path="/cgi/msg/send",
    send=_send,
    seen=_seen,
    limit="calls_minute",
    canaries=("canary-text", "canary-person", "canarysecret"),
    two=lambda: (youdu.Text(content="canary-text two"), To(["ghost-canary-person", "canary-person"])),
    refused_by={"errcode": 100003},
    parks={"errcode": 100006},
    settings={"youdu": {"apps": [{"appid": f"yd_{name}", "aes_key": key} for name, key in KEYS.items()]}},
)
