"""The channel itself. Each method is in the file made for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.channels.base import Channel
from worker.channels.calls import upload_lane
from worker.channels.wecom.callback import secrets_of
from worker.channels.wecom_webhook import (
    account as keys,
    call,
    callback,
    check,
    fields,
    limits,
    targets,
    vendor_json,
)
from worker.channels.wecom_webhook.messages import Text
from worker.domain.account import Account
from worker.domain.content.recipient import Chats, Recipients
from worker.domain.errors import Problem
from worker.domain.job import Kind, RepeatRule


class WecomWebhook(Channel):
    """WeCom webhooks (企业微信 群机器人, 消息推送): send and upload. What was posted cannot be reached again."""

    name = "wecom_webhook"
    kinds = frozenset({Kind.SEND.value, Kind.UPLOAD.value})
    sends = frozenset({Kind.SEND.value})
    calls_with_secret = True
    account_keys = keys.KEYS
    profile = limits.PROFILE
    errcodes = call.ERRCODES
    vendor_json = vendor_json
    beside = frozenset(fields.ENVELOPE_FIELDS) | fields.OURS
    instead: Mapping[str, tuple[str, ...]] = {
        "Video": ("FileMessage",),
        "TextCard": ("News", "TextNoticeCard"),
        "MpNews": ("News",),
        "MiniProgramNotice": ("MiniProgram", "TextNoticeCard"),
        "ButtonCard": ("TextNoticeCard", "Markdown"),
        "VoteCard": ("TextNoticeCard", "Markdown"),
        "MultipleCard": ("TextNoticeCard", "Markdown"),
        "Campaign": ("Text", "News"),
        "Link": ("News",),
        "ExLink": ("News",),
        "Mail": ("News",),
        "": ("Text",),
    }

    # `limits` is the module up to the line that assigns the name to the method.
    key_problems = staticmethod(keys.problems)
    cautions = staticmethod(keys.cautions)
    checks = check.CHECKS
    warnings = staticmethod(check.warnings)
    fit = staticmethod(targets.fit)
    counted = staticmethod(limits.all_counted)
    limits = staticmethod(limits.limits)
    request = staticmethod(call.request)
    body_hash = staticmethod(call.body_hash)
    outcome = staticmethod(call.outcome)
    callback_secrets = staticmethod(secrets_of)
    callback_verifier = staticmethod(callback.verifier)
    plain_text = staticmethod(Text)
    named = staticmethod(Chats)
    split = staticmethod(targets.split)

    def kind_of(self, document: Mapping[str, Any], to: Recipients) -> str:
        return Kind.UPLOAD if document.get("type") == "upload" else Kind.SEND

    def follow_up_problem(self, kind: str, target_kind: str) -> Problem | None:
        """See `Channel.follow_up_problem`: the vendor's answer to a send is errcode and errmsg, and nothing else."""
        text = "the vendor gives no msgid and no response_code for a webhook message: it cannot be reached again"
        return Problem("job_id", text, "send a correction; it can be neither recalled nor updated")

    def lane(self, kind: str, message: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
        """Returns the lane that a limit or a parking affects.

        That is a chat's own lane (message push), the lane of broadcasts, or the key's (group robot). Uploads have their
        own lane, and another one if a file has to be fetched first.
        """
        if kind == Kind.UPLOAD:
            return upload_lane(message)
        if spec.get("chats"):
            return targets.chat_lane(spec["chats"][0])
        return f"{kind}/everyone" if spec.get("everyone") else str(kind)

    def repeat_rule(self, kind: str, message: Mapping[str, Any]) -> tuple[RepeatRule, int]:
        """See `Channel.repeat_rule`: nothing makes the repeat of a webhook message safe.

        The message has no key of ours, and it cannot be looked up afterwards.
        """
        return (RepeatRule.HARMLESS if kind == Kind.UPLOAD else RepeatRule.HOLD), 0

    def media_scope(self, account: Account) -> str:
        """See `Channel.media_scope`: a media_id is valid for the key that uploaded it (文件上传接口)."""
        return f"webhook:{account.name}"

    def upload_limit(self, account: Account, upload_type: str) -> int:
        return fields.UPLOADS[upload_type]
