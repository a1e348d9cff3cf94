"""What the accounts of all apps of a corp share: the corp, the address of its calls, a provider's suite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.base import Channel
from worker.channels.wecom import token
from worker.channels.wecom.answer import ERRCODES
from worker.channels.wecom.upload import UPLOADS
from worker.domain.account import Account
from worker.domain.errors import Problem

SUITE_KEYS = frozenset({"suite", "is_customized_app"})
"""Keys of a customer's account: the account of the suite, and whether the app is a 代开发 one."""
CORP_KEYS = frozenset({"corpid", "agentid", "ip", *SUITE_KEYS})
"""Every key that is read. A channel decides by itself whether it needs an agentid."""


class CorpChannel(Channel):
    """Base of the channels of a corp's apps: how they get a token, and what they upload."""

    uses_token = True
    errcodes = ERRCODES

    token_request = staticmethod(token.token_request)
    token_outcome = staticmethod(token.token_outcome)
    token_steps = staticmethod(token.token_steps)

    def media_scope(self, account: Account) -> str:
        """See `Channel.media_scope`: a media_id is valid for every app of the corp (page 90253)."""
        return f"corp:{account.settings['corpid']}"

    def upload_limit(self, account: Account, upload_type: str) -> int:
        """See `Channel.upload_limit`."""
        return UPLOADS[upload_type]


def corp_problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    """Finds the wrong keys of the corp and of its suite."""
    corpid, ip = settings.get("corpid"), settings.get("ip", "none")
    if not isinstance(corpid, str) or not corpid.strip():
        yield Problem("corpid", "is missing or not a text", "add the corp's id (企业ID), such as ww0123456789abcdef")
    if not isinstance(ip, str) or not ip.strip():
        yield Problem("ip", "is not a text", "give the address as the vendor sees it, or leave it out")
    named = settings.get("suite", "name")
    if not isinstance(named, str) or not named:
        yield Problem("suite", "is no account's name", "name the account of the suite, as in [accounts.NAME]")
    customized = settings.get("is_customized_app", False)
    if not isinstance(customized, bool):
        yield Problem("is_customized_app", "is not a boolean", "use true for an app developed for one corp (代开发)")
    elif customized and "suite" not in settings:
        yield Problem("is_customized_app", "has no effect without suite", "add suite, or leave it out")
