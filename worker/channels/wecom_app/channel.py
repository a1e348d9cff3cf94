"""How an application sends: how a job is divided into calls, its request, and what the answer means.

The same part gives the same bytes, on any machine and after any upgrade. `errcode` decides, not the HTTP status. Codes
are rows in `wecom/errcodes.toml`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.channels.calls import digest, filled, json_bytes, media_gone, upload_lane, with_piece
from worker.channels.checking import overflow as overflows
from worker.channels.checking.job import SPLIT_FIELD
from worker.channels.checking.overflow import Fitted
from worker.channels.wecom import upload
from worker.channels.wecom.account import CorpChannel
from worker.channels.wecom.answer import (
    ERRCODES,
    LIST,
    TEXT,
    Answer,
    Page,
    listed,
    no_vendor,
    read,
    text_of,
    verdict,
    warns,
)
from worker.channels.wecom.callback import secrets_of
from worker.channels.wecom_app import account as keys, bodies, callback, check, fast_check, targets
from worker.channels.wecom_app.cards import calls_back, card_of
from worker.channels.wecom_app.changes import CHAT_ROWS
from worker.channels.wecom_app.limits import PATHS, PROFILE, all_counted, charges_of
from worker.channels.wecom_app.messages import DUPLICATE_WINDOW_S, ENVELOPE_FIELDS, OURS, SENDS, Text, interval_s
from worker.channels.wecom_app.targets import TARGETS
from worker.domain.account import Account
from worker.domain.call import Access, Reply, Request
from worker.domain.content.recipient import Recipients, To
from worker.domain.errors import Problem
from worker.domain.job import JobKind, Part, RepeatRule
from worker.domain.outcome import Accepted, CallReceipt, Outcome, Partial, Refusal, Rejected, Verdict, unknown_code

KINDS: Mapping[str, JobKind] = {
    "upload": JobKind.UPLOAD,
    "card_update": JobKind.UPDATE_CARD,
    "chat_create": JobKind.CREATE_CHAT,
    "chat_change": JobKind.CHANGE_CHAT,
}
"""Documents of messages that are no sends, by their type."""
HARMLESS_KINDS = frozenset({"recall", "upload", "create_chat", "change_chat"})
"""Kinds that are safe to repeat. The vendor accepts a chatid only once, and a chat's change names the final state."""
CHECK, INTERVAL = "enable_duplicate_check", "duplicate_check_interval"


class WecomApp(CorpChannel):
    """WeCom application messages (企业微信 应用消息): send, recall, upload, update_card, and app group chats."""

    name = "wecom_app"
    kinds = frozenset(PATHS)
    sends = SENDS
    counts_members = True
    account_keys = keys.KEYS
    profile = PROFILE
    bodies = bodies
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
        JobKind.SEND_CHAT: frozenset({"duplicate_check", "duplicate_check_interval"})
    }
    recall_window_s = 86_400
    """A message can be recalled within 24 h (page 94867)."""

    checks = check.CHECKS
    warnings = staticmethod(check.warnings)
    is_plain = staticmethod(fast_check.is_plain)
    key_problems = staticmethod(keys.problems)
    cautions = staticmethod(keys.cautions)
    plain_text = staticmethod(Text)
    split = staticmethod(targets.split)
    narrow = staticmethod(targets.narrow)
    limits = staticmethod(charges_of)
    counted = staticmethod(all_counted)
    callback_secrets = staticmethod(secrets_of)
    callback_verifier = staticmethod(callback.verifier)

    # -- accounts ------------------------------------------------------------------------------------------------------

    def app_scope(self, account: Account) -> str:
        """Returns the corp's app. All accounts that name it are one to the vendor, whatever their names here."""
        return f"{account.settings.get('corpid')}/{account.settings.get('agentid')}"

    # -- a new job -----------------------------------------------------------------------------------------------------

    def named(self, *ids: str) -> Recipients:
        return To(ids)

    def kind_of(self, document: Mapping[str, Any], to: Recipients) -> str:
        found = KINDS.get(str(document.get("type")), JobKind.SEND)
        return JobKind.SEND_CHAT if found is JobKind.SEND and to.chats else found

    def follow_up_problem(self, kind: str, target_kind: str) -> Problem | None:
        if target_kind == JobKind.SEND_CHAT:
            text = "the vendor gives no msgid and no response_code for a message to a group chat"
            return Problem("job_id", text, "send a correction; it can be neither recalled nor updated")
        if target_kind != JobKind.SEND:
            return Problem("job_id", f"is not a send but {target_kind}", "name the job that sent the message")
        if kind not in self.kinds:
            return Problem("kind", f"this channel has no {kind}", f"use one of {', '.join(sorted(self.kinds))}")
        return None

    def lane(self, kind: str, message: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
        """Returns `<kind of send>/<msgtype>`, `upload/<upload type>` (`/url` if it is fetched first), or the kind."""
        if kind in SENDS:
            return f"{kind}/{message['type']}"
        return upload_lane(message) if kind == "upload" else kind

    def fit(self, kind: str, document: Mapping[str, Any], account: Account, overflow: str) -> Fitted:
        """Shortens what is too long and may be shortened. The check refuses the rest."""
        if kind in CHAT_ROWS:
            return overflows.fit(document, "", CHAT_ROWS[kind], overflow, None)
        msgtype = str(document.get("type"))
        splits = kind in SENDS and msgtype in ("text", "markdown")
        rows = check.body_rows(kind, msgtype, account)
        return overflows.fit(document, msgtype, rows, overflow, SPLIT_FIELD if splits else None)

    # -- the attempt ---------------------------------------------------------------------------------------------------

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
        if message["type"] not in check.ENVELOPE:  # a type whose page does not list the check gets no promise
            return RepeatRule.HOLD, 0
        if (message.get("options") or {}).get("duplicate_check", True):
            return RepeatRule.DUPLICATE_CHECK, interval_s(message)
        return RepeatRule.HOLD, DUPLICATE_WINDOW_S

    def request(self, part: Part, account: Account, access: Access, *, flagged: bool) -> Request:
        """Builds the call of a part. A repeat has the same bytes, except for the two fields that `flagged` adds."""
        if part.kind == "upload":
            return upload.request(part, account, access.token)
        query = {"access_token": access.token or ""}
        body = json_bytes(_body(part, account, flagged)) if part.frozen is None else _again(part.frozen, flagged)
        return Request("POST", account.base_url, PATHS[part.kind], query, body, "application/json", account.deadline_s)

    def body_hash(self, part: Part, account: Account) -> str:
        """Returns the SHA-256 (hex) of the app and the body without the flag fields."""
        if part.kind == "upload":
            return upload.body_hash(part, account)
        return digest(self.app_scope(account), json_bytes(_body(part, account, flagged=False)))

    def outcome(self, part: Part, account: Account, reply: Reply, access: Access) -> Verdict:
        """Returns the meaning of an answer, with what may be kept of it."""
        answer = read(reply, upload.promised(part) if part.kind == "upload" else PROMISED.get(part.kind))
        if answer is None:
            return Verdict(no_vendor(reply))
        found = _accepted(part, answer) if answer.errcode == 0 else _refused(part, account, answer)
        return verdict(part, answer, found, upload.page_of(part) if part.kind == "upload" else PAGES[part.kind])


# -- the body ----------------------------------------------------------------------------------------------------------


def _again(frozen: str, flagged: bool) -> bytes:
    """Returns the frozen body, or the same without the duplicate check."""
    if not flagged and CHECK in (body := json.loads(frozen)):
        return json_bytes({name: value for name, value in body.items() if name not in (CHECK, INTERVAL)})
    return frozen.encode()


def _body(part: Part, account: Account, flagged: bool) -> dict[str, Any]:
    match part.kind:
        case "send":
            return _send(part, account, flagged)
        case "send_chat":  # page 90248: a chat, no agentid, no duplicate check
            return {**_content(part), "chatid": part.spec["chats"][0]}
        case "recall":
            return {"msgid": part.spec["msgid"]}
        case "update_card":
            return _update(part, account)
        case "create_chat":  # the vendor takes each chatid only once, so a repeat makes no second chat (page 90245)
            return {"chatid": part.job_id, **part.message["body"]}
        case "change_chat":
            return dict(part.message["body"])
    raise KeyError(part.kind)


def _send(part: Part, account: Account, flagged: bool) -> dict[str, Any]:
    """Builds the body of message/send (page 90236). agentid is an integer: a string causes the wrong-format warning."""
    message, spec = part.message, part.spec
    # miniprogram_notice does not list agentid, but an SDK reported in 2026-07 that it is needed there too.
    out = {**_content(part), "agentid": int(account.settings["agentid"])}
    if spec.get("everyone"):
        out["touser"] = "@all"
    else:
        out |= {target.field: "|".join(spec[target.name]) for target in TARGETS if spec.get(target.name)}
    if flagged:
        out |= {CHECK: 1, INTERVAL: interval_s(message)}
    if message["type"] == "template_card":
        out["template_card"] = {**out["template_card"], "task_id": spec.get("task_id") or f"w{part.id}"}
    return out


def _content(part: Part) -> dict[str, Any]:
    """Returns type, object and options, with this part's piece of a split text and the media_ids of its files."""
    body = {**part.message["body"], "msgtype": part.message["type"]}
    return filled(with_piece(body, part), part)


def _update(part: Part, account: Account) -> dict[str, Any]:
    """Builds the body of update_template_card (page 94888), where departments and tags are integers."""
    out = {name: value for name, value in part.message.items() if name not in ("type", "issued_at")}
    targets = {
        target.update_field: listed if target.name == "users" else [int(entry) for entry in listed]
        for target in TARGETS
        if (listed := part.spec.get(target.name))
    }
    codes = {"agentid": int(account.settings["agentid"]), "response_code": part.facts["response_code"]}
    return {**out, **codes, **(targets or {"atall": 1})}


# -- the answer --------------------------------------------------------------------------------------------------------

PROMISED: Mapping[str, str] = {"send": "msgid", "create_chat": "chatid"}
"""The id that a success carries, by kind. Recalls, updates and all other calls about chats promise none."""

_REFUSED = {"invaliduser": TEXT, "invalidparty": TEXT, "invalidtag": TEXT, "unlicenseduser": TEXT}
PAGES: Mapping[str, Page] = {
    "send": Page("90236", {**_REFUSED, "msgid": TEXT, "response_code": TEXT}, "msgid"),
    "recall": Page("94867"),
    "update_card": Page("94888", {"invaliduser": LIST}),
    "send_chat": Page("90248"),
    "create_chat": Page("90245", {"chatid": TEXT}, "chatid"),
    "change_chat": Page("98913"),
}
"""What the vendor's page says about the answer, by kind."""


def _accepted(part: Part, answer: Answer) -> Outcome:
    """Reads a success. Errcode 0 is not "all delivered": refused recipients may be listed too (page 90236)."""
    if part.kind == "upload":
        return Accepted(upload.receipt(part, answer))
    data = answer.data
    refused, notes = refusals(part, data) if any(data.get(name) for name in FIELDS) else ((), [])
    chatid = text_of(data.get("chatid")) if part.kind == "create_chat" else None
    taken = CallReceipt(
        msgid=text_of(data.get("msgid")) if part.kind == "send" else None,
        response_code=text_of(data.get("response_code")) if part.kind == "send" else None,
        warning="; ".join([*warns(answer), *_missing(part, answer), *notes]) or None,
        from_repeat=part.in_doubt,
        extra={"chatid": chatid} if chatid else {},
    )
    return Partial(taken, refused) if refused else Accepted(taken)


def _missing(part: Part, answer: Answer) -> list[str]:
    """Returns notes on ids that the answer should carry and does not."""
    promised = PROMISED.get(part.kind)
    found = [f"no {promised} in the answer"] if promised and text_of(answer.data.get(promised)) is None else []
    if part.kind == "send" and "template_card" in (part.message.get("body") or ()):
        card = card_of(part.message)
        if card is not None and calls_back(card) and text_of(answer.data.get("response_code")) is None:
            found.append("no response_code in the answer")
    return found


def _refused(part: Part, account: Account, answer: Answer) -> Outcome:
    # What a second recall answers is not published. After a doubtful recall, the likely meaning is "already recalled".
    if part.kind == "recall" and part.in_doubt and answer.errcode == account.settings.get("recalled_code", 40058):
        warning = f"{answer.errcode} after an unanswered recall: taken as already recalled"
        return Accepted(CallReceipt(warning=warning, from_repeat=True))
    row = ERRCODES.find(answer.errcode)
    if row is None:
        return unknown_code(answer.errcode)
    found = _outcome_for_part(part, answer, row.reason) or row.outcome
    # A part's message and recipients do not change, and neither do the bytes of a call in doubt.
    if isinstance(found, Rejected) and row.lasting and part.kind in SENDS:
        return replace(found, ends_doubt=True)
    return found


def _outcome_for_part(part: Part, answer: Answer, reason: str) -> Outcome | None:
    """Returns what a code means if that depends on the part, or None for any other code."""
    match answer.errcode:
        # The vendor says "exists, empty or too long". A task_id of ours is well-formed, so after a call in doubt the
        # code means that the first call was accepted. A caller's own task_id may exist through another part.
        case 42014 if part.in_doubt and part.kind == "send":
            warning = "42014: an earlier call was accepted; its msgid and response_code are lost"
            return Accepted(CallReceipt(warning=warning, from_repeat=True, task_id=part.spec.get("task_id")))
        # The chatid is the job's own. After a doubtful call it exists because that call created the chat.
        case 86215 if part.in_doubt and part.kind == "create_chat":
            extra = {"chatid": str(part.message["body"].get("chatid") or part.job_id)}
            return Accepted(CallReceipt(warning="86215: an earlier call made the chat", from_repeat=True, extra=extra))
        # The chat belongs to another app. An operator must act, but the other chats go on, so nothing is parked.
        case 86008:
            return Rejected(reason)
        # All recipients are meant, although the lists may name only some.
        case 81013:
            named = {(each.kind, each.recipient.lower()): each for each in refusals(part, answer.data)[0]}
            return Rejected(reason, refusals=tuple({**_all_refused(part), **named}.values()))
        case 40007 | 40145:
            return media_gone(part, reason)
    return None


FIELDS: Mapping[str, str] = {
    "invaliduser": "user",
    "unlicenseduser": "user",
    "invalidparty": "party",
    "invalidtag": "tag",
}
"""The vendor's lists (page 90236) and the kind of recipient they name."""


def refusals(part: Part, data: Mapping[str, Any]) -> tuple[tuple[Refusal, ...], list[str]]:
    """Returns the refused recipients, each once, and notes on mismatches. Ids come back lower-cased (page 90236)."""
    lists = {field: listed(data[field]) for field in FIELDS if data.get(field)}
    notes = [f"{field} has another type" for field, ids in lists.items() if ids is None]
    named = {(FIELDS[field], entry.lower()): field for field, ids in lists.items() for entry in ids or ()}
    asked = _all_refused(part)
    if strangers := len(named.keys() - asked.keys()):
        notes.append(f"refused ids that are not among the recipients: {strangers}")
    return tuple(replace(asked[key], field=field) for key, field in named.items() if key in asked), notes


def _all_refused(part: Part) -> dict[tuple[str, str], Refusal]:
    """Returns the part's recipients as refusals in the vendor's list of their kind, by kind and id."""
    return {
        (target.kind, str(entry).lower()): Refusal(str(entry), target.kind, f"invalid{target.kind}")
        for target in TARGETS
        for entry in part.spec.get(target.name, ())
    }
