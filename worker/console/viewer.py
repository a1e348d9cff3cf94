"""The viewer: a person who looks, and the one place where it is decided what they may see and do.

Knows no page and no table: an account is a name, and None stands for what belongs to no single account.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from worker.config.console import EVERY_ACCOUNT
from worker.drawing import Lang

Role = Literal["reader", "support", "operator", "admin"]
"""reader: everything but texts; support: also the texts of its accounts; operator: also actions on them; admin: all."""
Right = Literal["see", "act", "administer"]
"""What a page needs of its viewer, whatever the account."""
Theme = Literal["auto", "light", "dark"]

_RIGHTS: dict[Role, frozenset[Right]] = {
    "reader": frozenset({"see"}),
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
    """Accounts whose texts support and operators may read, and on which operators may act; `*`: all of them."""
    lang: Lang = "zh"
    theme: Theme = "auto"


def has_right(viewer: Viewer, right: Right) -> bool:
    """Whether the viewer's role has a right at all."""
    return right in _RIGHTS[viewer.role]


def may_read_texts(viewer: Viewer, account: str | None) -> bool:
    """Whether the viewer may receive texts, recipients' replies and files of an account; None: of any account."""
    return viewer.role != "reader" and _reaches(viewer, account)


def may_act(viewer: Viewer, account: str | None) -> bool:
    """Whether the viewer may act on jobs and lanes of an account; None: on more than single accounts."""
    return has_right(viewer, "act") and _reaches(viewer, account)


def _reaches(viewer: Viewer, account: str | None) -> bool:
    return viewer.role == "admin" or EVERY_ACCOUNT in viewer.accounts or account in viewer.accounts
