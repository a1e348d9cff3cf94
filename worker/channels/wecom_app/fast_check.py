"""A fast test for the common message: a plain text to some users, in one call.

`is_plain` is True only if `check` and `warnings` would find nothing. It uses the same rows as the check. False only
means that they have to run.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from worker.channels.checking.plain import ODD
from worker.channels.checking.row import FieldRule
from worker.channels.wecom.names import USERID
from worker.channels.wecom_app.check import BODIES
from worker.channels.wecom_app.targets import TARGETS
from worker.domain.content.recipient import Recipients
from worker.domain.job import Draft, JobKind

_USER = re.compile(f"(?!all$){USERID.pattern}", re.IGNORECASE | re.ASCII)
_NO_LIMIT = 2**31
_HARMLESS = frozenset(
    ("path", "required", "max_bytes", "max_chars", "prose", "translated", "effect", "missing", "code", "more", "note")
)
"""Columns that a simple row may set: presence, length, the vendor's reaction. (A text with `$` is never simple.)"""
_SAYS_NOTHING = FieldRule("")


@dataclass(frozen=True, slots=True)
class _Plain:
    """A type whose plain text fields have no rule except being there and not being too long."""

    required: frozenset[str]
    longest: Mapping[str, tuple[int, int]]
    """Maximum of bytes and characters, by field."""


def is_plain(draft: Draft) -> bool:
    """Returns True if nothing can be wrong with this send, and nothing is worth a warning."""
    message, account = draft.message, draft.account
    msgtype, body, options = message.get("type"), message.get("body"), message.get("options")
    if draft.kind != JobKind.SEND or len(message) != 3 or account.settings.get("wechat_plugin_home"):
        return False
    if type(msgtype) is not str or type(body) is not dict or type(options) is not dict:
        return False
    if len(body) != 1 or len(options) != 1 or type(options.get("duplicate_check")) is not bool:
        return False
    return _is_plain_text(_plain(msgtype), body.get(msgtype)) and _are_users(draft.recipients)


def _is_plain_text(plain: _Plain | None, content: Any) -> bool:
    if plain is None or type(content) is not dict or not plain.required <= content.keys():
        return False
    for name, text in content.items():
        longest = plain.longest.get(name)
        if longest is None or type(text) is not str or ODD.search(text) or "$" in text:
            return False
        if len(text) > longest[1] or (4 * len(text) > longest[0] and len(text.encode()) > longest[0]):
            return False
        if name in plain.required and not text.strip():
            return False
    return True


def _are_users(asked: Recipients) -> bool:
    users = asked.users
    if asked.parties or asked.tags or asked.chats or asked.everyone or asked.customers or asked.emails:
        return False
    if not 0 < len(users) <= TARGETS[0].maximum:
        return False
    return all(type(one) is str and _USER.fullmatch(one) for one in users)


@cache
def _plain(msgtype: str) -> _Plain | None:
    """Returns the plain fields of a type, or None for a type that always needs the full check."""
    required, longest = set[str](), dict[str, tuple[int, int]]()
    for row in BODIES.get(msgtype, ()):
        if not isinstance(row, FieldRule):
            return None
        plain = _has_length_only(row)
        if plain:
            longest[row.path] = (row.max_bytes or _NO_LIMIT, row.max_chars or _NO_LIMIT)
        if row.required:
            if not plain:
                return None
            required.add(row.path)
    return _Plain(frozenset(required), longest) if required else None


def _has_length_only(row: FieldRule) -> bool:
    """Returns True if a row sets only presence and length. Any other column needs the full check."""
    others = (one.name for one in dataclasses.fields(row) if one.name not in _HARMLESS)
    return "." not in row.path and all(getattr(row, name) == getattr(_SAYS_NOTHING, name) for name in others)
