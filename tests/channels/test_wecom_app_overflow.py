"""What is too long is refused, truncated or split as the caller says; nothing is torn, and what was done is said."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies as st
from wecom_app_samples import ACCESS, CHANNEL, account, draft, part, sent

from worker.channels.checking.plain import byte_size
from worker.channels.checking.row import Prose
from worker.channels.checking.truncate import pieces, truncated
from worker.channels.wecom_app import Markdown, MiniProgramNotice, MpNews, News, Raw, Text, TextCard, Video
from worker.channels.wecom_app.changes import CreateChat
from worker.domain.content.recipient import To
from worker.domain.job import JobKind

LINK = '<a href="https://ops.example.com/d/3">查看</a>'
MD_LINK = "[日志](https://ci.example.com/9)"
FAMILY = "👨\u200d👩\u200d👧\u200d👦"


def fit(message, overflow, kind=JobKind.SEND, agent=None):
    return CHANNEL.fit(kind, message.document(), agent or account(), overflow)


def contents(message, overflow="split", to=None):
    """The contents of the messages that go out, in part order, and the notes."""
    document, notes = fit(message, overflow)
    asked = draft(document, to)
    assert CHANNEL.check(asked) == []
    requests = [
        CHANNEL.request(part(document, spec), account(), ACCESS, flagged=False) for spec in CHANNEL.split(asked)
    ]
    return [sent(one)[document["type"]]["content"] for one in requests], notes


def test_what_fits_is_left_alone():
    """Neither choice touches a text that is short enough, and says nothing."""
    document = Text(content="字" * 682).document()

    assert (document, []) == CHANNEL.fit("send", document, account(), "split")
    assert (document, []) == CHANNEL.fit("send", document, account(), "truncate")


def test_a_long_text_is_split():
    """Every piece fits, they are the text in order, and the job says so."""
    text = "\n".join(f"line {n} 服务器磁盘" for n in range(300))

    found, notes = contents(Text(content=text))

    assert text == "".join(found)
    assert all(byte_size(one) <= 2048 for one in found)
    assert all(one.endswith("\n") for one in found[:-1])
    assert [f"text.content: {byte_size(text)} bytes, split into {len(found)} messages"] == notes


def test_what_cannot_be_written_is_refused_in_pieces_too():
    """A control character in the second piece is found there."""
    document, _ = fit(Text(content="x " * 1500 + "\x00"), "split")

    assert [problem.field for problem in CHANNEL.check(draft(document))] == ["pieces[1]"]


def test_pieces_of_a_split_go_to_each_slice_in_order():
    """Two calls' worth of people get every piece: all of the first slice's, then all of the second's."""
    document, _ = fit(Text(content="x " * 2000), "split")

    specs = CHANNEL.split(draft(document, To([f"u{n}" for n in range(1001)])))

    assert [spec["piece"] for spec in specs] == [0, 1, 0, 1]
    assert [len(spec["users"]) for spec in specs] == [1000, 1000, 1, 1]


@pytest.mark.parametrize("choice", ["split", "truncate"])
@pytest.mark.parametrize(
    ("made", "unit"),
    [
        (Text, LINK),
        (Text, FAMILY),
        (Text, "e\u0301"),
        (Text, "🇨🇳"),
        (Text, "$userName=lihua$"),
        (Text, "https://example.com/a?b=1#c"),
        (Markdown, MD_LINK),
        (Markdown, "`a b`"),
        (Markdown, "**bold**"),
    ],
)
def test_nothing_is_torn(made, unit, choice):
    """Wherever the limit falls, a link, a character with its marks, code or an id pattern stays whole."""
    for shift in range(len(unit) + 1):
        found, _ = contents(made(content="x" * (2046 - shift) + " " + unit + " tail" * 9), choice)

        whole = any(unit in one for one in found)
        left_out = choice == "truncate" and "" == found[0].removesuffix("…").strip("x ")
        assert whole or left_out


def test_markup_that_is_open_is_closed_and_opened_again():
    """A coloured passage over the limit is coloured in both messages; a quotation goes on as one."""
    colour, quote = '<font color="warning">', "> "

    coloured, _ = contents(Markdown(content=colour + "red " * 1000 + "</font>"))
    quoted, _ = contents(Markdown(content=quote + "said " * 1000))

    assert all(one.startswith(colour) and one.endswith("</font>") for one in coloured)
    assert all(one.startswith(quote) for one in quoted)
    assert all(byte_size(one) <= 2048 for one in coloured + quoted)


@pytest.mark.parametrize("made", [Text, Markdown])
def test_what_only_looks_like_a_tag_is_text(made):
    """A log that names a generic type is sent as it is written: the vendor shows such words, and knows no element."""
    log = "List<String> cannot be cast\n" + "\tat com.example.Foo\n" * 150

    found, _ = contents(made(content=log))
    (shorter,), _ = contents(made(content=log), "truncate")

    assert log == "".join(found)
    assert log.startswith(shorter.removesuffix("…"))


def test_a_truncated_description_closes_its_tags():
    """HTML of a text card ends well-formed inside its limit."""
    message = TextCard(title="标" * 50, description='<div class="gray">' + "今天" * 300 + "</div>", url="https://a")

    document, notes = fit(message, "truncate")

    card = document["body"]["textcard"]
    assert CHANNEL.check(draft(document)) == []
    assert card["description"].endswith("…</div>")
    assert byte_size(card["title"]) <= 128
    assert [
        f"textcard.title: truncated from 150 to {byte_size(card['title'])} bytes",
        f"textcard.description: truncated from 1824 to {byte_size(card['description'])} bytes",
    ] == notes


ARTICLE = {"title": "t" * 200, "url": "https://a"}
MP = {"title": "标" * 60, "thumb_media_id": "m", "content": "c", "author": "人" * 30, "digest": "d" * 600}


@pytest.mark.parametrize(
    ("message", "count"),
    [
        (Text(content="字" * 1000), 1),
        (Video(media_id="m", title="t" * 200, description="d" * 600), 2),
        (TextCard(title="t", description="d", url="https://a", btntxt="查看详情页"), 1),
        (News(articles=[ARTICLE, {**ARTICLE, "description": "d" * 600}]), 3),
        (MpNews(articles=[MP]), 3),
        (MiniProgramNotice(appid="wx1", title="订" * 13, content_item=[{"key": "k" * 21, "value": "v" * 61}]), 3),
        (Markdown(content="m" * 3000), 1),
    ],
)
def test_every_text_that_would_be_cut_can_be_truncated(message, count):
    """Refused without a choice, whole with it: every field is shortened to its limit and named."""
    assert count == len(CHANNEL.check(draft(message.document())))

    document, notes = fit(message, "truncate")

    assert CHANNEL.check(draft(document)) == []
    assert count == len(notes)


@pytest.mark.parametrize(
    ("message", "choice"),
    [
        (Text(content=f'<a href="https://e.com/{"x" * 3000}">l</a>'), "split"),
        (Text(content=f'<a href="https://e.com/{"x" * 3000}">l</a>'), "truncate"),
        (TextCard(title="t" * 200, description="d", url="https://a"), "split"),
        (TextCard(title="t", description="d", url="https://a/" + "x" * 3000), "truncate"),
        (MpNews(articles=[{**MP, "author": "a", "title": "t", "digest": "d", "content": "c" * 700_000}]), "truncate"),
    ],
)
def test_what_cannot_be_shortened_is_refused(message, choice):
    """A link longer than a message, a title that should be split, a url, an article: the door says no."""
    document, notes = fit(message, choice)

    assert CHANNEL.check(draft(document))
    assert notes == []


def test_names_of_chats_and_odd_bodies():
    """A chat's name is truncated too; a body that is none is left for the check."""
    document, notes = fit(CreateChat(name="群" * 60, userlist=["a", "b"]), "truncate", JobKind.CREATE_CHAT)
    odd = Raw(msgtype="text", body={"text": 5}).document()

    assert document["body"]["name"] == "群" * 49 + "…"
    assert notes == ["name: truncated from 60 to 50 characters"]
    assert (odd, []) == CHANNEL.fit("send", odd, account(), "truncate")
    assert (odd, []) == CHANNEL.fit("send", odd, account(), "split")


def test_characters_where_the_account_says_so():
    """An account that trusts the page of 2026 may write 128 characters."""
    message = TextCard(title="标" * 128, description="d", url="https://a")
    modern = account({"textcard_unit": "characters"})

    assert CHANNEL.check(draft(message.document(), account=modern)) == []
    assert [one.field for one in CHANNEL.check(draft(message.document()))] == ["textcard.title"]
    assert (message.document(), []) == fit(message, "truncate", agent=modern)


MARKUP = st.lists(
    st.one_of(
        st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="<>"), max_size=30),
        st.sampled_from(
            ["\n", " ", LINK, MD_LINK, FAMILY, "🇨🇳", "**b**", "`c`", "> ", "$userName=a$", "https://a.b/c"]
        ),
    ),
    max_size=60,
).map("".join)


@given(MARKUP, st.integers(60, 300), st.sampled_from([Prose.PLAIN, Prose.LINKS]))
def test_pieces_lose_nothing(text, most, prose):
    """Whatever the text: all pieces fit, and together they are the text, but for white space between."""
    found = pieces(text, most, byte_size, prose)

    if found is not None:
        assert all(byte_size(one) <= most for one in found)
        assert re.sub(r"\s", "", text) == re.sub(r"\s", "", "".join(found))


@given(MARKUP, st.integers(10, 300), st.sampled_from(list(Prose)))
def test_a_truncated_text_is_a_beginning(text, most, prose):
    """It fits, and without its ellipsis and closed tags it is how the text begins."""
    found = truncated(text, most, byte_size, prose)

    if found is not None:
        assert byte_size(found) <= most
        assert text.startswith(found.rpartition("…")[0])
