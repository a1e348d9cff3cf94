"""gettoken (page 91039 获取access_token): the call, and what its answer means.

A refused secret parks its account: repeated failures ban the caller's IP for an hour (help text of 45009).
"""

from __future__ import annotations

from worker.channels.base import TokenGranted, TokenLater, TokenOutcome, TokenRefused
from worker.channels.errcodes import Class
from worker.channels.wecom import redact
from worker.channels.wecom.answer import (
    ERRCODES,
    REMEDIES,
    WRONG_SECRET,
    Answer,
    integer,
    read,
    retry_after,
    text_of,
)
from worker.channels.wecom.redact import remedy
from worker.domain.account import Account
from worker.domain.call import Reply, Request
from worker.domain.outcome import Penalty

DEADLINE_S = 10.0
USUAL_LIFE_S = 7200
UNREADABLE_DELAY_S = 5.0


def token_request(account: Account, secret: str, now: int) -> Request:
    """The call that fetches the app's token, at any time; corpid and secret travel in the query."""
    query = {"corpid": str(account.settings["corpid"]), "corpsecret": secret}
    return Request("GET", account.base_url, "/cgi-bin/gettoken", query, deadline_s=DEADLINE_S)


def token_outcome(reply: Reply, account: Account, secret: str) -> TokenOutcome:
    """Granted, refused (an operator must act), or later."""
    answer = answer_of(reply, "access_token")
    if isinstance(answer, TokenLater):
        return answer
    return granted(answer, "access_token") if answer.errcode == 0 else refused(answer.errcode, answer.errmsg)


def answer_of(reply: Reply, promised: str) -> Answer | TokenLater:
    """The vendor's answer, which holds the promised value or a code; later: it is not the vendor's."""
    asked_s, remedy = retry_after(reply), REMEDIES.get(reply.status)
    return read(reply, promised) or TokenLater(
        f"http_{reply.status}: no vendor answer", asked_s or UNREADABLE_DELAY_S, remedy=remedy, alone=not asked_s
    )


def granted(answer: Answer, name: str) -> TokenGranted | TokenLater:
    """The token under a name of the answer, with its life; later: there is no usable one."""
    token = text_of(answer.data.get(name))
    life = integer(answer.data, "expires_in")
    if token is None or (life is not None and life <= 0):
        return TokenLater("errcode 0 without a usable token", UNREADABLE_DELAY_S)
    return TokenGranted(token, USUAL_LIFE_S if life is None else life)


def refused(code: int, errmsg: str) -> TokenRefused | TokenLater:
    """What a code of a call for a token means, by the catalogue."""
    row = WRONG_SECRET if code == WRONG_SECRET.code else ERRCODES.find(code)
    if row is None:
        what = "look the code up on page 90313"
        return TokenRefused(f"errcode {code} (not in the catalogue)", what, code, redact.hint(errmsg))
    if row.kind in (Class.RETRY, Class.DEFER):
        # There is only one fetch at a time, so a penalty that lowers the number of calls in the air changes nothing.
        penalty = row.penalty if row.penalty in (Penalty.FREQUENCY, Penalty.ALARM) else None
        return TokenLater(row.reason, row.delay or UNREADABLE_DELAY_S, penalty)
    return TokenRefused(row.reason, remedy(row.what, code, errmsg), code, redact.hint(errmsg))
