"""What the server's answer to a part means. `errcode` decides, not the HTTP status; codes are rows of `errcodes.py`."""

from __future__ import annotations

from worker.channels.wecom.answer import TEXT, Answer, Page, by_class, contradictions, read, text_of
from worker.channels.wecom.errcodes import Class
from worker.channels.youdu import errcodes, errmsg
from worker.channels.youdu.envelope import WRONG_KEY, envelope_of, no_vendor, opened
from worker.channels.youdu.fields import SENDS, UPLOAD
from worker.channels.youdu.render import carries_token
from worker.domain.account import Account
from worker.domain.call import Access, Reply
from worker.domain.job import Part
from worker.domain.outcome import Accepted, Outcome, Parked, Rejected, Scope, Taken, Verdict, unheard_of

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
    row = errcodes.find(answer.errcode)
    if row is None:
        return unheard_of(answer.errcode)
    reason = f"{answer.errcode} {row.meaning}"
    if answer.errcode == MEDIA_GONE:
        # A file we keep can be uploaded again; not while in doubt: the earlier call may have been taken.
        ours = bool(part.message.get("files")) and part.kind in SENDS and not part.in_doubt
        return Rejected(reason, heal="media" if ours else None)
    if row.kind is Class.TOKEN and not carries_token(account, part.kind):
        return Parked(Scope.LANE, reason, NO_TOKEN)
    return by_class(row, answer.errcode)


def errmsg_of(answer: Answer) -> str:
    """The whole errmsg, because a thousand names are longer than what `Answer.errmsg` keeps."""
    errmsg = answer.data.get("errmsg")
    return errmsg if isinstance(errmsg, str) else ""
