"""What reads texts of others takes time by their length. By its square, each of these would outlast its minute."""

from __future__ import annotations

import pytest

from worker.channels.checking.row import Prose
from worker.channels.checking.truncate import CODE, pieces, truncated
from worker.drawing import MessageView, draw, links
from worker.drawing.node import MAX_DRAWN
from worker.language import translate
from worker_simulator.inbox import entries

pytestmark = pytest.mark.timeout(60)

MANY = 100_000


@pytest.mark.parametrize("unit", ["<a", "<a ", "<a href=", '<a href="x">', '<div class="gray">', "<br ", "</p", " "])
def test_tags_in_a_text(unit: str) -> None:
    """However many begin that never end; a text beyond what vendors take is not looked through."""
    text = unit * (links.MAX_PARSED // len(unit))

    assert text == links.chat_text(f"<a {text}", has_tags=True, mention=None).unescape()[3:]
    assert text == links.coloured_text(text).unescape()
    assert MANY * len(unit) >= len(links.article_text(unit * MANY))


@pytest.mark.parametrize("unit", ["<p aaaa", "<a>", "<b></b>", "http://"])
@pytest.mark.parametrize("msgtype", ["text", "textcard", "mpnews", "unknown"])
def test_a_drawing_is_bounded(unit: str, msgtype: str) -> None:
    """No more characters are drawn than any vendor takes, whatever a broken producer has stored."""
    text = unit * MANY
    content = {"content": text, "description": text, "articles": [{"title": text, "content": text}] * 20}

    page = draw(MessageView(channel="wecom_app", msgtype=msgtype, content=content))

    assert len(page) < 20 * MAX_DRAWN


def test_a_long_message_ends_with_an_ellipsis() -> None:
    """What is left out is noticed; a text that fits is drawn whole."""
    whole, cut = (
        draw(MessageView(channel="wecom_app", msgtype="text", content={"content": "x" * count}))
        for count in (MAX_DRAWN, MAX_DRAWN + 1)
    )

    assert "x" * MAX_DRAWN in whole
    assert "…" not in whole
    assert "x" * MAX_DRAWN + "…" in cut


@pytest.mark.parametrize("unit", ["<a", "[", "[x](", "\n", " ", "<@", "`"])
def test_a_line_of_the_inbox(unit: str) -> None:
    """The marks that an app draws are found in a text of any length."""
    assert MANY * len(unit) >= len(entries.MARKDOWN.sub(r"\1", entries.TAG.sub(r"\1", unit * MANY)))


@pytest.mark.parametrize(
    "text", ["`" * MANY + "a" * MANY, "``a" * MANY, "`a``" * MANY, "".join("`" * n + "a" for n in range(999))]
)
def test_code_in_a_line(text: str) -> None:
    """Runs of backticks that nothing closes."""
    assert len(text) >= len(CODE.sub("", text))


@pytest.mark.parametrize("unit", [" ", "-", ":", "|", "-|", "- ", "| ", ":-: |"])
def test_the_line_below_the_head_of_a_table(unit: str) -> None:
    """A line that nearly is one."""
    text = f"|a|\n{unit * MANY}x"

    assert len(text) >= len("".join(pieces(text, MANY, len, Prose.BLOCKS) or []))


@pytest.mark.parametrize("unit", ["```\n", "|\n", "~~~\n```\n", "\n", "|-|\n"])
def test_lines_that_begin_or_end_a_block(unit: str) -> None:
    """Fences that close each other or never, tables of one line."""
    text = unit * MANY

    assert len(text) >= len(CODE.sub("", text))
    assert len(text) >= len("".join(pieces(text, MANY, len, Prose.BLOCKS) or []))


def test_open_links_and_open_elements() -> None:
    """A text that is shortened, whose markup never ends."""
    assert truncated("<a>" * 200_000, 20, len, Prose.LINKS) == "<a><a>…</a></a>"
    assert truncated("<a>" * 12_000, MANY, len, Prose.LINKS) is not None


def test_a_piece_is_no_more_than_the_markup_that_it_repeats() -> None:
    """Pieces that would say next to nothing beside it are not made without end: the text is refused as too long."""
    assert pieces("<a>" * 290 + "x" * 300_000, 2048, len, Prose.LINKS) is None


@pytest.mark.parametrize("unit", [": ", "; ", ", ", " (a)", " (", " waits for ", "  changed ", " at ", "refused "])
@pytest.mark.parametrize("count", [100, 20_000])
def test_a_sentence_that_holds_a_text_of_others(unit: str, count: int) -> None:
    """It is told in Chinese as far as it is known, however often a vendor repeats what our sentences are made of."""
    assert translate(f"  part x-0 waits for {unit * count}", "zh")
