"""What the vendor's answer to a part means. `errcode` decides, not the HTTP status; codes are rows of `errcodes.py`.

A success is `{"errcode": 0, "errmsg": "ok"}` and nothing else: no msgid, so a webhook's message can never be taken back
or asked about, and nothing makes a repeat of it safe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from worker.channels.wecom import redact, upload
from worker.channels.wecom.answer import Answer, by_class, read, retry_after, verdict, warns
from worker.channels.wecom.errcodes.row import Class, Errcode
from worker.channels.wecom_webhook import errcodes
from worker.channels.wecom_webhook.split import halves
from worker.domain.account import Account
from worker.domain.call import Access, Reply
from worker.domain.job import Kind, Part
from worker.domain.outcome import (
    Accepted,
    Outcome,
    Progress,
    Refusal,
    Rejected,
    Scope,
    Taken,
    Unknown,
    Verdict,
    Wait,
    unheard_of,
)

AGAIN_S = 60.0
"""93005 may be the limit of a minute: one more try after it."""
ASKED_AGAIN = "asked_again"
"""Key in the spec of a part that is on its second try after 93005."""


def outcome(part: Part, account: Account, reply: Reply, access: Access) -> Verdict:
    """The meaning of an answer, with the facts of it that may be kept; the key is never among them."""
    answer = read(reply, "media_id" if part.kind == Kind.UPLOAD else None)
    if answer is None:
        return Verdict(_no_vendor(reply))
    if access.secret:
        answer = replace(answer, errmsg=answer.errmsg.replace(access.secret, redact.MASK))
    found = _taken(part, answer) if answer.errcode == 0 else _refused(part, answer.errcode)
    return verdict(part, answer, found)


def _no_vendor(reply: Reply) -> Outcome:
    """What an answer of a proxy or gateway means: the message may have been posted, except after a 429 with a wait."""
    if reply.status == 429 and (delay := retry_after(reply)):
        return Wait(Scope.LANE, delay, "http_429 Retry-After")
    return Unknown("http_200 without the vendor's JSON" if reply.status == 200 else f"http_{reply.status}")


def _taken(part: Part, answer: Answer) -> Outcome:
    if part.kind == Kind.UPLOAD:
        return Accepted(upload.taken(part, answer))
    return Accepted(Taken(warning="; ".join(warns(answer)) or None, from_repeat=part.in_doubt))


def _refused(part: Part, code: int) -> Outcome:
    row = errcodes.find(code)
    if row is None:
        return unheard_of(code)
    special = SPECIAL.get(code)
    if special in (_chat_refused, _person_refused) and len(part.spec.get("chats") or ()) > 1:
        return _take_apart(part, code, row)
    return special(part, code, row) if special else _by_class(row, code)


def _by_class(row: Errcode, code: int) -> Outcome:
    """What a row asks of the worker; a code about a token is a refusal, because a webhook has none to fetch anew."""
    return Rejected(f"{code} {row.meaning}") if row.kind is Class.TOKEN else by_class(row, code)


def _chat_refused(part: Part, code: int, row: Errcode) -> Outcome:
    """This chat alone; the key and its other chats go on."""
    return Rejected(f"{code} {row.meaning}", refusals=_named(part))


def _take_apart(part: Part, code: int, row: Errcode) -> Outcome:
    """One of several chats was refused, and the vendor does not say which; `chats_per_call` says it posted to none."""
    now, later = halves(part.spec)
    return Progress(now, f"{code} {row.meaning}: one of {len(part.spec['chats'])} chats", apart=later)


def _person_refused(part: Part, code: int, row: Errcode) -> Outcome:
    """93005 has three causes that cannot be distinguished; one is a limit that ends within a minute."""
    reason = f"{code} {row.meaning}"
    if part.spec.get(ASKED_AGAIN):
        return Rejected(reason, refusals=_named(part))
    return Progress({**part.spec, ASKED_AGAIN: True}, reason, AGAIN_S)


def _named(part: Part) -> tuple[Refusal, ...]:
    chats: list[Any] = part.spec.get("chats") or []
    return tuple(Refusal(str(chat), "chat", "chatid") for chat in chats)


def _media_gone(part: Part, code: int, row: Errcode) -> Outcome:
    """A file we keep can be uploaded again; not while in doubt, for nothing makes a repeat safe."""
    ours = part.kind == Kind.SEND and bool(part.message.get("files")) and not part.in_doubt
    return Rejected(f"{code} {row.meaning}", heal="media" if ours else None)


SPECIAL: Mapping[int, Callable[[Part, int, Errcode], Outcome]] = {
    40007: _media_gone,
    40145: _media_gone,
    93001: _chat_refused,
    93005: _person_refused,
    93006: _chat_refused,
    93008: _chat_refused,
}
"""Codes whose meaning depends on the part."""
