"""Where a message goes: the key's own chat (group robot), named chats or a broadcast (message push).

The vendor accepts up to 100 chats in one call but does not report the result of each. So each chat has its own call,
and a refusal names its chat.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.checking import overflow as overflows
from worker.channels.checking.job import SPLIT_FIELD, content_of
from worker.channels.checking.overflow import Fitted
from worker.channels.checking.targets import malformed, other_recipients
from worker.channels.wecom.names import USERID
from worker.channels.wecom_webhook import fields
from worker.channels.wecom_webhook.account import edition
from worker.channels.wecom_webhook.fields import SPLIT_TYPES, body_rows
from worker.domain.account import Account
from worker.domain.content.recipient import Recipients
from worker.domain.errors import Problem
from worker.domain.job import Draft, Kind

CHATID = re.compile(r"[0-9A-Za-z._@-]{1,128}")
"""The form of chat ids is not published. Userids are 1 to 64 of these characters (page 90313)."""
_MADE_BY_VENDOR = 32
"""Characters of the ids in the page's samples: wrkSFfCgAAtMQKg4xqDatM5C9IDHFpTw is a group's, wo... a single chat's."""
WHERE = 'Chats("wr..."), a userid in its place, or Everyone("groups") for a broadcast to all groups'
_MEMBERS = f"a webhook posts to chats: use {WHERE}"
_GROUPS = f"a wecom_external account reaches customers; a webhook posts to chats: use {WHERE}"
ELSEWHERE: Mapping[str, str] = {
    "To(users=...)": _MEMBERS,
    "To(parties=...)": _MEMBERS,
    "To(tags=...)": _MEMBERS,
    "AppChat(...)": 'use Chats("wr..."): a chat that an app made is reached through the app\'s own account',
    "Customers(...)": _GROUPS,
    "CustomerGroups(...)": _GROUPS,
    "Emails(...)": _MEMBERS,
}
"""The recipients that a webhook does not have, with what to use."""


def chat_lane(chat_id: str) -> str:
    """Returns the lane of everything that goes to one chat. A member's userid may come in any case."""
    return f"{Kind.SEND.value}/chat/{chat_id.lower()}"


def is_member(chat_id: str) -> bool:
    """Returns True if the id cannot be a group's: it is a userid, or a single chat's."""
    return chat_id.startswith("wo") or not (chat_id.startswith("wr") or len(chat_id) == _MADE_BY_VENDOR)


def problems(draft: Draft) -> Iterator[Problem]:
    """Checks whom the edition can reach, where the type may be sent, and the fields of the envelope."""
    asked = draft.recipients
    if edition(draft.account) == fields.ROBOT:
        yield from _robot_problems(draft)
    elif wrong := list(other_recipients(asked, ELSEWHERE)):
        yield from wrong
    else:
        yield from _unfit(asked)
        yield from _push_problems(draft)
        yield from _beside_problems(draft)


def _robot_problems(draft: Draft) -> Iterator[Problem]:
    """The vendor would ignore the address, and post to the one chat the robot is in (page 99110)."""
    if draft.recipients:
        text = "a group robot posts to the one chat it is in"
        yield Problem("chatid", text, 'leave the recipients out, or set edition = "push" for a message push webhook')
    for name in fields.ENVELOPE_FIELDS:
        if (draft.message.get("body") or {}).get(name) is not None:
            yield Problem(name, 'only message push has it (edition = "push")', "leave it out")


def _push_problems(draft: Draft) -> Iterator[Problem]:
    asked, msgtype = draft.recipients, str(draft.message.get("type"))
    if asked.everyone and asked.chats:
        yield Problem("chatid", "a broadcast and single chats at once", "make two jobs")
    elif asked.everyone:
        yield from _broadcast_problems(draft, msgtype)
    elif not asked.chats:
        yield Problem("chatid", "is missing: the vendor would post to every group", f"use {WHERE}")
    elif msgtype in fields.UNADDRESSED and msgtype not in (draft.account.settings.get("chatid_for") or ()):
        text = f"{msgtype} is not described with a chatid: were it ignored, every group would get it"
        remedy = f'use Everyone("groups"), or set chatid_for = ["{msgtype}"] for the account once it was tried'
        yield Problem("chatid", text, remedy)


def _broadcast_problems(draft: Draft, msgtype: str) -> Iterator[Problem]:
    if not draft.account.allow_everyone:
        yield Problem("chatid", "this account does not allow broadcasts", "set allow_everyone = true for the account")
    audience = draft.recipients.audience
    allowed = fields.AUDIENCES_OF.get(msgtype, ("groups",))
    shown = ", ".join(f'Everyone("{one}")' for one in allowed)
    if audience not in tuple(fields.AUDIENCES):
        yield Problem("chatid", "does not say which broadcast is meant", f"use {shown}")
    elif audience not in allowed:
        reached = "both groups and blackboards" if audience == "all" else audience
        yield Problem("chatid", f"{msgtype} does not reach {reached}", f"use {shown}")


def _unfit(asked: Recipients) -> Iterator[Problem]:
    """Finds malformed ids, or else broadcasts among them, or two that are hard to distinguish."""
    remedy = "ids of chats as callbacks bring them, or userids; a broadcast is Everyone(...)"
    wrong = list(malformed("chatid", asked.chats, CHATID.fullmatch, remedy, 93006))
    if wrong:
        yield from wrong
    elif any(one.lower().startswith("@all") for one in asked.chats):
        yield Problem(
            "chatid", "names a broadcast", 'use Everyone("groups"), Everyone("blackboards") or Everyone("all")'
        )
    elif len({one.lower() for one in asked.chats}) < len(asked.chats):
        yield Problem("chatid", "two chats differ in case only", "make a job for each")


def _beside_problems(draft: Draft) -> Iterator[Problem]:
    """Checks post_id and visible_to_user, which the vendor ignores unless exactly one chat is named."""
    body = draft.message.get("body") or {}
    msgtype, one = str(draft.message.get("type")), len(draft.recipients.chats) == 1
    for name, types, kind in (
        ("post_id", (*fields.POST_TYPES, *fields.POST_UNLISTED), "one blackboard"),
        ("visible_to_user", fields.VISIBLE_TYPES, "one group or blackboard"),
    ):
        value = body.get(name)
        if value is None:
            continue
        if msgtype in fields.AUDIENCES_OF and msgtype not in types:
            yield Problem(name, f"{msgtype} does not list it", f"use {', '.join(types)}")
        elif not one:
            yield Problem(name, "is ignored by the vendor unless exactly one chat is named", f"name {kind}")
        if not isinstance(value, str) or not value.strip():
            yield Problem(name, "is not a text with something in it", "give an id, or leave it out")
        elif name == "visible_to_user" and not all(USERID.fullmatch(one.strip()) for one in value.split("|")):
            yield Problem(name, "holds an entry that is no userid", 'userids joined by "|"')


def split(draft: Draft) -> list[dict[str, Any]]:
    """Returns one spec per call: every piece to the first chat, in reading order, then to the next."""
    if draft.kind != Kind.SEND:
        return [{}]
    places: list[dict[str, Any]] = [{"chats": [chat]} for chat in draft.recipients.chats]
    places = places or [draft.recipients.to_json()]
    count = len(draft.message.get("pieces", ()))
    if not count:
        return places
    return [  # every piece but the first waits for the part before it
        {**place, "piece": n, **({"after": at * count + n - 1} if n else {})}
        for at, place in enumerate(places)
        for n in range(count)
    ]


def fit(kind: str, document: Mapping[str, Any], account: Account, overflow: str) -> Fitted:
    """Shortens what is too long and may be shortened. The check refuses the rest."""
    msgtype, content = str(document.get("type")), content_of(document)
    if kind != Kind.SEND or content is None:
        return dict(document), []
    split_field = SPLIT_FIELD if msgtype in SPLIT_TYPES else None
    return overflows.fit(
        document, msgtype, body_rows(edition(account), msgtype, content), overflow, split_field, numbered=True
    )
