"""A part as the vendor's HTTP call: the same part gives the same bytes, on any machine and after any upgrade.

The key travels in the query, which no `repr` shows.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from worker.channels.calls import BYTES_PER_SECOND, digest, file_of, filled, json_bytes
from worker.channels.checking.paths import SPLIT_FIELD, put
from worker.channels.wecom import upload
from worker.channels.wecom_webhook import fields
from worker.channels.wecom_webhook.account import edition
from worker.domain.account import Account
from worker.domain.call import Access, Request
from worker.domain.job import Kind, Part

SEND = "/cgi-bin/webhook/send"
UPLOAD = "/cgi-bin/webhook/upload_media"


def request(part: Part, account: Account, access: Access, *, flagged: bool) -> Request:
    """The call of a part; there is no duplicate check to be flagged."""
    key = access.secret or ""
    if part.kind == Kind.UPLOAD:
        # 文件上传接口
        return upload.call(part, account, UPLOAD, {"key": key, "type": file_of(part)["upload_type"]})
    body = json_bytes(_body(part, account, _pictured))
    deadline = account.deadline_s + len(body) / BYTES_PER_SECOND
    return Request("POST", account.base_url, SEND, {"key": key}, body, "application/json", deadline)


def body_hash(part: Part, account: Account) -> str:
    """SHA-256 (hex) of the account and the body; of a picture its hash stands for its bytes."""
    if part.kind == Kind.UPLOAD:
        return upload.body_hash(part, account)
    return digest(account.name, json_bytes(_body(part, account, _named)))


def _body(part: Part, account: Account, picture: Any) -> dict[str, Any]:
    out = {**_content(part), **_address(part.spec, account)}
    return put(out, ["image"], picture(part)) if part.message["type"] == "image" else out


def _content(part: Part) -> dict[str, Any]:
    """The type and its object, with this part's piece of a split text and the media_ids of its files."""
    message, msgtype = part.message, part.message["type"]
    out = filled({**message["body"], "msgtype": msgtype}, part)
    if "piece" in part.spec:
        out = put(out, [msgtype, SPLIT_FIELD], message["pieces"][part.spec["piece"]])
    if msgtype == "markdown" and "attachments" in out["markdown"]:
        out["markdown"] = _attached(out["markdown"], part)
    return out


def _attached(markdown: Mapping[str, Any], part: Part) -> dict[str, Any]:
    """Every attachment under an id of ours, which a click brings back; of a text in pieces, below the last."""
    rest = {name: value for name, value in markdown.items() if name != "attachments"}
    if "piece" in part.spec and part.spec["piece"] < len(part.message["pieces"]) - 1:
        return rest
    own = [{**one, "callback_id": f"w{part.id}.{n}"} for n, one in enumerate(markdown["attachments"])]
    return {**rest, "attachments": own}


def _address(spec: Mapping[str, Any], account: Account) -> dict[str, str]:
    """The chatid of message push, which is always there: without one the vendor posts to every group."""
    if edition(account) == fields.ROBOT:
        return {}
    if spec.get("everyone"):
        return {"chatid": fields.AUDIENCES[spec["audience"]]}
    if not spec["chats"]:
        raise ValueError("a call without chats")
    return {"chatid": "|".join(spec["chats"])}


def _pictured(part: Part) -> dict[str, str]:
    """A picture as base64, with the MD5 of its bytes (图片类型)."""
    content = part.facts["inline"]["image.base64"]
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return {"base64": base64.b64encode(content).decode(), "md5": digest}


def _named(part: Part) -> dict[str, str]:
    return {"sha256": str(hashlib.sha256(part.facts["inline"]["image.base64"]).hexdigest())}
