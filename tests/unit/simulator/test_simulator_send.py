"""message/send: recipients, apps, task ids, and what people see."""

from typing import Any

import pytest

from tests.unit.simulator.samples import message, mini, notice


@pytest.mark.parametrize(
    ("msgtype", "kind", "content"),
    [
        ("image", "image", b"\xff\xd8\xff12345"),
        ("voice", "voice", b"#!AMR\n1234"),
        ("video", "video", b"0000ftypmp42"),
        ("file", "file", b"123456"),
    ],
)
def test_media_messages_need_their_kind(vendor: Any, msgtype: str, kind: str, content: bytes) -> None:
    """A media_id works for its own message type, in every app of the corp, for three days."""
    media_id = vendor.upload(content, kind)["media_id"]
    body = message(msgtype, {"media_id": media_id})
    other = message("file" if msgtype != "file" else "image", {"media_id": media_id})

    assert vendor.send(body, token=vendor.token("ww1", "other app"))["errcode"] == 0
    assert vendor.send(other)["errcode"] == 40007
    assert vendor.send(body, token=vendor.token("ww2", "x"))["errcode"] == 40007
    vendor.settings(token={"lifetime_s": 1e9})
    vendor.control("POST", "tokens", {"revoke": "all"})
    fresh = vendor.gettoken()["access_token"]
    vendor.advance(3 * 86400 + 1)
    assert vendor.send(body, token=fresh)["errcode"] == 40007


def test_mpnews_and_attachments_use_media(vendor: Any) -> None:
    """mpnews needs an image, a horizontal attachment a file."""
    image = vendor.upload(b"\x89PNG\r\n\x1a\n", "image")["media_id"]
    file = vendor.upload(b"123456")["media_id"]
    article = {"title": "t", "thumb_media_id": image, "content": "<p>x</p>"}

    assert vendor.send(message("mpnews", {"articles": [article]}, safe=2))["errcode"] == 0
    assert vendor.send(notice(horizontal_content_list=[{"type": 2, "keyname": "k", "media_id": file}]))["errcode"] == 0


def test_some_recipients_refused(vendor: Any, text: Any) -> None:
    """Unknown and unlicensed ids come back lower-cased beside errcode 0; the rest get the message."""
    reply = vendor.send(text(to="ChenMo|Ghost01|bad id|UnlicensedX", toparty="12|900000", totag=" 4 | 900001 "))

    assert reply["errcode"] == 0
    assert reply["invaliduser"] == "ghost01|bad id"
    assert reply["unlicenseduser"] == "unlicensedx"
    assert reply["invalidparty"] == "900000"
    assert reply["invalidtag"] == "900001"
    people = {"chenmo", "p12u1", "p12u2", "p12u3", "t4u1", "t4u2", "t4u3"}
    assert people == set(vendor.control("GET", "inbox")["people"])


@pytest.mark.parametrize(("keeps", "shown"), [(False, "ghost01"), (True, "Ghost01")])
def test_all_recipients_refused(vendor: Any, text: Any, keeps: bool, shown: str) -> None:
    """When nobody is left the answer is 81013, with the ids."""
    vendor.settings(directory={"all_invalid_keeps_case": keeps})

    reply = vendor.send(text(to="Ghost01"))

    assert (81013, shown) == (reply["errcode"], reply["invaliduser"])


def test_everybody_and_configured_groups(vendor: Any, text: Any) -> None:
    """@all reaches the configured members, known parties and tags theirs, each person once."""
    vendor.settings(directory={"everyone": ["A", "b"], "parties": {"1": ["a", "c"]}, "tags": {"x": ["A"]}})

    vendor.send(text(to="@all"))
    vendor.send(text(to="A", toparty=1, totag="x"))

    assert [len(vendor.inbox(user)) for user in "abc"] == [2, 1, 1]


def test_configured_apps(vendor: Any, text: Any, card: Any) -> None:
    """A configured app checks its agentid, its callback, its visible range and its kind."""
    one = {"corpid": "wwA", "secret": "s1", "agentid": 1, "callback": False, "visible": ["Ann"], "miniprogram": False}
    vendor.settings(apps=[one, {"corpid": "wwA", "secret": "s2", "agentid": 2}])
    token = vendor.token("wwA", "s1")

    assert vendor.send({**text(), "agentid": 2}, token=token)["errcode"] == 301002
    assert vendor.send({**text(), "agentid": 3}, token=token)["errcode"] == 40056
    assert vendor.send(card(), token=token)["errcode"] == 43012
    assert vendor.send(mini(), token=token)["errcode"] == 48002
    assert vendor.send(text(to="ann|bob"), token=token)["invaliduser"] == "bob"


def test_wrong_types_draw_a_warning(vendor: Any, text: Any) -> None:
    """A number in a string is taken with the wrong-format warning in errmsg."""
    replies = [vendor.send({**text(), "agentid": "1"}), vendor.send(text(safe="0")), vendor.send(text(totag=["4"]))]

    assert [reply["errcode"] for reply in replies] == [0, 0, 0]
    assert {reply["errmsg"] for reply in replies} == {"ok. Warning: wrong json format. "}


def test_task_ids_are_unique_per_app(vendor: Any, card: Any) -> None:
    """A task_id is taken once per app, for as long as the setting says; a refused card does not take it."""
    assert vendor.send(card(to="ghost"))["errcode"] == 81013
    assert vendor.send(card())["errcode"] == 0
    assert vendor.send(card())["errcode"] == 42014
    assert vendor.send(card(), token=vendor.token("ww1", "other"))["errcode"] == 0
    vendor.settings(task_id_reserved_s=60)
    vendor.advance(61)
    assert vendor.send(card())["errcode"] == 0


def test_a_thousand_people_share_one_message(vendor: Any, text: Any) -> None:
    """One call reaches a thousand people, whose names differ in case only once."""
    reply = vendor.send(text(to="|".join([f"u{n}" for n in range(999)] + ["U1"])))

    assert reply["errcode"] == 0
    assert [len(vendor.inbox("u1")), len(vendor.inbox("u998"))] == [1, 1]
