"""Recipients of a call: charset and maxima of userids, departments and tags, and the members that it reaches."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from worker.channels.checking.targets import Target, ids, unfit
from worker.channels.wecom import USERID, USERID_WANTED
from worker.channels.wecom_app.messages.changes import CHATID
from worker.domain.content.recipient import GROUPS
from worker.domain.errors import Problem
from worker.domain.job import Draft

# Departments and tags are numbers (`partyids`, `tagids` are int[] in page 94888); 0 would be everyone.
NUMBER = re.compile(r"[1-9][0-9]{0,18}")


def _is_userid(entry: str) -> bool:
    return entry.lower() != "@all" and USERID.fullmatch(entry) is not None


def _is_number(entry: str) -> bool:
    return NUMBER.fullmatch(entry) is not None


# The maxima are those of message/send (page 90236) and update_template_card (page 94888) alike.
TARGETS = (
    Target("users", "user", "touser", 1000, _is_userid, USERID_WANTED, "userids"),
    Target("parties", "party", "toparty", 100, _is_number, "department ids: whole numbers from 1", "partyids"),
    Target("tags", "tag", "totag", 100, _is_number, "tag ids: whole numbers from 1", "tagids"),
)
_MIXED = Problem("chatid", "chats and other recipients cannot share a call", "make a job of its own for AppChat(...)")


def send_problems(draft: Draft) -> Iterator[Problem]:
    """Recipients of a send: some, well-formed, and a broadcast only where the account allows it."""
    asked = draft.recipients
    if asked.chats:
        yield _MIXED
    if not asked:
        yield Problem("touser", "nobody is asked for (vendor code 82001)", "name users, parties or tags")
    if asked.everyone:
        yield from _broadcast_problems(draft)
    for target in TARGETS:
        yield from unfit(target, target.field, asked)


def chat_problems(draft: Draft) -> Iterator[Problem]:
    """Chats of a send: well-formed, and no other recipients beside them."""
    asked = draft.recipients
    if asked.users or asked.parties or asked.tags or asked.everyone:
        yield _MIXED
    wrong = [n for n, one in enumerate(asked.chats) if not isinstance(one, str) or not re.fullmatch(CHATID, one)]
    if wrong:
        text = f"{len(wrong)} entries are malformed (vendor code 86001), the first at place {wrong[0]}"
        yield Problem("chatid", text, "1 to 32 of letters and digits")
    elif len({one.lower() for one in asked.chats}) < len(asked.chats):
        yield Problem("chatid", "two chats differ in case only", "make a job for each")


def update_problems(draft: Draft) -> Iterator[Problem]:
    """Targets of a card update: none means everyone of the original; more than one call holds is refused."""
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
    """The known recipients, each once whatever the case, as the spec spells them; `members` are its groups'."""
    users = spec.get("users", ())
    if not members or not spec.keys() & GROUPS:
        return list(users)
    named = {user.lower(): user for user in users}
    return [*users, *(one for one in members if one.lower() not in named)]
