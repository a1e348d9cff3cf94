"""How a webhook sends: how a job is divided into calls, what a call costs, its request, and what the answer means.

The same part gives the same bytes, on any machine and after any upgrade. `errcode` decides, not the HTTP status. Codes
are rows in `errcodes.toml`. The key travels in the query, which no `repr` shows.

A success is `{"errcode": 0, "errmsg": "ok"}` and nothing else. Without a msgid, a webhook's message can never be
recalled or looked up, and nothing makes its repeat safe. The vendor accepts up to 100 chats in one call but does not
report the result of each. So each chat has its own call, and a refusal names its chat.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from worker.channels.base import Channel
from worker.channels.calls import (
    BYTES_PER_SECOND,
    digest,
    file_of,
    filled,
    json_bytes,
    media_gone,
    upload_lane,
    with_piece,
)
from worker.channels.checking import overflow as overflows
from worker.channels.checking.job import SPLIT_FIELD, content_of, put
from worker.channels.checking.overflow import Fitted
from worker.channels.errcodes import Catalogue, Class, ErrcodeFile
from worker.channels.wecom import redact, upload
from worker.channels.wecom.answer import ERRCODES as SHARED, Answer, Page, no_vendor, read, verdict, warns
from worker.channels.wecom.callback import secrets_of
from worker.channels.wecom.limits import counted, with_amount
from worker.channels.wecom_webhook import account as keys, callback, check, messages
from worker.channels.wecom_webhook.account import ROBOT, chat_lane, edition, is_member
from worker.domain.account import Account
from worker.domain.call import Access, Reply, Request
from worker.domain.content.recipient import Chats, Recipients
from worker.domain.errors import Problem
from worker.domain.job import Draft, JobKind, Part, RepeatRule
from worker.domain.outcome import (
    Accepted,
    CallReceipt,
    Outcome,
    Progress,
    Refusal,
    Rejected,
    Scope,
    Verdict,
    unknown_code,
)
from worker.domain.pacing.limit import Charge, Limit, LimitCounter, Unit

# To the apps every code of webhooks is one of another feature.
ERRCODES = Catalogue(ErrcodeFile("wecom_webhook"), shared=SHARED, own=range(93000, 94000))

SEND = "/cgi-bin/webhook/send"
UPLOAD = "/cgi-bin/webhook/upload_media"
SPLIT_TYPES = ("text", "markdown", "markdown_v2")

ROBOTS = "page 99110 消息推送配置说明, 消息发送频率限制 (read 2026-02-12)"
PUSHES = "消息推送接口说明（内测）, 消息发送频率限制 (2025/09/30)"

_ROBOT = (Limit("robot_minute", 60, 20, Unit.CALLS, Scope.LANE, "45009", ROBOTS),)
# A group or blackboard, and one member's single chat: the page has the same amount for both.
_CHAT = Limit("chat_minute", 60, 100, Unit.CALLS, Scope.LANE, "45009, 93005", PUSHES)
_BROADCAST = Limit("broadcast_minute", 60, 100, Unit.CALLS, Scope.LANE, "45009", PUSHES)
# Every chat has its own lane, so a limit that all of them share has the scope of the account.
_KEY = Limit("key_minute", 60, 10_000, Unit.CALLS, Scope.ACCOUNT, "45009", PUSHES)
_EQUAL = Limit("equal_bodies", 0, 1, Unit.IN_FLIGHT, Scope.PART, "45033 or 45035 (not published which)", PUSHES)
_ALLOWANCE = Limit("single_chat", 0, 3, Unit.ALLOWANCE, Scope.LANE, "93005", PUSHES)
_PUBLISHED = (*_ROBOT, _CHAT, _BROADCAST, _KEY, _EQUAL, _ALLOWANCE)


class WecomWebhook(Channel):
    """WeCom webhooks (企业微信 群机器人, 消息推送): send and upload. What was posted cannot be reached again."""

    name = "wecom_webhook"
    kinds = frozenset({JobKind.SEND.value, JobKind.UPLOAD.value})
    sends = frozenset({JobKind.SEND.value})
    calls_with_secret = True
    account_keys = keys.KEYS
    profile: Mapping[str, Limit] = {limit.name: limit for limit in _PUBLISHED}
    errcodes = ERRCODES
    bodies = messages
    beside = frozenset(messages.ENVELOPE_FIELDS) | messages.OURS
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
    checks = check.CHECKS
    warnings = staticmethod(check.warnings)
    key_problems = staticmethod(keys.problems)
    cautions = staticmethod(keys.cautions)
    plain_text = staticmethod(messages.Text)
    named = staticmethod(Chats)
    callback_secrets = staticmethod(secrets_of)
    callback_verifier = staticmethod(callback.verifier)

    # -- a new job -----------------------------------------------------------------------------------------------------

    def kind_of(self, document: Mapping[str, Any], to: Recipients) -> str:
        return JobKind.UPLOAD if document.get("type") == "upload" else JobKind.SEND

    def follow_up_problem(self, kind: str, target_kind: str) -> Problem | None:
        """See `Channel.follow_up_problem`: the vendor's answer to a send is errcode and errmsg, and nothing else."""
        text = "the vendor gives no msgid and no response_code for a webhook message: it cannot be reached again"
        return Problem("job_id", text, "send a correction; it can be neither recalled nor updated")

    def fit(self, kind: str, document: Mapping[str, Any], account: Account, overflow: str) -> Fitted:
        msgtype, content = str(document.get("type")), content_of(document)
        if kind != JobKind.SEND or content is None:
            return dict(document), []
        split_field = SPLIT_FIELD if msgtype in SPLIT_TYPES else None
        rows = check.body_rows(account, msgtype, content)
        return overflows.fit(document, msgtype, rows, overflow, split_field, numbered=True)

    def split(self, draft: Draft) -> list[dict[str, Any]]:
        """Returns one spec per call: every piece to the first chat, in reading order, then to the next."""
        if draft.kind != JobKind.SEND:
            return [{}]
        places: list[dict[str, Any]] = [{"chats": [chat]} for chat in draft.recipients.chats]
        places = places or [draft.recipients.to_json()]
        count = len(draft.message.get("pieces", ()))
        if not count:
            return places
        return [  # every piece but the first waits for the part before it
            {**place, "piece": n, **({"after": at * count + n - 1} if n else {})}
            for at, place in enumerate(places)
            for n in range(count)
        ]

    def lane(self, kind: str, message: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
        """Returns the lane that a limit or a parking affects.

        That is a chat's own lane (message push), the lane of broadcasts, or the key's (group robot). Uploads have their
        own lane, and another one if a file has to be fetched first.
        """
        if kind == JobKind.UPLOAD:
            return upload_lane(message)
        if spec.get("chats"):
            return chat_lane(spec["chats"][0])
        return f"{kind}/everyone" if spec.get("everyone") else str(kind)

    # -- the attempt ---------------------------------------------------------------------------------------------------

    def limits(self, part: Part, account: Account) -> list[Charge]:
        """Returns what this call costs. An upload's cost is not published."""
        if part.kind != JobKind.SEND:
            return []
        if edition(account) == ROBOT:
            charges = [Charge(limit, account.name) for limit in _ROBOT]
        else:
            charges = [*_place_charges(part, account), Charge(_EQUAL, self.body_hash(part, account))]
        if not account.has_own_amounts:
            return charges
        amounts = ((charge, account.amount_of(charge.limit)) for charge in charges)
        return [replace(one, limit=with_amount(one.limit, amount)) for one, amount in amounts if amount]

    def counted(self, account: Account, recipient: str | None) -> Iterator[LimitCounter]:
        """Yields every limit of a webhook. With a `recipient`, the limit of a chat names that chat's count."""
        if edition(account) == ROBOT:
            yield from counted(_ROBOT, account, "the webhook", account.name)
            return
        chat = (
            ("each chat", None) if recipient is None else (f"chat {recipient}", f"{account.name}/{recipient.lower()}")
        )
        yield from counted((_CHAT,), account, *chat)
        yield from counted((_BROADCAST,), account, "broadcasts", account.name)
        yield from counted((_KEY,), account, "the webhook", account.name)
        yield from counted((_EQUAL,), account, "equal bodies in flight", None)
        yield from counted((_ALLOWANCE,), account, "a member's single chat", None)

    def repeat_rule(self, kind: str, message: Mapping[str, Any]) -> tuple[RepeatRule, int]:
        """See `Channel.repeat_rule`: nothing makes the repeat of a webhook message safe.

        The message has no key of ours, and it cannot be looked up afterwards.
        """
        return (RepeatRule.HARMLESS if kind == JobKind.UPLOAD else RepeatRule.HOLD), 0

    def request(self, part: Part, account: Account, access: Access, *, flagged: bool) -> Request:
        """Builds the call of a part. There is no duplicate check to turn on."""
        key = access.secret or ""
        if part.kind == JobKind.UPLOAD:
            # 文件上传接口
            return upload.call(part, account, UPLOAD, {"key": key, "type": file_of(part)["upload_type"]})
        body = json_bytes(_body(part, account, _picture))
        deadline = account.deadline_s + len(body) / BYTES_PER_SECOND
        return Request("POST", account.base_url, SEND, {"key": key}, body, "application/json", deadline)

    def body_hash(self, part: Part, account: Account) -> str:
        """Returns the SHA-256 (hex) of the account and the body. A picture's hash stands for its bytes."""
        if part.kind == JobKind.UPLOAD:
            return upload.body_hash(part, account)
        return digest(account.name, json_bytes(_body(part, account, _hash_of_picture)))

    def outcome(self, part: Part, account: Account, reply: Reply, access: Access) -> Verdict:
        """Returns the meaning of an answer, with what may be kept of it. The key is never kept."""
        answer = read(reply, "media_id" if part.kind == JobKind.UPLOAD else None)
        if answer is None:
            return Verdict(no_vendor(reply))
        if access.secret:
            answer = replace(answer, errmsg=answer.errmsg.replace(access.secret, redact.MASK))
        found = _accepted(part, answer) if answer.errcode == 0 else _refused(part, answer.errcode)
        return verdict(part, answer, found, UPLOADED if part.kind == JobKind.UPLOAD else POSTED, ERRCODES)

    # -- files ---------------------------------------------------------------------------------------------------------

    def media_scope(self, account: Account) -> str:
        """See `Channel.media_scope`: a media_id is valid for the key that uploaded it (文件上传接口)."""
        return f"webhook:{account.name}"

    def upload_limit(self, account: Account, upload_type: str) -> int:
        return check.UPLOADS[upload_type]


def _place_charges(part: Part, account: Account) -> list[Charge]:
    key = Charge(_KEY, account.name)
    if not (chats := part.spec.get("chats")):
        return [Charge(_BROADCAST, account.name), key]
    # A userid may come in any case. Two chat ids that differ only in case would at most wait for each other.
    charges = [Charge(_CHAT, f"{account.name}/{chats[0].lower()}"), key]
    if account.settings.get("subscribed", True) is False:
        # If callbacks arrive here, a send to a member who never spoke waits. Otherwise only the vendor knows.
        waits = isinstance(account.settings.get("callback"), Mapping) and is_member(chats[0])
        charges.append(Charge(_ALLOWANCE, chats[0], recipient=chats[0] if waits else None))
    return charges


# -- the body ----------------------------------------------------------------------------------------------------------


def _body(part: Part, account: Account, picture: Callable[[Part], Any]) -> dict[str, Any]:
    out = {**_content(part), **_address(part.spec, account)}
    return put(out, ["image"], picture(part)) if part.message["type"] == "image" else out


def _content(part: Part) -> dict[str, Any]:
    """Returns the type and its object, with this part's piece of a split text and the media_ids of its files."""
    message, msgtype = part.message, part.message["type"]
    out = with_piece(filled({**message["body"], "msgtype": msgtype}, part), part)
    if msgtype == "markdown" and "attachments" in out["markdown"]:
        out["markdown"] = _attached(out["markdown"], part)
    return out


def _attached(markdown: Mapping[str, Any], part: Part) -> dict[str, Any]:
    """Gives every attachment an id of ours, which a click brings back."""
    own = [{**one, "callback_id": f"w{part.id}.{n}"} for n, one in enumerate(markdown["attachments"])]
    return {**markdown, "attachments": own}


def _address(spec: Mapping[str, Any], account: Account) -> dict[str, str]:
    """Returns the chatid of message push. It is always set, because without one the vendor posts to every group."""
    if edition(account) == ROBOT:
        return {}
    if spec.get("everyone"):
        return {"chatid": messages.AUDIENCES[spec["audience"]]}
    if not spec["chats"]:
        raise ValueError("a call without chats")
    return {"chatid": "|".join(spec["chats"])}


def _picture(part: Part) -> dict[str, str]:
    """Returns a picture as base64, with the MD5 of its bytes (图片类型)."""
    content = part.facts["inline"]["image.base64"]
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return {"base64": base64.b64encode(content).decode(), "md5": digest}


def _hash_of_picture(part: Part) -> dict[str, str]:
    return {"sha256": str(hashlib.sha256(part.facts["inline"]["image.base64"]).hexdigest())}


# -- the answer --------------------------------------------------------------------------------------------------------

MEDIA_GONE = (40007, 40145)
PERSON_REFUSED = 93005
ABOUT_CHATS = (93001, PERSON_REFUSED, 93006, 93008)
"""Codes that refuse a chat, and do not concern the key and its other chats."""
AGAIN_S = 60.0
"""93005 may be the limit of a minute, so there is one more try after it."""
ASKED_AGAIN = "asked_again"
"""Key in the spec of a part that is on its second try after 93005."""

POSTED = Page("99110")
UPLOADED = Page("99110", upload.PAGE.fields, "media_id")


def _accepted(part: Part, answer: Answer) -> Outcome:
    if part.kind == JobKind.UPLOAD:
        return Accepted(upload.receipt(part, answer))
    return Accepted(CallReceipt(warning="; ".join(warns(answer)) or None, from_repeat=part.in_doubt))


def _refused(part: Part, code: int) -> Outcome:
    row = ERRCODES.find(code)
    if row is None:
        return unknown_code(code)
    reason, chats = row.reason, part.spec.get("chats") or []
    if code == PERSON_REFUSED and not part.spec.get(ASKED_AGAIN):
        # It has three causes that cannot be distinguished. One is a limit that ends within a minute.
        return Progress({**part.spec, ASKED_AGAIN: True}, reason, AGAIN_S)
    if code in ABOUT_CHATS:
        return Rejected(reason, refusals=tuple(Refusal(str(chat), "chat", "chatid") for chat in chats))
    if code in MEDIA_GONE:
        return media_gone(part, reason)
    # A code about a token is a refusal, because a webhook has no token to fetch again.
    return Rejected(reason) if row.kind is Class.TOKEN else row.outcome
