"""WeCom application messages, as the suite sees them."""

from __future__ import annotations

from tests.conformance.case import Asked, Case
from tests.support.control import control
from worker import ButtonCard, Text, To
from worker.channels.wecom_app import Button, MainTitle
from worker.domain.account import Account, Secret


def _account(name: str, url: str) -> Account:
    settings = {"corpid": f"ww-canary-{name}", "agentid": 7, "callback": True}
    return Account(
        name, "wecom_app", url, settings, Secret(lambda: f"canary-secret-{name}"), limits=LIMITS.get(name, {})
    )


LIMITS = {"tight": {"member_minute": 2}}


def _send(n: int) -> Asked:
    return Text(content=f"canary-text {n}"), To(users=["canary-person"])


def _seen(url: str) -> list[str]:
    people = control(url, "inbox")["people"]
    return [f"{person} {one['content']}" for person, messages in people.items() for one in messages]


def _card() -> Asked:
    button = Button(text="Yes", key="yes")
    return ButtonCard(main_title=MainTitle(title="canary-text"), button_list=[button]), To(users=["canary-person"])


CASE = Case(
    channel="wecom_app",
    account=_account,
    path="/cgi-bin/message/send",
    send=_send,
    seen=_seen,
    limit="member_minute",
    canaries=("canary-text", "canary-person", "canary-secret"),
    two=lambda: (Text(content="canary-text two"), To(users=["ghost-canary-person", "canary-person"])),
    refused_by={"errcode": 40058},
    parks={"errcode": 60020},
    cards=_card,
)
