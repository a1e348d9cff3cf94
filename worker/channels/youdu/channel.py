"""The channel itself: every question of the pipeline, answered by the file made for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from worker.channels.base import CallbackDoor, TokenOutcome
from worker.channels.checking.overflow import Fitted
from worker.channels.youdu import (
    account as keys,
    callback,
    check,
    errcodes,
    fields,
    limits,
    render,
    split,
    token,
    verdict,
)
from worker.domain.account import Account, Secret
from worker.domain.call import Access, Reply, Request
from worker.domain.content.message import LOOKED_AT
from worker.domain.content.recipient import Recipients
from worker.domain.errors import Problem
from worker.domain.job import Draft, Part, RepeatRule
from worker.domain.outcome import Verdict
from worker.domain.pacing.limit import Charge, Counted

NO_ID = "Youdu gives no message id, and has no call that takes back, changes or follows what was sent"
INSTEAD: Mapping[str, str] = {
    fields.POP_WINDOW: "send a window with the same notice_id: it takes the place of the first",
    fields.BADGE: "set the badge again; 0 clears it",
}
"""What to do instead of a recall, by kind."""


class Youdu:
    """有度即时通, app messages and uploads, pop-up windows, badge counts."""

    name = "youdu"
    kinds = frozenset(fields.KINDS)
    sends = fields.SENDS
    uses_token = True
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
        found = str(document.get("type"))
        return found if found in fields.KINDS and found != fields.SEND else fields.SEND

    def follow_up_problem(self, kind: str, target_kind: str) -> Problem | None:
        """See `Channel.follow_up_problem`."""
        return Problem("job_id", f"{NO_ID}: there can be no {kind}", INSTEAD.get(target_kind, "send a correction"))

    def is_plain(self, draft: Draft) -> bool:
        """See `Channel.is_plain`."""
        return not self.check(draft) and not self.warnings(draft)

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
        """The finest scope that an errcode can park.

        `send/<msgType>`, `upload/<upload type>` (with `/url` where the file has to be fetched first), or the kind.
        """
        if kind == fields.SEND:
            return f"{kind}/{message['type']}"
        if kind == fields.UPLOAD:
            file = message["files"]["media"]
            return f"{kind}/{file['upload_type']}{'/url' if 'url' in file else ''}"
        return kind

    def limits(self, part: Part, account: Account) -> Sequence[Charge]:
        """See `Channel.limits`."""
        return limits.limits(part, account)

    def counted(self, account: Account, recipient: str | None) -> Sequence[Counted]:
        """See `Channel.counted`."""
        return list(limits.all_counted(account, recipient))

    def narrow(self, spec: Mapping[str, Any], later: Collection[str], members: Collection[str] = ()) -> None:
        """Never called: the server counts no recipients, so no charge names a recipient."""

    def repeat_rule(self, part: Part) -> tuple[RepeatRule, int]:
        """See `Channel.repeat_rule`: what makes a repeat safe.

        A message has no id of ours and the server no memory, so nothing does. A badge is absolute, and a pop-up window
        takes the place of the first one with its id.
        """
        if part.kind in (fields.UPLOAD, fields.BADGE):
            return RepeatRule.HARMLESS, 0
        if part.kind == fields.POP_WINDOW and render.notice_id(part):
            return RepeatRule.HARMLESS, 0
        return RepeatRule.HOLD, 0

    def request(self, part: Part, account: Account, access: Access, *, flagged: bool) -> Request:
        """See `Channel.request`. There is no duplicate check to switch on."""
        return render.request(part, account, access)

    def body_hash(self, part: Part, account: Account) -> str:
        """See `Channel.body_hash`."""
        return render.body_hash(part, account)

    def outcome(self, part: Part, account: Account, reply: Reply, access: Access) -> Verdict:
        """See `Channel.outcome`."""
        return verdict.outcome(part, account, reply, access)

    def token_request(self, account: Account, secret: str, now: int) -> Request:
        """See `Channel.token_request`."""
        return token.token_request(account, secret, now)

    def token_outcome(self, reply: Reply, account: Account, secret: str) -> TokenOutcome:
        """See `Channel.token_outcome`."""
        return token.token_outcome(reply, account, secret)

    def explain(self, code: int, lang: str) -> list[str] | None:
        """See `Channel.explain`."""
        return errcodes.explain(code, lang)

    def app_scope(self, account: Account) -> str:
        """See `Channel.app_scope`: the account alone, because the server remembers nothing of the kind."""
        return account.name

    def media_scope(self, account: Account) -> str:
        """See `Channel.media_scope`. Whether apps can share a media_id is not documented: each has its own."""
        return f"youdu:{account.settings['buin']}/{account.settings['appid']}@{account.base_url}"

    def upload_limit(self, upload_type: str) -> int:
        """See `Channel.upload_limit`: ours, for the vendor documents none."""
        return keys.MAX_UPLOAD

    def upload_part(self, file: dict[str, Any]) -> dict[str, Any]:
        """See `Channel.upload_part`."""
        kept = {name: value for name, value in file.items() if name not in LOOKED_AT}
        return {"type": fields.UPLOAD, "files": {"media": kept}}

    def callback_secrets(self, account: Account) -> Mapping[str, Secret]:
        """See `Channel.callback_secrets`: the token of the address; the key is the account's own."""
        given = account.settings.get("callback")
        if not isinstance(given, Mapping) or account.secret is None:
            return {}
        return {"token": given["token"], "aes_key": account.secret}

    def callback_door(self, account: Account, secrets: Mapping[str, str], max_age_s: float) -> CallbackDoor:
        """See `Channel.callback_door`."""
        return callback.door(account, secrets["token"], secrets["aes_key"], max_age_s)
