"""What the vendor's answer to a part means. `errcode` decides, not the HTTP status; codes are rows of `errcodes.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from worker.channels.wecom import errcodes, redact
from worker.channels.wecom.errcodes import Class, Errcode
from worker.channels.wecom.reply import Answer, read, text_of
from worker.channels.wecom.token import retry_after
from worker.channels.wecom_app.content import SENDS, calls_back, card_of
from worker.channels.wecom_app.fields import PERMANENT_IMAGE
from worker.channels.wecom_app.refusals import all_refused, refusals
from worker.domain.call import Reply
from worker.domain.job import Part
from worker.domain.outcome import (
    Accepted,
    Outcome,
    Parked,
    Partial,
    Rejected,
    Retry,
    Scope,
    StaleToken,
    Taken,
    Unknown,
    Verdict,
    Wait,
)

PROMISED: Mapping[str, str] = {"send": "msgid", "upload": "media_id", "create_chat": "chatid"}
"""The id a success carries, by kind; recall, update and all about chats promise none, an `uploadimg` a url."""

MEDIA_LIFE_S = 3 * 86400
"""A media_id is valid for 3 days, for every app of the corp (page 90253)."""

WRONG_FORMAT = "wrong json format"


def outcome(part: Part, reply: Reply) -> Verdict:
    """The meaning of an answer, with the facts of it that may be kept."""
    answer = read(reply, _promised(part))
    if answer is None:
        return Verdict(_no_vendor(reply), http_status=reply.status)
    return Verdict(
        _taken(part, answer) if answer.errcode == 0 else _refused(part, answer),
        answer.errcode,
        redact.reason(answer.errmsg, part),
        redact.hint(answer.errmsg),
        redact.caller_ip(answer.errmsg),
        reply.status,
    )


def _promised(part: Part) -> str | None:
    return "url" if _is_permanent_image(part) else PROMISED.get(part.kind)


def _is_permanent_image(part: Part) -> bool:
    return part.kind == "upload" and part.message["files"]["media"]["upload_type"] == PERMANENT_IMAGE


def _no_vendor(reply: Reply) -> Outcome:
    """A proxy or gateway spoke, which says nothing about the API behind it: unknown, unless it asks to wait."""
    if reply.status in (429, 503) and (delay := retry_after(reply)):
        return Wait(Scope.LANE, delay, f"http_{reply.status} Retry-After")
    return Unknown("http_200 without the vendor's JSON" if reply.status == 200 else f"http_{reply.status}")


def _taken(part: Part, answer: Answer) -> Outcome:
    """errcode 0 is not "all delivered": refused recipients stand beside it (page 90236)."""
    refused, notes = refusals(part, answer.data)
    data, media = answer.data, part.kind == "upload" and not _is_permanent_image(part)
    taken = Taken(
        msgid=text_of(data.get("msgid")) if part.kind == "send" else None,
        response_code=text_of(data.get("response_code")) if part.kind == "send" else None,
        media_id=text_of(data.get("media_id")) if media else None,
        media_expires_in_s=MEDIA_LIFE_S if media else None,
        warning="; ".join([*_missing(part, answer), *notes]) or None,
        from_repeat=part.in_doubt,
        extra=_extra(part, data),
    )
    return Partial(taken, refused) if refused else Accepted(taken)


def _extra(part: Part, data: Mapping[str, Any]) -> dict[str, str]:
    """Ids that are none of the three: a permanent picture's url, a chat's chatid."""
    name = _promised(part)
    found = text_of(data.get(name)) if name in ("url", "chatid") else None
    return {name: found} if name and found else {}


def _missing(part: Part, answer: Answer) -> list[str]:
    """What should be there and is not; and the vendor's own alarm, which can stand beside errcode 0 (page 90313)."""
    found = ["the vendor warns of a wrong JSON format"] if WRONG_FORMAT in answer.errmsg.lower() else []
    promised = _promised(part)
    if promised and text_of(answer.data.get(promised)) is None:
        found.append(f"no {promised} in the answer")
    if part.kind == "send" and _promises_code(part) and text_of(answer.data.get("response_code")) is None:
        found.append("no response_code in the answer")
    return found


def _promises_code(part: Part) -> bool:
    card = card_of(part.message)
    return card is not None and calls_back(card)


def _refused(part: Part, answer: Answer) -> Outcome:
    row = errcodes.find(answer.errcode)
    if row is None:
        return Rejected(f"errcode {answer.errcode} (not in the catalogue)")
    special = SPECIAL.get(answer.errcode)
    return special(part, answer, row) if special else _by_class(row, answer.errcode)


def _by_class(row: Errcode, code: int) -> Outcome:
    reason = f"{code} {row.meaning}"
    match row.kind:
        case Class.RETRY:
            return Retry(reason, busy=code == -1)
        case Class.TOKEN:
            return StaleToken(reason)
        case Class.DEFER:
            return Wait(row.scope, row.delay, reason)
        case Class.CONFIG:
            return Parked(row.scope, reason, row.what)
        case Class.PERMANENT:
            return Rejected(reason)


def _task_id_known(part: Part, answer: Answer, row: Errcode) -> Outcome:
    """42014 says "exists, empty or too long"; ours is well-formed, so after a doubtful call it means: it was taken."""
    if part.in_doubt and part.kind == "send":
        warning = "42014: an earlier call was accepted; its msgid and response_code are lost"
        return Accepted(Taken(warning=warning, from_repeat=True))
    return _by_class(row, answer.errcode)


def _recalled_before(part: Part, answer: Answer, row: Errcode) -> Outcome:
    """What a second recall answers is not published; after a doubtful one the likely reading is "already recalled"."""
    if part.in_doubt and part.kind == "recall":
        return Accepted(Taken(warning="40058 after an unanswered recall: taken as already recalled", from_repeat=True))
    return _by_class(row, answer.errcode)


def _chat_made_before(part: Part, answer: Answer, row: Errcode) -> Outcome:
    """The chatid is the job's own: after a doubtful call it exists because that call made it."""
    if part.in_doubt and part.kind == "create_chat":
        warning = "86215: an earlier call made the chat"
        return Accepted(Taken(warning=warning, from_repeat=True, extra={"chatid": _chatid(part)}))
    return _by_class(row, answer.errcode)


def _chatid(part: Part) -> str:
    return str(part.message["body"].get("chatid") or part.job_id)


def _foreign_chat(part: Part, answer: Answer, row: Errcode) -> Outcome:
    """One chat of another app: an operator's matter, but no reason to hold up every other chat."""
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
