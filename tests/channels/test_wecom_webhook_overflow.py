"""Long texts of webhooks: numbered pieces, nothing torn, nothing lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from wecom_webhook_samples import CHANNEL, account, part, sent

from worker.channels.checking.truncate import CODE as IN_CODE
from worker.channels.wecom_webhook import Action, Attachment, Markdown, MarkdownV2, News, Text
from worker.domain.content.message import Message
from worker.domain.content.recipient import Chats
from worker.domain.job import Draft

TABLE = "| name | size |\n| :--- | ---: |\n" + "| somebody | L |\n" * 40
CODE = "```python\n" + "print('<@li>')\n\n" * 40 + "```\n"
PROSE = "A line of words that says something.\n" * 30


def split(message: Message) -> list[str]:
    """The pieces, each held against the vendor's limit."""
    document, _ = CHANNEL.fit("send", message.document(), account(), "split")
    pieces: list[str] = document["pieces"]
    most = 2048 if document["type"] == "text" else 4096
    assert all(len(piece.encode()) <= most for piece in pieces)
    assert [f"({n}/{len(pieces)})" for n in range(1, len(pieces) + 1)] == [one.split("\n\n")[0] for one in pieces]
    assert CHANNEL.check(Draft("send", account(), document, Chats("wr1"))) == []
    return [one.split("\n\n", 1)[1] for one in pieces]


@pytest.mark.parametrize("whole", [TABLE, CODE])
def test_tables_and_code_stay_whole(whole: str) -> None:
    """Wherever they stand in the text."""
    for before in range(0, 3000, 500):
        text = f"{'x' * before}\n\n{whole}\n{PROSE}\n{whole}\n{PROSE * 2}"

        pieces = split(MarkdownV2(content=text))

        assert sum(piece.count(whole.strip()) for piece in pieces) == 2


def test_a_table_with_line_ends_of_windows_stays_whole() -> None:
    """The same as with others."""
    table = TABLE.replace("\n", "\r\n")

    pieces = split(MarkdownV2(content=f"{'x' * 3500}\r\n\r\n{table}\r\n{PROSE}"))

    assert sum(piece.count(table) for piece in pieces) == 1


def test_code_that_is_too_long_can_be_truncated() -> None:
    """A log in a fence is shortened like other text."""
    document, _ = CHANNEL.fit(
        "send", MarkdownV2(content="```\n" + "line\n" * 900 + "```").document(), account(), "truncate"
    )

    assert document["body"]["markdown_v2"]["content"].endswith("…")


@pytest.mark.parametrize("whole", ["| a |\n| - |\n" + "| cell |\n" * 600, "```\n" + "line\n" * 900 + "```"])
def test_what_must_be_whole_and_is_too_long_is_refused(whole: str) -> None:
    """Nothing of it is torn: the check says that it is too long."""
    document, notes = CHANNEL.fit("send", MarkdownV2(content=whole).document(), account(), "split")

    assert "pieces" not in document
    assert notes == []
    (problem,) = CHANNEL.check(Draft("send", account(), document, Chats("wr1")))
    assert "4096" in str(problem)


@pytest.mark.parametrize(
    "whole",
    ["![图](https://e.com/a.png)", "[看](https://e.com/wiki/A_(b))", "*斜体的字*", "***粗斜体的字***"],
    ids=["picture", "brackets", "italic", "bold italic"],
)
def test_a_picture_or_an_emphasis_is_never_torn(whole: str) -> None:
    """Wherever the limit falls: a picture would become a link, and the marks would be shown."""
    for before in range(4060, 4090):
        pieces = split(MarkdownV2(content="x" * before + whole + "y" * 40))

        assert sum(piece.count(whole) for piece in pieces) == 1


@pytest.mark.parametrize("mark", [">", ">>", "> > ", ">>> "])
def test_a_quotation_goes_on_in_the_next_message(mark: str) -> None:
    """Also of a deeper level, and without a space behind its mark, as the vendor's sample has it."""
    pieces = split(MarkdownV2(content=mark + "说" * 3000))

    assert len(pieces) == 3
    assert all(piece.startswith(mark + "说") for piece in pieces)


def test_a_text_is_split_too() -> None:
    """Between its lines, no mention torn."""
    pieces = split(Text(content="<@zhangsan> says something\n" * 300))

    assert sum(piece.count("<@zhangsan> says something") for piece in pieces) == 300


BLOCKS = st.lists(
    st.sampled_from(
        [TABLE, CODE, PROSE, "# heading\n", "- a\n- b\n  - c\n", "> quote\n" * 20, "---\n", "字" * 900 + "\n", "\n"]
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60)
@given(BLOCKS)
def test_nothing_is_lost(parts: list[str]) -> None:
    """All words of the text stand in the pieces, in their order."""
    text = "\n".join(parts)
    if len(text.encode()) <= 4096:
        return

    pieces = split(MarkdownV2(content=text))

    assert "".join(text.split()) == "".join("".join(pieces).split())


def test_short_texts_and_other_types_are_left_alone() -> None:
    """Also by `truncate`, which shortens what is too long and says so."""
    for message in (Text(content="x"), Markdown(content="x")):
        assert (message.document(), []) == CHANNEL.fit("send", message.document(), account(), "split")
    long = News(articles=[{"title": "字" * 60, "url": "https://e.com"}])
    document, notes = CHANNEL.fit("send", long.document(), account(), "truncate")
    assert 128 >= len(document["body"]["news"]["articles"][0]["title"].encode())
    assert "truncated from 180" in notes[0]
    assert (long.document(), []) == CHANNEL.fit("send", long.document(), account(), "split")


def test_buttons_stand_below_the_last_piece() -> None:
    """Of each chat's; and each says which part goes before it."""
    action = Action(name="ok", text="OK", value="1", replace_text="done")
    message = Markdown(content=PROSE * 5, attachments=[Attachment(actions=[action])])
    document, _ = CHANNEL.fit("send", message.document(), account(), "split")

    specs = CHANNEL.split(Draft("send", account(), document, Chats("wr1", "wr2")))

    assert [spec.get("after") for spec in specs] == [None, 0, None, 2]
    bodies: list[dict[str, Any]] = [sent(part(document, spec, n=n)) for n, spec in enumerate(specs)]
    assert ["attachments" in body["markdown"] for body in bodies] == [False, True] * 2
    assert [body["chatid"] for body in bodies] == ["wr1", "wr1", "wr2", "wr2"]


def test_members_are_mentioned_once_in_a_chat() -> None:
    """By the last piece of a text."""
    message = Text(content=PROSE * 5, mentioned_list=["@all"], mentioned_mobile_list=["13800001111"])
    document, _ = CHANNEL.fit("send", message.document(), account(), "split")

    specs = CHANNEL.split(Draft("send", account(), document, Chats("wr1")))
    *before, last = (sent(part(document, spec, n=n))["text"] for n, spec in enumerate(specs))

    assert before
    assert [{"content"}] * len(before) == [piece.keys() for piece in before]
    assert (last["mentioned_list"], last["mentioned_mobile_list"]) == (["@all"], ["13800001111"])


def test_prose_is_what_is_no_code() -> None:
    """Fences, open ones too, and inline code."""
    assert IN_CODE.sub("", "a `<@li>`\n b") == "a \n b"
    assert IN_CODE.sub("", "```\n<@li>\n") == ""
    assert IN_CODE.sub("", "a\n```\n<@li>\n\n```\nb") == "a\nb"
