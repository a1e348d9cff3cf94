"""A part as the vendor's HTTP call: the same part gives the same bytes, on any machine and after any upgrade."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from worker.channels.wecom_app.upload import BYTES_PER_SECOND, display_name
from worker.domain.account import Account
from worker.domain.call import FileBody, Request
from worker.domain.job import Part

PATHS: Mapping[str, str] = {
    "send": "/cgi-bin/message/send",
    "recall": "/cgi-bin/message/recall",
    "upload": "/cgi-bin/media/upload",
    "update_card": "/cgi-bin/message/update_template_card",
}
DEADLINE_S = 20.0
DUPLICATE_WINDOW_S = 14400
"""The longest duplicate_check_interval (page 90236)."""

# 40033 (page 90313) forbids \uXXXX escapes. Keys are sorted because it is not published whether "the same JSON" of the
# duplicate check regards their order: so equal content always has equal bytes, and one hash.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False).encode


def request(part: Part, account: Account, token: str | None, *, flagged: bool) -> Request:
    """The call of a part; `flagged` turns the vendor's duplicate check on."""
    if part.kind == "upload":
        return _upload(part, account, token)
    return Request(
        "POST",
        account.base_url,
        PATHS[part.kind],
        {"access_token": token or ""},
        _body(part, account, flagged),
        "application/json",
        _deadline(account),
    )


def body_hash(part: Part, account: Account) -> str:
    """SHA-256 (hex) of the account and the body without the flag fields."""
    content = _file(part)["sha256"].encode() if part.kind == "upload" else _body(part, account, flagged=False)
    return hashlib.sha256(account.name.encode() + b"\0" + content).hexdigest()


def _body(part: Part, account: Account, flagged: bool) -> bytes:
    if part.kind == "send":
        return _encode(_send(part, account, flagged)).encode()
    if part.kind == "recall":
        return _encode({"msgid": part.spec["msgid"]}).encode()
    return _encode(_update(part, account)).encode()


def _send(part: Part, account: Account, flagged: bool) -> dict[str, Any]:
    """The envelope of message/send (page 90236). agentid is an integer: a string draws the wrong-format warning."""
    message = part.message
    # miniprogram_notice does not list agentid, but an SDK reported in 2026-07 that it is needed there too.
    out = {**message["body"], "msgtype": message["type"], "agentid": int(account.settings["agentid"])}
    _address(out, part.spec)
    if flagged:
        out["enable_duplicate_check"] = 1
        out["duplicate_check_interval"] = DUPLICATE_WINDOW_S
    media = part.facts.get("media")
    if media:
        out = _with_media(out, media)
    if message["type"] == "template_card":
        out["template_card"] = {**out["template_card"], "task_id": part.spec.get("task_id") or f"w{part.id}"}
    return out


def _address(out: dict[str, Any], spec: Mapping[str, Any]) -> None:
    if spec.get("everyone"):
        out["touser"] = "@all"
        return
    if users := spec.get("users"):
        out["touser"] = "|".join(users)
    if parties := spec.get("parties"):
        out["toparty"] = "|".join(parties)
    if tags := spec.get("tags"):
        out["totag"] = "|".join(tags)


def _with_media(tree: dict[str, Any], media: Mapping[str, str]) -> dict[str, Any]:
    """A copy of the body with every media_id at its path."""
    for path, media_id in media.items():
        tree = _put(tree, path.split("."), media_id)
    return tree


def _put(tree: Any, steps: list[str], value: str) -> Any:
    """A copy of `tree`, shallow beside the path, with `value` at its end."""
    if not steps:
        return value
    if isinstance(tree, list):
        place = int(steps[0])
        return [*tree[:place], _put(tree[place], steps[1:], value), *tree[place + 1 :]]
    return {**tree, steps[0]: _put(tree.get(steps[0]), steps[1:], value)}


def _update(part: Part, account: Account) -> dict[str, Any]:
    """The body of update_template_card (page 94888); departments and tags are integers here."""
    out = {name: value for name, value in part.message.items() if name != "type"}
    out["agentid"] = int(account.settings["agentid"])
    out["response_code"] = part.facts["response_code"]
    targets = _update_targets(part.spec)
    return {**out, **(targets or {"atall": 1})}


def _update_targets(spec: Mapping[str, Any]) -> dict[str, Any]:
    lists = {
        "userids": spec.get("users"),
        "partyids": [int(party) for party in spec.get("parties", ())],
        "tagids": [int(tag) for tag in spec.get("tags", ())],
    }
    return {name: entries for name, entries in lists.items() if entries}


def _file(part: Part) -> Mapping[str, Any]:
    file: Mapping[str, Any] = part.message["files"]["media"]
    return file


def _upload(part: Part, account: Account, token: str | None) -> Request:
    """One multipart part named `media` (page 90253); octet-stream works for every type."""
    file = _file(part)
    size = int(file["size"])
    body = FileBody("media", display_name(file["name"]), "application/octet-stream", size, part.facts["open"])
    return Request(
        "POST",
        account.base_url,
        PATHS["upload"],
        {"access_token": token or "", "type": file["upload_type"]},
        body,
        "multipart/form-data",
        _deadline(account) + size / BYTES_PER_SECOND,
    )


def _deadline(account: Account) -> float:
    return float(account.settings.get("deadline_s", DEADLINE_S))
