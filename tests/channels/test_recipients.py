"""What is no id where recipients come in is refused by the name of its field, and never read as something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from worker import (
    AppChat,
    Chats,
    CheckFailed,
    CustomerGroups,
    Customers,
    Emails,
    Everyone,
    To,
    external,
    recipients_from_json,
    webhook,
    youdu,
)

ODD: tuple[Any, ...] = (2, 2.5, True, b"a", {"a": 1}, [None], ["a", None], [True], [1.5], [["a"]], [{}])


@pytest.mark.parametrize(
    ("made", "field"),
    [
        (lambda value: To(value), "users"),
        (lambda value: To(parties=value), "parties"),
        (lambda value: To(tags=value), "tags"),
        (lambda value: Emails(value), "emails"),
        (lambda value: AppChat(value), "chatid"),
        (lambda value: Chats("a", value), "chatid"),
        (lambda value: Customers([value]), "external_userid"),
        (lambda value: Customers({"lihua": value}), "external_userid"),
        (lambda value: CustomerGroups({"lihua": value}), "chat_id_list"),
        (lambda value: recipients_from_json({"msgtype": "text", "touser": value}), "touser"),
        (lambda value: recipients_from_json({"msgtype": "text", "toparty": value}), "toparty"),
        (lambda value: recipients_from_json({"msgtype": "text", "totag": value}), "totag"),
        (lambda value: recipients_from_json({"chatid": value}), "chatid"),
        (lambda value: recipients_from_json({"partyids": value}), "partyids"),
        (lambda value: webhook.recipients_from_json({"chatid": value}), "chatid"),
        (lambda value: youdu.recipients_from_json({"toUser": value}), "toUser"),
        (lambda value: youdu.recipients_from_json({"toDept": value}), "toDept"),
        (lambda value: youdu.recipients_from_json({"toEmail": value}), "toEmail"),
        (lambda value: youdu.recipients_from_json({"account": value}), "account"),
        (lambda value: external.recipients_from_json({"sender": value}), "sender"),
        (lambda value: external.recipients_from_json({"sender": "lihua", "external_userid": value}), "external_userid"),
        (
            lambda value: external.recipients_from_json({"sender": "a", "chat_type": "group", "chat_id_list": value}),
            "chat_id_list",
        ),
    ],
)
def test_what_is_no_id(made: Callable[[Any], Any], field: str) -> None:
    """A number, a list in a list, nothing at all: the sentence names the vendor's field and shows no value."""
    for value in ODD:
        with pytest.raises(CheckFailed) as refused:
            made(value)

        assert [field] == [problem.field for problem in refused.value.problems], value


def test_what_has_no_sender() -> None:
    """Groups are sent to by their owner, and a sender is a text."""
    for wrong in (["wr1"], "wr1", {1: ["wr1"]}, {None: ["wr1"]}):
        with pytest.raises(CheckFailed, match="sender"):
            CustomerGroups(wrong)  # type: ignore[arg-type]  # what it refuses


def test_numbers_in_a_list_are_ids_of_departments_and_tags() -> None:
    """As the vendor's page of card updates has them, and with none of a list nobody is meant."""
    assert To(parties=[1, 2], tags=(3,)) == To(parties="1|2", tags="3")
    assert To(parties=["1", 2]) == To(parties="1|2")
    assert To(None, [], "") == To()
    assert recipients_from_json({"userids": ["a"], "partyids": [1]}) == To("a", "1")


def test_a_body_without_chatid_means_what_its_caller_says() -> None:
    """The vendor would post to all groups; nobody is assumed, and a chatid goes before the choice."""
    body = {"msgtype": "file", "file": {"media_id": "m"}}

    assert not webhook.recipients_from_json(body)
    assert Everyone("groups") == webhook.recipients_from_json(body, without_chatid=Everyone("groups"))
    assert Chats("wr1") == webhook.recipients_from_json({**body, "chatid": "wr1"}, without_chatid=Everyone("groups"))
