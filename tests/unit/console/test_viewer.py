"""What each role may see and do, in one table."""

from __future__ import annotations

import pytest

from worker.console.viewer import Role, Viewer, has_right, may_act, may_read_names, may_read_texts

ROLES: dict[Role, tuple[bool, ...]] = {
    #           names of hr, of another, texts of hr, of another, acts on hr, on another, administers
    "reader": (False, False, False, False, False, False, False),
    "observer": (True, False, False, False, False, False, False),
    "support": (True, False, True, False, False, False, False),
    "operator": (True, False, True, False, True, False, False),
    "admin": (True, True, True, True, True, True, True),
}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_what_the_table_says(role: Role) -> None:
    """Of a viewer with the account hr."""
    viewer = Viewer("ada", role, frozenset({"hr"}))

    found = (
        may_read_names(viewer, "hr"),
        may_read_names(viewer, "shop"),
        may_read_texts(viewer, "hr"),
        may_read_texts(viewer, "shop"),
        may_act(viewer, "hr"),
        may_act(viewer, "shop"),
        has_right(viewer, "administer"),
    )

    assert ROLES[role] == found
    assert has_right(viewer, "see")


@pytest.mark.parametrize(("accounts", "may"), [({"hr"}, False), ({"*"}, True), (set(), False)])
def test_what_belongs_to_no_account_needs_all_of_them(accounts: set[str], may: bool) -> None:
    """A pause of a channel, say, or a callback of an account that is gone."""
    assert may == may_act(Viewer("otto", "operator", frozenset(accounts)), None)
    assert may == may_read_names(Viewer("olga", "observer", frozenset(accounts)), None)
    assert may == may_read_texts(Viewer("sue", "support", frozenset(accounts)), None)


@pytest.mark.parametrize("role", ["reader", "observer"])
def test_who_reads_no_text_reads_none_whatever_the_accounts(role: Role) -> None:
    """Not even of all; a reader no name, either."""
    viewer = Viewer("rita", role, frozenset({"*"}))

    assert not may_read_texts(viewer, "hr")
    assert may_read_names(viewer, "hr") == (role == "observer")
