"""Third-party apps (第三方应用): how the account of a customer's app gets its token through the provider's suite.

get_corp_token (page 90605) takes the suite's token and the corp's permanent code. An app that was developed for one
corp (代开发, page 97163) uses its permanent code as the secret of gettoken. Knows no callback.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.base import FetchedWith, TokenChain, TokenOutcome, TokenStale, Told
from worker.channels.calls import json_bytes
from worker.channels.wecom import token
from worker.channels.wecom.answer import Answer
from worker.domain.account import Account
from worker.domain.call import Reply, Request
from worker.domain.errors import Problem

SUITE_KEYS = frozenset({"suite", "is_customized_app"})
"""Keys of a customer's account: the account of the suite, and whether the app is a 代开发 one."""

STALE = frozenset({40014, 40082, 42001, 42009})
"""Codes about the suite_access_token of a call (page 90313). That 40014 and 42001 can be is not confirmed."""

MISSING: Told = (
    "no permanent code of this corp is kept",
    "let an administrator of the corp authorise the app, or set secret to the permanent code",
)
ENDED: Told = (
    "the corp has withdrawn its authorisation (cancel_auth)",
    "let an administrator of the corp authorise the app again; the account then goes on by itself",
)


def suite_problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    """Every wrong key."""
    named = settings.get("suite", "name")
    if not isinstance(named, str) or not named:
        yield Problem("suite", "is no account's name", "name the account of the suite, as in [accounts.NAME]")
    customized = settings.get("is_customized_app", False)
    if not isinstance(customized, bool):
        yield Problem("is_customized_app", "is not a boolean", "use true for an app developed for one corp (代开发)")
    elif customized and "suite" not in settings:
        yield Problem("is_customized_app", "says nothing without suite", "add suite, or leave it out")


def token_chain(account: Account) -> TokenChain | None:
    """What the app's token takes; None: it is no app of a suite, or has all it takes in its own secret."""
    suite = account.settings.get("suite")
    if suite is None:
        return None
    kept = str(account.settings.get("corpid")) if account.secret is None else None
    if account.settings.get("is_customized_app") is not True:
        return TokenChain(suite, kept, FetchedWith.TOKEN, _corp_token, _outcome, MISSING, ENDED)
    if kept is None:
        return None
    return TokenChain(suite, kept, FetchedWith.NOTHING, _gettoken, _of_gettoken, MISSING, ENDED)


def stale(answer: Answer) -> TokenStale | None:
    """Set when the answer says that the suite_access_token of the call is not good."""
    if answer.errcode not in STALE:
        return None
    return TokenStale(f"{answer.errcode}: the suite_access_token is not good")


def _corp_token(account: Account, code: str, beside: str, now: int) -> Request:
    body = json_bytes({"auth_corpid": str(account.settings["corpid"]), "permanent_code": code})
    query = {"suite_access_token": beside}
    path = "/cgi-bin/service/get_corp_token"
    return Request("POST", account.base_url, path, query, body, deadline_s=token.DEADLINE_S)


def _outcome(reply: Reply, account: Account) -> TokenOutcome:
    # On success the answer has no errcode (page 90605).
    answer = token.answer_of(reply, "access_token")
    if not isinstance(answer, Answer):
        return answer
    if answer.errcode == 0:
        return token.granted(answer, "access_token")
    return stale(answer) or token.refused(answer.errcode, answer.errmsg)


def _gettoken(account: Account, code: str, beside: str, now: int) -> Request:
    return token.token_request(account, code, now)


def _of_gettoken(reply: Reply, account: Account) -> TokenOutcome:
    return token.token_outcome(reply, account, "")
