"""How a Youdu app sends: how a job is divided into calls, what a call costs, its request, and what the answer means.

The same part gives the same bytes, on any machine and after any upgrade. `errcode` decides, not the HTTP status. Codes
are rows in `errcodes.toml`. The leading bytes of an envelope are derived from part and content, because a channel has
no randomness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from worker.channels.base import Channel
from worker.channels.calls import BYTES_PER_SECOND, digest, file_of, filled, media_gone, upload_lane
from worker.channels.checking import overflow as overflows
from worker.channels.checking.job import put
from worker.channels.checking.overflow import Fitted
from worker.channels.errcodes import Class
from worker.channels.wecom.answer import TEXT, Answer, Page, contradictions, listed, read, text_of
from worker.channels.wecom.limits import counted, with_overrides
from worker.channels.youdu import account as keys, callback, check, envelope, errmsg, messages, targets
from worker.channels.youdu.account import DEFAULT_PATH
from worker.channels.youdu.envelope import ERRCODES, WRONG_KEY, encode, envelope_of, legacy, no_vendor, opened, standard
from worker.channels.youdu.messages import BADGE, POP_WINDOW, SEND, SENDS, UPLOAD
from worker.channels.youdu.targets import addressed
from worker.domain.account import Account, Secret
from worker.domain.call import Access, FileBody, Reply, Request
from worker.domain.content.recipient import Recipients, To
from worker.domain.errors import Problem
from worker.domain.job import Part, RepeatRule
from worker.domain.outcome import Accepted, CallReceipt, Outcome, Parked, Scope, Verdict, unknown_code
from worker.domain.pacing.limit import Charge, Limit, LimitCounter, Unit

PATHS: Mapping[str, str] = {
    SEND: "/msg/send",
    UPLOAD: "/media/upload",
    POP_WINDOW: "/popwindow",
    BADGE: "/set.ent.notice",
}
"""Paths below the account's `api_path`, which is /cgi by default."""
LEGACY = frozenset({POP_WINDOW, BADGE})
"""Calls with their own envelope and, by the documentation and the vendor's SDKs, without a token."""
SPLIT_FIELD = "text.content"
"""The text that can be split into several messages."""

NO_ID = "Youdu gives no message id, and has no call that takes back, changes or follows what was sent"
INSTEAD: Mapping[str, str] = {
    POP_WINDOW: "send a window with the same notice_id: it takes the place of the first",
    BADGE: "set the badge again; 0 clears it",
}
"""What to do instead of a recall, by kind."""

OURS = "none published; ours, off unless an account sets an amount"
_CALLS = (
    Limit("calls_second", 1, 0, Unit.CALLS, Scope.LANE, "unknown", OURS),
    Limit("calls_minute", 60, 0, Unit.CALLS, Scope.LANE, "unknown", OURS),
    Limit("calls_hour", 3600, 0, Unit.CALLS, Scope.LANE, "unknown", OURS),
)
_UPLOADS = (Limit("uploads_minute", 60, 0, Unit.CALLS, Scope.LANE, "unknown", OURS),)


class Youdu(Channel):
    """有度即时通, app messages and uploads, pop-up windows, badge counts."""

    name = "youdu"
    kinds = frozenset(messages.KINDS)
    sends = SENDS
    uses_token = True
    calls_with_secret = True
    account_keys = keys.KEYS
    profile: Mapping[str, Limit] = {limit.name: limit for limit in (*_CALLS, *_UPLOADS)}
    errcodes = ERRCODES
    bodies = messages
    beside = messages.OURS
    instead: Mapping[str, tuple[str, ...]] = {
        "TextCard": ("Link",),
        "News": ("ExLink", "MpNews"),
        "Video": ("FileMessage",),
        "Voice": ("FileMessage",),
        "": ("Text",),
    }
    checks = check.CHECKS
    warnings = staticmethod(check.warnings)
    key_problems = staticmethod(keys.problems)
    plain_text = staticmethod(messages.Text)
    split = staticmethod(targets.split)
    token_request = staticmethod(envelope.token_request)
    token_outcome = staticmethod(envelope.token_outcome)
    callback_verifier = staticmethod(callback.verifier)

    # -- a new job -----------------------------------------------------------------------------------------------------

    def named(self, *ids: str) -> Recipients:
        return To(ids)

    def kind_of(self, document: Mapping[str, Any], to: Recipients) -> str:
        found = str(document.get("type"))
        return found if found in messages.KINDS else SEND

    def follow_up_problem(self, kind: str, target_kind: str) -> Problem | None:
        return Problem("job_id", f"{NO_ID}: there can be no {kind}", INSTEAD.get(target_kind, "send a correction"))

    def fit(self, kind: str, document: Mapping[str, Any], account: Account, overflow: str) -> Fitted:
        msgtype = str(document.get("type"))
        split_field = SPLIT_FIELD if kind == SEND and msgtype == "text" else None
        return overflows.fit(document, "", check.body_rows(kind, msgtype), overflow, split_field)

    def lane(self, kind: str, message: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
        """Returns the finest scope that an errcode can park.

        That is `send/<msgType>`, `upload/<upload type>` (with `/url` if the file has to be fetched first), or the kind.
        """
        if kind == SEND:
            return f"{kind}/{message['type']}"
        return upload_lane(message) if kind == UPLOAD else kind

    # -- the attempt ---------------------------------------------------------------------------------------------------

    def limits(self, part: Part, account: Account) -> Sequence[Charge]:
        """Returns what this call costs: one call of its app."""
        profile = (*_CALLS, *_UPLOADS) if part.kind == UPLOAD else _CALLS
        return [Charge(limit, _app(account)) for limit in with_overrides(profile, account) if limit.amount]

    def counted(self, account: Account, recipient: str | None) -> Iterator[LimitCounter]:
        """Yields every limit of an account. None counts a recipient."""
        return counted(self.profile.values(), account, "the app", _app(account))

    def repeat_rule(self, kind: str, message: Mapping[str, Any]) -> tuple[RepeatRule, int]:
        """See `Channel.repeat_rule`.

        A message has no id of ours and the server no memory, so nothing makes its repeat safe. A badge is absolute, and
        a pop-up window replaces the earlier one with its id.
        """
        harmless = kind in (UPLOAD, BADGE) or (
            kind == POP_WINDOW and message["body"]["popWindow"].get("notice_id") != ""
        )
        return (RepeatRule.HARMLESS if harmless else RepeatRule.HOLD), 0

    def request(self, part: Part, account: Account, access: Access, *, flagged: bool) -> Request:
        """Builds the call of a part. There is no duplicate check to turn on."""
        if part.kind == UPLOAD:
            return _upload(part, account, access)
        sealing, plain = envelope_of(account, access.secret), _plain(part)
        encrypted = sealing.seal(plain, sealing.leading(part.id.encode(), plain))
        return Request(
            "POST",
            account.base_url,
            path_of(account, part.kind),
            {"accessToken": access.token or ""} if carries_token(account, part.kind) else {},
            legacy(account, encrypted) if part.kind in LEGACY else standard(account, encrypted),
            "application/json",
            account.deadline_s,
        )

    def body_hash(self, part: Part, account: Account) -> str:
        """Returns the SHA-256 (hex) of the account and the content inside the envelope."""
        content = file_of(part)["sha256"].encode() if part.kind == UPLOAD else _plain(part)
        return digest(account.name, content)

    def outcome(self, part: Part, account: Account, reply: Reply, access: Access) -> Verdict:
        """Returns the meaning of an answer, with what may be kept of it."""
        answer = read(reply)
        if answer is None:
            return Verdict(no_vendor(reply, part.kind))
        if answer.errcode:
            found = _refused(part, account, answer)
        elif part.kind == UPLOAD:
            found = _uploaded(part, account, answer, access)
        else:  # a success has no id and no list: only errmsg tells of recipients (c01_00003)
            found = errmsg.accepted(part, account, errmsg_of(answer))
        page = UPLOADED if part.kind == UPLOAD else SENT
        odd = contradictions(page, answer, found, part)
        unseen = ERRCODES.is_unseen(answer.errcode)
        return Verdict(found, answer.errcode, errmsg.reason(answer.errmsg), unseen=unseen, contradictions=odd)

    # -- files and callbacks -------------------------------------------------------------------------------------------

    def media_scope(self, account: Account) -> str:
        """See `Channel.media_scope`. Whether apps can share a media_id is not documented, so each has its own."""
        return f"youdu:{account.settings['buin']}/{account.settings['appid']}@{account.base_url}"

    def upload_limit(self, account: Account, upload_type: str) -> int:
        """See `Channel.upload_limit`. It is the account's or ours, because the vendor documents none."""
        return keys.max_upload(account)

    def callback_secrets(self, account: Account) -> Mapping[str, Secret]:
        """See `Channel.callback_secrets`: the token of the address. The key is the account's own."""
        given = account.settings.get("callback")
        if not isinstance(given, Mapping) or account.secret is None:
            return {}
        return {"token": given["token"], "aes_key": account.secret}


def _app(account: Account) -> str:
    return f"{account.base_url}/{account.settings['buin']}/{account.settings['appid']}"


# -- the body ----------------------------------------------------------------------------------------------------------


def path_of(account: Account, kind: str) -> str:
    """Returns the path of a kind's call."""
    return f"{account.settings.get('api_path', DEFAULT_PATH)}{PATHS[kind]}"


def carries_token(account: Account, kind: str) -> bool:
    """Returns True if a call of this kind has the token in its query."""
    return kind not in LEGACY or account.settings.get("legacy_token") is True


def notice_id(part: Part) -> str:
    """Returns the id by which a pop-up replaces an earlier one. Empty if the caller wants none."""
    own = part.message["body"]["popWindow"].get("notice_id")
    return f"w{part.id}" if own is None else str(own)


def _plain(part: Part) -> bytes:
    return encode(_BODIES[part.kind](part)).encode()


def _send(part: Part) -> dict[str, Any]:
    """Builds recipients, msgType, and an object or array named like it (c01_00003, case-sensitive)."""
    msgtype, body = part.message["type"], dict(part.message["body"])
    if "piece" in part.spec:
        body = put(body, SPLIT_FIELD.split("."), part.message["pieces"][part.spec["piece"]])
    body = filled(body, part)
    if msgtype == "exlink":  # a job of an earlier release may lack it, and the documentation wants it there
        body = {**body, msgtype: [{**item, "media_id": item.get("media_id") or ""} for item in body[msgtype]]}
    return {**_recipients(part), "msgType": msgtype, **body}


def _recipients(part: Part) -> dict[str, Any]:
    """Joins lists with `|`. Both are always there, empty if unused, as in the vendor's SDKs."""
    msgtype = part.message["type"]
    joined = {name: "|".join(entries) for name, entries in addressed(part).items()}
    if msgtype == "mail":  # has no toDept
        emails = {"toEmail": joined["emails"]} if joined["emails"] else {}
        return {"toUser": joined["users"], **emails}
    if not part.spec.get("everyone"):
        return {"toUser": joined["users"], "toDept": joined["parties"]}
    if msgtype != "sysMsg":
        return {"toUser": "", "toDept": "0"}
    # The documentation spells the flag in two ways, and so do the vendor's SDKs.
    online = bool((part.message.get("options") or {}).get("onlyOnline"))
    return {"toUser": "", "toDept": "", "toAll": {"onlyOnline": online, "onliyOnline": online}}


def _pop_window(part: Part) -> dict[str, Any]:
    window = {name: value for name, value in part.message["body"]["popWindow"].items() if name != "notice_id"}
    notice = notice_id(part)
    return {**_recipients(part), "popWindow": {**window, "notice_id": notice} if notice else window}


def _badge(part: Part) -> dict[str, Any]:
    return {"account": part.spec["users"][0], **part.message["body"]}


def _upload(part: Part, account: Account, access: Access) -> Request:
    """Builds form fields, and a part named `file`: the Base64 text of the encrypted content, made while it is sent."""
    sealing, file = envelope_of(account, access.secret), file_of(part)
    size, digest, open_ = int(file["size"]), str(file["sha256"]), part.facts["open"]
    meta = encode({"type": file["upload_type"], "name": file["name"]}).encode()
    random = sealing.leading(part.id.encode(), b"file", digest.encode())

    def sealed() -> Iterator[bytes]:
        return sealing.seal_stream(size, open_(), random)

    sealed_size = sealing.sealed_size(size)
    fields = {
        "buin": str(int(account.settings["buin"])),
        "appId": str(account.settings["appid"]),
        "encrypt": sealing.seal(meta, sealing.leading(part.id.encode(), meta)),
    }
    return Request(
        "POST",
        account.base_url,
        path_of(account, UPLOAD),
        {"accessToken": access.token or ""},
        # The real name is in the encrypted fields. This one reveals nothing.
        FileBody("file", "file", "text/plain", sealed_size, sealed, fields),
        "multipart/form-data",
        account.deadline_s + sealed_size / BYTES_PER_SECOND,
    )


_BODIES: Mapping[str, Callable[[Part], dict[str, Any]]] = {SEND: _send, POP_WINDOW: _pop_window, BADGE: _badge}


# -- the answer --------------------------------------------------------------------------------------------------------

MEDIA_GONE = 200010
INVALID_USERS = 200007
NO_TOKEN = "set legacy_token = true: this server wants a token here, where the documentation has none"

SENT = Page("c01_00003", {"encrypt": TEXT})
UPLOADED = Page("c01_00017", {"encrypt": TEXT}, "encrypt")


def _uploaded(part: Part, account: Account, answer: Answer, access: Access) -> Outcome:
    given = opened(envelope_of(account, access.secret), answer.data)
    if given is None:
        return Parked(Scope.ACCOUNT, WRONG_KEY, "correct appid and the EncodingAESKey")
    media_id = text_of(given.get("mediaId"))
    warning = None if media_id else "no mediaId in the answer"
    return Accepted(CallReceipt(media_id=media_id, warning=warning, from_repeat=part.in_doubt))


def _refused(part: Part, account: Account, answer: Answer) -> Outcome:
    if answer.errcode == INVALID_USERS and part.kind in SENDS:
        return errmsg.refused(part, account, errmsg_of(answer))
    row = ERRCODES.find(answer.errcode)
    if row is None:
        return unknown_code(answer.errcode)
    if answer.errcode == MEDIA_GONE:
        return media_gone(part, row.reason)
    if row.kind is Class.TOKEN and not carries_token(account, part.kind):
        return Parked(Scope.LANE, row.reason, NO_TOKEN)
    return row.outcome


def errmsg_of(answer: Answer) -> str:
    """Returns the whole errmsg, because a thousand names are longer than `Answer.errmsg`."""
    errmsg = answer.data.get("errmsg")
    if errmsg is None or isinstance(errmsg, str):
        return errmsg or ""
    # Its form is not documented (c01_00003), so a list may hold names, too.
    return "|".join(listed(errmsg) or "?")
