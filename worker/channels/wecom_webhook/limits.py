"""The published limits of webhooks, and what a part costs against them. Counts nothing itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from worker.channels.wecom.limits import counted, with_amount
from worker.channels.wecom_webhook import call, fields
from worker.channels.wecom_webhook.account import edition
from worker.channels.wecom_webhook.targets import is_member
from worker.domain.account import Account
from worker.domain.job import Kind, Part
from worker.domain.outcome import Scope
from worker.domain.pacing.limit import Charge, Limit, LimitCounter, Unit

ROBOTS = "page 99110 消息推送配置说明, 消息发送频率限制 (read 2026-02-12)"
PUSHES = "消息推送接口说明（内测）, 消息发送频率限制 (2025/09/30)"

_ROBOT = (Limit("robot_minute", 60, 20, Unit.CALLS, Scope.LANE, "45009", ROBOTS),)
# A group or blackboard, and one member's single chat: the page has the same amount for both.
_CHAT = Limit("chat_minute", 60, 100, Unit.CALLS, Scope.LANE, "45009, 93005", PUSHES)
_BROADCAST = Limit("broadcast_minute", 60, 100, Unit.CALLS, Scope.LANE, "45009", PUSHES)
# Every chat has its own lane, so a limit that all of them share has the scope of the account.
_KEY = Limit("key_minute", 60, 10_000, Unit.CALLS, Scope.ACCOUNT, "45009", PUSHES)
_EQUAL = Limit("equal_bodies", 0, 1, Unit.IN_FLIGHT, Scope.PART, "45033 or 45035 (not published which)", PUSHES)
_ALLOWANCE = Limit("single_chat", 0, 3, Unit.ALLOWANCE, Scope.LANE, "93005", PUSHES)

PROFILE: Mapping[str, Limit] = {limit.name: limit for limit in (*_ROBOT, _CHAT, _BROADCAST, _KEY, _EQUAL, _ALLOWANCE)}
"""Limits by the name under which an account overrides the amount. 0 switches one off."""


def limits(part: Part, account: Account) -> list[Charge]:
    """Returns what this call costs. An upload's cost is not published."""
    if part.kind != Kind.SEND:
        return []
    if edition(account) == fields.ROBOT:
        charges = [Charge(limit, account.name) for limit in _ROBOT]
    else:
        charges = [*_place_charges(part, account), Charge(_EQUAL, call.body_hash(part, account))]
    if not account.has_own_amounts:
        return charges
    amounts = ((charge, account.amount_of(charge.limit)) for charge in charges)
    return [replace(one, limit=with_amount(one.limit, amount)) for one, amount in amounts if amount]


def _place_charges(part: Part, account: Account) -> list[Charge]:
    key = Charge(_KEY, account.name)
    if not (chats := part.spec.get("chats")):
        return [Charge(_BROADCAST, account.name), key]
    # A userid may come in any case. Two chat ids that differ only in case would at most wait for each other.
    charges = [Charge(_CHAT, f"{account.name}/{chats[0].lower()}"), key]
    if account.settings.get("subscribed", True) is False:
        # If callbacks arrive here, a send to a member who never spoke waits. Otherwise only the vendor knows.
        waits = isinstance(account.settings.get("callback"), Mapping) and is_member(chats[0])
        charges.append(Charge(_ALLOWANCE, chats[0], recipient=chats[0] if waits else None))
    return charges


def all_counted(account: Account, recipient: str | None) -> Iterator[LimitCounter]:
    """Yields every limit of a webhook. With a `recipient`, the limit of a chat names that chat's count."""
    if edition(account) == fields.ROBOT:
        yield from counted(_ROBOT, account, "the webhook", account.name)
        return
    chat = ("each chat", None) if recipient is None else (f"chat {recipient}", f"{account.name}/{recipient.lower()}")
    yield from counted((_CHAT,), account, *chat)
    yield from counted((_BROADCAST,), account, "broadcasts", account.name)
    yield from counted((_KEY,), account, "the webhook", account.name)
    yield from counted((_EQUAL,), account, "equal bodies in flight", None)
    yield from counted((_ALLOWANCE,), account, "a member's single chat", None)
