"""A part as the vendor's HTTP call: the same part gives the same bytes, on any machine and after any upgrade."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from worker.channels.calls import digest, filled, json_bytes
from worker.channels.checking.paths import SPLIT_FIELD, put
from worker.channels.wecom import upload
from worker.channels.wecom_app.targets import TARGETS
from worker.domain.account import Account
from worker.domain.call import Access, Request
from worker.domain.job import Part

PATHS: Mapping[str, str] = {
    "send": "/cgi-bin/message/send",
    "recall": "/cgi-bin/message/recall",
    "upload": upload.PATH,
    "update_card": "/cgi-bin/message/update_template_card",
    "send_chat": "/cgi-bin/appchat/send",
    "create_chat": "/cgi-bin/appchat/create",
    "change_chat": "/cgi-bin/appchat/update",
}
CHECK, INTERVAL = "enable_duplicate_check", "duplicate_check_interval"
DUPLICATE_WINDOW_S = 14400
"""The longest duplicate_check_interval (page 90236)."""


def request(part: Part, account: Account, access: Access, *, flagged: bool) -> Request:
    """The call of a part; a repeat has the bytes of the call in doubt, but for the two fields that `flagged` adds."""
    if part.kind == "upload":
        return upload.request(part, account, access.token)
    frozen, query = part.facts.get("frozen"), {"access_token": access.token or ""}
    body = json_bytes(_body(part, account, flagged)) if frozen is None else _again(frozen, flagged)
    return Request("POST", account.base_url, PATHS[part.kind], query, body, "application/json", account.deadline_s)


def path_of(part: Part) -> str:
    """The path of a part's call."""
    return upload.path_of(part) if part.kind == "upload" else PATHS[part.kind]


def app_scope(account: Account) -> str:
    """The corp's app; to the vendor all accounts that name it are one, whatever their names and settings here."""
    return f"{account.settings.get('corpid')}/{account.settings.get('agentid')}"


def body_hash(part: Part, account: Account) -> str:
    """SHA-256 (hex) of the app and the body without the flag fields."""
    if part.kind == "upload":
        return upload.body_hash(part, account)
    return digest(app_scope(account), json_bytes(_body(part, account, flagged=False)))


def _again(frozen: str, flagged: bool) -> bytes:
    """The frozen body, or the same without the duplicate check."""
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
    """The envelope of message/send (page 90236). agentid is an integer: a string draws the wrong-format warning."""
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
    """The type, its object and its options, with this part's piece of a split text and the media_ids of its files."""
    message = part.message
    out = {**message["body"], "msgtype": message["type"]}
    if "piece" in part.spec:
        out = put(out, [message["type"], SPLIT_FIELD], message["pieces"][part.spec["piece"]])
    return filled(out, part)


def interval_s(message: Mapping[str, Any]) -> int:
    """How long the vendor looks back for an equal body."""
    return int((message.get("options") or {}).get("duplicate_check_interval", DUPLICATE_WINDOW_S))


def _update(part: Part, account: Account) -> dict[str, Any]:
    """The body of update_template_card (page 94888); departments and tags are integers here."""
    out = {name: value for name, value in part.message.items() if name not in ("type", "issued_at")}
    targets = {
        target.update_field: listed if target.name == "users" else [int(entry) for entry in listed]
        for target in TARGETS
        if (listed := part.spec.get(target.name))
    }
    codes = {"agentid": int(account.settings["agentid"]), "response_code": part.facts["response_code"]}
    return {**out, **codes, **(targets or {"atall": 1})}
