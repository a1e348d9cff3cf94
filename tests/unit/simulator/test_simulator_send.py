"""message/send: envelopes, bodies, recipients and what people see."""

from typing import Any

import pytest

URL = "https://example.com/1"
ACTION = {"type": 1, "url": URL}
OPTIONS = [{"id": "a", "text": "A"}]


def message(msgtype: str, content: Any, **more: Any) -> dict[str, Any]:
    """A message to one person."""
    return {"touser": "chenmo", "msgtype": msgtype, "agentid": 1, msgtype: content, **more}


def notice(**more: Any) -> dict[str, Any]:
    """A text_notice card."""
    content = {"card_type": "text_notice", "main_title": {"title": "t"}, "card_action": ACTION, **more}
    return message("template_card", content)


def image_notice(**more: Any) -> dict[str, Any]:
    """A news_notice card."""
    content = {"card_type": "news_notice", "main_title": {"title": "t"}, "card_action": ACTION}
    return message("template_card", {**content, "card_image": {"url": URL}, **more})


def buttons(**more: Any) -> dict[str, Any]:
    """A button card."""
    content = {"card_type": "button_interaction", "task_id": "b", "main_title": {"title": "t"}}
    return message("template_card", {**content, "button_list": [{"text": "y", "key": "k"}], **more})


def vote(**more: Any) -> dict[str, Any]:
    """A vote card."""
    content = {"card_type": "vote_interaction", "task_id": "v", "main_title": {"title": "t"}}
    box = {"question_key": "q", "option_list": OPTIONS}
    return message("template_card", {**content, "checkbox": box, "submit_button": {"text": "s", "key": "k"}, **more})


def selects(**more: Any) -> dict[str, Any]:
    """A card with selections."""
    content = {"card_type": "multiple_interaction", "task_id": "m", "main_title": {"title": "t"}}
    one = [{"question_key": "q", "option_list": OPTIONS}]
    return message("template_card", {**content, "select_list": one, "submit_button": {"text": "s", "key": "k"}, **more})


def news(count: int = 1, **article: Any) -> dict[str, Any]:
    """A news message."""
    return message("news", {"articles": [{"title": "t", "url": URL, **article}] * count})


def mini(**more: Any) -> dict[str, Any]:
    """A mini-program notice."""
    return message("miniprogram_notice", {"appid": "wx1", "title": "订单发货", **more})


GOOD = {
    "text": message("text", {"content": "hi"}),
    "textcard": message("textcard", {"title": "t", "description": "d", "url": URL, "btntxt": "much too long"}),
    "news by url": news(),
    "news by mini program": news(url="", appid="wx1", pagepath="p"),
    "markdown": message("markdown", {"content": "x" * 2048}),
    "mini": mini(content_item=[{"key": "单号", "value": "A"}, {}], description="今天下午"),
    "text_notice": notice(
        horizontal_content_list=[{"keyname": "k"}, {"type": 1, "keyname": "k", "url": URL}],
        jump_list=[{"title": "j", "type": 2, "appid": "wx1"}],
        quote_area={"type": 1, "url": URL},
    ),
    "news_notice": image_notice(vertical_content_list=[{"title": "v"}]),
    "buttons": buttons(button_selection={"question_key": "q", "option_list": OPTIONS}),
    "vote": vote(),
    "selects": selects(),
}

BAD = [
    (40008, message("txt", {})),
    (41011, {**message("text", {"content": "x"}), "agentid": None}),
    (40056, {**message("text", {"content": "x"}), "agentid": 1.5}),
    (40058, message("text", {"content": "x"}, safe=2)),
    (40058, message("text", {"content": "x"}, duplicate_check_interval=14401)),
    (44004, message("text", {"content": ""})),
    (44004, message("text", None)),
    (41006, message("image", {})),
    (40007, message("voice", {"media_id": "nope"})),
    (41016, message("textcard", {"description": "d", "url": URL})),
    (41033, message("textcard", {"title": "t", "url": URL})),
    (41010, message("textcard", {"title": "t", "description": "d"})),
    (40094, message("textcard", {"title": "t", "description": "d", "url": "example.com"})),
    (40058, message("textcard", {"title": "t", "description": "d", "url": "https://" + "x" * 2048})),
    (40058, message("news", {"articles": ["x"]})),
    (40058, message("news", {"articles": []})),
    (45008, news(9)),
    (41010, news(url="")),
    (90207, news(appid="wx1")),
    (40074, {**news(), "safe": 1}),
    (
        45032,
        message("mpnews", {"articles": [{"title": "t", "thumb_media_id": "x", "content": "c", "author": "a" * 65}]}),
    ),
    (45002, message("markdown", {"content": "x" * 2049})),
    (90200, mini(appid="")),
    (40058, mini(title="三个字")),
    (40058, mini(title="十三个字十三个字十三个字啊")),
    (90201, mini(content_item=[{"key": "k"}] * 11)),
    (90202, mini(content_item=[{"value": "v"}])),
    (90203, mini(content_item=[{"key": "k", "value": "字" * 31}])),
    (40058, {**mini(), "touser": "@all"}),
    (42031, message("template_card", {"card_type": "nothing"})),
    (42045, notice(card_action={})),
    (42045, notice(card_action={"type": 0})),
    (42028, notice(card_action={"type": 1})),
    (42030, notice(card_action={"type": 2})),
    (41016, notice(main_title={})),
    (42014, notice(action_menu={"action_list": [{"text": "t", "key": "k"}]})),
    (42051, notice(action_menu={"action_list": [{"text": "t", "key": "k"}] * 2})),
    (42035, notice(horizontal_content_list=[{"keyname": "k"}] * 7)),
    (42027, notice(horizontal_content_list=[{"value": "v"}])),
    (42028, notice(horizontal_content_list=[{"type": 1, "keyname": "k"}])),
    (42029, notice(horizontal_content_list=[{"type": 2, "keyname": "k"}])),
    (42050, notice(horizontal_content_list=[{"type": 3, "keyname": "k"}])),
    (42042, notice(jump_list=[{"title": "j"}] * 4)),
    (42033, notice(jump_list=[{}])),
    (42044, image_notice(card_image={})),
    (42044, image_notice(card_image={"aspect_ratio": 2})),
    (42036, image_notice(vertical_content_list=[{"title": "v"}] * 5)),
    (42033, image_notice(vertical_content_list=[{"desc": "v"}])),
    (42014, buttons(task_id="")),
    (42014, buttons(task_id="no spaces")),
    (42014, buttons(task_id="x" * 129)),
    (42038, buttons(button_list=[{"key": "k"}])),
    (42039, buttons(button_list=[{"text": "y"}])),
    (42028, buttons(button_list=[{"text": "y", "type": 1}])),
    (42043, vote(checkbox={"option_list": OPTIONS})),
    (42037, vote(checkbox={"question_key": "q"})),
    (42040, vote(checkbox={"question_key": "q", "option_list": [{"text": "A"}]})),
    (42041, vote(checkbox={"question_key": "q", "option_list": [{"id": "a"}]})),
    (42040, vote(checkbox={"question_key": "q", "option_list": OPTIONS * 2})),
    (42046, vote(submit_button={"text": "s"})),
    (42049, vote(submit_button={"key": "k"})),
    (42047, selects(select_list=[{"question_key": str(n), "option_list": OPTIONS} for n in range(4)])),
    (40032, message("text", {"content": "x"}, touser="|".join(f"u{n}" for n in range(1001)))),
    (82002, message("text", {"content": "x"}, toparty="|".join(map(str, range(101))))),
    (82003, message("text", {"content": "x"}, totag="|".join(map(str, range(101))))),
    (82001, message("text", {"content": "x"}, touser="")),
    (40058, message("text", {"content": "x"}, touser="x" * 65)),
    (40058, b"no json"),
    (40058, b"[]"),
]


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD.keys())
def test_good_messages_are_taken(vendor: Any, body: dict[str, Any]) -> None:
    """Every message type is accepted with a msgid, and clickable cards with a response_code."""
    reply = vendor.send(body)

    assert reply["errcode"] == 0, reply
    assert reply["msgid"]
    assert ("response_code" in reply) is (body.get("template_card", {}).get("task_id") is not None)
    assert vendor.inbox("chenmo")[0]["msgid"] == reply["msgid"]


@pytest.mark.parametrize(("code", "body"), BAD)
def test_bad_messages_are_refused(vendor: Any, code: int, body: Any) -> None:
    """Every documented mistake draws the vendor's code, and nobody sees anything."""
    assert code == vendor.send(body)["errcode"]
    assert vendor.control("GET", "inbox")["people"] == {}


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


def test_text_is_cut_in_silence(vendor: Any, text: Any) -> None:
    """Text beyond 2048 bytes is accepted and shown cut; what becomes of half a character is a setting."""
    vendor.send(text("字" * 683))
    vendor.settings(codes={"cut_character": "replaced"})
    vendor.send(text("字" * 683))

    first, second = vendor.inbox("chenmo")
    assert first["content"]["content"] == "字" * 682
    assert second["content"]["content"] == "字" * 682 + "\ufffd"


@pytest.mark.parametrize(("unit", "left"), [("chars", 128), ("bytes", 42)])
def test_textcard_unit(vendor: Any, unit: str, left: int) -> None:
    """Whether textcards are measured in characters or bytes is a setting."""
    vendor.settings(codes={"textcard_unit": unit})

    vendor.send(message("textcard", {"title": "字" * 200, "description": "d", "url": URL}))

    assert left == len(vendor.inbox("chenmo")[0]["content"]["title"])


def test_wrong_types_draw_a_warning(vendor: Any, text: Any) -> None:
    """A number in a string is taken with the wrong-format warning in errmsg."""
    replies = [vendor.send({**text(), "agentid": "1"}), vendor.send(text(safe="0")), vendor.send(text(totag=["4"]))]

    assert [reply["errcode"] for reply in replies] == [0, 0, 0]
    assert {"ok. Warning: wrong json format. "} == {reply["errmsg"] for reply in replies}


def test_code_settings(vendor: Any, text: Any, card: Any) -> None:
    """Unconfirmed codes can be set: all-empty recipients, escapes, suggested lengths."""
    vendor.settings(codes={"all_empty": 81012, "escaped_json": "refused", "suggested_length": 40058})

    assert vendor.send(text(to=""))["errcode"] == 81012
    assert vendor.send(b'{"touser": "\\u0061"}')["errcode"] == 40033
    assert vendor.send(card(main_title={"title": "x" * 37}))["errcode"] == 40058


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
