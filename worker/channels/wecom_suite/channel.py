"""The channel itself: a token and callbacks; it sends nothing."""

from __future__ import annotations

from worker.channels.base import Channel
from worker.channels.wecom.answer import ERRCODES
from worker.channels.wecom.callback import secrets_of
from worker.channels.wecom_suite import account as keys, callback, token
from worker.domain.account import Account
from worker.domain.errors import Problem
from worker.domain.job import Draft

NOTHING = Problem("account", "is a suite, which sends nothing", "send through the account of a customer's app")


class WecomSuite(Channel):
    """A suite of WeCom (第三方应用): takes tickets and authorisations, and has the token that other tokens take."""

    name = "wecom_suite"
    uses_token = True
    account_keys = keys.KEYS
    errcodes = ERRCODES

    account_problems = staticmethod(keys.problems)
    token_chain = staticmethod(token.token_chain)
    callback_secrets = staticmethod(secrets_of)
    callback_door = staticmethod(callback.door)

    def follow_up_problem(self, kind: str, target_kind: str) -> Problem | None:
        """See `Channel.follow_up_problem`."""
        return NOTHING

    def check(self, draft: Draft) -> list[Problem]:
        """See `Channel.check`."""
        return [NOTHING]

    def app_scope(self, account: Account) -> str:
        """See `Channel.app_scope`."""
        return f"suite:{account.settings.get('suite_id')}@{account.base_url}"
