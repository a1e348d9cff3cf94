"""A part as the vendor's HTTP call: the same part gives the same bytes, on any machine and after any upgrade."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.channels.calls import digest, filled, json_bytes
from worker.channels.wecom import upload
from worker.channels.wecom_external import look_up, track
from worker.channels.wecom_external.split import audience_in
from worker.domain.account import Account
from worker.domain.call import Access, Request
from worker.domain.job import Part

PATHS: Mapping[str, str] = {
    "send": "/cgi-bin/externalcontact/add_msg_template",
    "recall": "/cgi-bin/externalcontact/cancel_groupmsg_send",
    "remind": "/cgi-bin/externalcontact/remind_groupmsg_send",
    "upload": upload.PATH,
    "track": track.TASK_PATH,
}


def request(part: Part, account: Account, access: Access, *, flagged: bool) -> Request:
    """The call of a part; of a send in doubt the next one that looks for its task. No check can be flagged."""
    if part.kind == "upload":
        return upload.request(part, account, access.token)
    query, body = {"access_token": access.token or ""}, json_bytes(body_of(part))
    return Request("POST", account.base_url, path_of(part), query, body, "application/json", account.deadline_s)


def path_of(part: Part) -> str:
    """The path of a part's call."""
    if part.kind == "upload":
        return upload.path_of(part)
    if part.kind == "track":
        return track.path_of(part)
    return look_up.path_of(part) if looks_up(part) else PATHS[part.kind]


def looks_up(part: Part) -> bool:
    """Whether the call looks for a task: a create whose answer was lost is never repeated."""
    return part.kind == "send" and part.in_doubt


def body_of(part: Part) -> dict[str, Any]:
    """The body of any call but an upload's."""
    if looks_up(part):
        return look_up.body_of(part)
    if part.kind == "track":
        return track.body_of(part)
    return _create(part) if part.kind == "send" else {"msgid": part.spec["msgid"]}


def body_hash(part: Part, account: Account) -> str:
    """SHA-256 (hex) of the account and of what distinguishes a part's call, or its task, from another's.

    The vendor never shows whom a tag filter chose, nor which groups a task is for before they were sent to: two sends
    that differ in nothing else have the same hash, and no search could distinguish their tasks.
    """
    if part.kind == "upload":
        return upload.body_hash(part, account)
    told = _told(part) if part.kind == "send" else body_of(part)
    return digest(account.name, json_bytes(told))


def _told(part: Part) -> dict[str, Any]:
    files = part.message.get("files") or {}
    content = {name: part.message["body"].get(name) for name in ("text", "attachments")}
    who = {name: part.spec.get(name) for name in ("sender", "customers")}
    contents = {path: file.get("sha256") or file.get("url") for path, file in files.items()}
    return {**content, **who, "chat_type": audience_in(part.spec).chat_type, "files": contents}


def _create(part: Part) -> dict[str, Any]:
    """The body of add_msg_template (page 92135); without recipients it is for all of the sender's."""
    spec, audience = part.spec, audience_in(part.spec)
    out = {**filled(part.message["body"], part), "chat_type": audience.chat_type}
    if spec.get("sender"):
        out["sender"] = spec["sender"]
    if spec.get(audience.name):
        out[audience.field] = spec[audience.name]
    return out
