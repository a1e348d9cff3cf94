"""A provider's suite: its settings, its token (get_suite_token, page 90600), and the exchange of its codes.

The exchange is page 90603. A ticket that the vendor refuses does not mean a refused secret: a new one comes within ten
minutes. It sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.base import (
    Advice,
    Channel,
    CodeExchange,
    CodeGranted,
    FetchedWith,
    TokenLater,
    TokenOutcome,
    TokenRefused,
    TokenStale,
    TokenSteps,
)
from worker.channels.calls import json_bytes
from worker.channels.wecom import token
from worker.channels.wecom.answer import ERRCODES, Answer, text_of
from worker.channels.wecom.callback import secret_problems, secrets_of
from worker.channels.wecom_suite import callback
from worker.domain.account import Account
from worker.domain.call import Reply, Request
from worker.domain.errors import Problem
from worker.domain.job import Draft

NOTHING = Problem("account", "is a suite, which sends nothing", "send through the account of a customer's app")


KEYS = frozenset({"suite_id", "callback"})
"""Every key that is read."""
ADDRESS = 'add callback = { token = { env = "NAME" }, aes_key = { env = "NAME" } }, as typed into the suite\'s page'


def _problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    suite_id = settings.get("suite_id")
    if not isinstance(suite_id, str) or not suite_id.strip():
        yield Problem("suite_id", "is missing or not a text", "add the suite's id, or that of the template (代开发)")
    callback = settings.get("callback")
    if isinstance(callback, Mapping):
        yield from secret_problems(callback)
    else:
        yield Problem(
            "callback", "is no table: without its callbacks there is no suite_ticket, and so no token", ADDRESS
        )


BAD_AUTH_CODE = 40078
BAD_TICKET = 40085
TICKET_DELAY_S = 30.0
"""Seconds until the next try after a refused ticket. By then another may have come."""
REFRESH = (
    "in the provider's console press 刷新Ticket (应用详情, 回调配置), and see that its 指令回调URL leads to this"
    " account's address at `worker receiver`"
)
MISSING: Advice = ("no suite_ticket: none has come, or the last is older than 30 minutes", REFRESH)


def _suite_token(account: Account, secret: str, ticket: str, now: int) -> Request:
    suite_id = str(account.settings["suite_id"])
    body = json_bytes({"suite_id": suite_id, "suite_secret": secret, "suite_ticket": ticket})
    path = "/cgi-bin/service/get_suite_token"
    return Request("POST", account.base_url, path, {}, body, deadline_s=token.DEADLINE_S)


def _outcome(reply: Reply, account: Account) -> TokenOutcome:
    return token.token_in(reply, "suite_access_token", _refused)


def _refused(answer: Answer) -> TokenOutcome:
    if answer.errcode == BAD_TICKET:
        return TokenLater(f"{BAD_TICKET}: the vendor refuses the suite_ticket", TICKET_DELAY_S, remedy=REFRESH)
    return token.refused(answer)


def _permanent_code(account: Account, suite_token: str, auth_code: str) -> Request:
    query, body = {"suite_access_token": suite_token}, json_bytes({"auth_code": auth_code})
    path = "/cgi-bin/service/get_permanent_code"
    return Request("POST", account.base_url, path, query, body, deadline_s=token.DEADLINE_S)


def _code(reply: Reply) -> CodeGranted | TokenRefused | TokenLater | TokenStale:
    answer = token.answer_of(reply, "permanent_code")
    if not isinstance(answer, Answer):
        return answer
    if answer.errcode:
        return token.stale(answer) or _not_exchanged(token.refused(answer))
    corp = answer.data.get("auth_corp_info")
    subject = text_of(corp.get("corpid")) if isinstance(corp, dict) else None
    code = text_of(answer.data.get("permanent_code"))
    if subject is None or code is None:
        return TokenLater("errcode 0 without a permanent_code and its corpid", token.UNREADABLE_DELAY_S)
    return CodeGranted(subject, code)


def _not_exchanged(refused: TokenRefused | TokenLater) -> TokenRefused | TokenLater:
    """Returns TokenRefused only if the code itself is. A problem of the suite may be repaired before the code ends."""
    if isinstance(refused, TokenLater) or refused.errcode == BAD_AUTH_CODE:
        return refused
    return TokenLater(refused.reason, TICKET_DELAY_S, remedy=refused.remedy)


class WecomSuite(Channel):
    """A suite of WeCom (第三方应用): receives tickets and authorisations, and has the token that other tokens need."""

    name = "wecom_suite"
    uses_token = True
    account_keys = KEYS
    errcodes = ERRCODES

    key_problems = staticmethod(_problems)
    callback_secrets = staticmethod(secrets_of)
    callback_verifier = staticmethod(callback.verifier)

    def follow_up_problem(self, kind: str, target_kind: str) -> Problem | None:
        return NOTHING

    def check(self, draft: Draft) -> list[Problem]:
        return [NOTHING]

    def app_scope(self, account: Account) -> str:
        return f"suite:{account.settings.get('suite_id')}@{account.base_url}"

    def token_steps(self, account: Account) -> TokenSteps:
        """See `Channel.token_steps`: the suite's secret, and the newest ticket."""
        exchange = CodeExchange(_permanent_code, _code)
        return TokenSteps(account.name, None, FetchedWith.TICKET, _suite_token, _outcome, MISSING, exchange=exchange)
