"""message/send: what a body must hold, and the code of everything it must not."""

import json
from typing import Any

import pytest

from tests.unit.simulator.samples import (
    CHOICES,
    MPNEWS,
    OPTIONS,
    URL,
    buttons,
    image_notice,
    many,
    message,
    mini,
    mpnews,
    news,
    notice,
    selects,
    vote,
)
from worker_simulator.answers import Refused
from worker_simulator.settings import CodeSettings
from worker_simulator.wecom_app.rules.findings import Findings
from worker_simulator.wecom_app.rules.values import Ratio

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
    "vote, many": vote(checkbox={"question_key": "q" * 1024, "mode": 1, "option_list": many(CHOICES, 20)}),
    "selects": selects(),
    "pictures": image_notice(card_image={"url": URL, "aspect_ratio": 1.3}),
    "empty lists": notice(horizontal_content_list=[], jump_list=[]),
    "six buttons": buttons(button_list=[{"text": "y", "key": str(n)} for n in range(6)], card_action={"type": 0}),
    "a key that no button needs": buttons(button_list=[{"text": "y", "type": 1, "url": URL, "key": ["x"]}]),
    "a line without title": notice(main_title={}, sub_title_text="s"),
}

BAD = [
    (40008, message("txt", {})),
    (41011, {**message("text", {"content": "x"}), "agentid": None}),
    (40056, {**message("text", {"content": "x"}), "agentid": 1.5}),
    (40058, message("text", {"content": "x"}, safe=2)),
    (40058, message("text", {"content": "x"}, duplicate_check_interval=14401)),
    (40058, message("text", {"content": "x"}, enable_id_trans=2)),
    (40058, message("text", {"content": "x"}, enable_duplicate_check=-1)),
    (40056, {**message("text", {"content": "x"}), "agentid": True}),
    (40056, {**message("text", {"content": "x"}), "agentid": "9" * 5000}),
    (40056, {**message("text", {"content": "x"}), "agentid": "１"}),
    (81013, message("text", {"content": "x"}, touser="", toparty="9" * 5000)),
    (81013, message("text", {"content": "x"}, touser="", totag="１")),
    (44004, message("text", {"content": ""})),
    (44004, message("text", None)),
    (41006, message("image", {})),
    (41006, message("voice", {})),
    (41006, message("video", {"title": "t"})),
    (41006, message("file", {"media_id": ""})),
    (40007, message("voice", {"media_id": "nope"})),
    (41016, message("textcard", {"description": "d", "url": URL})),
    (41033, message("textcard", {"title": "t", "url": URL})),
    (41010, message("textcard", {"title": "t", "description": "d"})),
    (40094, message("textcard", {"title": "t", "description": "d", "url": "example.com"})),
    (40058, message("textcard", {"title": "t", "description": "d", "url": "https://" + "x" * 2048})),
    (40058, message("news", {"articles": ["x"]})),
    (40058, message("news", {"articles": []})),
    (45008, news(9)),
    (41016, news(title="")),
    (40058, news(picurl="https://" + "x" * 2041)),
    (40058, news(appid="wx1", pagepath="x" * 129)),
    (90207, news(pagepath="p")),
    (41010, news(url="")),
    (90207, news(appid="wx1")),
    (40074, {**news(), "safe": 1}),
    (45032, mpnews(author="a" * 65)),
    (41016, mpnews(title="")),
    (41006, mpnews(thumb_media_id="")),
    (44004, mpnews(content="")),
    (45002, mpnews(content="x" * (666 * 1024 + 1))),
    (45008, message("mpnews", {"articles": [MPNEWS] * 9})),
    (44004, message("markdown", {})),
    (45002, message("markdown", {"content": "x" * 2049})),
    (90200, mini(appid="")),
    (40058, mini(title="三个字")),
    (40058, mini(title="十三个字十三个字十三个字啊")),
    (41016, mini(title="")),
    (40058, mini(description="三个字")),
    (40058, mini(description="十三个字十三个字十三个字啊")),
    (90204, mini(page="x" * 1025)),
    (90202, mini(content_item=[{"key": "字" * 11}])),
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
    (40058, notice(task_id="t", action_menu={"desc": "more"})),
    (40058, notice(task_id="t", action_menu={"action_list": [{"text": "t", "key": str(n)} for n in range(4)]})),
    (40058, notice(task_id="t", action_menu={"action_list": [{"key": "k"}]})),
    (40058, notice(task_id="t", action_menu={"action_list": [{"text": "t"}]})),
    (40058, notice(task_id="t", action_menu={"action_list": [{"text": "t", "key": "k" * 1025}]})),
    (42028, notice(quote_area={"type": 1})),
    (42030, notice(quote_area={"type": 2, "pagepath": "p"})),
    (42051, notice(action_menu={"action_list": [{"text": "t", "key": "k"}] * 2})),
    (42035, notice(horizontal_content_list=[{"keyname": "k"}] * 7)),
    (42027, notice(horizontal_content_list=[{"value": "v"}])),
    (42028, notice(horizontal_content_list=[{"type": 1, "keyname": "k"}])),
    (42029, notice(horizontal_content_list=[{"type": 2, "keyname": "k"}])),
    (42050, notice(horizontal_content_list=[{"type": 3, "keyname": "k"}])),
    (42042, notice(jump_list=[{"title": "j"}] * 4)),
    (42033, notice(jump_list=[{}])),
    (42028, notice(jump_list=[{"title": "j", "type": 1}])),
    (42030, notice(jump_list=[{"title": "j", "type": 2}])),
    (41016, image_notice(main_title={"desc": "d"})),
    (42044, image_notice(card_image=None)),
    (42044, image_notice(image_text_area={"title": "t"})),
    (42028, image_notice(image_text_area={"type": 1, "image_url": URL})),
    (40058, image_notice(card_image={"url": URL, "aspect_ratio": 1.29})),
    (40058, image_notice(card_image={"url": URL, "aspect_ratio": 2.26})),
    (42044, image_notice(card_image={})),
    (42044, image_notice(card_image={"aspect_ratio": 2})),
    (42036, image_notice(vertical_content_list=[{"title": "v"}] * 5)),
    (42033, image_notice(vertical_content_list=[{"desc": "v"}])),
    (42014, buttons(task_id="")),
    (42014, buttons(task_id="no spaces")),
    (42014, buttons(task_id="x" * 129)),
    (41016, buttons(main_title={})),
    (42045, buttons(card_action={"type": 3})),
    (42038, buttons(button_list=[])),
    (40058, buttons(button_list=[{"text": "y", "key": str(n)} for n in range(7)])),
    (42039, buttons(button_list=[{"text": "y", "key": "k"}] * 2)),
    (42039, buttons(button_list=[{"text": "y", "key": "k" * 1025}])),
    (42043, buttons(button_selection={"option_list": OPTIONS})),
    (42037, buttons(button_selection={"question_key": "q", "option_list": many(OPTIONS, 11)})),
    (42040, buttons(button_selection={"question_key": "q", "option_list": [{"id": "x" * 129, "text": "A"}]})),
    (42038, buttons(button_list=[{"key": "k"}])),
    (42039, buttons(button_list=[{"text": "y"}])),
    (42028, buttons(button_list=[{"text": "y", "type": 1}])),
    (42043, vote(checkbox={"option_list": CHOICES})),
    (42043, vote(checkbox=None)),
    (42043, vote(checkbox={"question_key": "q" * 1025, "option_list": CHOICES})),
    (42037, vote(checkbox={"question_key": "q", "option_list": many(CHOICES, 21)})),
    (40058, vote(checkbox={"question_key": "q", "option_list": OPTIONS})),
    (42046, vote(submit_button=None)),
    (42046, vote(submit_button={"text": "s", "key": "k" * 1025})),
    (42037, vote(checkbox={"question_key": "q"})),
    (42040, vote(checkbox={"question_key": "q", "option_list": [{"text": "A"}]})),
    (42041, vote(checkbox={"question_key": "q", "option_list": [{"id": "a"}]})),
    (42040, vote(checkbox={"question_key": "q", "option_list": CHOICES * 2})),
    (42046, vote(submit_button={"text": "s"})),
    (42049, vote(submit_button={"key": "k"})),
    (42047, selects(select_list=[])),
    (42043, selects(select_list=[{"question_key": "q", "option_list": OPTIONS}] * 2)),
    (42037, selects(select_list=[{"question_key": "q", "option_list": many(OPTIONS, 11)}])),
    (42049, selects(submit_button={"key": "k"})),
    (42047, selects(select_list=[{"question_key": str(n), "option_list": OPTIONS} for n in range(4)])),
    (40032, message("text", {"content": "x"}, touser="|".join(f"u{n}" for n in range(1001)))),
    (82002, message("text", {"content": "x"}, toparty="|".join(map(str, range(101))))),
    (82003, message("text", {"content": "x"}, totag="|".join(map(str, range(101))))),
    (82001, message("text", {"content": "x"}, touser="")),
    (40058, message("text", {"content": "x"}, touser="x" * 65)),
    (40058, b"no json"),
    (40058, b"[]"),
    (40058, b"[" * 100_000),
    (40058, b'{"touser": "chenmo", "msgtype": "text", "agentid": 1, "text": {"content": "\\ud800"}}'),
    (40058, b'{"touser": "chenmo", "msgtype": "text", "agentid": 1, "text": {"content": "\xed\xa0\x80"}}'),
    (40058, json.dumps(message("text", {"content": "hi"})).encode("utf-16")),
    (40058, json.dumps(message("text", {"content": "你好"}), ensure_ascii=False).encode("gbk")),
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


def test_a_number_that_has_to_be_there_is_missed() -> None:
    """With the code of its rule; one that may be left out is not."""
    required, optional = Ratio("latitude", -90, 90, 40058, missing=41001), Ratio("aspect_ratio", 1.3, 2.25, 40058)
    found = Findings(CodeSettings())

    optional.check({}, "card_image", found)
    with pytest.raises(Refused) as refused:
        required.check({}, "location", found)

    assert refused.value.code == 41001
