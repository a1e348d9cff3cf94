"""The viewer: a signed-in person. This module alone decides what they may see and do.

Knows no page and no table: an account is a name, and None stands for everything that belongs to no single account.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from worker.config.console import EVERY_ACCOUNT
from worker.drawing import Lang

Role = Literal["reader", "observer", "support", "operator", "admin"]
"""reader: everything but texts and names; observer: also the names of its accounts (recipients, tags, keys); support:
also their texts; operator: also actions on them; admin: all."""
Right = Literal["see", "act", "administer"]
"""The right that a page requires, whatever the account."""
Theme = Literal["auto", "light", "dark"]

_RIGHTS: dict[Role, frozenset[Right]] = {
    "reader": frozenset({"see"}),
    "observer": frozenset({"see"}),
    "support": frozenset({"see"}),
    "operator": frozenset({"see", "act"}),
    "admin": frozenset({"see", "act", "administer"}),
}


@dataclass(frozen=True, slots=True)
class Viewer:
    """A person who has signed in, with the language and theme that they chose."""

    name: str
    role: Role
    accounts: frozenset[str] = frozenset()
    """Accounts whose names the viewer may read and, by role, read texts of and act on; `*` stands for all."""
    lang: Lang = "zh"
    theme: Theme = "auto"


def has_right(viewer: Viewer, right: Right) -> bool:
    """Returns whether the viewer's role has a right."""
    return right in _RIGHTS[viewer.role]


def may_read_names(viewer: Viewer, account: str | None) -> bool:
    """Returns whether the viewer may read recipients, tags and keys of an account's jobs; None for all accounts."""
    return viewer.role != "reader" and _reaches(viewer, account)


def may_read_texts(viewer: Viewer, account: str | None) -> bool:
    """Returns whether the viewer may read texts, recipients' replies and files of an account; None for all accounts."""
    return viewer.role != "observer" and may_read_names(viewer, account)


def may_act(viewer: Viewer, account: str | None) -> bool:
    """Returns whether the viewer may act on jobs and lanes of an account; None for more than one account."""
    return has_right(viewer, "act") and _reaches(viewer, account)


def _reaches(viewer: Viewer, account: str | None) -> bool:
    return viewer.role == "admin" or EVERY_ACCOUNT in viewer.accounts or account in viewer.accounts
