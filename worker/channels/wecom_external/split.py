"""A job into parts: each sender and, of each, every 10,000 customers or 2,000 groups (page 92135) is a call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.checking import overflow as overflows
from worker.channels.checking.overflow import Fitted
from worker.channels.wecom_external import fields
from worker.channels.wecom_external.targets import CUSTOMERS, GROUP_AUDIENCE, GROUPS, Audience, audience_of
from worker.domain.account import Account
from worker.domain.job import Draft, Kind


def split(draft: Draft) -> list[dict[str, Any]]:
    """One spec per call. Whatever is no send is one part (resolve may add more)."""
    if draft.kind != Kind.SEND:
        return [{}]
    to = draft.recipients
    audience = audience_of(to)
    if to.by_sender:
        return [{"sender": sender, **spec} for sender, ids in to.by_sender for spec in _slices(audience, ids)]
    return list(_slices(audience, to.chats if audience is GROUPS else to.customers))


def _slices(audience: Audience, ids: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The specs for these ids, at most `maximum` each; without ids one spec for everyone."""
    if not ids:
        yield {"everyone": True, "audience": GROUP_AUDIENCE} if audience is GROUPS else {"everyone": True}
    for start in range(0, len(ids), audience.maximum):
        yield {audience.name: list(ids[start : start + audience.maximum])}


def audience_in(spec: Mapping[str, Any]) -> Audience:
    """Whether a part is for customers or for customer groups."""
    return GROUPS if spec.get("chats") or spec.get("audience") == GROUP_AUDIENCE else CUSTOMERS


def fit(kind: str, document: Mapping[str, Any], account: Account, overflow: str) -> Fitted:
    """The document with texts truncated where `overflow` asks for it; nothing is split.

    Every piece would be a task of its own that a member has to confirm, and use up a customer's cap.
    """
    return overflows.fit(document, "", fields.BODY if kind == Kind.SEND else (), overflow, None)
