"""The suite's token (get_suite_token, page 90600), and the exchange of its authorisation codes (page 90603).

A ticket that the vendor refuses is no refused secret: a new one comes within ten minutes.
"""

from __future__ import annotations

from worker.channels.base import (
    CodeExchange,
    CodeGranted,
    FetchedWith,
    TokenChain,
    TokenLater,
    TokenOutcome,
    TokenRefused,
    TokenStale,
    Told,
)
from worker.channels.calls import json_bytes
from worker.channels.wecom import token
from worker.channels.wecom.answer import Answer, text_of
from worker.channels.wecom.suite import stale
from worker.domain.account import Account
from worker.domain.call import Reply, Request

BAD_AUTH_CODE = 40078
BAD_TICKET = 40085
TICKET_DELAY_S = 30.0
"""Seconds until a refused ticket is followed by another try; by then another may have come."""
REFRESH = (
    "in the provider's console press 刷新Ticket (应用详情, 回调配置), and see that its 指令回调URL leads to this"
    " account's address at `worker receiver`"
)
MISSING: Told = ("no suite_ticket: none has come, or the last is older than 30 minutes", REFRESH)


def token_chain(account: Account) -> TokenChain:
    """What the suite's token takes: its secret, and the newest ticket."""
    return TokenChain(
        account.name,
        None,
        FetchedWith.TICKET,
        _suite_token,
        _outcome,
        MISSING,
        exchange=CodeExchange(_permanent_code, _code),
    )


def _suite_token(account: Account, secret: str, ticket: str, now: int) -> Request:
    suite_id = str(account.settings["suite_id"])
    body = json_bytes({"suite_id": suite_id, "suite_secret": secret, "suite_ticket": ticket})
    path = "/cgi-bin/service/get_suite_token"
    return Request("POST", account.base_url, path, {}, body, deadline_s=token.DEADLINE_S)


def _outcome(reply: Reply, account: Account) -> TokenOutcome:
    answer = token.answer_of(reply, "suite_access_token")
    if not isinstance(answer, Answer):
        return answer
    if answer.errcode == 0:
        return token.granted(answer, "suite_access_token")
    if answer.errcode == BAD_TICKET:
        return TokenLater(f"{BAD_TICKET}: the vendor refuses the suite_ticket", TICKET_DELAY_S, remedy=REFRESH)
    return token.refused(answer.errcode, answer.errmsg)


def _permanent_code(account: Account, suite_token: str, auth_code: str) -> Request:
    query, body = {"suite_access_token": suite_token}, json_bytes({"auth_code": auth_code})
    path = "/cgi-bin/service/get_permanent_code"
    return Request("POST", account.base_url, path, query, body, deadline_s=token.DEADLINE_S)


def _code(reply: Reply) -> CodeGranted | TokenRefused | TokenLater | TokenStale:
    answer = token.answer_of(reply, "permanent_code")
    if not isinstance(answer, Answer):
        return answer
    if answer.errcode:
        return stale(answer) or _not_exchanged(token.refused(answer.errcode, answer.errmsg))
    corp = answer.data.get("auth_corp_info")
    subject = text_of(corp.get("corpid")) if isinstance(corp, dict) else None
    code = text_of(answer.data.get("permanent_code"))
    if subject is None or code is None:
        return TokenLater("errcode 0 without a permanent_code and its corpid", token.UNREADABLE_DELAY_S)
    return CodeGranted(subject, code)


def _not_exchanged(refused: TokenRefused | TokenLater) -> TokenRefused | TokenLater:
    """Refused only where the code itself is; what is wrong with the suite may be mended before the code ends."""
    if isinstance(refused, TokenLater) or refused.errcode == BAD_AUTH_CODE:
        return refused
    return TokenLater(refused.reason, TICKET_DELAY_S, remedy=refused.remedy)
