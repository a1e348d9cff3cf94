"""Who one call reaches, as far as anybody knows: its users, and the members of its departments and tags."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

GROUPS = ("parties", "tags", "everyone")
"""What stands in a spec for people whom only the vendor, or the application, can name."""


def people(spec: Mapping[str, Any], members: Collection[str] | None) -> list[str]:
    """Each once, without regard to case, as the spec spells it where it names him; `members` of its groups if any."""
    users = spec.get("users", ())
    if not members or not spec.keys() & set(GROUPS):
        return list(users)
    named = {user.lower(): user for user in users}
    return [*users, *(one for one in members if one.lower() not in named)]
