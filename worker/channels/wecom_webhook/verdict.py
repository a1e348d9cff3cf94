"""What the vendor's answer to a part means. `errcode` decides, not the HTTP status; codes are rows of `errcodes.toml`.

A success is `{"errcode": 0, "errmsg": "ok"}` and nothing else: no msgid, so a webhook's message can never be taken back
or asked about, and nothing makes a repeat of it safe.
"""

from __future__ import annotations

from dataclasses import replace

from worker.channels.calls import media_gone
from worker.channels.errcodes import Catalogue, Class
from worker.channels.wecom import redact, upload
from worker.channels.wecom.answer import ERRCODES as SHARED, Answer, Page, no_vendor, read, verdict, warns
from worker.domain.account import Account
from worker.domain.call import Access, Reply
from worker.domain.job import Kind, Part
from worker.domain.outcome import Accepted, Outcome, Progress, Refusal, Rejected, Taken, Unknown, Verdict, unheard_of

ERRCODES = Catalogue("wecom_webhook", shared=SHARED)
MEDIA_GONE = (40007, 40145)
PERSON_REFUSED = 93005
ABOUT_CHATS = (93001, PERSON_REFUSED, 93006, 93008)
"""Codes that refuse a chat, and say nothing of the key and its other chats."""
AGAIN_S = 60.0
"""93005 may be the limit of a minute: one more try after it."""
ASKED_AGAIN = "asked_again"
"""Key in the spec of a part that is on its second try after 93005."""

POSTED = Page("99110")
UPLOADED = Page("99110", upload.PAGE.fields, "media_id")


def outcome(part: Part, account: Account, reply: Reply, access: Access) -> Verdict:
    """The meaning of an answer, with the facts of it that may be kept; the key is never among them."""
    answer = read(reply, "media_id" if part.kind == Kind.UPLOAD else None)
    if answer is None:
        # A proxy that answers 503 with a wait may stand behind a post that was made.
        return Verdict(Unknown("http_503") if reply.status == 503 else no_vendor(reply))
    if access.secret:
        answer = replace(answer, errmsg=answer.errmsg.replace(access.secret, redact.MASK))
    found = _taken(part, answer) if answer.errcode == 0 else _refused(part, answer.errcode)
    return verdict(part, answer, found, UPLOADED if part.kind == Kind.UPLOAD else POSTED)


def _taken(part: Part, answer: Answer) -> Outcome:
    if part.kind == Kind.UPLOAD:
        return Accepted(upload.taken(part, answer))
    return Accepted(Taken(warning="; ".join(warns(answer)) or None, from_repeat=part.in_doubt))


def _refused(part: Part, code: int) -> Outcome:
    row = ERRCODES.find(code)
    if row is None:
        return unheard_of(code)
    reason, chats = row.reason, part.spec.get("chats") or []
    if code in ABOUT_CHATS and len(chats) > 1:
        # The vendor does not say which chat it refused; `chats_per_call` says that it posted to none.
        half = len(chats) // 2
        now, later = {**part.spec, "chats": chats[:half]}, {**part.spec, "chats": chats[half:]}
        return Progress(now, f"{reason}: one of {len(chats)} chats", apart=later)
    if code == PERSON_REFUSED and not part.spec.get(ASKED_AGAIN):
        # It has three causes that cannot be distinguished; one is a limit that ends within a minute.
        return Progress({**part.spec, ASKED_AGAIN: True}, reason, AGAIN_S)
    if code in ABOUT_CHATS:
        return Rejected(reason, refusals=tuple(Refusal(str(chat), "chat", "chatid") for chat in chats))
    if code in MEDIA_GONE:
        return media_gone(part, reason)
    # A code about a token is a refusal, because a webhook has none to fetch anew.
    return Rejected(reason) if row.kind is Class.TOKEN else row.outcome
