"""What the server's answer to a part means. `errcode` decides, not the HTTP status; codes are rows of `errcodes.toml`."""

from __future__ import annotations

from worker.channels.calls import media_gone
from worker.channels.errcodes import Class
from worker.channels.wecom.answer import TEXT, Answer, Page, contradictions, read, text_of
from worker.channels.youdu import errmsg
from worker.channels.youdu.envelope import ERRCODES, WRONG_KEY, envelope_of, no_vendor, opened
from worker.channels.youdu.fields import SENDS, UPLOAD
from worker.channels.youdu.render import carries_token
from worker.domain.account import Account
from worker.domain.call import Access, Reply
from worker.domain.job import Part
from worker.domain.outcome import Accepted, Outcome, Parked, Scope, Taken, Verdict, unheard_of

MEDIA_GONE = 200010
INVALID_USERS = 200007
NO_TOKEN = "set legacy_token = true: this server wants a token here, where the documentation has none"

SENT = Page("c01_00003", {"encrypt": TEXT})
UPLOADED = Page("c01_00017", {"encrypt": TEXT}, "encrypt")


def outcome(part: Part, account: Account, reply: Reply, access: Access) -> Verdict:
    """The meaning of an answer, with the facts of it that may be kept."""
    answer = read(reply)
    if answer is None:
        return Verdict(no_vendor(reply, part.kind))
    if answer.errcode:
        found = _refused(part, account, answer)
    elif part.kind == UPLOAD:
        found = _uploaded(part, account, answer, access)
    else:  # a success has no id and no list; what it says of recipients stands in errmsg (c01_00003)
        found = errmsg.taken(part, account, errmsg_of(answer))
    page = UPLOADED if part.kind == UPLOAD else SENT
    odd = contradictions(page, answer, found, part)
    return Verdict(found, answer.errcode, errmsg.reason(answer.errmsg), contradictions=odd)


def _uploaded(part: Part, account: Account, answer: Answer, access: Access) -> Outcome:
    given = opened(envelope_of(account, access.secret), answer.data)
    if given is None:
        return Parked(Scope.ACCOUNT, WRONG_KEY, "correct appid and the EncodingAESKey")
    media_id = text_of(given.get("mediaId"))
    warning = None if media_id else "no mediaId in the answer"
    return Accepted(Taken(media_id=media_id, warning=warning, from_repeat=part.in_doubt))


def _refused(part: Part, account: Account, answer: Answer) -> Outcome:
    if answer.errcode == INVALID_USERS and part.kind in SENDS:
        return errmsg.refused(part, account, errmsg_of(answer))
    row = ERRCODES.find(answer.errcode)
    if row is None:
        return unheard_of(answer.errcode)
    if answer.errcode == MEDIA_GONE:
        return media_gone(part, row.reason)
    if row.kind is Class.TOKEN and not carries_token(account, part.kind):
        return Parked(Scope.LANE, row.reason, NO_TOKEN)
    return row.outcome


def errmsg_of(answer: Answer) -> str:
    """The whole errmsg, because a thousand names are longer than what `Answer.errmsg` keeps."""
    errmsg = answer.data.get("errmsg")
    return errmsg if isinstance(errmsg, str) else ""
