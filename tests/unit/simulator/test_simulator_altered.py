"""What people do not see as it was sent, and nobody is told: cuts, unknown values, fields without meaning, names."""

import json
from typing import Any

import pytest

from tests.unit.simulator.samples import OPTIONS, URL, buttons, message, mini, news, notice, selects, vote

CUTS = [
    (message("text", {"content": "x" * 2049}), "text.content", 2048, "bytes"),
    (message("textcard", {"title": "x" * 129, "description": "d", "url": URL}), "textcard.title", 128, "chars"),
    (message("textcard", {"title": "t", "description": "x" * 513, "url": URL}), "textcard.description", 512, "chars"),
    (
        message("textcard", {"title": "t", "description": "d", "url": URL, "btntxt": "xxxxx"}),
        "textcard.btntxt",
        4,
        "chars",
    ),
    (news(title="x" * 129), "news.articles[0].title", 128, "bytes"),
    (news(description="x" * 513), "news.articles[0].description", 512, "bytes"),
]


def seen(vendor: Any, body: dict[str, Any], user: str = "chenmo") -> dict[str, Any]:
    """What a person sees of a body that is taken."""
    reply = vendor.send(body)
    assert reply["errcode"] == 0, reply
    message: dict[str, Any] = vendor.inbox(user)[-1]
    return message


@pytest.mark.parametrize(("body", "field", "limit", "unit"), CUTS, ids=[field for _, field, _, _ in CUTS])
def test_cuts(vendor: Any, body: dict[str, Any], field: str, limit: int, unit: str) -> None:
    """A text one beyond its limit is accepted and cut, and the inbox tells field, limit, unit and the size found."""
    altered = seen(vendor, body)["altered"]

    assert [{"field": field, "why": "cut", "limit": limit, "unit": unit, "size": limit + 1}] == altered


def test_cuts_of_media_messages(vendor: Any) -> None:
    """Videos have cut titles and descriptions, articles of mpnews cut titles and digests."""
    video = vendor.upload(b"0000ftypmp42", "video")["media_id"]
    image = vendor.upload(b"\x89PNG\r\n\x1a\n", "image")["media_id"]
    article = {"title": "x" * 129, "thumb_media_id": image, "content": "c", "digest": "x" * 513}

    clip = seen(vendor, message("video", {"media_id": video, "title": "x" * 129, "description": "x" * 513}))
    news = seen(vendor, message("mpnews", {"articles": [article]}))

    assert [(a["field"], a["limit"]) for a in clip["altered"]] == [("video.title", 128), ("video.description", 512)]
    assert [(a["field"], a["limit"]) for a in news["altered"]] == [
        ("mpnews.articles[0].title", 128),
        ("mpnews.articles[0].digest", 512),
    ]
    assert len(clip["content"]["title"]) == 128
    assert len(clip["content"]["description"]) == 512


@pytest.mark.parametrize(("broken", "left"), [("dropped", "字" * 682), ("replaced", "字" * 682 + "\ufffd")])
def test_a_cut_inside_a_character(vendor: Any, text: Any, broken: str, left: str) -> None:
    """Bytes are cut wherever the limit falls; what becomes of half a character is a setting."""
    vendor.settings(codes={"cut_character": broken})

    message = seen(vendor, text("字" * 683))

    assert left == message["content"]["content"]
    assert message["altered"][0]["size"] == 2049


@pytest.mark.parametrize(("unit", "left"), [("chars", 128), ("bytes", 42)])
def test_textcard_unit(vendor: Any, unit: str, left: int) -> None:
    """Whether textcards are measured in characters or bytes is a setting."""
    vendor.settings(codes={"textcard_unit": unit})

    card = seen(vendor, message("textcard", {"title": "字" * 200, "description": "d", "url": URL}))

    assert left == len(card["content"]["title"])
    assert unit == card["altered"][0]["unit"]


def test_unknown_values_are_taken_for_others(vendor: Any) -> None:
    """A style there is none of is style 1, a selection nobody knows the first option."""
    options = [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}]
    selection = {"question_key": "q", "option_list": options, "selected_id": "z"}

    card = seen(vendor, buttons(button_list=[{"text": "y", "key": "k", "style": 9}], button_selection=selection))
    choice = seen(vendor, selects(select_list=[selection]))

    assert [card["content"]["button_list"][0]["style"], card["content"]["button_selection"]["selected_id"]] == [1, "a"]
    assert choice["content"]["select_list"][0]["selected_id"] == "a"
    assert {one["field"] for one in card["altered"] if one["why"] == "unknown value"} == {
        "template_card.button_list[0].style",
        "template_card.button_selection.selected_id",
    }


def test_fields_without_meaning_are_not_shown(vendor: Any, text: Any) -> None:
    """An extra field is ignored, and so is one that another type of card defines; the latter may be refused."""
    extra = seen(vendor, message("text", {"content": "hi", "colour": "red"}))
    foreign = vote(source={"desc": "d", "desc_color": 1}, sub_title_text="s")

    card = seen(vendor, foreign)

    assert (extra["content"], extra["altered"][0]["field"]) == ({"content": "hi"}, "text.colour")
    assert card["content"]["source"] == {"desc": "d"}
    assert "sub_title_text" not in card["content"]
    assert sorted(one["field"] for one in card["altered"] if one["why"] == "not defined") == [
        "template_card.source.desc_color",
        "template_card.sub_title_text",
    ]
    vendor.settings(codes={"undefined_field": 40058})
    assert vendor.send(vote(task_id="v2", sub_title_text="s"))["errcode"] == 40058


def test_frozen_fields_belong_to_updates(vendor: Any) -> None:
    """A send cannot freeze a card."""
    card = seen(vendor, buttons(replace_text="done"))

    assert "replace_text" not in card["content"]
    assert [one["field"] for one in card["altered"]] == ["template_card.replace_text"]


def test_values_of_a_wrong_type_are_not_read(vendor: Any) -> None:
    """They draw the warning, beside errcode 0 as beside an error, and what is left is shown."""
    reply = vendor.send(notice(source={"desc": 5}, sub_title_text="s"))
    refused = vendor.send(notice(card_action={"type": "1", "url": URL}))

    assert (reply["errcode"], reply["errmsg"]) == (0, "ok. Warning: wrong json format. ")
    (message,) = vendor.inbox("chenmo")
    assert message["altered"] == [{"field": "template_card.source.desc", "why": "wrong type"}]
    assert refused["errcode"] == 42045
    assert refused["errmsg"].startswith("Warning: wrong json format. ")


def test_lists_of_recipients_are_not_read(vendor: Any, text: Any) -> None:
    """Ids in a list instead of between bars are as good as none."""
    reply = vendor.send({**text(), "touser": ["chenmo"]})

    assert reply["errcode"] == 82001
    assert reply["errmsg"].startswith("Warning: wrong json format. ")


def test_ids_become_names_where_asked_for(vendor: Any, text: Any) -> None:
    """Only with the flag, only in the listed fields; who cannot be resolved stays as typed."""
    vendor.settings(directory={"names": {"lihua": "李华"}})
    nobody = "$userName=ghost1$ $departmentName=900000$ $chatName=c$"
    words = f"$userName=lihua$ $userAlias=ann$ $departmentName=7$ {nobody}"
    shown = f"李华 name of ann name of 7 {nobody}"

    asked = seen(vendor, text(words, enable_id_trans=1))
    plain = seen(vendor, text(words))
    card = seen(vendor, {**notice(source={"icon_url": words, "desc": words}), "enable_id_trans": 1})

    assert [shown, words] == [asked["content"]["content"], plain["content"]["content"]]
    assert (words, shown) == (card["content"]["source"]["icon_url"], card["content"]["source"]["desc"])
    assert [one["why"] for one in asked["altered"]] == ["ids translated"]


TRANSLATED = {
    "text": (message("text", {"content": "W"}), ["content"]),
    "textcard": (
        message("textcard", {"title": "W", "description": "W", "url": URL, "btntxt": "W"}),
        ["title", "description"],
    ),
    "news": (news(title="W", description="W"), ["articles[0].title", "articles[0].description"]),
    "mini": (
        mini(title="订单发货W", description="今天送达W", page="W", content_item=[{"key": "W", "value": "W"}]),
        ["title", "description", "content_item[0].value"],
    ),
    "card": (
        notice(
            source={"desc": "W"},
            main_title={"title": "W", "desc": "W"},
            sub_title_text="W",
            emphasis_content={"title": "W", "desc": "W"},
            horizontal_content_list=[{"keyname": "W", "value": "W"}],
            quote_area={"title": "W", "quote_text": "W"},
            jump_list=[{"title": "W"}],
        ),
        ["source.desc", "main_title.title", "main_title.desc", "sub_title_text", "horizontal_content_list[0].value"],
    ),
}


@pytest.mark.parametrize(("body", "fields"), TRANSLATED.values(), ids=TRANSLATED.keys())
def test_which_fields_are_translated(vendor: Any, body: dict[str, Any], fields: list[str]) -> None:
    """Those of the vendor's list and no others."""
    vendor.settings(directory={"names": {"a": "x"}})
    asked = json.loads(json.dumps(body, ensure_ascii=False).replace("W", "$userName=a$"))

    altered = seen(vendor, {**asked, "enable_id_trans": 1})["altered"]

    assert {f"{body['msgtype']}.{field}" for field in fields} == {
        one["field"] for one in altered if one["why"] == "ids translated"
    }


def test_translated_articles_with_pictures(vendor: Any) -> None:
    """Title, digest and content of mpnews, not the author."""
    vendor.settings(directory={"names": {"a": "x"}})
    word, image = "$userName=a$", vendor.upload(b"\x89PNG\r\n\x1a\n", "image")["media_id"]
    article = {"title": word, "digest": word, "content": word, "author": word, "thumb_media_id": image}

    altered = seen(vendor, message("mpnews", {"articles": [article]}, enable_id_trans=1))["altered"]

    assert {f"mpnews.articles[0].{name}" for name in ("title", "digest", "content")} == {
        one["field"] for one in altered
    }


@pytest.mark.parametrize("style", [1, 2, 3, 4])
def test_every_style(vendor: Any, style: int) -> None:
    """Four styles are shown as they are."""
    card = seen(vendor, buttons(button_list=[{"text": "y", "key": "k", "style": style}]))

    assert (style, []) == (card["content"]["button_list"][0]["style"], card["altered"])


def test_what_the_wechat_plugin_shows(vendor: Any, text: Any) -> None:
    """Cards and markdown do not reach it; an app that opens its home there lets 20 bytes of a text through."""
    home = {"corpid": "wwA", "secret": "s", "wechat_plugin_home": True}
    vendor.settings(apps=[home])
    token = vendor.token("wwA", "s")

    seen(vendor, text())
    seen(vendor, message("markdown", {"content": "x"}))
    for body in (text("字" * 9), news()):
        vendor.send(body, token=token)

    assert [one["in_wechat"] for one in vendor.inbox("chenmo")] == [
        {"shows": "same"},
        {"shows": "nothing"},
        {"shows": "text", "content": "字" * 6},
        {"shows": "pointer"},
    ]


def test_updates_are_altered_too(vendor: Any) -> None:
    """What an update changes in silence stands beside the update."""
    code = vendor.send(selects())["response_code"]
    frozen = {"question_key": "q", "option_list": OPTIONS, "selected_id": "z", "disable": True}
    card = {"card_type": "multiple_interaction", "main_title": {"title": "t"}, "select_list": [frozen]}

    reply = vendor.update({"atall": 1, "response_code": code, "template_card": {**card, "task_id": "x"}})

    update = vendor.inbox("chenmo")[0]["update"]
    assert reply["errcode"] == 0
    assert {**card, "select_list": [{**frozen, "selected_id": "a"}]} == update["template_card"]
    assert [one["field"] for one in update["altered"]] == [
        "template_card.select_list[0].selected_id",
        "template_card.task_id",
    ]
