"""The fake webhooks: two profiles, chats, files by key, limits, equal bodies in flight, and what is not confirmed."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

PNG = b"\x89PNG\r\n\x1a\n" + bytes(30)
SEND = "/cgi-bin/webhook/send"
ROBOT = {"key": "robot", "profile": "public"}
ACTION = {"type": "button", "name": "ok", "text": "OK", "value": "1", "replace_text": "done"}


def text(chatid: str | None = "wr1", content: str = "hi", **more: Any) -> dict[str, Any]:
    return {"msgtype": "text", "text": {"content": content}, **({"chatid": chatid} if chatid else {}), **more}


def markdown(*attachments: Any, **more: Any) -> dict[str, Any]:
    return {"msgtype": "markdown", "markdown": {"content": "x", "attachments": list(attachments)}, **more}


def send(vendor: Any, body: Any, key: str = "k") -> dict[str, Any]:
    reply: dict[str, Any] = vendor.post("webhook/send", body, token="none", key=key, timeout=60).json()
    return reply


def code(vendor: Any, body: Any, key: str = "k") -> int:
    found: int = send(vendor, body, key)["errcode"]
    return found


def posts(vendor: Any) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = vendor.control("GET", "webhook")["chats"]
    return found


def upload(vendor: Any, content: bytes, kind: str = "file", key: str = "k") -> dict[str, Any]:
    files = {"media": ("a.txt", content, "application/octet-stream")}
    url = f"{vendor.url}/cgi-bin/webhook/upload_media"
    reply: dict[str, Any] = vendor.session.post(url, params={"key": key, "type": kind}, files=files, timeout=60).json()
    return reply


def test_a_success_says_two_things_and_no_more(vendor: Any) -> None:
    """Never a msgid."""
    assert send(vendor, text()) == {"errcode": 0, "errmsg": "ok"}
    assert [post["content"]["content"] for post in posts(vendor)["wr1"]] == ["hi"]


@pytest.mark.parametrize("key", ["", "wrong"])
def test_a_key_nobody_has(vendor: Any, key: str) -> None:
    """93000, as for no key at all; where keys are configured and none else exists, for every other one."""
    assert code(vendor, text(), key) == 93000
    vendor.settings(webhook={"open": False, "keys": [{"key": "mine"}]})
    assert code(vendor, text(), "k") == 93000
    assert code(vendor, text(), "mine") == 0


def test_a_key_that_was_removed_or_disabled(vendor: Any) -> None:
    """93000 and 93004, for uploads too."""
    vendor.settings(webhook={"keys": [{"key": "a", "removed": True}, {"key": "b", "disabled": True}]})

    assert code(vendor, text(), "a") == 93000
    assert code(vendor, text(), "b") == 93004
    assert upload(vendor, b"123456", key="b")["errcode"] == 93004


@pytest.mark.parametrize(
    ("chatid", "answer"),
    [("wrclosed1", 93001), ("wrghost1", 93006), ("wrforeign1", 93008), ("optout1", 93005), ("a b", 93006)],
)
def test_chats_that_refuse(vendor: Any, chatid: str, answer: int) -> None:
    """Each with its code; of several in one call none is posted to."""
    assert answer == code(vendor, text(chatid))
    assert answer == code(vendor, text(f"wr1|{chatid}"))
    assert code(vendor, text("@all_of_it")) == 93006
    assert posts(vendor) == {}


def test_several_chats_and_broadcasts(vendor: Any) -> None:
    """Up to 100 ids; without any it goes to every group."""
    vendor.settings(webhook={"groups": ["wr7"], "blackboards": ["bb7"]})
    code(vendor, text("wr1|zhangsan"))
    code(vendor, text(None))
    code(vendor, text("@all", "all"))

    assert {chat: len(found) for chat, found in posts(vendor).items()} == {"wr1": 1, "zhangsan": 1, "wr7": 2, "bb7": 1}
    assert code(vendor, text("|".join(f"wr{n}" for n in range(101)))) == 40058


def test_what_a_robot_does_with_an_address(vendor: Any) -> None:
    """Ignored, or refused by a setting: it posts to its own chat."""
    vendor.settings(webhook={"keys": [ROBOT]})
    code(vendor, text("wr9"), "robot")
    assert {chat: len(found) for chat, found in posts(vendor).items()} == {"wrhome": 1}
    assert posts(vendor)["wrhome"][0]["altered"] == [{"field": "chatid", "why": "ignored"}]

    vendor.settings(webhook={"chatid_on_public": "refused"})
    assert code(vendor, text("wr9"), "robot") == 40058


def test_types_that_may_ignore_their_chatid(vendor: Any) -> None:
    """By a setting they go to every group."""
    vendor.settings(webhook={"chatid_ignored_by": ["file"]}, media={"known": {"file": [".*"]}})

    code(vendor, {"msgtype": "file", "file": {"media_id": "m"}, "chatid": "wr9"})

    assert set(posts(vendor)) == {"wr1", "wr2", "wr3"}


def test_what_stands_beside_one_chat(vendor: Any) -> None:
    """post_id and visible_to_user act with exactly one chat of the right kind; else they are ignored."""
    beside = {"post_id": "bp1", "visible_to_user": "li|wang"}
    code(vendor, text("bb1", **beside))
    code(vendor, text("wr1", **beside))
    code(vendor, text("wr2|wr3", **beside))

    shown = {chat: (one["post_id"], one["visible_to"]) for chat, (one,) in posts(vendor).items()}
    people = ["li", "wang"]
    assert {"bb1": ("bp1", people), "wr1": (None, people), "wr2": (None, []), "wr3": (None, [])} == shown


@pytest.mark.parametrize(("setting", "answer"), [(40058, 40058), (0, 0)])
def test_a_type_blackboards_do_not_take(vendor: Any, setting: int, answer: int) -> None:
    """Refused, or by a setting not shown."""
    vendor.settings(webhook={"undeliverable_code": setting})

    assert answer == code(vendor, {"msgtype": "markdown_v2", "markdown_v2": {"content": "x"}, "chatid": "bb1"})
    assert posts(vendor) == {}


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (text(content=""), 44004),
        (text(content="x" * 2049), 40058),
        ({"msgtype": "markdown", "markdown": {"content": "x" * 4097}}, 40058),
        (
            {"msgtype": "markdown", "markdown": {"content": "x", "attachments": [{"callback_id": "c", "actions": []}]}},
            40058,
        ),
        ({"msgtype": "markdown", "markdown": {"content": "x", "attachments": [{"actions": [ACTION]}]}}, 40058),
        ({"msgtype": "news", "news": {"articles": [{"title": "t", "url": "https://e.com"}] * 9}}, 45008),
        ({"msgtype": "news", "news": {"articles": [{"url": "https://e.com"}]}}, 41016),
        ({"msgtype": "file", "file": {"media_id": "unknown"}}, 40007),
        ({"msgtype": "template_card", "template_card": {"card_type": "vote_interaction"}}, 42031),
        ({"msgtype": "nonsense", "nonsense": {}}, 40008),
        ({}, 40008),
        ([], 40058),
    ],
)
def test_bodies_that_are_refused(vendor: Any, body: Any, answer: int) -> None:
    """With their code, and nobody sees them."""
    assert answer == code(vendor, body)
    assert posts(vendor) == {}


def test_pictures(vendor: Any) -> None:
    """Both fields, JPG or PNG, the MD5 of the bytes; only a summary is kept."""

    def picture(content: bytes, md5: str | None = None) -> int:
        digest = md5 or hashlib.md5(content).hexdigest()
        image = {"base64": base64.b64encode(content).decode(), "md5": digest}
        return code(vendor, {"msgtype": "image", "image": image, "chatid": "wr1"})

    assert [picture(PNG), picture(PNG, "0" * 32), picture(b"GIF89a" + bytes(20)), picture(PNG + bytes(2 << 20))] == [
        0,
        301019,
        40009,
        40009,
    ]
    for text in ("#", "图片"):
        assert code(vendor, {"msgtype": "image", "image": {"base64": text, "md5": "x"}}) == 40009
    assert {"md5": hashlib.md5(PNG).hexdigest(), "size": len(PNG)} == posts(vendor)["wr1"][0]["content"]


def test_what_is_shown_otherwise_than_it_was_sent(vendor: Any) -> None:
    """Cut titles, marks markdown_v2 does not know, colours that are none, fields a robot does not have."""
    vendor.settings(webhook={"keys": [ROBOT]})
    code(
        vendor,
        {"msgtype": "news", "news": {"articles": [{"title": "字" * 50, "url": "https://e.com"}]}, "chatid": "wr1"},
    )
    code(vendor, {"msgtype": "markdown_v2", "markdown_v2": {"content": "<@li> `<@wang>`"}, "chatid": "wr2"})
    code(vendor, {"msgtype": "markdown_v2", "markdown_v2": {"content": "`<@wang>`"}, "chatid": "wr3"})
    odd = {"callback_id": "c", "actions": [{**ACTION, "text_color": "green"}]}
    code(vendor, markdown(odd, chatid="wr4"))
    code(vendor, markdown(odd), "robot")

    why = {chat: [one["why"] for one in found[0]["altered"]] for chat, found in posts(vendor).items()}
    assert why == {
        "wr1": ["cut"],
        "wr2": ["shown as typed"],
        "wr3": [],
        "wr4": ["unknown value"],
        "wrhome": ["not defined"],
    }
    assert len(posts(vendor)["wr1"][0]["content"]["articles"][0]["title"].encode()) == 126


def test_uploads_belong_to_their_key(vendor: Any) -> None:
    """Two types, more than five bytes, three days, and control may end their life."""
    given = upload(vendor, b"123456")
    media = {"msgtype": "file", "file": {"media_id": given["media_id"]}, "chatid": "wr1"}

    assert sorted(given) == ["created_at", "errcode", "errmsg", "media_id", "type"]
    assert isinstance(given["created_at"], str)
    assert upload(vendor, b"12345")["errcode"] == 40006
    assert upload(vendor, PNG, "image")["errcode"] == 40005
    assert upload(vendor, b"123456", "voice")["errcode"] == 301017
    assert code(vendor, media) == 0
    assert code(vendor, media, "other") == 40007
    vendor.control("POST", "expire", {"media_id": given["media_id"]})
    assert code(vendor, media) == 40007
    second = {"msgtype": "file", "file": {"media_id": upload(vendor, b"123456")["media_id"]}, "chatid": "wr1"}
    vendor.advance(259_201)
    assert code(vendor, second) == 40007


def test_a_robot_says_twenty_messages_a_minute(vendor: Any) -> None:
    """The twenty-first is refused and noted, and so is what comes within the minute's penalty."""
    vendor.settings(webhook={"keys": [ROBOT]})

    answers = [code(vendor, text(None, str(n)), "robot") for n in range(22)]

    assert answers == [0] * 20 + [45009] * 2
    assert list({one["key"] for one in vendor.violations()["limits"]}) == ["webhook:robot"]
    vendor.advance(61)
    assert code(vendor, text(None, "later"), "robot") == 0


@pytest.mark.parametrize(
    ("amounts", "chatid", "other", "answer"),
    [
        ({"chat_per_minute": 2}, "wr1", "wr2", 45009),
        ({"chat_per_minute": 2}, "zhangsan", "lisi", 93005),
        ({"broadcast_per_minute": 2}, "@all_group", "wr2", 45009),
        ({"key_per_minute": 2}, "wr1", None, 45009),
    ],
)
def test_limits_of_message_push(
    vendor: Any, amounts: dict[str, int], chatid: str, other: str | None, answer: int
) -> None:
    """Per chat or member, of broadcasts, and of the key."""
    vendor.settings(webhook=amounts)

    answers = [code(vendor, text(chatid, str(n))) for n in range(3)]

    assert [0, 0, answer] == answers
    assert other is None or code(vendor, text(other, "x")) == 0
    assert other is not None or code(vendor, text("wr2", "x")) == 45009
    assert code(vendor, text(chatid, "x"), "another key") == 0


@pytest.mark.parametrize("setting", [45033, 45035, 0])
def test_equal_bodies_in_flight(vendor: Any, setting: int) -> None:
    """Counted, and refused with the code that is set; other bodies, and the same one of another key, are not."""
    vendor.settings(webhook={"equal_body_code": setting})
    vendor.faults({"match": {"path": SEND, "nth": 1}, "times": 1, "action": {"hang": None}})
    with vendor.connect() as first:
        first.sendall(raw(text()))
        vendor.until(lambda: [call["received"] for call in vendor.calls(path=SEND)] == ["whole"])

        assert setting == code(vendor, text())
        assert code(vendor, text(content="other")) == 0
        assert code(vendor, text(), "another") == 0

    assert vendor.control("GET", "webhook")["most_equal_in_flight"] == 2
    vendor.until(lambda: code(vendor, text()) == 0)


def raw(body: Any) -> bytes:
    """A send as bytes, byte for byte the body that the client makes."""
    content = json.dumps(body, ensure_ascii=False).encode()
    head = f"POST {SEND}?key=k HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


@pytest.mark.parametrize(("adds_up", "left"), [(False, 3), (True, 5)])
def test_a_member_outside_the_scope_allows_three_messages(vendor: Any, adds_up: bool, left: int) -> None:
    """Each time he speaks; to his chat's id or his own, whether they add up is a setting."""
    key = {"key": "k", "scope": ["known.*"], "callback_url": "http://127.0.0.1:9/"}
    vendor.settings(webhook={"keys": [key], "allowance_adds_up": adds_up}, callbacks={"tries": 1})
    before = code(vendor, text("zhang"))
    act = {"act": "enter_chat", "key": "k", "chat": "wozhang", "person": "zhang"}
    vendor.control("POST", "webhook", act)
    assert code(vendor, text("wozhang")) == 0
    vendor.control("POST", "webhook", act)

    answers = [code(vendor, text("ZHANG")) for _ in range(6)]

    assert before == 93005
    assert code(vendor, text("known1")) == 0
    assert [0] * left + [93005] * (6 - left) == answers


def test_nobody_clicks_what_is_not_there(vendor: Any) -> None:
    """400 says why: no such button, no address, no such key."""
    click = {"act": "click", "key": "k", "chat": "wr1", "name": "ok"}

    def said(body: Any) -> str:
        reply = vendor.session.post(f"{vendor.url}/_control/webhook", json=body, timeout=60)
        assert reply.status_code == 400
        return str(reply.json()["error"])

    assert "has a button 'ok'" in said(click)
    assert "no callback_url" in said({**click, "act": "message"})
    assert "93000" in said({**click, "key": "wrong"})
    assert "act" in said({"key": "k"})
