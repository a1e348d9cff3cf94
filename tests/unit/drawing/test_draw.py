"""What is drawn beside a message's own texts: marks, states, updates, controls, links, pictures and colours."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from tests.support.drawn_html import DrawnHtml
from tests.support.drawn_samples import ACTIONS, CARDS, SAMPLES
from tests.support.each import each
from worker.drawing import Channel, Lang, MessageView, draw


def app(msgtype: str, content: Any, **more: Any) -> MessageView:
    """A message of an application."""
    return MessageView(channel="wecom_app", msgtype=msgtype, content=content, **more)


def card(card_type: str, **more: Any) -> MessageView:
    """A card of an application, with what can be pressed."""
    return app("template_card", {"card_type": card_type, **CARDS[card_type]}, **{"actions": ACTIONS, **more})


def elements(drawn: str, tag: str) -> list[dict[str, str | None]]:
    """The attributes of each element of a kind."""
    return [named for one, named in DrawnHtml(drawn).elements if one == tag]


# --- what was altered


CUT = {"field": "text.content", "why": "cut", "limit": 2048, "unit": "bytes", "size": 2050}
SENTENCES = {
    "cut": ("被截断：最多 2048 字节，发送了 2050", "was cut: at most 2048 bytes, 2050 were sent"),
    "unknown value": ("取值未知，按默认值显示", "has an unknown value and is shown as the default"),
    "not defined": ("此类消息没有这个字段，不显示", "is no field of this type and is not shown"),
    "wrong type": ("值的类型不对，不显示", "has a value of the wrong type and is not shown"),
    "ids translated": ("中的 ID 显示为名称", "shows names in place of ids"),
    "shown as typed": ("中的标记不生效，原样显示", "has marks that do nothing here and are shown as typed"),
    "not shown on blackboards": ("小黑板不接收此类消息", "is of a type that blackboards do not take"),
    "of a newer vendor": ("of a newer vendor", "of a newer vendor"),
}


@pytest.mark.parametrize("why", SENTENCES)
@pytest.mark.parametrize(("lang", "number"), [("zh", 0), ("en", 1)])
def test_what_was_altered_is_told_in_words(lang: Lang, number: int, why: str) -> None:
    """Under the message, by the field's place; a reason without words is told as it is."""
    drawn = draw(app("text", {"content": "x"}, altered=[{**CUT, "why": why}]), lang)

    assert f"<code>text.content</code> {SENTENCES[why][number]}</li>" in drawn


def test_a_mark_stands_beside_its_field() -> None:
    """And beside no other."""
    drawn = draw(SAMPLES["card with a foreign field"], "en")

    assert '周五吃什么</bdi><span class="mark mark-ids-translated">ids translated</span>' in drawn
    assert drawn.count('class="mark ') == 1


@pytest.mark.parametrize("why", ["not defined", "wrong type"])
def test_a_field_that_people_do_not_see_stands_in_the_list_alone(why: str) -> None:
    """Beside its place, though a field of its type would have been drawn."""
    drawn = draw(
        app("textcard", {"title": "kept", "btntxt": "odd"}, altered=[{"field": "textcard.btntxt", "why": why}])
    )

    assert re.search(r"<dt>textcard\.btntxt</dt>\s*<dd>odd</dd>", drawn)
    assert drawn.count(">odd<") == 1


def test_a_card_shows_the_fields_of_its_type_alone() -> None:
    """Also where no vendor said so: what is drawn of an old row is what people saw."""
    drawn = draw(app("template_card", {"card_type": "vote_interaction", "sub_title_text": "unseen"}))

    assert re.search(r"<dt>template_card\.sub_title_text</dt>\s*<dd>unseen</dd>", drawn)
    assert drawn.count("unseen") == 1


def test_a_webhooks_card_has_no_menu() -> None:
    """It calls nothing back."""
    drawn = draw(SAMPLES["webhook text_notice"])

    assert 'class="menu"' not in drawn
    assert "<dt>template_card.action_menu.action_list[0].text</dt>" in drawn


# --- what became of the message


def test_a_recalled_message_says_so_and_cannot_be_pressed() -> None:
    """Its content stays for those who look into what happened."""
    drawn = draw(card("vote_interaction", state="recalled"), "en")

    assert "Recalled: people no longer see it" in drawn
    assert "周五吃什么" in drawn
    assert elements(drawn, "button") + elements(drawn, "input") + elements(drawn, "form") == []


def test_a_replaced_button_is_grey() -> None:
    """One text stands for all buttons, and nothing can be pressed any more."""
    drawn = draw(card("button_interaction", update={"replace_name": "<已同意>"}), "en")

    assert '<span class="button is-grey">&lt;已同意&gt;</span>' in drawn
    assert "Card updated" in drawn
    assert elements(drawn, "button") + elements(drawn, "select") == []


def test_an_updated_card_takes_the_place_of_the_first() -> None:
    """With its own alterations; the first stays below, folded and inert."""
    new = {"card_type": "text_notice", "main_title": {"title": "new", "desc": "cut"}}
    altered = [{"field": "template_card.main_title.desc", "why": "cut"}]

    drawn = draw(card("vote_interaction", update={"template_card": new, "altered": altered}, altered=[CUT]), "en")
    now, _, before = drawn.partition('<details class="message-before">')

    assert "new" in now
    assert "周五吃什么" not in now
    assert "周五吃什么" in before
    assert "template_card.main_title.desc</code> was cut" in now
    assert "2048" not in drawn
    assert elements(drawn, "button") == []


@pytest.mark.parametrize(("safe", "told"), [(0, ""), (1, "Confidential"), (2, "inside the corp only")])
def test_a_confidential_message_says_so(safe: int, told: str) -> None:
    """Above it, as far as it goes."""
    drawn = draw(app("text", {"content": "x"}, safe=safe), "en")

    assert told in drawn
    assert bool(told) == ("chip-safe" in drawn)


# --- what can be pressed


def test_a_card_is_one_form() -> None:
    """Its buttons send their key, its choices their ids, beside what the page wants to know."""
    drawn = draw(card("button_interaction"))

    assert elements(drawn, "form") == [
        {"class": "message-form", "method": "post", "action": "/press", "data-message-form": None}
    ]
    assert [one["name"] for one in elements(drawn, "button")] == ["key"] * 6
    assert [one["value"] for one in elements(drawn, "button")] == ["on", "off", "yes", "pass", "no", "later"]
    assert elements(drawn, "input") == [{"type": "hidden", "name": "person", "value": "chenmo"}]
    assert elements(drawn, "select") == [{"name": "choice:q"}]
    assert elements(drawn, "option") == [{"value": "a"}, {"value": "b", "selected": None}, {"value": "c"}]


def test_a_vote_has_boxes_or_dots() -> None:
    """By its mode: several options can be chosen, or one."""
    many, one = card("vote_interaction"), card("vote_interaction")
    one.content["checkbox"] = {**one.content["checkbox"], "mode": 0}

    assert [box["type"] for box in elements(draw(many), "input")[1:]] == ["checkbox", "checkbox"]
    assert [box["type"] for box in elements(draw(one), "input")[1:]] == ["radio", "radio"]
    assert ["checked" in box for box in elements(draw(many), "input")[1:]] == [True, False]


def test_a_vote_of_an_old_row_has_nothing_checked() -> None:
    """Where its options do not say which are."""
    shown = card("vote_interaction")
    shown.content["checkbox"] = {"question_key": "q", "option_list": [{"id": "1", "text": "x"}]}

    assert ["checked" in box for box in elements(draw(shown), "input")[1:]] == [False]


def test_a_drop_down_without_a_known_choice_shows_the_first() -> None:
    """As the vendor does."""
    shown = card("multiple_interaction")
    shown.content["select_list"] = [{**shown.content["select_list"][0], "selected_id": "unknown"}]

    assert ["selected" in one for one in elements(draw(shown), "option")] == [True, False, False]


def test_a_frozen_choice_cannot_be_changed() -> None:
    """Its options are told, and which of them is chosen."""
    drawn = draw(card("multiple_interaction"))

    assert [one["name"] for one in elements(drawn, "select")] == ["choice:q1"]
    assert '<li class="option is-chosen"><bdi>同意</bdi></li>' in drawn


@each((name,) for name in SAMPLES)
def test_without_actions_everything_is_inert(name: str) -> None:
    """Operators look; they do not press."""
    drawn = draw(replace(SAMPLES[name], actions=None))

    assert [tag for tag, _ in DrawnHtml(drawn).elements if tag in ("form", "button", "input", "select")] == []


def test_buttons_below_a_webhooks_markdown_send_their_name() -> None:
    """In the nearest colour of the style sheet."""
    buttons = elements(draw(SAMPLES["webhook markdown"]), "button")

    assert [(one["name"], one["value"]) for one in buttons] == [("click", "b0"), ("click", "b1"), ("click", "b2")]
    assert [(one["class"] or "").split()[1] for one in buttons] == ["hue-green", "hue-blue", "hue-red"]


def test_a_member_confirms_a_campaign_or_ignores_it() -> None:
    """Two buttons below its text and attachments."""
    buttons = elements(draw(SAMPLES["campaign"]), "button")

    assert [(one["name"], one["value"]) for one in buttons] == [("confirm", "all"), ("ignore", "all")]


# --- addresses


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//e.com", "/local", "http://[", " ", "file:///etc"]
)
def test_what_is_no_web_address_is_no_link(url: str) -> None:
    """It stands in the list below as text."""
    drawn = draw(app("textcard", {"title": "t", "description": "d", "url": url}))

    assert elements(drawn, "a") == []
    assert url.strip() in DrawnHtml(drawn).text


def test_a_link_tells_its_target_nothing() -> None:
    """It opens beside the page, which it cannot reach."""
    (link,) = elements(draw(app("textcard", {"title": "t", "url": "HTTPS://e.com/?a=1&b"})), "a")

    assert link == {"href": "HTTPS://e.com/?a=1&b", "target": "_blank", "rel": "noreferrer noopener nofollow"}


@pytest.mark.parametrize(
    "address", ["https://e.com/x.png", "//e.com/x.png", "///e.com/x.png", "/\\e.com", "javascript:alert(1)", "/a b"]
)
def test_a_file_of_another_server_is_not_loaded(address: str) -> None:
    """Whatever the page says where it is."""
    shown = app("image", {"media_id": "m"}, media=lambda media_id: address)

    assert elements(draw(shown), "img") + elements(draw(shown), "a") == []


def test_a_file_of_the_page_is_loaded() -> None:
    """A picture is shown, and a file has the name at the end of its address."""
    drawn = draw(app("image", {"media_id": "m"}, media=lambda media_id: f"/media/{media_id}"), "en")
    file = draw(app("file", {"media_id": "m"}, media=lambda media_id: "/media/1/%E6%8A%A5%E5%91%8A.pdf"))

    assert elements(drawn, "img") == [{"src": "/media/m", "alt": "Picture"}]
    assert '<span class="file-name">报告.pdf</span>' in file


def test_a_picture_of_another_server_is_named() -> None:
    """In place of the picture, which the page never loads."""
    drawn = draw(SAMPLES["webhook news"])

    assert elements(drawn, "img") == []
    assert '<span class="address">https://wwcdn.weixin.qq.com/node/wework/images/202010.png</span>' in drawn


# --- what Youdu's windows do


@pytest.mark.parametrize(
    ("duration", "told"),
    [(10, "Closes after 10 s"), (0, "Closes after 5 s"), (None, "Closes after 5 s"), (-1, "Stays until")],
)
def test_a_window_says_how_long_it_stays(duration: int | None, told: str) -> None:
    """Five seconds where the sender does not say."""
    window = MessageView(
        channel="youdu", msgtype="pop_window", content={"tip": "t", "duration": duration, "position": 3}
    )

    assert told in draw(window, "en")
    assert "Bottom right" in draw(window, "en")


@pytest.mark.parametrize(("duration", "told"), [(6, "6 秒后关闭"), (0, "需手动关闭"), (-5, "需手动关闭")])
def test_a_system_message_says_how_long_it_stays(duration: int, told: str) -> None:
    """Until it is closed where the sender says 0 or less."""
    message = {"title": "t", "popDuration": duration, "msg": [{"text": {"content": "x"}}]}

    assert told in draw(MessageView(channel="youdu", msgtype="sysMsg", content=message))


@pytest.mark.parametrize(
    ("time", "told"), [(1_700_000_000, "2023-11-14 22:13 UTC"), (10**30, ""), ("soon", ""), (-1, "")]
)
def test_a_mail_has_its_date(time: object, told: str) -> None:
    """Where the time is one."""
    drawn = draw(MessageView(channel="youdu", msgtype="mail", content={"action": "new", "subject": "s", "time": time}))

    assert told in drawn
    assert bool(told) == ("UTC" in drawn)


# --- texts


@pytest.mark.parametrize(
    ("channel", "drawn"), [("wecom_app", "@李华"), ("wecom_webhook", "@李华"), ("youdu", "&lt;@lihua&gt;")]
)
def test_a_mention_is_a_name_where_the_vendor_has_them(channel: Channel, drawn: str) -> None:
    """Ids without a name stand for themselves."""
    shown = MessageView(channel=channel, msgtype="text", content={"content": "<@lihua>"}, names={"lihua": "李华"})

    assert drawn in draw(shown)
    assert channel == "youdu" or '<span class="mention">@lihua</span>' in draw(replace(shown, names={}))


@pytest.mark.parametrize("channel", ["wecom_app", "wecom_webhook", "youdu"])
def test_a_text_has_links_where_the_vendor_has_them(channel: Channel) -> None:
    """Of all by an address in the text, of applications by the tag too, which is shown as typed elsewhere."""
    content = {"content": '<a href="https://e.com/1">one https://e.com/3</a>，见 https://e.com/2。'}

    drawn = draw(MessageView(channel=channel, msgtype="text", content=content))

    assert elements(drawn, "a")[-1]["href"] == "https://e.com/2"
    assert (channel == "wecom_app") == (
        [one["href"] for one in elements(drawn, "a")] == ["https://e.com/1", "https://e.com/2"]
    )
    assert (channel != "wecom_app") == ("&lt;a href=" in drawn)


def test_a_link_that_is_left_open_is_shown_as_typed() -> None:
    """And an address in it is a link, as everywhere."""
    drawn = draw(app("text", {"content": '<a href="https://e.com/1">see https://e.com/2'}))

    assert DrawnHtml(drawn).faults == []
    assert [one["href"] for one in elements(drawn, "a")] == ["https://e.com/1", "https://e.com/2"]
    assert "&lt;a href=" in drawn


def test_an_article_is_drawn_as_its_text() -> None:
    """Its paragraphs are lines, its entities characters, and what only looks like a tag stays."""
    content = "<h1 style='x'>a &amp; b</h1><p>1 < 2<br>c</p><img src='https://e.com/p'>"

    drawn = draw(app("mpnews", {"articles": [{"title": "t", "content": content}]}))

    assert "a &amp; b\n1 &lt; 2\nc\n" in drawn
    assert elements(drawn, "img") + elements(drawn, "h1") == []


def test_markdown_of_applications_has_colours_and_bold_alone() -> None:
    """Its page lists no italics, lists, tables or pictures."""
    text = (
        '# h\n**b** *i* __u__ <font color="info">g **x**</font> <font color="red">r</font>\n- l\n![p](https://e.com/p)'
    )

    drawn = draw(app("markdown", {"content": text}))

    assert '<p class="heading-1">h</p>' in drawn
    assert "<strong>b</strong> *i* __u__ " in drawn
    assert '<span class="ink-info">g <strong>x</strong></span>' in drawn
    assert "&lt;font color=&quot;red&quot;&gt;r&lt;/font&gt;" in drawn
    assert elements(drawn, "ul") + elements(drawn, "em") + elements(drawn, "img") == []


def test_markdown_v2_has_italics_lists_and_tables_but_no_colours() -> None:
    """Alignment is a class, since no page allows styles in attributes."""
    drawn = draw(SAMPLES["webhook markdown_v2"])
    typed = draw(
        MessageView(channel="wecom_webhook", msgtype="markdown_v2", content={"content": '<font color="info">x</font>'})
    )

    assert "<em>斜体</em>" in drawn
    assert '<td class="align-right">广州</td>' in drawn
    assert "<code>这是代码块\nprint(&quot;&lt;b&gt;&quot;)\n</code>" in drawn
    assert "<p>&lt;font color=&quot;info&quot;&gt;x&lt;/font&gt;</p>" in typed


def test_a_picture_in_a_link_leads_where_the_link_does() -> None:
    """A link holds no other link."""
    shown = MessageView(
        channel="wecom_webhook",
        msgtype="markdown_v2",
        content={"content": "[![p](https://e.com/p)](https://e.com)"},
        media=lambda media_id: "/media/p",
    )

    assert DrawnHtml(draw(shown)).faults == []
    assert [one["href"] for one in elements(draw(shown), "a")] == ["https://e.com"]
    assert [one["src"] for one in elements(draw(shown), "img")] == ["/media/p"]


def test_a_textcard_has_three_colours() -> None:
    """Other tags are shown as typed."""
    drawn = draw(app("textcard", {"title": "t", "description": '<div class="highlight">a</div><b>c</b>'}))

    assert '<div class="ink-highlight">a</div>&lt;b&gt;c&lt;/b&gt;' in drawn


def test_what_no_page_may_hold_is_replaced() -> None:
    """Control characters, and halves of surrogate pairs, which UTF-8 cannot write."""
    drawn = draw(app("text", {"content": "a\x00b\ud800c", "\ud800": "\x1b"}))

    assert "a\ufffdb\ufffdc" in drawn
    assert drawn.encode()


def test_pictures_are_told_by_their_size_not_by_their_bytes() -> None:
    """A webhook's picture is two megabytes of base64."""
    shown = MessageView(channel="wecom_webhook", msgtype="image", content={"base64": "iVBO" * 1000, "md5": "m"})

    assert "about 3000 bytes" in draw(shown, "en")
    assert "iVBO" not in draw(shown)


def test_fields_beyond_hundreds_are_counted() -> None:
    """The page stays small, whatever an old row holds."""
    drawn = draw(app("other", {f"f{number}": "x" for number in range(503)}), "en")

    assert drawn.count("<dt>") == 500
    assert "3 more fields" in drawn


@pytest.mark.parametrize(
    "html",
    [
        "<script>",
        "<p style=''>",
        "<a href='javascript:x'></a>",
        "<img src='https://e.com/'>",
        "<p>",
        "</p>",
        "<!-- x -->",
        "<a><a></a></a>",
    ],
)
def test_the_judge_of_these_tests_sees_faults(html: str) -> None:
    """What no drawing may hold."""
    assert DrawnHtml(html).faults
