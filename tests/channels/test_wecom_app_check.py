"""What is refused before anything is stored, and what only warns."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from wecom_app_samples import CHANNEL, account, card, draft, text

from worker.channels.wecom_app import (
    CardAction,
    CardUpdate,
    FileMessage,
    HorizontalContent,
    Image,
    MainTitle,
    MiniProgramNotice,
    MultipleCard,
    News,
    Raw,
    Text,
    TextNoticeCard,
    Upload,
    VoteCard,
    escape_ids,
    message_from_json,
    message_to_json,
)
from worker.domain.content.message import File
from worker.domain.content.recipient import AppChat, Everyone, Recipients, To
from worker.domain.errors import CheckFailed


def fields_of(job) -> list[str]:
    return [problem.field for problem in CHANNEL.check(job)]


def with_file(message, path="image.media_id", **details):
    file = {"upload_type": "image", "name": "a.png", "size": 100, "sha256": "0" * 64, **details}
    return {**message.document(), "files": {path: file}}


MPNEWS = {"title": "t", "thumb_media_id": "m", "content": "<p>c</p>"}
NOTICE = {
    "card_type": "news_notice",
    "main_title": {"title": "t"},
    "card_image": {"url": "https://c"},
    "card_action": {"type": 1, "url": "https://a"},
}
FULL_CARD = {
    "task_id": "leave_5521@hr",
    "source": {"icon_url": "https://i/a.png", "desc": "hr", "desc_color": 2},
    "action_menu": {"desc": "more", "action_list": [{"text": "mute", "key": "mute"}]},
    "quote_area": {"type": 1, "url": "https://q", "title": "t", "quote_text": "q"},
    "sub_title_text": "annual",
    "horizontal_content_list": [
        {"keyname": "host", "value": "db"},
        {"type": 1, "keyname": "panel", "url": "https://p"},
        {"type": 2, "keyname": "file", "value": "a.txt", "media_id": "m"},
        {"type": 3, "keyname": "duty", "userid": "lihua"},
    ],
    "card_action": {"type": 2, "appid": "wx1", "pagepath": "p"},
    "button_selection": {"question_key": "q", "option_list": [{"id": "1", "text": "a"}, {"id": "2", "text": "b"}]},
    "button_list": [{"text": "ok", "style": 1, "key": "ok"}, {"type": 1, "text": "open", "url": "https://o"}],
}


@pytest.mark.parametrize(
    "job",
    [
        draft(text()),
        draft(text("字" * 682)),
        draft(card()),
        draft(card(**FULL_CARD)),
        draft(Image(media_id="m", safe=1).document()),
        draft(with_file(Image(file=File(b"", "a.png")))),
        draft(Raw(msgtype="markdown", body={"markdown": {"content": "# a", "n": [1, 2.5, None, True]}}).document()),
        draft(Raw(msgtype="brand_new", body={"brand_new": {}, "safe": 7}).document()),
        draft(text(), Everyone(), account=account(allow_everyone=True)),
        draft({}, kind="recall"),
        draft(
            {"type": "upload", "files": {"media": {"upload_type": "file", "name": "报表.pdf", "size": 6}}},
            kind="upload",
        ),
        draft(CardUpdate(replace_name="done").document(), kind="update_card"),
        draft(CardUpdate(template_card=NOTICE, enable_id_trans=1).document(), kind="update_card"),
    ],
)
def test_valid(job):
    """What the vendor takes is stored."""
    assert CHANNEL.check(job) == []


@pytest.mark.parametrize(("content", "size"), [("x" * 2049, 2049), ("字" * 683, 2049), ("😀" * 513, 2052)])
def test_long_text_names_its_size(content, size):
    """A text the vendor would cut in silence is refused with limit, unit and size."""
    (problem,) = CHANNEL.check(draft(text(content)))

    assert ("text.content", 2048, "bytes", size) == (problem.field, problem.limit, problem.unit, problem.size)
    assert "silently cuts off" in problem.text
    assert content not in str(problem)


def test_an_update_with_a_file_says_so():
    """Updates upload nothing; without its file the line would lack a media_id, of which nobody had heard."""
    line = HorizontalContent(type=2, keyname="k", file=File(b"123456", "a.txt"))
    given = {"main_title": MainTitle(title="t"), "card_action": CardAction(type=1, url="https://a.example")}
    update = CardUpdate(template_card=TextNoticeCard(**given, horizontal_content_list=[line]))

    with pytest.raises(CheckFailed, match=r"template_card.horizontal_content_list.0.file: an update takes no file"):
        update.document()


@given(st.text(alphabet=st.characters(), max_size=1200))
def test_valid_text_is_never_cut(content):
    """Whatever check lets through has at most 2048 bytes of UTF-8 and at least one."""
    document = {"type": "text", "body": {"text": {"content": content}}, "options": {}}

    if not CHANNEL.check(draft(document)):
        assert 1 <= len(content.encode()) <= 2048


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"main_title": {"title": ""}}, "template_card.main_title.title"),
        ({"button_list": []}, "template_card.button_list"),
        ({"button_list": [{"text": "a", "key": str(n)} for n in range(7)]}, "template_card.button_list"),
        ({"button_list": [{"text": "a"}]}, "template_card.button_list[0].key"),
        ({"button_list": [{"text": "a", "type": 1}]}, "template_card.button_list[0].url"),
        ({"button_list": [{"text": "a", "key": "k", "style": 5}]}, "template_card.button_list[0].style"),
        ({"button_list": [{"text": "a", "key": "字" * 342}]}, "template_card.button_list[0].key"),
        ({"button_list": [{"text": "a", "key": "k"}] * 2}, "template_card.button_list[1].key"),
        ({"source": {"desc_color": 4}}, "template_card.source.desc_color"),
        ({"action_menu": {"action_list": []}}, "template_card.action_menu.action_list"),
        (
            {"action_menu": {"action_list": [{"text": "a", "key": "k"}, {"text": "b", "key": "k"}]}},
            "template_card.action_menu.action_list[1].key",
        ),
        ({"quote_area": {"type": 2}}, "template_card.quote_area.appid"),
        ({"card_action": {"type": 3}}, "template_card.card_action.type"),
        ({"horizontal_content_list": [{"keyname": "a"}] * 7}, "template_card.horizontal_content_list"),
        ({"horizontal_content_list": [{"keyname": "a", "type": 1}]}, "template_card.horizontal_content_list[0].url"),
        (
            {"horizontal_content_list": [{"keyname": "a", "type": 2}]},
            "template_card.horizontal_content_list[0].media_id",
        ),
        ({"horizontal_content_list": [{"keyname": "a", "type": 3}]}, "template_card.horizontal_content_list[0].userid"),
        (
            {"button_selection": {"question_key": "q", "option_list": [{"id": "1", "text": "a"}] * 2}},
            "template_card.button_selection.option_list[1].id",
        ),
        ({"task_id": "a b"}, "template_card.task_id"),
        ({"task_id": "a" * 115}, "template_card.task_id"),
        ({"task_id": ""}, "template_card.task_id"),
        ({"enable_id_trans": 2}, "enable_id_trans"),
    ],
)
def test_card_fields(changes, field):
    """Each broken rule of the card's table is named by the vendor's path, alone."""
    assert [field] == fields_of(draft(card(**changes)))


def test_everything_at_once():
    """All wrong fields come in one answer, recipients included."""
    job = draft(card(main_title={"title": ""}, task_id="!", button_list=[]), Recipients())

    assert fields_of(job) == [
        "template_card.task_id",
        "template_card.main_title.title",
        "template_card.button_list",
        "touser",
    ]


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        ({"card_type": "poster"}, ["template_card.card_type"]),
        ({"card_type": "text_notice"}, ["template_card.card_action", "template_card.main_title.title"]),
        ({**NOTICE, "card_image": {}}, ["template_card.card_image.url", "template_card.image_text_area"]),
        ({"card_type": "text_notice", "sub_title_text": "s", "card_action": {"type": 1, "url": "https://a"}}, []),
        (
            {"card_type": "button_interaction", "main_title": "t", "button_list": [1], "sub_title_text": 5},
            ["template_card.main_title", "template_card.sub_title_text", "template_card.button_list"],
        ),
        (
            {
                "card_type": "button_interaction",
                "main_title": {"title": "t"},
                "button_list": [{"text": "a", "type": True}, {"text": "b", "key": 1}],
            },
            ["template_card.button_list[0].type", "template_card.button_list[1].key"],
        ),
    ],
)
def test_raw_cards(raw, fields):
    """A card given as a plain body is held against the same rows, types included."""
    job = draft(Raw(msgtype="template_card", body={"template_card": raw}).document())

    assert sorted(fields) == sorted(fields_of(job))


@pytest.mark.parametrize(
    ("msgtype", "body", "fields"),
    [
        ("", {"a": {}}, ["msgtype", "body.msgtype"]),
        ("a b", {"a b": {}}, ["msgtype"]),
        ("upload", {"upload": {}}, ["msgtype"]),
        ("novel", {}, ["body.novel"]),
        ("novel", {"novel": {}, "touser": "x", "agentid": 1}, ["agentid", "touser"]),
        ("novel", {"novel": {}, "enable_duplicate_check": 1}, ["enable_duplicate_check"]),
        ("novel", {"novel": {"x": float("nan")}}, ["novel.x"]),
        ("novel", {"novel": {"x": [object()]}}, ["novel.x[0]"]),
        ("novel", {"novel": {"x": "\ud800"}}, ["novel.x"]),
        ("novel", {"novel": {"x": "a\x00b"}}, ["novel.x"]),
        ("novel", {"novel": {1: "b"}}, ["novel"]),
        ("markdown", {"markdown": {"content": "a"}, "safe": 1}, ["safe"]),
        ("news", {"news": {"articles": [{"title": "t", "url": "https://n"}]}, "safe": 1}, ["safe"]),
        ("mpnews", {"mpnews": {"articles": [MPNEWS]}, "safe": 3}, ["safe"]),
        ("text", {"text": {"content": "a"}, "safe": True}, ["safe"]),
    ],
)
def test_raw_bodies(msgtype, body, fields):
    """A raw body is plain JSON, carries its own object and leaves the envelope to the worker."""
    assert fields == fields_of(draft(Raw(msgtype=msgtype, body=body).document()))


def test_deep_and_missing_bodies():
    """A body too deep to write and a body that is none are problems, not exceptions."""
    deep: dict = {}
    for _ in range(500):
        deep = {"x": deep}

    assert any(
        "nested too deep" in problem.text for problem in CHANNEL.check(draft({"type": "a", "body": {"a": deep}}))
    )
    assert fields_of(draft({"type": "text", "body": None})) == ["body"]
    assert fields_of(draft({**text(), "options": {"duplicate_check": 1}})) == ["options.duplicate_check"]


@pytest.mark.parametrize(
    ("to", "fields"),
    [
        (Recipients(), ["touser"]),
        (To(["a|b"]), ["touser"]),
        (To(["@ALL"]), ["touser"]),
        (To(["a\nb", "ok", "x" * 65]), ["touser"]),
        (To(parties=["0"]), ["toparty"]),
        (To(parties=["sales"], tags=["x"]), ["toparty", "totag"]),
        (Recipients(users=(5,)), ["touser"]),
        (Everyone(), ["touser"]),
        (Recipients(users=("a",), everyone=True), ["touser", "touser"]),
    ],
)
def test_recipients(to, fields):
    """Nobody, malformed ids and an unwanted broadcast are refused without quoting an id."""
    problems = CHANNEL.check(draft(text(), to))

    assert fields == [problem.field for problem in problems]
    assert not any("a\nb" in str(problem) for problem in problems)


def test_mini_program_notice_has_no_broadcast():
    """miniprogram_notice does not take @all, even where broadcasts are allowed."""
    message = MiniProgramNotice(appid="wx1", title="订单发货").document()

    assert fields_of(draft(message, Everyone(), account=account(allow_everyone=True))) == ["touser"]


@pytest.mark.parametrize(
    ("details", "field"),
    [
        ({"size": 5}, "image.media_id"),
        ({"size": 10 * 1024 * 1024 + 1}, "image.media_id"),
        ({"upload_type": "poster"}, "image.media_id"),
        ({"name": '"/:'}, "image.media_id.filename"),
        ({"name": "a\ud800.png"}, "image.media_id.filename"),
    ],
)
def test_files(details, field):
    """A file of the wrong size, type or name is refused by the limits of its upload type."""
    assert [field] == fields_of(draft(with_file(Image(file=File(b"", "a.png")), **details)))


def test_media_places():
    """A file fills an empty place that exists; a media_id and a file together are refused, and so is neither."""
    both = with_file(Image(media_id="m", file=File(b"", "a.png")))
    raw = Raw(msgtype="novel", body={"novel": {"articles": [{"title": "t"}]}})
    wrong_kind = with_file(Image(file=File(b"", "a.amr")), upload_type="voice")

    assert fields_of(draft(both)) == ["image.media_id"]
    assert fields_of(draft(Image().document())) == ["image.media_id"]
    assert fields_of(draft(with_file(raw, "novel.articles.0.thumb"))) == []
    for place in ("1", "9" * 5_000):
        wrong = f"novel.articles.{place}.thumb"
        assert [wrong] == fields_of(draft(with_file(raw, wrong)))
    assert fields_of(draft(wrong_kind)) == ["image.media_id"]
    assert fields_of(draft(with_file(raw, "novel.articles.0.title.x"))) == ["novel.articles.0.title.x"]


def test_callback():
    """Cards that call back are refused for an app without a callback URL; plain notices are not."""
    deaf = account({"callback": False})
    notice = Raw(msgtype="template_card", body={"template_card": NOTICE}).document()

    assert fields_of(draft(card(), account=deaf)) == ["template_card"]
    assert fields_of(draft(notice, account=deaf)) == []


@pytest.mark.parametrize(
    ("message", "to", "fields"),
    [
        ({"type": "card_update"}, To(), ["template_card"]),
        (CardUpdate(replace_name="a", template_card=NOTICE).document(), To(), ["template_card"]),
        (CardUpdate(replace_name="").document(), To(), ["button.replace_name"]),
        (CardUpdate(template_card={"card_type": "x"}).document(), To(), ["template_card.card_type"]),
        (CardUpdate(replace_name="a", enable_id_trans=3).document(), To(), ["enable_id_trans"]),
        (CardUpdate(replace_name="a").document(), To([f"u{n}" for n in range(1001)]), ["userids"]),
        (
            CardUpdate(replace_name="a").document(),
            To(parties=range(1, 102), tags=range(1, 102)),
            ["partyids", "tagids"],
        ),
    ],
)
def test_updates(message, to, fields):
    """An update has exactly one form and no more targets than one code reaches."""
    assert fields == fields_of(draft(message, to, kind="update_card"))


def test_other_kinds():
    """Recalls and uploads take no recipients, an upload needs its file, and an unknown kind is named."""
    assert fields_of(draft({}, To("a"), kind="recall")) == ["recipients"]
    assert fields_of(draft({"type": "upload"}, kind="upload")) == ["media"]
    assert fields_of(draft(text(), kind="remind")) == ["kind"]


def test_warnings():
    """Advised lengths and a member who can be reached twice are said, not refused."""
    long_card = draft(card(main_title={"title": "t" * 37}, sub_title_text="s" * 161))
    update = draft(
        CardUpdate(template_card={**card()["body"]["template_card"], "sub_title_text": "s" * 161}).document(),
        kind="update_card",
    )
    twice = draft(text(), To([f"u{n}" for n in range(1001)], parties=[1]))

    assert len(CHANNEL.warnings(long_card)) == 2
    assert len(CHANNEL.warnings(update)) == 1
    assert "2 calls" in CHANNEL.warnings(twice)[0]
    assert CHANNEL.warnings(draft(text(), To([f"u{n}" for n in range(1001)]))) == []
    assert CHANNEL.warnings(draft({}, kind="recall")) == []


def test_documents():
    """The stored form is type, body, options, with an empty place for each attached file."""
    file = File(b"abc", "a.png")

    assert Text(content="hi", safe=1, duplicate_check=False).document() == {
        "type": "text",
        "body": {"text": {"content": "hi"}, "safe": 1},
        "options": {"duplicate_check": False},
    }
    assert Image(file=file).document()["body"] == {"image": {}}
    assert {"image.media_id": ("image", file)} == Image(file=file).files()
    assert Image(media_id="m").files() == {}
    assert {"media": ("voice", file)} == Upload(file=file, upload_type="voice").files()
    assert Upload(file=file).document() == {"type": "upload"}
    assert {"p": ("image", file)} == Raw(msgtype="a", body={}, files={"p": ("image", file)}).files()
    assert CardUpdate(replace_name="x").document() == {"type": "card_update", "button": {"replace_name": "x"}}


def test_messages_do_not_show_themselves():
    """No repr and no validation error of a message holds its text."""
    with pytest.raises(CheckFailed) as error:
        Text(content=["top secret"])

    assert "secret" not in str(error.value)
    assert "secret" not in repr(Text(content="top secret")) + str(Text(content="top secret"))
    assert "secret" not in repr(CardUpdate(replace_name="secret"))
    assert "secret" not in repr(MainTitle(title="secret"))


@pytest.mark.parametrize("content", [" ", "\n\t ", "\u3000"])
def test_a_text_of_nothing_but_space_is_refused(content: str) -> None:
    """The vendor may answer 44004 (empty content) to it, for every recipient."""
    assert fields_of(draft(text(content))) == ["text.content"]


@pytest.mark.parametrize(
    ("number", "places"), [(2**63 - 1, []), (-(2**63), []), (2**63, ["x.n"]), (-(10**4400), ["x.n"])], ids=range(4)
)
def test_integers_beyond_64_bits_are_refused(number: int, places: list[str]) -> None:
    """A stored one of more than 4,300 digits could not be read again, nor the jobs read with it."""
    assert places == fields_of(draft(Raw(msgtype="x", body={"x": {"n": number}}).document()))


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({}, []),
        ({"agentid": "1000007"}, []),
        ({"agentid": 1.5}, ["agentid"]),
        ({"agentid": True, "corpid": " "}, ["corpid", "agentid"]),
        ({"account_cap": "9", "estimates": {"party": -1, "tag": 5}}, ["account_cap", "estimates.party"]),
        ({"estimates": 5, "windows_s": {"recal": 5}}, ["estimates", "windows_s"]),
        ({"callback": "yes"}, ["callback"]),
        ({"windows_s": {"duplicate": 0}, "recalled_code": 40050}, []),
        ({"windows_s": {"duplicate": -1, "task_id": "x"}}, ["windows_s.duplicate", "windows_s.task_id"]),
    ],
)
def test_wrong_keys_of_an_account_are_named(settings: dict[str, object], wrong: list[str]) -> None:
    """All at once, in the settings' names."""
    assert wrong == [problem.field for problem in CHANNEL.account_problems(account(settings))]


SUBMIT = {"text": "send", "key": "k"}
VOTE = {"main_title": {"title": "t"}, "checkbox": {"question_key": "q", "option_list": []}, "submit_button": SUBMIT}
OPTION = {"id": "a", "text": "t"}


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (VoteCard(**VOTE), ["template_card.checkbox.option_list"]),
        (
            VoteCard(**{**VOTE, "submit_button": None, "replace_text": "x"}),
            ["template_card.checkbox.option_list", "template_card.submit_button", "template_card.replace_text"],
        ),
        (
            MultipleCard(
                main_title={"title": "t"},
                submit_button=SUBMIT,
                select_list=[{"question_key": "q", "option_list": [OPTION], "selected_id": "b", "disable": True}] * 2,
            ),
            [
                "template_card.select_list[1].question_key",
                "template_card.select_list[0].selected_id",
                "template_card.select_list[1].selected_id",
                "template_card.select_list[0].disable",
                "template_card.select_list[1].disable",
            ],
        ),
        (News(articles=[{"title": "t", "appid": "wx1"}]), ["news.articles[0].pagepath"]),
        (News(articles=[{"title": "t"}]), ["news.articles[0].url"]),
        (News(articles=[{"title": "t", "url": "e.com"}]), ["news.articles[0].url"]),
        (Text(content="a", duplicate_check_interval=14401), ["duplicate_check_interval"]),
        (Text(content="a", duplicate_check_interval=0), ["duplicate_check_interval"]),
    ],
)
def test_fields_of_other_messages(message, fields):
    """Choices, pairs of fields, what only an update has, and the interval of the duplicate check."""
    assert fields == fields_of(draft(message.document()))


@pytest.mark.parametrize("ratio", [1.29, 2.26])
def test_the_shape_of_a_picture(ratio: float) -> None:
    """1.3 to 2.25, which a sample of the page has; whole numbers are numbers too."""
    wrong = {**NOTICE, "card_image": {"url": "https://c", "aspect_ratio": ratio}}
    whole = {**NOTICE, "card_image": {"url": "https://c", "aspect_ratio": 2}}

    found = [
        fields_of(draft(Raw(msgtype="template_card", body={"template_card": one}).document())) for one in (wrong, whole)
    ]

    assert found == [["template_card.card_image.aspect_ratio"], []]


@pytest.mark.parametrize(("title", "refused", "warned"), [("订单发货", 0, 0), ("shipped now 1", 0, 1), ("ship", 1, 0)])
def test_chinese_characters(title: str, refused: int, warned: int) -> None:
    """ASCII counts half; what holds only by that unconfirmed reading is let through with a warning."""
    job = draft(MiniProgramNotice(appid="wx1", title=title).document())

    assert len(CHANNEL.check(job)) == refused
    assert len(CHANNEL.warnings(job)) == warned


def test_the_wechat_plugin() -> None:
    """What an app that always opens its home page there would lose in silence is refused; a pointer is warned of."""
    home = account({"wechat_plugin_home": True})
    notice = MiniProgramNotice(appid="wx1", title="订单发货")

    def found(message):
        job = draft(message.document(), account=home)
        return CHANNEL.check(job), CHANNEL.warnings(job)

    assert found(Text(content="x" * 20)) == ([], [])
    [problem], _ = found(Text(content="字" * 7))
    assert (problem.field, problem.limit, problem.unit, problem.size) == ("text.content", 20, "bytes", 21)
    assert fields_of(draft(notice.document(), account=home)) == ["msgtype"]
    assert fields_of(draft(Raw(msgtype="text", body={}).document(), account=home)) == ["body.text"]
    assert found(Image(media_id="m")) == ([], ["image: members in the WeChat plugin see a pointer to it only"])


def test_who_does_not_say_what_the_wechat_plugin_opens_may_send_anything() -> None:
    """As with every ability; app group chats are not in the plugin, and the pieces of a text are looked at apart."""
    home = account({"wechat_plugin_home": True})
    pieces = {**Text(content="x" * 40).document(), "pieces": ["x" * 20, "x" * 20]}

    assert fields_of(draft(Text(content="x" * 21).document())) == []
    assert fields_of(draft(MiniProgramNotice(appid="wx1", title="订单发货").document())) == []
    assert fields_of(draft(pieces, account=home)) == []
    assert fields_of(draft(Text(content="x" * 21).document(), AppChat("c1"), kind="send_chat", account=home)) == []


def test_ids_in_texts() -> None:
    """An id that nobody asked to translate warns; other people's text can be escaped."""
    typed = "hello $userName=lihua$ and $5 = 3$"

    (warning,) = CHANNEL.warnings(draft(Text(content=typed).document()))

    assert warning.startswith("text.content: holds an id")
    assert CHANNEL.warnings(draft(Text(content=typed, enable_id_trans=1).document())) == []
    assert CHANNEL.warnings(draft(Text(content=escape_ids(typed)).document())) == []
    assert typed == escape_ids(typed).replace("\u200b", "")
    assert escape_ids(typed) == escape_ids(escape_ids(typed))
    assert escape_ids("plain $5") == "plain $5"


def test_names_the_vendor_does_not_list() -> None:
    """They are sent, and the job says that they are presumably ignored; so does a url beside an appid."""
    strange = Raw(msgtype="text", body={"text": {"content": "a", "colour": "red"}}).document()
    vote = Raw(msgtype="template_card", body={"template_card": {**NOTICE, "jumplist": []}}).document()
    news = News(articles=[{"title": "t", "url": "https://a", "appid": "wx1", "pagepath": "p"}]).document()

    assert CHANNEL.warnings(draft(strange)) == [
        "text.colour: not among the vendor's fields here; it is sent, and presumably ignored"
    ]
    assert CHANNEL.warnings(draft(vote))[0].startswith("template_card.jumplist: not among")
    assert CHANNEL.warnings(draft(news)) == ["news.articles[0].url: the vendor ignores it beside appid"]


def test_protected_files() -> None:
    """safe=1 is refused for a file it does not protect, and warned about where the file is not known."""
    archive = {"upload_type": "file", "name": "a.zip", "size": 100}
    document = FileMessage(file=File(b"", "a.zip"), safe=1).document()
    known = FileMessage(media_id="m", safe=1).document()

    assert fields_of(draft({**document, "files": {"file.media_id": archive}})) == ["safe"]
    assert fields_of(draft({**document, "files": {"file.media_id": {**archive, "name": "a.PDF"}}})) == []
    assert CHANNEL.warnings(draft(known))[0].startswith("safe: protects only files that end in")


@pytest.mark.parametrize(
    ("name", "fields"),
    [("pdf", ["safe"]), (".pdf", ["safe"]), ("a.pdf ", []), ('a.pd"f', []), ("a/b.pdf", []), ("a.pdf.zip", ["safe"])],
)
def test_a_file_is_protected_by_the_ending_that_members_see(name: str, fields: list[str]) -> None:
    """A name without a point has no ending, and what is dropped from a name is no part of it."""
    document = FileMessage(file=File(b"", name), safe=1).document()
    file = {"upload_type": "file", "name": name, "size": 100}

    assert fields == fields_of(draft({**document, "files": {"file.media_id": file}}))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": {"content": "a"}}, "msgtype"),
        ({"msgtype": "text", "text": {"content": "a", "colour": 1}}, "text.colour"),
        ({"msgtype": "text", "text": {"content": 5}}, "text.content"),
        ({"msgtype": "text", "text": {"content": "a"}, "colour": 1}, "colour"),
        ({"msgtype": "text", "text": {"content": "a", "safe": 1}}, "safe"),
        ({"msgtype": "news", "news": {"articles": [{}]}}, "news.articles[0].title"),
        ({"msgtype": "template_card", "template_card": {"card_type": "poster"}}, "template_card.card_type"),
        ("[1]", "body"),
        ("{", "body"),
    ],
)
def test_json_that_does_not_fit(body, field) -> None:
    """Is refused by path, without its values."""
    with pytest.raises(CheckFailed) as error:
        message_from_json(body)

    assert field in [problem.field for problem in error.value.problems]
    assert "colour=1" not in str(error.value)


def test_json_of_types_we_do_not_model() -> None:
    """Is refused, as a typing mistake would be; becomes Raw where the caller says that it is meant."""
    body = {"msgtype": "brand_new", "touser": "a", "brand_new": {"x": 1}, "enable_duplicate_check": 0}
    raw = Raw(msgtype="brand_new", body={"brand_new": {"x": 1}}, duplicate_check=False)

    assert raw == message_from_json(body, raw=True)
    with pytest.raises(CheckFailed, match=r"^msgtype: is not a type that this release knows \(vendor code 40008\)"):
        message_from_json(body)
    with pytest.raises(CheckFailed, match=r"did you mean text\?"):
        message_from_json({"msgtype": "textt", "textt": {"content": "x"}})


@pytest.mark.parametrize(
    "body",
    [
        {"msgtype": "text", "text": {"content": "x"}},
        {"msgtype": "brand_new", "brand_new": {}},
        {"button": {"replace_name": "x"}},
        {
            "msgtype": "template_card",
            "template_card": {
                "card_type": "text_notice",
                "sub_title_text": "s",
                "card_action": {"type": 1, "url": "https://a"},
            },
        },
    ],
)
def test_the_agentid_of_a_whole_body_has_to_be_the_accounts(body):
    """A body of another app is refused by the name of the field; the account's own passes, as text too."""

    def wrong(agentid):
        document = message_from_json({**body, "agentid": agentid}, raw=True).document()
        asked = draft(document, kind=CHANNEL.kind_of(document, To("anna")))
        return [one for one in CHANNEL.check(asked) if one.field == "agentid"]

    own = account().settings["agentid"]
    assert [wrong(own), wrong(str(own)), len(wrong(own + 1))] == [[], [], 1]
    assert own == message_to_json(message_from_json({**body, "agentid": own}, raw=True))["agentid"]
