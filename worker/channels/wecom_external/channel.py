"""How group sends are made: how a job is divided into calls, what a call costs, its request, what the answer means.

The same part gives the same bytes, on any machine and after any upgrade. `errcode` decides, not the HTTP status. Codes
are rows in `wecom/errcodes.toml`. No limits are published for these calls alone, so the base limits of every API apply
(page 90312). Tracking shows the caps per customer, which are never reserved: what members send by themselves counts
too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.calls import digest, filled, json_bytes, media_gone, upload_lane
from worker.channels.checking import overflow as overflows
from worker.channels.checking.overflow import Fitted
from worker.channels.wecom import upload
from worker.channels.wecom.account import CORP_KEYS, CorpChannel, corp_problems
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
from worker.channels.wecom.limits import CORP, IP, UPLOAD_IMAGE, adjusted, api_charges, counted, counted_by_api
from worker.channels.wecom_external import check, look_up, messages, targets, track
from worker.channels.wecom_external.messages import BODY, OURS, Campaign
from worker.channels.wecom_external.targets import audience_in
from worker.domain.account import Account
from worker.domain.call import Access, Reply, Request
from worker.domain.content.message import Message
from worker.domain.content.recipient import Customers, Recipients
from worker.domain.errors import Problem
from worker.domain.job import JobKind, Part, RepeatRule
from worker.domain.outcome import (
    Accepted,
    CallReceipt,
    Outcome,
    Parked,
    Partial,
    Refusal,
    Rejected,
    Retry,
    Scope,
    Verdict,
    Wait,
)
from worker.domain.pacing.limit import Charge, Limit, LimitCounter, Unit

PATHS: Mapping[str, str] = {
    "send": "/cgi-bin/externalcontact/add_msg_template",
    "recall": "/cgi-bin/externalcontact/cancel_groupmsg_send",
    "remind": "/cgi-bin/externalcontact/remind_groupmsg_send",
    "upload": upload.PATH,
    "track": track.TASK_PATH,
}
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

REMINDERS = "page 97610 提醒成员群发 (its older introduction)"
_REMIND = (Limit("remind_day", 86400, 3, Unit.CALLS, Scope.PART, "41094", REMINDERS),)
_OF_PATH = {upload.IMAGE_PATH: UPLOAD_IMAGE}


class WecomExternal(CorpChannel):
    """WeCom group sends to customers and customer groups (企业微信 企业群发): send, recall, remind, track, upload."""

    name = "wecom_external"
    kinds = frozenset(PATHS)
    sends = frozenset({JobKind.SEND.value})
    account_keys = CORP_KEYS  # agentid is not read, and stands in accounts that were copied from the app's
    profile: Mapping[str, Limit] = {limit.name: limit for limit in (*CORP, *UPLOAD_IMAGE, *_REMIND, *IP)}
    bodies = messages
    beside = OURS
    customer_month = 4
    """The rule of 2022. What a corp's administrator chose since then allows at least as many."""
    instead: Mapping[str, tuple[str, ...]] = {"": ("Campaign",)}
    # There is no `recall_window_s`: what members have not sent yet can be cancelled as long as the task exists (page
    # 97611).

    checks = check.CHECKS
    warnings = staticmethod(check.warnings)
    key_problems = staticmethod(corp_problems)
    split = staticmethod(targets.split)

    # -- a new job -----------------------------------------------------------------------------------------------------

    def plain_text(self, content: str) -> Message:
        return Campaign(text=content)

    def named(self, *ids: str) -> Recipients:
        return Customers(ids)

    def kind_of(self, document: Mapping[str, Any], to: Recipients) -> str:
        found = str(document.get("type"))
        return found if found in NO_SENDS else JobKind.SEND.value

    def follow_up_problem(self, kind: str, target_kind: str) -> Problem | None:
        if kind == JobKind.UPDATE_CARD:
            return Problem("update_card", "customers are sent no cards", "cancel the group send and make a new one")
        if kind not in FOLLOW_UPS:
            return Problem("kind", f"this channel has no {kind}", f"use one of {', '.join(sorted(FOLLOW_UPS))}")
        if target_kind != JobKind.SEND:
            return Problem("job_id", f"is not a send but {target_kind}", "name the job that made the group send")
        return None

    def lane(self, kind: str, message: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
        """Returns `send/single` or `send/group`, `upload/<upload type>`, or the kind."""
        if kind == JobKind.SEND:
            return f"send/{targets.audience_in(spec).chat_type}"
        return upload_lane(message) if kind == JobKind.UPLOAD else kind

    def fit(self, kind: str, document: Mapping[str, Any], account: Account, overflow: str) -> Fitted:
        """Truncates texts if `overflow` asks for it. Nothing is split.

        Every piece would be a task of its own that a member has to confirm, and would use up a customer's cap.
        """
        return overflows.fit(document, "", BODY if kind == JobKind.SEND else (), overflow, None)

    # -- the attempt ---------------------------------------------------------------------------------------------------

    def limits(self, part: Part, account: Account) -> list[Charge]:
        """Returns what this call costs. An account's amounts replace ours, and 0 switches a limit off."""
        charges = api_charges(account, path_of(part), _OF_PATH)
        if part.kind == "remind":
            subject = f"{account.settings['corpid']}/remind/{part.spec['msgid']}"
            charges += [Charge(limit, subject) for limit in adjusted(_REMIND, account)]
        return charges

    def counted(self, account: Account, recipient: str | None) -> Iterator[LimitCounter]:
        """Yields every limit of an account. With a msgid as `recipient`, that of reminders names that task's count."""
        corpid = account.settings["corpid"]
        task = ("each task", None) if recipient is None else (f"task {recipient}", f"{corpid}/remind/{recipient}")
        yield from counted(_REMIND, account, *task)
        yield from counted_by_api({*PATHS.values(), *look_up.PATHS.values(), upload.IMAGE_PATH}, _OF_PATH, account)

    def repeat_rule(self, kind: str, message: Mapping[str, Any]) -> tuple[RepeatRule, int]:
        return RULES[kind], 0

    def request(self, part: Part, account: Account, access: Access, *, flagged: bool) -> Request:
        """Builds the call of a part, or for a send in doubt the next call of its search. It has no duplicate check."""
        if part.kind == "upload":
            return upload.request(part, account, access.token)
        query, body = {"access_token": access.token or ""}, json_bytes(body_of(part))
        return Request("POST", account.base_url, path_of(part), query, body, "application/json", account.deadline_s)

    def body_hash(self, part: Part, account: Account) -> str:
        """Returns the SHA-256 (hex) of the account and of what distinguishes a part's call, or its task, from others.

        The vendor never shows whom a tag filter chose, nor which groups a task is for before they were sent to. Two
        sends that differ in nothing else have the same hash, and no search could distinguish their tasks.
        """
        if part.kind == "upload":
            return upload.body_hash(part, account)
        told = _search_fields(part) if part.kind == "send" else body_of(part)
        return digest(account.name, json_bytes(told))

    def outcome(self, part: Part, account: Account, reply: Reply, access: Access) -> Verdict:
        """Returns the meaning of an answer, with what may be kept of it."""
        answer = read(reply, _promised(part))
        if answer is None:
            found = no_vendor(reply)
            if part.kind != "track" and not looks_up(part):
                return Verdict(found)
            # A query changes nothing, so it may be made again whatever became of this one.
            return Verdict(Wait(Scope.LANE, found.delay, found.reason) if found.delay else Retry(found.reason))
        return verdict(part, answer, _meant(part, answer), _page(part))


# -- the call ----------------------------------------------------------------------------------------------------------


def path_of(part: Part) -> str:
    """Returns the path of a part's call."""
    if part.kind == "upload":
        return upload.path_of(part)
    if part.kind == "track":
        return track.path_of(part)
    return look_up.path_of(part) if looks_up(part) else PATHS[part.kind]


def looks_up(part: Part) -> bool:
    """Returns True if the call searches for a task: a create call without an answer is never repeated."""
    return part.kind == "send" and part.in_doubt


def body_of(part: Part) -> dict[str, Any]:
    """Returns the body of any call except an upload's."""
    if looks_up(part):
        return look_up.body_of(part)
    if part.kind == "track":
        return track.body_of(part)
    return _create(part) if part.kind == "send" else {"msgid": part.spec["msgid"]}


def _search_fields(part: Part) -> dict[str, Any]:
    files = part.message.get("files") or {}
    content = {name: part.message["body"].get(name) for name in ("text", "attachments")}
    who = {name: part.spec.get(name) for name in ("sender", "customers")}
    contents = {path: file.get("sha256") or file.get("url") for path, file in files.items()}
    return {**content, **who, "chat_type": audience_in(part.spec).chat_type, "files": contents}


def _create(part: Part) -> dict[str, Any]:
    """Builds the body of add_msg_template (page 92135). Without recipients it is for all of the sender's."""
    spec, audience = part.spec, audience_in(part.spec)
    out = {**filled(part.message["body"], part), "chat_type": audience.chat_type}
    if spec.get("sender"):
        out["sender"] = spec["sender"]
    if spec.get(audience.name):
        out[audience.field] = spec[audience.name]
    return out


# -- the answer --------------------------------------------------------------------------------------------------------

FAIL_LIST = "fail_list"
_LISTED = {"next_cursor": TEXT, "task_list": LIST, "send_list": LIST}
PAGES: Mapping[str, Page] = {
    "send": Page("92135", {FAIL_LIST: LIST, "msgid": TEXT}, "msgid"),
    "recall": Page("97611"),
    "remind": Page("97610"),
    "track": Page("93338", _LISTED),
}
"""What the vendor's page says about the answer, by kind."""
SEARCHED = Page("93338", {**_LISTED, "group_msg_list": LIST})


def _page(part: Part) -> Page:
    if looks_up(part):
        return SEARCHED
    return upload.page_of(part) if part.kind == "upload" else PAGES[part.kind]


def _promised(part: Part) -> str | None:
    if part.kind == "upload":
        return upload.promised(part)
    return "msgid" if part.kind == "send" and not looks_up(part) else None


def _meant(part: Part, answer: Answer) -> Outcome:
    if looks_up(part):
        return look_up.outcome(part, answer)
    if part.kind == "track":
        return track.outcome(part, answer)
    return _accepted(part, answer) if answer.errcode == 0 else _refused(part, answer)


def _accepted(part: Part, answer: Answer) -> Outcome:
    """Reads a success: a task exists, which members confirm later. A cancel or reminder was accepted."""
    if part.kind == "upload":
        return Accepted(upload.receipt(part, answer))
    if part.kind != "send":
        notes = warns(answer)
        # A cancel answers 0 even if every member had sent. What they sent stays (page 97611).
        if part.kind == "recall" and (done := part.facts.get("done")):
            notes.append(f"{done} of {part.facts['members']} members had sent before, as last read; that stays")
        return Accepted(CallReceipt(warning="; ".join(notes) or None, from_repeat=part.in_doubt))
    refused, notes = _refusals(part, answer.data)
    msgid = text_of(answer.data.get("msgid"))
    missing = [] if msgid else ["no msgid in the answer"]
    taken = CallReceipt(msgid=msgid, warning="; ".join([*warns(answer), *missing, *notes]) or None)
    return Partial(taken, refused) if refused else Accepted(taken)


def _refusals(part: Part, data: Mapping[str, Any]) -> tuple[tuple[Refusal, ...], list[str]]:
    """Returns the refused recipients, each once and as the caller wrote it, and notes on mismatches."""
    if not data.get(FAIL_LIST):
        return (), []
    ids = listed(data[FAIL_LIST])
    if ids is None:
        return (), [f"{FAIL_LIST} has another type"]
    asked = {one.recipient.lower(): one for one in _all_refused(part)}
    named = dict.fromkeys(one.lower() for one in ids)
    strangers = sum(one not in asked for one in named)
    notes = [f"refused ids that are not among the named recipients: {strangers}"] if strangers else []
    return tuple(asked[one] for one in named if one in asked), notes


def _all_refused(part: Part) -> list[Refusal]:
    audience = audience_in(part.spec)
    return [Refusal(str(one), audience.kind, FAIL_LIST) for one in part.spec.get(audience.name) or ()]


def _refused(part: Part, answer: Answer) -> Outcome:
    found = ERRCODES.outcome(answer.errcode)
    match found:
        case Rejected():
            return _special(part, answer.errcode, found.reason) or found
        case Parked() if answer.errcode in OF_THIS_CAMPAIGN:
            return Rejected(found.reason)
    return found


def _special(part: Part, code: int, reason: str) -> Outcome | None:
    """Returns what a code means if that depends on the call, or None for any other code."""
    match part.kind, code:
        case "send", 40007 | 40145:
            return media_gone(part, reason)
        case "send", 41048:  # every recipient is out of reach
            return Rejected(reason, refusals=tuple(_all_refused(part)))
        case "recall", 41093:
            return Accepted(CallReceipt(warning=f"{reason}: nothing was left to cancel", from_repeat=part.in_doubt))
    return None


OF_THIS_CAMPAIGN = frozenset({60011, 90206, 90208})
"""Codes about this campaign alone: a sender whom the app does not see, a mini program that is not linked.

In application messages they park the lane. Here that would delay every other sender.
"""
