"""Recipients of a call: accounts, departments and mail addresses, in the vendor's field names (c01_00003, 4.1).

A job becomes as few calls as the vendor's maxima allow: part i takes the i-th slice of every list. A badge is set for
one account per call. A split text goes to each slice piece by piece, so part numbers follow the reading order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from worker.channels.checking.plain import utf16_size
from worker.channels.checking.targets import NUMBER, Target, calls_for, other_recipients, pieces, slices, unfit
from worker.channels.youdu.messages import BADGE, UPLOAD
from worker.domain.errors import Problem
from worker.domain.job import Draft, Part

_ACCOUNT = re.compile(r"[^|\x00-\x1f\x7f\ud800-\udfff]+")
ACCOUNT_CHARACTERS = 64
_ADDRESS = re.compile(r"[^|@\s\x00-\x1f\x7f\ud800-\udfff]+@[^|@\s\x00-\x1f\x7f\ud800-\udfff]+")
ADDRESS_CHARACTERS = 128
"""Our own maximum: the vendor names none."""


def _is_account(entry: str) -> bool:
    return _ACCOUNT.fullmatch(entry) is not None and utf16_size(entry) <= ACCOUNT_CHARACTERS


def _is_address(entry: str) -> bool:
    return _ADDRESS.fullmatch(entry) is not None and len(entry) <= ADDRESS_CHARACTERS


# More users than the maximum: 200001. More departments: no code is documented.
TARGETS = (
    Target("users", "user", "toUser", 1000, _is_account, "accounts: 1 to 64 characters, without |"),
    Target("parties", "party", "toDept", 100, NUMBER.fullmatch, "department ids: whole numbers from 1"),
    Target("emails", "email", "toEmail", 1000, _is_address, "addresses: name@host, at most 128 characters"),
)

LEFT_OUT = "left_out"
"""The spec's key of the accounts and addresses that this call is made without."""

_NAMED = "name users or departments"
_ONE_EVERYONE = "use Everyone(): Youdu knows one everyone only"
ELSEWHERE: Mapping[str, str] = {
    "To(tags=...)": _NAMED,
    "AppChat(...)": _NAMED,
    "Chats(...)": _NAMED,
    "Customers(...)": _NAMED,
    "CustomerGroups(...)": _NAMED,
    'Everyone("groups")': _ONE_EVERYONE,
    'Everyone("blackboards")': _ONE_EVERYONE,
    'Everyone("all")': _ONE_EVERYONE,
}
"""The recipients that Youdu does not have, with what to use."""


def addressed(part: Part) -> dict[str, list[str]]:
    """Returns the recipients of a part's call, by list, without those that an earlier answer named."""
    gone = {str(one).lower() for one in part.spec.get(LEFT_OUT, ())}
    lists = {target.name: [str(one) for one in part.spec.get(target.name, ())] for target in TARGETS}
    return {name: [one for one in entries if one.lower() not in gone] for name, entries in lists.items()}


def problems(draft: Draft) -> Iterator[Problem]:
    """Checks the recipients of a send, a pop-up or a badge: some, well-formed, and in lists its type allows."""
    asked = draft.recipients
    if not asked:
        yield Problem("toUser", "there is no recipient", "name users or departments")
    yield from other_recipients(asked, ELSEWHERE)
    yield from _fitting_lists(draft)
    if asked.everyone and not asked.by_sender:
        yield from _broadcast_problems(draft)
    for target in TARGETS:
        yield from unfit(target, target.field, asked)


def _fitting_lists(draft: Draft) -> Iterator[Problem]:
    """A mail goes to users or addresses, a badge to users, everything else to users and departments."""
    asked, is_mail = draft.recipients, draft.message.get("type") == "mail"
    if asked.emails and not is_mail:
        yield Problem("toEmail", "only a mail can be for addresses", "name users or departments")
    if asked.emails and asked.users and is_mail:
        text = "beside toUser the vendor ignores every address"
        yield Problem("toEmail", text, "make a job for the users and one for the addresses")
    if asked.parties and is_mail:
        yield Problem("toDept", "a mail is for users or addresses, never for departments", "name users or addresses")
    if asked.parties and draft.kind == BADGE:
        yield Problem("toDept", "a badge is set for one account a call", "name users")


def _broadcast_problems(draft: Draft) -> Iterator[Problem]:
    asked = draft.recipients
    if draft.kind == BADGE or draft.message.get("type") == "mail":
        yield Problem("toDept", "there is no such call for everyone", "name users")
    if not draft.account.allow_everyone:
        yield Problem("toDept", "this account does not allow broadcasts", "set allow_everyone = true for the account")
    if asked.users or asked.parties or asked.emails:
        yield Problem("toDept", "everyone is the whole organisation already", "use Everyone() alone")


def split(draft: Draft) -> list[dict[str, Any]]:
    """Returns one spec per call."""
    if draft.kind == UPLOAD:
        return [{}]
    if draft.recipients.everyone:
        return pieces(draft, {"everyone": True})
    return [
        spec for n in range(call_count(draft)) for spec in pieces(draft, slices(draft.recipients, _targets(draft), n))
    ]


def call_count(draft: Draft) -> int:
    """Returns how many calls reach all recipients with one message, at least one."""
    return calls_for(draft.recipients, _targets(draft))


def _targets(draft: Draft) -> tuple[Target, ...]:
    return tuple(replace(target, maximum=1) for target in TARGETS) if draft.kind == BADGE else TARGETS
