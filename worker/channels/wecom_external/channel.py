"""The channel itself: every question of the pipeline, answered by the file made for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from worker.channels.base import CallbackDoor, TokenOutcome
from worker.channels.checking import overflow as overflows
from worker.channels.wecom import errcodes, token, upload
from worker.channels.wecom.upload import UPLOADS
from worker.channels.wecom_external import account as keys, check, fields, limits, render, split, verdict
from worker.domain.account import Account, Secret
from worker.domain.call import Access, Reply, Request
from worker.domain.content.recipient import Recipients
from worker.domain.errors import ConfigurationError, Problem
from worker.domain.job import Draft, Kind, Part, RepeatRule
from worker.domain.outcome import Verdict
from worker.domain.pacing.limit import Charge, Counted

RULES: Mapping[str, RepeatRule] = {
    "send": RepeatRule.LOOK_UP,
    "recall": RepeatRule.HARMLESS,
    "track": RepeatRule.HARMLESS,
    "upload": RepeatRule.HARMLESS,
    "remind": RepeatRule.HOLD,
}
"""A second create is a second task; a second reminder is one that members see, and one of three a day."""
NO_SENDS = frozenset({"upload", "track", "remind"})
"""Documents that are no campaigns, by their type, which is their kind."""
FOLLOW_UPS = frozenset({"recall", "remind", "track"})


class WecomExternal:
    """WeCom group sends to customers and customer groups (企业微信 企业群发): send, recall, remind, track, upload."""

    name = "wecom_external"
    kinds = frozenset(render.PATHS)
    sends = frozenset({Kind.SEND.value})
    uses_token = True
    calls_with_secret = False
    counts_members = False
    account_keys = keys.KEYS
    profile = limits.PROFILE
    recall_window_s: int | None = None
    """What members have not sent yet can be cancelled as long as the task exists (page 97611)."""

    def account_problems(self, account: Account) -> list[Problem]:
        """See `Channel.account_problems`."""
        return keys.problems(account)

    def cautions(self, account: Account) -> Sequence[str]:
        """See `Channel.cautions`."""
        return list(keys.cautions(account))

    def kind_of(self, document: Mapping[str, Any], to: Recipients) -> str:
        """See `Channel.kind_of`."""
        found = str(document.get("type"))
        return found if found in NO_SENDS else Kind.SEND.value

    def follow_up_problem(self, kind: str, target_kind: str) -> Problem | None:
        """See `Channel.follow_up_problem`."""
        if kind == Kind.UPDATE_CARD:
            return Problem("update_card", "customers are sent no cards", "cancel the group send and make a new one")
        if kind not in FOLLOW_UPS:
            return Problem("kind", f"this channel knows no {kind}", f"use one of {', '.join(sorted(FOLLOW_UPS))}")
        if target_kind != Kind.SEND:
            return Problem("job_id", f"is not a send but {target_kind}", "name the job that made the group send")
        return None

    def is_plain(self, draft: Draft) -> bool:
        """See `Channel.is_plain`: never, because every campaign gets a warning about the cap."""
        return False

    def check(self, draft: Draft) -> list[Problem]:
        """See `Channel.check`."""
        return check.check(draft)

    def warnings(self, draft: Draft) -> list[str]:
        """See `Channel.warnings`."""
        return check.warnings(draft)

    def fit(self, kind: str, message: Mapping[str, Any], account: Account, overflow: str) -> overflows.Fitted:
        """See `Channel.fit`: texts are truncated, nothing is split.

        Every piece would be a task of its own that a member has to confirm, and use up a customer's cap.
        """
        rows = fields.BODY if kind == Kind.SEND else ()
        return overflows.fit(message, "", rows, overflow, None)

    def split(self, draft: Draft) -> list[dict[str, Any]]:
        """See `Channel.split`."""
        return split.split(draft)

    def lane(self, kind: str, message: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
        """`send/single` or `send/group`, `upload/<upload type>`, or the kind."""
        if kind == Kind.SEND:
            return f"send/{split.audience_in(spec).chat_type}"
        return upload.lane(message) if kind == Kind.UPLOAD else kind

    def limits(self, part: Part, account: Account) -> Sequence[Charge]:
        """See `Channel.limits`."""
        return limits.limits(part, account)

    def counted(self, account: Account, recipient: str | None) -> Sequence[Counted]:
        """See `Channel.counted`."""
        return list(limits.all_counted(account, recipient))

    def narrow(self, spec: Mapping[str, Any], later: Collection[str], members: Collection[str] = ()) -> None:
        """Never called: the vendor counts no recipients when it takes the call, so no charge names a recipient."""

    def repeat_rule(self, part: Part) -> tuple[RepeatRule, int]:
        """See `Channel.repeat_rule`."""
        return RULES[part.kind], 0

    def request(self, part: Part, account: Account, access: Access, *, flagged: bool) -> Request:
        """See `Channel.request`; there is no duplicate check to be flagged."""
        return render.request(part, account, access.token)

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

    def app_scope(self, account: Account) -> str:
        """See `Channel.app_scope`: the account alone, because the vendor remembers nothing of the kind here."""
        return account.name

    def media_scope(self, account: Account) -> str:
        """See `Channel.media_scope`: a media_id is good for every app of the corp (page 90253)."""
        return f"corp:{account.settings['corpid']}"

    def upload_limit(self, upload_type: str) -> int:
        """See `Channel.upload_limit`."""
        return UPLOADS[upload_type].max_bytes

    def upload_part(self, file: dict[str, Any]) -> dict[str, Any]:
        """See `Channel.upload_part`."""
        return upload.message_of(file)

    def explain(self, code: int, lang: str) -> list[str] | None:
        """See `Channel.explain`."""
        return errcodes.explain(code, lang)

    def callback_secrets(self, account: Account) -> Mapping[str, Secret]:
        """See `Channel.callback_secrets`: no callback tells of confirmations (page 92130), so there is no address."""
        return {}

    def callback_door(self, account: Account, secrets: Mapping[str, str], max_age_s: float) -> CallbackDoor:
        """See `Channel.callback_door`."""
        raise ConfigurationError(
            f"accounts.{account.name}: group sends have no callbacks; use the app's wecom_app account"
        )
