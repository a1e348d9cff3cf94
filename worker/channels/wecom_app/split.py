"""A job into parts: as few calls as the vendor's maxima allow; part i takes the i-th slice of every list.

A text that was split goes to each slice piece by piece, so part numbers follow the order of reading.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from worker.channels.checking import overflow as overflows
from worker.channels.checking.overflow import Fitted
from worker.channels.checking.paths import SPLIT_FIELD
from worker.channels.checking.targets import calls_for, pieces, slices
from worker.channels.wecom_app import fields
from worker.channels.wecom_app.fields import SENDS, body_rows
from worker.channels.wecom_app.messages.cards import TASK_ID_MAX
from worker.channels.wecom_app.targets import TARGETS, people
from worker.domain.account import Account
from worker.domain.content.recipient import GROUPS, INSTEAD_OF, Recipients
from worker.domain.job import Draft, Kind


def split(draft: Draft) -> list[dict[str, Any]]:
    """One spec per call. A recall, an upload and a card update are one part (resolve may add more)."""
    if draft.kind in SENDS:
        count = call_count(draft.recipients)
        if count == 1 and draft.message["type"] != "template_card" and "pieces" not in draft.message:
            return [draft.recipients.to_json()]
        return [spec for n in range(count) for spec in pieces(draft, _send_spec(draft, n))]
    return [slices(draft.recipients, TARGETS, 0) if draft.kind == "update_card" else {}]


def narrow(
    spec: Mapping[str, Any], later: Collection[str], members: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """A send's spec without these users, and one for them alone.

    None where all or none of its users are named, or where a task_id would become too long. None too beside parties,
    tags or everyone whose members are not known: one of the users may be among them and would get the message twice.
    Where the members are known, both specs are for users and keep the groups as `instead_of`; None where these are
    more than one call takes.
    """
    groups = {name: spec[name] for name in GROUPS if spec.get(name)}
    users = people(spec, members)
    now, then = [user for user in users if user not in later], [user for user in users if user in later]
    if not now or not then or (groups and (not members or len(users) > TARGETS[0].maximum)):
        return None
    if groups:
        spec = {**{name: value for name, value in spec.items() if name not in GROUPS}, INSTEAD_OF: groups}
    if "task_id" not in spec:
        return {**spec, "users": now}, {**spec, "users": then}
    times = spec.get("narrowed", 0) + 1
    own = f"{spec['task_id']}_p{times}"
    if len(own.encode()) > TASK_ID_MAX:
        return None
    return {**spec, "users": now, "narrowed": times}, {**spec, "users": then, "task_id": own, "narrowed": 0}


def call_count(recipients: Recipients) -> int:
    """How many calls reach all recipients with one message; at least one. Each chat takes one."""
    return max(calls_for(recipients, TARGETS), len(recipients.chats))


def _send_spec(draft: Draft, n: int) -> dict[str, Any]:
    if draft.recipients.chats:
        return {"chats": [draft.recipients.chats[n]]}
    spec: dict[str, Any] = {"everyone": True} if draft.recipients.everyone else slices(draft.recipients, TARGETS, n)
    if draft.message.get("type") == "template_card":
        own = draft.message["body"]["template_card"].get("task_id")
        if own is not None:  # the vendor takes each only once per app, so those of parts and replays differ
            part, again = f"_{n}" if n else "", f"_r{draft.replay}" if draft.replay else ""
            spec["task_id"] = f"{own}{part}{again}"
    return spec


def fit(kind: str, document: Mapping[str, Any], account: Account, overflow: str) -> Fitted:
    """The document with nothing too long that may be shortened; what cannot be is left for the check to refuse."""
    if kind in (Kind.CREATE_CHAT, Kind.CHANGE_CHAT):
        rows = fields.CREATE_CHAT if kind == Kind.CREATE_CHAT else fields.CHANGE_CHAT
        return overflows.fit(document, "", rows, overflow, None)
    msgtype = str(document.get("type"))
    splits = kind in SENDS and msgtype in ("text", "markdown")
    rows = body_rows(kind, msgtype, account)
    return overflows.fit(document, msgtype, rows, overflow, SPLIT_FIELD if splits else None)
