"""The channel itself. Each method is in the file made for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.channels.calls import upload_lane
from worker.channels.wecom.account import CORP_KEYS, CorpChannel, corp_problems
from worker.channels.wecom_external import call, check, limits, targets, vendor_json
from worker.channels.wecom_external.messages import OURS, Campaign
from worker.domain.content.message import Message
from worker.domain.content.recipient import Customers, Recipients
from worker.domain.errors import Problem
from worker.domain.job import Kind, RepeatRule

RULES: Mapping[str, RepeatRule] = {
    "send": RepeatRule.LOOK_UP,
    "recall": RepeatRule.HARMLESS,
    "track": RepeatRule.HARMLESS,
    "upload": RepeatRule.HARMLESS,
    "remind": RepeatRule.HOLD,
}
"""A second create is a second task. A second reminder is one that members see, and one of three a day."""
NO_SENDS = frozenset({"upload", "track", "remind"})
"""Documents that are no campaigns, by their type, which is their kind."""
FOLLOW_UPS = frozenset({"recall", "remind", "track"})


class WecomExternal(CorpChannel):
    """WeCom group sends to customers and customer groups (企业微信 企业群发): send, recall, remind, track, upload."""

    name = "wecom_external"
    kinds = frozenset(call.PATHS)
    sends = frozenset({Kind.SEND.value})
    account_keys = CORP_KEYS  # agentid is not read, and stands in accounts that were copied from the app's
    profile = limits.PROFILE
    vendor_json = vendor_json
    beside = OURS
    customer_month = 4
    """The rule of 2022. What a corp's administrator chose since then allows at least as many."""
    instead: Mapping[str, tuple[str, ...]] = {"": ("Campaign",)}
    # There is no `recall_window_s`: what members have not sent yet can be cancelled as long as the task exists (page
    # 97611).

    key_problems = staticmethod(corp_problems)
    # `limits` is the module up to the line that assigns the name to the method.
    checks = check.CHECKS
    warnings = staticmethod(check.warnings)
    fit = staticmethod(targets.fit)
    split = staticmethod(targets.split)
    counted = staticmethod(limits.all_counted)
    limits = staticmethod(limits.limits)
    request = staticmethod(call.request)
    body_hash = staticmethod(call.body_hash)
    outcome = staticmethod(call.outcome)

    def kind_of(self, document: Mapping[str, Any], to: Recipients) -> str:
        found = str(document.get("type"))
        return found if found in NO_SENDS else Kind.SEND.value

    def follow_up_problem(self, kind: str, target_kind: str) -> Problem | None:
        if kind == Kind.UPDATE_CARD:
            return Problem("update_card", "customers are sent no cards", "cancel the group send and make a new one")
        if kind not in FOLLOW_UPS:
            return Problem("kind", f"this channel has no {kind}", f"use one of {', '.join(sorted(FOLLOW_UPS))}")
        if target_kind != Kind.SEND:
            return Problem("job_id", f"is not a send but {target_kind}", "name the job that made the group send")
        return None

    def lane(self, kind: str, message: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
        """Returns `send/single` or `send/group`, `upload/<upload type>`, or the kind."""
        if kind == Kind.SEND:
            return f"send/{targets.audience_in(spec).chat_type}"
        return upload_lane(message) if kind == Kind.UPLOAD else kind

    def repeat_rule(self, kind: str, message: Mapping[str, Any]) -> tuple[RepeatRule, int]:
        return RULES[kind], 0

    def plain_text(self, content: str) -> Message:
        return Campaign(text=content)

    def named(self, *ids: str) -> Recipients:
        return Customers(ids)
