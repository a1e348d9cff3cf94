"""Recipients and senders of a campaign: customers or customer groups, by the member responsible for them.

There is a call for each sender and, within it, for every 10,000 customers or 2,000 groups (page 92135).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.channels.checking.targets import malformed, other_recipients
from worker.channels.wecom.names import USERID, USERID_WANTED
from worker.domain.content.recipient import Recipients
from worker.domain.errors import Problem
from worker.domain.job import Draft, JobKind

# Ids of customers begin with wo or wm, of groups with wr, in all that were seen; no page promises it.
EXTERNAL_ID = re.compile(r"[0-9A-Za-z_-]{2,64}")


@dataclass(frozen=True, slots=True)
class Audience:
    """One of the two kinds of recipients (`chat_type`, page 92135)."""

    chat_type: str
    name: str
    """Its key in a spec."""
    field: str
    maximum: int
    kind: str
    """The recipient kind of its entries in a refusal."""


# Page 92135: each slice of this size is a part with its own task, cap and reminders.
CUSTOMERS = Audience("single", "customers", "external_userid", 10_000, "customer")
GROUPS = Audience("group", "chats", "chat_id_list", 2000, "chat")
_CUSTOMERS = "use Customers(...) or CustomerGroups(...): a group send reaches one of the two"
_ALL_OF_ONE = 'use Customers({"zhangsan": Everyone()}) or CustomerGroups({"zhangsan": Everyone()})'
_OWNER = 'use CustomerGroups({"zhangsan": ["wr1"]}), with the owner of the groups'
ELSEWHERE: Mapping[str, str] = {
    "To(users=...)": _CUSTOMERS,
    "To(parties=...)": _CUSTOMERS,
    "To(tags=...)": _CUSTOMERS,
    "AppChat(...)": _OWNER,
    "Chats(...)": _OWNER,
    "Emails(...)": _CUSTOMERS,
    'Everyone("groups")': _ALL_OF_ONE,
    'Everyone("blackboards")': _ALL_OF_ONE,
    'Everyone("all")': _ALL_OF_ONE,
}
"""The recipients that a group send does not have, with what to use."""
GROUP_AUDIENCE = "groups"
"""The name of customer groups in recipients, and in a spec that names none of them."""


def audience_of(to: Recipients) -> Audience:
    """Returns customers or customer groups."""
    return GROUPS if to.audience == GROUP_AUDIENCE or to.chats else CUSTOMERS


def send_problems(draft: Draft) -> Iterator[Problem]:
    """Checks the recipients and senders of a campaign."""
    to = draft.recipients
    audience = audience_of(to)
    if wrong := list(other_recipients(to, ELSEWHERE)):
        yield from wrong
        return
    if to.chats and to.customers:
        text = "a group send reaches customers or customer groups, one of the two"
        yield Problem("external_userid", text, "use Customers(...) or CustomerGroups(...)")
    if not to:
        yield Problem(audience.field, "there is no recipient", "name customers, or customer groups with their owner")
        return
    yield from _broadcast_problems(draft)
    yield from _sender_problems(to, audience)
    yield from _id_problems(audience.field, to.chats if audience is GROUPS else to.customers)
    yield from _choice_problems(draft, audience)


def warnings(draft: Draft) -> Iterator[str]:
    """Warns of recipients that may get it twice, or not at all."""
    to = draft.recipients
    audience = audience_of(to)
    listed = [one for _, ids in to.by_sender for one in ids]
    if len(listed) > len(set(listed)):
        yield f"{audience.field}: some are named under several senders and get it from each, each time within their cap"
    if to.customers and not to.by_sender:
        yield (
            "sender: not given: each customer's message goes to the member who talked with them last, and some were "
            "seen to get none; without an answer its task is found again by its customers alone"
        )


def _broadcast_problems(draft: Draft) -> Iterator[Problem]:
    to, body = draft.recipients, draft.message.get("body")
    if not to.everyone:
        return
    if not draft.account.allow_everyone:
        remedy = "set allow_everyone = true for the account"
        yield Problem("sender", "this account does not allow sends to all customers or groups of a member", remedy)
    if not to.by_sender and not (isinstance(body, dict) and body.get("tag_filter")):
        text = "the vendor takes no call without sender, external_userid and tag_filter (vendor code 40058)"
        yield Problem("sender", text, 'use Customers({"zhangsan": Everyone()}), or a tag_filter')


def _sender_problems(to: Recipients, audience: Audience) -> Iterator[Problem]:
    if audience is GROUPS and not to.by_sender:
        yield Problem("sender", "groups are sent to by their owner", 'use CustomerGroups({"zhangsan": [...]})')
    senders = [sender for sender, _ in to.by_sender]
    yield from malformed("sender", senders, USERID.fullmatch, f"use {USERID_WANTED}", 40003)
    empty = [place for place, (_, ids) in enumerate(to.by_sender) if not ids]
    if empty and not to.everyone:
        yield Problem(
            audience.field, f"there is no recipient for the sender at place {empty[0]}", "leave the sender out"
        )


def _id_problems(field: str, ids: Sequence[str]) -> Iterator[Problem]:
    """Finds malformed ids, or else two that are hard to distinguish."""
    remedy = "use the vendor's ids: 2 to 64 of letters, digits, - _"
    wrong = list(malformed(field, ids, EXTERNAL_ID.fullmatch, remedy, 40096))
    yield from wrong
    if not wrong and len({one.lower() for one in ids}) < len(ids):
        yield Problem(field, "two differ in case only", "make a job for each")


def _choice_problems(draft: Draft, audience: Audience) -> Iterator[Problem]:
    """Finds what the vendor would ignore in silence with these recipients."""
    body = draft.message.get("body")
    if not isinstance(body, dict):
        return
    if body.get("allow_select") is not None and audience is GROUPS:
        yield Problem("allow_select", "is for customers only: ignored for groups", "leave it out")
    if body.get("tag_filter") is not None and (audience is GROUPS or draft.recipients.customers):
        yield Problem("tag_filter", "is ignored for groups and for customers who are named", "leave it out")


def split(draft: Draft) -> list[dict[str, Any]]:
    """Returns one spec per call. Other kinds are one part (the resolver may add more)."""
    if draft.kind != JobKind.SEND:
        return [{}]
    to = draft.recipients
    audience = audience_of(to)
    if to.by_sender:
        return [{"sender": sender, **spec} for sender, ids in to.by_sender for spec in _slices(audience, ids)]
    return list(_slices(audience, to.chats if audience is GROUPS else to.customers))


def _slices(audience: Audience, ids: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yields the specs for these ids, at most `maximum` each. Without ids one spec for everyone."""
    if not ids:
        yield {"everyone": True, "audience": GROUP_AUDIENCE} if audience is GROUPS else {"everyone": True}
    for start in range(0, len(ids), audience.maximum):
        yield {audience.name: list(ids[start : start + audience.maximum])}


def audience_in(spec: Mapping[str, Any]) -> Audience:
    """Returns whether a part is for customers or for customer groups."""
    return GROUPS if spec.get("chats") or spec.get("audience") == GROUP_AUDIENCE else CUSTOMERS
