"""What the vendor's answer to a part means, and which of the asked recipients it refused.

`errcode` decides, not the HTTP status; codes are rows in `wecom/errcodes.toml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.channels.calls import media_gone
from worker.channels.wecom import upload
from worker.channels.wecom.answer import (
    ERRCODES,
    LIST,
    TEXT,
    Answer,
    Page,
    listed,
    no_vendor,
    read,
    text_of,
    verdict,
    warns,
)
from worker.channels.wecom_app.messages.cards import calls_back, card_of
from worker.channels.wecom_app.fields import SENDS
from worker.channels.wecom_app.targets import TARGETS
from worker.domain.account import Account
from worker.domain.call import Access, Reply
from worker.domain.job import Part
from worker.domain.outcome import Accepted, Outcome, Partial, Refusal, Rejected, Taken, Verdict, unheard_of

PROMISED: Mapping[str, str] = {"send": "msgid", "create_chat": "chatid"}
"""The id a success carries, by kind; recall, update and all else about chats promise none."""

_REFUSED = {"invaliduser": TEXT, "invalidparty": TEXT, "invalidtag": TEXT, "unlicenseduser": TEXT}
PAGES: Mapping[str, Page] = {
    "send": Page("90236", {**_REFUSED, "msgid": TEXT, "response_code": TEXT}, "msgid"),
    "recall": Page("94867"),
    "update_card": Page("94888", {"invaliduser": LIST}),
    "send_chat": Page("90248"),
    "create_chat": Page("90245", {"chatid": TEXT}, "chatid"),
    "change_chat": Page("98913"),
}
"""What the vendor's page says of the answer, by kind."""


def outcome(part: Part, account: Account, reply: Reply, access: Access) -> Verdict:
    """The meaning of an answer, with the facts of it that may be kept."""
    answer = read(reply, upload.promised(part) if part.kind == "upload" else PROMISED.get(part.kind))
    if answer is None:
        return Verdict(no_vendor(reply))
    found = _taken(part, answer) if answer.errcode == 0 else _refused(part, account, answer)
    return verdict(part, answer, found, upload.page_of(part) if part.kind == "upload" else PAGES[part.kind])


def _taken(part: Part, answer: Answer) -> Outcome:
    """Errcode 0 is not "all delivered": refused recipients stand beside it (page 90236)."""
    if part.kind == "upload":
        return Accepted(upload.taken(part, answer))
    data = answer.data
    refused, notes = refusals(part, data) if any(data.get(name) for name in FIELDS) else ((), [])
    chatid = text_of(data.get("chatid")) if part.kind == "create_chat" else None
    taken = Taken(
        msgid=text_of(data.get("msgid")) if part.kind == "send" else None,
        response_code=text_of(data.get("response_code")) if part.kind == "send" else None,
        warning="; ".join([*warns(answer), *_missing(part, answer), *notes]) or None,
        from_repeat=part.in_doubt,
        extra={"chatid": chatid} if chatid else {},
    )
    return Partial(taken, refused) if refused else Accepted(taken)


def _missing(part: Part, answer: Answer) -> list[str]:
    """Notes on ids that the answer should carry and does not."""
    promised = PROMISED.get(part.kind)
    found = [f"no {promised} in the answer"] if promised and text_of(answer.data.get(promised)) is None else []
    if part.kind == "send" and "template_card" in (part.message.get("body") or ()):
        card = card_of(part.message)
        if card is not None and calls_back(card) and text_of(answer.data.get("response_code")) is None:
            found.append("no response_code in the answer")
    return found


def _refused(part: Part, account: Account, answer: Answer) -> Outcome:
    # What a second recall answers is not published; after a doubtful one the likely reading is "already recalled".
    if part.kind == "recall" and part.in_doubt and answer.errcode == account.settings.get("recalled_code", 40058):
        warning = f"{answer.errcode} after an unanswered recall: taken as already recalled"
        return Accepted(Taken(warning=warning, from_repeat=True))
    row = ERRCODES.find(answer.errcode)
    if row is None:
        return unheard_of(answer.errcode)
    found = _special(part, answer, row.reason) or row.outcome
    # A part's message and recipients stay what they are, and so do the bytes of a call in doubt.
    if isinstance(found, Rejected) and row.lasting and part.kind in SENDS:
        return replace(found, lasting=True)
    return found


def _special(part: Part, answer: Answer, reason: str) -> Outcome | None:
    """What a code means where that depends on the part; None for any other."""
    match answer.errcode:
        # The vendor says "exists, empty or too long". A task_id of ours is well-formed, so after a call in doubt the
        # code means that the first call was taken. A task_id of the caller's may exist through another part.
        case 42014 if part.in_doubt and part.kind == "send":
            warning = "42014: an earlier call was accepted; its msgid and response_code are lost"
            return Accepted(Taken(warning=warning, from_repeat=True, task_id=part.spec.get("task_id")))
        # The chatid is the job's own: after a doubtful call it exists because that call made it.
        case 86215 if part.in_doubt and part.kind == "create_chat":
            extra = {"chatid": str(part.message["body"].get("chatid") or part.job_id)}
            return Accepted(Taken(warning="86215: an earlier call made the chat", from_repeat=True, extra=extra))
        # The chat belongs to another app. An operator has to act, but the other chats go on, so nothing is parked.
        case 86008:
            return Rejected(reason)
        # All recipients are meant, though the lists may name only some.
        case 81013:
            named = {(each.kind, each.recipient.lower()): each for each in refusals(part, answer.data)[0]}
            return Rejected(reason, refusals=tuple({**_asked(part), **named}.values()))
        case 40007 | 40145:
            return media_gone(part, reason)
    return None


FIELDS: Mapping[str, str] = {
    "invaliduser": "user",
    "unlicenseduser": "user",
    "invalidparty": "party",
    "invalidtag": "tag",
}
"""The vendor's lists (page 90236) and whom they name."""


def refusals(part: Part, data: Mapping[str, Any]) -> tuple[tuple[Refusal, ...], list[str]]:
    """The refused recipients, each once, and notes on what did not fit. Ids come back lower-cased (page 90236)."""
    lists = {field: listed(data[field]) for field in FIELDS if data.get(field)}
    notes = [f"{field} has another type" for field, ids in lists.items() if ids is None]
    named = {(FIELDS[field], entry.lower()): field for field, ids in lists.items() for entry in ids or ()}
    asked = _asked(part)
    if strangers := len(named.keys() - asked.keys()):
        notes.append(f"{strangers} refused ids were not asked for")
    return tuple(replace(asked[key], field=field) for key, field in named.items() if key in asked), notes


def _asked(part: Part) -> dict[tuple[str, str], Refusal]:
    """The part's recipients as they would be refused, by kind and id: in the vendor's list of their kind."""
    return {
        (target.kind, str(entry).lower()): Refusal(str(entry), target.kind, f"invalid{target.kind}")
        for target in TARGETS
        for entry in part.spec.get(target.name, ())
    }
