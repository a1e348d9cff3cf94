"""What the vendor's answer to a part means, and which of the asked recipients it refused.

`errcode` decides, not the HTTP status; codes are rows in `wecom/errcodes/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from worker.channels.wecom import errcodes, upload
from worker.channels.wecom.answer import Answer, by_class, listed, no_vendor, read, text_of, verdict, warns
from worker.channels.wecom.errcodes import Errcode
from worker.channels.wecom_app.card_fields import calls_back, card_of
from worker.channels.wecom_app.fields import SENDS
from worker.channels.wecom_app.targets import TARGETS
from worker.domain.account import Account
from worker.domain.call import Access, Reply
from worker.domain.job import Part
from worker.domain.outcome import Accepted, Outcome, Partial, Refusal, Rejected, Taken, Verdict, unheard_of

PROMISED: Mapping[str, str] = {"send": "msgid", "create_chat": "chatid"}
"""The id a success carries, by kind; recall, update and all else about chats promise none."""


def outcome(part: Part, account: Account, reply: Reply, access: Access) -> Verdict:
    """The meaning of an answer, with the facts of it that may be kept."""
    answer = read(reply, upload.promised(part) if part.kind == "upload" else PROMISED.get(part.kind))
    if answer is None:
        return Verdict(no_vendor(reply))
    found = _taken(part, answer) if answer.errcode == 0 else _refused(part, answer)
    return verdict(part, answer, found)


def _taken(part: Part, answer: Answer) -> Outcome:
    """Errcode 0 is not "all delivered": refused recipients stand beside it (page 90236)."""
    if part.kind == "upload":
        return Accepted(upload.taken(part, answer))
    data = answer.data
    refused, notes = refusals(part, data) if any(data.get(name) for name in FIELDS) else ((), [])
    taken = Taken(
        msgid=text_of(data.get("msgid")) if part.kind == "send" else None,
        response_code=text_of(data.get("response_code")) if part.kind == "send" else None,
        warning="; ".join([*warns(answer), *_missing(part, answer), *notes]) or None,
        from_repeat=part.in_doubt,
        extra=_extra(part, data),
    )
    return Partial(taken, refused) if refused else Accepted(taken)


def _extra(part: Part, data: Mapping[str, Any]) -> dict[str, str]:
    """The chatid of a new chat, which has no field of its own in `Taken`."""
    chatid = text_of(data.get("chatid")) if part.kind == "create_chat" else None
    return {"chatid": chatid} if chatid else {}


def _missing(part: Part, answer: Answer) -> list[str]:
    """Notes on ids that the answer should carry and does not."""
    promised = PROMISED.get(part.kind)
    found = [f"no {promised} in the answer"] if promised and text_of(answer.data.get(promised)) is None else []
    if part.kind == "send" and _promises_code(part) and text_of(answer.data.get("response_code")) is None:
        found.append("no response_code in the answer")
    return found


def _promises_code(part: Part) -> bool:
    if "template_card" not in (part.message.get("body") or ()):
        return False
    card = card_of(part.message)
    return card is not None and calls_back(card)


def _refused(part: Part, answer: Answer) -> Outcome:
    row = errcodes.find(answer.errcode)
    if row is None:
        return unheard_of(answer.errcode)
    special = SPECIAL.get(answer.errcode)
    found = special(part, answer, row) if special else by_class(row, answer.errcode)
    # A part's message and recipients stay what they are, and so do the bytes of a call in doubt.
    if isinstance(found, Rejected) and row.lasting and part.kind in SENDS:
        return replace(found, lasting=True)
    return found


def _task_id_known(part: Part, answer: Answer, row: Errcode) -> Outcome:
    """What 42014 proves about a task_id.

    The vendor says "exists, empty or too long". A task_id of ours is well-formed, so after a call in doubt the code
    means that the first call was taken. A task_id of the caller's may exist through another part.
    """
    if part.in_doubt and part.kind == "send":
        warning = "42014: an earlier call was accepted; its msgid and response_code are lost"
        return Accepted(Taken(warning=warning, from_repeat=True, task_id=part.spec.get("task_id")))
    return by_class(row, answer.errcode)


def _recalled_before(part: Part, answer: Answer, row: Errcode) -> Outcome:
    """What a second recall answers is not published; after a doubtful one the likely reading is "already recalled"."""
    if part.in_doubt and part.kind == "recall":
        return Accepted(Taken(warning="40058 after an unanswered recall: taken as already recalled", from_repeat=True))
    return by_class(row, answer.errcode)


def _chat_made_before(part: Part, answer: Answer, row: Errcode) -> Outcome:
    """The chatid is the job's own: after a doubtful call it exists because that call made it."""
    if part.in_doubt and part.kind == "create_chat":
        warning = "86215: an earlier call made the chat"
        return Accepted(Taken(warning=warning, from_repeat=True, extra={"chatid": _chatid(part)}))
    return by_class(row, answer.errcode)


def _chatid(part: Part) -> str:
    return str(part.message["body"].get("chatid") or part.job_id)


def _foreign_chat(part: Part, answer: Answer, row: Errcode) -> Outcome:
    """The chat belongs to another app. An operator has to act, but the other chats go on, so nothing is parked."""
    return Rejected(f"{answer.errcode} {row.meaning}")


def _everyone_invalid(part: Part, answer: Answer, row: Errcode) -> Outcome:
    return Rejected(f"{answer.errcode} {row.meaning}", refusals=all_refused(part, answer.data))


def _media_gone(part: Part, answer: Answer, row: Errcode) -> Outcome:
    """A file we keep can be uploaded again; not while in doubt: a new media_id makes another body, no safe repeat."""
    ours = part.kind in SENDS and bool(part.message.get("files")) and not part.in_doubt
    return Rejected(f"{answer.errcode} {row.meaning}", heal="media" if ours else None)


SPECIAL: Mapping[int, Callable[[Part, Answer, Errcode], Outcome]] = {
    40007: _media_gone,
    40058: _recalled_before,
    40145: _media_gone,
    42014: _task_id_known,
    81013: _everyone_invalid,
    86008: _foreign_chat,
    86215: _chat_made_before,
}
"""Codes whose meaning depends on the part."""

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
    strangers = len(named.keys() - asked.keys())
    if strangers:
        notes.append(f"{strangers} refused ids were not asked for")
    return tuple(replace(asked[key], field=field) for key, field in named.items() if key in asked), notes


def all_refused(part: Part, data: Mapping[str, Any]) -> tuple[Refusal, ...]:
    """Every recipient of the part: 81013 means all of them, though the lists may name only some."""
    named, _ = refusals(part, data)
    return tuple({**_asked(part), **{(each.kind, each.recipient.lower()): each for each in named}}.values())


def _asked(part: Part) -> dict[tuple[str, str], Refusal]:
    """The part's recipients as they would be refused, by kind and id: in the vendor's list of their kind."""
    return {
        (target.kind, str(entry).lower()): Refusal(str(entry), target.kind, f"invalid{target.kind}")
        for target in TARGETS
        for entry in part.spec.get(target.name, ())
    }
