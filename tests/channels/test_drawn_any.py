"""What is drawn equals what was sent, for random valid messages of each type; whatever stands in a row draws."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from drawn_messages import CARDS, CUT, TYPES
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.support.drawn_html import DrawnHtml, bare, leaves
from worker.drawing import Actions, Channel, Lang, MessageView, draw
from worker.drawing.draw import CARD_FIELDS, TEMPLATES
from worker.drawing.words import WORDS
from worker_simulator.settings import CodeSettings
from worker_simulator.wecom_app.rules.findings import Findings
from worker_simulator.wecom_app.rules.message_types import TO_MEMBERS

pytestmark = pytest.mark.no_cover  # twice as slow with figures, which other tests give

ACTIONS = Actions(url="/press", hidden={"person": "a"})
# The browser draws fifty more of each type, in tests/browser/test_inbox_texts.py.
LARGE = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@LARGE
@given(st.data())
@pytest.mark.parametrize("kind", TYPES, ids="-".join)
def test_every_text_of_a_message_is_drawn(kind: tuple[Channel, str], data: st.DataObject) -> None:
    """As it was sent: white space aside, which a parser of HTML does not keep apart from the page's own."""
    _assert_whole(MessageView(channel=kind[0], msgtype=kind[1], content=data.draw(TYPES[kind]), actions=ACTIONS))


@LARGE
@given(st.data())
@pytest.mark.parametrize("kind", CARDS, ids="-".join)
def test_every_text_of_a_card_is_drawn(kind: tuple[Channel, str], data: st.DataObject) -> None:
    """Of each card that applications and webhooks have."""
    _assert_whole(
        MessageView(channel=kind[0], msgtype="template_card", content=data.draw(CARDS[kind]), actions=ACTIONS)
    )


def _assert_whole(shown: MessageView) -> None:
    drawn = DrawnHtml(draw(shown))
    text = bare(drawn.text)

    assert drawn.faults == []
    assert [leaf for leaf in _texts(shown.content) if bare(leaf) not in text] == []


def _texts(content: Any) -> Iterator[str]:
    """What people read; of a picture's bytes only the number is told, and of all members the word for them."""
    read = {name: one for name, one in content.items() if name != "base64"} if isinstance(content, dict) else content
    return (leaf for leaf in leaves(read, read=True) if leaf != "@all")


@LARGE
@given(st.data())
@pytest.mark.parametrize("msgtype", CUT)
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_cut_is_drawn_where_the_vendor_cuts(lang: Lang, msgtype: str, data: st.DataObject) -> None:
    """What the fake vendor's table leaves is drawn, with a mark beside the field and a sentence below."""
    sent = data.draw(CUT[msgtype])
    content, found = copy.deepcopy(sent), Findings(CodeSettings())
    TO_MEMBERS[msgtype].check(content, msgtype, found)

    drawn = DrawnHtml(
        draw(MessageView(channel="wecom_app", msgtype=msgtype, content=content, altered=found.altered), lang)
    )
    text = bare(drawn.text)

    assert drawn.faults == []
    assert [leaf for leaf in leaves(content, read=True) if bare(leaf) not in text] == []
    assert len(found.altered) == sum("mark-cut" in (named.get("class") or "") for _, named in drawn.elements)
    assert [one for one in found.altered if bare(f"{one['field']}{_sentence(one, lang)}") not in text] == []


def _sentence(one: dict[str, Any], lang: Lang) -> str:
    number = ["zh", "en"].index(lang)
    return WORDS["cut_long"][number].format(**{**one, "unit": WORDS[one["unit"]][number]})


WORDS_OF_MARKUP = (
    *(
        "<a href='javascript:alert(1)'>",
        '<a href="https://e.com/">',
        "</a>",
        "<img src=x onerror=alert(1)>",
        "<script>",
    ),
    *("</script>", '<div class="gray">', "</div>", "<br>", "<p style='x'>", "<table><td>", "<!--", "-->", "<![CDATA["),
    *('<font color="info">', "</font>", "<@li>", "**", "*", "__", "`", "```\n", "> ", "# ", "- ", "1. ", "---\n"),
    *("| a | b |\n|:-|-:|\n", "![x](https://e.com/p)", "[y](data:text/html,x)", "[z](https://e.com 'q')", "&lt;b&gt;"),
    *(
        "\n",
        " ",
        "字",
        "&",
        '"',
        "'",
        "\x00",
        "\ud800",
        "\u202e",
        "https://e.com/?a=<b>&c",
        "//e.com",
        "<svg/onload=x>",
    ),
)
MARKUP = st.lists(st.sampled_from(WORDS_OF_MARKUP), max_size=30).map("".join)
MARKED_UP = {"text": "content", "textcard": "description", "markdown": "content", "markdown_v2": "content"}


@LARGE
@given(MARKUP, st.sampled_from(sorted(MARKED_UP)), st.sampled_from(["wecom_app", "wecom_webhook", "youdu"]))
def test_markup_of_a_message_stays_its_text(text: str, msgtype: str, channel: Channel) -> None:
    """No tag, attribute or address of a message reaches the page, in whatever order its markup stands."""
    content = {MARKED_UP[msgtype]: text, "title": text, "url": text, "btntxt": text}

    drawn = draw(MessageView(channel=channel, msgtype=msgtype, content=content))

    assert DrawnHtml(drawn).faults == []
    assert drawn.encode()


@LARGE
@given(MARKUP)
def test_an_article_stays_inside_its_box(text: str) -> None:
    """Its HTML is written anew: what it opens is closed, and what it closes was opened by it."""
    content = {"articles": [{"title": text, "content": text, "thumb_media_id": text, "content_source_url": text}]}

    assert DrawnHtml(draw(MessageView(channel="wecom_app", msgtype="mpnews", content=content))).faults == []


NAMES = sorted(
    {
        *{name for names in CARD_FIELDS.values() for name in names},
        *(
            "content",
            "title",
            "desc",
            "url",
            "articles",
            "attachments",
            "actions",
            "text",
            "link",
            "image",
            "msg",
            "type",
        ),
        *(
            "option_list",
            "id",
            "key",
            "is_checked",
            "mode",
            "selected_id",
            "media_id",
            "md5",
            "base64",
            "time",
            "count",
        ),
        *("popWindow", "duration", "position", "width", "content_item", "value", "userid", "mentioned_list", "style"),
        *(
            "msgtype",
            "msgType",
            "items",
            "keys",
            "get",
            "__class__",
            "field",
            "why",
            "limit",
            "replace_name",
            "template_card",
        ),
    }
)
LEAF = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), MARKUP, st.sampled_from([*CARD_FIELDS, 2**35, -1])
)
ODD = st.recursive(
    LEAF,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(NAMES), inner, max_size=8)),
)


@LARGE
@given(
    ODD,
    st.one_of(st.sampled_from(sorted(TEMPLATES)), MARKUP),
    st.sampled_from(["wecom_app", "wecom_webhook", "wecom_external", "youdu"]),
    st.sampled_from(["shown", "recalled"]),
    ODD,
    ODD,
)
def test_anything_draws(content: Any, msgtype: str, channel: Any, state: Any, altered: Any, update: Any) -> None:
    """Rows of any age, of any shape: something safe is drawn, and nothing is raised."""
    for actions in (ACTIONS, None):
        drawn = draw(
            MessageView(
                channel=channel,
                msgtype=msgtype,
                content=content,
                altered=altered,
                state=state,
                update=update,
                actions=actions,
            )
        )

        assert DrawnHtml(drawn).faults == []
        assert drawn.encode()


def test_what_is_deep_or_long_draws() -> None:
    """Two thousand levels, ten thousand fields, hundreds of kilobytes of markdown."""
    deep: Any = "x"
    for _ in range(1000):
        deep = {"content": [deep]}
    many = {f"f{number}": "x" for number in range(10_000)}

    for content in (deep, many, {"content": "> **a** " * 25_000}, {"content": "<a " * 100_000}, [deep, 10**5000]):
        for msgtype in ("text", "markdown", "markdown_v2", "mpnews", "template_card", "other"):
            assert DrawnHtml(draw(MessageView(channel="wecom_app", msgtype=msgtype, content=content))).faults == []
