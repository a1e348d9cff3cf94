"""The channel itself. Each method is in the file made for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.channels.base import Channel
from worker.channels.calls import upload_lane
from worker.channels.youdu import account as keys, call, callback, check, envelope, fields, targets, vendor_json
from worker.channels.youdu.messages import Text
from worker.domain.account import Account, Secret
from worker.domain.content.recipient import Recipients, To
from worker.domain.errors import Problem
from worker.domain.job import RepeatRule

NO_ID = "Youdu gives no message id, and has no call that takes back, changes or follows what was sent"
INSTEAD: Mapping[str, str] = {
    fields.POP_WINDOW: "send a window with the same notice_id: it takes the place of the first",
    fields.BADGE: "set the badge again; 0 clears it",
}
"""What to do instead of a recall, by kind."""


class Youdu(Channel):
    """有度即时通, app messages and uploads, pop-up windows, badge counts."""

    name = "youdu"
    kinds = frozenset(fields.KINDS)
    sends = fields.SENDS
    uses_token = True
    calls_with_secret = True
    account_keys = keys.KEYS
    profile = keys.PROFILE
    errcodes = envelope.ERRCODES
    vendor_json = vendor_json
    beside = fields.OURS
    instead: Mapping[str, tuple[str, ...]] = {
        "TextCard": ("Link",),
        "News": ("ExLink", "MpNews"),
        "Video": ("FileMessage",),
        "Voice": ("FileMessage",),
        "": ("Text",),
    }

    key_problems = staticmethod(keys.problems)
    checks = check.CHECKS
    warnings = staticmethod(check.warnings)
    fit = staticmethod(targets.fit)
    split = staticmethod(targets.split)
    counted = staticmethod(keys.all_counted)
    limits = staticmethod(keys.limits)
    request = staticmethod(call.request)
    body_hash = staticmethod(call.body_hash)
    outcome = staticmethod(call.outcome)
    token_request = staticmethod(envelope.token_request)
    token_outcome = staticmethod(envelope.token_outcome)
    callback_verifier = staticmethod(callback.verifier)
    plain_text = staticmethod(Text)

    def kind_of(self, document: Mapping[str, Any], to: Recipients) -> str:
        found = str(document.get("type"))
        return found if found in fields.KINDS else fields.SEND

    def follow_up_problem(self, kind: str, target_kind: str) -> Problem | None:
        return Problem("job_id", f"{NO_ID}: there can be no {kind}", INSTEAD.get(target_kind, "send a correction"))

    def lane(self, kind: str, message: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
        """Returns the finest scope that an errcode can park.

        That is `send/<msgType>`, `upload/<upload type>` (with `/url` if the file has to be fetched first), or the kind.
        """
        if kind == fields.SEND:
            return f"{kind}/{message['type']}"
        return upload_lane(message) if kind == fields.UPLOAD else kind

    def repeat_rule(self, kind: str, message: Mapping[str, Any]) -> tuple[RepeatRule, int]:
        """See `Channel.repeat_rule`.

        A message has no id of ours and the server no memory, so nothing makes its repeat safe. A badge is absolute, and
        a pop-up window replaces the earlier one with its id.
        """
        harmless = kind in (fields.UPLOAD, fields.BADGE) or (
            kind == fields.POP_WINDOW and message["body"]["popWindow"].get("notice_id") != ""
        )
        return (RepeatRule.HARMLESS if harmless else RepeatRule.HOLD), 0

    def media_scope(self, account: Account) -> str:
        """See `Channel.media_scope`. Whether apps can share a media_id is not documented, so each has its own."""
        return f"youdu:{account.settings['buin']}/{account.settings['appid']}@{account.base_url}"

    def upload_limit(self, account: Account, upload_type: str) -> int:
        """See `Channel.upload_limit`. It is the account's or ours, because the vendor documents none."""
        return keys.max_upload(account)

    def callback_secrets(self, account: Account) -> Mapping[str, Secret]:
        """See `Channel.callback_secrets`: the token of the address. The key is the account's own."""
        given = account.settings.get("callback")
        if not isinstance(given, Mapping) or account.secret is None:
            return {}
        return {"token": given["token"], "aes_key": account.secret}

    def named(self, *ids: str) -> Recipients:
        return To(ids)
