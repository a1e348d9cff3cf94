"""The channel itself: every question of the pipeline, answered by the file made for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from worker.channels.base import CallbackDoor, TokenOutcome
from worker.channels.checking.overflow import Fitted
from worker.channels.wecom import errcodes, token, upload
from worker.channels.wecom_app import account as keys, callback, fields, limits, render, split, verdict
from worker.channels.wecom_app.checks import fast_check, job, warn
from worker.channels.wecom_app.fields import SENDS
from worker.domain.account import Account, Secret
from worker.domain.call import Access, Reply, Request
from worker.domain.content.recipient import Recipients
from worker.domain.errors import Problem
from worker.domain.job import Draft, Kind, Part, RepeatRule
from worker.domain.outcome import Verdict
from worker.domain.pacing.limit import Charge, Counted

KINDS: Mapping[str, Kind] = {
    "upload": Kind.UPLOAD,
    "card_update": Kind.UPDATE_CARD,
    "chat_create": Kind.CREATE_CHAT,
    "chat_change": Kind.CHANGE_CHAT,
}
"""Messages that are no sends, by the type of their document."""
RECALL_WINDOW_S = 86_400
"""A message is taken back within 24 h (page 94867)."""
HARMLESS_KINDS = frozenset({"recall", "upload", "create_chat", "change_chat"})
"""Kinds that are safe to repeat. The vendor takes a chatid only once; a chat's changes name the state to reach."""


class WecomApp:
    """WeCom application messages (企业微信 应用消息): send, recall, upload, update_card, and app group chats."""

    name = "wecom_app"
    kinds = frozenset(render.PATHS)
    sends = SENDS
    uses_token = True
    calls_with_secret = False
    counts_members = True
    account_keys = keys.KEYS
    profile = limits.PROFILE
    recall_window_s: int | None = RECALL_WINDOW_S

    def account_problems(self, account: Account) -> list[Problem]:
        """See `Channel.account_problems`."""
        return keys.problems(account)

    def cautions(self, account: Account) -> Sequence[str]:
        """See `Channel.cautions`."""
        return list(keys.cautions(account))

    def kind_of(self, document: Mapping[str, Any], to: Recipients) -> str:
        """See `Channel.kind_of`."""
        found = KINDS.get(str(document.get("type")), Kind.SEND)
        return Kind.SEND_CHAT if found is Kind.SEND and to.chats else found

    def follow_up_problem(self, kind: str, target_kind: str) -> Problem | None:
        """See `Channel.follow_up_problem`."""
        if target_kind == Kind.SEND_CHAT:
            text = "the vendor gives no msgid and no response_code for a message to a group chat"
            return Problem("job_id", text, "send a correction; it can be neither recalled nor updated")
        if target_kind != Kind.SEND:
            return Problem("job_id", f"is not a send but {target_kind}", "name the job that sent the message")
        if kind not in self.kinds:
            return Problem("kind", f"this channel knows no {kind}", f"use one of {', '.join(sorted(self.kinds))}")
        return None

    def is_plain(self, draft: Draft) -> bool:
        """See `Channel.is_plain`."""
        return fast_check.is_plain(draft)

    def check(self, draft: Draft) -> list[Problem]:
        """See `Channel.check`."""
        return job.check(draft)

    def warnings(self, draft: Draft) -> list[str]:
        """See `Channel.warnings`."""
        return warn.warnings(draft)

    def fit(self, kind: str, message: Mapping[str, Any], account: Account, overflow: str) -> Fitted:
        """See `Channel.fit`."""
        return split.fit(kind, message, account, overflow)

    def split(self, draft: Draft) -> list[dict[str, Any]]:
        """See `Channel.split`."""
        return split.split(draft)

    def lane(self, kind: str, message: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
        """The finest scope that an errcode can park.

        `<kind of send>/<msgtype>`, `upload/<upload type>` (with `/url` where the file has to be fetched first), or the
        kind.
        """
        if kind in SENDS:
            return f"{kind}/{message['type']}"
        if kind == "upload":
            return upload.lane(message)
        return kind

    def limits(self, part: Part, account: Account) -> Sequence[Charge]:
        """See `Channel.limits`."""
        return limits.limits(part, account)

    def counted(self, account: Account, recipient: str | None) -> Sequence[Counted]:
        """See `Channel.counted`."""
        return list(limits.all_counted(account, recipient))

    def narrow(
        self, spec: Mapping[str, Any], later: Collection[str], members: Collection[str] = ()
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """See `Channel.narrow`."""
        return split.narrow(spec, later, members)

    def repeat_rule(self, part: Part) -> tuple[RepeatRule, int]:
        """See `Channel.repeat_rule`. How long a task_id stays reserved is not published: taken as the same window.

        Nothing makes the repeat of a send to an app group chat safe: it is held.
        """
        if part.kind in HARMLESS_KINDS:
            return RepeatRule.HARMLESS, 0
        if part.kind == "update_card":
            return RepeatRule.FRESH_CODE, 0
        if part.kind == "send_chat":
            return RepeatRule.HOLD, 0
        if part.message["type"] == "template_card":
            return RepeatRule.TASK_ID, render.DUPLICATE_WINDOW_S
        if _duplicate_checked(part.message):
            return RepeatRule.DUPLICATE_CHECK, render.interval_s(part.message)
        return RepeatRule.HOLD, 0

    def request(self, part: Part, account: Account, access: Access, *, flagged: bool) -> Request:
        """See `Channel.request`."""
        return render.request(part, account, access.token, flagged=flagged)

    def body_hash(self, part: Part, account: Account) -> str:
        """See `Channel.body_hash`."""
        return render.body_hash(part, account)

    def outcome(self, part: Part, account: Account, reply: Reply, access: Access) -> Verdict:
        """See `Channel.outcome`."""
        return verdict.outcome(part, reply)

    def token_request(self, account: Account, secret: str, now: int) -> Request:
        """See `Channel.token_request`."""
        return token.token_request(account, secret)

    def token_outcome(self, reply: Reply, account: Account, secret: str) -> TokenOutcome:
        """See `Channel.token_outcome`."""
        return token.token_outcome(reply)

    def explain(self, code: int, lang: str) -> list[str] | None:
        """See `Channel.explain`."""
        return errcodes.explain(code, lang)

    def app_scope(self, account: Account) -> str:
        """See `Channel.app_scope`: the corp's app, whatever its accounts are called here."""
        return render.app_scope(account)

    def media_scope(self, account: Account) -> str:
        """See `Channel.media_scope`: a media_id is good for every app of the corp (page 90253)."""
        return f"corp:{account.settings['corpid']}"

    def upload_limit(self, upload_type: str) -> int:
        """See `Channel.upload_limit`."""
        return upload.UPLOADS[upload_type].max_bytes

    def upload_part(self, file: dict[str, Any]) -> dict[str, Any]:
        """See `Channel.upload_part`."""
        return upload.message_of(file)

    def callback_secrets(self, account: Account) -> Mapping[str, Secret]:
        """See `Channel.callback_secrets`."""
        given = account.settings.get("callback")
        return given if isinstance(given, Mapping) else {}

    def callback_door(self, account: Account, secrets: Mapping[str, str], max_age_s: float) -> CallbackDoor:
        """See `Channel.callback_door`."""
        return callback.door(account, secrets["token"], secrets["aes_key"], max_age_s)


def _duplicate_checked(message: Mapping[str, Any]) -> bool:
    """Whether the caller wants the check and the type lists it (page 90236); an unlisted type gets no promise."""
    wanted = (message.get("options") or {}).get("duplicate_check", True)
    return bool(wanted) and message["type"] in fields.ENVELOPE
