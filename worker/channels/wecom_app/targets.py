"""Recipients of a call: their form, how they are divided among calls, and whom a call reaches.

A job becomes as few calls as the vendor's maxima allow: part i takes the i-th slice of every list. A split text goes to
each slice piece by piece, so part numbers follow the reading order.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from worker.channels.checking.targets import (
    NUMBER,
    Target,
    calls_for,
    ids,
    malformed,
    other_recipients,
    pieces,
    slices,
    unfit,
)
from worker.channels.wecom.names import USERID, USERID_WANTED
from worker.channels.wecom_app.cards import TASK_ID_MAX
from worker.channels.wecom_app.changes import CHATID
from worker.channels.wecom_app.messages import SENDS
from worker.domain.content.recipient import GROUPS, INSTEAD_OF, Recipients
from worker.domain.errors import Problem
from worker.domain.job import Draft


def _is_userid(entry: str) -> bool:
    return USERID.fullmatch(entry) is not None


# The maxima of message/send (page 90236) and update_template_card (page 94888) are the same. Departments and tags are
# numbers (`partyids`, `tagids` are int[] in page 94888).
TARGETS = (
    Target("users", "user", "touser", 1000, _is_userid, USERID_WANTED, "userids"),
    Target("parties", "party", "toparty", 100, NUMBER.fullmatch, "department ids: whole numbers from 1", "partyids"),
    Target("tags", "tag", "totag", 100, NUMBER.fullmatch, "tag ids: whole numbers from 1", "tagids"),
)
_ONE_EVERYONE = "use Everyone(): an application has one broadcast, to all members it can see"
_CUSTOMERS = "customers and their groups are reached through an account of wecom_external"
ELSEWHERE: Mapping[str, str] = {
    "Chats(...)": "use AppChat(...) for a chat that the app made; a wecom_webhook account reaches other chats",
    "Customers(...)": _CUSTOMERS,
    "CustomerGroups(...)": _CUSTOMERS,
    "Emails(...)": "name members by their userid; mail addresses are Youdu's",
    'Everyone("groups")': _ONE_EVERYONE,
    'Everyone("blackboards")': _ONE_EVERYONE,
    'Everyone("all")': _ONE_EVERYONE,
}
"""The recipients that an application does not have, with what to use."""
_MIXED = Problem("chatid", "chats and other recipients cannot share a call", "make a job of its own for AppChat(...)")


def send_problems(draft: Draft) -> Iterator[Problem]:
    """Checks the recipients of a send: some, well-formed, and a broadcast only if the account allows it."""
    asked = draft.recipients
    yield from other_recipients(asked, ELSEWHERE)
    if asked.chats:
        yield _MIXED
    if not asked:
        yield Problem("touser", "there is no recipient (vendor code 82001)", "name users, parties or tags")
    if asked.everyone and not asked.by_sender:
        yield from _broadcast_problems(draft)
    for target in TARGETS:
        yield from unfit(target, target.field, asked)


def chat_problems(draft: Draft) -> Iterator[Problem]:
    """Checks the chats of a send: well-formed, and without other recipients."""
    asked = draft.recipients
    yield from other_recipients(asked, ELSEWHERE)
    if asked.users or asked.parties or asked.tags or (asked.everyone and not asked.by_sender):
        yield _MIXED
    remedy = "1 to 32 of letters and digits"
    wrong = list(malformed("chatid", asked.chats, re.compile(CHATID).fullmatch, remedy, 86001))
    yield from wrong
    if not wrong and len({one.lower() for one in asked.chats}) < len(asked.chats):
        yield Problem("chatid", "two chats differ in case only", "make a job for each")


def update_problems(draft: Draft) -> Iterator[Problem]:
    """Checks the targets of a card update. None means everyone of the original. One call must hold them all."""
    yield from other_recipients(draft.recipients, ELSEWHERE)
    if draft.recipients.chats:
        yield Problem("chatid", "a card is never in an app group chat", "name users, parties or tags")
    for target in TARGETS:
        yield from unfit(target, target.update_field, draft.recipients)
        size = len(ids(draft.recipients, target))
        if size > target.maximum:
            text = "has more targets than one response_code can reach"
            remedy = "make several jobs, or name none for everyone of the original"
            yield Problem(target.update_field, text, remedy, target.maximum, "entries", size)


def _broadcast_problems(draft: Draft) -> Iterator[Problem]:
    asked = draft.recipients
    if not draft.account.allow_everyone:
        yield Problem("touser", "this account does not allow broadcasts", "set allow_everyone = true for the account")
    if asked.users or asked.parties or asked.tags:
        yield Problem("touser", "with @all the vendor ignores every other recipient", "use Everyone() alone")
    if draft.message.get("type") == "miniprogram_notice":
        yield Problem("touser", "miniprogram_notice does not take @all", "name users, parties or tags")


def people(spec: Mapping[str, Any], members: Collection[str] | None) -> list[str]:
    """Returns the known recipients, each once in any case, spelled as in the spec. `members` are its groups'."""
    users = spec.get("users", ())
    if not members or not spec.keys() & GROUPS:
        return list(users)
    named = {user.lower(): user for user in users}
    return [*users, *(one for one in members if one.lower() not in named)]


def split(draft: Draft) -> list[dict[str, Any]]:
    """Returns one spec per call. A recall, an upload and a card update are one part (the resolver may add more)."""
    if draft.kind in SENDS:
        count = call_count(draft.recipients)
        if count == 1 and draft.message["type"] != "template_card" and "pieces" not in draft.message:
            return [draft.recipients.to_json()]
        return [spec for n in range(count) for spec in pieces(draft, _send_spec(draft, n))]
    return [slices(draft.recipients, TARGETS, 0) if draft.kind == "update_card" else {}]


def narrow(
    spec: Mapping[str, Any], later: Collection[str], members: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Returns a send's spec without these users, and one for them alone.

    Returns None if all or none of its users are named, or if a task_id would become too long. Also None with parties,
    tags or everyone whose members are unknown: one of the users may be among them and would get the message twice. If
    the members are known, both specs are for users and keep the groups as `instead_of`, or None if one call cannot hold
    them.
    """
    groups = {name: spec[name] for name in GROUPS if spec.get(name)}
    users = people(spec, members)
    now, then = [user for user in users if user not in later], [user for user in users if user in later]
    if not now or not then or (groups and (not members or len(users) > TARGETS[0].maximum)):
        return None
    if groups:
        spec = {**{name: value for name, value in spec.items() if name not in GROUPS}, INSTEAD_OF: groups}
    if "task_id" not in spec:
        return {**spec, "users": now}, {**spec, "users": then}
    times = spec.get("narrowed", 0) + 1
    own = f"{spec['task_id']}_p{times}"
    if len(own.encode()) > TASK_ID_MAX:
        return None
    return {**spec, "users": now, "narrowed": times}, {**spec, "users": then, "task_id": own, "narrowed": 0}


def call_count(recipients: Recipients) -> int:
    """Returns how many calls reach all recipients with one message, at least one. Each chat takes one."""
    return max(calls_for(recipients, TARGETS), len(recipients.chats))


def _send_spec(draft: Draft, n: int) -> dict[str, Any]:
    if draft.recipients.chats:
        return {"chats": [draft.recipients.chats[n]]}
    spec: dict[str, Any] = {"everyone": True} if draft.recipients.everyone else slices(draft.recipients, TARGETS, n)
    if draft.message.get("type") == "template_card":
        own = draft.message["body"]["template_card"].get("task_id")
        if own is not None:  # the vendor accepts each only once per app, so parts and replays get a suffix
            part, again = f"_{n}" if n else "", f"_r{draft.replay}" if draft.replay else ""
            spec["task_id"] = f"{own}{part}{again}"
    return spec
