"""Who a group send is for, as producers may write it."""

from __future__ import annotations

import pytest

from worker.domain.content.recipient import CustomerGroups, Customers, Emails, Everyone, Recipients, stored_recipients
from worker.domain.errors import CheckFailed


def test_customers_by_sender() -> None:
    """In the order given, each once; ids compare byte for byte."""
    asked = Customers({"ann": ["wm1", "wmA", "wm1"], "bob": ["wma"]})

    assert asked.by_sender == (("ann", ("wm1", "wmA")), ("bob", ("wma",)))
    assert asked.customers == ("wm1", "wmA", "wma")
    assert not asked.everyone
    assert asked.count() == 3


def test_one_text_is_a_list_of_ids() -> None:
    """Never of letters."""
    assert Customers("wm1 | wm2|").customers == ("wm1", "wm2")
    assert Customers({"ann": "wm1"}).by_sender == (("ann", ("wm1",)),)
    assert CustomerGroups({"ann": "wr1|wr2"}).by_sender == (("ann", ("wr1", "wr2")),)


def test_an_empty_list_is_nobody() -> None:
    """Beside another sender's Everyone() too: only Everyone() means all of a member's."""
    assert not Customers({"ann": []})
    mixed = Customers({"ann": [], "bob": Everyone(), "cid": ["wm1"]})
    groups = CustomerGroups({"ann": [], "bob": Everyone()})

    assert (mixed.by_sender, mixed.everyone) == ((("bob", ()), ("cid", ("wm1",))), True)
    assert (groups.by_sender, groups.audience, groups.everyone) == ((("bob", ()),), "groups", True)


def test_groups_without_their_owners_are_refused() -> None:
    """Unlike customers: no member has talked with a group last."""
    with pytest.raises(CheckFailed, match="sender: is not given; use CustomerGroups"):
        CustomerGroups(["wr1"])  # type: ignore[arg-type]


def test_mail_addresses_are_named_as_they_were_written() -> None:
    """For the sentence of a channel that takes none."""
    assert Emails("a@b.c|d@e.f").emails == ("a@b.c", "d@e.f")
    assert Emails("a@b.c").form == "Emails"


@pytest.mark.parametrize("stored", ['{"users": [1]}', '{"users": "ann"}', '{"by_sender": [["ann", [1]]]}', "[]", "x"])
def test_recipients_that_no_release_stored_are_not_read(stored: str) -> None:
    """Whichever of the lists is odd."""
    assert stored_recipients(stored) is None


def test_stored_and_read_back() -> None:
    """As JSON, whole."""
    for asked in (Customers({"ann": ["wm1"], "bob": Everyone()}), CustomerGroups({"ann": ["wr1"]}), Customers(["wm1"])):
        assert asked == Recipients.from_json(asked.to_json())
