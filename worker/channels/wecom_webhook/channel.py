"""The channel itself: every question of the pipeline, answered by the file made for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from worker.channels.base import CallbackDoor, TokenOutcome
from worker.channels.checking.overflow import Fitted
from worker.channels.wecom import upload
from worker.channels.wecom_webhook import (
    account as keys,
    callback,
    check,
    errcodes,
    fields,
    limits,
    render,
    split,
    targets,
    verdict,
)
from worker.domain.account import Account, Secret
from worker.domain.call import Access, Reply, Request
from worker.domain.content.recipient import Recipients
from worker.domain.errors import Problem, WorkerError
from worker.domain.job import Draft, Kind, Part, RepeatRule
from worker.domain.outcome import Verdict
from worker.domain.pacing.limit import Charge, Counted


class WecomWebhook:
    """WeCom webhooks (企业微信 群机器人, 消息推送): send and upload; nothing that was posted can be reached again."""

    name = "wecom_webhook"
    kinds = frozenset({Kind.SEND.value, Kind.UPLOAD.value})
    sends = frozenset({Kind.SEND.value})
    uses_token = False
    calls_with_secret = True
    counts_members = False
    account_keys = keys.KEYS
    profile = limits.PROFILE
    recall_window_s: int | None = None

    def account_problems(self, account: Account) -> list[Problem]:
        """See `Channel.account_problems`."""
        return keys.problems(account)

    def cautions(self, account: Account) -> Sequence[str]:
        """See `Channel.cautions`."""
        return list(keys.cautions(account))

    def kind_of(self, document: Mapping[str, Any], to: Recipients) -> str:
        """See `Channel.kind_of`."""
        return Kind.UPLOAD if document.get("type") == "upload" else Kind.SEND

    def follow_up_problem(self, kind: str, target_kind: str) -> Problem | None:
        """See `Channel.follow_up_problem`: the vendor's answer to a send is errcode and errmsg, and nothing else."""
        text = "the vendor gives no msgid and no response_code for a webhook message: it cannot be reached again"
        return Problem("job_id", text, "send a correction; it can be neither recalled nor updated")

    def is_plain(self, draft: Draft) -> bool:
        """See `Channel.is_plain`; twenty messages a minute need no short cut."""
        return False

    def check(self, draft: Draft) -> list[Problem]:
        """See `Channel.check`."""
        return check.check(draft)

    def warnings(self, draft: Draft) -> list[str]:
        """See `Channel.warnings`."""
        return check.warnings(draft)

    def fit(self, kind: str, message: Mapping[str, Any], account: Account, overflow: str) -> Fitted:
        """See `Channel.fit`."""
        return split.fit(kind, message, account, overflow)

    def split(self, draft: Draft) -> list[dict[str, Any]]:
        """See `Channel.split`."""
        return split.split(draft)

    def lane(self, kind: str, message: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
        """The lane: where a limit and a parking reach.

        A chat's own (message push), that of calls for several chats, that of broadcasts, or the key's (group robot).
        Uploads have a lane of their own, and another one where a file has to be fetched first.
        """
        if kind == Kind.UPLOAD:
            return upload.lane(message)
        if len(spec.get("chats") or ()) > 1:
            return f"{kind}/chats"
        if spec.get("chats"):
            return targets.chat_lane(spec["chats"][0])
        return f"{kind}/everyone" if spec.get("everyone") else str(kind)

    def limits(self, part: Part, account: Account) -> Sequence[Charge]:
        """See `Channel.limits`."""
        return limits.limits(part, account)

    def counted(self, account: Account, recipient: str | None) -> Sequence[Counted]:
        """See `Channel.counted`."""
        return list(limits.all_counted(account, recipient))

    def narrow(
        self, spec: Mapping[str, Any], later: Collection[str], members: Collection[str] = ()
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """See `Channel.narrow`: chats without room leave a call for several; no other call is divided."""
        return split.without(spec, later)

    def repeat_rule(self, part: Part) -> tuple[RepeatRule, int]:
        """See `Channel.repeat_rule`: nothing makes the repeat of a webhook message safe.

        The message holds no key of ours, and it cannot be looked up afterwards.
        """
        return (RepeatRule.HARMLESS if part.kind == Kind.UPLOAD else RepeatRule.HOLD), 0

    def request(self, part: Part, account: Account, access: Access, *, flagged: bool) -> Request:
        """See `Channel.request`."""
        return render.request(part, account, access.secret or "")

    def body_hash(self, part: Part, account: Account) -> str:
        """See `Channel.body_hash`."""
        return render.body_hash(part, account)

    def outcome(self, part: Part, account: Account, reply: Reply, access: Access) -> Verdict:
        """See `Channel.outcome`."""
        return verdict.outcome(part, reply, access.secret)

    def token_request(self, account: Account, secret: str, now: int) -> Request:
        """Never called: a webhook has no token."""
        raise WorkerError("a webhook has no token", channel=self.name)

    def token_outcome(self, reply: Reply, account: Account, secret: str) -> TokenOutcome:
        """Never called: a webhook has no token."""
        raise WorkerError("a webhook has no token", channel=self.name)

    def explain(self, code: int, lang: str) -> list[str] | None:
        """See `Channel.explain`."""
        return errcodes.explain(code, lang)

    def app_scope(self, account: Account) -> str:
        """See `Channel.app_scope`: the account alone, because the vendor remembers nothing of the kind here."""
        return account.name

    def media_scope(self, account: Account) -> str:
        """See `Channel.media_scope`: a media_id is good for the key that uploaded it (文件上传接口)."""
        return f"webhook:{account.name}"

    def upload_limit(self, upload_type: str) -> int:
        """See `Channel.upload_limit`."""
        return fields.UPLOADS[upload_type].max_bytes

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
