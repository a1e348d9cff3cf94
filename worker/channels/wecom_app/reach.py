"""Members that one call reaches, where they are known: its users, and the members of its departments and tags."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from worker.domain.content.recipient import GROUPS


def people(spec: Mapping[str, Any], members: Collection[str] | None) -> list[str]:
    """The known recipients, each once whatever the case, as the spec spells them; `members` are its groups'."""
    users = spec.get("users", ())
    if not members or not spec.keys() & set(GROUPS):
        return list(users)
    named = {user.lower(): user for user in users}
    return [*users, *(one for one in members if one.lower() not in named)]
