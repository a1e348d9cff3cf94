"""What is left to us of a limit; and that an account's list of limits names every one that its calls are charged."""

from __future__ import annotations

from typing import Any

import pytest

from worker.channels import registry
from worker.domain.account import Account
from worker.domain.job import Part
from worker.domain.outcome import Scope
from worker.domain.pacing.limit import Limit, Unit

MINUTE = Limit("minute", 60, 100, Unit.CALLS, Scope.LANE, "45009", "a page")
IN_THE_AIR = Limit("air", 0, 1, Unit.IN_FLIGHT, Scope.PART, "45033", "a page")
TEXT = {"type": "text", "body": {"text": {"content": "hello"}}}

ACCOUNTS = {
    "wecom_app": {"corpid": "ww1", "agentid": 7, "account_cap": 100, "ip": "office"},
    "wecom_external": {"corpid": "ww1", "ip": "office"},
    "wecom_webhook": {"edition": "push"},
    "youdu": {"buin": 1, "appid": "app"},
}
PARTS: list[tuple[str, str, dict[str, Any], dict[str, Any], str | None]] = [
    ("wecom_app", "send", TEXT, {"users": ["Anna"]}, "Anna"),
    ("wecom_app", "send_chat", TEXT, {"chats": ["c1"]}, None),
    ("wecom_app", "recall", {}, {"msgid": "m1"}, None),
    ("wecom_app", "update_card", {}, {}, None),
    ("wecom_app", "create_chat", {}, {}, None),
    ("wecom_app", "change_chat", {}, {}, None),
    ("wecom_external", "send", TEXT, {"customers": ["wm1"]}, None),
    ("wecom_external", "remind", {}, {"msgid": "m1"}, "m1"),
    ("wecom_external", "track", {}, {"target": "j-0", "msgid": "m1"}, None),
    ("wecom_webhook", "send", TEXT, {"chats": ["C1"]}, "C1"),
    ("wecom_webhook", "send", TEXT, {"everyone": True, "audience": "groups"}, None),
    ("youdu", "send", TEXT, {"users": ["Anna"]}, None),
]


def an_account(channel: str, **fields: Any) -> Account:
    return Account("one", channel, "http://vendor", ACCOUNTS[channel], **fields)


@pytest.mark.parametrize(("channel", "kind", "message", "spec", "recipient"), PARTS)
def test_every_charge_is_in_the_list_of_the_accounts_limits(
    channel: str, kind: str, message: dict[str, Any], spec: dict[str, Any], recipient: str | None
) -> None:
    """Under the very subject, so that its use can be read; with the amount that is charged."""
    vendor = registry.channel(channel)
    account = an_account(channel, limits={"calls_minute": 5} if channel == "youdu" else {}, limit_share=0.5)
    part = Part("j-0", "j", 0, kind, message, spec)

    charged = {(one.limit, one.subject) for one in vendor.limits(part, account) if one.limit.window_s}
    counted = {(one.limit, one.subject) for one in vendor.counted(account, recipient)}

    assert charged
    assert charged <= counted


@pytest.mark.parametrize(("channel", "kind", "spec"), [(one[0], one[1], one[3]) for one in PARTS])
def test_calls_of_all_corps_behind_an_address_are_charged_to_it(channel: str, kind: str, spec: dict[str, Any]) -> None:
    """Every call but an application's send, under a subject that names no corp, so it is one row for all of them."""
    vendor, part = registry.channel(channel), Part("j-0", "j", 0, kind, TEXT, spec)
    charged, listed = [], []
    for corpid in ("ww1", "ww2"):
        account = Account(corpid, channel, "http://vendor", ACCOUNTS[channel] | {"corpid": corpid, "ip": "office"})
        charged.append([one for one in vendor.limits(part, account) if one.limit.name in ("ip_minute", "ip_hour")])
        listed += [(one.limit, one.subject) for one in vendor.counted(account, None)]

    wanted = channel in ("wecom_app", "wecom_external") and (channel, kind) != ("wecom_app", "send")
    assert ([20_000, 600_000] if wanted else []) == [one.limit.amount for one in charged[0]]
    assert charged[0] == charged[1]
    assert {(one.limit, one.subject) for one in charged[0]} <= set(listed)
    assert not [one for one in charged[0] if "ww1" in one.subject]


@pytest.mark.parametrize("channel", ACCOUNTS)
def test_the_list_names_every_published_limit_by_a_row(channel: str) -> None:
    """With its page, and what it counts; those that are off, too."""
    vendor = registry.channel(channel)
    account = an_account(channel)
    if channel == "wecom_webhook":
        robot = Account("one", channel, "http://vendor", {"edition": "robot"})
        listed = [*vendor.counted(account, None), *vendor.counted(robot, None)]
    else:
        listed = list(vendor.counted(account, None))

    assert set(vendor.profile) == {one.limit.name for one in listed}
    assert all(one.limit.source and one.limit.penalty and one.subject_kind for one in listed)


@pytest.mark.parametrize(
    ("share", "limits", "amount"),
    [
        (1.0, {}, 100),
        (0.5, {}, 50),
        (0.29, {}, 29),
        (0.001, {}, 1),
        (0.5, {"minute": 300}, 150),
        (0.5, {"minute": 0}, 0),
        ({"minute": 0.1}, {}, 10),
        ({"other": 0.1}, {}, 100),
    ],
)
def test_a_share_is_what_is_left_of_a_window(share: Any, limits: dict[str, int], amount: int) -> None:
    """Of the account's own amount where it has one; never less than one, and a limit that is off stays off."""
    account = an_account("wecom_app", limit_share=share, limits=limits)

    assert amount == account.amount_of(MINUTE)


def test_a_share_leaves_alone_what_no_window_counts() -> None:
    """One call in flight is one."""
    assert an_account("wecom_app", limit_share=0.1).amount_of(IN_THE_AIR) == 1


def test_half_of_a_day_is_half_of_the_accounts_cap() -> None:
    """200 x 100 person-times a day, of which half are ours."""
    vendor = registry.channel("wecom_app")
    part = Part("j-0", "j", 0, "send", TEXT, {"users": ["a"]})

    charges = vendor.limits(part, an_account("wecom_app", limit_share={"app_day": 0.5}))

    assert {one.limit.name: one.limit.amount for one in charges} == {
        "member_minute": 30,
        "member_hour": 1_000,
        "app_day": 10_000,
    }
