"""Builds a part's HTTP call to the vendor, and reads its answer.

The same part gives the same bytes, on any machine and after any upgrade. `errcode` decides, not the HTTP status. Codes
are rows in `errcodes.toml`. The key travels in the query, which no `repr` shows.

A success is `{"errcode": 0, "errmsg": "ok"}` and nothing else. Without a msgid, a webhook's message can never be
recalled or looked up, and nothing makes its repeat safe.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.channels.calls import BYTES_PER_SECOND, digest, file_of, filled, json_bytes, media_gone, with_piece
from worker.channels.checking.job import put
from worker.channels.errcodes import Catalogue, Class
from worker.channels.wecom import redact, upload
from worker.channels.wecom.answer import ERRCODES as SHARED, Answer, Page, no_vendor, read, verdict, warns
from worker.channels.wecom_webhook import fields
from worker.channels.wecom_webhook.account import edition
from worker.domain.account import Account
from worker.domain.call import Access, Reply, Request
from worker.domain.job import Kind, Part
from worker.domain.outcome import (
    Accepted,
    CallReceipt,
    Outcome,
    Progress,
    Refusal,
    Rejected,
    Verdict,
    unknown_code,
)

SEND = "/cgi-bin/webhook/send"
UPLOAD = "/cgi-bin/webhook/upload_media"


def request(part: Part, account: Account, access: Access, *, flagged: bool) -> Request:
    """Builds the call of a part. There is no duplicate check to turn on."""
    key = access.secret or ""
    if part.kind == Kind.UPLOAD:
        # 文件上传接口
        return upload.call(part, account, UPLOAD, {"key": key, "type": file_of(part)["upload_type"]})
    body = json_bytes(_body(part, account, _pictured))
    deadline = account.deadline_s + len(body) / BYTES_PER_SECOND
    return Request("POST", account.base_url, SEND, {"key": key}, body, "application/json", deadline)


def body_hash(part: Part, account: Account) -> str:
    """Returns the SHA-256 (hex) of the account and the body. A picture's hash stands for its bytes."""
    if part.kind == Kind.UPLOAD:
        return upload.body_hash(part, account)
    return digest(account.name, json_bytes(_body(part, account, _named)))


def _body(part: Part, account: Account, picture: Any) -> dict[str, Any]:
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
    if edition(account) == fields.ROBOT:
        return {}
    if spec.get("everyone"):
        return {"chatid": fields.AUDIENCES[spec["audience"]]}
    if not spec["chats"]:
        raise ValueError("a call without chats")
    return {"chatid": "|".join(spec["chats"])}


def _pictured(part: Part) -> dict[str, str]:
    """Returns a picture as base64, with the MD5 of its bytes (图片类型)."""
    content = part.facts["inline"]["image.base64"]
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return {"base64": base64.b64encode(content).decode(), "md5": digest}


def _named(part: Part) -> dict[str, str]:
    return {"sha256": str(hashlib.sha256(part.facts["inline"]["image.base64"]).hexdigest())}


# To the apps every code of webhooks is one of another feature.
ERRCODES = Catalogue("wecom_webhook", shared=SHARED, own=range(93000, 94000))
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


def outcome(part: Part, account: Account, reply: Reply, access: Access) -> Verdict:
    """Returns the meaning of an answer, with what may be kept of it. The key is never kept."""
    answer = read(reply, "media_id" if part.kind == Kind.UPLOAD else None)
    if answer is None:
        return Verdict(no_vendor(reply))
    if access.secret:
        answer = replace(answer, errmsg=answer.errmsg.replace(access.secret, redact.MASK))
    found = _accepted(part, answer) if answer.errcode == 0 else _refused(part, answer.errcode)
    return verdict(part, answer, found, UPLOADED if part.kind == Kind.UPLOAD else POSTED, ERRCODES)


def _accepted(part: Part, answer: Answer) -> Outcome:
    if part.kind == Kind.UPLOAD:
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
