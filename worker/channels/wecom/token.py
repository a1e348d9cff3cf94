"""Tokens of a corp's apps: gettoken (page 91039 获取access_token), and what a third-party app (第三方应用) needs.

A refused secret parks its account, because repeated failures ban the caller's IP for an hour (help text of 45009).
get_corp_token (page 90605) takes the suite's token and the corp's permanent code. An app developed for one corp
(代开发, page 97163) uses its permanent code as the secret of gettoken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from worker.channels.base import (
    Advice,
    FetchedWith,
    TokenGranted,
    TokenLater,
    TokenOutcome,
    TokenRefused,
    TokenStale,
    TokenSteps,
)
from worker.channels.calls import json_bytes
from worker.channels.errcodes import Class
from worker.channels.wecom import redact
from worker.channels.wecom.answer import ERRCODES, REMEDIES, WRONG_SECRET, Answer, integer, read, retry_after, text_of
from worker.channels.wecom.redact import remedy
from worker.domain.account import Account
from worker.domain.call import Reply, Request
from worker.domain.outcome import Penalty

DEADLINE_S = 10.0
USUAL_LIFE_S = 7200
UNREADABLE_DELAY_S = 5.0


def token_request(account: Account, secret: str, now: int) -> Request:
    """Builds the call that fetches the app's token. corpid and secret travel in the query."""
    query = {"corpid": str(account.settings["corpid"]), "corpsecret": secret}
    return Request("GET", account.base_url, "/cgi-bin/gettoken", query, deadline_s=DEADLINE_S)


def token_outcome(reply: Reply, account: Account, secret: str) -> TokenOutcome:
    """Returns granted, refused (an operator must act), or later."""
    return token_in(reply, "access_token", refused)


def token_in(reply: Reply, name: str, of_refusal: Callable[[Answer], TokenOutcome]) -> TokenOutcome:
    """Returns the token under a name of the answer, or what its refusal means."""
    answer = answer_of(reply, name)
    if not isinstance(answer, Answer):
        return answer
    return granted(answer.data, name, "expires_in") if answer.errcode == 0 else of_refusal(answer)


def answer_of(reply: Reply, promised: str) -> Answer | TokenLater:
    """Returns the vendor's answer, which has the promised value or a code, or TokenLater if it is not the vendor's."""
    asked_s, remedy = retry_after(reply), REMEDIES.get(reply.status)
    return read(reply, promised) or TokenLater(
        f"http_{reply.status}: no vendor answer", asked_s or UNREADABLE_DELAY_S, remedy=remedy, alone=not asked_s
    )


def granted(data: Mapping[str, Any], name: str, life_name: str) -> TokenGranted | TokenLater:
    """Returns the token under `name` with its life in seconds, or TokenLater if it cannot be used."""
    token, life = text_of(data.get(name)), integer(data, life_name)
    if token is None or (life is not None and life <= 0):
        return TokenLater("errcode 0 without a usable token", UNREADABLE_DELAY_S)
    return TokenGranted(token, USUAL_LIFE_S if life is None else life)


def refused(answer: Answer) -> TokenRefused | TokenLater:
    """Returns what the code of an answer to a token call means, by the catalogue."""
    code, errmsg = answer.errcode, answer.errmsg
    row = ERRCODES.find(code)
    if row is not None and row.kind is Class.TOKEN:
        row = replace(WRONG_SECRET, code=code)  # no token goes with this call: what the vendor refuses is the secret
    if row is None:
        what = "look the code up on page 90313"
        return TokenRefused(f"errcode {code} (not in the catalogue)", what, code, redact.hint(errmsg))
    if row.kind in (Class.RETRY, Class.DEFER):
        # There is only one fetch at a time, so a penalty that lowers the number of calls in flight changes nothing.
        penalty = row.penalty if row.penalty in (Penalty.FREQUENCY, Penalty.ALARM) else None
        return TokenLater(row.reason, row.delay or UNREADABLE_DELAY_S, penalty)
    return TokenRefused(row.reason, remedy(row.remedy, code, errmsg), code, redact.hint(errmsg))


STALE = frozenset({40014, 40082, 42001, 42009})
"""Codes about the suite_access_token of a call (page 90313). For 40014 and 42001 that is not confirmed."""

MISSING: Advice = (
    "no permanent code of this corp is kept",
    "let an administrator of the corp authorise the app, or set secret to the permanent code",
)
ENDED: Advice = (
    "the corp has withdrawn its authorisation (cancel_auth)",
    "let an administrator of the corp authorise the app again; the account then goes on by itself",
)


def token_steps(account: Account) -> TokenSteps | None:
    """Returns what the app's token needs, or None if it is no app of a suite, or its own secret is enough."""
    suite = account.settings.get("suite")
    if suite is None:
        return None
    kept = str(account.settings.get("corpid")) if account.secret is None else None
    if account.settings.get("is_customized_app") is not True:
        return TokenSteps(suite, kept, FetchedWith.TOKEN, _corp_token, _outcome, MISSING, ENDED)
    if kept is None:
        return None
    return TokenSteps(suite, kept, FetchedWith.NOTHING, _gettoken, _of_gettoken, MISSING, ENDED)


def stale(answer: Answer) -> TokenStale | None:
    """Returns TokenStale if the answer says that the suite_access_token of the call is not valid."""
    if answer.errcode not in STALE:
        return None
    return TokenStale(f"{answer.errcode}: the suite_access_token is refused")


def _corp_token(account: Account, code: str, extra: str, now: int) -> Request:
    body = json_bytes({"auth_corpid": str(account.settings["corpid"]), "permanent_code": code})
    query = {"suite_access_token": extra}
    path = "/cgi-bin/service/get_corp_token"
    return Request("POST", account.base_url, path, query, body, deadline_s=DEADLINE_S)


def _outcome(reply: Reply, account: Account) -> TokenOutcome:
    # On success the answer has no errcode (page 90605).
    return token_in(reply, "access_token", lambda answer: stale(answer) or refused(answer))


def _gettoken(account: Account, code: str, extra: str, now: int) -> Request:
    return token_request(account, code, now)


def _of_gettoken(reply: Reply, account: Account) -> TokenOutcome:
    return token_outcome(reply, account, "")
