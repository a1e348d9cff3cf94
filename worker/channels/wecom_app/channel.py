"""The channel itself. Each method is in the file made for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.channels.calls import upload_lane
from worker.channels.wecom.account import CorpChannel
from worker.channels.wecom.callback import secrets_of
from worker.channels.wecom_app import account as keys, call, callback, check, fast_check, limits, targets, vendor_json
from worker.channels.wecom_app.fields import DUPLICATE_WINDOW_S, ENVELOPE, ENVELOPE_FIELDS, OURS, SENDS, interval_s
from worker.channels.wecom_app.messages import Text
from worker.domain.content.recipient import Recipients, To
from worker.domain.errors import Problem
from worker.domain.job import Kind, RepeatRule

KINDS: Mapping[str, Kind] = {
    "upload": Kind.UPLOAD,
    "card_update": Kind.UPDATE_CARD,
    "chat_create": Kind.CREATE_CHAT,
    "chat_change": Kind.CHANGE_CHAT,
}
"""Documents of messages that are no sends, by their type."""
HARMLESS_KINDS = frozenset({"recall", "upload", "create_chat", "change_chat"})
"""Kinds that are safe to repeat. The vendor accepts a chatid only once, and a chat's change names the final state."""


class WecomApp(CorpChannel):
    """WeCom application messages (企业微信 应用消息): send, recall, upload, update_card, and app group chats."""

    name = "wecom_app"
    kinds = frozenset(call.PATHS)
    sends = SENDS
    counts_members = True
    account_keys = keys.KEYS
    profile = limits.PROFILE
    vendor_json = vendor_json
    beside = frozenset(ENVELOPE_FIELDS) | OURS
    instead: Mapping[str, tuple[str, ...]] = {
        "MarkdownV2": ("Markdown",),
        "MiniProgram": ("MiniProgramNotice",),
        "Campaign": ("Text", "News"),
        "Link": ("TextCard",),
        "ExLink": ("News",),
        "Mail": ("TextCard",),
        "": ("Text",),
    }
    unused_options: Mapping[str, frozenset[str]] = {
        Kind.SEND_CHAT: frozenset({"duplicate_check", "duplicate_check_interval"})
    }
    recall_window_s = 86_400
    """A message can be recalled within 24 h (page 94867)."""

    # `limits` is the module up to the line that assigns the name to the method.
    key_problems = staticmethod(keys.problems)
    cautions = staticmethod(keys.cautions)
    is_plain = staticmethod(fast_check.is_plain)
    checks = check.CHECKS
    warnings = staticmethod(check.warnings)
    fit = staticmethod(targets.fit)
    narrow = staticmethod(targets.narrow)
    split = staticmethod(targets.split)
    counted = staticmethod(limits.all_counted)
    limits = staticmethod(limits.limits)
    request = staticmethod(call.request)
    body_hash = staticmethod(call.body_hash)
    outcome = staticmethod(call.outcome)
    app_scope = staticmethod(call.app_scope)
    callback_secrets = staticmethod(secrets_of)
    callback_verifier = staticmethod(callback.verifier)
    plain_text = staticmethod(Text)

    def kind_of(self, document: Mapping[str, Any], to: Recipients) -> str:
        found = KINDS.get(str(document.get("type")), Kind.SEND)
        return Kind.SEND_CHAT if found is Kind.SEND and to.chats else found

    def follow_up_problem(self, kind: str, target_kind: str) -> Problem | None:
        if target_kind == Kind.SEND_CHAT:
            text = "the vendor gives no msgid and no response_code for a message to a group chat"
            return Problem("job_id", text, "send a correction; it can be neither recalled nor updated")
        if target_kind != Kind.SEND:
            return Problem("job_id", f"is not a send but {target_kind}", "name the job that sent the message")
        if kind not in self.kinds:
            return Problem("kind", f"this channel has no {kind}", f"use one of {', '.join(sorted(self.kinds))}")
        return None

    def lane(self, kind: str, message: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
        """Returns `<kind of send>/<msgtype>`, `upload/<upload type>` (`/url` if it is fetched first), or the kind."""
        if kind in SENDS:
            return f"{kind}/{message['type']}"
        return upload_lane(message) if kind == "upload" else kind

    def repeat_rule(self, kind: str, message: Mapping[str, Any]) -> tuple[RepeatRule, int]:
        """See `Channel.repeat_rule`. How long a task_id stays reserved is not published: assumed the same window."""
        if kind in HARMLESS_KINDS:
            return RepeatRule.HARMLESS, 0
        if kind == "update_card":
            return RepeatRule.FRESH_CODE, 0
        if kind == "send_chat":  # nothing makes its repeat safe
            return RepeatRule.HOLD, 0
        if message["type"] == "template_card":
            return RepeatRule.TASK_ID, DUPLICATE_WINDOW_S
        if message["type"] not in ENVELOPE:  # a type whose page does not list the check gets no promise
            return RepeatRule.HOLD, 0
        if (message.get("options") or {}).get("duplicate_check", True):
            return RepeatRule.DUPLICATE_CHECK, interval_s(message)
        return RepeatRule.HOLD, DUPLICATE_WINDOW_S

    def named(self, *ids: str) -> Recipients:
        return To(ids)
