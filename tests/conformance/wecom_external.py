"""WeCom group sends, as the suite sees them: a task of one member for one customer a call."""

from __future__ import annotations

from tests.conformance.case import Asked, Case
from tests.support.control import control
from worker.channels.wecom_external import Campaign
from worker.domain.account import Account, Secret
from worker.domain.content.recipient import Customers


def _account(name: str, url: str) -> Account:
    settings = {"corpid": f"ww-canary-{name}"}
    secret = Secret(lambda: f"canary-secret-{name}")
    return Account(name, "wecom_external", url, settings, secret, limits=LIMITS.get(name, {}))


LIMITS = {"tight": {"corp_minute": 2}}


def _send(n: int) -> Asked:
    return Campaign(text=f"canary-text {n}"), Customers({"canary-person": ["wm-canary-customer"]})


def _two() -> Asked:
    ids = ["ghost-canary-customer", "wm-canary-customer"]
    return Campaign(text="canary-text two"), Customers({"canary-person": ids})


def _seen(url: str) -> list[str]:
    """Tasks: what a member is asked to send twice, a customer gets twice."""
    tasks = control(url, "groupmsg_tasks")["tasks"]
    return [f"{sorted(one['members'])} {one['text']}" for one in tasks]


CASE = Case(
    channel="wecom_external",
    account=_account,
    path="/cgi-bin/externalcontact/add_msg_template",
    send=_send,
    seen=_seen,
    limit="corp_minute",
    canaries=("canary-text", "canary-person", "canary-customer", "canary-secret"),
    two=_two,
    refused_by={"errcode": 40058},
    parks={"errcode": 60020},
    settings={"external": {"dispatch_s": 0}},
)
